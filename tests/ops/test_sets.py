"""`nonzero` and `unique` against NumPy, in tensors that are too small, too large and just right."""

from __future__ import annotations

import numpy as np
import pytest

import tilec.numpy as tnp
import tilec.ops as ops
from tests.refusals import WORD, refused

RNG = np.random.default_rng(9)


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (1, 1), (0,), (2, 0)], ids=str)
def test_nonzero(shape: tuple[int, ...]) -> None:
    x = RNG.integers(0, 3, shape).astype(np.float32)
    wanted = np.nonzero(x)
    for size in (0, 1, len(wanted[0]), 30):
        found = ops.nonzero(x, size=size, fill_value=-1)
        assert len(found) == len(shape)
        for a, b in zip(found, wanted):
            assert a.dtype == np.int32
            assert a.tolist() == [*b[:size].tolist(), *[-1] * (size - len(b))]


def test_nonzero_of_a_number() -> None:
    assert [p.tolist() for p in ops.nonzero(np.float32(2), size=2, fill_value=5)] == [[0, 5]]


@pytest.mark.parametrize("shape", [(20,), (3, 5), (1,), (0,)], ids=str)
@pytest.mark.parametrize("dtype", ["int32", "float64", "uint8"])
def test_unique(shape: tuple[int, ...], dtype: str) -> None:
    x = RNG.integers(0, 6, shape).astype(dtype)
    values, counts = np.unique(x, return_counts=True)
    for size in (1, 4, len(values), 12):
        found, often = ops.unique(x, size=size, fill_value=99, return_counts=True)
        assert found.dtype == dtype
        assert found.tolist() == [*values[:size].tolist(), *[99] * (size - len(values))]
        assert often.tolist() == [*counts[:size].tolist(), *[0] * (size - len(values))]
        assert ops.unique(x, size=size, fill_value=99).tolist() == found.tolist()


def test_refusals() -> None:
    for function in (ops.nonzero, ops.unique):
        refused("TILE0210", function, np.zeros(3), size=WORD)
        refused("TILE0211", function, np.zeros(3), size=-1)


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (1, 1), (0,), (2, 0)], ids=str)
def test_argwhere_and_flatnonzero(shape: tuple[int, ...]) -> None:
    x = RNG.integers(0, 3, shape).astype(np.float32)
    rows, flat = np.argwhere(x), np.flatnonzero(x)
    for size in (0, len(flat), 30):
        found = tnp.argwhere(x, size=size, fill_value=-1)
        assert found.shape == (size, len(shape)) and found.dtype == np.int32
        assert np.array_equal(found[: len(rows)], rows[:size]) and (found[len(rows) :] == -1).all()
        assert tnp.flatnonzero(x, size=size, fill_value=-1).tolist() == [*flat[:size], *[-1] * (size - len(flat))]
    assert tnp.argwhere(np.float32(2), size=1).shape == (1, 0)


def test_union1d() -> None:
    x, y = RNG.integers(0, 9, (2, 5)), RNG.integers(3, 12, 4)
    wanted = np.union1d(x, y)
    assert tnp.union1d(x, y, size=len(wanted)).tolist() == wanted.tolist()


def test_without_a_size() -> None:
    for function in (tnp.nonzero, tnp.argwhere, tnp.flatnonzero, tnp.unique):
        assert "size=n" in refused("TILE0511", function, np.zeros(3))
