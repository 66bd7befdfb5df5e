"""What is special to the OpenCL backend: refusals, errors of drivers, threads, aliases. Results: test_conformance."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from tests.backends.conformance import Array
from tests.backends.conformance_loops import kernels, programs
from tests.refusals import code_of
from tilec.backends.opencl import devices, sessions
from tilec.backends.opencl.backend import OpenCLBackend
from tilec.errors import TileError
from tilec.loops import Program
from tilec.target import Target
from tilec.text.loops_text import parse_program

FIRST = Target("opencl", "0")
DOUBLE = """program p(X) -> (Y) {{ buffer X: param {0}[N] buffer Y: param {0}[N]
  kernel k(in X: {0}[N], out Y: {0}[N]) {{ for i in N parallel {{ Y[i] = add(X[i], X[i]) }} }}
  run {{ launch k(X, Y) }} }}"""


def doubling(dtype: str = "f32", count: int = 100) -> Program:
    return parse_program(DOUBLE.format(dtype).replace("N", str(count)))


@pytest.fixture
def backend() -> OpenCLBackend:
    """Skips without a device."""
    found = OpenCLBackend()
    if not found.targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    return found


def test_text_needs_no_device_and_is_deterministic() -> None:
    for case in (*kernels(), *programs()):
        text = OpenCLBackend().emit(case.program, FIRST)
        assert text == OpenCLBackend().emit(case.program, FIRST)
        assert "void g0_k0_0(" in text
        assert "FP_CONTRACT OFF" in text


def test_named_sizes_are_refused() -> None:
    text = DOUBLE.format("f32").replace("program p", "program p[N]")
    assert code_of(lambda: OpenCLBackend().emit(parse_program(text), FIRST)) == "TILE0210"


def test_a_barrier_that_not_all_items_reach_is_refused() -> None:
    text = """program p() -> (Y) { buffer Y: param f32[8]
      kernel k(out Y: f32[8]) { for g in 1 group {
        for l in 8 item { Y[l] = 0.0 }
        for l in 4 item { barrier local Y[l] = 1.0 }
      } } run { launch k(Y) } }"""
    assert code_of(lambda: OpenCLBackend().emit(parse_program(text), FIRST)) == "TILE0602"


def test_without_pyopencl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    assert OpenCLBackend().targets() == []
    with pytest.raises(TileError) as caught:
        OpenCLBackend().build(doubling(), FIRST, {})
    assert caught.value.code == "TILE0509"
    assert "pip install" in str(caught.value)


def test_without_devices(monkeypatch: pytest.MonkeyPatch, backend: OpenCLBackend) -> None:
    monkeypatch.setattr(devices, "find", list)
    assert backend.targets() == []
    assert code_of(lambda: backend.build(doubling(), FIRST, {})) == "TILE0509"


def test_a_device_that_does_not_exist(backend: OpenCLBackend) -> None:
    assert code_of(lambda: backend.build(doubling(), Target("opencl", "99"), {})) == "TILE0509"
    assert code_of(lambda: backend.build(doubling(), Target("opencl", "gpu"), {})) == "TILE0509"


def test_float64_needs_a_device_that_has_it(monkeypatch: pytest.MonkeyPatch, backend: OpenCLBackend) -> None:
    monkeypatch.setattr(sessions.Session, "has_fp64", lambda self: False)
    assert code_of(lambda: backend.build(doubling("f64"), FIRST, {})) == "TILE0509"
    assert run(backend, doubling("f32"), np.ones(100, np.float32)).sum() == 200


def test_memory_above_the_limit(backend: OpenCLBackend) -> None:
    assert code_of(lambda: backend.build(doubling("f32", 1 << 50), FIRST, {})) == "TILE0416"


def test_errors_of_the_driver_are_diagnostics(backend: OpenCLBackend) -> None:
    session = sessions.Session.on(FIRST)
    assert code_of(lambda: session.build("__kernel void broken( {")) == "TILE0710"


def run(backend: OpenCLBackend, program: Program, x: Array) -> Array:
    y = np.zeros_like(x)
    backend.build(program, FIRST, {})([x], [y])
    return y


def test_calls_from_several_threads(backend: OpenCLBackend) -> None:
    built = backend.build(doubling(), FIRST, {})
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            y = np.zeros(100, np.float32)
            built([np.full(100, number, np.float32)], [y])
            if not (y == 2 * number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_alias_carries_state(backend: OpenCLBackend) -> None:
    text = """program p(S) -> (S) { buffer S: param f32[4]
      kernel k(inout T: f32[4]) { for i in 4 { T[i] = add(T[i], 1.0) } } run { launch k(S) } }"""
    state, result = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
    backend.build(parse_program(text), FIRST, {})([state], [result])
    assert result.tolist() == [1, 2, 3, 4]
    assert state.tolist() == [0, 1, 2, 3]


def test_many_programs_in_one_compilation(backend: OpenCLBackend) -> None:
    built = backend.build_many([doubling(count=n) for n in (1, 7, 300)], FIRST, [{}] * 3)
    for one, count in zip(built, (1, 7, 300), strict=True):
        y = np.zeros(count, np.float32)
        one([np.ones(count, np.float32)], [y])
        assert (y == 2).all()


def test_a_large_parallel_nest_shares_scratch_memory(backend: OpenCLBackend) -> None:
    text = """program p(X) -> (Y) { buffer X: param f32[1000] buffer Y: param f32[1000]
      kernel k(in X: f32[1000], out Y: f32[1000]) { for i in 1000 parallel {
        alloc T: heap f32[4096]
        for j in 4096 { T[j] = X[i] }
        Y[i] = add(T[0], T[4095])
      } } run { launch k(X, Y) } }"""
    x = np.arange(1000, dtype=np.float32)
    assert (run(backend, parse_program(text), x) == 2 * x).all()


@pytest.mark.parametrize("dtype", ["f16", "f32", "f64"])
def test_constants_of_any_size_and_sign(backend: OpenCLBackend, dtype: str) -> None:
    """Behind an operator, and above the greatest number of the type."""
    if dtype == "f64" and not sessions.Session.on(FIRST).has_fp64():
        pytest.skip("the device has no float64")
    text = DOUBLE.format(dtype).replace("N", "3").replace("add(X[i], X[i])", "sub(mul(X[i], 1e300), neg(-2.0))")
    built = backend.build(parse_program(text), FIRST, {})
    numpy = {"f16": np.float16, "f32": np.float32, "f64": np.float64}[dtype]
    y = np.empty(3, numpy)
    built([np.array([1, -1, 2], numpy)], [y])
    big = 1e300 if dtype == "f64" else np.inf
    np.testing.assert_array_equal(y, np.array([big, -big, 2 * big], numpy))
