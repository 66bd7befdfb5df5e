"""Open sizes of machine code: what a call has to find out, worked out from the program."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tilec.affine import Poly, Size
from tilec.arena import size_sources
from tilec.backends.llvm.layout import Layout, Open
from tilec.loops import Program
from tilec.text.affine_text import print_coef
from tilec.verify.lifetimes import lifetimes


def open_of(program: Program, layout: Layout, arguments: Sequence[str]) -> Open:
    """Raises TileError TILE0210 where no argument has a size as an axis."""
    buffers = {b.name: b for b in program.buffers}
    axes = {s for b in program.buffers for s in b.shape if isinstance(s, Poly)}
    lives = lifetimes(program)
    placed = [(k, n) for k, n in enumerate(layout.table) if buffers[n].space != "param" and n in lives]
    return Open(
        tuple((name, arguments.index(param), axis) for name, param, axis in size_sources(program)),
        tuple((name, print_coef(size), divisor) for name, size, divisor in program.derived),
        tuple(layout.sizes.items()),
        tuple((k, print_coef(_bytes(buffers[n].shape, buffers[n].dtype.bytes)), *lives[n]) for k, n in placed),
        tuple(sorted(map(print_coef, axes))),
    )


def _bytes(shape: Sequence[Size], element: int) -> Size:
    return prod(shape, start=element)
