"""The command line, in process and as a user starts it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tilec.cli.main import call

ROOT = Path(__file__).parents[2]
MATMUL = "function matmul(A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "matmul.tile").write_text(MATMUL)
    (tmp_path / "bad.tile").write_text("function (A[N]) -> (B) { B = A + Q; }\n")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.random((4, 3), np.float32))
    np.savez(tmp_path / "b.npz", first=rng.random((3, 2), np.float32), other=np.arange(3))
    return tmp_path


def test_run_writes_its_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-i", f"A={folder}/a.npy", "-i", f"B={folder}/b.npz:first", "-o", f"C={folder}/c.npy"]
    assert call(["run", f"{folder}/matmul.tile", *arguments]) == 0
    expected = np.load(folder / "a.npy") @ np.load(folder / "b.npz")["first"]
    np.testing.assert_allclose(np.load(folder / "c.npy"), expected, rtol=1e-6)
    assert capsys.readouterr().out.startswith("C: f32[4, 2] =\n[[")


def test_run_as_json_with_random_inputs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--random", "A:f32[3,4]", "--random", "B:f32[4,2]", "--json", "--time"]
    assert call(["run", f"{folder}/matmul.tile", "-f", "matmul", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["results"]["C"]["shape"] == [3, 2]
    assert len(found["results"]["C"]["values"]) == 6
    assert found["run_seconds"]["count"] >= 3


@pytest.mark.parametrize("command", [["run"], ["profile"], ["run", "-i", "A=none.npy"]])
def test_errors_as_json(folder: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert call([*command, f"{folder}/bad.tile", "--json"]) == 1
    shown = capsys.readouterr()
    assert {e["code"] for e in json.loads(shown.out)["errors"]} <= {"TILE0101", "TILE0501", "TILE0701"}
    assert shown.err == ""


def test_a_function_is_chosen_with_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two.tile").write_text("function f(A) -> (B) { B = A; }\nfunction g(A) -> (B) { B = A; }\n")
    assert call(["run", f"{tmp_path}/two.tile", "-i", "A=1"]) == 1
    assert "help: choose one of: f, g, with -f NAME" in capsys.readouterr().err


def test_a_number_in_the_place_of_a_vector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "twice.tile").write_text("function twice(A[N]) -> (B) { B = 2 * A; }\n")
    array, shape = "a vector is an array, or a type such as f32[4]", "a vector is f32[4], or '4,' (float32)"
    for arguments, vector in ((["run", "-i", "A=4"], array), (["compile", "--shape", "A=4"], shape)):
        assert call([*arguments, f"{tmp_path}/twice.tile"]) == 1
        assert f"help: a number has no axes; {vector}" in capsys.readouterr().err


def test_a_misspelt_variable_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_THREDS", "1")
    assert call(["config"]) == 0
    assert "no setting: the environment variable TILEC_THREDS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("tilec explain TILE010", "TILE0101"),
        ("tilec passes fu", "fuse"),
        ("tilec compile x.tile --emit asm,h", "asm,header"),
    ],
)
def test_completion(words: str, offered: str) -> None:
    said = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_TILEC_COMPLETE": "complete_bash"}
    run = [sys.executable, "-c", "from tilec.cli.main import main; main()"]
    done = subprocess.run(run, env={**os.environ, **said}, capture_output=True, text=True, check=False)
    assert offered in done.stdout.split()


def test_results_of_many_axes_stay_on_a_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "same.tile").write_text("function same(A) -> (B) { B = A; }\n")
    for shape, most in (("100,100", 10), ("9,9,9", 30), ("9,9,9,9", 30)):
        assert call(["run", f"{tmp_path}/same.tile", "--random", f"A:f32[{shape}]"]) == 0
        assert len(capsys.readouterr().out.splitlines()) <= most


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-i", "A=missing.npy"], "TILE0701"),
        (["-i", "A={}/b.npz:none"], "TILE0703"),
        (["-i", "A={}/matmul.tile"], "TILE0703"),
        (["-i", "nonsense"], "TILE0704"),
        (["--random", "A:f33[2]"], "TILE0303"),
        (["--random", "A:f32[2,x]"], "TILE0704"),
        (["-i", "A={}/a.npy", "--random", "B:f32[4,2]"], "TILE0201"),
        (["-f", "nothing"], "TILE0110"),
        (["--random", "A:f32[2,3]", "--random", "B:f32[3,2]", "-o", "D=d.npy"], "TILE0704"),
        (["--random", "A:f32[2,3]", "--random", "B:f32[3,2]", "-o", "C={}/no/c.npy"], "TILE0702"),
        (["--random", "A:f32[2,3]", "--random", "B:f32[3,2]", "--target", "cuda"], "TILE0508"),
    ],
)
def test_run_refuses(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str) -> None:
    filled = [a.format(folder) for a in arguments]
    assert call(["run", f"{folder}/matmul.tile", *filled]) == (2 if code == "TILE0704" else 1)
    captured = capsys.readouterr().err
    assert code in captured and "Traceback" not in captured


@pytest.mark.parametrize(
    ("arguments", "help"),
    [
        (["run"], "give it with -i NAME=FILE.npy"),
        (["run", "-i", "A=three"], "a value is FILE.npy, FILE.npz:KEY or a number"),
        (["run", "-i", "A={}/matmul.tile"], "numpy.save"),
        (["opt"], "give it with --shape"),
        (["opt", "--print-after", "nothing"], "write one of: infer, "),
    ],
)
def test_refusals_say_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], help: str
) -> None:
    command, *options = [a.format(folder) for a in arguments]
    assert call([command, f"{folder}/matmul.tile", *options]) == 1
    captured = capsys.readouterr().err
    assert help in captured.partition("= help: ")[2]
    assert "pickle" not in captured


def test_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", f"{folder}/matmul.tile"]) == 0
    assert call(["check", f"{folder}/matmul.tile", f"{folder}/bad.tile"]) == 1
    assert f"{folder}/bad.tile:1:34" in capsys.readouterr().out
    assert call(["check", "--json", f"{folder}/bad.tile"]) == 1
    (found,) = json.loads(capsys.readouterr().out)[f"{folder}/bad.tile"]
    assert (found["code"], found["line"], found["column"]) == ("TILE0101", 1, 34)


def test_places_of_notes_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "twice.tile"
    path.write_text("function (A) -> (B) {\n  B = A;\n  B = A;\n}")
    assert call(["check", "--json", str(path)]) == 1
    (found,) = json.loads(capsys.readouterr().out)[str(path)]
    assert found["notes"] == [f"first bound at {path}:2:3"]
    assert found["places"] == [{"note": 0, "file": str(path), "line": 2, "column": 3}]


def test_check_looks_into_directories(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", str(folder)]) == 1
    shown = capsys.readouterr().out
    assert f"{folder}/matmul.tile: no errors" in shown and "TILE0101" in shown


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["frobnicate"]) == 2
    assert call(["run"]) == 2
    assert call(["run", "--nonsense", "x.tile"]) == 2
    assert call(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tilec ")


def test_opt_prints_every_stage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = ["--shape", "A=f32[8,8]", "--shape", "B=f32[8,8]"]
    dump = folder / "dump"
    watch = ["--print-after", "all", "--verify-each", "--dump-dir", str(dump)]
    assert call(["opt", f"{folder}/matmul.tile", *shapes, *watch]) == 0
    out, err = capsys.readouterr()
    assert "// after infer" in err and "// after place" in err
    names = sorted(p.name for p in dump.iterdir())
    assert names[0] == "00_infer.graph" and names[-1].endswith("_place.loops")
    # What one stage printed, the next ones read.
    lowered = next(p for p in dump.iterdir() if "lower" in p.name)
    assert call(["opt", str(lowered)]) == 0
    assert capsys.readouterr().out == out
    assert call(["opt", str(dump / names[0]), "-p", "simplify,dce"]) == 0
    assert call(["opt", str(dump / names[0]), "-p", "nonsense"]) == 1
    assert call(["opt", str(dump / names[0]), "-p", "place"]) == 1


PRODUCT = """function f(A[M, K], B[K, N]) -> (C) {
  [[schedule("reorder(k, n) tile(n, 8, n.0, n.1) vectorize(n.1)")]] C[m, n : M, N] = +(A[m, k] * B[k, n]);
}"""
EIGHT = ["--shape", "A=f32[12,16]", "--shape", "B=f32[16,32]"]


def test_opt_uses_the_schedules_that_a_program_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "product.tile"
    program.write_text(PRODUCT)
    assert call(["opt", str(program), *EIGHT]) == 0
    out = capsys.readouterr().out
    assert "for n.1 in 8 vector" in out and "parallel" not in out
    assert call(["compile", str(program), *EIGHT, "--emit", "loops"]) == 0
    assert capsys.readouterr().out == out
    program.write_text(PRODUCT.replace("reorder(k, n)", "reorder(k, q)"))
    assert call(["opt", str(program), *EIGHT]) == 1
    assert f"{program}:2:15" in capsys.readouterr().err
    assert call(["opt", str(program), *EIGHT, "-p", "infer,bounds,lower"]) == 0


def test_opt_prints_schedules_that_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, file = tmp_path / "product.tile", tmp_path / "found.schedule"
    program.write_text(PRODUCT)
    assert call(["opt", str(program), *EIGHT, "--print-schedule"]) == 0
    text = capsys.readouterr().out
    assert text == "schedule k0_C {\n  reorder(k, n)\n  tile(n, 8, n.0, n.1)\n  vectorize(n.1)\n}\n"
    program.write_text(PRODUCT[: PRODUCT.index("[[")] + PRODUCT[PRODUCT.index("C[m") :])
    shapes = ["--shape", "A=f32[64,64]", "--shape", "B=f32[64,64]", "--target", "x86-64-v3"]
    assert call(["opt", str(program), *shapes]) == 0
    loops = capsys.readouterr().out
    assert call(["opt", str(program), *shapes, "--print-schedule"]) == 0
    file.write_text(capsys.readouterr().out)
    assert "vectorize" in file.read_text()
    assert call(["opt", str(program), *shapes, "--schedule", str(file)]) == 0
    assert capsys.readouterr().out == loops
    assert call(["opt", str(program), *shapes, "-p", "infer", "--print-schedule"]) == 1
    assert "TILE0605" in capsys.readouterr().err


def test_opt_shows_what_is_fused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "product.tile"
    program.write_text(PRODUCT)
    assert call(["opt", str(program), *EIGHT, "-p", "infer,bounds,fuse", "--verify-each"]) == 0
    assert capsys.readouterr().out == "C\ninlined: \n"
    assert call(["opt", str(program), *EIGHT, "-p", "infer,bounds,fuse,cse"]) == 1
    assert "pass 'cse' works on a Graph, not on a Partition" in capsys.readouterr().err


@pytest.mark.parametrize("passes", ["lower", "infer,lower", "infer,fuse"])
def test_opt_lowers_bounded_graphs_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], passes: str
) -> None:
    program = tmp_path / "masked.tile"
    program.write_text("function f(A[N, N], M[N, N]) -> (O) { P = M ? exp(A) : 0.0; O[i : N] = +(P[i, j]); }")
    shapes = ["--shape", "A=f32[5,5]", "--shape", "M=bool[5,5]"]
    assert call(["opt", str(program), *shapes, "-p", passes]) == 1
    err = capsys.readouterr().err
    assert "TILE0605" in err and "first" in err


def test_opt_reads_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(MATMUL.encode())))
    assert call(["opt", "-", "-p", "infer", "--shape", "A=f32[2,3]", "--shape", "B=f32[3,4]"]) == 0
    assert "f32[2, 4]" in capsys.readouterr().out


def test_as_a_process(folder: Path) -> None:
    command = [sys.executable, "-m", "tilec", "run", "bad.tile", "--random", "A:f32[3]"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "error[TILE0101]" in done.stderr and "bad.tile:1:34" in done.stderr and "Traceback" not in done.stderr
