"""Tensors are iterated over along their first axis, as arrays are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp

X = np.arange(6.0).reshape(3, 2)


def test_unpacking() -> None:
    @tilec.jit
    def f(x: Any) -> Any:
        a, b, c = x
        first, *others = x
        return a + b * c, first, others

    (total, first, others) = f(X)
    assert np.array_equal(total, X[0] + X[1] * X[2]) and np.array_equal(first, X[0])
    assert np.array_equal(others, X[1:])


def test_loops_over_rows() -> None:
    def f(x: Any) -> Any:
        total = 0.0 * x[0]
        for k, row in enumerate(x):
            total = total + (k + 1) * row * row
        return total.sum()

    assert tilec.jit(f)(X) == sum((k + 1) * row @ row for k, row in enumerate(X))
    assert np.array_equal(tilec.grad(f)(X), 2 * X * np.array([[1], [2], [3]]))


def test_what_python_makes_of_iteration() -> None:
    f = tilec.jit(lambda x: (sum(x), list(map(tnp.exp, x)), list(zip(x, reversed(x))), [len(r) for r in x]))
    total, powers, pairs, lengths = f(X)
    assert np.array_equal(total, X.sum(0)) and lengths == [2, 2, 2]
    np.testing.assert_allclose(powers, np.exp(X), rtol=1e-14)
    assert np.array_equal(pairs[0], (X[0], X[2])) and len(pairs) == 3


def test_no_rows() -> None:
    assert tilec.jit(lambda x: (list(x), len(x)))(np.zeros((0, 2))) == ([], 0)


def test_wrong_number_of_names() -> None:
    def f(x: Any) -> Any:
        a, b = x
        return a + b

    with pytest.raises(ValueError, match="too many values"):  # Python's own, with the user's line in its traceback
        tilec.jit(f)(X)


def test_keys_are_split_into_names() -> None:
    key = tilec.random.key(7)

    @tilec.jit
    def f(key: Any) -> Any:
        first, second = tilec.random.split(key)
        return first, tilec.random.normal(second, shape=(3,))

    first, second = tilec.random.split(key)
    got = f(key)
    assert np.array_equal(got[0], first) and np.array_equal(got[1], tilec.random.normal(second, shape=(3,)))


def test_axes_behind_an_open_one() -> None:
    f = tilec.jit(lambda x: [r * 2 for r in x.T], open_sizes={"x": "N"})
    for count in (3, 1):
        assert np.array_equal(f(X[:count]), X[:count].T * 2)
    assert f.signatures() == 1


def test_recorded_arrays() -> None:
    with tilec.record() as tape:
        a, b, c = tnp.square(X)
        loss = tnp.sum(a * c + b)
    wanted = np.stack([2 * X[0] * X[2] ** 2, 2 * X[1], 2 * X[2] * X[0] ** 2])
    assert np.array_equal(tape.gradient(loss, X), wanted)
