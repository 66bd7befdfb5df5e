"""Host functions called between kernels: on every backend, in loops and branches, where they fail, from files, in C."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
import tilec.ops as ops
from tests.backends.conformance import NAMES
from tilec.ahead import compile_ahead, target_named
from tilec.devices import backend
from tilec.errors import TileError
from tilec.host_functions import HOST_FUNCTIONS, HostFunction
from tilec.loops import HostCall, all_steps

RNG = np.random.default_rng(7)


def targets() -> list[Any]:
    return [pytest.param(n, id=n) for n in NAMES]


def jitted(function: Any, target: str) -> Any:
    if target != "reference" and not backend(target).targets():
        pytest.skip(f"backend {target!r} finds no device on this machine")
    return tilec.jit(function, target=target)


def regular(*shape: int) -> Any:
    """Matrices that are far from singular."""
    return RNG.normal(size=shape) + 3 * np.eye(shape[-1])


@pytest.mark.parametrize("target", targets())
def test_between_kernels(target: str) -> None:
    x = regular(2, 3, 3)
    found = jitted(lambda x: tnp.exp(ops.inv(x * 2.0)) + x, target)(x)
    np.testing.assert_allclose(found, np.exp(np.linalg.inv(x * 2)) + x, rtol=1e-13)


@pytest.mark.parametrize("target", targets())
def test_on_slices_in_a_loop(target: str) -> None:
    """Operands and results move with the step."""

    def products(xs: Any) -> Any:
        return tilec.scan(lambda p, x: (p @ ops.inv(x), ops.inv(x)), np.eye(3), xs)

    xs = regular(4, 3, 3)
    product, inverses = jitted(products, target)(xs)
    np.testing.assert_allclose(inverses, np.linalg.inv(xs), rtol=1e-13)
    np.testing.assert_allclose(product, np.linalg.multi_dot(np.linalg.inv(xs)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("target", targets())
def test_in_branches_and_while_loops(target: str) -> None:
    def chosen(x: Any, n: Any) -> Any:
        y = tilec.cond(n > 2, ops.inv, lambda x: x * 1.0, x)
        return tilec.while_loop(lambda s: s[0] > 0, lambda s: (s[0] - 1, ops.inv(s[1])), (n, y))[1]

    x, function = regular(3, 3), jitted(chosen, target)
    for n in range(5):
        want = np.linalg.inv(x) if (n > 2) != n % 2 else x
        np.testing.assert_allclose(function(x, np.int32(n)), want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("target", targets())
def test_results_that_are_parts_of_others(target: str) -> None:
    """Their rows are not next to each other in memory."""
    x, y = regular(3, 3), RNG.normal(size=(3, 2))

    def joined(x: Any, y: Any) -> Any:
        return tnp.concat([y, ops.inv(x), y], axis=1), ops.inv(tnp.transpose(x)[::-1, ::-1])

    found = jitted(joined, target)(x, y)
    np.testing.assert_allclose(found[0], np.concatenate([y, np.linalg.inv(x), y], axis=1), rtol=1e-13)
    np.testing.assert_allclose(found[1], np.linalg.inv(x.T[::-1, ::-1]), rtol=1e-12)


@pytest.mark.parametrize("target", targets())
def test_empty_batches_and_results_given_as_they_are(target: str) -> None:
    assert jitted(ops.inv, target)(np.zeros((0, 3, 3))).shape == (0, 3, 3)
    x = regular(3, 3)
    first, second, same = jitted(lambda x: (ops.inv(x), ops.inv(x), x), target)(x)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(same, x)


@pytest.mark.parametrize("target", targets())
def test_what_fails_is_an_error_at_its_place(target: str) -> None:
    function = jitted(lambda x: tnp.exp(ops.inv(x)), target)
    for _ in range(3):  # the third call of an executable may take another way
        with pytest.raises(TileError, match="singular matrix") as caught:
            function(np.ones((2, 2)))
        assert caught.value.code == "TILE0420"
        assert "ops.inv(x)" in str(caught.value)
        np.testing.assert_array_equal(function(np.eye(2)), np.exp(np.eye(2)))


def test_interrupted_in_a_host_function(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    function = tilec.jit(lambda x: ops.inv(x), target="llvm")
    function(np.eye(2))
    plain = HOST_FUNCTIONS["inv"]
    monkeypatch.setitem(HOST_FUNCTIONS, "inv", HostFunction("inv", stopped, plain.results))
    with pytest.raises(KeyboardInterrupt):
        function(np.eye(2))
    monkeypatch.undo()
    np.testing.assert_array_equal(function(np.eye(2)), np.eye(2))


def test_from_several_threads() -> None:
    """Each call raises its own error and has its own results."""
    function = tilec.jit(lambda x: ops.inv(x) @ x, target="llvm")
    wrong: list[object] = []

    def calls(singular: bool) -> None:
        x = np.ones((4, 4)) if singular else regular(4, 4)
        for _ in range(200):
            try:
                found = function(x)
                if singular or not np.allclose(found, np.eye(4)):
                    wrong.append(found)
            except TileError as e:
                if not singular or e.code != "TILE0420":
                    wrong.append(e)

    function(np.eye(4))
    threads = [threading.Thread(target=calls, args=(k % 2 == 1,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def calls_of(function: Any, *args: Any) -> list[str]:
    program = tilec.jit(function, target="llvm").lower(*args).compile().program
    assert program is not None
    return [s.function for s in all_steps(program.steps) if isinstance(s, HostCall)]


def test_calls_are_pure() -> None:
    x = np.eye(3)
    assert calls_of(lambda x: ops.inv(x) + ops.inv(x), x) == ["inv"]
    assert calls_of(lambda x: (ops.inv(x), x + 1)[1], x) == []
    assert calls_of(lambda x: x + 1, x) == []


def test_a_call_that_may_fail_stays_in_its_loop() -> None:
    """A loop without rounds has no singular matrix."""

    def repeated(x: Any, n: Any) -> Any:
        return tilec.fori_loop(0, n, lambda i, y: y @ ops.inv(x), np.eye(2))

    found = tilec.jit(repeated, target="llvm")(np.ones((2, 2)), np.int32(0))
    np.testing.assert_array_equal(found, np.eye(2))


def test_donated_arguments_keep_their_values_where_a_call_fails() -> None:
    function = tilec.jit(lambda x, y: ops.inv(x) @ y, donate_argnums=(1,), target="llvm")
    y = np.full((2, 2), 5.0)
    with pytest.raises(TileError) as caught:
        function(np.ones((2, 2)), y)
    assert caught.value.code == "TILE0420"
    assert (y == 5).all()
    assert function(np.eye(2) / 2, y) is y
    assert (y == 10).all()


def test_saved_and_loaded(tmp_path: Path) -> None:
    exe = tilec.jit(lambda x: ops.inv(x) @ x, target="llvm").lower(np.eye(3)).compile()
    exe.save(tmp_path / "inverse.tilec")
    loaded = tilec.load(tmp_path / "inverse.tilec")
    np.testing.assert_allclose(loaded(regular(3, 3)), np.eye(3), atol=1e-14)
    with pytest.raises(TileError) as caught:
        loaded(np.ones((3, 3)))
    assert caught.value.code == "TILE0420"


def test_memory_counts_what_is_between() -> None:
    exe = tilec.jit(lambda x: ops.inv(x * 2.0) @ x, target="llvm").lower(np.eye(64)).compile()
    assert exe.memory.peak >= 2 * 64 * 64 * 8


def test_report_counts_them() -> None:
    def products(xs: Any) -> Any:
        return tilec.scan(lambda p, x: (p @ ops.inv(x), tnp.sum(ops.qr(x)[1])), np.eye(3), xs)

    report = tilec.jit(products, target="llvm").lower(np.zeros((4, 3, 3))).compile().report()
    assert report.host_calls == {"inv": 4, "qr": 4}
    assert "host calls        8 (inv 4, qr 4)" in str(report)
    assert report.memory and report.launches >= 8 and report.seconds["backend"] > 0
    plain = tilec.jit(lambda x: x @ x, target="llvm").lower(np.eye(3)).compile().report()
    assert (plain.kernels, plain.launches, plain.host_calls) == (1, 1, {})
    assert "host calls        0" in str(plain)
    slow = tilec.jit(lambda x: x @ x, target="reference").lower(np.eye(3)).compile().report()
    assert (slow.kernels, slow.memory) == (0, None)


def test_open_sizes_are_refused() -> None:
    with pytest.raises(TileError) as caught:
        tilec.jit(lambda x: ops.inv(x), open_sizes={"x": ("N", None, None)})(np.zeros((2, 3, 3)))
    assert caught.value.code == "TILE0210"


def test_c_cannot_call_them() -> None:
    graph = tilec.trace(lambda a: ops.inv(a) + a)(np.eye(3))
    with pytest.raises(TileError) as caught:
        compile_ahead(graph, target_named("llvm"), {}, {})
    assert caught.value.code == "TILE0513"
