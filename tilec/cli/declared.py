"""Floor 6: what a function's header says of inputs that the command line says nothing of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from tilec.affine import Size, named_size
from tilec.cli.inputs import random_array
from tilec.dtypes import BY_NAME, F32, DType
from tilec.errors import TileError
from tilec.frontends.tile.functions import ELEMENTWISE
from tilec.frontends.tile.syntax import Assign, Call, Function, Ident, Input, Number
from tilec.frontends.tile.trees import accesses, read_names, targets, walk
from tilec.graph import TensorType

_ASKING = frozenset({"TILE0210", "TILE0501"})
_OF_SHAPES = frozenset({"TILE0201", "TILE0202", "TILE0203", "TILE0208", "TILE0209", "TILE0213", "TILE0304", "TILE0510"})
_SIZES = (3, 4, 5, 2, 6)  # one for each name: what is transposed by mistake does not fit


def named_types(function: Function, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, and types for the other inputs that have axes; sizes that nothing given binds keep their names.

    An input of any rank has as many axes as its accesses have indices.
    """
    ranks = _ranks(function)
    bare = {i.name.text: ranks[i.name.text] for i in function.inputs if i.dims is None and i.name.text in ranks}
    sizes = dict(_bound(function, given))
    declared = {i.name.text: _named_type(i, sizes) for i in function.inputs if i.dims is not None}
    found = {i.name.text: _type_of_rank(i, bare[i.name.text]) for i in function.inputs if i.name.text in bare}
    return {**declared, **found, **given}


def _ranks(function: Function) -> dict[str, int]:
    """The number of axes of what is read element by element, and of what alone such a value is computed from."""
    found = {a.tensor.text: len(a.indices) for s in function.body for a in accesses(s) if a.indices}
    for statement in reversed(function.body):
        if isinstance(statement, Assign) and (rank := found.get(targets(statement)[0].text)):
            calls = (e.function.text for e in walk(statement.value) if isinstance(e, Call))
            names = list(read_names(statement))
            if len(names) == 1 and all(name in ELEMENTWISE for name in calls):
                found.setdefault(names[0], rank)
    return found


def _type_of_rank(item: Input, rank: int) -> TensorType:
    return TensorType(_dtype(item), tuple(named_size(f"{item.name.text}_{axis}") for axis in range(rank)))


def _named_type(item: Input, sizes: Mapping[str, Size]) -> TensorType:
    def size(d: Ident | Number) -> Size:
        return sizes.get(d.text, named_size(d.text)) if isinstance(d, Ident) else int(d.value)

    return TensorType(_dtype(item), tuple(map(size, item.dims or ())))


def _dtype(item: Input) -> DType:
    """The declared type; float32 where there is none, or a generic one."""
    return BY_NAME.get(item.dtype.text, F32) if item.dtype is not None else F32


def made_up(function: Function, given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Random arrays for the inputs that have axes and are not given: of small sizes, where those given bind none."""
    sizes = dict(_bound(function, given))
    free = (d.text for i in function.inputs for d in i.dims or () if isinstance(d, Ident))
    for position, name in enumerate(n for n in dict.fromkeys(free) if n not in sizes):
        sizes[name] = _SIZES[position % len(_SIZES)]
    generator = np.random.default_rng(seed)
    found = {}
    for item in function.inputs:
        if item.dims is not None and item.name.text not in given:
            shape = tuple(sizes[d.text] if isinstance(d, Ident) else int(d.value) for d in item.dims)
            found[item.name.text] = random_array(TensorType(_dtype(item), shape), generator)
    return found


def _bound(function: Function, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The sizes of the arrays or types that are given."""
    for item in function.inputs:
        shape = getattr(given.get(item.name.text), "shape", ())
        for dim, size in zip(item.dims or (), shape):
            if isinstance(dim, Ident):
                yield dim.text, size


@contextmanager
def shapes_asked_for(function: Function, known: Collection[str]) -> Iterator[None]:
    """Adds to errors where inputs or sizes are not known how the command line gives them. `known` are inputs given."""
    try:
        yield
    except TileError as problem:
        first, *rest = problem.diagnostics
        guessed = any(i.dims != () and i.name.text not in known for i in function.inputs)
        if first.code not in _ASKING and not (guessed and first.code in _OF_SHAPES):
            raise
        words = " ".join(f"--shape {i.name.text}={_example(i)}" for i in function.inputs)
        help = f"say what the inputs are, as in: {words}"
        raise TileError([replace(first, help=help), *rest]) from None


def _example(item: Input) -> str:
    if item.dims is None:
        return "0.5"
    return f"{_dtype(item)}[{','.join('8' if isinstance(d, Ident) else str(d.value) for d in item.dims)}]"
