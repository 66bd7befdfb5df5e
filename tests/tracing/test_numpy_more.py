"""Edits, places, slopes, polynomials and special functions against NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.refusals import WORD, code_of
from tests.tracing.test_array_api import check_slope
from tests.tracing.test_numpy_names import HOLES, ODD, RNG, check_as_numpy, leaves

Array = np.ndarray[Any, Any]
X, Z = RNG.normal(size=(4, 6)), RNG.normal(size=(2, 3, 5))
V, W = RNG.normal(size=9), RNG.normal(size=4)
N, M = RNG.integers(-20, 20, (4, 6)).astype("int32"), RNG.integers(0, 4, (4, 6)).astype("int32")
NONE, ONE = X[:0], np.array([2.5])
PLACES = np.sort(RNG.random(9)) * 4
TALL = RNG.normal(size=(11, 3))
BYTES = np.array([-128, 127, 0, -1, 85], "int8")
EDGES: tuple[Any, ...] = (
    0,
    -1,
    4,
    -5,
    slice(1, 4),
    slice(None, None, 2),
    slice(4, None, -2),
    [0, 2, 2],
    [3],
    [],
    np.array([-1, 1]),
)

# name: a call, with the module as m; float64, so that the tolerance is a narrow one
CALLS: dict[str, Callable[[Any], Any]] = {
    "array_equal": lambda m: [
        m.array_equal(a, b, equal_nan=k)
        for a, b in ((X, X), (X, X + 1), (X, V), (HOLES, HOLES), (NONE, NONE), (NONE, X[:, :0]), (N, N.astype("f4")))
        for k in (False, True)
    ],
    "array_equiv": lambda m: [m.array_equiv(a, b) for a, b in ((X, X), (X[:1], X[0]), (X, X[0]), (X, V), (ONE, 2.5))],
    "around": lambda m: m.around(X, 2),
    "atleast_1d": lambda m: (m.atleast_1d(2.0), m.atleast_1d(X), *m.atleast_1d(1.0, V)),
    "atleast_2d": lambda m: (m.atleast_2d(2.0), m.atleast_2d(V), *m.atleast_2d(Z, NONE)),
    "atleast_3d": lambda m: (m.atleast_3d(2.0), m.atleast_3d(V), *m.atleast_3d(X, Z)),
    "bitwise_count": lambda m: [m.bitwise_count(a) for a in (N, BYTES, BYTES.view("uint8"), N.astype("int64") << 40)],
    "block": lambda m: (
        m.block([[X, X], [X[:2], X[:2]]]),
        m.block([V, 1.0, W]), m.block([[V], [V]]), m.block(V), m.block([[[Z]], [[Z]]]),
        m.block([[1.0, 2.0], [3.0, 4.0]]),
    ),
    "choose": lambda m: (
        m.choose(M, [X, -X, 0.5, 2 * X], mode="clip"), m.choose(N, [X, -X, X[0]], mode="wrap"),
        m.choose(N, [X], mode="clip"), m.choose(M[0], X, mode="clip"),
    ),
    "column_stack": lambda m: (m.column_stack([V, 2 * V]), m.column_stack([X, W, X]), m.column_stack([V])),
    "convolve": lambda m: [
        m.convolve(a, b, k) for k in ("full", "same", "valid") for a, b in ((V, W), (W, V), (V, W[:3]), (W[:1], V[:2]))
    ],
    "cov": lambda m: (
        m.cov(X), m.cov(X, rowvar=False), m.cov(V), m.cov(V[:4], W), m.cov(X, X * X, rowvar=False), m.cov(X, bias=True),
        m.cov(X[:, :1]), m.cov(X, fweights=np.array([1, 2, 0, 3, 1, 1])), m.cov(X, aweights=abs(X[0])),
        m.cov(X, fweights=np.array([1, 2, 0, 3, 1, 1]), aweights=abs(X[0]), bias=True),
    ),
    "corrcoef": lambda m: (m.corrcoef(X), m.corrcoef(X, rowvar=False), m.corrcoef(V[:4], W), m.corrcoef(X, 2 - X)),
    "degrees": lambda m: m.degrees(X),
    "delete": lambda m: [
        m.delete(a, k, axis)
        for a, axis in ((X, 1), (V, None), (X, None), (Z, -1))
        for k in (*EDGES, np.arange(a.size if axis is None else a.shape[axis]) % 5 < 2)
    ],
    "diag_indices": lambda m: (*m.diag_indices(4), *m.diag_indices(2, 3), *m.diag_indices(0)),
    "diag_indices_from": lambda m: m.diag_indices_from(X[:, :4]),
    "divmod": lambda m: (*m.divmod(X, 0.3), *m.divmod(N, M + 1), *m.divmod(N, -7)),
    "ediff1d": lambda m: (
        m.ediff1d(X), m.ediff1d(V, to_end=W), m.ediff1d(N, 7, N[0]), m.ediff1d(ONE), m.ediff1d(NONE),
        m.ediff1d(ONE, 1.0),
    ),
    "fix": lambda m: m.fix(ODD),
    "float_power": lambda m: (m.float_power(abs(X), X), m.float_power(X, 3.0)),
    "frexp": lambda m: [
        m.frexp(x)
        for x in (ODD, X, np.array([1e-45, 1e-40, 3e38, 1.0], "f4"), np.array([5e-324, 1.7e308, -1e-310, 0.5]))
    ],
    "fromfunction": lambda m: (m.fromfunction(lambda i, j: i + 2 * j, (3, 4)), m.fromfunction(lambda i: i, (0,))),
    "gradient": lambda m: (
        m.gradient(V), m.gradient(V, 0.5, edge_order=2), m.gradient(V, PLACES), m.gradient(V, PLACES, edge_order=2),
        *m.gradient(X), *m.gradient(X, 2.0, np.arange(6.0) ** 2, edge_order=2), m.gradient(X, axis=1),
        *m.gradient(Z, 0.5, axis=(-1, 1), edge_order=2), m.gradient(V[:2]), m.gradient(V[:3], PLACES[:3], edge_order=2),
        m.gradient(NONE, axis=1),
    ),
    "i0": lambda m: (m.i0(X), m.i0(np.array([0.0, 8, -8, 8.1, 30, 700, -100]))),
    "indices": lambda m: (m.indices((2, 3)), m.indices((4,)), m.indices((2, 0)), *m.indices((2, 3), sparse=True)),
    "insert": lambda m: [
        m.insert(a, k, values, axis)
        for a, axis, values in ((X, 1, 7.0), (X, 1, X[:, :1]), (V, None, 1.5), (X, None, np.float64(2)), (Z, 2, 3),
                                (N.T, 0, 2))
        for k in EDGES
    ] + [
        m.insert(X, 1, W, 1), m.insert(X, [1], W[:, None], 1), m.insert(X, [1, 2], X[:, :2], 1), m.insert(V, 2, W),
        m.insert(V, [2, 5, 2, 9], W), m.insert(NONE, 0, 1.0, 0), m.insert(X, slice(0, 2), np.ones((4, 2)), axis=1),
        m.insert(X, 1, np.ones((3, 4)), 1),
    ],
    "interp": lambda m: [
        m.interp(x, p, f, **more)
        for x in (4 * X, np.float64(1.0), PLACES, np.array([]), ODD)
        for p, f, more in (
            (PLACES, V, {}), (PLACES, V, {"left": -1.0, "right": 9}), (np.array([0.0, 1, 1, 2]), W, {}),
            (PLACES[::-1], V, {"period": 2.5}),
        )
        if x is not ODD or "period" not in more
    ] + [m.interp(X, ONE, ONE), m.interp(X, ONE, ONE, 1, 2)],
    "ix_": lambda m: (*m.ix_(N[0], M[0]), *m.ix_(M[0])),
    "lexsort": lambda m: (m.lexsort((N[0], M[0])), m.lexsort(M), m.lexsort((N, M), axis=0), m.lexsort([V])),
    "matvec": lambda m: (m.matvec(X, V[:6]), m.matvec(Z, Z[:, 0])),
    "modf": lambda m: (*m.modf(ODD), *m.modf(10 * X)),
    "piecewise": lambda m: (
        m.piecewise(X, [X < 0, X > 1], [lambda v: -v, lambda v: v * v]), m.piecewise(X, [X < 0], [1.0, 2.0]),
        m.piecewise(X, [X < 0, X < 0.5], [lambda v: v, 5.0, 3.0]), m.piecewise(N, [N > 3], [lambda v: 2 * v]),
    ),
    "poly": lambda m: (m.poly(W), m.poly(ONE)),
    "polyadd": lambda m: (m.polyadd(V, W), m.polyadd(W, V), m.polyadd(W, W)),
    "polyder": lambda m: (m.polyder(V), m.polyder(V, 3), m.polyder(V, 0), m.polyder(ONE), m.polyder(N[0], 2)),
    "polyint": lambda m: (m.polyint(V), m.polyint(V, 2), m.polyint(W, k=2.0)),
    "polymul": lambda m: (m.polymul(V, W), m.polymul(ONE, W)),
    "polysub": lambda m: (m.polysub(V, W), m.polysub(W, V)),
    "polyval": lambda m: (m.polyval(V, X), m.polyval(W, 2.0), m.polyval(ONE, X), m.polyval(W, NONE)),
    "radians": lambda m: m.radians(X),
    "ravel_multi_index": lambda m: (
        m.ravel_multi_index((M, M % 2, N), (4, 2, 5), mode="wrap"), m.ravel_multi_index((M, N), (3, 6), mode="clip"),
    ),
    "resize": lambda m: [
        m.resize(x, shape) for x, shape in ((X, (5, 7)), (V, 4), (ONE, (2, 3)), (NONE, (2, 2)), (X, (0,)))
    ],
    "spacing": lambda m: (m.spacing(X), m.spacing(np.array([1.0, -3.0, 1e30], "f4"))),
    "tril_indices": lambda m: [m.tril_indices(*a) for a in ((4,), (3, 1, 5), (4, -2, 3), (0,))],
    "tril_indices_from": lambda m: m.tril_indices_from(X, -1),
    "triu_indices": lambda m: (*m.triu_indices(4), *m.triu_indices(3, 1, 5), *m.triu_indices(1)),
    "triu_indices_from": lambda m: m.triu_indices_from(X, 2),
    "unwrap": lambda m: (
        m.unwrap(np.cumsum(4 * X, 1) % 6), m.unwrap(9 * X, axis=0), m.unwrap(9 * X, 4.0), 
        m.unwrap(9 * Z, period=3.0, axis=1),
        m.unwrap(N, period=7), m.unwrap(N, period=8, axis=0), m.unwrap(NONE), m.unwrap(np.pi * np.arange(5.0) % 6.5),
    ),
    "vecmat": lambda m: (m.vecmat(W, X), m.vecmat(Z[:, 0, :3], Z)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_as_numpy(name: str) -> None:
    check_as_numpy(CALLS[name], 1e-12)


def test_there_is_a_test_for_every_function() -> None:
    import ast
    import inspect

    from tilec.numpy import choosing, editing, joining, polynomials, positions, sets, slopes, special

    others = {"nonzero", "unique", "argwhere", "flatnonzero", "union1d", "of_rank", "moved_inside"}  # test_sets.py
    scipys = {"erfc", "erfinv", "lgamma", "digamma", "inverse_erf", "log_gamma", "log_gamma_slope"}  # below
    in_place = {"put_along_axis", "fill_diagonal", "ndim", "shape", "size", "broadcast_shapes"}
    for module in (choosing, editing, joining, polynomials, positions, sets, slopes, special):
        tree = ast.parse(inspect.getsource(module))
        own = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")}
        assert own <= set(CALLS) | others | scipys | in_place


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint64", "bool"])
@pytest.mark.parametrize("shape", [(4, 6), (1,), (5, 0), (2, 3, 4)], ids=str)
def test_values_are_put(shape: tuple[int, ...], dtype: str) -> None:
    """put_along_axis: as NumPy does it in place; the last of several stays, what is outside is dropped"""
    x = RNG.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)
    for axis in (*range(len(shape)), -1, None):
        flat = x.reshape(-1) if axis is None else x
        along = 0 if axis is None else axis
        places = np.argsort(RNG.random(flat.shape), axis=along)
        values = RNG.integers(0, 2, places.shape).astype(dtype)
        for given in (values, np.ones((), dtype)):
            wanted = x.copy()
            np.put_along_axis(wanted, places, given, axis)
            found = tnp.put_along_axis(x, places, given, axis)
            assert found.dtype == x.dtype and np.array_equal(found, wanted)
    assert tnp.put_along_axis(V, np.array([2, 2, 99, -1]), W, 0).tolist() == [*V[:2], W[1], *V[3:8], W[3]]


@pytest.mark.parametrize("wrap", [False, True])
def test_diagonals_are_filled(wrap: bool) -> None:
    """fill_diagonal: as NumPy does it in place"""
    cube = RNG.normal(size=(3, 3, 3))
    for x in (X, TALL, X.T, cube, N, np.zeros((0, 3)), np.ones((1, 1))):
        for value in (7, np.array([1, 2, 3]), np.array([4.0])):
            wanted = x.copy()
            np.fill_diagonal(wanted, value, wrap=wrap)
            assert np.array_equal(tnp.fill_diagonal(x, value, wrap=wrap), wanted)


def test_what_shapes_say() -> None:
    @tilec.jit
    def function(x: Any) -> Any:
        assert tnp.ndim(x) == 2 and tnp.shape(x) == (4, 6) and tnp.size(x) == 24 and tnp.size(x, 1) == 6
        return x[tnp.tril_indices_from(x)], x[tnp.ix_(tnp.arange(2), tnp.asarray([3, 0]))]

    corner, part = function(X)
    assert np.array_equal(corner, X[np.tril_indices(4, m=6)]) and np.array_equal(part, X[np.ix_([0, 1], [3, 0])])
    assert tnp.shape(3.0) == () and tnp.size(X) == 24 and tnp.ndim(X) == 2
    assert tnp.broadcast_shapes((3, 1), 4, (2, 1, 1)) == np.broadcast_shapes((3, 1), 4, (2, 1, 1))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_special_functions(dtype: str) -> None:
    """erfc, erfinv, lgamma, digamma, i0: against SciPy"""
    special = pytest.importorskip("scipy.special", reason="the functions are SciPy's")
    close = {"float16": 1e-3, "float32": 2e-6, "float64": 4e-14}[dtype]
    wide = np.concatenate([RNG.normal(size=40) * 3, RNG.random(20) * 20, [0.0, 1, 2, -0.5, 0.5, 3, 8, -8, 7.9, np.nan]])
    unit = np.concatenate([RNG.random(50) * 2 - 1, [0.0, 1, -1, 2, 0.999, -0.99, 1e-3, np.nan]])
    ends = np.array([np.inf, -np.inf, 0, -1, -2, 27, 100, -100])
    for name, wanted, x in (
        ("erfc", special.erfc, np.concatenate([wide, ends])),
        ("erfinv", special.erfinv, unit),
        ("i0", special.i0, wide),
        ("lgamma", special.gammaln, np.concatenate([wide, ends[[0, 2, 3, 4, 5, 6]]])),
        ("digamma", special.digamma, wide[wide != 0]),
    ):
        given = x.astype(dtype)
        found = getattr(tnp, name)(given)
        assert found.dtype == given.dtype
        with np.errstate(over="ignore"):
            exact = wanted(given.astype("float64")).astype(dtype)
        least = 5 * close if name in ("lgamma", "digamma") else 1e-7 if dtype == "float16" else 1e-38
        np.testing.assert_allclose(found, exact, rtol=close, atol=least)


SLOPES: dict[str, tuple[Any, ...]] = {
    "polyval": (lambda m, p, x: m.polyval(p, x), W, X),
    "interp": (lambda m, x, p, f: m.interp(x, p, f), 4 * X, PLACES, V),
    "unwrap": (lambda m, x: m.unwrap(x), 9 * X),
    "gradient": (lambda m, x, p: m.gradient(x, p, edge_order=2), V, PLACES),
    "cov": (lambda m, x, w: m.cov(x, aweights=w * w), X, X[0]),
    "corrcoef": (lambda m, x: m.corrcoef(x, rowvar=False), X),
    "modf": (lambda m, x: m.modf(x)[0], 3 * X),
    "frexp": (lambda m, x: m.frexp(x)[0], 3 * X),
    "i0": (lambda m, x: m.i0(x), X),
    "insert": (lambda m, x, v: m.insert(x, [1, 3], v, axis=1), X, X[:, :2]),
    "delete": (lambda m, x: m.delete(x, [1, 3], axis=0), X),
    "choose": (lambda m, x: m.choose(M, [x, x * x, 0.5, x], mode="clip"), X),
    "piecewise": (lambda m, x: m.piecewise(x, [x < 0, x > 1], [lambda v: v * v, lambda v: v * v * v, 2.0]), X),
    "poly": (lambda m, x: m.poly(x), W),
}


@pytest.mark.parametrize("name", SLOPES)
def test_slopes(name: str) -> None:
    check_slope(*SLOPES[name])


def test_slopes_of_special_functions() -> None:
    step = 1e-6
    for name, x in (("erfc", X), ("erfinv", np.tanh(X)), ("lgamma", 3 * X), ("digamma", 3 * X)):
        function = getattr(tnp, name)
        found = tilec.grad(lambda a, f=function: f(a).sum())(x)
        np.testing.assert_allclose(found, (function(x + step) - function(x - step)) / (2 * step), rtol=2e-6, atol=1e-8)
    assert tilec.grad(lambda a: tnp.erfinv(a))(np.float64(0)) == pytest.approx(np.sqrt(np.pi) / 2)


WRONG: dict[str, tuple[str, Callable[[], Any]]] = {
    "blocks of other depths": ("TILE0505", lambda: tnp.block([[X], X])),
    "no blocks": ("TILE0505", lambda: tnp.block([[]])),
    "blocks of other rows": ("TILE0203", lambda: tnp.block([X, X[:2]])),
    "columns of one tensor": ("TILE0505", lambda: tnp.column_stack(X)),  # type: ignore[arg-type]
    "no such slice": ("TILE0225", lambda: tnp.delete(X, 6, 1)),
    "a short mask": ("TILE0304", lambda: tnp.delete(X, np.array([True]), 1)),
    "half a slice": ("TILE0304", lambda: tnp.delete(X, 0.5, 1)),
    "inserted too far": ("TILE0225", lambda: tnp.insert(X, 7, 0.0, 1)),
    "values of other rows": ("TILE0203", lambda: tnp.insert(X, 0, np.ones(5), 1)),
    "too many axes": ("TILE0203", lambda: tnp.insert(V, 0, np.ones((1, 1, 1)))),
    "a value of another type": ("TILE0511", lambda: tnp.insert(BYTES, 0, 300)),
    "places of rank 1": ("TILE0202", lambda: tnp.put_along_axis(X, N[0], 1.0, 0)),
    "float places": ("TILE0304", lambda: tnp.put_along_axis(X, X, 1.0)),
    "the diagonal of a vector": ("TILE0202", lambda: tnp.fill_diagonal(V, 0.0)),
    "the diagonal of a box": ("TILE0203", lambda: tnp.fill_diagonal(Z, 0.0)),
    "slopes of a point": ("TILE0511", lambda: tnp.gradient(ONE)),
    "slopes of another order": ("TILE0511", lambda: tnp.gradient(V, edge_order=3)),
    "a place too few": ("TILE0208", lambda: tnp.gradient(V, V[1:])),
    "a spacing too many": ("TILE0204", lambda: tnp.gradient(V, 1.0, 2.0)),
    "points of a matrix": ("TILE0202", lambda: tnp.interp(V, X, X)),
    "points without values": ("TILE0208", lambda: tnp.interp(V, PLACES, W)),
    "no points": ("TILE0403", lambda: tnp.interp(V, V[:0], V[:0])),
    "no period": ("TILE0210", lambda: tnp.unwrap(V, period=0)),
    "a period in words": ("TILE0210", lambda: tnp.interp(V, PLACES, V, period=WORD)),
    "float axes of a grid": ("TILE0304", lambda: tnp.ix_(V)),
    "a matrix of a grid": ("TILE0202", lambda: tnp.ix_(N)),
    "a size below zero": ("TILE0211", lambda: tnp.tril_indices(-1)),
    "a triangle of a vector": ("TILE0202", lambda: tnp.triu_indices_from(V)),
    "a diagonal that is none": ("TILE0203", lambda: tnp.diag_indices_from(X)),
    "a triangle without end": ("TILE0416", lambda: tnp.tril_indices(1 << 20)),
    "an index too many": ("TILE0204", lambda: tnp.ravel_multi_index((N, N), (3,))),
    "float indices": ("TILE0304", lambda: tnp.ravel_multi_index((V,), (3,))),
    "indices that raise": ("TILE0511", lambda: tnp.ravel_multi_index((N,), (3,), mode="raise")),
    "choices that raise": ("TILE0511", lambda: tnp.choose(M, [X, X], mode="raise")),
    "float choices": ("TILE0304", lambda: tnp.choose(X, [X, X])),
    "no choice": ("TILE0505", lambda: tnp.choose(M, [])),
    "a function too few": ("TILE0204", lambda: tnp.piecewise(X, [X > 0, X > 1], [1.0])),
    "no keys": ("TILE0505", lambda: tnp.lexsort([])),
    "keys of other shapes": ("TILE0203", lambda: tnp.lexsort([V, W])),
    "a matrix of coefficients": ("TILE0202", lambda: tnp.polyval(X, V)),
    "a derivative below zero": ("TILE0211", lambda: tnp.polyder(V, -1)),
    "weights of covariances": ("TILE0203", lambda: tnp.cov(X, aweights=W)),
    "covariances of a box": ("TILE0202", lambda: tnp.cov(Z)),
    "bits of floats": ("TILE0304", lambda: tnp.bitwise_count(X)),
    "a vector of vectors": ("TILE0202", lambda: tnp.matvec(V, V)),
    "no such size": ("TILE0212", lambda: tnp.size(X, 2)),
    "a slice of words": ("TILE0304", lambda: tnp.delete(X, slice(WORD), 0)),
    "lists that differ": ("TILE0304", lambda: tnp.insert(X, [[1, 2], [0]], 0.0)),
    "a byte put too large": ("TILE0511", lambda: tnp.put_along_axis(BYTES, N[0, :1] * 0, 300)),
    "a byte too large on a diagonal": ("TILE0511", lambda: tnp.fill_diagonal(np.eye(2, dtype="uint8"), 300)),
    "a byte too large at the end": ("TILE0511", lambda: tnp.ediff1d(BYTES, to_end=300)),
    "the shape of lists": ("TILE0505", lambda: tnp.shape([[1], [1, 2]])),
    "no function": ("TILE0505", lambda: tnp.fromfunction(WORD, (2,))),
    "no functions": ("TILE0505", lambda: tnp.piecewise(V, [V > 0], WORD)),
    "conditions of another shape": ("TILE0203", lambda: tnp.piecewise(V, [np.ones((2, 9)) > 0], [1.0])),
    "a triangle of a number": ("TILE0202", lambda: tnp.tril_indices_from(2.0)),
    "places of nothing": ("TILE0511", lambda: tnp.ravel_multi_index((N,), (0,))),
    "places without number": ("TILE0511", lambda: tnp.ravel_multi_index((N, N), (2**40, 2**40))),
    "a correction in words": ("TILE0210", lambda: tnp.cov(X, correction=WORD)),
    "another correction in words": ("TILE0210", lambda: tnp.var(X, correction=WORD)),
    "a correction of NaN": ("TILE0210", lambda: tnp.std(X, correction=float("nan"))),
    "a jump in words": ("TILE0210", lambda: tnp.unwrap(V, WORD)),
    "shapes that differ": ("TILE0203", lambda: tnp.broadcast_shapes((2,), (3,))),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes(name: str) -> None:
    code, call = WRONG[name]
    assert code_of(call) == code


def test_large_unsigned_indices_are_out_of_range() -> None:
    for dtype in ("uint32", "uint64"):
        places = np.array([np.iinfo(dtype).max, np.iinfo(dtype).max // 2 + 1, 1], dtype)
        np.testing.assert_array_equal(tnp.put_along_axis(np.zeros(3), places, 7.0), [0, 7, 0])


def test_piecewise_by_rows_of_conditions() -> None:
    """NumPy's conditions may be one array, whose first axis counts them."""
    conditions, functions = np.stack([V < 0, V > 1]), (1.0, lambda x: x * x, 3.0)
    found = tilec.jit(lambda x, c: tnp.piecewise(x, c, functions))(V, conditions)
    np.testing.assert_allclose(found, np.piecewise(V, conditions, [*functions]))


def test_choices_by_conditions() -> None:
    np.testing.assert_array_equal(tnp.choose(V > 0, [V, -V]), np.choose(V > 0, [V, -V]))


def test_what_is_not_finite_between_points() -> None:
    """Slopes do not take the point itself; after a NaN no angle is known; lines end at infinite values and places."""
    holes = np.array([1, np.nan, 3, 4, 5, np.inf, 1])
    np.testing.assert_array_equal(tnp.gradient(holes), np.gradient(holes))
    angles = np.array([0, np.nan, 7, 1])
    np.testing.assert_array_equal(tnp.unwrap(angles), np.unwrap(angles))
    at, places = np.array([-2, -1, 0, 0.5, 1, 1.2, 4, 5]), np.array([-2, 0, 1, 1.5, 4])
    for xp, fp in (
        (places, np.array([np.inf, 1, -np.inf, 2, 3])),
        (np.array([-np.inf, 0, 1, np.inf]), np.array([1.0, 2, 3, 4])),
        (np.array([-np.inf, np.inf]), np.array([2.0, 2])),
    ):
        np.testing.assert_array_equal(tnp.interp(at, xp, fp), np.interp(at, xp, fp))


def test_special_functions_close_to_their_ends() -> None:
    special = pytest.importorskip("scipy.special")
    small = -np.array([1e-3, 1e-20, 1e-30, 1e-300])
    np.testing.assert_allclose(tnp.lgamma(small), special.gammaln(small), rtol=1e-14)
    np.testing.assert_allclose(tnp.digamma(small), special.digamma(small), rtol=1e-14)
    narrow = small[:3].astype("float32")
    np.testing.assert_allclose(tnp.lgamma(narrow), special.gammaln(narrow), rtol=2e-6)
    large = np.array([85, 88.5, 90], "float32")  # exp(90) is more than float32 holds
    np.testing.assert_allclose(tnp.i0(large), special.i0(large.astype("f8")), rtol=5e-6)


def test_diagonals_far_away() -> None:
    assert len(tnp.tril_indices(3, 2**70)[0]) == 9 and len(tnp.triu_indices(3, 2**70)[0]) == 0
    assert len(tnp.tril_indices(3, -(2**70))[0]) == 0 and len(tnp.triu_indices(3, -(2**70))[0]) == 9


def test_methods_of_arrays() -> None:
    """What ndarray has as methods, traced tensors have."""

    def methods(x: Any, i: Any) -> Any:
        return (
            x.argsort(), x.argsort(0), x.cumprod(1), x.cumsum(0, dtype="float64"), x.repeat(2, axis=1), x.diagonal(1),
            x.conj(), x.conjugate(), x.copy(), x.real, x.imag, x[0].searchsorted(0.5), x.var(0, ddof=1), x.std(ddof=1),
            divmod(3.0, x), i.choose([x[0, :4], x[1, :4]], mode="clip"), x.itemsize, x.nbytes, x.squeeze(),
            x.flatten(), x.swapaxes(0, 1),
        )  # fmt: skip

    ordered = np.sort(X, axis=1)
    i = np.array([0, 1, 1, 0])
    for found, wanted in zip(leaves(tilec.jit(methods)(ordered, i)), leaves(methods(ordered, i)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert np.array_equal(tilec.jit(lambda x: x.sort(0))(X), np.sort(X, 0))
    assert np.array_equal(tilec.jit(lambda x: x.ptp(1))(X), np.ptp(X, 1))
    assert tilec.jit(lambda x: x.nonzero(size=2))(np.array([0, 3, 0, 1]))[0].tolist() == [1, 3]
