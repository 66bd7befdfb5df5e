"""Open sizes of machine code: what a call has to find out, worked out from the program."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tilec.affine import Poly, Size, named_size
from tilec.backends.llvm.layout import Layout, Open
from tilec.exact.domain import must_be_fixed
from tilec.loops import Program
from tilec.text.affine_text import print_coef
from tilec.verify.program import lifetimes


def open_of(program: Program, layout: Layout, arguments: Sequence[str]) -> Open:
    """Raises TileError TILE0210 where no argument has a size as an axis."""
    buffers = {b.name: b for b in program.buffers}
    axes = {s for b in program.buffers for s in b.shape if isinstance(s, Poly)}
    lives = lifetimes(program, buffers)
    placed = [(k, n) for k, n in enumerate(layout.table) if buffers[n].space != "param" and n in lives]
    return Open(
        tuple((name, *_source(name, program, arguments)) for name in program.sizes),
        tuple((name, print_coef(size), divisor) for name, size, divisor in program.derived),
        tuple(layout.sizes.items()),
        tuple((k, print_coef(_bytes(buffers[n].shape, buffers[n].dtype.bytes)), *lives[n]) for k, n in placed),
        tuple(sorted(map(print_coef, axes))),
    )


def _source(name: str, program: Program, arguments: Sequence[str]) -> tuple[int, int]:
    for position, argument in enumerate(arguments):
        shape = program.buffer(argument).shape
        if argument in program.params and named_size(name) in shape:
            return position, shape.index(named_size(name))
    raise must_be_fixed(name, "it is not the size of an axis of any input")


def _bytes(shape: Sequence[Size], element: int) -> Size:
    return prod(shape, start=element)
