"""Errors in traced functions name the user's line."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec.errors import TileError
from tilec.tracing.tensor import Tensor

X = np.ones((2, 3), "float32")
HERE = __file__


def complaint(function: Any, *args: Any) -> TileError:
    with pytest.raises(TileError) as found:
        tilec.jit(function)(*args)
    return found.value


def branch(x: Any) -> Any:
    if x.sum() > 0:
        return x
    return -x


def count(x: Any) -> Any:
    return [x for _ in range(x.sum())]


UNKNOWN = [
    (branch, "x.sum() > 0", "tilec.cond"),
    (count, "range(x.sum())", "tilec.while_loop"),
    (lambda x: np.add.reduce(x), "np.add.reduce(x)", "tilec.numpy"),
    (lambda x: np.sum(x), "np.sum(x)", "tilec.numpy.sum"),
    (lambda x: np.linalg.inv(x), "np.linalg.inv(x)", "tilec.numpy"),
    (lambda x: np.asarray(x), "np.asarray(x)", "tilec.numpy"),
    (lambda x: int(x[0, 0]), "int(x[0, 0])", "tilec.fori_loop"),
    (lambda x: float(x[0, 0]), "float(x[0, 0])", "astype"),
    (lambda x: x and 1, "x and 1", "tilec.numpy.where"),
    (lambda x: x.item(), "x.item()", "return it"),
    (lambda x: [1, 2][x[0, 0]], "[1, 2][x[0, 0]]", "tilec.fori_loop"),
]


@pytest.mark.parametrize(("function", "text", "help"), UNKNOWN)
def test_what_is_not_known_while_tracing(function: Any, text: str, help: str) -> None:
    found = complaint(function, X)
    assert found.code == "TILE0521"
    shown = str(found)
    assert f"{HERE}:" in shown and text in shown and help in shown


WRONG = [
    (lambda x: (x + 1) @ x, "TILE0203", "(x + 1) @ x"),
    (lambda x: x + np.ones(4, "float32"), "TILE0203", "x + np.ones(4"),
    (lambda x: x.reshape(4), "TILE0209", "x.reshape(4)"),
    (lambda x: x.sum(axis=2), "TILE0212", "x.sum(axis=2)"),
    (lambda x: x[2], "TILE0225", "x[2]"),
    (lambda x: x[0, 0, 0], "TILE0204", "x[0, 0, 0]"),
    (lambda x: x[0.5], "TILE0210", "x[0.5]"),
    (lambda x: tuple(x[0, 0]), "TILE0202", "tuple(x[0, 0])"),
    (lambda x: len(x[0, 0]), "TILE0202", "len(x[0, 0])"),
    (lambda x: tilec.trace(lambda y: tuple(y))("f32[N, 4]"), "TILE0210", "tuple(y)"),
    (lambda x: tilec.trace(lambda y: len(y))("f32[N, 4]"), "TILE0210", "len(y)"),
    (lambda x: x[x > 0], "TILE0304", "x[x > 0]"),
    (lambda x: x[[True, False]], "TILE0304", "x[["),
    (lambda x: x[::0], "TILE0216", "x[::0]"),
    (lambda x: x & 1, "TILE0301", "x & 1"),
    (lambda x: x.astype("complex64"), "TILE0303", "astype"),
    (lambda x: tnp.concat([x, x.T]), "TILE0203", "tnp.concat"),
    (lambda x: tnp.concat([]), "TILE0505", "tnp.concat"),
    (lambda x: tnp.broadcast_to(x, (3, 2)), "TILE0203", "tnp.broadcast_to"),
    (lambda x: tnp.zeros((2, -1)), "TILE0211", "tnp.zeros"),
    (lambda x: tnp.zeros(1 << 62), "TILE0414", "tnp.zeros"),
    (lambda x: tnp.zeros((1,) * 17), "TILE0413", "tnp.zeros"),
    (lambda x: tnp.einsum("ij,jk->ik", x, x), "TILE0208", "tnp.einsum"),
    (lambda x: tnp.max(x[:0]), "TILE0403", "tnp.max"),
    (lambda x: tnp.one_hot(x, 3), "TILE0304", "tnp.one_hot"),
    (lambda x: tnp.exp("text"), "TILE0505", "tnp.exp"),
    (lambda x: tnp.arange(float("nan")), "TILE0210", "tnp.arange"),
    (lambda x: tnp.linspace("a", 1, 3), "TILE0210", "tnp.linspace"),  # type: ignore[arg-type]
    (lambda x: tnp.einsum(3, x), "TILE0511", "tnp.einsum"),
    (lambda x: tnp.tensordot(x, x, axes=5), "TILE0212", "tnp.tensordot"),
    (lambda x: tnp.tensordot(x, x, axes=((0, 1),)), "TILE0204", "tnp.tensordot"),
    (lambda x: tnp.tensordot(x, x, axes=((0, 1), (0,))), "TILE0204", "tnp.tensordot"),
    (lambda x: tnp.pad(x, ((1, 2), (3,))), "TILE0204", "tnp.pad"),
    (lambda x: tnp.pad(x, 1, "mirror"), "TILE0511", "tnp.pad"),
    (lambda x: tnp.pad(x[:0], 1, "edge"), "TILE0211", "tnp.pad"),
    (lambda x: tnp.pad(x, 1, constant_values=x), "TILE0202", "tnp.pad"),
    (lambda x: tilec.trace(lambda y: tnp.pad(y, 1, "wrap"))("f32[N, 4]"), "TILE0210", "tnp.pad"),
    (lambda x: tnp.add(x, None), "TILE0505", "tnp.add"),
    (lambda x: tnp.add(x, b"x"), "TILE0505", "tnp.add"),
    (lambda x: x[[[0], [0, 1]]], "TILE0304", "x[[[0]"),
    (lambda x: f"{x:.3f}", "TILE0521", "x:.3f"),
    (lambda x: tilec.cond(True, 3, 4), "TILE0511", "tilec.cond"),
    (lambda x: tilec.while_loop(3, 4, x), "TILE0511", "tilec.while_loop"),
    (lambda x: tilec.scan(3, x, x), "TILE0511", "tilec.scan"),
    (lambda x: tilec.scan(lambda c, y: (c, c), x, length="a"), "TILE0210", "tilec.scan"),
    (lambda x: tilec.scan(lambda c, y: (c, c), x, length=-1), "TILE0211", "tilec.scan"),
    (lambda x: tilec.grad(lambda y: y, argnums="a")(x), "TILE0511", "tilec.grad"),
    (lambda x: tilec.jvp(lambda y: y)(x, x), "TILE0511", "tilec.jvp"),
    (lambda x: tilec.hvp(lambda y: y.sum())(x, x), "TILE0511", "tilec.hvp"),
    (lambda x: tilec.grad(lambda y: y, wrt="y")(x), "TILE0511", "tilec.grad"),
    (lambda x: tilec.index(3), "TILE0112", "tilec.index"),  # type: ignore[arg-type]
    (lambda x: tilec.grad(lambda y: y)(x.astype("int32")), "TILE0309", "tilec.grad"),
    (lambda x: tilec.grad(lambda y: (y, y))(x), "TILE0309", "tilec.grad"),
    (lambda x: tilec.grad(lambda y: y, argnums=1)(x), "TILE0501", "tilec.grad"),
    (lambda x: tilec.grad(lambda y, z: (y * z).sum(), argnums=(0, -2))(x, x), "TILE0511", "tilec.grad"),
]


@pytest.mark.parametrize(("function", "code", "text"), WRONG)
def test_mistakes_are_located(function: Any, code: str, text: str) -> None:
    found = complaint(function, X)
    assert found.code == code
    assert f"{HERE}:" in str(found) and text in str(found)


def test_assignment_to_elements() -> None:
    def f(x: Any) -> Any:
        x[0] = 1
        return x

    found = complaint(f, X)
    assert found.code == "TILE0511" and "x[0] = 1" in str(found) and "where" in str(found)


def test_copies_of_tensors_are_the_tensors() -> None:
    got = tilec.jit(lambda x: (copy.deepcopy({"x": x})["x"] + 1, round(x / 4), divmod(x, 2)[1]))(X)
    assert [g[0, 0] for g in got] == [2, 0, 1]


def test_leaks() -> None:
    kept: list[Any] = []

    @tilec.jit
    def f(x: Any) -> Any:
        kept.append(x + 1)
        return x

    f(X)
    assert isinstance(kept[0], Tensor)
    uses: tuple[Any, ...] = (
        lambda: kept[0] + 1,
        lambda: tnp.exp(kept[0]),
        lambda: tilec.jit(lambda x: x + kept[0])(X),
        lambda: f(kept[0]),
    )
    for use in uses:
        with pytest.raises(TileError) as found:
            use()
        assert found.value.code == "TILE0522" and HERE in str(found.value)


def test_an_error_leaves_nothing_behind() -> None:
    f = tilec.jit(lambda x, n: x.reshape(n), static_argnames="n")
    with pytest.raises(TileError):
        f(X, 5)
    assert f(X, 6).shape == (6,)
    assert tnp.exp(X).shape == X.shape  # no scope is left open


def test_errors_in_compiled_code_name_the_line() -> None:
    found = complaint(lambda x: tnp.einsum("ij,kj->ik", x, tnp.ones((2, 1 << 40))).astype("float32"), X)
    assert HERE in str(found)


def test_python_errors_stay_python_errors() -> None:
    def f(x: Any) -> Any:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        tilec.jit(f)(X)


def test_loops_that_unroll_too_far() -> None:
    def f(x: Any) -> Any:
        for _ in range(30_000):
            x = x + x
        return x

    found = complaint(f, np.float32(1))
    assert found.code == "TILE0417" and "fori_loop" in str(found)
