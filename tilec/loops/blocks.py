"""Floor 2: statements of kernels: those inside of others, and the expressions that they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tilec.affine import Affine, Poly
from tilec.expr import Access, Expr, IndexValue, reads
from tilec.expr import walk as walk_expr

from .ir import Alloc, Block, For, If, Kernel, Let, Stmt, Store, While

_NESTS = (For, If, While)


def children(stmt: Stmt) -> Block:
    """The statements directly inside one statement."""
    return stmt.body if isinstance(stmt, _NESTS) else ()


def with_children(stmt: Stmt, body: Block) -> Stmt:
    """The statement around another block; one that holds none stays."""
    match stmt:
        case For(index, extent, kind, _, depth):
            return For(index, extent, kind, body, depth)
        case If(conditions):
            return If(conditions, body)
        case While(condition):
            return While(condition, body)
        case _:
            return stmt


def walk(block: Block) -> Iterator[Stmt]:
    """Every statement, parents first, in program order."""
    stack = list(reversed(block))  # one generator per level would make each statement pass through all above it
    while stack:
        stmt = stack.pop()
        yield stmt
        if isinstance(stmt, _NESTS):
            stack += reversed(stmt.body)


def rewrite(block: Block, change: Callable[[Stmt], Block]) -> Block:
    """Rebuilds bottom-up: `change` maps each statement to its replacement; identity-preserving."""
    result: list[Stmt] = []
    same = True
    for stmt in block:
        old = children(stmt)
        new = rewrite(old, change) if old else old
        rebuilt = stmt if new is old else with_children(stmt, new)
        replacement = change(rebuilt)
        same = same and len(replacement) == 1 and replacement[0] is stmt
        result.extend(replacement)
    return block if same else tuple(result)


def map_exprs(block: Block, change: Callable[[Expr], Expr]) -> Block:
    """Applies `change` to every expression held by a statement, a store's data-dependent indices included."""

    def visit(stmt: Stmt) -> Block:
        match stmt:
            case Store():
                value = change(stmt.value)
                indices = tuple(i if isinstance(i, Affine) else change(i) for i in stmt.indices)
                same = value is stmt.value and all(a is b for a, b in zip(indices, stmt.indices))
                return (stmt if same else replace(stmt, value=value, indices=indices),)
            case Let():
                value = change(stmt.value)
                return (stmt if value is stmt.value else replace(stmt, value=value),)
            case While():
                condition = change(stmt.condition)
                return (stmt if condition is stmt.condition else replace(stmt, condition=condition),)
            case _:
                return (stmt,)

    return rewrite(block, visit)


def accesses(stmt: Stmt) -> list[Access]:
    """Reads of one statement, a store's data-dependent indices included; not of its children."""
    match stmt:
        case Store():
            exprs = [stmt.value, *(i for i in stmt.indices if not isinstance(i, Affine))]
            return [r.access for e in exprs for r in reads(e)]
        case Let():
            return [r.access for r in reads(stmt.value)]
        case While():
            return [r.access for r in reads(stmt.condition)]
        case _:
            return []


def is_open(kernel: Kernel) -> bool:
    """Whether a size that is not a number occurs in the kernel."""
    return any(isinstance(size, Poly) for p in kernel.params for size in p.buffer.shape) or is_unsliced(kernel)


def is_unsliced(kernel: Kernel) -> bool:
    """Whether a kernel counts over an open size, allocates so much, or needs its value: more than strides do."""
    shapes = [s.buffer.shape for s in walk(kernel.body) if isinstance(s, Alloc)]
    if any(isinstance(size, Poly) for shape in shapes for size in shape):
        return True
    return any(_is_open_statement(s) for s in walk(kernel.body)) or _has_open_value(kernel.body)


def _is_open_statement(stmt: Stmt) -> bool:
    match stmt:
        case For(extent=extent):
            return isinstance(extent, Poly)
        case If(conditions=conditions):
            return any(c.sizes() for c in conditions)
        case _:
            return False


def _has_open_value(body: Block) -> bool:
    found = False

    def look(e: Expr) -> Expr:
        nonlocal found
        found = found or any(isinstance(x, IndexValue) and bool(x.form.sizes()) for x in walk_expr(e))
        return e

    map_exprs(body, look)
    return found
