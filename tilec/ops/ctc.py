"""Floor 5: connectionist temporal classification: A. Graves et al., ICML 2006.

Sequences of classes, one of them the blank, stand for the labels that are left when repetitions are taken together and
blanks are dropped.
"""

from __future__ import annotations

from functools import reduce
from math import inf
from typing import Any

import numpy as np

from tilec.dtypes import I32
from tilec.errors import error
from tilec.numpy.axes import whole
from tilec.numpy.creation import arange, full
from tilec.numpy.cumulative import cumsum
from tilec.numpy.elementwise import exp, maximum, stop_gradient, where
from tilec.numpy.elementwise import log_e as log
from tilec.numpy.indexing import take_along_axis
from tilec.numpy.padding import pad
from tilec.numpy.reductions import argmax, log_softmax, max, sum
from tilec.numpy.shapes import broadcast_to, concat, expand_dims, moveaxis, reshape, stack
from tilec.ops.linalg.matrices import floats
from tilec.rules import shape_text
from tilec.tracing.control import scan
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.host import host_call

_NEVER = -1e30  # the logarithm of a probability of 0, with which differences are numbers


@operation
def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, /, *, mask_index: int = 0) -> Any:
    """Minus the log probability of labels under logits, for each sequence: [batch].

    target: labels [batch, most labels], of which the first target_length [batch] count; output: logits
    [batch, steps, classes], of which the first output_length [batch] steps count; mask_index: the class of the blank.
    Infinite, with the derivative 0, where there are too few steps. The sum over paths runs forward through the steps,
    with logarithms; its derivative is the compiler's. Raises TILE0202, TILE0203, TILE0304.
    """
    logits, wanted = floats(output)
    labels, blank = _integers(target, "labels"), _class(mask_index, logits)
    _same_batch(labels, 2, logits, 3)
    log_p = log_softmax(logits, axis=-1)
    batch, steps = logits.shape[:2]
    count = labels.shape[1]
    states = full((batch, 2 * count + 1), blank, dtype="int32")
    if count:
        pairs = stack([states[:, :count], labels], axis=-1)
        states = concat([reshape(pairs, (batch, 2 * count)), states[:, :1]], axis=1)
    emitted = take_along_axis(log_p, broadcast_to(expand_dims(states, 1), (batch, steps, 2 * count + 1)), axis=2)
    skips = pad((states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2]), ((0, 0), (2, 0))) if count else None
    last = _forward(moveaxis(emitted, 1, 0), skips, _integers(output_length, "lengths"))
    end = expand_dims(2 * _integers(target_length, "lengths"), -1)
    places = arange(2 * count + 1, dtype="int32")
    total = _log_sum(*(max(where(places == end - k, last, _NEVER), -1) for k in (0, 1)))
    return as_dtype(where(total < _NEVER / 2, inf, -total), wanted)


def _forward(emitted: Any, skips: Any, lengths: Any) -> Any:
    """Log probabilities of being in each state after the last step that counts."""
    count = emitted.shape[-1]
    start = where(arange(count, dtype="int32") == 0, 0, broadcast_to(lift(np.float32(_NEVER)), emitted.shape[1:]))

    def step(now: Any, given: Any) -> Any:
        here, t = given
        parts = [now]
        if skips is not None:
            padded = pad(now, ((0, 0), (2, 0)), constant_values=_NEVER)
            parts += [padded[:, 1:-1], where(skips, padded[:, :-2], _NEVER)]
        following = maximum(_log_sum(*parts) + here, _NEVER)
        return where(expand_dims(t < lengths, -1), following, now), ()

    steps = arange(emitted.shape[0], dtype="int32")
    return scan(step, as_dtype(start, emitted.type.dtype), (emitted, steps))[0]


def _log_sum(*parts: Any) -> Any:
    """The logarithm of a sum of exponentials."""
    top = stop_gradient(reduce(maximum, parts))
    total: Any = 0
    for part in parts:
        total = total + exp(part - top)
    return top + log(total)


@operation
def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    /,
    *,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> Any:
    """The pair (labels [paths, batch, steps], int32, with -1 behind their ends; scores [batch, paths]).

    inputs: log probabilities [batch, steps, classes], of which the first sequence_lengths [batch] steps count. strategy
    "greedy": the best class of each step, repetitions taken together unless not `merge_repeated`, and minus the sum of
    their inputs as a score. "beam_search": the `top_paths` most probable labels among `beam_width` prefixes, and their
    log probabilities, by NumPy. There is no derivative of "beam_search". Raises TILE0202, TILE0203, TILE0304, TILE0511.
    """
    rows, wanted = floats(inputs)
    lengths, blank = _integers(sequence_lengths, "lengths"), _class(mask_index, rows)
    _same_batch(lengths, 1, rows, 3)
    if strategy == "greedy":
        labels, scores = _greedy(rows, lengths, blank, merge_repeated)
        return labels, as_dtype(scores, wanted)
    if strategy != "beam_search":
        raise error("TILE0511", f"the strategy is 'greedy' or 'beam_search', not {strategy!r}")
    width, paths = whole(beam_width, "the width of a beam"), whole(top_paths, "the number of paths")
    if not 1 <= paths <= width:
        raise error("TILE0511", f"{paths} paths are taken from a beam of {width}", help="1 <= top_paths <= beam_width")
    batch, steps = rows.shape[:2]
    numbers = [lift(np.array(n, np.int32)) for n in (min(width, I32.max), blank)]
    results = [(I32, (paths, batch, steps)), (rows.type.dtype, (batch, paths))]
    labels, scores = host_call("ctc_beam_search", [rows, lengths, *numbers], results)
    return labels, as_dtype(scores, wanted)


def _greedy(rows: Any, lengths: Any, blank: int, merge: bool) -> tuple[Any, Any]:
    steps = rows.shape[1]
    counts = arange(steps, dtype="int32") < expand_dims(lengths, -1)
    best = where(counts, argmax(rows, axis=-1), blank)
    kept = best != blank
    if merge:
        kept = kept & (best != pad(best[:, :-1], ((0, 0), (1, 0)), constant_values=-1))
    places = where(kept, cumsum(as_dtype(kept, I32), axis=1) - 1, -1)
    moved = expand_dims(places, 1) == expand_dims(arange(steps, dtype="int32"), -1)
    labels = sum(where(moved, expand_dims(best + 1, 1), 0), -1) - 1
    return expand_dims(labels, 0), -sum(where(counts, max(rows, axis=-1), 0), axis=1, keepdims=True)


def _integers(x: Any, what: str) -> Any:
    found = lift(x)
    if not found.type.dtype.is_integer:
        raise error("TILE0304", f"{what} of sequences are integers, not {found.type.dtype.long}")
    return as_dtype(found, I32)


def _class(number: Any, logits: Any) -> int:
    blank = whole(number, "the class of the blank")
    if logits.ndim == 3 and isinstance(logits.shape[-1], int) and not 0 <= blank < logits.shape[-1]:
        raise error("TILE0511", f"the class of the blank is {blank}, of {logits.shape[-1]} classes")
    return blank


def _same_batch(a: Any, rank: int, b: Any, other: int) -> None:
    if (a.ndim, b.ndim) != (rank, other):
        raise error("TILE0202", f"tensors of rank {rank} and {other} are given, not of {a.ndim} and {b.ndim}")
    if a.shape[0] != b.shape[0]:
        text = f"{shape_text(a.type.shape)} and {shape_text(b.type.shape)}"
        raise error("TILE0203", f"batches differ in size: {text}")
