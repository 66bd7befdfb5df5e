"""Linear algebra against NumPy and SciPy: values, corner cases, derivatives of higher order, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
import tilec.ops as ops
from tests.refusals import refused

RNG = np.random.default_rng(3)
SHAPES = [(1, 1), (3, 3), (5, 3), (3, 5), (7, 1), (1, 4), (2, 4, 4), (2, 1, 5, 2), (0, 3, 3), (0, 0), (0, 3), (2, 3, 0)]
EACH_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)
EACH_SQUARE = pytest.mark.parametrize("shape", [s for s in SHAPES if s[-1] == s[-2]], ids=str)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
CLOSE = {"float32": 2e-5, "float64": 1e-12}


def normal(shape: tuple[int, ...], dtype: str = "float64") -> Any:
    return RNG.normal(size=shape).astype(dtype)


def same(found: Any, wanted: Any) -> None:
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    close = CLOSE[str(wanted.dtype)]
    np.testing.assert_allclose(found, wanted, rtol=close, atol=close)


@DTYPES
@EACH_SHAPE
def test_qr(shape: tuple[int, ...], dtype: str) -> None:
    x = normal(shape, dtype)
    for mode in ("reduced", "complete"):
        for found, wanted in zip(ops.qr(x, mode=mode), np.linalg.qr(x, mode=mode), strict=True):
            same(found, wanted)


@DTYPES
@EACH_SHAPE
def test_svd(shape: tuple[int, ...], dtype: str) -> None:
    x = normal(shape, dtype)
    for full in (False, True):
        for found, wanted in zip(ops.svd(x, full_matrices=full), np.linalg.svd(x, full_matrices=full), strict=True):
            same(found, wanted)
    same(ops.svd(x, compute_uv=False), np.linalg.svd(x, compute_uv=False))
    same(ops.pinv(x), np.linalg.pinv(x))


@DTYPES
@EACH_SQUARE
def test_square_matrices(shape: tuple[int, ...], dtype: str) -> None:
    x = normal(shape, dtype) + 3 * np.eye(shape[-1], dtype=dtype)
    positive = x @ np.swapaxes(x, -1, -2)
    same(ops.inv(x), np.linalg.inv(x))
    same(ops.cholesky(positive), np.linalg.cholesky(positive))
    same(ops.cholesky(positive, upper=True), np.swapaxes(np.linalg.cholesky(positive), -1, -2))


@DTYPES
@EACH_SQUARE
def test_systems(shape: tuple[int, ...], dtype: str) -> None:
    a, n = normal(shape, dtype) + 3 * np.eye(shape[-1], dtype=dtype), shape[-1]
    for right in ((n,), (n, 2), (*shape[:-1], 3)):
        b = normal(right, dtype)
        same(ops.solve(a, b), np.linalg.solve(a, b))
        same(ops.lstsq(a, b), np.linalg.solve(a, b))
    lower = np.tril(a)
    same(ops.cholesky_inverse(a), np.linalg.inv(lower @ np.swapaxes(lower, -1, -2)))
    upper = np.triu(a)
    same(ops.cholesky_inverse(a, upper=True), np.linalg.inv(np.swapaxes(upper, -1, -2) @ upper))


def test_least_squares() -> None:
    """With more rows than columns, fewer, and less than full rank: the shortest solution."""
    for a in (normal((6, 3)), normal((3, 6)), normal((6, 2)) @ normal((2, 4))):
        b = normal((len(a), 2))
        same(ops.lstsq(a, b), np.linalg.lstsq(a, b, rcond=None)[0])


@DTYPES
@EACH_SQUARE
def test_determinants_and_eigenvalues(shape: tuple[int, ...], dtype: str) -> None:
    x = normal(shape, dtype)
    same(np.asarray(ops.det(x)), np.asarray(np.linalg.det(x)))
    for found, wanted in zip(ops.slogdet(x), np.linalg.slogdet(x), strict=True):
        same(np.asarray(found), np.asarray(wanted))
    symmetric = x + np.swapaxes(x, -1, -2)
    for found, wanted in zip(ops.eigh(symmetric), np.linalg.eigh(symmetric), strict=True):
        same(found, wanted)
    values, vectors = (re + 1j * im for re, im in ops.eig(x))
    wide = np.promote_types(np.dtype(dtype), np.complex64)
    np.testing.assert_allclose(x @ vectors, vectors * values[..., None, :], atol=CLOSE[dtype] * 10)
    assert values.astype(wide).shape == shape[:-1]


def test_singular_determinants() -> None:
    x = normal((4, 4))
    x[0] = 2 * x[1]
    sign, log = ops.slogdet(np.zeros((2, 2)))
    assert (sign, log) == (0, -np.inf)
    slope = tilec.grad(lambda x: ops.det(x))
    minors = [[np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(4)] for i in range(4)]
    same(slope(x), np.array(minors) * (-1.0) ** np.add.outer(np.arange(4), np.arange(4)))


@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 5), (40, 40), (30, 50), (50, 30), (2, 3, 17, 18), (0, 2, 2), (3, 0)], ids=str
)
def test_lu_factor(shape: tuple[int, ...]) -> None:
    """The product of the triangles is the matrix with its rows exchanged; and as SciPy's LAPACK has it."""
    x = normal(shape)
    lu, pivots = ops.lu_factor(x)
    m, n = shape[-2:]
    k = min(m, n)
    for place in np.ndindex(*shape[:-2]):
        lower, upper = np.tril(lu[place][:, :k], -1) + np.eye(m, k), np.triu(lu[place][:k])
        rows = np.arange(m)
        for i, other in enumerate(pivots[place]):
            rows[[i, other]] = rows[[other, i]]
        np.testing.assert_allclose(lower @ upper, x[place][rows], atol=1e-12)
        assert np.abs(np.tril(lu[place], -1)).max(initial=0) <= 1
    assert pivots.dtype == np.int32


def test_lu_factor_of_a_singular_matrix() -> None:
    lu, pivots = ops.lu_factor(np.array([[0.0, 1, 2], [0, 3, 4], [0, 6, 8]]))
    assert lu.tolist() == [[0, 1, 2], [0, 6, 8], [0, 0.5, 0]]
    assert pivots.tolist() == [0, 2, 2]


def test_ranks() -> None:
    x = np.stack([np.zeros((3, 4)), np.eye(3, 4), np.ones((3, 4)), normal((3, 2)) @ normal((2, 4))])
    assert ops.matrix_rank(x).tolist() == [0, 3, 1, 2]
    assert ops.matrix_rank(np.diag([1.0, 1e-3]), rtol=0.01) == 1


def test_pinv_of_what_has_not_full_rank() -> None:
    x = normal((5, 2)) @ normal((2, 4))
    same(ops.pinv(x), np.linalg.pinv(x, rcond=1e-12))
    same(ops.pinv(np.diag([3.0, 1e-3, 0.0]), rtol=0.01), np.diag([1 / 3, 0, 0]))
    same(ops.pinv(np.zeros((2, 3))), np.zeros((3, 2)))


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_solve_triangular(lower: bool, transposed: bool, unit: bool) -> None:
    linalg = pytest.importorskip("scipy.linalg", reason="values are SciPy's")
    for n, columns in ((1, (2,)), (5, (3,)), (33, ()), (6, (0,))):
        a, b = normal((n, n)) / n + np.eye(n), normal((n, *columns))
        found = ops.solve_triangular(a, b, lower=lower, transposed=transposed, unit_diagonal=unit)
        same(found, linalg.solve_triangular(a, b, lower=lower, trans=int(transposed), unit_diagonal=unit))


def test_solve_triangular_broadcasts_and_ignores_the_other_triangle() -> None:
    a, b = np.triu(normal((3, 1, 4, 4))) + 3 * np.eye(4), normal((2, 4, 5))
    spoiled = a + np.tril(np.full((4, 4), np.nan), -1)
    same(ops.solve_triangular(spoiled, b), np.linalg.solve(a, np.broadcast_to(b, (3, 2, 4, 5))))


VECTOR_ORDERS = [None, 0, 1, 2, 3, 2.5, -1, -2, np.inf, -np.inf]
MATRIX_ORDERS: list[Any] = [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]


@pytest.mark.parametrize("order", VECTOR_ORDERS, ids=str)
def test_norms_of_vectors(order: Any) -> None:
    for shape, axis in (((7,), None), ((1,), None), ((4, 5), 0), ((4, 5), -1), ((2, 3, 4), 1)):
        x = normal(shape)
        for keep in (False, True):
            same(np.asarray(ops.norm(x, order, axis, keepdims=keep)), np.asarray(np.linalg.norm(x, order, axis, keep)))


@pytest.mark.parametrize("order", MATRIX_ORDERS, ids=str)
def test_norms_of_matrices(order: Any) -> None:
    for shape, axis in (((4, 5), None), ((1, 3), None), ((4, 5), (1, 0)), ((2, 3, 4), (0, 2)), ((2, 3, 4), (-1, 1))):
        x = normal(shape)
        for keep in (False, True):
            same(np.asarray(ops.norm(x, order, axis, keepdims=keep)), np.asarray(np.linalg.norm(x, order, axis, keep)))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3), (2, 3, 0)], ids=str)
def test_matrices_without_elements(shape: tuple[int, ...]) -> None:
    """As NumPy, which has no least of nothing."""
    x = np.zeros(shape)
    same(ops.pinv(x), np.linalg.pinv(x))
    assert np.array_equal(ops.matrix_rank(x), np.linalg.matrix_rank(x))
    assert ops.lstsq(x, np.zeros((*shape[:-1], 2))).tolist() == np.zeros((*shape[:-2], shape[-1], 2)).tolist()
    for order in MATRIX_ORDERS[1:]:
        try:
            wanted = np.asarray(np.linalg.norm(x, order, (-2, -1)))
        except ValueError:
            refused("TILE0403", ops.norm, x, order, (-2, -1))
        else:
            same(np.asarray(ops.norm(x, order, (-2, -1))), wanted)


def test_norms_of_short_floats_are_computed_in_float32() -> None:
    x = np.full(100, 1000, np.float16)
    assert ops.norm(x) == np.float16(10000)
    assert ops.norm(x).dtype == np.float16
    assert ops.norm(np.array([3, 4])).dtype == np.float32


def test_gradient_of_a_norm_at_zero_is_zero() -> None:
    assert tilec.grad(lambda x: ops.norm(x))(np.zeros(3)).tolist() == [0, 0, 0]


def test_powers_that_the_type_does_not_hold_have_no_slope() -> None:
    for dtype, tiny in (("float32", 1e-17), ("float64", 1e-120)):
        assert tilec.grad(lambda x: ops.norm(x, 3))(np.array([tiny, 0], dtype)).tolist() == [0, 0]


def test_eigenvalues_of_what_is_no_matrix_of_numbers_are_nan() -> None:
    """LAPACK gives numbers for some. The upper triangle is not read."""
    lost = np.array([[np.nan, 1.0], [1.0, 2.0]])
    values, vectors = ops.eigh(np.stack([lost, np.eye(2), np.diag([np.inf, 1.0])]))
    assert np.isnan(values[[0, 2]]).all() and np.isnan(vectors[[0, 2]]).all() and values[1].tolist() == [1, 1]
    assert np.isnan(ops.eigh(lost)[0]).all()
    np.testing.assert_allclose(ops.eigh(np.array([[1.0, np.nan], [0.0, 2.0]]))[0], [1, 2])


MATRIX = normal((4, 4)) + 3 * np.eye(4)
CALLS = {
    "inv": lambda x: ops.inv(x),
    "qr": lambda x: ops.qr(x)[1],
    "svd": lambda x: ops.svd(x)[0],
    "singular_values": lambda x: ops.svd(x, compute_uv=False),
    "cholesky": lambda x: ops.cholesky(x @ tnp.transpose(x)),
    "pinv": lambda x: ops.pinv(x[:, :3]),
    "solve_triangular": lambda x: ops.solve_triangular(x, x),
    "solve": lambda x: ops.solve(x, tnp.transpose(x)),
    "det": lambda x: ops.det(x)[None],
    "slogdet": lambda x: ops.slogdet(x)[1][None],
    "eigh": lambda x: ops.eigh(x + tnp.transpose(x))[1] ** 2,
    "lu_factor": lambda x: ops.lu_factor(x)[0],
}


@pytest.mark.parametrize("name", CALLS)
def test_second_derivatives(name: str) -> None:
    """The gradient of a gradient, for both are programs."""

    def slope(x: Any) -> Any:
        return tnp.sum(
            tilec.grad(lambda x: tnp.sum(CALLS[name](x) ** 2 * np.arange(1.0, 5.0)[: CALLS[name](x).shape[-1]]))(x) ** 2
        )

    checked = tilec.check_grad(tilec.trace(slope)(MATRIX), {"x": MATRIX}, target="llvm")
    assert checked, str(checked)


def test_forward_mode_of_systems() -> None:
    """Decompositions have their derivatives in reverse mode only; inverses and solutions have both."""
    x, change = MATRIX, normal((4, 4))
    value, tangent = tilec.jvp(lambda x: ops.solve(x, np.eye(4)))((x,), (change,))
    same(value, np.linalg.inv(x))
    same(tangent, -np.linalg.inv(x) @ change @ np.linalg.inv(x))
    same(tilec.jvp(lambda x: ops.inv(x))((x,), (change,))[1], tangent)
    same(tilec.jvp(lambda b: ops.solve(x, b))((change,), (change,))[1], np.linalg.solve(x, change))
    refused("TILE0310", tilec.jvp(lambda x: ops.qr(x)[1]), (x,), (change,))


def test_what_has_no_derivative_says_so() -> None:
    refused("TILE0310", tilec.grad(lambda x: tnp.sum(ops.eig(x)[0][0])), MATRIX)
    refused("TILE0310", tilec.grad(lambda x: tnp.sum(ops.qr(x, mode="complete")[0])), MATRIX[:, :2])
    refused("TILE0310", tilec.grad(lambda x: tnp.sum(ops.svd(x)[0])), MATRIX[:, :2])
    refused("TILE0310", tilec.grad(lambda x: tnp.sum(ops.lu_factor(x)[0])), MATRIX[:, :2])


def test_refusals() -> None:
    either = (ops.qr, ops.svd, ops.pinv, ops.lu_factor, ops.matrix_rank)
    square = (ops.inv, ops.cholesky, ops.cholesky_inverse, ops.det, ops.slogdet, ops.eigh, ops.eig)
    for function in (*either, *square):
        refused("TILE0202", function, np.zeros(3))
    for function in square:
        refused("TILE0203", function, np.zeros((2, 3)))
    refused("TILE0420", ops.inv, np.zeros((2, 2)))
    refused("TILE0420", ops.solve, np.ones((2, 2)), np.ones(2))
    refused("TILE0203", ops.solve, np.eye(2), np.ones(3))
    refused("TILE0203", ops.lstsq, np.ones((3, 2)), np.ones(2))
    refused("TILE0420", ops.cholesky, -np.eye(2))
    refused("TILE0420", ops.svd, np.full((2, 2), np.nan))
    refused("TILE0511", ops.qr, np.eye(2), mode="full")
    refused("TILE0202", ops.solve_triangular, np.zeros(3), np.zeros(3))
    refused("TILE0202", ops.solve_triangular, np.eye(3), np.float64(1))
    refused("TILE0203", ops.solve_triangular, np.eye(3), np.zeros(2))
    refused("TILE0203", ops.solve_triangular, np.zeros((3, 2)), np.zeros(3))
    refused("TILE0202", ops.norm, np.zeros((2, 2, 2)), 1)
    refused("TILE0204", ops.norm, np.zeros(2), "fro")
    refused("TILE0204", ops.norm, np.zeros((2, 2)), True)
    refused("TILE0204", ops.norm, np.zeros((2, 2)), 3)
    refused("TILE0212", ops.norm, np.zeros((2, 2)), 1, (0, 0))
    refused("TILE0212", ops.norm, np.zeros((2, 2, 2)), 1, (0, 1, 2))
    refused("TILE0210", ops.pinv, np.eye(2), rtol="small")


@DTYPES
@EACH_SQUARE
def test_expm(shape: tuple[int, ...], dtype: str) -> None:
    linalg = pytest.importorskip("scipy.linalg", reason="the exponentials are SciPy's")
    for scale in (1e-3, 0.3, 1.0, 4.0):
        x = normal(shape, dtype) * np.dtype(dtype).type(scale)
        found, wanted = ops.expm(x), linalg.expm(x.astype("float64"))
        assert (found.dtype, found.shape) == (x.dtype, wanted.shape)
        largest = abs(wanted).max(initial=1)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=20 * CLOSE[dtype] * largest)


def test_expm_of_matrices_of_other_sizes_in_a_batch() -> None:
    """Each is halved as often as it needs it; nilpotent ones are exact, rotations keep their length."""
    skew = np.array([[0.0, 100.0], [-100.0, 0.0]])
    x = np.stack([np.zeros((2, 2)), np.array([[0.0, 5], [0, 0]]), skew, -1e4 * np.eye(2), np.full((2, 2), np.nan)])
    found = ops.expm(x)
    assert np.array_equal(found[0], np.eye(2)) and found[1].tolist() == [[1, 5], [0, 1]]
    np.testing.assert_allclose(found[2], [[np.cos(100), np.sin(100)], [-np.sin(100), np.cos(100)]], atol=1e-12)
    assert (found[3] == 0).all() and np.isnan(found[4]).all()


def test_matrix_power() -> None:
    x, whole = normal((2, 3, 3)) + 2 * np.eye(3), RNG.integers(-3, 4, (4, 4))
    for n in (0, 1, 2, 3, 7, -1, -3):
        np.testing.assert_allclose(ops.matrix_power(x, n), np.linalg.matrix_power(x, n), rtol=1e-11, atol=1e-12)
    for n in (0, 1, 5):
        assert np.array_equal(ops.matrix_power(whole, n), np.linalg.matrix_power(whole, n))
    refused("TILE0210", ops.matrix_power, x, 0.5)
    refused("TILE0203", ops.matrix_power, normal((2, 3)), 2)
    refused("TILE0511", ops.matrix_power, x, 2**5000)  # as many products would be written down
    refused("TILE0420", ops.matrix_power, np.zeros((2, 2)), -1)


def test_multi_dot() -> None:
    chain = [normal(s) for s in ((3, 5), (5, 2), (2, 7), (7, 1))]
    for given in (
        chain,
        chain[:2],
        [chain[0][0], *chain[1:]],
        [*chain[:3], normal((7,))],
        [normal((5,)), normal((5,))],
    ):
        np.testing.assert_allclose(
            ops.multi_dot(given), np.linalg.multi_dot(given) if len(given) > 2 else given[0] @ given[1]
        )
    refused("TILE0505", ops.multi_dot, chain[:1])
    refused("TILE0203", ops.multi_dot, [chain[0], chain[0]])
    refused("TILE0202", ops.multi_dot, [chain[0], normal((5,)), chain[1]])
