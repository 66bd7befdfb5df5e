"""Floor 1: the most probable labellings of sequences, by a search over prefixes in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def beam_search(shape: tuple[int, ...], log_p: Array, lengths: Array, width: int, blank: int) -> tuple[Array, Array]:
    """Labels [paths, batch, steps], -1 behind their ends, and their log probabilities [batch, paths], of `log_p`
    [batch, steps, classes]; -inf where there are fewer. `shape` is that of the labels."""
    labels, scores = np.full(shape, -1, np.int32), np.full(shape[1::-1], -np.inf, log_p.dtype)
    for b, (rows, length) in enumerate(zip(log_p, lengths)):
        for k, (prefix, score) in enumerate(_searched(rows[: max(0, int(length))], width, blank)[: shape[0]]):
            labels[k, b, : len(prefix)], scores[b, k] = prefix, score
    return labels, scores


Prefixes = dict[tuple[int, ...], tuple[float, float]]  # log probabilities of ending in a blank, and in a label


def _searched(rows: Array, width: int, blank: int) -> list[tuple[tuple[int, ...], float]]:
    """Prefixes, the most probable first: A. Hannun et al., First-pass large vocabulary continuous speech recognition
    using bi-directional recurrent DNNs, arXiv 1408.2873, algorithm 1."""
    beams: Prefixes = {(): (0.0, -np.inf)}
    for row in rows.astype(np.float64):
        beams = dict(_best(_extended(beams, row, blank))[:width])
    return [(prefix, float(np.logaddexp(*parts))) for prefix, parts in _best(beams)]


def _extended(beams: Prefixes, row: Array, blank: int) -> Prefixes:
    """The prefixes after a step more."""
    found: Prefixes = {}

    def add(prefix: tuple[int, ...], blanks: float, labels: float) -> None:
        a, b = found.get(prefix, (-np.inf, -np.inf))
        found[prefix] = float(np.logaddexp(a, blanks)), float(np.logaddexp(b, labels))

    possible = [label for label in np.flatnonzero(row > -np.inf).tolist() if label != blank]
    for prefix, (blanks, labels) in beams.items():
        both = float(np.logaddexp(blanks, labels))
        add(prefix, both + row[blank], -np.inf)
        for label in possible:
            repeated = prefix[-1:] == (label,)
            if repeated:
                add(prefix, -np.inf, labels + row[label])
            add((*prefix, label), -np.inf, (blanks if repeated else both) + row[label])
    return found


def _best(found: Prefixes) -> list[tuple[tuple[int, ...], tuple[float, float]]]:
    """The most probable first; of equals the first in the order of labels."""
    return sorted(found.items(), key=lambda item: (-np.logaddexp(*item[1]), item[0]))
