"""`tilec.contract` by text and with index objects, eager and traced, against NumPy."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec.errors import TileError

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 5))
V, W = np.arange(6.0), np.array([1.0, 2.0, 3.0])
MATMUL = "C[m, n] = +(A[m, k] * B[k, n])"


def test_text() -> None:
    np.testing.assert_allclose(tilec.contract(MATMUL, A=A, B=B), A @ B)
    np.testing.assert_allclose(tilec.contract(f"{MATMUL};", A=A, B=B), A @ B)
    assert tilec.contract("O[x : 3] = >(I[2 * x + k]), k < 2 /* pool */", I=V).tolist() == [1, 3, 5]
    two = "// rows first\nR[m] = +(A[m, k]); S = R * 2.0"
    np.testing.assert_allclose(tilec.contract(two, A=A), 2 * A.sum(1))
    assert tilec.contract("S[] = +(A[m, k])", A=A).shape == ()
    assert tilec.contract("C[i] = A[i] * F", A=V, F=2.5).tolist() == (V * 2.5).tolist()


def test_text_in_a_traced_function() -> None:
    f = tilec.jit(lambda a, b: tnp.tanh(tilec.contract(MATMUL, A=a, B=b + 1)))
    np.testing.assert_allclose(f(A, B), np.tanh(A @ (B + 1)), rtol=1e-12)
    slope = tilec.grad(lambda a: tilec.contract(MATMUL, A=a, B=B))(A)
    np.testing.assert_allclose(slope, np.broadcast_to(B.sum(1), A.shape))


def test_elements() -> None:
    m, n, k = tilec.index("m n k")
    a, b = tilec.at(A), tilec.at(B)
    np.testing.assert_allclose(tilec.contract(a[m, k] * b[k, n], out=(m, n)), A @ B)
    for by, reference in (("+", np.sum), ("*", np.prod), (">", np.max), ("min", np.min)):
        np.testing.assert_allclose(tilec.contract(a[m, k], out=m, by=by), reference(A, axis=1))
    np.testing.assert_allclose(tilec.contract(a[m, k], out=(k, m), by="="), A.T)
    np.testing.assert_allclose(tilec.contract(a[m, m], out=()), np.trace(A[:, :3]))
    same = tilec.contract(a[m, k] * a[m, n], out=(k, n))  # one operand read twice
    np.testing.assert_allclose(same, A.T @ A)


def test_elements_in_a_traced_function() -> None:
    m, n, k = tilec.index("m, n, k")

    @tilec.jit
    def attention(q: Any, key: Any, v: Any) -> Any:
        scores = tilec.contract(q[m, k] * key[n, k], out=(m, n)) / 2.0
        return tilec.contract(tnp.softmax(scores)[m, n] * v[n, k], out=(m, k))

    q, key, v = RNG.normal(size=(3, 5, 4))
    weights = np.exp(q @ key.T / 2)
    np.testing.assert_allclose(attention(q, key, v), weights / weights.sum(1, keepdims=True) @ v, rtol=1e-12)


def test_affine_indices_sizes_conditions_and_defaults() -> None:
    x, k = tilec.index("x k")
    v, w = tilec.at(V), tilec.at(W)
    same = tilec.contract(v[x + k - 1] * w[k], out=x, sizes=6)
    np.testing.assert_allclose(same, np.convolve(V, W[::-1], "same"))
    assert tilec.contract(v[2 * x + k], out=x, sizes=3, by=">", where=k < 2).tolist() == [1, 3, 5]
    assert tilec.contract(v[k], out=x, sizes=6, where=x - k < 6).tolist() == V.cumsum().tolist()
    assert tilec.contract(v[-x + 5], out=x, sizes=(6,)).tolist() == V[::-1].tolist()
    assert tilec.contract(v[k], out=2 * k, sizes=6, default=-1.0).tolist() == [0, -1, 1, -1, 2, -1]
    assert tilec.contract(v[k], out=k / 2, sizes=3).tolist() == [0, 2, 4]
    assert tilec.contract(v[k], out=k * Fraction(1, 2), sizes=3).tolist() == [0, 2, 4]


def test_bodies_are_any_expression() -> None:
    i, j = tilec.index("i j")
    v, a = tilec.at(V), tilec.at(A)
    assert tilec.contract(i * v[i], out=i).tolist() == (np.arange(6) * V).tolist()
    assert tilec.contract((i + 1) * 2 * v[i] - 3, out=i).tolist() == ((np.arange(6) + 1) * 2 * V - 3).tolist()
    np.testing.assert_allclose(tilec.contract(tnp.exp(a[i, j]) ** 2 / (1 + a[i, j] * a[i, j]), out=i),
                               (np.exp(A) ** 2 / (1 + A * A)).sum(1))  # fmt: skip
    np.testing.assert_allclose(
        tilec.contract(tnp.where(a[i, j] > 0, a[i, j], -0.5), out=i), np.where(A > 0, A, -0.5).sum(1)
    )
    assert tilec.contract(tnp.maximum(v[i], 2.0) * (v[i] == 3), out=()).tolist() == 3
    assert tilec.contract(v[i] / 2, out=i).dtype == np.float64
    whole = tilec.at(np.arange(4))
    assert tilec.contract(whole[i] / 2, out=i).tolist() == [0, 0.5, 1, 1.5]


def test_literals_keep_their_sign() -> None:
    i = tilec.index("i")
    zeros = np.zeros(2)
    signs = [np.signbit(tilec.contract(tilec.at(zeros)[i] * z, out=i, by="="))[0] for z in (0.0, -0.0, 0.0)]
    assert signs == [False, True, False]


def test_narrow_sums_are_carried_out_wide() -> None:
    i = tilec.index("i")
    x = np.full(300, 100, "int8")
    assert tilec.contract(tilec.at(x)[i] * tilec.at(x)[i], out=()) == np.int64(3_000_000).astype("int8")
    h = np.full(4096, 0.25, "float16")
    assert tilec.contract(tilec.at(h)[i] * 1.0, out=()) == 1024


def test_index_objects_as_text() -> None:
    i, j = tilec.index("i j")
    assert str(2 * i + j - 1) == "2*i + j - 1" and str(-i / 3) == "-1/3*i"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda i, j, a: tilec.contract("C[m, n] = +(A[m, k] * B[k, n, n])", A=A, B=B), "TILE0202"),
        (lambda i, j, a: tilec.contract("C[m] = +(D[m])", A=A), "TILE0101"),
        (lambda i, j, a: tilec.contract("C[m] = +(A[m, k]", A=A), "TILE0019"),
        (lambda i, j, a: tilec.contract("", A=A), "TILE0511"),
        (lambda i, j, a: tilec.contract(MATMUL, A=A, B=B, out=(i,)), "TILE0511"),
        (lambda i, j, a: tilec.contract(3), "TILE0511"),  # type: ignore[arg-type]
        (lambda i, j, a: tilec.contract(a[i, j], A=A), "TILE0502"),
        (lambda i, j, a: tilec.contract(a[i, j], out=(i, j, 2 * i)), "TILE0207"),
        (lambda i, j, a: tilec.contract(a[i, i], out=i), "TILE0208"),
        (lambda i, j, a: tilec.contract(a[i, j], out=i, sizes=(3, 4)), "TILE0204"),
        (lambda i, j, a: tilec.contract(a[i, j], out=i, by="mean"), "TILE0511"),
        (lambda i, j, a: tilec.contract(a[i, j], out=i, where=3), "TILE0215"),
        (lambda i, j, a: tilec.contract(a[i, j], out="i"), "TILE0205"),
        (lambda i, j, a: tilec.contract(a[i, j] + tilec.index("z"), out=tilec.index("y"), sizes=3), "TILE0401"),
        (lambda i, j, a: a[i], "TILE0202"),
        (lambda i, j, a: a[i, 0.5], "TILE0205"),
        (lambda i, j, a: a[i, np.array([0, 1])], "TILE0205"),
        (lambda i, j, a: a[i, np.array(1.5)], "TILE0205"),
        (lambda i, j, a: i * j, "TILE0205"),
        (lambda i, j, a: i / 0, "TILE0205"),
        (lambda i, j, a: bool(a[i, j] > 0), "TILE0521"),
        (lambda i, j, a: tilec.index("M N"), "TILE0112"),
        (lambda i, j, a: tilec.at("text"), "TILE0505"),
        (lambda i, j, a: a[i, j] + A, "TILE0202"),
        (lambda i, j, a: (a[i, j] & 1), "TILE0301"),
    ],
)  # fmt: skip
def test_mistakes(call: Any, code: str) -> None:
    with pytest.raises(TileError) as found:
        call(*tilec.index("i j"), tilec.at(A))
    assert found.value.code == code
    assert __file__ in str(found.value)


def test_names_that_a_text_does_not_know_are_explained() -> None:
    for text in ("O[i : N] = +(A[i, k])", "O[i] = +(Z[i, k])"):
        with pytest.raises(TileError) as caught:
            tilec.contract(text, A=np.ones((3, 4)))
        assert caught.value.code == "TILE0101" and caught.value.diagnostics[0].help is not None
    with pytest.raises(TileError) as caught:
        tilec.contract("O[i] = +(Image2[i, k])", Image=np.ones((3, 4)))
    assert caught.value.diagnostics[0].help == "did you mean 'Image'?"
