"""Floor 1: triangles of a matrix with its rows exchanged, by NumPy, which offers LAPACK's only inside of others."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
_NARROW = 16  # columns that are eliminated one by one


def lu_factored(a: Array) -> tuple[Array, Array, Array]:
    """(lu, pivots, rows) of a batch: both triangles in one, without the lower one's ones; the row that row k was
    exchanged with; and where each row comes from. A column without a pivot is left as it is."""
    lu, (m, n) = np.array(a), a.shape[-2:]
    pivots = np.zeros((*a.shape[:-2], min(m, n)), np.int32)
    rows = np.zeros((*a.shape[:-2], m), np.int32)
    for place in np.ndindex(*a.shape[:-2]):
        rows[place] = np.arange(m)
        _eliminate(lu[place], pivots[place])
        for k, other in enumerate(pivots[place]):
            rows[(*place, [k, other])] = rows[(*place, [other, k])]
    return lu, pivots, rows


def _eliminate(a: Array, pivots: Array) -> None:
    """By halves of the columns, so that most of the work is in products of matrices: S. Toledo, Locality of reference
    in LU decomposition with partial pivoting, SIAM J. Matrix Anal. Appl. 18 (1997)."""
    m, n = a.shape
    if min(m, n) <= _NARROW:
        _eliminate_columns(a, pivots)
        return
    half = min(m, n) // 2
    left, right = a[:, :half], a[:, half:]
    _eliminate(left, pivots[:half])
    _exchange(right, pivots[:half])
    lower = np.tril(left[:half], -1) + np.eye(half, dtype=a.dtype)
    right[:half] = np.linalg.solve(lower, right[:half])
    right[half:] -= left[half:] @ right[:half]
    _eliminate(right[half:], pivots[half:])
    _exchange(left[half:], pivots[half:])
    pivots[half:] += half


def _exchange(a: Array, pivots: Array) -> None:
    for k, other in enumerate(pivots):
        if other != k:
            a[[k, other]] = a[[other, k]]


def _eliminate_columns(a: Array, pivots: Array) -> None:
    for k in range(len(pivots)):
        other = k + int(np.argmax(np.abs(a[k:, k])))
        pivots[k] = other
        if other != k:
            a[[k, other]] = a[[other, k]]
        if a[k, k] != 0:
            a[k + 1 :, k] /= a[k, k]
            a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k], a[k, k + 1 :])
