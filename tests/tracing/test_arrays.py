"""Aggregations, products, shapes, indexing and new tensors of `tilec.numpy` against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.tracing.test_elementwise import FLOATS, INTEGERS, agree, exact, random
from tilec.dtypes import BY_NAME
from tilec.errors import TileError
from tilec.numpy import cumulative

AXES: list[Any] = [None, 0, -1, (0, 2), (1,), ()]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "var", "std"])
def test_aggregations(name: str, axis: Any) -> None:
    for dtype in ("float32", "float64", "bfloat16", "float16"):
        x = random(dtype, (2, 3, 4), 3, 0.5, 1.5)
        for keepdims in (False, True):
            got = getattr(tnp, name)(x, axis=axis, keepdims=keepdims)
            assert got.dtype == x.dtype
            agree(got, getattr(np, name)(exact(x), axis=axis, keepdims=keepdims), dtype)


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool"])
def test_aggregations_of_integers(dtype: str) -> None:
    x = random(dtype, (4, 5), 0)
    kept = np.int32 if dtype == "bool" else x.dtype
    for name in ("sum", "prod"):
        got = getattr(tnp, name)(x, axis=1)
        assert got.dtype == kept and np.array_equal(got, getattr(np, name)(x, axis=1).astype(kept))  # wraps
    assert np.array_equal(tnp.sum(x, dtype="int64"), x.astype("int64").sum())
    for name in ("max", "min", "any", "all"):
        assert np.array_equal(getattr(tnp, name)(x, axis=0), getattr(np, name)(x, axis=0))
    np.testing.assert_allclose(tnp.mean(x), x.mean(), rtol=1e-6)


def test_nan_and_empty() -> None:
    x = np.array([[1.0, np.nan], [3.0, 4.0]])
    for name in ("max", "min", "argmax", "argmin"):
        np.testing.assert_array_equal(getattr(tnp, name)(x, axis=1), getattr(np, name)(x, axis=1))
    empty = np.zeros((0, 3))
    assert tnp.sum(empty, axis=0).tolist() == [0] * 3 and tnp.prod(empty, axis=0).tolist() == [1] * 3
    assert not tnp.any(empty) and tnp.all(empty)


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "bool"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_positions(dtype: str, axis: Any) -> None:
    x = random(dtype, (5, 6), 0)  # with ties
    for name in ("argmax", "argmin"):
        for keepdims in (False, True):
            got = getattr(tnp, name)(x, axis=axis, keepdims=keepdims)
            assert got.dtype == np.int32
            assert np.array_equal(got, getattr(np, name)(x, axis=axis, keepdims=keepdims))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_running_sums(axis: Any) -> None:
    x = random("float64", (3, 4), 0)
    np.testing.assert_allclose(tnp.cumulative_sum(x, axis), x.cumsum(axis), rtol=1e-12)
    y = random("int32", (3, 4), 0)
    assert np.array_equal(tnp.cumsum(y, axis), y.cumsum(axis))


@pytest.mark.parametrize("shape", [(5000,), (4097,), (70, 70), (3, 5000, 2), (17, 18, 19)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_long_sums(shape: tuple[int, ...], dtype: str) -> None:
    x = np.abs(random(dtype, shape, 0)) / (100 if dtype == "float16" else 1)
    tolerance = {"float16": 5e-4, "float32": 2e-6, "float64": 4e-15}[dtype]  # of float16: one rounding
    for axis in (None, *range(len(shape))):
        for keepdims in (False, True):
            got, wanted = tnp.sum(x, axis=axis, keepdims=keepdims), x.sum(axis=axis, dtype="f8", keepdims=keepdims)
            assert got.dtype == dtype and got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, rtol=tolerance)
    y, weights = random("float64", shape, 1), random("float64", shape, 2)
    slope = tilec.grad(lambda y: (y * y * weights).sum())(y)
    np.testing.assert_allclose(slope, 2 * y * weights, rtol=1e-12)


def test_many_floats_are_not_added_up_one_after_the_other() -> None:
    """One chain of additions stops at 2^24 in float32: 1 more does not change it."""
    ones = np.ones(20_000_000, "float32")
    assert tnp.sum(ones) == 20_000_000 and tnp.mean(ones) == 1
    assert abs(tnp.mean(np.full(300_000, 0.1, "float16")) - 0.1) < 1e-4


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float16", "float32", "float64"])
def test_running_sums_along_long_axes(dtype: str) -> None:
    """They are computed by a loop, one term after the other, in the type in which sums are carried out."""
    x = random(dtype, (3, 300), 0)
    wide = {"bool": "int32", "int8": "int32", "float16": "float32"}.get(dtype, dtype)
    wanted = np.cumsum(x, axis=1, dtype=wide).astype(tnp.sum(x).dtype)
    got = tnp.cumulative_sum(x, 1)
    assert got.dtype == wanted.dtype and np.array_equal(got, wanted)
    assert np.array_equal(tnp.cumulative_sum(x.T, axis=0), wanted.T)
    assert np.array_equal(tnp.cumulative_sum(x[0]), wanted[0])


ACCUMULATE = {"cumulative_prod": np.multiply, "cummax": np.maximum, "cummin": np.minimum}


@pytest.mark.parametrize("name", ACCUMULATE)
@pytest.mark.parametrize("size", [1, 5, 300])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_running_products_and_extrema(name: str, size: int, axis: int | None) -> None:
    """Along short axes and long ones; with NaN and ties."""
    accumulate, function = ACCUMULATE[name].accumulate, getattr(tnp, name)
    x = 1 + random("float64", (2, size), 0) / 50
    x[0, size // 2 :: 7] = x[0, 0]
    wanted = accumulate(x.reshape(-1) if axis is None else x, axis or 0)
    np.testing.assert_allclose(function(x, axis), wanted, rtol=1e-12)
    whole = np.arange(2 * size, dtype=np.int32).reshape(2, size) * 7919 % 13 - 6
    with np.errstate(over="ignore"):
        wanted = accumulate(whole.reshape(-1) if axis is None else whole, axis or 0)
    assert np.array_equal(function(whole, axis), wanted)
    x[1, size // 3] = np.nan
    np.testing.assert_allclose(function(x, 1), accumulate(x, 1), rtol=1e-12)


@pytest.mark.parametrize("name", ACCUMULATE)
def test_short_and_long_axes_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Types, values and gradients, of elements that are zero or equal too."""
    function = getattr(tnp, name)
    for dtype in ("bool", "int8", "uint16", "float16", "float64"):
        x = random(dtype, (3, 6), 0)
        short = function(x, axis=1)
        with monkeypatch.context() as patch:
            patch.setattr(cumulative, "LONGEST", 0)
            long = tilec.jit(lambda x: function(x, axis=1))(x)
        assert long.dtype == short.dtype and np.array_equal(long, short)
    x = np.array([[2.0, 0.5, 2.0, 3.0, 0.0, 3.0], [-np.inf, -np.inf, 1.0, 1.0, np.inf, 2.0]])
    x = x[:1] if name == "cumulative_prod" else x  # 0 times infinity
    weights = random("float64", x.shape, 1)
    slopes = []
    for longest in (256, 0):
        monkeypatch.setattr(cumulative, "LONGEST", longest)
        slopes.append(tilec.grad(lambda x: (function(x, axis=1) * weights).sum())(x))
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-12)


@pytest.mark.parametrize("name", ["cumsum", *ACCUMULATE])
def test_gradients_along_long_axes(name: str) -> None:
    function = getattr(tnp, name)
    x, weights = 1 + random("float64", (2, 300), 0) / 50, random("float64", (2, 300), 1)

    def loss(x: Any) -> Any:
        return (function(x, axis=1) * weights).sum()

    slope = tilec.grad(loss)(x)
    for at in ((0, 0), (0, 150), (1, 299)):
        step = np.zeros_like(x)
        step[at] = 1e-5
        near = (float(loss(x + step)) - float(loss(x - step))) / 2e-5
        np.testing.assert_allclose(slope[at], near, rtol=1e-6, atol=1e-6)


def test_gradient_of_running_sums() -> None:
    x, weights = random("float64", (2, 300), 0), random("float64", (2, 300), 1)
    slope = tilec.grad(lambda x: (tnp.cumulative_sum(x, axis=1) * weights).sum())(x)
    np.testing.assert_allclose(slope, weights[:, ::-1].cumsum(1)[:, ::-1], rtol=1e-9, atol=1e-12)


def test_softmax_of_very_many_float16_numbers() -> None:
    """Their sum is beyond float16."""
    x = np.zeros(70000, "float16")
    assert tnp.softmax(x)[0] == np.float16(1 / 70000)
    assert tnp.log_softmax(x)[0] == tnp.logsumexp(-x) * -1 == np.float16(-np.log(70000))


def test_softmax_and_its_relatives() -> None:
    x = np.array([[1000.0, 0.0, 1.0], [-np.inf, 2.0, 2.0]])
    with np.errstate(all="ignore"):
        shifted = x - x.max(1, keepdims=True)
    total = np.exp(shifted).sum(1, keepdims=True)
    np.testing.assert_allclose(tnp.softmax(x), np.exp(shifted) / total, rtol=1e-14)
    np.testing.assert_allclose(tnp.log_softmax(x), shifted - np.log(total), rtol=1e-14)
    wanted = x.max(1) + np.log(total[:, 0])
    np.testing.assert_allclose(tnp.logsumexp(x, axis=1), wanted, rtol=1e-14)
    assert tnp.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf
    slope = tilec.grad(lambda x: tnp.logsumexp(x))(np.array([0.0, 0.0]))
    assert slope.tolist() == [0.5, 0.5]


SHAPES = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4))]
SHAPES += [((5, 1, 2, 3), (6, 3, 4)), ((1, 2, 3), (5, 3, 2)), ((2, 0), (0, 3)), ((0, 3), (3, 2)), ((3,), (2, 3, 4))]


@pytest.mark.parametrize(("first", "second"), SHAPES)
@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "bool"])
def test_matmul(first: Any, second: Any, dtype: str) -> None:
    a, b = random(dtype, first, 0), random(dtype, second, 1)
    wanted = np.matmul(a.astype("int32"), b.astype("int32")) if dtype == "bool" else np.matmul(exact(a), exact(b))
    got = tnp.matmul(a, b)
    assert got.dtype == (np.int32 if dtype == "bool" else a.dtype)
    if dtype == "float16":
        np.testing.assert_allclose(
            got.astype("f8"), wanted, rtol=2e-3, atol=2e-3 * max(1, np.abs(wanted).max(initial=0))
        )
    else:
        agree(got, wanted, dtype)
    assert np.array_equal(tilec.jit(lambda a, b: a @ b)(a, b), got)


def test_other_products() -> None:
    a, b = random("float64", (2, 3, 4), 0), random("float64", (4, 3, 5), 1)
    np.testing.assert_allclose(tnp.tensordot(a, b, axes=([1, 2], [1, 0])), np.tensordot(a, b, ([1, 2], [1, 0])))
    np.testing.assert_allclose(tnp.tensordot(a, b, axes=1), np.tensordot(a, b, 1))
    np.testing.assert_allclose(tnp.outer(a[0], b), np.outer(a[0], b))
    np.testing.assert_allclose(tnp.vecdot(a, a[0]), (a * a[0]).sum(-1))


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]),
        ("ij->ji", [(2, 3)]),
        ("ba", [(2, 3)]),
        ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]),
        ("i,j,k->kji", [(2,), (3,), (4,)]),
        ("ab,bc,cd,de->ae", [(2, 3), (3, 4), (4, 5), (5, 6)]),
        ("abc,abd,ce->de", [(2, 3, 4), (2, 3, 5), (4, 6)]),
        (",i->i", [(), (3,)]),
        ("i...->...", [(2, 3)]),
    ],
)
def test_einsum(text: str, shapes: list[Any]) -> None:
    arrays = [random("float64", s, k) for k, s in enumerate(shapes)]
    np.testing.assert_allclose(tnp.einsum(text, *arrays), np.einsum(text, *arrays), rtol=1e-12)


def test_shapes() -> None:
    x = random("int32", (2, 3, 4), 0)
    same: dict[str, Any] = {
        "reshape": (lambda m: m.reshape(x, (4, -1))),
        "expand_dims": (lambda m: m.expand_dims(x, (0, -1))),
        "squeeze": (lambda m: m.squeeze(x[:, :1], 1)),
        "moveaxis": (lambda m: m.moveaxis(x, (0, 1), (-1, 0))),
        "swapaxes": (lambda m: m.swapaxes(x, 0, 2)),
        "flip": (lambda m: m.flip(x, axis=(0, 2))),
        "flip all": (lambda m: m.flip(x)),
        "roll": (lambda m: m.roll(x, -5, axis=1)),
        "broadcast_to": (lambda m: m.broadcast_to(x[:, :1], (5, 2, 3, 4))),
        "concat": (lambda m: m.concatenate([x, x + 1, x[:1]], axis=0)),
        "concat 2": (lambda m: m.concatenate([x, x[:, :, :2], x, x, x[:, :, :0]], axis=-1)),
        "concat flat": (lambda m: m.concatenate([x, x[0]], axis=None)),
        "stack": (lambda m: m.stack([x, x + 1, x + 2], axis=1)),
        "tril": (lambda m: m.tril(x, k=-1)),
        "triu": (lambda m: m.triu(x, k=1)),
        "take": (lambda m: m.take(x, np.array([[2, 0], [-1, 1]]), axis=1)),
        "take flat": (lambda m: m.take(x, np.array([23, 0]))),
        "sort": (lambda m: m.sort(x, axis=1)),
        "argsort": (lambda m: np.take_along_axis(x, np.asarray(m.argsort(x, axis=0)), 0)),
        "take_along_axis": (lambda m: m.take_along_axis(x, np.argsort(x, axis=2), axis=2)),
    }
    for name, function in same.items():
        wanted, got = function(np), function(tnp)
        assert got.dtype == x.dtype and got.shape == wanted.shape, name
        assert np.array_equal(got, wanted), name
    assert np.array_equal(tnp.permute_dims(x, (2, 0, 1)), x.transpose(2, 0, 1))
    assert np.array_equal(tnp.matrix_transpose(x), x.swapaxes(-1, -2))
    assert np.array_equal(tnp.pad(x, ((1, 0), (0, 2), (1, 1))), np.pad(x, ((1, 0), (0, 2), (1, 1))))
    assert np.array_equal(tnp.pad(x, 1, constant_values=7), np.pad(x, 1, constant_values=7))
    assert np.array_equal(tnp.pad(x, 1, constant_values=np.float32(7)), np.pad(x, 1, constant_values=7))


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
def test_margins_of_the_tensors_own_elements(mode: Any) -> None:
    x = random("float64", (3, 1, 4), 2)
    for width in (2, (1, 0), ((1, 3),), ((0, 0), (2, 1), (5, 9))):
        assert np.array_equal(tnp.pad(x, width, mode), np.pad(x, width, mode))


def test_margins_that_numpy_leaves_open_are_zeros() -> None:
    for x in (np.ones((2, 3)), np.ones((0, 2), "int8"), np.ones(2, bool)):
        assert np.array_equal(tnp.pad(x, ((1, 2),), "empty"), np.pad(x, ((1, 2),)))


@pytest.mark.parametrize("mode", ["maximum", "mean", "median", "minimum", "linear_ramp"])
@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8"])
def test_margins_of_what_elements_come_to(mode: Any, dtype: str) -> None:
    x = np.random.default_rng(0).uniform(3, 90, (3, 1, 4)).astype(dtype)
    options = {"end_values": 7} if mode == "linear_ramp" else {}
    for width in (2, (1, 0), ((1, 3),), ((0, 0), (2, 1), (5, 9))):
        found, wanted = tnp.pad(x, width, mode, **options), np.pad(x, width, mode, **options)
        assert found.dtype == dtype and found.shape == wanted.shape
        close = {"float64": 1e-14, "float16": 2.0**-10}.get(dtype, 0)
        np.testing.assert_allclose(found.astype("f8"), wanted.astype("f8"), rtol=close)


def test_numpys_order_of_arguments_works_too() -> None:
    x = random("float32", (3, 4), 2)
    same: list[Any] = [
        *(lambda m, name=name: getattr(m, name)([x, x], 1) for name in ("concatenate", "concat", "stack")),
        *(lambda m, name=name: getattr(m, name)(x, 0) for name in ("flip", "sort", "argsort", "count_nonzero")),
        *(lambda m, name=name: getattr(m, name)(x, 2, 1) for name in ("roll", "repeat", "take")),
        *(lambda m, name=name: getattr(m, name)(x, -1) for name in ("tril", "triu")),
        lambda m: m.take_along_axis(x, np.argsort(x, 1), 1),
        lambda m: m.tensordot(x, x.T, 1).round(4),
        lambda m: m.searchsorted(np.arange(4.0), np.arange(3.0), "right"),
    ]
    assert len(tnp.unstack(x, 1)) == 4
    for number, function in enumerate(same):
        np.testing.assert_allclose(function(tnp), function(np), rtol=1e-5, err_msg=str(number))


def test_a_variance_of_too_few_elements() -> None:
    x = random("float64", (3, 2), 1)
    for correction in (2, 3, 2.5):
        wanted = np.full(3, np.inf)  # as NumPy has it, with a warning
        assert np.array_equal(tnp.var(x, axis=1, correction=correction), wanted)
        open_ = tilec.jit(lambda x, c=correction: tnp.var(x, axis=0, correction=c), open_sizes={"x": "N"})
        assert np.array_equal(open_(np.ascontiguousarray(x.T)), wanted)


def test_joining_keeps_every_value() -> None:
    x = np.array([-0.0, np.nan, np.inf])
    got = tnp.concat([x, x])
    assert np.array_equal(np.signbit(got), np.signbit([*x, *x])) and np.isnan(got[[1, 4]]).all()


def test_integers_that_int32_does_not_hold() -> None:
    top = 2**31 - 1
    for bounds in ((top - 1, top + 1), (top, top + 2), (-top - 1, -top), (-top - 2, -top), (top + 9, top, -3)):
        got = tnp.arange(*bounds)
        assert got.tolist() == list(range(*bounds)), bounds
        assert got.dtype == ("int32" if all(-top - 1 <= n <= top for n in range(*bounds)) else "int64")


def test_new_tensors() -> None:
    for dtype in (*FLOATS, *INTEGERS):
        found = BY_NAME[dtype].numpy
        for got, wanted in (
            (tnp.zeros((2, 3), dtype), np.zeros((2, 3))),
            (tnp.ones(3, dtype), np.ones(3)),
            (tnp.full((2, 2), 3, dtype), np.full((2, 2), 3)),
            (tnp.arange(2, 9, 3, dtype), np.arange(2, 9, 3)),
            (tnp.eye(3, 4, k=1, dtype=dtype), np.eye(3, 4, k=1)),
            (tnp.one_hot(np.array([2, 0, 5]), 3, dtype=dtype), np.eye(6)[[2, 0, 5]][:, :3]),
            (tnp.ones_like(np.zeros(2, found)), np.ones(2)),
        ):
            assert got.dtype == found and np.array_equal(got.astype("float64"), wanted)
    assert np.array_equal(tnp.arange(5), np.arange(5)) and tnp.arange(5).dtype == np.int32
    assert np.array_equal(tnp.arange(5, 0, -2), np.arange(5, 0, -2))
    assert np.array_equal(tnp.arange(0, 1, 0.1, dtype="float64"), np.arange(0, 1, 0.1))
    np.testing.assert_allclose(tnp.linspace(0, 1, 7, dtype="float64"), np.linspace(0, 1, 7), rtol=1e-15)
    np.testing.assert_allclose(tnp.linspace(0, 1, 7, endpoint=False), np.linspace(0, 1, 7, endpoint=False), rtol=1e-6)
    assert tnp.full((2,), -0.0).tobytes() == np.full((2,), -0.0, "float32").tobytes()


KEYS: list[Any] = [
    0, -1, slice(None), slice(1, None), slice(None, None, 2), slice(None, None, -1), slice(3, 0, -2), slice(-2, None),
    slice(5, 2), (0, 1), (slice(None), -1), (Ellipsis, 0), (None, 0), (0, None, Ellipsis, None), Ellipsis, (), None,
    (slice(1, 3), slice(None), slice(None, None, -2)), (1, slice(None), 2), (np.int64(2), 0, np.uint8(1)),
]  # fmt: skip
ARRAYS: list[Any] = [
    [2, 0], np.array([[0, -1], [3, 1]]), (slice(None), np.array([1, 1, 0])), (Ellipsis, np.array([0, 2])),
    (np.array([0, 1]), np.array([2, 0])), (np.array([[0], [1]]), np.array([2, 0])), (0, np.array([1, 2])),
    (0, slice(None), np.array([1, 0])), (np.array([0, 1]), slice(None), np.array([1, 0])), np.array(2),
    (slice(1, 3), np.array([0, 2]), 1), (None, np.array([1, 0])), 
    (np.array([1, 0]), None, slice(None), np.array([1, 1])),
    (np.array([], dtype="int64"),), (np.array([0, 1]), slice(0, 2), slice(None, None, -1)),
]  # fmt: skip


@pytest.mark.parametrize("key", [*KEYS, *ARRAYS], ids=str)
def test_indexing(key: Any) -> None:
    x = random("int32", (4, 3, 5), 0)
    for got in (tilec.jit(lambda x: x[key])(x), tilec.jit(lambda x: tnp.getitem(x, key))(x)):
        assert got.shape == x[key].shape and np.array_equal(got, x[key])


@pytest.mark.parametrize("key", [k for k in ARRAYS if isinstance(k, np.ndarray | tuple)], ids=str)
def test_indexing_by_traced_arrays(key: Any) -> None:
    x = random("float64", (4, 3, 5), 0)
    items = key if isinstance(key, tuple) else (key,)
    places = [k for k, i in enumerate(items) if isinstance(i, np.ndarray)]

    def f(x: Any, arrays: Any) -> Any:
        found = list(items)
        for k, a in zip(places, arrays, strict=True):
            found[k] = a
        return x[tuple(found)]

    arrays = [items[k] for k in places]
    assert np.array_equal(tilec.jit(f)(x, arrays), x[key])
    slope = tilec.grad(lambda x: (f(x, arrays) * 2.0).sum())(x)
    counts = np.zeros_like(x)
    np.add.at(counts, key, 2.0)
    assert np.array_equal(slope, counts)


def test_traced_indices_are_clamped() -> None:
    x = np.arange(4.0)
    got = tilec.jit(lambda x, i: x[i])(x, np.array([-9, -4, -1, 3, 4, 100], "int8"))
    assert got.tolist() == [0, 0, 3, 3, 3, 3]
    assert tilec.jit(lambda x, i: x[i])(x, 2) == 2
    assert tilec.jit(lambda x, i: x[i])(np.arange(300.0), np.array([255, -1], "int16")).tolist() == [255, 299]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_indices_of_any_type_reach_and_keep_to_the_axis(dtype: str) -> None:
    lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    index = np.array([0, 1, 100, highest, highest - 1, lowest, lowest + 1], dtype)
    wanted = [min(max(i + 300 if i < 0 else i, 0), 299) for i in index.tolist()]
    assert tilec.jit(lambda x, i: x[i])(np.arange(300.0), index).tolist() == wanted
    table = np.arange(600).reshape(2, 300)
    assert tilec.jit(lambda x, i: x[i * 0 + 1, i])(table, index).tolist() == [300 + i for i in wanted]


@pytest.mark.parametrize("key", [True, (0, False), np.bool_(True)], ids=str)
def test_truth_values_are_no_indices(key: Any) -> None:
    with pytest.raises(tilec.TileError, match="TILE0304"):
        tilec.jit(lambda x: x[key])(np.ones((2, 3)))


def test_lists_of_indices_may_be_traced() -> None:
    x = np.arange(6.0).reshape(3, 2)
    assert np.array_equal(tnp.take(x, [2, -3], 0), x[[2, -3]])
    assert np.array_equal(tnp.take(x, [[1, 0], [0, 0]], axis=1), np.take(x, [[1, 0], [0, 0]], axis=1))
    assert np.array_equal(tilec.jit(lambda x, i: x[[i, 0]])(x, 2), x[[2, 0]])


def test_methods_are_functions() -> None:
    x = random("float64", (3, 4), 0)

    def f(x: Any) -> Any:
        return (
            x.sum(0), x.mean(), x.max(1, keepdims=True), x.min(), x.prod(1), x.var(), x.std(0), x.argmax(1), x.argmin(),
            x.T, x.reshape(2, 6), x.reshape((6, 2)), x.ravel(), x.transpose(), x.transpose(1, 0), x.astype("float32"),
            x.clip(0, 1), x.cumsum(1), x.take(np.array([1]), axis=0), x.any(), x.all(0), x.dot(x.T), x[:1].squeeze(),
            x.round(1), x.swapaxes(0, -1), x[None].dot(np.ones((2, 4, 3))), x.dot(2.0),
        )  # fmt: skip

    for got, wanted in zip(tilec.jit(f)(x), f(x), strict=True):
        agree(got, wanted, "float32" if got.dtype == np.float32 else "float64")
    t = tilec.jit(lambda x: (len(x), x.shape, x.ndim, x.size, str(x.dtype)))
    assert t(x) == (3, (3, 4), 2, 12, "float64")


def test_einsum_in_wrong_ways() -> None:
    x = np.ones((2, 3))
    for text, code in (
        ("ij", None),
        ("ijk", "TILE0202"),
        ("ij,jk", "TILE0106"),
        ("ij->ii", "TILE0101"),
        ("ij->k", "TILE0101"),
    ):
        if code is None:
            tnp.einsum(text, x)
            continue
        with pytest.raises(TileError) as found:
            tnp.einsum(text, x)
        assert found.value.code == code
