"""Floor 3: the memory that the evaluator of Loops runs on: allocations, views, and the arena of a placed Program.

What is allocated starts as NaN (or as a striking integer), so that reading what was never written shows. Where memory
is too small TileError TILE0602 is raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tilec.affine import Affine, Size, resolve
from tilec.errors import TileError, error
from tilec.evaluate.expr import Mode, storage
from tilec.loops import Buffer, Program, strides_of
from tilec.numpy_semantics import Array
from tilec.unwritten import NAN


def fault(message: str) -> TileError:
    return error("TILE0602", message)


def numbers(shape: Sequence[Size], sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(int(resolve(s, sizes)) for s in shape)


def _garbage(count: int, dtype: np.dtype[np.generic]) -> Array:
    """Uninitialised memory: NaN, or bytes 0xA5."""
    if dtype == np.bool_:
        return np.ones(count, dtype)
    if dtype.kind in "iu":
        return np.full(count * dtype.itemsize, 0xA5, np.uint8).view(dtype)
    return np.full(count, np.nan, dtype)


def uninitialised(buffer: Buffer, sizes: Mapping[str, int], mode: Mode) -> Array:
    shape, strides = numbers(buffer.shape, sizes), numbers(strides_of(buffer), sizes)
    dtype = storage(buffer.dtype, mode)
    return _strided(_garbage(_span(shape, strides), dtype), shape, strides, 0, buffer.name)


def spoil(array: Array) -> None:
    """Makes memory uninitialised."""
    array[...] = _garbage(1, array.dtype)[0]


def _span(shape: Sequence[int], strides: Sequence[int]) -> int:
    return 0 if 0 in shape else 1 + sum((n - 1) * max(s, 0) for n, s in zip(shape, strides))


def _strided(flat: Array, shape: Sequence[int], strides: Sequence[int], offset: int, name: str) -> Array:
    """A view of a flat array; raises TILE0602 where it reaches outside."""
    reach = [(n - 1) * s for n, s in zip(shape, strides)] if 0 not in shape else []
    low, high = offset + sum(min(r, 0) for r in reach), offset + sum(max(r, 0) for r in reach)
    if 0 not in shape and (low < 0 or high >= flat.size):
        raise fault(f"view '{name}' reaches elements {low} to {high} of {flat.size}")
    step = flat.itemsize
    view: Array = np.lib.stride_tricks.as_strided(
        flat[min(offset, flat.size) :], shape, [s * step for s in strides], writeable=True
    )
    return view


def view_of(
    buffer: Buffer, known: Mapping[str, Array], sizes: Mapping[str, int], indices: Mapping[str, int] | None = None
) -> Array:
    """A view's elements; `indices` are those of the Iterates with which it moves."""
    assert buffer.base is not None
    base = known[buffer.base]
    if not base.flags.c_contiguous:
        raise fault(f"view '{buffer.name}' of '{buffer.base}', which is no dense array")
    shape, strides = numbers(buffer.shape, sizes), numbers(strides_of(buffer), sizes)
    offset = Affine.of(buffer.moves, buffer.offset).evaluate({**sizes, **(indices or {})})
    return _strided(base.reshape(-1), shape, strides, int(offset), buffer.name)


def arena_of(program: Program, sizes: Mapping[str, int], mode: Mode) -> dict[str, Array]:
    """Buffers at their places in one block of memory; only in the typed mode, where the sizes are the true ones."""
    if not program.places or mode != "typed":
        return {}
    memory = np.full(program.arena, NAN, np.uint8)
    found: dict[str, Array] = {}
    for name, at in program.places:
        buffer = program.buffer(name)
        shape, strides = numbers(buffer.shape, sizes), numbers(strides_of(buffer), sizes)
        used = _span(shape, strides) * buffer.dtype.bytes
        if at + used > program.arena:
            raise fault(f"buffer '{name}' at {at} with {used} bytes does not fit in the arena of {program.arena}")
        flat = memory[at : at + used].view(buffer.dtype.numpy)
        found[name] = _strided(flat, shape, strides, 0, name)
    return found
