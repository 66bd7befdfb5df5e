"""Kernels that move 16-bit floats move their bits: nothing is converted, and a NaN keeps its payload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tilec.backends.llvm.types import NARROW
from tilec.buffers import bits_type
from tilec.dtypes import DType
from tilec.expr import Expr, moved, transform, walk
from tilec.loops import Alloc, Block, Buffer, Instr, Kernel, Let, Stmt, Store, While, map_exprs, rewrite
from tilec.loops import walk as statements


def as_bits(kernel: Kernel) -> Kernel:
    """The kernel over unsigned integers of the same width, in the place of each type that it only moves."""
    if any(isinstance(s, Instr) for s in statements(kernel.body)):
        return kernel
    for dtype in NARROW:
        held = [p.buffer for p in kernel.params] + [s.buffer for s in statements(kernel.body) if isinstance(s, Alloc)]
        if any(b.dtype == dtype for b in held) and not any(e.dtype == dtype for e in _looked_at(kernel.body)):
            kernel = _with_type(kernel, dtype, bits_type(dtype))
    return kernel


def _looked_at(body: Block) -> Iterator[Expr]:
    """Values that are computed, and those computed with."""
    for stmt in statements(body):
        match stmt:
            case Store(value=value, monoid=None) if (read := moved(value)) is not None:
                yield from (e for i in read.access.indices if isinstance(i, Expr) for e in walk(i))
            case Store() | Let():
                yield from walk(stmt.value)
            case While():
                yield from walk(stmt.condition)


def _with_type(kernel: Kernel, old: DType, new: DType) -> Kernel:
    def typed(buffer: Buffer) -> Buffer:
        return replace(buffer, dtype=new) if buffer.dtype == old else buffer

    def leaf(e: Expr) -> Expr:
        return replace(e, dtype=new) if e.dtype == old else e

    def visit(stmt: Stmt) -> Block:
        return (Alloc(typed(stmt.buffer)),) if isinstance(stmt, Alloc) else (stmt,)

    body = rewrite(map_exprs(kernel.body, lambda e: transform(e, leaf)), visit)
    return replace(kernel, params=tuple(replace(p, buffer=typed(p.buffer)) for p in kernel.params), body=body)
