"""NumPy's functions beyond the array API, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec.numpy as tnp
from tests.refusals import WORD, refused

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6)).astype("float32")
Y = RNG.normal(size=(4, 6)).astype("float32")
Z = RNG.normal(size=(2, 3, 4)).astype("float32")
V, W = RNG.normal(size=9).astype("float32"), RNG.normal(size=4).astype("float32")
HOLES = np.where(RNG.random((4, 6)) < 0.3, np.nan, X).astype("float32")
HOLES[2] = np.nan
N, M = RNG.integers(-20, 20, (4, 6)).astype("int32"), RNG.integers(-6, 7, (4, 6)).astype("int32")
ODD = np.array([0.0, -0.0, 1.0, -1.0, 2.5, -8.0, np.inf, -np.inf, np.nan, 1e-30, -1e30], "float32")
PAIRS = np.array([(a, b) for a in ODD for b in ODD]).T.astype("float32")
UNIT = np.clip(X, -0.9, 0.9)

# name: a call, with the module as m
CALLS: dict[str, Callable[[Any], Any]] = {
    "absolute": lambda m: m.absolute(X),
    "amax": lambda m: m.amax(X, 1),
    "amin": lambda m: m.amin(X, 0),
    "angle": lambda m: m.angle(ODD),
    "append": lambda m: (m.append(X, Y), m.append(X, Y, axis=1)),
    "arccos": lambda m: m.arccos(UNIT),
    "arccosh": lambda m: m.arccosh(abs(X) + 1),
    "arcsin": lambda m: m.arcsin(UNIT),
    "arcsinh": lambda m: m.arcsinh(X),
    "arctan": lambda m: m.arctan(X),
    "arctan2": lambda m: m.arctan2(X, Y),
    "arctanh": lambda m: m.arctanh(UNIT),
    "array": lambda m: m.array(X),
    "array_split": lambda m: (*m.array_split(V, 4), *m.array_split(X, [1, 3], axis=1), *m.array_split(W, 6)),
    "average": lambda m: (m.average(X), m.average(X, 1, weights=Y + 9), m.average(X, axis=0, weights=W + 5)),
    "bartlett": lambda m: (m.bartlett(7), m.bartlett(1), m.bartlett(0)),
    "bitwise_not": lambda m: m.bitwise_not(N),
    "blackman": lambda m: m.blackman(8),
    "cbrt": lambda m: (m.cbrt(X), m.cbrt(ODD)),
    "conj": lambda m: m.conj(X),
    "conjugate": lambda m: m.conjugate(X),
    "copy": lambda m: m.copy(X),
    "corrcoef": lambda m: (m.corrcoef(X), m.corrcoef(V)),
    "correlate": lambda m: [
        m.correlate(a, b, k) for k in ("full", "same", "valid") for a, b in ((V, W), (W, V), (V, W[:3]), (W[:3], V))
    ],
    "cumprod": lambda m: m.cumprod(X, 1),
    "deg2rad": lambda m: m.deg2rad(X),
    "diagflat": lambda m: (m.diagflat(W), m.diagflat(X[:2, :2], 2), m.diagflat(W, -1), m.diagflat(W[:0])),
    "digitize": lambda m: [
        m.digitize(x, edges, right)
        for x, edges in ((X, np.sort(W)), (N, np.array([-5, 0, 5])), (N, np.array([5, 0, -5])), (HOLES, -np.sort(W)))
        for edges in (edges, edges[:1], edges[:0], edges[[0, 0]])
        for right in (False, True)
    ],
    "dsplit": lambda m: m.dsplit(Z, 2),
    "dstack": lambda m: (m.dstack([X, Y]), m.dstack([V, V]), m.dstack([Z, Z])),
    "fabs": lambda m: m.fabs(X),
    "fliplr": lambda m: m.fliplr(X),
    "flipud": lambda m: m.flipud(Z),
    "fmax": lambda m: m.fmax(*PAIRS),
    "fmin": lambda m: m.fmin(*PAIRS),
    "fmod": lambda m: (m.fmod(X, Y), m.fmod(N, np.where(M == 0, 1, M)), m.fmod(X, 0.25)),
    "gcd": lambda m: (m.gcd(N, M), m.gcd(N, 12), m.gcd(0, M)),
    "geomspace": lambda m: (m.geomspace(1, 1000, 7), m.geomspace(-2, -0.5, 4, endpoint=False)),
    "hamming": lambda m: m.hamming(8),
    "hanning": lambda m: m.hanning(8),
    "heaviside": lambda m: (m.heaviside(ODD, 0.5), m.heaviside(X, Y)),
    "histogram": lambda m: (
        *m.histogram(X), *m.histogram(X, 5, (-1, 1)), *m.histogram(X, np.sort(W)), *m.histogram(np.full(5, 3.0), 4),
        *m.histogram(X, 4, weights=Y), *m.histogram(X, np.sort(W), density=True),
    ),
    "hsplit": lambda m: (*m.hsplit(X, 3), *m.hsplit(V, 3)),
    "hstack": lambda m: (m.hstack([X, Y]), m.hstack([V, W])),
    "identity": lambda m: m.identity(3),
    "imag": lambda m: m.imag(X),
    "invert": lambda m: m.invert(N),
    "isclose": lambda m: (m.isclose(*PAIRS), m.isclose(X, X + 1e-6), m.isclose(*PAIRS, equal_nan=True)),
    "isin": lambda m: (m.isin(N, M), m.isin(N, M, invert=True)),
    "isneginf": lambda m: m.isneginf(ODD),
    "isposinf": lambda m: m.isposinf(ODD),
    "isreal": lambda m: m.isreal(ODD),
    "kaiser": lambda m: m.kaiser(9, 5.0),
    "lcm": lambda m: (m.lcm(N, M), m.lcm(N, 12)),
    "ldexp": lambda m: (m.ldexp(X, M), m.ldexp(np.float32(1e-30), np.int32(140))),
    "left_shift": lambda m: m.left_shift(N, 3),
    "logaddexp2": lambda m: m.logaddexp2(X, 40 * Y),
    "logspace": lambda m: (m.logspace(0, 3, 7), m.logspace(1, -1, 5, base=2.0, endpoint=False)),
    "median": lambda m: (m.median(X), m.median(X, 1), m.median(Z, (0, 2), keepdims=True), m.median(HOLES, 0)),
    "mod": lambda m: m.mod(X, Y),
    "nan_to_num": lambda m: (m.nan_to_num(ODD), m.nan_to_num(ODD, nan=3.0, posinf=1.0, neginf=-2.0), m.nan_to_num(N)),
    "nanargmax": lambda m: m.nanargmax(HOLES[:2], 1),
    "nanargmin": lambda m: m.nanargmin(HOLES[:2], 1),
    "nancumprod": lambda m: m.nancumprod(HOLES, 1),
    "nancumsum": lambda m: m.nancumsum(HOLES, 0),
    "nanmax": lambda m: (m.nanmax(HOLES, 1), m.nanmax(HOLES), m.nanmax(N, 1)),
    "nanmean": lambda m: (m.nanmean(HOLES, 1), m.nanmean(HOLES, keepdims=True)),
    "nanmedian": lambda m: (m.nanmedian(HOLES, 1), m.nanmedian(HOLES, 0), m.nanmedian(HOLES, keepdims=True)),
    "nanmin": lambda m: (m.nanmin(HOLES, 1), m.nanmin(HOLES)),
    "nanpercentile": lambda m: (m.nanpercentile(HOLES, 30.0, 1), m.nanpercentile(HOLES, [0.0, 50, 100], 0)),
    "nanprod": lambda m: m.nanprod(HOLES, 1),
    "nanquantile": lambda m: (m.nanquantile(HOLES, 0.3), m.nanquantile(HOLES, [0.1, 1.0], (0, 1))),
    "nanstd": lambda m: m.nanstd(HOLES, 1),
    "nansum": lambda m: (m.nansum(HOLES, 1), m.nansum(N)),
    "nanvar": lambda m: (m.nanvar(HOLES, 1), m.nanvar(HOLES, keepdims=True)),
    "percentile": lambda m: (m.percentile(X, 30.0), m.percentile(X, [0, 25.0, 100], 1)),
    "ptp": lambda m: (m.ptp(X, 1), m.ptp(N)),
    "quantile": lambda m: [
        m.quantile(a, q, axis, method=k)
        for k in ("linear", "lower", "higher", "midpoint", "nearest")
        for a, q, axis in ((X, 0.3, None), (Z, [0.0, 0.5, 1.0], (0, 2)), (HOLES, 0.9, 0), (ODD[ODD == ODD], 0.5, None))
    ],
    "rad2deg": lambda m: m.rad2deg(X),
    "ravel": lambda m: m.ravel(Z),
    "real": lambda m: m.real(X),
    "right_shift": lambda m: m.right_shift(N, 2),
    "rint": lambda m: m.rint(X),
    "round": lambda m: [m.round(a, k) for a in (100 * X, Y.astype("float64"), N, ODD, V * 1e9) for k in (-2, 0, 3)],
    "rot90": lambda m: [m.rot90(a, k, axes) for a, axes in ((X, (0, 1)), (Z, (2, 0))) for k in (-1, 0, 1, 2, 3)],
    "select": lambda m: (
        m.select([X > 1, X > 0], [X, Y], 7.0), m.select([X > 9], [X]), m.select([X > 1], [X], default=Y),
    ),
    "sinc": lambda m: (m.sinc(X), m.sinc(np.float32(0))),
    "split": lambda m: (*m.split(X, 2), *m.split(X, np.int64(4)), *m.split(X, [1, 5], axis=1), *m.split(X, (2, 2, 9))),
    "trapezoid": lambda m: (m.trapezoid(X), m.trapezoid(X, axis=0, dx=0.5), m.trapezoid(X, np.arange(6.0) ** 2)),
    "tri": lambda m: (m.tri(3), m.tri(3, 5, 1), m.tri(4, 2, -1)),
    "true_divide": lambda m: m.true_divide(X, Y),
    "unravel_index": lambda m: m.unravel_index(np.arange(24).reshape(4, 6), (2, 3, 4)),
    "vander": lambda m: (m.vander(W), m.vander(W, 2), m.vander(W, 5, increasing=True), m.vander(W, 1)),
    "vsplit": lambda m: m.vsplit(X, 2),
    "vstack": lambda m: (m.vstack([X, Y]), m.vstack([V, V])),
}  # fmt: skip


def leaves(value: Any) -> list[Array]:
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, list | tuple) else [np.asarray(value)]


def check_as_numpy(call: Callable[[Any], Any], close: float) -> None:
    """Compares a call of tilec.numpy with one of NumPy; `close` is the tolerance of float64, that of others is 3e-6."""
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *a, **k: None)
        wanted = leaves(call(np))
    found = leaves(call(tnp))
    assert len(found) == len(wanted)
    for f, w in zip(found, wanted):
        assert f.shape == w.shape
        assert f.dtype.kind == w.dtype.kind or {f.dtype.kind, w.dtype.kind} <= set("iu")
        tolerance = close if f.dtype == np.float64 else 3e-6
        np.testing.assert_allclose(f, w, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CALLS)
def test_as_numpy(name: str) -> None:
    check_as_numpy(CALLS[name], 3e-6)


def test_there_is_a_test_for_every_function() -> None:
    import ast
    import inspect

    from tilec.numpy import counting, curves, mathematics, names, nans, parts, quantiles

    for module in (counting, curves, mathematics, names, nans, parts, quantiles):
        tree = ast.parse(inspect.getsource(module))
        own = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")}
        others = {"allclose", "argpartition", "partition", "bincount", "bitwise_count", "convolve", "cov"}
        assert own <= set(CALLS) | others


def test_partitions_are_partitions() -> None:
    """partition and argpartition"""
    for kth in (0, 3, -1):
        part = tnp.partition(X, kth, axis=1)
        assert np.array_equal(part[:, kth], np.partition(X, kth, axis=1)[:, kth])
        assert np.array_equal(np.take_along_axis(X, tnp.argpartition(X, kth), 1), part)


def test_bins_of_integers() -> None:
    """bincount: integers beyond the length, which shapes must not depend on, and negative ones are not counted"""
    x = np.array([3, 1, 1, 9, -1, 0])
    assert tnp.bincount(x, length=4).tolist() == [1, 2, 0, 1]
    assert tnp.bincount(x, weights=np.arange(6.0), length=4).tolist() == [5, 3, 0, 0]


def test_all_close() -> None:
    assert tnp.allclose(X, X + 1e-7) and not tnp.allclose(X, X + 1) and not tnp.allclose(HOLES, HOLES)
    assert tnp.allclose(HOLES, HOLES, equal_nan=True)


def test_limits_of_integers() -> None:
    low = np.array([-128, 127, 100], "int8")
    assert np.array_equal(tnp.gcd(low, np.array([96, 0, 75], "int8")), [32, 127, 25])
    wide = np.array([2**62, 1836311903, 2971215073])
    assert np.array_equal(tnp.gcd(wide, np.array([6, 1134903170, 1836311903])), [2, 1, 1])


def test_sixteen_bits_are_added_up_in_more() -> None:
    """bincount, histogram and nanquantile of many elements"""
    ones = np.ones(5000, np.float16)
    counts = tnp.bincount(np.zeros(5000, np.int32), ones, length=2)
    assert counts.dtype == np.float16 and counts.tolist() == [5000, 0]
    assert tnp.bincount(np.zeros(500, np.int32), np.ones(500, bool), length=1).tolist() == [500]
    x = np.random.default_rng(0).random(70_000).astype(np.float16)
    np.testing.assert_allclose(tnp.histogram(x, 4, density=True)[0], np.ones(4), rtol=0.02)
    steps = np.arange(5001).astype(np.float16)
    assert tnp.nanquantile(steps, 0.37) == np.nanquantile(steps.astype(np.float64), 0.37) == 1850


def test_fmod_of_what_is_small() -> None:
    """Nothing is lost beside the larger number."""
    a, b = np.array([-1e-20, 1e-20, -5.5, 5.5, -0.0]), np.array([3.0, -3.0, 2.0, -2.0, 1.0])
    found = tnp.fmod(a, b)
    assert np.array_equal(found, np.fmod(a, b)) and np.array_equal(np.signbit(found), np.signbit(a))


def test_average_is_of_the_type_of_both() -> None:
    x, weights = np.arange(4, dtype=np.float16), np.array([1.0, 1e-5, 0, 0])
    assert tnp.average(x, weights=weights) == np.average(x, weights=weights)


WRONG: dict[str, tuple[str, Callable[[], Any]]] = {
    "a share above one": ("TILE0511", lambda: tnp.quantile(X, 1.5)),
    "a share below zero": ("TILE0511", lambda: tnp.percentile(X, [-1.0, 3])),
    "a share in words": ("TILE0210", lambda: tnp.quantile(X, WORD)),
    "an unknown method": ("TILE0511", lambda: tnp.quantile(X, 0.5, method="cubic")),
    "a median of nothing": ("TILE0403", lambda: tnp.median(X[:0])),
    "unequal parts": ("TILE0209", lambda: tnp.split(X, 3)),
    "no parts": ("TILE0209", lambda: tnp.array_split(X, 0)),
    "parts in words": ("TILE0210", lambda: tnp.split(X, WORD)),
    "no such element": ("TILE0225", lambda: tnp.partition(W, len(W))),
    "no element before it": ("TILE0225", lambda: tnp.argpartition(W, -len(W) - 1)),
    "columns below zero": ("TILE0211", lambda: tnp.vander(W, -1)),
    "no third axis": ("TILE0212", lambda: tnp.dsplit(X, 2)),
    "float bins": ("TILE0304", lambda: tnp.bincount(X, length=3)),
    "other weights": ("TILE0202", lambda: tnp.bincount(np.arange(3), weights=W, length=3)),
    "no bins": ("TILE0511", lambda: tnp.histogram(X, 0)),
    "a matrix of bins": ("TILE0511", lambda: tnp.histogram(X, X)),
    "a range backwards": ("TILE0511", lambda: tnp.histogram(X, 3, (1, 0))),
    "half a range": ("TILE0511", lambda: tnp.histogram(X, 3, (1,))),
    "float numbers": ("TILE0304", lambda: tnp.unravel_index(X, (2, 2))),
    "a plane of one axis": ("TILE0212", lambda: tnp.rot90(X, axes=(1, 1))),
    "a mode": ("TILE0511", lambda: tnp.correlate(V, W, "wide")),
    "matrices": ("TILE0202", lambda: tnp.correlate(X, X)),
    "through zero": ("TILE0511", lambda: tnp.geomspace(-1, 1)),
    "a choice too few": ("TILE0204", lambda: tnp.select([X > 0, X > 1], [X])),
    "powers of a matrix": ("TILE0202", lambda: tnp.vander(X)),
    "decimals without end": ("TILE0511", lambda: tnp.round(X, 400)),
    "half a decimal": ("TILE0210", lambda: tnp.round(X, 0.5)),  # type: ignore[arg-type]
    "weights of two axes": ("TILE0202", lambda: tnp.average(X, weights=W)),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes(name: str) -> None:
    assert __file__ in refused(*WRONG[name])
