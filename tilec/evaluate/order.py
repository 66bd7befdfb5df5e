"""Floor 3: terms by output cell, in order: what the evaluators of both IRs aggregate with."""

from __future__ import annotations

import numpy as np

from tilec.numpy_semantics import Array


def ranks(cells: Array) -> tuple[Array, Array]:
    """(order, rank): a stable order by cell, and the position of each ordered element within its cell."""
    order = np.argsort(cells, kind="stable")
    ordered = cells[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return order, np.arange(len(cells)) - np.repeat(starts, np.diff(np.r_[starts, len(cells)]))


def rounds(cells: Array) -> list[Array]:
    """Positions in rounds: the first term of every cell, then the second of every cell, and so on."""
    order, rank = ranks(cells)
    by_rank = order[np.argsort(rank, kind="stable")]
    return np.split(by_rank, np.cumsum(np.bincount(rank))[:-1])
