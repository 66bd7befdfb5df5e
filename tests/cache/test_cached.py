"""Compilation through the cache: the same results, less work, and never another program's code."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec import api, build
from tilec.artifacts import cached, identity
from tilec.artifacts.store import Store, open_store, place
from tilec.errors import TileError
from tilec.executable import Executable
from tilec.options import Options
from tilec.text.graph_text import print_graph

ROOT = Path(__file__).parents[2]
MATMUL = "function matmul(A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
SCALE = "function scale(A[N], F) -> (B) { B = A * F; }"
WINDOW = "function window(A[N], W) -> (B) { B[n : N] = +(A[n + w]), w < W; }"
X = np.arange(12, dtype=np.float32)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("TILEC_CACHE", "1")
    monkeypatch.setenv("TILEC_CACHE_DIR", str(tmp_path / "cache"))
    found = open_store(place())
    assert found is not None
    yield found
    open_store.cache_clear()


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the Graphs that are really compiled."""
    names: list[str] = []
    original = build.compile_graph

    def counted(graph: Any, *rest: Any) -> Executable:
        names.append(graph.name)
        return original(graph, *rest)

    monkeypatch.setattr(build, "compile_graph", counted)
    return names


def entries(store: Store) -> list[Path]:
    """Kept programs, without the support code."""
    return [e.path for e in store.entries() if b'"program"' in e.path.read_bytes()]


def test_a_second_compilation_is_none(store: Store, compilations: list[str]) -> None:
    first = tilec.compile(MATMUL, A=(3, 4), B=(4, 2))
    second = tilec.compile(MATMUL, A=(3, 4), B=(4, 2))
    assert compilations == ["matmul"]
    a, b = X.reshape(3, 4), X[:8].reshape(4, 2)
    np.testing.assert_array_equal(first(a, b), second(a, b))
    np.testing.assert_allclose(second(a, b), a @ b)
    assert repr(first) == repr(second)
    assert (first.graph, first.program) == (second.graph, second.program)
    assert (first.params, first.results, first.warnings) == (second.params, second.results, second.warnings)


def test_positions_in_the_source_come_back_under_its_present_name(store: Store, tmp_path: Path) -> None:
    text = "function f(A[N]) -> (B) { Unused = A + 1; B[n : N] = +(A[n]), n < 0; }"
    first = tilec.compile(text, A=(4,))
    (tmp_path / "renamed.tile").write_text(text)
    second = tilec.compile(tmp_path / "renamed.tile", A=(4,))
    assert [w.message for w in second.warnings] == [w.message for w in first.warnings] != []
    places = [w.span for w in second.warnings if w.span is not None]
    assert places and all(p.source.name.endswith("renamed.tile") for p in places)
    spans = [(let.span.start, let.span.end) if let.span else None for let in first.graph.lets]
    assert [(let.span.start, let.span.end) if let.span else None for let in second.graph.lets] == spans


DIFFERENT: dict[str, dict[str, Any]] = {
    "text": {"program": MATMUL.replace("+(", ">(")},
    "name": {"program": MATMUL.replace("matmul", "product")},
    "shape": {"A": (3, 5), "B": (5, 2)},
    "dtype": {"A": "f64[3, 4]", "B": "f64[4, 2]"},
    "options": {"options": Options(schedule=False)},
    "constant": {"constants": {"B": np.ones((4, 2), np.float32)}, "B": None},
    "other constant": {"constants": {"B": np.zeros((4, 2), np.float32)}, "B": None},
}


def test_whatever_differs_is_compiled_anew(store: Store, compilations: list[str]) -> None:
    common: dict[str, Any] = {"program": MATMUL, "A": (3, 4), "B": (4, 2)}
    for change in ({}, *DIFFERENT.values()):
        call = {k: v for k, v in {**common, **change}.items() if v is not None}
        program = call.pop("program")
        for _ in range(2):
            tilec.compile(program, **call)
    assert len(compilations) == 1 + len(DIFFERENT)


def test_another_compiler_compiles_anew(store: Store, compilations: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tilec.compile(SCALE, A=(3,), F=2.0)
    for name, value in (("fingerprint", "other"), ("versions", {**identity.versions(), "llvm": "1.0.0"})):
        with monkeypatch.context() as patch:
            patch.setattr(f"tilec.artifacts.cached.{name}", lambda value=value: value)
            tilec.compile(SCALE, A=(3,), F=2.0)
    tilec.compile(SCALE, A=(3,), F=2.0)
    assert len(compilations) == 3


def test_the_target_is_part_of_the_key(store: Store, compilations: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for threads in ("1", "2", "1"):
        monkeypatch.setenv("TILEC_THREADS", threads)
        tilec.compile(SCALE, A=(3,), F=2.0)
    tilec.compile(SCALE, "reference", A=(3,), F=2.0)
    assert len(compilations) == 3


def test_a_number_that_shapes_nothing_is_not_part_of_the_key(store: Store, compilations: list[str]) -> None:
    for factor in (2.0, 3.0, float("nan")):
        found = tilec.compile(SCALE, A=(12,), F=factor)(X, factor)
        np.testing.assert_array_equal(found, X * np.float32(factor))
    assert len(compilations) == 1
    tilec.compile(SCALE, A=(12,), F=2)  # an int is another type
    tilec.compile(SCALE, A=(12,), F=1 << 40)
    tilec.compile(SCALE, A=(12,), F=True)
    assert len(compilations) == 4


def test_a_number_that_shapes_the_code_is(store: Store, compilations: list[str]) -> None:
    for _ in range(2):
        for width in (2, 3):
            found = tilec.compile(WINDOW, A=(12,), W=width)
            assert found.fixed == {"W": width}
            padded = np.concatenate([X, np.zeros(2, np.float32)])
            np.testing.assert_array_equal(found(X, width), sum(padded[i : i + 12] for i in range(width)))
            with pytest.raises(TileError, match="TILE0510"):
                found(X, width + 1)
    assert len(compilations) == 2


def test_constants_come_from_the_caller(store: Store, compilations: list[str]) -> None:
    a, b = X.reshape(3, 4), X[:8].reshape(4, 2)
    for _ in range(2):
        found = tilec.compile(MATMUL, A=(3, 4), constants={"B": b})
        np.testing.assert_allclose(found(a), a @ b)
    assert len(compilations) == 1
    assert all(b.tobytes() not in path.read_bytes() for path in entries(store))


def test_parsed_programs_and_graphs_are_kept_too(store: Store, compilations: list[str]) -> None:
    parsed = tilec.parse(WINDOW)
    for _ in range(2):
        assert tilec.compile(parsed, A=(12,), W=2).fixed == {"W": 2}
    graph = tilec.compile(MATMUL, A=(3, 4), B=(4, 2)).graph
    assert print_graph(tilec.compile(graph).graph) == print_graph(tilec.compile(graph).graph)
    assert compilations == ["window", "matmul", "matmul"]


def test_a_watcher_sees_everything(store: Store, compilations: list[str]) -> None:
    stages: list[str] = []
    for _ in range(2):
        tilec.compile(SCALE, A=(3,), F=2.0, watch=lambda stage, ir: stages.append(stage))
    assert len(compilations) == 2
    assert stages.count("bounds") == 2


def test_damaged_entries_give_right_results_and_heal(store: Store, compilations: list[str]) -> None:
    a, b = X.reshape(3, 4), X[:8].reshape(4, 2)
    tilec.compile(MATMUL, A=(3, 4), B=(4, 2))
    (path,), generator = entries(store), random.Random(0)
    good = path.read_bytes()
    for turn in range(12):
        bad = bytearray(good)
        bad[generator.randrange(len(bad))] ^= 1 << turn % 8
        path.write_bytes(bad if turn % 3 else good[: generator.randrange(len(good))])
        np.testing.assert_allclose(tilec.compile(MATMUL, A=(3, 4), B=(4, 2))(a, b), a @ b)
        tilec.compile(MATMUL, A=(3, 4), B=(4, 2))
    assert len(compilations) == 13


def test_a_sealed_entry_of_no_use_is_dropped(store: Store, compilations: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tilec.artifacts.cached.encode", lambda image: b"not a container")
        tilec.compile(SCALE, A=(3,), F=2.0)
    for _ in range(2):
        tilec.compile(SCALE, A=(3,), F=2.0)
    assert len(compilations) == 2


def test_kept_code_whose_memory_does_not_fit(
    store: Store, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = tilec.compile(SCALE, A=(3,), F=2.0)
    executable.save(store.directory / "saved")

    def full(*_: object) -> None:
        raise MemoryError("400 GiB")

    monkeypatch.setattr("tilec.backends.llvm.backend.BuiltProgram", full)
    with pytest.raises(TileError, match="TILE0416"):
        tilec.compile(SCALE, A=(3,), F=2.0)
    with pytest.raises(TileError, match="TILE0416"):
        tilec.load(store.directory / "saved")
    assert compilations == ["scale"]


def test_the_fingerprint_knows_where_files_are(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "code.py").write_text("1")
    before = [name for name, _ in identity._files(tmp_path)]
    (tmp_path / "a" / "code.py").rename(tmp_path / "b" / "code.py")  # keeps size and time
    assert [name for name, _ in identity._files(tmp_path)] != before == ["a/code.py"]


@pytest.mark.parametrize("version", ["sys.version", "numpy.__version__"])
def test_what_folds_constants_is_part_of_the_compiler(
    version: str, store: Store, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tilec.compile(SCALE, A=(3,), F=2.0)
    monkeypatch.setattr(version, "another")
    tilec.compile(SCALE, A=(3,), F=2.0)
    assert len(compilations) == 2


def all_ask_before_one_compiles(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets nothing be compiled until so many threads wait for it: one that asks after the work is done is not together
    with the others, and where nothing is kept it rightly compiles anew."""
    counted = build.compile_graph

    def patient(*arguments: Any) -> Executable:
        until = time.monotonic() + 60
        while sum(f.users for f in cached._flights._going.values()) < together and time.monotonic() < until:
            time.sleep(0.001)
        return counted(*arguments)

    monkeypatch.setattr(build, "compile_graph", patient)


def in_threads(number: int, work: Callable[[], Any]) -> list[Any]:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("cache", ["0", "1"])
def test_threads_that_ask_together_compile_once(
    store: Store, compilations: list[str], cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILEC_CACHE", cache)
    all_ask_before_one_compiles(32, monkeypatch)
    a, b = X.reshape(3, 4), X[:8].reshape(4, 2)
    results = in_threads(32, lambda: tilec.compile(MATMUL, A=(3, 4), B=(4, 2))(a, b))
    assert len(results) == 32
    assert all(np.array_equal(r, a @ b) for r in results)
    assert compilations == ["matmul"]


def test_threads_that_ask_one_after_the_other_compile_once(store: Store, compilations: list[str]) -> None:
    barrier = threading.Barrier(8)

    def ask() -> Executable:
        barrier.wait()
        return tilec.compile(MATMUL, A=(3, 4), B=(4, 2))

    assert len(in_threads(8, ask)) == 8  # whoever is late finds what is kept
    assert compilations == ["matmul"]


def test_threads_that_ask_another_device_compile_once(compilations: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    all_ask_before_one_compiles(16, monkeypatch)
    assert len(in_threads(16, lambda: tilec.compile(MATMUL, "reference", A=(3, 4), B=(4, 2)))) == 16
    assert compilations == ["matmul"]


def test_threads_that_ask_for_a_wrong_program_all_hear_of_it(store: Store) -> None:
    barrier, codes = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        try:
            tilec.compile(MATMUL, A=(3, 4), B=(5, 2))
        except TileError as problem:
            codes.append(problem.code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == ["TILE0201"] * 8


CHILD = """
import sys
import numpy as np, tilec
if {blocked}:
    sys.modules["lark"] = None
x = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
found = tilec.compile("examples/matmul.tile", function="matmul", A=x, B=x)(x, x)
assert np.allclose(found, x @ x, rtol=1e-5)
loaded = [n for n in sys.modules if n.startswith(("tilec.passes", "tilec.frontends.tile.elab", "tilec.evaluate"))]
print(len(loaded), "tilec.build" in sys.modules)
"""


def start(store: Store, blocked: bool) -> subprocess.Popen[str]:
    environment = {**os.environ, "TILEC_CACHE": "1", "TILEC_CACHE_DIR": str(store.directory)}
    command = [sys.executable, "-c", CHILD.format(blocked=blocked)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_eight_processes_share_one_compilation(store: Store) -> None:
    processes = [start(store, blocked=False) for _ in range(8)]
    outputs = [p.communicate(timeout=100) for p in processes]
    assert [p.returncode for p in processes] == [0] * 8, outputs
    assert sum(out.endswith("True\n") for out, _ in outputs) == 1
    warm = start(store, blocked=True)  # Lark is not there at all
    assert warm.communicate(timeout=100) == ("0 False\n", "")


def test_compiling_by_hand_uses_no_cache_that_is_off(compilations: list[str]) -> None:
    for _ in range(2):
        api.compile(SCALE, A=(3,), F=2.0)
    assert len(compilations) == 2
