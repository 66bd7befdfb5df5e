"""A masked store writes its lanes and nothing beside them, whatever the element's width and the number of lanes."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tilec.dtypes import ALL, BOOL, DType


@pytest.mark.parametrize("dtype", [d for d in ALL if d != BOOL], ids=str)
@pytest.mark.parametrize("tail", [1, 2, 3, 7, 15])
def test_neighbours_of_the_tail_stay(dtype: DType, tail: int) -> None:
    """Rows of 32 + tail cells, stored tile by tile: the tail of one row borders on the start of the next."""
    row = (np.arange(32 + tail) % 5 + 1).astype(dtype.numpy)
    code = f"function f(A[K]) -> (B) {{ B[j, k : 17, {32 + tail}] = +(A[k]), i < 4; }}"
    found = tilec.run(code, {"A": row})["B"]
    np.testing.assert_array_equal(found.astype(np.float64), np.tile(4 * row.astype(np.float64), (17, 1)))
