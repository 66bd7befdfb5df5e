"""Floor 5: elements of one tensor of several: by its number, or by conditions with functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilec.dtypes import BOOL, I32
from tilec.errors import error
from tilec.numpy.elementwise import where
from tilec.numpy.joining import ndim
from tilec.numpy.positions import moved_inside
from tilec.numpy.repeating import unstack
from tilec.numpy.shapes import broadcast_to
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype
from tilec.tracing.place import located


@operation
def choose(x: Any, choices: Any, /, mode: str = "clip") -> Any:
    """Elements of the tensors `choices`, which broadcast, each from the one whose number x says. Numbers beyond are
    those of the first or last one ("clip") or counted around ("wrap"). Raises TILE0304, TILE0505, TILE0511.
    """
    tensor = lift(x)
    given = [lift(c) for c in choices] if isinstance(choices, tuple | list) else list(unstack(choices))
    own = tensor.type.dtype
    if not own.is_integer and own != BOOL:
        raise error("TILE0304", f"numbers of choices are integers, not {own.long}")
    if not given:
        raise error("TILE0505", "a choice of nothing")
    number = moved_inside(as_dtype(tensor, I32) if own == BOOL else tensor, len(given), mode)
    found = where(apply("cmp_eq", number, 0), given[0], given[-1])
    for k, choice in enumerate(given[1:-1], 1):
        found = where(apply("cmp_eq", number, k), choice, found)
    return found


def piecewise(x: Any, conditions: Any, functions: Sequence[Any], /) -> Any:
    """Elements of what functions give of x, each where its condition holds, of the last of those that do; a last
    function more is for where none does, 0 else. Numbers count as functions. Conditions are one or several, in a list
    or along the first axis of one tensor. The result has the type and the shape of x.

    Every function is given the whole of x: what is not taken must not be infinite where a derivative is wanted.
    Raises TILE0203, TILE0204, TILE0505.
    """
    with located():
        if not isinstance(functions, tuple | list):
            raise error("TILE0505", "piecewise takes a sequence of functions", help="piecewise(x, [c], [f])")
        several = not isinstance(conditions, tuple | list) and ndim(conditions) > ndim(x)
    given = unstack(conditions) if several else conditions if isinstance(conditions, tuple | list) else [conditions]
    with located():
        if len(functions) - len(given) not in (0, 1):
            raise error("TILE0204", f"{len(functions)} functions for {len(given)} conditions")
    found = [f(x) if callable(f) else f for f in functions]
    return _pieces(x, given, found)


@operation
def _pieces(x: Any, conditions: Any, values: Any, /) -> Any:
    tensor = lift(x)
    default = values[-1] if len(values) > len(conditions) else 0
    found = broadcast_to(as_dtype(lift(default), tensor.type.dtype), tensor.type.shape)
    for condition, value in zip(conditions, values):
        there = broadcast_to(condition, tensor.type.shape)
        found = where(there, as_dtype(broadcast_to(value, tensor.type.shape), tensor.type.dtype), found)
    return found
