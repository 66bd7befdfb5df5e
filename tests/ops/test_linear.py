"""Dense layers, embeddings and dropout against NumPy."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import tilec
from tests.refusals import code_of
from tilec import ops


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("shape", [(5,), (1, 5), (7, 5), (2, 3, 5), (0, 5)])
def test_dense(shape: tuple[int, ...]) -> None:
    x, w, b = draw(*shape), draw(5, 4, seed=1), draw(4, seed=2)
    np.testing.assert_allclose(ops.dense(x, w), x @ w, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ops.dense(x, w, b), x @ w + b, rtol=1e-12, atol=1e-13)
    assert ops.dense(x.astype("f4"), w.astype("f4"), bias=b.astype("f4")).dtype == np.float32


def test_dense_has_the_slopes_of_a_product() -> None:
    x, w, b = draw(2, 3, 5), draw(5, 4, seed=1), draw(4, seed=2)
    by_x, by_w, by_b = tilec.grad(lambda x, w, b: (ops.dense(x, w, b) ** 2).sum(), argnums=(0, 1, 2))(x, w, b)
    twice = 2 * (x @ w + b)
    np.testing.assert_allclose(by_x, twice @ w.T, rtol=1e-12)
    np.testing.assert_allclose(by_w, np.einsum("abi,abo->io", x, twice), rtol=1e-12)
    np.testing.assert_allclose(by_b, twice.sum((0, 1)), rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_embedding(shape: tuple[int, ...], dtype: str) -> None:
    table = draw(7, 3)
    rows = np.random.default_rng(1).integers(0, 7, shape).astype(dtype)
    assert np.array_equal(ops.embedding(rows, table), table[rows])
    wanted = np.zeros_like(table)
    seed = draw(*shape, 3, seed=2)
    np.add.at(wanted, rows, seed)  # rows that occur several times add up
    slopes = tilec.grad(lambda t: (ops.embedding(rows, t) * seed).sum())(table)
    np.testing.assert_allclose(slopes, wanted, rtol=1e-12)


def test_embedding_clamps_what_it_cannot_check() -> None:
    table = draw(4, 2)
    found = tilec.jit(ops.embedding)(np.array([-1, 9, -9]), table)
    assert np.array_equal(found, table[[3, 3, 0]])


def test_dropout_keeps_the_mean() -> None:
    x, key = np.ones((200, 300), "float32"), tilec.random.key(3)
    found = ops.dropout(x, key, rate=0.25)
    assert set(np.unique(found)) == {0, np.float32(1 / 0.75)}
    assert abs(found.mean() - 1) < 5 * (0.25 / 0.75 / x.size) ** 0.5
    assert np.array_equal(found, ops.dropout(x, key, rate=0.25))
    other = ops.dropout(x, tilec.random.fold_in(key, 1), rate=0.25)
    assert abs(((found == 0) & (other == 0)).mean() - 0.0625) < 0.005


def test_dropout_of_whole_rows_and_its_slope() -> None:
    x, key = draw(50, 4), tilec.random.key(0)
    found = ops.dropout(x, key, rate=0.5, noise_shape=(50, 1))
    gone = (found == 0).all(1)
    assert 10 < gone.sum() < 40 and np.array_equal(found[~gone], 2 * x[~gone])
    slopes = tilec.grad(lambda x: ops.dropout(x, key, rate=0.5, noise_shape=(50, 1)).sum())(x)
    assert np.array_equal(slopes, np.broadcast_to(np.where(gone, 0.0, 2.0)[:, None], x.shape))


def test_dropout_of_no_and_of_all_elements() -> None:
    x, key = np.array([1.0, np.inf, np.nan]), tilec.random.key(0)
    assert ops.dropout(x, key, rate=0).tolist()[:2] == [1, np.inf]
    assert ops.dropout(x, key, rate=1).tolist() == [0, 0, 0]
    assert ops.dropout(x.astype(ml_dtypes.bfloat16), key).dtype == ml_dtypes.bfloat16


def test_wrong_arguments() -> None:
    x, w, key = draw(2, 3), draw(3, 4), tilec.random.key(0)
    assert code_of(lambda: ops.dense(x, draw(4, 3))) == "TILE0203"
    assert code_of(lambda: ops.dense(x, draw(3))) == "TILE0202"
    assert code_of(lambda: ops.dense(1.0, w)) == "TILE0202"
    assert code_of(lambda: ops.dense(x, w, draw(1, 4))) == "TILE0202"
    assert code_of(lambda: ops.dense(x, w, draw(1))) == "TILE0203"
    assert code_of(lambda: ops.embedding(np.array([0.5]), w)) == "TILE0304"
    assert code_of(lambda: ops.embedding(np.array([0]), draw(3))) == "TILE0202"
    assert code_of(lambda: tilec.jit(lambda t: ops.embedding(np.array([3]), t))(w)) == "TILE0225"
    assert code_of(lambda: ops.dropout(x, key, rate=1.5)) == "TILE0210"
    assert code_of(lambda: ops.dropout(x, key, rate=-0.1)) == "TILE0210"
    assert code_of(lambda: ops.dropout(x, np.zeros(3))) == "TILE0301"
    assert code_of(lambda: ops.dropout(x, key, noise_shape=(2, 2))) == "TILE0203"
