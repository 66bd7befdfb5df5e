"""Floor 5: recurrences over the time of sequences, with masks, in either direction: one `tilec.scan`.

The options are those at the top of `tilec.ops.recurrent`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tilec.affine import Size
from tilec.dtypes import BOOL
from tilec.errors import error
from tilec.numpy.creation import arange
from tilec.numpy.elementwise import where
from tilec.numpy.shapes import expand_dims, flip, swapaxes
from tilec.rules import shape_text
from tilec.tracing import trees
from tilec.tracing.control import scan, traced
from tilec.tracing.dispatch import lift
from tilec.tracing.tensor import Tensor

Step: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Course:
    """How a sequence is gone through: the options of recurrent layers."""

    mask: Any
    lengths: Any
    go_backwards: bool
    return_sequences: bool
    zero_output_for_mask: bool
    time_major: bool


@traced("step", "go_backwards", "return_sequences", "zero_output_for_mask", "time_major")
def rnn(
    step: Step,
    x: Any,
    initial_state: Any,
    /,
    *,
    mask: Any = None,
    lengths: Any = None,
    go_backwards: bool = False,
    return_sequences: bool = True,
    zero_output_for_mask: bool = False,
    time_major: bool = False,
) -> Any:
    """Any recurrence: `step(x at one time, state)` returns (output, state); x and the state may be trees.

    Returns (outputs, state). Where the mask is false and zero_output_for_mask is not set, the output is the first array
    of the state that is kept. Raises TILE0202, TILE0203, TILE0301, TILE0304, TILE0305, TILE0511; for the options see
    the top of `tilec.ops.recurrent`.
    """
    course = Course(mask, lengths, go_backwards, return_sequences, zero_output_for_mask, time_major)
    leaves, structure = trees.flatten(x)
    if not leaves or any(lift(leaf).ndim < 2 for leaf in leaves):
        raise error("TILE0202", "sequences have an axis for the batch and one for time")
    rows = [lift(leaf) if time_major else swapaxes(leaf, 0, 1) for leaf in leaves]
    outputs, state = ran(step, trees.unflatten(structure, rows), initial_state, course)
    leaves, structure = trees.flatten(outputs)
    last = 0 if go_backwards else -1
    found = [ordered(leaf, course) if return_sequences else leaf[last] for leaf in leaves]
    return trees.unflatten(structure, found), state


def ordered(outputs: Any, course: Course) -> Any:
    """Outputs, first axis time, as the caller wants them."""
    if course.go_backwards:
        outputs = flip(outputs, 0)
    return outputs if course.time_major else swapaxes(outputs, 0, 1)


def ran(step: Step, rows: Any, state: Any, course: Course) -> tuple[Any, Any]:
    """Outputs in the order of time, and the last state."""
    mask = _mask(rows, course)

    def plain(state: Any, row: Any) -> tuple[Any, Any]:
        output, state = _pair(step(row, state))
        return state, output

    def masked(old: Any, item: Any) -> tuple[Any, Any]:
        row, valid = item
        output, new = _pair(step(row, old))
        before, structure = trees.flatten(old)
        kept = [_chosen(valid, n, o) for n, o in zip(trees.flatten(new)[0], before, strict=True)]
        outputs, form = trees.flatten(output)
        shown = [_chosen(valid, o, 0 if course.zero_output_for_mask else before[0]) for o in outputs]
        return trees.unflatten(structure, kept), trees.unflatten(form, shown)

    body, inputs = (plain, rows) if mask is None else (masked, (rows, mask))
    last, outputs = scan(body, state, inputs, reverse=course.go_backwards)
    return outputs, last


def _pair(found: Any) -> tuple[Any, Any]:
    if not isinstance(found, tuple) or len(found) != 2:
        raise error("TILE0113", "a step of a recurrence returns a pair: the output and the state")
    return found


def _chosen(valid: Any, new: Any, old: Any) -> Any:
    """New values where a sequence goes on; `valid` has the batch as its only axis."""
    if new.ndim == 0 or (not isinstance(old, int) and old.shape != new.shape):
        raise error("TILE0203", "behind a mask, states and outputs are of one shape that begins with the batch")
    return where(expand_dims(valid, tuple(range(1, new.ndim))), new, old)


def _mask(rows: Any, course: Course) -> Any:
    """The mask, first axis time, or None; raises TILE0203, TILE0301, TILE0304, TILE0511."""
    if course.mask is not None and course.lengths is not None:
        raise error("TILE0511", "mask and lengths are two ways to say the same: give one of them")
    first = trees.flatten(rows)[0][0]
    time, batch = first.type.shape[:2]
    if course.lengths is not None:
        lengths = shaped(course.lengths, (batch,), "lengths")
        if not lengths.type.dtype.is_integer:
            raise error("TILE0304", f"lengths of sequences are integers, not {lengths.type.dtype.long}")
        return expand_dims(arange(first.shape[0], dtype="int32"), 1) < lengths
    if course.mask is None:
        return None
    mask = shaped(course.mask, (time, batch) if course.time_major else (batch, time), "a mask")
    if mask.type.dtype != BOOL:
        raise error("TILE0301", f"a mask of sequences is of bool, not of {mask.type.dtype.long}")
    return mask if course.time_major else swapaxes(mask, 0, 1)


def shaped(given: Any, shape: tuple[Size, ...], what: str) -> Tensor:
    tensor = lift(given)
    if tensor.type.shape != shape:
        raise error("TILE0203", f"{what} of shape {shape_text(tensor.type.shape)}, not {shape_text(shape)}")
    return tensor
