"""Changing the order of nested loops.

Before:
    kernel f(in A: f32[4, 6], in B: f32[6, 5], inout C: f32[4, 5])
    for m in 4 { for n in 5 { for k in 6 { C[m, n] sum= mul(A[m, k], B[k, n]) } } }
After reorder(k, m):
    for k in 6 { for n in 5 { for m in 4 { C[m, n] sum= mul(A[m, k], B[k, n]) } } }
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tilec.affine import Affine
from tilec.groups import misplaced
from tilec.loops import Block, For, If, Kernel, LoopKind, walk
from tilec.passes.schedule.analysis import carried, malformed, refuse, rewrite_loops, static, uses

_SHARED: tuple[LoopKind, ...] = ("parallel", "group", "item")


def reorder(kernel: Kernel, *loops: str) -> Kernel:
    """Permutes the named loops of a perfect nest into the given order, outermost first; others keep their places.

    Guards move to just inside the outermost loop at which they are determined.

    Safe where no dependence changes: a loop whose iterations never share a written cell moves freely, the others keep
    their order among themselves, unless all that they share are sums, products, maxima or minima that are exact in any
    order. A float sum thus keeps the order of its reduction loops. The iterations of a parallel loop stay independent.
    Raises TILE0603 for unknown names, TILE0604 where the nest is not perfect or the order matters.
    """
    if len(set(loops)) != len(loops) or not loops:
        raise malformed("reorder: loops must be named once each")
    present = {s.index for s in walk(kernel.body) if isinstance(s, For)}
    for name in loops:
        if name not in present:
            raise malformed(f"there is no loop '{name}' in kernel '{kernel.name}'")
    reordered = rewrite_loops(kernel, loops, lambda found, scope: _permuted(found, loops))
    if why := misplaced(reordered.body):
        raise refuse(f"reorder: {why}")
    return reordered


def _permuted(top: For, order: tuple[str, ...]) -> Block:
    """The nest from the outermost of the named loops on."""
    chain, conditions, body = _perfect_nest(top, order)
    slots = [i for i, loop in enumerate(chain) if loop.index in order]
    by_name = {loop.index: loop for loop in chain}
    new = list(chain)
    for slot, name in zip(slots, order):
        new[slot] = by_name[name]
    if new == chain:
        return (top,)
    _check(chain, new, body)
    return rebuild(new, conditions, body)


def rebuild(chain: Sequence[For], conditions: Sequence[Affine], body: Block) -> Block:
    """Loops around a guarded body, each condition just inside the outermost loop at which it is determined."""
    left = list(dict.fromkeys(conditions))
    for at in range(len(chain), -1, -1):
        known = {loop.index for loop in chain[: max(at - 1, 0)]}
        own = {loop.index for loop in chain}
        here = [c for c in left if at == 0 or not (c.variables() & own) <= known]
        left = [c for c in left if c not in here]
        if here:
            body = (If(tuple(here), body),)
        if at:
            body = (replace(chain[at - 1], body=body),)
    return body


def _perfect_nest(top: For, order: tuple[str, ...]) -> tuple[list[For], list[Affine], Block]:
    """The chain of loops from `top` to the last named one, the guards among them, and what is inside."""
    chain, missing, body = [top], set(order) - {top.index}, top.body
    conditions: list[Affine] = []
    while missing:
        match body:
            case (For() as inner,):
                chain.append(inner)
                missing.discard(inner.index)
                body = inner.body
            case (If() as guard,):
                conditions += guard.conditions
                body = guard.body
            case _:
                raise refuse(
                    f"reorder: loops {', '.join(order)} are not a perfect nest",
                    f"'{chain[-1].index}' holds {len(body)} statements above {', '.join(sorted(missing))}",
                )
    while len(body) == 1 and isinstance(body[0], If):
        conditions += body[0].conditions
        body = body[0].body
    return chain, conditions, body


def _check_threads(old: list[For], new: list[For], body: Block) -> None:
    """A loop that comes to run inside of a parallel one, or of a group's, may bring its iterations together: no sum is
    safe from that."""
    for at, loop in enumerate(new):
        inside = new[at:]
        if loop.kind not in _SHARED or {n.index for n in inside} <= {n.index for n in old[old.index(loop) :]}:
            continue
        if why := carried(uses(body, {n.index: static(n.extent) for n in inside}), loop.index):
            raise refuse(f"reorder: iterations of the {loop.kind} loop '{loop.index}' would not be independent", why)


def _check(old: list[For], new: list[For], body: Block) -> None:
    if any(loop.kind == "vector" for loop in new[:-1]):
        raise refuse("reorder: a vector loop must stay innermost")
    _check_threads(old, new, body)
    found = uses(body, {loop.index: static(loop.extent) for loop in old})
    bound = {loop.index: why for loop in old if (why := carried(found, loop.index))}
    if [n.index for n in old if n.index in bound] == [n.index for n in new if n.index in bound]:
        return
    for loop in old:
        if loop.index in bound and (why := carried(found, loop.index, commute=True)):
            raise refuse("reorder: the order of the loops matters here", why)
