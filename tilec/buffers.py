"""Floor 3: memory of buffers: what a view shows, how much a buffer needs, and what a copy moves."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from tilec.affine import Affine
from tilec.dtypes import BOOL, BY_NAME, DType
from tilec.errors import error
from tilec.exact.boxes import integer
from tilec.expr import read
from tilec.loops import Block, Buffer, For, Kernel, KernelParam, LoopKind, Store, strides_of


def root(buffer: Buffer, buffers: Mapping[str, Buffer]) -> Buffer:
    """The buffer that owns the memory of a view."""
    while buffer.base is not None:
        buffer = buffers[buffer.base]
    return buffer


def place_of(buffer: Buffer, buffers: Mapping[str, Buffer]) -> Affine:
    """First element in the memory of the root, by the indices of the enclosing Iterates."""
    place = Affine.of(buffer.moves, buffer.offset)
    while buffer.base is not None:
        buffer = buffers[buffer.base]
        place = place + Affine.of(buffer.moves, buffer.offset)
    return place


def elements(buffer: Buffer) -> int:
    """Elements of memory from the first to the last one, gaps included; raises TileError TILE0210, TILE0602."""
    shape, strides = ([integer(n) for n in x] for x in (buffer.shape, strides_of(buffer)))
    if any(s < 0 for s in strides):
        raise error("TILE0602", f"buffer '{buffer.name}' has a negative stride and is no view")
    return 1 + sum((n - 1) * s for n, s in zip(shape, strides)) if prod(shape) else 0


def bits_type(dtype: DType) -> DType:
    """What a copy moves: the unsigned integer of the same width, for a NaN keeps its bits. A bool becomes 0 or 1."""
    return dtype if dtype == BOOL else BY_NAME[f"u{dtype.bits}"]


def copy_kernel(source: Buffer, target: Buffer, kind: LoopKind) -> Kernel:
    """Copies its first parameter to the second, which has the same shape and type: one loop for each axis."""
    place = tuple(Affine.constant(0) if s == 1 else Affine.var(f"i{k}") for k, s in enumerate(target.shape))
    body: Block = (Store(target.name, place, read(source.name, place, source.dtype)),)
    for k, size in reversed(list(enumerate(target.shape))):
        if size != 1:
            body = (For(f"i{k}", size, kind, body),)
    return Kernel("copy", (KernelParam(source, "in"), KernelParam(target, "out")), body)
