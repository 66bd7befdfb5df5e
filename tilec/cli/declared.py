"""Floor 6: what a function's header says of inputs that the command line says nothing of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from tilec.affine import named_size
from tilec.cli.inputs import random_array
from tilec.dtypes import BY_NAME, F32, DType
from tilec.errors import TileError
from tilec.frontends.tile.syntax import Function, Ident, Input
from tilec.graph import TensorType

_SIZES = (3, 4, 5, 2, 6)  # one for each name: what is transposed by mistake does not fit


def named_types(function: Function, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, and types with the sizes' names for the other inputs that have axes."""
    return {**{i.name.text: _named_type(i) for i in function.inputs if i.dims is not None}, **given}


def _named_type(item: Input) -> TensorType:
    shape = tuple(named_size(d.text) if isinstance(d, Ident) else int(d.value) for d in item.dims or ())
    return TensorType(_dtype(item), shape)


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


def _bound(function: Function, given: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The sizes of the arrays that are given."""
    for item in function.inputs:
        shape = np.shape(given[item.name.text]) if item.name.text in given else ()
        for dim, size in zip(item.dims or (), shape):
            if isinstance(dim, Ident):
                yield dim.text, size


@contextmanager
def shapes_asked_for(function: Function) -> Iterator[None]:
    """Adds to errors about inputs and sizes that are not known how the command line gives them."""
    try:
        yield
    except TileError as problem:
        codes = {d.code for d in problem.diagnostics}
        if not codes & {"TILE0210", "TILE0501"}:
            raise
        words = " ".join(f"--shape {i.name.text}={_example(i)}" for i in function.inputs)
        first, *rest = problem.diagnostics
        raise TileError([replace(first, help=f"say what the inputs are, as in: {words}"), *rest]) from None


def _example(item: Input) -> str:
    if item.dims is None:
        return "0.5"
    return f"{_dtype(item)}[{','.join('8' if isinstance(d, Ident) else str(d.value) for d in item.dims)}]"
