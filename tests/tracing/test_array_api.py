"""The array API 2024.12: what of it there is, and what docs/array-api.md says; functions against NumPy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.tracing.test_elementwise import FLOATS, INTEGERS, agree, exact, random
from tilec.dtypes import BY_NAME

PAGE = Path(__file__).parents[2] / "docs" / "array-api.md"

# The standard's functions and constants, by its own chapters.
STANDARD = {
    "Constants": "e inf nan newaxis pi",
    "Creation": """arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones ones_like tril
        triu zeros zeros_like""",
    "Data types": """bool complex128 complex64 float32 float64 int16 int32 int64 int8 uint16 uint32 uint64 uint8""",
    "Data type functions": "astype can_cast finfo iinfo isdtype result_type",
    "Elementwise": """abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift
        bitwise_or bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide equal exp expm1 floor
        floor_divide greater greater_equal hypot imag isfinite isinf isnan less less_equal log log10 log1p log2
        logaddexp logical_and logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal
        positive pow real reciprocal remainder round sign signbit sin sinh sqrt square subtract tan tanh trunc""",
    "Indexing": "take take_along_axis",
    "Inspection": "__array_namespace_info__ __array_api_version__",
    "Linear algebra": "matmul matrix_transpose tensordot vecdot",
    "Manipulation": """broadcast_arrays broadcast_to concat expand_dims flip moveaxis permute_dims repeat reshape roll
        squeeze stack tile unstack""",
    "Searching": "argmax argmin count_nonzero nonzero searchsorted where",
    "Sets": "unique_all unique_counts unique_inverse unique_values",
    "Sorting": "argsort sort",
    "Statistical": "cumulative_prod cumulative_sum max mean min prod std sum var",
    "Utility": "all any diff",
}
_COMPLEX = "there are no complex numbers"
_SHAPES = "the shape of the result depends on values"
ABSENT = {
    **dict.fromkeys(("complex64", "complex128"), _COMPLEX),
    **dict.fromkeys(STANDARD["Sets"].split(), _SHAPES),
}


def test_everything_is_there_or_has_a_reason() -> None:
    for names in STANDARD.values():
        for name in names.split():
            assert hasattr(tnp, name) != (name in ABSENT), name
            assert name in ABSENT or name in tnp.__all__, name
    assert len(tnp.__all__) == len(set(tnp.__all__)) and all(hasattr(tnp, n) for n in tnp.__all__)


def table() -> str:
    lines = ["| | there is | there is not |", "|---|---|---|"]
    for chapter, names in STANDARD.items():
        here = " ".join(f"`{n}`" for n in names.split() if n not in ABSENT)
        reasons = {r: [n for n in names.split() if ABSENT.get(n) == r] for r in (_COMPLEX, _SHAPES)}
        gone = "; ".join(f"{' '.join(f'`{n}`' for n in found)}: {r}" for r, found in reasons.items() if found)
        lines.append(f"| {chapter} | {here} | {gone} |")
    known = {n for names in STANDARD.values() for n in names.split()}
    more = sorted(n for n in tnp.__all__ if n not in known)
    lines.append(f"| Beyond the standard | {' '.join(f'`{n}`' for n in more)} | |")
    return "\n".join(lines)


def test_the_page_says_what_there_is(update: bool) -> None:
    text = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- table: begin -->\n", "<!-- table: end -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    wanted, count = pattern.subn(lambda _: f"{begin}\n{table()}\n\n{end}", text)
    assert count == 1
    if update:
        PAGE.write_text(wanted, encoding="utf-8")
    assert text == wanted, "refresh it with: pytest tests/tracing/test_array_api.py --update"


def slope(function: Any, *arrays: Any) -> list[Any]:
    """Central differences of the sum of the function's squares."""

    def value(given: Any) -> float:
        return float((np.asarray(function(np, *given), "float64") ** 2).sum())

    found = []
    for k, array in enumerate(arrays):
        steps = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            moved = [[a.copy() for a in arrays] for _ in range(2)]
            moved[0][k][place] += 1e-6
            moved[1][k][place] -= 1e-6
            steps[place] = (value(moved[0]) - value(moved[1])) / 2e-6
        found.append(steps)
    return found


def check_slope(function: Any, *arrays: Any) -> None:
    wanted = slope(function, *arrays)
    got = tilec.grad(lambda *a: (function(tnp, *a) ** 2.0).sum(), argnums=tuple(range(len(arrays))))(*arrays)
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=2e-6, atol=2e-6)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-300, -1e300, 1e300]
PAIRS = np.array([(a, b) for a in SPECIAL for b in SPECIAL])
BINARY = ["atan2", "copysign", "hypot", "nextafter"]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_of_floats(name: str, dtype: str) -> None:
    ufunc = getattr(np, {"atan2": "arctan2"}.get(name, name))
    x, y = random(dtype, (4, 1, 3), 0), random(dtype, (5, 3), 1)
    got = getattr(tnp, name)(x, y)
    assert got.dtype == x.dtype
    wanted = ufunc(x, y).astype("float64") if name == "nextafter" else ufunc(exact(x), exact(y))
    agree(got, wanted, dtype)
    assert np.array_equal(tilec.jit(getattr(tnp, name))(x, y), got)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_of_special_values(name: str, dtype: str) -> None:
    with np.errstate(all="ignore"):
        x, y = (PAIRS[:, k].astype(dtype) for k in range(2))
        wanted = getattr(np, {"atan2": "arctan2"}.get(name, name))(x, y)
    got = getattr(tnp, name)(x, y)
    np.testing.assert_allclose(got, wanted, rtol=4 * float(np.finfo(dtype).eps))
    known = ~np.isnan(wanted)
    assert np.array_equal(np.signbit(got)[known], np.signbit(wanted)[known])


def test_slopes_of_binary_functions() -> None:
    x, y = random("float64", (3, 4), 2), random("float64", (3, 4), 3)
    check_slope(lambda m, x, y: (m.atan2 if m is tnp else np.arctan2)(x, y), x, y)
    check_slope(lambda m, x, y: m.hypot(x, y), x, y)
    check_slope(lambda m, x, y: m.copysign(x, y), x, y)
    slopes = tilec.grad(lambda y, x: tnp.atan2(y, x).sum(), argnums=(0, 1))
    axes = slopes(np.array([0.0, 2.0, 2.0]), np.array([2.0, 0.0, 2.0]))
    np.testing.assert_allclose(axes, [[0.5, 0, 0.25], [0, -0.5, -0.25]], atol=1e-15)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, "bool"])
def test_signs(dtype: str) -> None:
    x = random(dtype, (3, 4), 0)
    assert np.array_equal(tnp.signbit(x), np.signbit(exact(x)) if dtype in FLOATS else x < 0)
    assert tnp.positive(x).dtype == x.dtype and np.array_equal(tnp.positive(x), x)
    if dtype in FLOATS:
        odd = np.array([-0.0, 0.0, -np.inf]).astype(x.dtype)
        assert tnp.signbit(odd).tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "uint8", "bool"])
def test_repeating(dtype: str) -> None:
    x = random(dtype, (2, 3, 4), 0)
    for repeats, axis in ((3, 1), (1, 0), (0, 2), (2, None), ((1, 0, 4), 1), ([2], -1), (np.array([3, 1]), 0)):
        given: Any = repeats
        got = tilec.jit(lambda x: tnp.repeat(x, given, axis=axis))(x)  # noqa: B023
        assert np.array_equal(got, np.repeat(x, repeats, axis=axis)) and got.dtype == x.dtype
    for counts in (2, (2, 1), (1, 2, 3), (2, 1, 1, 3), (), (0, 1, 1)):
        assert np.array_equal(tnp.tile(x, counts), np.tile(x, counts))
    for axis in (0, 1, -1):
        parts = tnp.unstack(x, axis=axis)
        assert isinstance(parts, tuple) and np.array_equal(np.stack(parts, axis=axis), x)
    small = [x[0, 0], x[:1, :, :1], x[0, :, 0].reshape(3, 1)]
    for got, wanted in zip(tnp.broadcast_arrays(*small), np.broadcast_arrays(*small), strict=True):
        assert np.array_equal(got, wanted)


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_grids(indexing: Any, count: int) -> None:
    axes = [np.arange(2.0 + k) for k in range(count)]
    for got, wanted in zip(tnp.meshgrid(*axes, indexing=indexing), np.meshgrid(*axes, indexing=indexing), strict=True):
        assert np.array_equal(got, wanted)


def test_rolling_along_several_axes() -> None:
    x = random("int32", (2, 3, 4), 0)
    for shift, axis in (((1, 2), (0, 2)), (3, (0, 1)), ((1, 1), 2), (5, None), (-30, None), ((2,), (1,))):
        assert np.array_equal(tnp.roll(x, shift, axis=axis), np.roll(x, shift, axis))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("length", [5, 300])
def test_running_products_and_sums(axis: Any, length: int) -> None:
    x = random("float64", (3, length), 0, 0.9, 1.1)
    np.testing.assert_allclose(tnp.cumulative_prod(x, axis), np.cumprod(x, axis), rtol=1e-12)
    if axis is not None:
        for name in ("cumulative_sum", "cumulative_prod"):
            wanted = getattr(np, name)(x, axis=axis, include_initial=True)
            np.testing.assert_allclose(getattr(tnp, name)(x, axis, include_initial=True), wanted, rtol=1e-12)
    y = random("int8", (3, length), 1)
    assert np.array_equal(tnp.cumulative_prod(y, axis), np.cumprod(y, axis, dtype="int8"))


def test_slopes_of_what_rearranges_and_runs() -> None:
    x = random("float64", (2, 4), 5)
    x[0, 1] = 0.0  # products of the others still have slopes
    check_slope(lambda m, x: m.cumprod(x, 1) if m is np else m.cumulative_prod(x, 1), x)
    check_slope(lambda m, x: m.diff(x, axis=1, n=2), x)
    check_slope(lambda m, x: m.repeat(x, 3, axis=0), x)
    check_slope(lambda m, x: m.repeat(x, (0, 2, 1, 1), axis=1), x)
    check_slope(lambda m, x: m.tile(x, (2, 1, 2)), x)
    check_slope(lambda m, x: m.roll(x, (1, 1), axis=(0, 1)), x)
    check_slope(lambda m, x: m.stack(tnp.unstack(x) if m is tnp else list(x)), x)


def test_differences() -> None:
    x = random("float64", (3, 5), 0)
    for n, axis in ((0, 0), (1, -1), (2, 1), (3, 0), (1, 0)):
        np.testing.assert_array_equal(tnp.diff(x, n=n, axis=axis), np.diff(x, n, axis))
        np.testing.assert_array_equal(tnp.diff(x, n, axis), np.diff(x, n, axis))
    got = tnp.diff(x, axis=1, prepend=x[:, :1], append=x[:, :2])
    np.testing.assert_array_equal(got, np.diff(x, axis=1, prepend=x[:, :1], append=x[:, :2]))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("size", [0, 1, 2, 7, 64, 100])
def test_searching(side: Any, size: int) -> None:
    rng = np.random.default_rng(size)
    row, values = np.sort(rng.integers(0, 20, size)), rng.integers(-2, 23, (5, 6))
    for dtype in ("int32", "uint8", "float32", "float64"):
        r, v = row.astype(dtype), values.astype(dtype)
        r.sort()
        got = tnp.searchsorted(r, v, side=side)
        assert got.dtype == np.int32 and np.array_equal(got, np.searchsorted(r, v, side))
    order = rng.permutation(size)
    mixed = np.empty_like(row)
    mixed[order] = row
    assert np.array_equal(tnp.searchsorted(mixed, values, side=side, sorter=order), np.searchsorted(row, values, side))


@pytest.mark.parametrize("side", ["left", "right"])
def test_searching_with_nan_and_infinities(side: Any) -> None:
    row = np.array([-np.inf, -1.0, -0.0, 0.0, 2.0, np.inf, np.nan, np.nan])
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0])
    assert np.array_equal(tnp.searchsorted(row, values, side=side), np.searchsorted(row, values, side))


def test_counting() -> None:
    x = random("int32", (3, 4, 5), 0)
    for axis in (None, 0, (0, 2)):
        got = tnp.count_nonzero(x, axis=axis, keepdims=True)
        assert got.dtype == np.int32 and np.array_equal(got, np.count_nonzero(x, axis=axis, keepdims=True))
    assert tnp.count_nonzero(np.array([np.nan, -0.0, 1e-40])) == 2


def test_sorting_downwards_keeps_the_order_of_equals() -> None:
    x = random("int8", (6, 40), 3)
    for axis in (0, 1):
        wanted = np.argsort(-x, axis=axis, kind="stable")
        assert np.array_equal(tnp.argsort(x, axis=axis, descending=True), wanted)
        assert np.array_equal(tnp.sort(x, axis=axis, descending=True), -np.sort(-x, axis=axis))


def test_bounds_by_name() -> None:
    x = random("float64", (3, 4), 0)
    assert np.array_equal(tnp.clip(x, max=1), np.clip(x, None, 1)) and np.array_equal(tnp.clip(x), x)
    assert np.array_equal(tnp.clip(x, min=x[0], max=0.1), np.clip(x, x[0], 0.1))


@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS, "bool"])
def test_types_by_any_name(name: str) -> None:
    dtype = BY_NAME[name].numpy
    for given in (name, dtype, dtype.type, getattr(tnp, name)):
        assert tnp.zeros(2, dtype=given).dtype == tnp.astype(np.ones(2), given).dtype == dtype


def test_types() -> None:
    assert tnp.isdtype(tnp.float32, "real floating") and tnp.isdtype("bfloat16", ("bool", "numeric"))
    assert not tnp.isdtype(np.dtype("bool"), "numeric") and tnp.isdtype(tnp.int8, tnp.int8)
    assert not tnp.isdtype("float32", "complex floating") and tnp.isdtype("uint8", ("integral", tnp.bool))
    assert tnp.finfo(tnp.float32).eps == np.finfo("float32").eps and tnp.finfo("bfloat16").bits == 16
    assert tnp.iinfo(np.zeros(2, "int16")).max == 32767
    assert tnp.can_cast("int8", "int32") and not tnp.can_cast(tnp.float64, tnp.float32)
    assert tnp.result_type("float32", 2.5) == np.float32 and tnp.result_type(np.zeros(2, "int8"), 1) == np.int8
    assert tnp.result_type(np.float64(1), "float32") == np.float64 and tnp.result_type(1, 2.0) == np.float32
    for dtype in ("float32", "int8", "uint16", "float16"):
        x = np.ones(3, dtype)
        assert (x + 1).dtype == tnp.add(x, 1).dtype == tnp.result_type(x, 1)
    wrong: list[Any] = [
        lambda: tnp.finfo("int8"), lambda: tnp.iinfo("float32"), lambda: tnp.isdtype("int8", "whole"),
        lambda: tnp.result_type("text"), lambda: tnp.can_cast("complex64", "float32"),
    ]  # fmt: skip
    for call in wrong:
        with pytest.raises(tilec.TileError) as found:
            call()
        assert __file__ in str(found.value)


def test_namespace() -> None:
    def f(x: Any) -> Any:
        xp = x.__array_namespace__()
        assert x.to_device(x.device) is x
        return xp.sum(xp.asarray(x, dtype=xp.float32), axis=0)

    assert tilec.jit(f)(np.ones((2, 3))).tolist() == [2, 2, 2]
    info = tnp.__array_namespace_info__()
    assert info.devices() == [info.default_device()] and not info.capabilities()["boolean indexing"]
    assert set(info.dtypes(kind="unsigned integer")) == {"uint8", "uint16", "uint32", "uint64"}
    assert tnp.zeros(2).dtype == info.default_dtypes()["real floating"]
    assert tnp.arange(2).dtype == info.default_dtypes()["integral"]


def test_arrays_of_lists() -> None:
    for x, dtype in (
        ([], "float32"), ([1, 2], "int32"), ([[True], [False]], "bool"), ((True, 2), "int32"), ([1, 0.1], "float32"),
        ([-(2**40)], "int64"), ([2**64 - 1], "uint64"), ([[], []], "float32"),
    ):  # fmt: skip
        traced: Any = tilec.jit(lambda x=x: tnp.array(x))
        for got in (tnp.asarray(x), traced()):
            assert got.dtype == dtype and np.array_equal(got, np.array(x).astype(dtype))
    for wide in (0.1, [0.1, 1]):
        assert np.array_equal(tnp.asarray(wide, "float64"), wide)
    assert tnp.asarray([300.5, -1], "uint8").tolist() == [255, 0]
    pair = np.array([3.0, 5])
    mixed: Any = tilec.jit(lambda x: tnp.asarray([[x[0], 2], x], dtype="float16"))(pair)
    assert mixed.dtype == "float16" and mixed.tolist() == [[3, 2], [3, 5]]
    assert tnp.asarray([pair, pair]).tolist() == [[3, 5], [3, 5]]


def test_mistakes() -> None:
    x = np.ones((2, 3))
    wrong: list[Any] = [
        lambda: tnp.repeat(x, (1, 2), axis=1), lambda: tnp.repeat(x, -1), lambda: tnp.tile(x, (-1,)),
        lambda: tnp.unstack(x, axis=2), lambda: tnp.meshgrid(x[0], indexing="yx"), lambda: tnp.searchsorted(x, x),
        lambda: tnp.searchsorted(x[0], x, side="middle"), lambda: tnp.diff(x, n=-1),
        lambda: tnp.roll(x, (1, 2), axis=(0, 1, 0)), lambda: tilec.grad(lambda x: tnp.nextafter(x, 1.0).sum())(x),
        lambda: tnp.broadcast_arrays(x, np.ones(2)), lambda: tnp.result_type(), lambda: tnp.from_dlpack("text"),
        lambda: tnp.asarray([[1], [2, 3]]), lambda: tnp.asarray([[1], 2]), lambda: tnp.asarray([x, x[0]]),
        lambda: tnp.asarray(["text"]), lambda: tnp.asarray([2**64]), lambda: tnp.asarray([2**63, -1]),
    ]  # fmt: skip
    for call in wrong:
        with pytest.raises(tilec.TileError) as found:
            call()
        assert __file__ in str(found.value)
