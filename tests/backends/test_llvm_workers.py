"""Machine code in several objects, made by several processes: the same as that of one, whatever happens to these."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tilec
from tests.backends.llvm_support import serial_host
from tests.generators.graphs import arguments, random_graph
from tilec import pipeline
from tilec.artifacts.image import decode, encode
from tilec.backends.llvm import codegen, jit, module, workers
from tilec.backends.llvm.backend import LLVMBackend
from tilec.backends.llvm.layout import Code
from tilec.backends.llvm.target import host
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.loops import Program

ROOT = Path(__file__).parents[2]
NAMES = 12

TEXT = "function many(X[16, 16]) -> (" + ", ".join(f"Y{i}" for i in range(NAMES)) + ") {\n"
TEXT += "".join(f"Y{i}[m, n : 16, 16] = +(X[m, k] * X[k, n]), k < {i + 1};\n" for i in range(NAMES)) + "}"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module for every kernel, and workers for every program."""
    monkeypatch.setattr(module, "ENOUGH", 1)
    monkeypatch.setattr(workers, "ENOUGH", 0)
    yield
    assert workers._places._taken == 0


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calling process leaves all work to the workers, as far as they do it."""
    monkeypatch.setattr(Future, "cancel", lambda self: False)


def program(text: str = TEXT) -> Program:
    from tilec.frontends.tile.elaborate import to_graph

    graph = to_graph(tilec.parse(text), None, {"X": tilec.TensorType(tilec.dtypes.F32, (16, 16))})
    return pipeline.lower_graph(pipeline.optimise(graph), serial_host())


def compiled(count: int | str, text: str = TEXT) -> Code:
    with tilec.config(compile_workers=count):
        return LLVMBackend().compile(program(text), serial_host())


def started(monkeypatch: pytest.MonkeyPatch) -> list[workers.Worker]:
    """Every worker that is started from now on."""
    found: list[workers.Worker] = []
    begin = workers.Worker.__init__

    def noted(self: workers.Worker, machine: codegen.Machine) -> None:
        begin(self, machine)
        found.append(self)

    monkeypatch.setattr(workers.Worker, "__init__", noted)
    return found


def patched(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Workers that are something else."""
    monkeypatch.setattr(codegen, "arguments", lambda machine, path: ["-c", script])


# what comes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_parts_compute_what_the_program_means(seed: int) -> None:
    graph = pipeline.optimise(random_graph(seed))
    values = arguments(graph, seed)
    found = pipeline.lower_graph(graph, host())
    built = LLVMBackend().build(found, host(), {})
    wanted = evaluate(graph, values)
    results = [np.empty_like(np.asarray(wanted[n])) for n in graph.results]
    with np.errstate(all="ignore"):
        built([values[p.name] for p in graph.params], results)
    whole: list[str] = []
    module.emit_modules(found, host(), whole.append, sys.maxsize)
    assert len(whole) == 1
    objects = (jit.object_code(whole[0], host()),)
    one = LLVMBackend().load(replace(built.code, objects=objects), {}, host().threads)
    expected = [np.empty_like(r) for r in results]
    one([values[p.name] for p in graph.params], expected)
    for name, a, b in zip(graph.results, results, expected):
        assert a.tobytes() == b.tobytes(), name


def test_private_memory_of_threads_is_known_in_all_parts() -> None:
    """A packed operand in each thread's own slice: the size of a slice depends on all kernels."""
    target = replace(host(), threads=2)
    text = "function f(A[4, 160, 700], B[4, 700, 600]) -> (C, D) { D = exp(A);"
    text += " C[b, m, n : 4, 160, 600] = +(A[b, m, k] * B[b, k, n]); }"
    shapes = {"A": (4, 160, 700), "B": (4, 700, 600)}
    types = {n: tilec.TensorType(tilec.dtypes.F32, s) for n, s in shapes.items()}
    from tilec.frontends.tile.elaborate import to_graph

    found = pipeline.lower_graph(pipeline.optimise(to_graph(tilec.parse(text), None, types)), target)
    texts: list[str] = []
    module.emit_modules(found, target, texts.append)
    assert len(texts) > 1
    a, b = (np.random.default_rng(0).random(s, np.float32) for s in shapes.values())
    c, d = np.empty((4, 160, 600), np.float32), np.empty_like(a)
    LLVMBackend().build(found, target, {})([a, b], [c, d])
    np.testing.assert_allclose(c, a @ b, rtol=1e-4)
    np.testing.assert_allclose(d, np.exp(a), rtol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.usefixtures("idle")
def test_workers_make_the_same_bytes(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, found = compiled(0), started(monkeypatch)
    assert len(alone.objects) == NAMES + 1  # and the entries'
    assert compiled(count) == alone
    assert 1 <= len(found) <= count
    assert all(w.process.returncode is not None for w in found)


def test_a_small_program_is_one_module_and_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = started(monkeypatch)
    assert len(compiled(4).objects) == 1
    assert found == []


def test_no_workers_for_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    found = started(monkeypatch)
    compiled("auto")
    assert found == []


def test_saved_and_kept_programs_have_all_objects(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((16, 16), np.float32)
    first = tilec.compile(TEXT, X=x)
    first.save(tmp_path / "f")
    again = tilec.load(tmp_path / "f")
    assert [w.code for w in again.warnings] == []
    for a, b in zip(first(x), again(x)):
        np.testing.assert_array_equal(a, b)
    image = decode((tmp_path / "f").read_bytes(), "f")
    assert image.code is not None and len(image.code.objects) == NAMES + 1
    assert encode(image) == (tmp_path / "f").read_bytes()
    with pytest.raises(TileError) as caught:
        decode(encode(image).replace(b'"objects": 13', b'"objects": 12'), "f")
    assert caught.value.code == "TILE0707"


# what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.fixture
def failures(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    """How many modules a worker has failed to compile."""
    caplog.set_level(logging.INFO, "tilec")
    return lambda: sum("compile worker failed" in r.getMessage() for r in caplog.records)


@pytest.mark.usefixtures("idle")
def test_a_worker_that_is_killed_at_work(monkeypatch: pytest.MonkeyPatch, failures: Callable[[], int]) -> None:
    alone, found = compiled(0), started(monkeypatch)
    send = codegen.write

    def send_and_kill(stream: object, data: bytes) -> None:
        os.kill(found[0].process.pid, signal.SIGKILL)
        send(stream, data)  # type: ignore[arg-type]

    monkeypatch.setattr(codegen, "write", send_and_kill)
    assert compiled(1) == alone
    assert failures() >= 1
    assert len(found) == 1


@pytest.mark.usefixtures("idle")
def test_one_of_two_workers_dies_later(monkeypatch: pytest.MonkeyPatch, failures: Callable[[], int]) -> None:
    alone, found = compiled(0), started(monkeypatch)
    work, calls = workers.Worker.object_code, iter(range(1000))

    def dying(self: workers.Worker, text: str) -> bytes:
        if next(calls) == 2:
            os.kill(self.process.pid, signal.SIGKILL)
        return work(self, text)

    monkeypatch.setattr(workers.Worker, "object_code", dying)
    assert compiled(2) == alone
    assert 1 <= failures() < NAMES
    assert 1 <= len(found) <= 2


def test_a_worker_has_the_next_text_before_it_has_answered() -> None:
    """Each of several threads gets the object of its own text."""
    texts: list[str] = []
    module.emit_modules(program(TEXT), serial_host(), texts.append, 1)
    worker = workers.Worker(jit.machine_of(serial_host()))
    try:
        with ThreadPoolExecutor(3) as threads:
            found = list(threads.map(worker.object_code, texts[:12]))
    finally:
        worker.end()
    assert found == [jit.object_code(text, serial_host()) for text in texts[:12]]
    assert len(set(found)) == len(found) > 3


@pytest.mark.usefixtures("idle")
def test_programs_of_many_kernels_start_a_worker_at_once(
    monkeypatch: pytest.MonkeyPatch, failures: Callable[[], int]
) -> None:
    """One that cannot be started is no loss."""
    alone = compiled(0)
    monkeypatch.setattr(workers, "MANY", NAMES)
    with tilec.config(compile_workers=1), workers.Compilation(serial_host(), NAMES) as compilation:
        while not compilation._workers:
            time.sleep(0.01)
    assert compiled(1) == alone and failures() == 0
    monkeypatch.setattr(subprocess, "Popen", refused)
    assert compiled(1) == alone and failures() >= 1


def refused(*_: object, **__: object) -> None:
    raise OSError("no more processes")


SCRIPTS = {
    "ends at once": "",
    "is another program": "print('hello')",
    "speaks another version": "print('tilec codegen 0', flush=True); import time; time.sleep(60)",
    "stops listening": "import os, time; print('tilec codegen 1', flush=True); os.closerange(0, 2); time.sleep(60)",
    "answers rubbish": "import sys; print('tilec codegen 1'); print('x' * 100)",
    "answers in part": "import sys; print('tilec codegen 1'); print('100'); print('too short')",
    "answers a negative length": "import sys; print('tilec codegen 1'); print('-5')",
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.usefixtures("idle")
def test_a_worker_that_is_none(script: str, monkeypatch: pytest.MonkeyPatch, failures: Callable[[], int]) -> None:
    alone, found = compiled(0), started(monkeypatch)
    patched(monkeypatch, SCRIPTS[script])
    assert compiled(2) == alone
    assert failures() >= 1
    assert all(w.process.returncode is not None for w in found)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("when", ["before it greets", "before a job", "with a job half written"])
@pytest.mark.usefixtures("idle")
def test_a_worker_that_is_stopped(when: str, monkeypatch: pytest.MonkeyPatch, failures: Callable[[], int]) -> None:
    """It is there, and does nothing: no stream ends, no call fails."""
    alone, found = compiled(0), started(monkeypatch)
    monkeypatch.setattr(workers, "_PATIENCE", 0.2)
    begin, send = workers.Worker.__init__, codegen.write

    def stopped(self: workers.Worker, machine: codegen.Machine) -> None:
        begin(self, machine)
        os.kill(self.process.pid, signal.SIGSTOP)

    def send_and_stop(stream: object, data: bytes) -> None:
        os.kill(found[0].process.pid, signal.SIGSTOP)
        padding = b" " * (1 << 20) if when == "with a job half written" else b""  # more than a pipe holds
        send(stream, data + padding)  # type: ignore[arg-type]

    if when == "before it greets":
        monkeypatch.setattr(workers.Worker, "__init__", stopped)
    else:
        monkeypatch.setattr(codegen, "write", send_and_stop)
    assert compiled(1) == alone
    assert failures() >= 1
    assert all(w.process.returncode == -signal.SIGKILL for w in found)


def test_no_python_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, found = compiled(0), started(monkeypatch)
    for executable in ("/nonexistent/python3", "/usr/bin/application", "", None):
        monkeypatch.setattr(sys, "executable", executable)
        assert compiled(2) == alone
    assert found == []


def test_an_error_is_that_of_this_process() -> None:
    with pytest.raises(RuntimeError) as wanted:
        jit.object_code("define nonsense", serial_host())
    with tilec.config(compile_workers=2), workers.Compilation(serial_host()) as compilation:
        for text in ("define void @f() { ret void }", "define nonsense", "define void @g() { ret void }"):
            compilation.add(text)
        with pytest.raises(RuntimeError) as caught:
            compilation.objects()
    assert str(caught.value) == str(wanted.value)


@pytest.mark.usefixtures("idle")
def test_many_threads_share_the_places(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, found = compiled(0), started(monkeypatch)
    most = 0
    answers: list[Code] = []
    begin: Callable[..., None] = workers.Worker.__init__

    def counted(self: workers.Worker, machine: codegen.Machine) -> None:
        nonlocal most
        begin(self, machine)
        most = max(most, sum(w.process.poll() is None for w in found))

    monkeypatch.setattr(workers.Worker, "__init__", counted)
    made = program()
    before = tilec.config.compile_workers
    tilec.config.set(compile_workers=2)
    try:
        threads = [
            threading.Thread(target=lambda: answers.append(LLVMBackend().compile(made, serial_host())))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        tilec.config.set(compile_workers=before)
    assert answers == [alone] * 6
    assert 1 <= most <= 2


# where Python runs -------------------------------------------------------------------------------------------------

SCRIPT = """
import numpy as np, tilec
from tilec.backends.llvm import module, workers
module.ENOUGH, workers.ENOUGH = 1, 0
made = []
begin = workers.Worker.__init__
def noted(self, machine):
    begin(self, machine)
    made.append(self)
workers.Worker.__init__ = noted
"""
RUN = f"""
x = np.eye(16, dtype=np.float32)
found = tilec.compile('''{TEXT}''', X=x)(x)
print(len(found), float(found[-1].sum()), len(made) > 0)
"""


@pytest.mark.parametrize("how", ["-c", "-"])
def test_without_a_main_file(how: str, tmp_path: Path) -> None:
    """In a directory where `tilec` is something else, which only `-c` and `-` let the parent itself see."""
    environment = {**os.environ, "TILEC_CACHE": "0", "TILEC_COMPILE_WORKERS": "2", "PYTHONPATH": str(ROOT)}
    script = SCRIPT + RUN
    (tmp_path / "llvmlite.py").write_text("raise SystemExit(1)")
    done = subprocess.run(
        [sys.executable, "-P", how, *([script] if how == "-c" else [])],
        input=script if how == "-" else None,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{NAMES} {float(NAMES)} True\n", "")


INTERRUPTED = (
    SCRIPT
    + """
import os, signal, sys, threading
from tilec.backends.llvm import codegen
silent = "import sys, time; print('tilec codegen 1', flush=True); time.sleep(600)"
codegen.arguments = lambda machine, path: ["-c", silent]
def interrupt():
    while not made:
        pass
    print(made[0].process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
"""
    + RUN
)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_leaves_no_worker() -> None:
    environment = {**os.environ, "TILEC_CACHE": "0", "TILEC_COMPILE_WORKERS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert done.returncode == -signal.SIGINT
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_after_a_compilation() -> None:
    alone = compiled(0)
    assert compiled(1) == alone
    child = os.fork()
    if child == 0:
        os._exit(0 if compiled(1) == alone else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
