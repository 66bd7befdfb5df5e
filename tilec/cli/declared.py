"""Floor 6: what a function's header says of inputs that the command line says nothing of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from tilec.affine import Size, named_size
from tilec.cli.bare import bare_types, declared_dtype
from tilec.cli.inputs import random_array
from tilec.errors import TileError
from tilec.frontends.tile.syntax import Function, Ident, Input, Number
from tilec.graph import TensorType

_ASKING = frozenset({"TILE0210", "TILE0501"})
_OF_SHAPES = frozenset({"TILE0201", "TILE0202", "TILE0203", "TILE0208", "TILE0209", "TILE0213", "TILE0304", "TILE0510"})
_SIZES = (3, 4, 5, 2, 6)  # one for each name: what is transposed by mistake does not fit


def named_types(
    function: Function, given: Mapping[str, Any], others: Mapping[str, Function] = MappingProxyType({})
) -> dict[str, Any]:
    """What is given, and types for the other inputs that have axes; sizes that nothing given binds keep their names.

    `others` are the functions of the program: what is passed to one has the axes that its header says.
    """
    sizes = dict(_bound(function, given))
    declared = {i.name.text: _named_type(i, sizes) for i in function.inputs if i.dims is not None}
    known = {**declared, **given}
    return {**bare_types(function, known, others), **known}


def _named_type(item: Input, sizes: Mapping[str, Size]) -> TensorType:
    def size(d: Ident | Number) -> Size:
        return sizes.get(d.text, named_size(d.text)) if isinstance(d, Ident) else int(d.value)

    return TensorType(declared_dtype(item), tuple(map(size, item.dims or ())))


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
            found[item.name.text] = random_array(TensorType(declared_dtype(item), shape), generator)
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
    return f"{declared_dtype(item)}[{','.join('8' if isinstance(d, Ident) else str(d.value) for d in item.dims)}]"
