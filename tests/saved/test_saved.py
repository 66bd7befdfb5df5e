"""Saved executables: round trips, what is trusted, what is compiled again, what is refused."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec import dtypes
from tilec.artifacts import container, saved
from tilec.artifacts.image import decode, encode
from tilec.dtypes import DType
from tilec.errors import TileError

ROOT = Path(__file__).parents[2]
MATMUL = "function matmul(A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
A, B = np.arange(12, dtype=np.float32).reshape(3, 4), np.arange(8, dtype=np.float32).reshape(4, 2)
posix = pytest.mark.skipif(os.name != "posix", reason="owners and permissions are POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A saved matmul of A with B compiled in."""
    found = tmp_path / "matmul.tilec"
    tilec.compile(MATMUL, A=A, constants={"B": B}).save(found)
    return found


def check(executable: tilec.Executable) -> list[str]:
    """The codes of its warnings, after its result has been compared."""
    np.testing.assert_allclose(executable(A), A @ B)
    return [w.code for w in executable.warnings]


@posix
def test_round_trip(path: Path) -> None:
    found = tilec.load(path)
    assert check(found) == []
    original = tilec.compile(MATMUL, A=A, constants={"B": B})
    assert repr(found) == repr(original)
    assert (found.graph, found.program) == (original.graph, original.program)
    assert (found.params, found.results, found.target) == (original.params, original.results, original.target)
    found.save(path)
    assert check(tilec.load(path)) == []


def test_equal_executables_are_equal_files(path: Path, tmp_path: Path) -> None:
    tilec.compile(MATMUL, A=A, constants={"B": B}).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
@pytest.mark.parametrize("machine_code", [True, False])
def test_constants_of_every_dtype(dtype: DType, machine_code: bool, tmp_path: Path) -> None:
    values = np.array([0, 1, 1, 0, 1, 0], np.int8)
    if dtype.kind != "bool":
        values = values * 3
    table = values.astype(dtype.numpy).reshape(2, 3)
    code = "function f(A[N], T[N, M]) -> (B, D) { B[n, m : N, M] = +(A[n] * T[n, m]); D = T; }"
    a = np.array([1, 0]).astype(dtype.numpy)
    first = tilec.compile(code, A=a, constants={"T": table})
    first.save(tmp_path / "f")
    second = tilec.load(tmp_path / "f", machine_code=machine_code)
    for x, y in zip(first(a), second(a), strict=True):
        assert x.dtype == y.dtype
        assert x.tobytes() == y.tobytes()


def test_everything_else_of_an_interface(tmp_path: Path) -> None:
    code = "function f(A[N], W, F) -> (B, Empty) { B[n : N] = +(F * A[n + w]), w < W; Empty[n : N] = +(A[n]), n < 0; }"
    x = np.arange(5, dtype=np.float32)
    first = tilec.compile(code, A=x, W=2, F=0.5)
    first.save(tmp_path / "f")
    for machine_code in (True, False):
        second = tilec.load(tmp_path / "f", machine_code=machine_code)
        assert second.fixed == {"W": 2}
        assert [w.message for w in second.warnings if w.code != "TILE0708"] == [w.message for w in first.warnings]
        for ours, theirs in zip(second(x, 2, 0.5), first(x, 2, 0.5), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        with pytest.raises(TileError, match="TILE0510"):
            second(x, 3, 0.5)


def test_other_targets(path: Path, tmp_path: Path) -> None:
    assert check(tilec.load(path, target="reference")) == ["TILE0708"]
    tilec.compile(MATMUL, "reference", A=A, constants={"B": B}).save(tmp_path / "reference")
    assert check(tilec.load(tmp_path / "reference")) == ["TILE0708"]


CHILD = """
import sys
sys.modules["lark"] = None
import numpy as np, tilec
found = tilec.load(sys.argv[1])
a = np.arange(12, dtype=np.float32).reshape(3, 4)
print(found(a).sum(), [w.code for w in found.warnings], "tilec.build" in sys.modules)
"""


@posix
def test_loading_needs_neither_lark_nor_a_compiler(path: Path) -> None:
    run = [sys.executable, "-c", CHILD, str(path)]
    assert subprocess.check_output(run, cwd=ROOT, text=True) == f"{(A @ B).sum()} [] False\n"
    os.chmod(path, 0o666)
    assert subprocess.check_output(run, cwd=ROOT, text=True) == f"{(A @ B).sum()} ['TILE0708'] True\n"


# what is trusted ---------------------------------------------------------------------------------------------------


def reason(executable: tilec.Executable) -> str:
    assert check(executable) == ["TILE0708"]
    return executable.warnings[-1].message


@posix
def test_code_that_others_may_have_put_there_is_not_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in (0o664, 0o646):
        os.chmod(path, mode)
        assert "others may write to it" in reason(tilec.load(path))
    os.chmod(path, 0o644)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert "belongs to another user" in reason(tilec.load(path))


def test_no_code_of_a_file_is_run_on_request(path: Path) -> None:
    assert "not asked for" in reason(tilec.load(path, machine_code=False))


@posix
def test_a_file_is_not_for_others_to_write(path: Path) -> None:
    before = os.umask(0)
    try:
        tilec.compile(MATMUL, A=A, constants={"B": B}).save(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "version": (lambda i: replace(i, versions={**i.versions, "tilec": "0.0.1"}), "made by another version"),
    "interface": (lambda i: replace(i, versions={**i.versions, "interface": "0"}), "made by another version"),
    "llvm": (lambda i: replace(i, versions={**i.versions, "llvm": "1.0.0"}), "made by another version"),
    "cpu": (lambda i: replace(i, target=replace(i.target, features=("+avx1024",))), "this CPU lacks avx1024"),
    "device": (lambda i: replace(i, target=replace(i.target, device="aarch64-none")), "made for llvm:aarch64-none"),
    "code": (lambda i: replace(i, code=None), "the file holds none"),
    "object": (lambda i: replace(i, code=replace(i.code, objects=(b"\x7fELF",))), ""),
}


@posix
@pytest.mark.parametrize("change", CHANGES)
def test_code_that_does_not_suit_is_compiled_again(path: Path, change: str) -> None:
    apply, why = CHANGES[change]
    path.write_bytes(encode(apply(decode(path.read_bytes(), "f"))))
    assert why in reason(tilec.load(path))


def test_fewer_threads_than_the_code_was_made_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).random((128, 128), np.float32)
    monkeypatch.setenv("TILEC_THREADS", "4")
    first = tilec.compile(MATMUL, A=x, B=x)
    first.save(tmp_path / "f")
    monkeypatch.setenv("TILEC_THREADS", "1")
    np.testing.assert_array_equal(tilec.load(tmp_path / "f")(x, x), first(x, x))


# what is refused ---------------------------------------------------------------------------------------------------


def test_files_that_are_none(tmp_path: Path) -> None:
    for target, code in ((tmp_path / "absent", "TILE0701"), (tmp_path, "TILE0701"), ("a\0b", "TILE0701")):
        with pytest.raises(TileError) as caught:
            tilec.load(target)
        assert caught.value.code == code
    with pytest.raises(TileError) as caught:
        tilec.compile(MATMUL, A=A, B=B).save(tmp_path / "no" / "such")
    assert caught.value.code == "TILE0702"


def test_a_failed_save_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TileError, match="No space left"):
        tilec.compile(MATMUL, A=A, B=B).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def refused_or_right(path: Path) -> bool:
    """Whether the file is refused; otherwise its result must be right."""
    try:
        found = tilec.load(path)
    except TileError as problem:
        assert problem.code == "TILE0707"
        return True
    assert set(check(found)) <= {"TILE0708"}
    return False


def test_flipped_bytes(path: Path) -> None:
    good, generator = path.read_bytes(), random.Random(1)
    refused = 0
    positions = [*range(0, len(good), max(1, len(good) // 150)), *range(len(good) - 60, len(good))]
    for position in positions:
        bad = bytearray(good)
        bad[position] ^= 1 << generator.randrange(8)
        path.write_bytes(bad)
        refused += refused_or_right(path)
    assert refused > len(positions) * 0.8  # a time stamp in the archive may change


def test_truncated_and_extended_files(path: Path) -> None:
    good = path.read_bytes()
    for length in [0, 1, 22, *range(30, len(good), len(good) // 60), len(good) - 1]:
        path.write_bytes(good[:length])
        assert refused_or_right(path)
    for noise in (b"", b"PK", os.urandom(1000), b"PK\5\6" + bytes(18)):
        path.write_bytes(noise)
        assert refused_or_right(path)


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return target.getvalue()


def test_archives_with_tricks(path: Path) -> None:
    tricks = [
        archive({"manifest.json": b"{}", "bomb": bytes(100_000_000)}, zipfile.ZIP_DEFLATED),
        archive({"manifest.json": b"[" * 100_000}),
        archive({"manifest.json": b"[]"}),
        archive({"manifest.json": b'{"checksums": {}}'}),
        archive({"manifest.json": b'{"checksums": {}, "kind": "tilec executable", "schema": 99}'}),
        archive({"other": b""}),
        archive({str(n): b"" for n in range(10_001)}),
    ]
    for trick in tricks:
        path.write_bytes(trick)
        assert refused_or_right(path)


def parts(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    return container.unpack(path.read_bytes(), "f")


def test_arrays_with_tricks(path: Path) -> None:
    def npy(array: Any, **options: Any) -> bytes:
        target = io.BytesIO()
        np.save(target, array, **options)
        return target.getvalue()

    header = npy(np.zeros((4, 2), np.float32))[:128].replace(b"(4, 2)", b"(9999999999, 9999999999)")
    arrays = [
        npy(np.array([[object()] * 2] * 4), allow_pickle=True),
        npy(np.zeros((4, 2), np.float64)),
        npy(np.zeros((2, 4), np.float32)),
        npy(np.asfortranarray(np.ones((4, 2), np.float32))),
        npy(np.zeros((4, 2), np.float32))[:-1],
        npy(np.zeros((4, 2), np.float32)) + b"x",
        header,
        b"",
    ]
    for array in arrays:
        manifest, members = parts(path)
        kept = path.read_bytes()
        path.write_bytes(container.pack(manifest, {**members, "constants/0": array}))
        assert refused_or_right(path)
        path.write_bytes(kept)


HOSTILE: list[Any] = [
    None,
    True,
    -1,
    1 << 70,
    1.5,
    "",
    "x" * 300,
    [],
    {},
    [[]],
    [None],
    {"a": {}},
    [["B", "f32", [1], False]],
]


def test_manifests_with_tricks(path: Path) -> None:
    """Checksums right, content not: no field may do more than be refused. The code of such a file is not run here."""
    good = path.read_bytes()
    manifest, members = parts(path)
    for name in manifest:
        for value in HOSTILE:
            path.write_bytes(container.pack({**manifest, name: value}, members))
            try:
                found = tilec.load(path, machine_code=False)
                json.dumps([str(found), *(w.render() for w in found.warnings)])
                assert found.graph.name == "matmul"
            except TileError:
                continue
    path.write_bytes(good)
    assert set(check(tilec.load(path))) <= {"TILE0708"}


@pytest.mark.parametrize(
    "graph",
    ["", "graph", "graph f() -> () {\n}\n", "graph f(A: f32[2]) -> (B) {\n}\n", "((((" * 10_000, "\udc80\0"],
)
def test_programs_with_tricks(path: Path, graph: str) -> None:
    manifest, members = parts(path)
    path.write_bytes(container.pack(manifest, {**members, "graph": graph.encode(errors="surrogatepass")}))
    with pytest.raises(TileError):
        tilec.load(path, machine_code=False)


def test_load_is_what_the_package_exports() -> None:
    assert tilec.load is saved.load
