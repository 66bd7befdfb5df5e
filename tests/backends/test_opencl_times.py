"""Times of launches: by the device's clock, or by the host's where that cannot be believed."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tilec
from tests.refusals import code_of
from tilec.backends.opencl import devices
from tilec.backends.opencl.clocks import timed

TARGET = next((t for t in devices.targets() if t.kind != "simulator"), None)
device = pytest.mark.skipif(TARGET is None, reason="no OpenCL device: pip install pyopencl pocl-binary-distribution")
CHAIN = """function chain(A[N, N], B[N, N]) -> (D) {
  C[i, j : N, N] = +(A[i, k] * B[k, j]);
  D[i, j : N, N] = +(C[i, k] * B[k, j]);
}"""
A = np.random.default_rng(0).integers(-3, 4, (40, 40)).astype(np.float32)


def event(start: int, end: int) -> Any:
    return SimpleNamespace(profile=SimpleNamespace(start=start, end=end))


def test_times_that_cannot_be_true_are_not_taken() -> None:
    """Nothing, backwards, more than has passed, and no times at all."""
    found = timed("k", lambda: event(5, 6), lambda: None)
    assert (found.name, found.seconds, found.by_device) == ("k", 1e-9, True)
    for wrong in (event(5, 5), event(6, 5), event(0, 10**12), SimpleNamespace()):
        found = timed("k", lambda wrong=wrong: wrong, lambda: None)  # type: ignore[misc]
        assert not found.by_device and 0 < found.seconds < 10


@device
def test_launches_in_their_order() -> None:
    run = tilec.compile(CHAIN, TARGET, A=A, B=A)  # type: ignore[arg-type]
    assert run.program is not None
    launched = [step.kernel for step in run.program.steps]  # type: ignore[union-attr]
    run(A, A)
    for _ in range(2):
        found = run.device_times(A, A)
        assert [t.name for t in found] == launched and all(t.seconds > 0 for t in found)
        np.testing.assert_array_equal(run(A, A), A @ A @ A)


@device
def test_times_are_those_of_one_thread() -> None:
    run = tilec.compile(CHAIN, TARGET, A=A, B=A)  # type: ignore[arg-type]
    stop, wrong = threading.Event(), list[str]()

    def other() -> None:
        while not stop.is_set():
            wrong.extend([] if np.array_equal(run(A, A), A @ A @ A) else ["result"])

    thread = threading.Thread(target=other)
    thread.start()
    counts = {len(run.device_times(A, A)) for _ in range(20)}
    stop.set()
    thread.join()
    assert counts == {2} and wrong == []


@device
def test_donated_buffers_and_open_sizes() -> None:
    step = "function (W[N], G[N]) -> (V) { V = W - G; }"
    assert TARGET is not None
    run = tilec.compile(step, TARGET, donate={"W": "V"}, W=("N",), G=("N",))
    w = tilec.Buffer(np.full(5, 3, np.float32), TARGET)
    assert len(run.device_times(w, np.ones(5, np.float32))) >= 1
    assert w.numpy().tolist() == [2] * 5


def test_other_targets_have_none() -> None:
    run = tilec.compile("function (A) -> (B) { B = A + A; }", "llvm", A=(3,))
    assert code_of(lambda: run.device_times(np.ones(3, np.float32))) == "TILE0508"
