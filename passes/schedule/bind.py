"""Running a loop by the work-groups of a device, or by the work-items of a group.

Before:
    kernel f(in A: f32[64, 16], out C: f32[64, 16])
    for m in 64 { for n in 16 { C[m, n] = A[m, n] } }
After bind(m, group) bind(n, item):
    for m in 64 group { for n in 16 item { C[m, n] = A[m, n] } }
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from tilec.affine import Affine
from tilec.groups import in_group, misplaced
from tilec.loops import Alloc, Block, For, If, Kernel, Stmt, rewrite, walk
from tilec.passes.schedule.analysis import Scope, refuse, rewrite_loops, uses
from tilec.passes.schedule.kinds import as_kind, check_independent


def bind(kernel: Kernel, loop: str, to: Literal["group", "item"]) -> Kernel:
    """Iterations run by groups, in any order, or by the items of one, at once.

    Group loops are bound first, from the outside in; each is all that the one around it holds. Item loops are inside of
    them; several make one nest. All items of a group are done with a nest before the next statement of the group
    begins, and share what the group allocates. `stage` gives each item registers of its own: bind before it. Raises
    TILE0604 unless the iterations are independent.

    Before:
        kernel f(in A: f32[4, 6, 32], inout C: f32[4, 32])
        for m in 4 { for k in 6 { for n.0 in 16 { for n.1 in 2 { C[m, 2*n.0 + n.1] sum= A[m, k, 2*n.0 + n.1] } } } }
    After bind(m, group) bind(n.0, item) unroll(n.1) stage(C, m, c, register):
        for m in 4 group {
          alloc c: register f32[16, 1, 2]
          for c.0 in 16 item { for c.1 in 1 unroll { for c.2 in 2 unroll {
            c[c.0, c.1, c.2] = C[c.1 + m, 2*c.0 + c.2]
          } } }
          for k in 6 { for n.0 in 16 item { for n.1 in 2 unroll {
            c[n.0, 0, n.1] sum= A[m, k, 2*n.0 + n.1]
          } } }
          for c.out.0 in 16 item { for c.out.1 in 1 unroll { for c.out.2 in 2 unroll {
            C[c.out.1 + m, 2*c.out.0 + c.out.2] = c[c.out.0, c.out.1, c.out.2]
          } } }
        }
    """

    def change(found: For, scope: Scope) -> Block:
        check_independent("bind", found)
        if to == "group" and scope.loops and len(scope.loops[-1].body) > 1:
            raise refuse(f"bind: the group loop '{loop}' is not all that '{scope.loops[-1].index}' holds")
        _check_memory(found, scope, to)
        return (as_kind(found, to, "bind"),)

    bound = rewrite_loops(kernel, loop, change)
    if to == "item":
        bound = replace(bound, body=rewrite(bound.body, _sunk))
    if why := misplaced(bound.body):
        raise refuse(f"bind: {why}")
    return bound


def _sunk(stmt: Stmt) -> Block:
    """A guard between two item loops goes inside of both."""
    if isinstance(stmt, For) and stmt.kind == "item" and len(stmt.body) == 1:
        guard = stmt.body[0]
        if isinstance(guard, If) and len(guard.body) == 1 and _is_item(guard.body[0]):
            return (replace(stmt, body=_guarded(guard.body, guard.conditions)),)
    return (stmt,)


def _guarded(block: Block, conditions: tuple[Affine, ...]) -> Block:
    if len(block) == 1 and isinstance(block[0], For) and _is_item(block[0]):
        return (replace(block[0], body=_guarded(block[0].body, conditions)),)
    return (If(conditions, block),)


def _is_item(stmt: Stmt) -> bool:
    return isinstance(stmt, For) and stmt.kind == "item"


def _check_memory(loop: For, scope: Scope, to: Literal["group", "item"]) -> None:
    """What is allocated inside belongs to one iteration; what is in registers outside belongs to nobody else."""
    wrong = "heap" if to == "group" else "local"
    for stmt in walk(loop.body):
        if isinstance(stmt, Alloc) and stmt.buffer.space == wrong and stmt.buffer.base is None:
            advice = "allocate it in the space 'local'" if to == "group" else "it belongs to the group"
            raise refuse(f"bind: the iterations of '{loop.index}' would share the buffer '{stmt.buffer.name}'", advice)
    if to == "group" or not in_group(scope.loops):
        return
    registers = {b.name for b in scope.buffers if b.space == "register"}
    if used := sorted(registers & {u.buffer for u in uses(loop.body)}):
        text = f"bind: items of '{loop.index}' would share '{used[0]}', which is in registers"
        raise refuse(text, "bind the loop before the buffer is staged")
