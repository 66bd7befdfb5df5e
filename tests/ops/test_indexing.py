"""gather, scatter, slices and segments against NumPy's indexing and `ufunc.at`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tilec
from tests.refusals import refused
from tilec import ops

Array = np.ndarray[Any, Any]
DTYPES = ["float32", "bfloat16", "int8", "uint16"]
# the shape that is indexed, the shape of the indices without their last axis, how many axes they index
CASES = [
    ((5, 4), (7,), 1), ((5, 4), (7,), 2), ((3, 2, 4), (2, 3), 2), ((1,), (5,), 1), ((7,), (), 1), ((4, 1, 3), (1,), 3),
    ((2, 3), (0,), 1), ((17, 5), (40,), 1),
]  # fmt: skip
AT: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add": (ops.scatter_add, np.add.at),
    "max": (ops.scatter_max, np.maximum.at),
    "min": (ops.scatter_min, np.minimum.at),
    "multiply": (ops.scatter_multiply, np.multiply.at),
}


def values(dtype: str, shape: tuple[int, ...], seed: int) -> Array:
    rng = np.random.default_rng(seed)
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    return rng.integers(0 if kind.kind == "u" else -3, 4, shape).astype(kind)  # sums and products are exact


def indices(shape: tuple[int, ...], outer: tuple[int, ...], depth: int, seed: int, beyond: int = 0) -> Array:
    """Indices of the first axes, negative ones among them; with `beyond`, some that are out of range."""
    rng = np.random.default_rng(seed)
    columns = [rng.integers(-n - beyond, n + beyond, outer) for n in shape[:depth]]
    return np.stack(columns, -1).astype("int32") if depth else np.zeros((*outer, 0), "int32")


def columns(index: Array) -> tuple[Array, ...]:
    return tuple(np.moveaxis(index, -1, 0))


def inside(index: Array, shape: tuple[int, ...]) -> Array:
    sizes = np.array(shape[: index.shape[-1]])
    return np.asarray(((index >= -sizes) & (index < sizes)).all(-1))


@pytest.mark.parametrize(("shape", "outer", "depth"), CASES)
def test_gather_nd(shape: tuple[int, ...], outer: tuple[int, ...], depth: int) -> None:
    for seed, dtype in enumerate(DTYPES):
        x, index = values(dtype, shape, seed), indices(shape, outer, depth, seed)
        found = ops.gather_nd(x, index)
        assert found.dtype == x.dtype and np.array_equal(found, x[columns(index)])


def test_indices_of_no_numbers_take_all_of_x_each() -> None:
    x = values("float32", (2, 3), 0)
    found = ops.gather_nd(x, np.zeros((4, 1, 0), "int32"))
    assert np.array_equal(found, np.broadcast_to(x, (4, 1, 2, 3)))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather(axis: int) -> None:
    x, index = values("float32", (3, 4, 5), 0), np.array([[0, -1], [2, 1]])
    assert np.array_equal(ops.gather(x, index, axis=axis), np.take(x, index, axis))
    clamped = tilec.jit(lambda i: ops.gather(x, i, axis=axis))(np.array([-9, 9]))
    assert np.array_equal(clamped, np.take(x, [0, x.shape[axis] - 1], axis))


@pytest.mark.parametrize(("shape", "outer", "depth"), CASES)
def test_scatter(shape: tuple[int, ...], outer: tuple[int, ...], depth: int) -> None:
    for seed, dtype in enumerate(DTYPES):
        index = indices(shape, outer, depth, seed, beyond=2)
        update = values(dtype, (*outer, *shape[depth:]), seed)
        wanted = np.zeros(shape, update.dtype)
        kept = inside(index, shape)
        np.add.at(wanted, columns(index[kept]), update[kept])
        found = ops.scatter(index, update, shape=shape)
        assert found.dtype == update.dtype and np.array_equal(found, wanted)


@pytest.mark.parametrize("name", AT)
@pytest.mark.parametrize(("shape", "outer", "depth"), [CASES[k] for k in (0, 2, 4, 6, 7)])
def test_scatter_into_a_tensor(name: str, shape: tuple[int, ...], outer: tuple[int, ...], depth: int) -> None:
    """scatter_add, scatter_max, scatter_min, scatter_multiply"""
    function, at = AT[name]
    for seed, dtype in enumerate(("float64", "int8")):
        x, index = values(dtype, shape, seed + 10), indices(shape, outer, depth, seed, beyond=1)
        update = values(dtype, (*outer, *shape[depth:]), seed)
        wanted, kept = x.copy(), inside(index, shape)
        at(wanted, columns(index[kept]), update[kept])
        found = function(x, index, update)
        assert found.dtype == x.dtype and np.array_equal(found, wanted)


@pytest.mark.parametrize(("shape", "outer", "depth"), CASES)
def test_scatter_update_keeps_the_last(shape: tuple[int, ...], outer: tuple[int, ...], depth: int) -> None:
    for seed, dtype in enumerate(("float32", "bfloat16", "uint16")):
        x, index = values(dtype, shape, seed + 10), indices(shape, outer, depth, seed, beyond=1)
        update = values(dtype, (*outer, *shape[depth:]), seed)
        wanted = x.copy()
        for place in np.ndindex(outer):
            if inside(index[place], shape):
                wanted[tuple(index[place])] = update[place]
        assert np.array_equal(ops.scatter_update(x, index, update), wanted)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "uint32"])
def test_indices_of_every_type(dtype: str) -> None:
    """Also beyond what a narrower integer holds: 2^64 - 1 is no index, and not the last one."""
    most = np.iinfo(dtype).max
    index = np.array([0, 2, most, 2], dtype)[:, None]
    found = ops.scatter(index, np.array([1.0, 2, 4, 8]), shape=(300,))
    wanted = np.zeros(300)
    wanted[[0, 2]] = 1, 10
    if most < 300:
        wanted[most] = 4
    assert np.array_equal(found, wanted)
    assert ops.scatter(index[:, 0:1], np.ones(4), shape=(3,)).tolist() == [1, 0, 2]


def test_extrema_of_special_values() -> None:
    x = np.array([0.0, np.nan, np.inf, -np.inf, 1.0])
    index = np.array([[0], [1], [2], [3], [3], [4]])
    update = np.array([-0.0, 5.0, np.nan, np.nan, 3.0, -np.inf])
    for name in ("max", "min"):
        wanted = x.copy()
        with np.errstate(invalid="ignore"):
            AT[name][1](wanted, index[:, 0], update)
        np.testing.assert_array_equal(AT[name][0](x, index, update), wanted)


def test_sums_of_narrow_floats_are_wide() -> None:
    update = np.ones(3000, ml_dtypes.bfloat16)
    assert ops.segment_sum(update, np.zeros(3000, "int32"), 1).astype(float) == [3008]  # 3000, rounded once
    assert ops.segment_sum(np.ones(5, bool), np.zeros(5, "int32"), 1).tolist() == [5]


SEGMENTS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[[np.dtype[Any]], Any]]] = {
    "sum": (ops.segment_sum, np.add.at, lambda t: 0),
    "prod": (ops.segment_prod, np.multiply.at, lambda t: 1),
    "max": (ops.segment_max, np.maximum.at, lambda t: -np.inf if t.kind == "f" else np.iinfo(t).min),
    "min": (ops.segment_min, np.minimum.at, lambda t: np.inf if t.kind == "f" else np.iinfo(t).max),
}


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8"])
def test_segments(name: str, dtype: str) -> None:
    """segment_sum, segment_prod, segment_max, segment_min: sorted or not, empty segments, ids that are none"""
    function, at, empty = SEGMENTS[name]
    rng = np.random.default_rng(3)
    for seed, (shape, count) in enumerate([((9, 3), 4), ((1,), 1), ((0, 2), 3), ((12, 2, 2), 5), ((40,), 7)]):
        data = values(dtype, shape, seed)
        for ids in (rng.integers(-2, count + 2, shape[0]), np.sort(rng.integers(0, count, shape[0]))):
            wanted = np.full((count, *shape[1:]), empty(data.dtype), dtype)
            kept = (ids >= 0) & (ids < count)
            at(wanted, ids[kept], data[kept])
            found = function(data, ids, count, sorted=bool(seed % 2))
            assert found.dtype == data.dtype and np.array_equal(found, wanted)


def test_equal_extrema_give_the_gradient_to_the_first() -> None:
    x, ids = np.array([2.0, 5, 5, 1, 5]), np.array([0, 1, 1, 0, 1])
    slope = tilec.grad(lambda x: ops.segment_max(x, ids, 2).sum())(x)
    assert slope.tolist() == [1, 1, 0, 0, 0]
    with_nan = tilec.grad(lambda x: ops.segment_min(x, ids, 2).sum())(np.array([2.0, 5, np.nan, 1, np.nan]))
    assert with_nan.tolist() == [0, 0, 1, 1, 0]


def test_products_of_zeros_have_derivatives() -> None:
    ids = np.array([0, 0, 1, 1, 2, 2, 2])
    x = np.array([2.0, 3, 0, 5, 0, 0, 7])
    slope = tilec.grad(lambda x: ops.segment_prod(x, ids, 3).sum())
    assert slope(x).tolist() == [3, 2, 5, 0, 0, 0, 0]
    second = tilec.grad(lambda x: slope(x)[4])(x)  # of the product of 0, 0 and 7 by the first and the second
    assert second.tolist() == [0, 0, 0, 0, 0, 7, 0]


@pytest.mark.parametrize("word", ["sum", "max", "min", "prod"])
def test_forward_is_the_transpose_of_reverse(word: str) -> None:
    rng = np.random.default_rng(0)
    x, t, g = rng.normal(size=(8, 2)), rng.normal(size=(8, 2)), rng.normal(size=(3, 2))
    ids = np.array([0, 1, 2, 0, 1, 7, 2, -1])
    function = SEGMENTS[word][0]
    moved = tilec.jvp(lambda x: function(x, ids, 3))((x,), (t,))[1]
    back = tilec.grad(lambda x: (function(x, ids, 3) * g).sum())(x)
    np.testing.assert_allclose((moved * g).sum(), (back * t).sum(), rtol=1e-12)


@pytest.mark.parametrize(("shape", "part"), [((5, 4), (2, 3)), ((7,), (7,)), ((3, 1, 4), (0, 1, 2)), ((2, 2), (1, 1))])
def test_slices(shape: tuple[int, ...], part: tuple[int, ...]) -> None:
    """slice and slice_update: starts are clamped so that the part is inside"""
    rng = np.random.default_rng(1)
    for dtype in DTYPES:
        x, update = values(dtype, shape, 0), values(dtype, part, 1)
        start = rng.integers(-2, 6, len(shape))
        at = tuple(slice(s, s + n) for s, n in zip(np.clip(start, 0, np.subtract(shape, part)), part))
        assert np.array_equal(ops.slice(x, start, shape=part), x[at])
        wanted = x.copy()
        wanted[at] = update
        assert np.array_equal(ops.slice_update(x, start, update), wanted)


def test_starts_of_slices_in_a_list() -> None:
    x = np.arange(12.0).reshape(4, 3)
    part: Any = tilec.jit(lambda x, i: ops.slice(x, [i, 1], (2, 2)))
    assert np.array_equal(part(x, 1), x[1:3, 1:]) and np.array_equal(ops.slice(x, (1, 1), (2, 2)), x[1:3, 1:])
    assert np.array_equal(ops.slice_update(x, [2, 0], x[:1]), x[[0, 1, 0, 3]])


def test_slices_of_a_number() -> None:
    x, none = np.array(3.0), np.zeros(0, "int32")
    assert ops.slice(x, none, shape=()) == 3 and ops.slice_update(x, none, np.array(4.0)) == 4


def test_gather_nd_by_no_numbers() -> None:
    x = values("float32", (2, 3), 0)
    assert np.array_equal(ops.gather_nd(x, np.zeros((4, 0), "int32")), np.broadcast_to(x, (4, 2, 3)))


X = np.zeros((3, 4), "float32")
I1 = np.zeros((2, 1), "int32")
WRONG: dict[str, tuple[str, Callable[[], Any]]] = {
    "floats index": ("TILE0304", lambda: ops.gather_nd(X, np.zeros((2, 1)))),
    "too many numbers": ("TILE0202", lambda: ops.gather_nd(X, np.zeros((2, 3), "int32"))),
    "no last axis": ("TILE0202", lambda: ops.scatter(np.int32(0), np.float32(1), shape=(3,))),
    "other updates": ("TILE0202", lambda: ops.scatter_update(X, I1, np.zeros((2, 3)))),
    "other values": ("TILE0202", lambda: ops.scatter(I1, np.zeros(3), shape=(3,))),
    "bools index": ("TILE0304", lambda: ops.scatter_add(X, np.zeros((2, 1), bool), np.zeros((2, 4)))),
    "float ids": ("TILE0304", lambda: ops.segment_sum(X, np.zeros(3), 2)),
    "other ids": ("TILE0202", lambda: ops.segment_max(X, np.zeros(2, "int32"), 2)),
    "segments below zero": ("TILE0211", lambda: ops.segment_min(X, np.zeros(3, "int32"), -1)),
    "float starts": ("TILE0304", lambda: ops.slice(X, np.zeros(2), shape=(1, 1))),
    "other starts": ("TILE0202", lambda: ops.slice(X, np.zeros(1, "int32"), shape=(1, 1))),
    "large part": ("TILE0211", lambda: ops.slice(X, np.zeros(2, "int32"), shape=(1, 5))),
    "other rank": ("TILE0202", lambda: ops.slice_update(X, np.zeros(2, "int32"), np.zeros(2))),
    "an axis too far": ("TILE0212", lambda: ops.gather(X, np.zeros(2, "int32"), axis=2)),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes(name: str) -> None:
    assert __file__ in refused(*WRONG[name])


def test_open_sizes() -> None:
    batch = tilec.jit(lambda x, i: ops.segment_sum(x, i, 3), open_sizes={"x": "N", "i": "N"})
    for n in (1, 5, 8):
        x, ids = values("float32", (n, 2), n), np.arange(n, dtype="int32") % 3
        wanted = np.zeros((3, 2), "float32")
        np.add.at(wanted, ids, x)
        assert np.array_equal(batch(x, ids), wanted)
