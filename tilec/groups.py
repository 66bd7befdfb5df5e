"""Floor 3: work-groups in the Loops IR: where `group` and `item` loops may stand, and what belongs to one item.

A group is serial code whose nests of `item` loops are forked and joined: all items are done with a nest before the next
statement of the group begins. So what one item keeps from nest to nest, such as accumulators, is a `register` buffer
of the group whose leading axes are the item indices:

    for g in 4 group {
      alloc c: register f32[16, 2]
      for x in 16 item { for r in 2 unroll { c[x, r] = 0.0 } }
      for k in 8 { for x in 16 item { for r in 2 unroll { c[x, r] sum= A[k, 32*g + 2*x + r] } } }
      for x in 16 item { for r in 2 unroll { C[32*g + 2*x + r] = c[x, r] } }
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tilec.affine import Affine
from tilec.expr import Expr
from tilec.instructions import expand
from tilec.loops import Alloc, Block, Buffer, For, Instr, Store, accesses, children

Indices = tuple[Affine | Expr, ...]


def misplaced(block: Block, around: Sequence[For] = ()) -> str | None:
    """Why a `group` or `item` loop of the block must not stand where it does; None where all may.

    Nothing but group loops is around a group loop. Item loops are inside of these; where several make a nest, each is
    all that the one around it holds. None of them is inside of lanes or threads.
    """
    for stmt in block:
        if isinstance(stmt, For) and (why := _misplaced(stmt, block, around)):
            return why
        if why := misplaced(children(stmt), (*around, stmt) if isinstance(stmt, For) else around):
            return why
    return None


def _misplaced(loop: For, block: Block, around: Sequence[For]) -> str | None:
    kinds = [f.kind for f in around]
    match loop.kind:
        case "group" if (other := next((f for f in around if f.kind != "group"), None)) is not None:
            return f"the group loop '{loop.index}' is inside of the {other.kind} loop '{other.index}'"
        case "item":
            if "group" not in kinds or "parallel" in kinds or "vector" in kinds:
                return f"the item loop '{loop.index}' is inside of no group loop, or of lanes or threads"
            if "item" in kinds and (kinds[-1] != "item" or len(block) > 1 or around[-1].body is not block):
                return f"the item loop '{loop.index}' is inside of another one, and not all that it holds"
        case "parallel" if "group" in kinds:
            return f"the parallel loop '{loop.index}' is inside of a group loop"
    return None


def in_group(around: Sequence[For]) -> bool:
    """Whether what is allocated there belongs to a group, not to an item."""
    kinds = {f.kind for f in around}
    return "group" in kinds and "item" not in kinds


def item_axes(buffer: Buffer, block: Block) -> int | None:
    """How many leading axes of a buffer are item indices, in all of its accesses in the block, which is inside of a
    group and outside of item loops. None where accesses disagree, or another item's elements are touched.

    An item loop of one iteration may have no axis.
    """
    counts = {_axes(buffer, indices, items) for indices, items in _uses(buffer.name, block, ())}
    return counts.pop() if len(counts) == 1 else None if counts else 0


def _axes(buffer: Buffer, indices: Indices | None, items: Sequence[For]) -> int | None:
    if indices is None:
        return 0 if not items else None
    count = 0
    for loop in items:
        here = indices[count] if count < len(indices) else None
        if here == Affine.var(loop.index) and buffer.shape[count] == loop.extent:
            count += 1
        elif loop.extent != 1:
            return None
    return count


def _uses(name: str, block: Block, items: tuple[For, ...]) -> Iterator[tuple[Indices | None, tuple[For, ...]]]:
    """The indices of every access to a buffer and the item loops around it; None for a view of it."""
    for stmt in block:
        if isinstance(stmt, Alloc) and stmt.buffer.base == name:
            yield None, items
        if isinstance(stmt, Store) and stmt.buffer == name:
            yield stmt.indices, items
        yield from ((a.indices, items) for a in accesses(stmt) if a.tensor == name)
        inner = (*items, stmt) if isinstance(stmt, For) and stmt.kind == "item" else items
        yield from _uses(name, expand(stmt) if isinstance(stmt, Instr) else children(stmt), inner)
