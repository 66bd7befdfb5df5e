"""Which loops of a kernel run outside of it, and which of its nests can share a slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tilec.affine import Affine, Poly, Size
from tilec.exact.domain import must_be_fixed
from tilec.expr import Expr, Var, read, substitute_vars
from tilec.expr import walk as walk_expr
from tilec.fresh import FreshNames
from tilec.loops import (
    Alloc,
    Block,
    Buffer,
    For,
    If,
    Kernel,
    Let,
    Stmt,
    Store,
    accesses,
    children,
    map_exprs,
    walk,
)

Shapes = Mapping[str, tuple[Size, ...]]
Index = Affine | Expr


@dataclass(frozen=True, slots=True)
class Outer:
    """A loop that runs outside: what it is called in each nest of its group, its extent, whether it runs in blocks."""

    names: tuple[str, ...]
    extent: Size
    sliced: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Statements that share a kernel. `conditions`: they run where all of these sizes are >= 0."""

    body: Block
    outer: tuple[Outer, ...] = ()
    conditions: tuple[Size, ...] = ()


def with_scalars_stored(kernel: Kernel) -> Block:
    """The body, in which a scalar that a nest needs, or what stands behind one, is stored: that is another kernel."""
    fresh = FreshNames({*(p.buffer.name for p in kernel.params), *_bound(kernel.body)})
    body = kernel.body
    for k, stmt in reversed(list(enumerate(body))):
        nest = next((n for n, s in enumerate(body) if n > k and isinstance(s, For | If)), len(body))
        if isinstance(stmt, Let) and stmt.name in _scalars(body[nest:]):
            cell = Buffer(fresh.like(stmt.name), stmt.value.dtype, (), "heap")
            element = {stmt.name: read(cell.name, (), cell.dtype)}
            rest = map_exprs(body[k + 1 :], lambda e: substitute_vars(e, element))  # noqa: B023  # used at once
            body = (*body[:k], Alloc(cell), Store(cell.name, (), stmt.value), *rest)
    return body


def is_idle(stmt: Stmt) -> bool:
    """Whether a nest never stores anything: there may be 2**60 rows of no elements, which take no memory."""
    match stmt:
        case For(extent=0):
            return True
        case For() | If():
            return all(isinstance(s, Let | Alloc) or is_idle(s) for s in stmt.body)
        case _:
            return False


def _bound(block: Block) -> set[str]:
    """Names that the statements of a block bind."""
    scalars = {s.name for s in walk(block) if isinstance(s, Let)}
    return allocated(block) | scalars | {s.index for s in walk(block) if isinstance(s, For)}


def _scalars(block: Block) -> set[str]:
    """Names of the scalars that a block uses."""
    exprs: list[Expr] = []

    def note(e: Expr) -> Expr:
        exprs.append(e)
        return e

    map_exprs(block, note)
    return {v.name for e in exprs for v in walk_expr(e) if isinstance(v, Var)}


def groups(body: Block, shapes: Shapes) -> list[Group]:
    """The statements of a kernel, allocations apart, in groups, in order; no scalar is used in two of them."""
    found: list[Group] = []
    straight: list[Stmt] = []
    for stmt in body:
        if isinstance(stmt, Alloc):
            continue
        if not isinstance(stmt, For | If):
            straight.append(stmt)  # scalar Lets reach from one statement to the next
            continue
        if straight:
            found.append(Group(tuple(straight)))
            straight = []
        group = _group(stmt, shapes)
        if found and (joined := _joined(found[-1], group, shapes)):
            found[-1] = joined
        else:
            found.append(group)
    return [*found, Group(tuple(straight))] if straight else found


def _group(stmt: Stmt, shapes: Shapes) -> Group:
    """A nest by itself, taken out of the conditions on sizes alone."""
    if isinstance(stmt, If) and all(c.is_constant for c in stmt.conditions):
        conditions = tuple(_size(c) for c in stmt.conditions)
        if len(stmt.body) == 1:
            inner = _group(stmt.body[0], shapes)
            return replace(inner, conditions=(*conditions, *inner.conditions))
        return Group(stmt.body, (), conditions)
    loops = {s.index: s.extent for s in walk((stmt,)) if isinstance(s, For)}
    _check_open_axes((stmt,), shapes, loops)
    sliced = {n for n, e in loops.items() if isinstance(e, Poly)}
    single = _before(stmt, loops, sliced) - sliced
    _check_place(stmt, loops, sliced | single)
    order = [n for n in loops if n in sliced or n in single]
    return Group((stmt,), tuple(Outer((n,), loops[n], n in sliced) for n in order))


def _size(condition: Affine) -> Size:
    assert not isinstance(condition.const, float)
    return condition.const  # type: ignore[return-value]  # conditions have integer coefficients


def touched(block: Block) -> Iterator[tuple[str, tuple[Index, ...], bool]]:
    """Every access in a block to what is not allocated in it: the buffer, the indices, whether it stores."""
    own = allocated(block)
    for stmt in walk(block):
        for access in accesses(stmt):
            if access.tensor not in own:
                yield access.tensor, access.indices, False
        if isinstance(stmt, Store) and stmt.buffer not in own:
            yield stmt.buffer, stmt.indices, True


def allocated(block: Block) -> set[str]:
    return {s.buffer.name for s in walk(block) if isinstance(s, Alloc)}


def _check_open_axes(block: Block, shapes: Shapes, loops: Mapping[str, Size]) -> None:
    """An open axis is indexed by a loop over all of it, or by data."""
    for buffer, indices, _ in touched(block):
        for index, size in zip(indices, shapes[buffer], strict=True):
            if isinstance(index, Affine) and isinstance(size, Poly):
                variable = index.as_variable()
                if variable is None or loops.get(variable) != size:
                    raise must_be_fixed(size, f"'{index}', an index of that axis of '{buffer}', does not run over it")


def _before(stmt: Stmt, loops: Mapping[str, Size], moved: set[str]) -> set[str]:
    """Loops that have to be moved with others, so that the terms of each cell keep their order."""
    stores = [s for s in walk((stmt,)) if isinstance(s, Store)]
    if all(s.monoid is not None and _order_free(s) for s in stores):
        return set()
    alone = [{i.as_variable() for i in s.indices if isinstance(i, Affine)} for s in stores]
    ordered = [n for n in loops if not all(n in names for names in alone)]  # others: each cell has one value of them
    last = max((k for k, n in enumerate(ordered) if n in moved), default=-1)
    return set(ordered[: last + 1])


def _order_free(store: Store) -> bool:
    """Whether any order of the terms gives the same value: integers wrap, max and min are exact."""
    name, dtypes = store.monoid.name if store.monoid else "", store.monoid.dtypes if store.monoid else ()
    return name in ("max", "min") or (name in ("sum", "prod") and not any(d.is_float for d in dtypes))


def _check_place(stmt: Stmt, loops: Mapping[str, Size], moved: set[str]) -> None:
    """A loop can be moved out of a perfect nest, and past conditions that do not depend on it."""
    chain: set[str] = set()
    block: Block = (stmt,)
    while len(block) == 1 and isinstance(block[0], For | If):
        if isinstance(block[0], For):
            chain.add(block[0].index)
        block = children(block[0])
    sizes: list[Poly | str] = [s for s in loops.values() if isinstance(s, Poly)]
    if moved - chain:
        raise must_be_fixed([*sizes, "behind it"][0], "a loop over it stands beside other statements")
    for inner in walk((stmt,)):
        for c in inner.conditions if isinstance(inner, If) else ():
            if c.sizes() or c.variables() & moved:
                size = [*sizes, *sorted(c.sizes()), "of an axis behind it"][0]
                raise must_be_fixed(size, f"an axis before it is indexed under the condition '{c} >= 0'")


def _joined(group: Group, other: Group, shapes: Shapes) -> Group | None:
    """One group of two, where both run over one open size and each row of the second needs that row of the first."""
    if len(group.outer) != 1 or len(other.outer) != 1 or group.conditions or other.conditions:
        return None
    a, b = group.outer[0], other.outer[0]
    if not (a.sliced and b.sliced) or a.extent != b.extent:
        return None
    body, outer = (*group.body, *other.body), Outer((*a.names, *b.names), a.extent, True)
    stored = {buffer for buffer, _, stores in touched(body) if stores}
    axes: dict[str, int] = {}
    for buffer, indices, _ in touched(body):
        if buffer in stored:
            rows = [k for k, i in enumerate(indices) if isinstance(i, Affine) and i.as_variable() in outer.names]
            axis = rows[0] if rows else None
            if axis is None or axes.setdefault(buffer, axis) != axis:
                return None
    return Group(body, (outer,))
