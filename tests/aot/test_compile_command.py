"""`tilec compile` and `tilec cache` as a user starts them; the example in C, compiled, linked and run."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tilec
from tests.backends.llvm_support import undefined_symbols
from tilec.artifacts.store import open_store
from tilec.cli.main import call
from tilec.text.graph_text import parse_graph
from tilec.text.loops_text import parse_program

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DENSE = [str(EXAMPLES / "matmul.tile"), "-f", "dense", "--shape", "X=8,64", "--shape", "W=64,10", "--shape", "B=10,"]
needs_cc = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler")


def test_texts_go_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    shown = {}
    for kind in ("graph", "loops", "llvm", "asm", "header"):
        assert call(["compile", *DENSE, "--emit", kind]) == 0
        shown[kind] = capfdbinary.readouterr().out.decode()
    assert parse_graph(shown["graph"]).name == "dense"
    assert parse_program(shown["loops"]).results == ("Y",)
    assert "define i32 @tilec_dense(ptr" in shown["llvm"]
    assert "tilec_dense_workspace" in shown["asm"]
    assert (
        "int tilec_dense(const float *X, const float *W, const float *B, float *Y, void *workspace);" in shown["header"]
    )


def test_several_kinds_share_a_name(tmp_path: Path) -> None:
    assert call(["compile", *DENSE, "--emit", "obj,header", "-o", str(tmp_path / "dense"), "--symbol", "layer"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dense.h", "dense.o"]
    assert "int layer(" in (tmp_path / "dense.h").read_text()
    code = (tmp_path / "dense.o").read_bytes()
    if code[:4] == b"\x7fELF":
        assert undefined_symbols(code) == set()


def test_without_a_name_files_are_called_after_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(["compile", *DENSE, "--emit", "obj"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["tilec_dense.o"]


def test_a_constant_is_compiled_in(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "w.npy", np.ones((64, 10), np.float32))
    arguments = [*DENSE[:5], *DENSE[7:], "--constant", f"W={tmp_path}/w.npy", "--emit", "header"]
    assert call(["compile", *arguments]) == 0
    text = capfd.readouterr().out
    assert "W: constant, compiled in" in text
    assert "const float *W" not in text


WRONG = [
    (["--emit", "pdf"], "TILE0704"),
    (["--emit", ""], "TILE0704"),
    (["--target", "opencl"], "TILE0508"),
    (["--symbol", "not a name"], "TILE0704"),
    (["--symbol", "while"], "TILE0704"),
    (["--shape", "X=1,2"], "TILE0704"),
    (["--shape", "Z=1,2"], "TILE0502"),
    (["--shape", "Z=x"], "TILE0704"),
    (["--shape", "Z=f99[2]"], "TILE0303"),
    (["--shape", "Z"], "TILE0704"),
    (["-o", "/nowhere/at/all.ll"], "TILE0702"),
    (["--emit", "obj,header", "-o", "/"], "TILE0702"),
    (["--emit", "lib", "--target", "aarch64"], "TILE0709"),
]


@pytest.mark.parametrize(("arguments", "code"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, list) else v)
def test_mistakes(arguments: list[str], code: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(["compile", *DENSE, *arguments]) == (2 if code == "TILE0704" else 1)
    assert f"error[{code}]" in capfd.readouterr().err


def test_no_compiler_to_link_with(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CC", "no-such-compiler --flag")
    assert call(["compile", *DENSE, "--emit", "lib"]) == 1
    assert "no-such-compiler" in capfd.readouterr().err
    monkeypatch.setenv("CC", f"{sys.executable} -c 'raise SystemExit(3)'")
    assert call(["compile", *DENSE, "--emit", "lib"]) == 1
    assert "the C compiler failed" in capfd.readouterr().err


def test_a_compiler_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", '"unbalanced')
    assert call(["compile", *DENSE, "--emit", "lib"]) == 1
    assert "TILE0709]: the variable CC is no command" in capfd.readouterr().err
    (tmp_path / "cc").write_bytes(b"\0 no program")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("CC", str(tmp_path / "cc"))
    assert call(["compile", *DENSE, "--emit", "lib"]) == 1
    assert "TILE0709" in capfd.readouterr().err


@needs_cc
def test_a_library_is_loaded(tmp_path: Path) -> None:
    arguments = ["compile", str(EXAMPLES / "softmax.tile"), "--shape", "X=4,1000", "--emit", "lib"]
    assert call([*arguments, "-o", str(tmp_path / "softmax")]) == 0
    assert [path.stem for path in tmp_path.iterdir()] == ["softmax"] and not (tmp_path / "softmax").exists()
    assert call([*arguments, "-o", str(tmp_path / "softmax.so")]) == 0
    library = ctypes.CDLL(str(tmp_path / "softmax.so"))
    library.tilec_softmax_workspace.restype = ctypes.c_size_t
    x = np.random.default_rng(0).standard_normal((4, 1000)).astype(np.float32)
    y, room = np.empty_like(x), np.empty(library.tilec_softmax_workspace() + 1, np.uint8)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, y, room)]
    assert library.tilec_softmax(*pointers) == 0
    e = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), rtol=1e-5)


@needs_cc
def test_the_example_in_c(tmp_path: Path) -> None:
    """What examples/c/README.md says, to the letter."""
    shutil.copytree(EXAMPLES / "c", tmp_path / "c")
    shutil.copy(EXAMPLES / "matmul.tile", tmp_path)
    readme = (EXAMPLES / "c" / "README.md").read_text(encoding="utf-8")
    commands, output = (re.search(rf"```{kind}\n(.*?)```", readme, re.DOTALL) for kind in ("sh", "text"))
    assert commands and output
    script = commands[1].replace("tilec compile", f"'{sys.executable}' -m tilec compile")
    done = subprocess.run(["sh", "-ec", script], cwd=tmp_path / "c", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output[1]


@needs_cc
@pytest.mark.parametrize(
    ("compiler", "flags"), [("cc", ["-x", "c", "-std=c99"]), ("c++", ["-x", "c++", "-std=c++11"])], ids=["C", "C++"]
)
def test_headers_are_clean(compiler: str, flags: list[str], tmp_path: Path) -> None:
    found = shutil.which(compiler)
    if found is None:
        pytest.skip(f"there is no {compiler}")
    (tmp_path / "names.tile").write_text(
        "function f(NULL[N], EOF, INT8_MAX, #size_t) -> (TILEC_OK) { TILEC_OK = NULL * EOF + INT8_MAX * #size_t; }"
    )
    odd = ["NULL=f32[3]", "EOF=1.5", "INT8_MAX=1", "size_t=2"]
    for name, shapes in (("heat", ["U=f32[11,14]", "R=0.1"]), ("life", ["Board=u8[5,5]"]), ("names", odd)):
        arguments = [part for shape in shapes for part in ("--shape", shape)]
        path = tmp_path / f"{name}.h"
        program = (tmp_path if shapes is odd else EXAMPLES) / f"{name}.tile"
        assert call(["compile", str(program), *arguments, "--emit", "header", "-o", str(path)]) == 0
    headers = ("stdio", "heat", "life", "names", "heat")
    (tmp_path / "all.h").write_text("".join(f'#include "{name}.h"\n' for name in headers))
    strict = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]
    subprocess.run([found, *flags, *strict, str(tmp_path / "all.h")], check=True)


# the cache ---------------------------------------------------------------------------------------------------------


def test_the_cache_is_looked_at_and_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILEC_CACHE", "1")
    monkeypatch.setenv("TILEC_CACHE_DIR", str(tmp_path / "cache"))
    assert call(["run", str(EXAMPLES / "softmax.tile"), "--random", "X:f32[3,4]"]) == 0
    capfd.readouterr()
    assert call(["cache", "info", "--json"]) == 0
    info = json.loads(capfd.readouterr().out)
    assert info["directory"] == str(tmp_path / "cache")
    assert info["entries"] >= 1 and info["bytes"] > 0 and info["problem"] is None
    assert call(["cache", "verify"]) == 0
    assert f"{info['entries']} entries are good, 0 were deleted" in capfd.readouterr().out
    victim = next((tmp_path / "cache").glob("*.entry"))
    victim.write_bytes(victim.read_bytes()[:-1])
    assert call(["cache", "verify", "--json"]) == 1
    assert json.loads(capfd.readouterr().out) == {"good": info["entries"] - 1, "deleted": 1}
    assert call(["cache", "clear", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"deleted": info["entries"] - 1}
    assert call(["cache", "info"]) == 0
    assert "entries: 0" in capfd.readouterr().out
    open_store.cache_clear()


def test_a_cache_that_is_off_or_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILEC_CACHE", "0")
    assert [call(["cache", c]) for c in ("info", "clear", "verify")] == [0, 0, 0]
    assert "the cache is off" in capfd.readouterr().out
    (tmp_path / "kept").mkdir()
    monkeypatch.setenv("TILEC_CACHE_DIR", str(tmp_path / "kept"))
    (tmp_path / "kept" / f"{'0' * 64}.entry").write_text("of another day")
    assert call(["cache", "clear"]) == 0  # off, and emptied all the same
    assert "1 files deleted" in capfd.readouterr().out
    monkeypatch.setenv("TILEC_CACHE", "1")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TILEC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert [call(["cache", c]) for c in ("info", "clear", "verify")] == [0, 0, 1]
    shown = capfd.readouterr()
    assert "usable: no: Not a directory" in shown.out
    assert "error[TILE0701]" in shown.err


def test_a_printed_graph_is_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.graph"
    loop = "graph f[N](A: f64[N]) -> (B) { B = scan (A) in () length 5 do graph s%s(A: f64[N]) -> (C) { C = neg(A) } }"
    file.write_text(loop % "[N]")
    assert call(["compile", str(file), "--emit", "header"]) == 0
    assert "int tilec_f(int64_t N, const double *A, double *B, void *workspace);" in capsys.readouterr().out
    file.write_text(loop % "")
    assert call(["compile", str(file), "--emit", "header"]) == 1
    assert "size 'N' is not declared" in capsys.readouterr().err


def test_a_printed_graph_is_compiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = np.ones((3, 2), "float32")
    lowered = tilec.jit(lambda x, w: x @ w).lower(np.ones((4, 3), "float32"), weights)
    file = tmp_path / "f.graph"
    file.write_text(str(lowered))
    np.save(tmp_path / "w.npy", weights)
    constant = ["--constant", f"w={tmp_path}/w.npy"]
    assert call(["compile", str(file), *constant, "--emit", "header"]) == 0
    assert "const float *x, float *result" in capsys.readouterr().out
    assert call(["compile", str(file), "--emit", "asm", "--shape", "x=4,3"]) == 0
    mistakes = {"TILE0504": ["--shape", "x=5,3"], "TILE0502": ["--shape", "y=4,3"], "TILE0110": ["-f", "g"]}
    for code, wrong in mistakes.items():
        assert call(["compile", str(file), *wrong]) == 1
        assert code in capsys.readouterr().err
    file.write_text(str(tilec.jit(lambda x: x @ np.ones((3, 10), "float32")).lower(np.ones((4, 3), "float32"))))
    assert call(["compile", str(file)]) == 1
    assert "TILE0501" in capsys.readouterr().err
