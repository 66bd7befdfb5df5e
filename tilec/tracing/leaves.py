"""Floor 5: leaves of the arguments of compiled functions: arrays and numbers, their kinds, types and names."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tilec.affine import named_size
from tilec.api import parse_type
from tilec.dtypes import F32, F64, I32, I64
from tilec.errors import Diagnostic, TileError, error
from tilec.graph import TensorType
from tilec.resident import Buffer
from tilec.rules import weak_dtype
from tilec.runtime import as_array, describe, type_of
from tilec.tracing import trees
from tilec.tracing.operators import is_number
from tilec.tracing.place import located, user_span
from tilec.tracing.sizes import Axes, opened
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import leaked

NUMBERS = (float, int, bool)


def taken_leaf(path: Sequence[Any], value: Any, types: bool, read: bool = False) -> Any:
    """An array, a Buffer (or, with `read`, an array of its contents), a plain number or, with `types`, a TensorType;
    raises TILE0505, TILE0522."""
    if type(value) is np.ndarray or (type(value) is Buffer and not read):
        return value
    if isinstance(value, Tensor):
        if hasattr(value, "numpy"):  # one of a tape
            return value.numpy()
        raise leaked(value)
    if types and isinstance(value, str | TensorType):
        return parse_type(trees.path_text(path), value) if isinstance(value, str) else value
    if is_number(value):  # also one of a class of its own, such as an IntEnum
        return next(kind for kind in (bool, int, float) if isinstance(value, kind))(value)
    if isinstance(value, str) or callable(value):
        text = f"argument {trees.path_text(path)!r} is of type {type(value).__name__}, not an array"
        help = "an argument that is not data is named in static_argnames"
        raise error("TILE0505", text, user_span(), help=help)
    with located():
        try:
            return as_array(trees.path_text(path), value)
        except TileError as found:
            raise TileError(map(_helped, found.diagnostics)) from found.__cause__


def _helped(problem: Diagnostic) -> Diagnostic:
    """An object that is no array may be meant as a tree of them."""
    if problem.code != "TILE0505" or problem.help is None:
        return problem
    return replace(problem, help=f"{problem.help}, or register its class as a tree with optree")


def kind_of(leaf: Any, axes: Axes = ()) -> tuple[Hashable, ...]:
    """What decides the code; axes with names count by these."""
    if isinstance(leaf, np.ndarray | Buffer):
        return leaf.dtype, opened(leaf.shape, axes) if axes else leaf.shape
    if isinstance(leaf, TensorType):
        return leaf.dtype.numpy, opened(leaf.shape, axes)
    kind: type = type(leaf)
    return kind, weak_dtype(leaf)


def check_axes(path: Sequence[Any], leaf: Any, axes: Axes) -> None:
    """Raises TILE0504 where an argument lacks the axes that are open."""
    rank = leaf.rank if isinstance(leaf, TensorType) else leaf.ndim if isinstance(leaf, np.ndarray | Buffer) else 0
    if rank < len(axes):
        text = f"argument {trees.path_text(path)!r} has rank {rank}, and open_sizes names {len(axes)} of its axes"
        raise error("TILE0504", text, user_span())


def leaf_type(leaf: Any, wide: bool, axes: Axes = ()) -> TensorType:
    """The type of a parameter. A float number is passed in float64 where there is an array of it."""
    if axes:
        given = leaf_type(leaf, wide)
        shape = (named_size(s) if isinstance(s, str) else s for s in opened(given.shape, axes))
        return replace(given, shape=tuple(shape))
    if isinstance(leaf, TensorType):
        return leaf
    if isinstance(leaf, np.ndarray | Buffer):
        found = type_of(leaf)
        if found is None:
            raise error("TILE0503", f"an argument has dtype {leaf.dtype}, which tilec does not have")
        return found
    if isinstance(leaf, int) and not I64.min <= leaf <= I64.max:
        raise error("TILE0415", f"the argument {leaf} exceeds 64 bits")
    dtype = weak_dtype(leaf)
    return TensorType(F64 if wide and dtype == F32 else dtype, (), weak=True)


def kind_text(kind: Any) -> str:
    if kind[0] == "constant":
        return f"constant {kind_text(kind[1])} {kind[2][:8]}"
    if isinstance(kind[0], type):
        return kind[0].__name__ if kind[1] in (F32, I32) or kind[0] is bool else str(kind[1])
    found = type_of(np.zeros((), kind[0]))
    shape = tuple(named_size(s) if isinstance(s, str) else s for s in kind[1])
    return str(kind) if found is None else describe(replace(found, shape=shape))


def frozen(name: str, value: Any) -> Hashable:
    """A static value that hashes: lists are tuples."""
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return tuple(frozen(name, v) for v in value)
    try:
        hash(value)
    except TypeError:
        text = f"the static argument {name!r} is of type {type(value).__name__}, which does not hash"
        raise error("TILE0511", text, user_span(), help="pass a tuple, a number or a string") from None
    return value  # type: ignore[no-any-return]


def identifier(path: Sequence[Any]) -> str:
    """A name made of a path."""
    text = "_".join(map(str, path))
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in text)


def exactly(value: Any) -> Hashable:
    """Equal for equal values of one type only: 1, 1.0 and True are three static values, and so are 0.0 and -0.0."""
    if type(value) is tuple:
        return tuple(map(exactly, value))
    return (type(value), repr(value) if isinstance(value, float) else value)
