"""Groups of fewer items than a kernel has: each item does the work of several.

How many items a group may have is known once a kernel is built: each may need too many registers for the most that the
device allows. Then loops of items are halved, and each item goes through what two of them did, with registers for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from tilec.affine import Affine, Coef
from tilec.backends.opencl.groups import group_size
from tilec.backends.opencl.memory import number
from tilec.errors import error
from tilec.expr import Expr, Read, substitute_indices, transform
from tilec.groups import in_group, item_axes
from tilec.instructions import expanded
from tilec.loops import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    For,
    If,
    Kernel,
    Stmt,
    Store,
    children,
    map_exprs,
    rewrite,
    walk,
    with_children,
)

Indices = tuple[Affine | Expr, ...]


def narrowed(kernel: Kernel, limit: int) -> Kernel:
    """The kernel with groups of at most `limit` items; the same object where it has no larger ones. Raises TILE0602
    where items wait for each other inside of a nest, or the device allows none."""
    body = kernel.body
    while (most := group_size(body)) > limit:
        nests = [s for s in walk(body) if isinstance(s, For) and s.kind == "item"]
        if limit < 1 or any(isinstance(s, Barrier) for nest in nests for s in walk(nest.body)):
            raise error("TILE0602", f"a work-group of {most} items; the device allows {limit} in this kernel")
        body = _Halving(limit, f".of{most}").block(expanded(body), (), {})
    return kernel if body is kernel.body else replace(kernel, body=body)


@dataclass(frozen=True, slots=True)
class _Halving:
    """Halves the first loop of every nest of more items than `limit`. suffix: makes the names of new loops new."""

    limit: int
    suffix: str

    def block(self, block: Block, around: Sequence[For], owned: Mapping[str, int]) -> Block:
        """owned: registers of items that are in sight, with the number of axes that say whose they are."""
        owned, result = dict(owned), list[Stmt]()
        for position, stmt in enumerate(block):
            if isinstance(stmt, Alloc) and stmt.buffer.space == "register" and in_group(around):
                count = item_axes(stmt.buffer, block[position + 1 :]) or 0
                if prod(map(number, stmt.buffer.shape[:count])) > self.limit:
                    owned[stmt.buffer.name] = count
                    stmt = Alloc(_widened(stmt.buffer, count))
            elif isinstance(stmt, For) and stmt.kind == "item":
                stmt = self.nest(stmt, owned)
            else:
                inside = (*around, stmt) if isinstance(stmt, For) else around
                stmt = with_children(stmt, self.block(children(stmt), inside, owned))
            result.append(stmt)
        return tuple(result)

    def nest(self, stmt: For, owned: Mapping[str, int]) -> Stmt:
        loops, body = [stmt], stmt.body
        while len(body) == 1 and isinstance(body[0], For) and body[0].kind == "item":
            loops.append(body[0])
            body = body[0].body
        if prod(number(loop.extent) for loop in loops) <= self.limit:
            return stmt
        half = next(loop for loop in loops if loop.extent != 1)
        extent, again = number(half.extent), f"{half.index}{self.suffix}"
        form = Affine.of({half.index: 1, again: -(-extent // 2)})
        body = _divided(body, half.index, form, again, owned)
        body = (If((-form + (extent - 1),), body),) if extent % 2 else body
        inner: Stmt = For(again, 2, "unroll", body)
        for loop in reversed(loops):
            inner = replace(loop, extent=-(-extent // 2) if loop is half else loop.extent, body=(inner,))
        return inner


def _widened(buffer: Buffer, count: int) -> Buffer:
    """Registers for two items: the axis of the loop that is halved, and an axis behind those of the items."""
    shape = [number(size) for size in buffer.shape]
    axis = next(i for i, size in enumerate(shape) if size != 1)
    shape[axis] = -(-shape[axis] // 2)
    return replace(buffer, shape=(*shape[:count], 2, *shape[count:]), strides=None)


def _divided(block: Block, index: str, form: Affine, again: str, owned: Mapping[str, int]) -> Block:
    """What both items did: the index is `form` now, but that of registers, whose new axis it has instead."""
    values: dict[str, Affine | Coef] = {index: form}

    def place(name: str, indices: Indices) -> Indices:
        count = owned.get(name)
        if count is None:
            return indices
        first = (Affine.var(index) if i == form else i for i in indices[:count])
        return (*first, Affine.var(again), *indices[count:])

    def leaf(e: Expr) -> Expr:
        if isinstance(e, Read) and e.access.tensor in owned:
            return Read(replace(e.access, indices=place(e.access.tensor, e.access.indices)), e.dtype)
        return e

    def visit(stmt: Stmt) -> Block:
        match stmt:
            case Store(buffer, indices):
                moved = tuple(i.substitute(values) if isinstance(i, Affine) else i for i in indices)
                return (replace(stmt, indices=place(buffer, moved)),)
            case If(conditions, body):
                return (If(tuple(c.substitute(values) for c in conditions), body),)
            case _:
                return (stmt,)

    return rewrite(map_exprs(block, lambda e: transform(substitute_indices(e, values), leaf)), visit)
