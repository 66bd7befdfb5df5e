"""Copies of a part of a buffer: in registers, in a thread's memory, or in another layout.

Before:
    kernel f(in A: f32[4, 6], in B: f32[6, 8], inout C: f32[4, 8])
    for m in 4 { for k in 6 { for n in 8 { C[m, n] sum= mul(A[m, k], B[k, n]) } } }
After vectorize(n) stage(C, m, c, register):
    for m in 4 {
      alloc c: register f32[1, 8]
      for c.0 in 1 unroll { for c.1 in 8 vector { c[c.0, c.1] = C[c.0 + m, c.1] } }
      for k in 6 { for n in 8 vector { c[0, n] sum= mul(A[m, k], B[k, n]) } }
      for c.out.0 in 1 unroll { for c.out.1 in 8 vector { C[c.out.0 + m, c.out.1] = c[c.out.0, c.out.1] } }
    }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Literal

from tilec.affine import Affine
from tilec.groups import in_group
from tilec.loops import Alloc, Block, Buffer, For, Kernel, LoopKind, Space, Stmt, walk
from tilec.passes.schedule.analysis import (
    Index,
    Scope,
    Use,
    buffers,
    carried,
    check_prefix,
    check_space,
    injective,
    malformed,
    map_accesses,
    refuse,
    rewrite_loops,
    static,
    uses,
)
from tilec.passes.schedule.copies import Copies, Layout
from tilec.passes.schedule.final import Final, finish
from tilec.passes.schedule.initial import Initial, initialise
from tilec.passes.schedule.items import check_items, check_owner, item_layout, items_of
from tilec.passes.schedule.regions import Region, check_nesting, clip, region

Start = Literal["copy", "init"]
End = Literal["copy", "finish"]
Order = Literal["forward", "backward"]
_SHARED: tuple[LoopKind, ...] = ("parallel", "group", "item")


def stage(
    kernel: Kernel,
    buffer: str,
    loop: str,
    new: str,
    space: Space = "thread",
    start: Start = "copy",
    pad: int = 0,
    end: End = "copy",
) -> Kernel:
    """Inside every loop `loop`, what its body touches of `buffer` is kept in `new`.

    The region is the bounding box of the accesses. It is copied in before (unless it is overwritten whole) and copied
    out after, where it is stored to; copies do not reach over the buffer's edges. With `init` nothing is copied in: the
    kernel's nest that initialises `buffer` is evaluated in the staged copy instead, and dropped once every cell of the
    buffer is staged; refused unless each cell is staged once. With the end `finish` nothing is copied out: the one nest
    that reads the (local) buffer afterwards is evaluated on the staged copy instead. `pad` widens the rows. A
    `register` buffer gets vector lanes as an axis of their own (so vectorize first), and its copies are unrolled and
    vectorised.

    The copy-in loops are `new.0`, `new.1` ..., the copy-out loops `new.out.0` ....

    Before:
        kernel f(in A: f32[4, 6], in B: f32[4], out R: f32[4])
        alloc C: heap f32[4]
        for i in 4 { C[i] = 0.0 }
        for m in 4 { for k in 6 { C[m] sum= A[m, k] } }
        for j in 4 { R[j] = add(C[j], B[j]) }
    After stage(C, m, c, register, init, 0, finish):
        for m in 4 {
          alloc c: register f32[1]
          for c.0 in 1 unroll { c[c.0] = 0.0 }
          for k in 6 { c[0] sum= A[m, k] }
          for c.out.0 in 1 unroll { R[c.out.0 + m] = add(c[c.out.0], B[c.out.0 + m]) }
        }
    """
    check_space("stage", space, "thread", "heap", "local", "register")
    if start not in ("copy", "init") or end not in ("copy", "finish") or pad < 0:
        raise malformed(f"stage: bad start '{start}', pad {pad} or end '{end}'")
    _check_source(kernel, buffer, "stage")
    check_prefix(kernel, new)
    final = finish(kernel, buffer, loop) if end == "finish" else None  # first: it is refused more often, and sooner
    initial = initialise(kernel, buffer, loop) if start == "init" else None
    if initial is not None and final is not None:
        _check_apart(initial, final)

    def change(found: For, scope: Scope) -> Block:
        body = _staged(found, scope, buffer, new, space, pad, initial, final)
        return (For(found.index, found.extent, found.kind, body, found.depth),)

    kernel = rewrite_loops(kernel, loop, change)
    kernel = initial.drop(kernel) if initial else kernel
    kernel = final.drop(kernel) if final else kernel
    _check_threads(kernel, new)
    return kernel


def pack(
    kernel: Kernel,
    buffer: str,
    loop: str,
    new: str,
    axis: int,
    size: int,
    space: Space = "heap",
    pad: int = 0,
    along: int = -1,
    group: int = 1,
    order: Order = "forward",
) -> Kernel:
    """Copies what the body of `loop` reads of `buffer` into panels of `size` along `axis`.

    The panels are the outermost axis of `new`, the place in a panel the innermost; the other axes keep their order
    between. B[k, n] packed with axis 1 and size 64 is new[n/64, k, n%64]. Copy loops are `new.0`, `new.1` .... With a
    `group`, that many neighbours on the axis `along` lie together, inside the place in a panel, as instructions take
    them that add up several products: B[k, n] in groups of 4 along axis 0 is new[n/64, k/4, n%64, k%4]. With the order
    `backward` the last of a group comes first: new[n/64, k/4, n%64, 3 - k%4].

    Before:
        kernel f(in B: f32[3, 8], inout C: f32[8])
        for j in 2 {
          for n.0 in 2 { for k in 3 { for n.1 in 2 { C[4*j + 2*n.0 + n.1] sum= B[k, 4*j + 2*n.0 + n.1] } } }
        }
    After pack(B, j, p, 1, 2):
        for j in 2 {
          alloc p: heap f32[2, 3, 2]
          for p.0 in 2 { for p.1 in 3 { for p.2 in 2 { p[p.0, p.1, p.2] = B[p.1, 4*j + 2*p.0 + p.2] } } }
          for n.0 in 2 { for k in 3 { for n.1 in 2 { C[4*j + 2*n.0 + n.1] sum= p[n.0, k, n.1] } } }
        }
    Before:
        kernel f(in B: u8[4, 2], inout C: u8[2])
        for j in 1 { for k.0 in 2 { for k.1 in 2 { for n in 2 { C[n] sum= B[2*k.0 + k.1, n] } } } }
    After pack(B, j, p, 1, 2, heap, 0, 0, 2):
        for j in 1 {
          alloc p: u8[1, 2, 2, 2]
          for p.0 in 1 { for p.1 in 2 { for p.2 in 2 { for p.3 in 2 {
            p[p.0, p.1, p.2, p.3] = B[2*p.1 + p.3, 2*p.0 + p.2]
          } } } }
          for k.0 in 2 { for k.1 in 2 { for n in 2 { C[n] sum= p[0, k.0, n, k.1] } } }
        }
    Raises TILE0604 where the buffer is also stored, or an index does not fall into panels: tile the loops first.
    """
    source = _check_source(kernel, buffer, "pack")
    rank = len(source.shape)
    check_space("pack", space, "thread", "heap", "local")
    if not 0 <= axis < rank or size < 1 or pad < 0:
        raise malformed(f"pack: bad axis {axis}, size {size} or pad {pad}", f"'{buffer}' has {rank} axes, from 0")
    apart = along != axis and 0 <= along < rank
    if order not in ("forward", "backward") or group < 1 or (group > 1 and not apart):
        raise malformed(f"pack: bad group of {group} along axis {along}, order '{order}'")
    check_prefix(kernel, new)
    layout = _panels(rank, axis, size, along, group, pad)
    if order == "backward":
        layout = replace(layout, backward=frozenset({along} & layout.split.keys()))

    def change(found: For, scope: Scope) -> Block:
        body = _packed(found, scope, buffer, new, space, layout)
        return (For(found.index, found.extent, found.kind, body, found.depth),)

    return rewrite_loops(kernel, loop, change)


def _panels(rank: int, axis: int, size: int, along: int, group: int, pad: int) -> Layout:
    split = {axis: (size,), along: (group,)} if group > 1 else {axis: (size,)}
    between = [(a, 1 if a in split else 0) for a in range(rank) if a != axis]
    return Layout(split, ((axis, 1), *between, (axis, 2), *([(along, 2)] if group > 1 else [])), pad)


def _check_source(kernel: Kernel, buffer: str, primitive: str) -> Buffer:
    known = buffers(kernel)
    if buffer not in known:
        raise malformed(f"{primitive}: there is no buffer '{buffer}' in kernel '{kernel.name}'")
    return known[buffer]


def _check_apart(initial: Initial, final: Final) -> None:
    """The two nests run by turns then: what one stores must not be what the other begins from."""
    stored = {u.buffer for u in uses((final.nest,)) if u.store is not None}
    read = {u.buffer for u in uses((initial.nest,)) if u.store is None}
    if stored & read:
        raise refuse(f"stage: '{min(stored & read)}' is read by the initialisation and stored by the nest at the end")


def _touching(loop: For, buffer: str, primitive: str) -> list[Use]:
    found = [u for u in uses(loop.body) if u.buffer == buffer]
    if any(isinstance(s, For) and s.kind == "parallel" for s in walk(loop.body)) and any(u.store for u in found):
        raise refuse(f"{primitive}: '{buffer}' is stored in a parallel loop inside '{loop.index}'")
    return found


def _staged(
    loop: For,
    scope: Scope,
    buffer: str,
    new: str,
    space: Space,
    pad: int,
    initial: Initial | None,
    final: Final | None,
) -> Block:
    source, found = scope.buffer(buffer), _touching(loop, buffer, "stage")
    if source is None or not found:
        return loop.body
    check_nesting(loop, scope, space, "stage")
    check_owner(loop, scope, source, "stage")
    shape = tuple(static(s) for s in source.shape)
    box = region(found, "stage")
    if space != "register":
        box = clip(box, shape)
    if space == "register":
        _check_expanded(loop, found)
    layout = _layout(found, box, space, pad, loop)
    owned = space == "register" and in_group((*scope.loops, loop))
    if items := items_of(found[0], loop) if owned else ():
        layout = item_layout(found, box, items, {axis: tiles[-1] for axis, tiles in layout.split.items()})
    outer = {**scope.ranges(), loop.index: static(loop.extent)}
    lanes = set(layout.split if not items else ()) | _lane_axes(found, box, loop, space)
    copy = Copies(source, new, space, box, layout, shape, outer, frozenset(lanes))
    body: list[Stmt] = [Alloc(copy.buffer())]
    if initial is not None:
        body += initial.evaluate(copy.loops(new), copy.stored(new), copy.cell(new), copy.guards(new), new)
    elif not overwritten(found, box):
        body += copy.inward()
    body += _redirected(loop.body, source.name, new, box, layout, "stage")
    out = f"{new}.out"
    if final is not None:
        body += final.evaluate(copy.loops(out), copy.stored(out), copy.cell(out), copy.guards(out), new)
    elif initial is not None or any(u.store for u in found):  # the nest that is dropped stored the buffer, too
        body += copy.outward()
    if owned:
        check_items(tuple(body), layout, "stage")
    return tuple(body)


def _packed(loop: For, scope: Scope, buffer: str, new: str, space: Space, layout: Layout) -> Block:
    source, found = scope.buffer(buffer), _touching(loop, buffer, "pack")
    if source is None or not found:
        return loop.body
    if any(u.store for u in found):
        raise refuse(f"pack: '{source.name}' is stored in the loop '{loop.index}'")
    if len(source.shape) != len(layout.order) - len(layout.split):
        raise refuse(f"pack: there is another '{source.name}', which has another number of axes")
    check_nesting(loop, scope, space, "pack")
    check_owner(loop, scope, source, "pack")
    shape = tuple(static(s) for s in source.shape)
    box = clip(region(found, "pack"), shape)
    outer = {**scope.ranges(), loop.index: static(loop.extent)}
    copy = Copies(source, new, space, box, layout, shape, outer, frozenset())
    return (
        Alloc(copy.buffer()),
        *copy.inward(),
        *_redirected(loop.body, source.name, new, box, layout, "pack"),
    )


def _check_threads(kernel: Kernel, new: str) -> None:
    """Copying out a whole box may store cells that belong to another thread, or group, or item."""
    for loop in walk(kernel.body):
        if not isinstance(loop, For) or loop.kind not in _SHARED or not _allocates(loop.body, new):
            continue
        if why := carried(uses(loop.body, {loop.index: static(loop.extent)}), loop.index):
            raise refuse(f"stage: the copies of '{new}' overlap in the {loop.kind} loop '{loop.index}'", why)


def _allocates(block: Block, name: str) -> bool:
    return any(isinstance(s, Alloc) and s.buffer.name == name for s in walk(block))


def _check_expanded(loop: For, found: Sequence[Use]) -> None:
    """Registers are not indexed at run time: every loop that moves the accesses must be unrolled or in lanes."""
    moving = {name for use in found for axis in range(len(use.indices or ())) for name in _variables(use, axis)}
    for inner in walk(loop.body):
        if isinstance(inner, For) and inner.index in moving and inner.kind not in ("unroll", "vector", "item"):
            raise refuse(f"stage: loop '{inner.index}' indexes the registers and is {inner.kind}", "unroll it first")


def _lane_axes(found: Sequence[Use], box: Region, loop: For, space: Space) -> set[int]:
    """Axes of a register region whose index is moved by a vector loop."""
    if space != "register":
        return set()
    lanes = {s.index for s in walk(loop.body) if isinstance(s, For) and s.kind == "vector"}
    return {
        axis
        for use in found
        for axis, form in enumerate(use.indices or ())
        if isinstance(form, Affine) and form.variables() & lanes & use.ranges.keys()
    }


def _layout(found: Sequence[Use], box: Region, space: Space, pad: int, loop: For) -> Layout:
    split: dict[int, tuple[int, ...]] = {}
    vectors: dict[str, int] = {}
    for inner in walk(loop.body):  # there may be several of one name, the last with fewer lanes
        if isinstance(inner, For) and inner.kind == "vector":
            vectors[inner.index] = max(static(inner.extent), vectors.get(inner.index, 1))
    for axis in sorted(_lane_axes(found, box, loop, space)):
        widths = {
            vectors[name]
            for use in found
            for name in _variables(use, axis) & vectors.keys() & use.ranges.keys()
        }
        if (width := max(widths)) < box.extents[axis]:
            split[axis] = (width,)
    order: list[tuple[int, int]] = []
    for axis in range(len(box.extents)):
        order += [(axis, 1), (axis, 2)] if axis in split else [(axis, 0)]
    return Layout(split, tuple(order), pad)


def _variables(use: Use, axis: int) -> frozenset[str]:
    form = (use.indices or ())[axis]
    return form.variables() if isinstance(form, Affine) else frozenset()


def overwritten(found: Sequence[Use], box: Region) -> bool:
    """Whether the body stores every cell of the box without looking at it."""
    if len(found) != 1 or found[0].store is None or found[0].store.monoid is not None or not found[0].certain:
        return False
    ranges, free = found[0].ranges, set[str]()
    for form in found[0].indices or ():
        inner = form.variables() & ranges.keys() if isinstance(form, Affine) else frozenset()
        if not isinstance(form, Affine) or inner & free or not injective(_inner(form, ranges), ranges):
            return False
        free |= inner
    return prod(ranges[n] for n in free) == box.volume


def _inner(form: Affine, ranges: Mapping[str, int]) -> Affine:
    return Affine(tuple((n, c) for n, c in form.terms if n in ranges))


def _redirected(body: Block, buffer: str, new: str, box: Region, layout: Layout, primitive: str) -> Block:
    ranges: dict[str, int] = {}
    for use in uses(body):
        for name, extent in use.ranges.items():
            ranges[name] = max(extent, ranges.get(name, 1))

    def change(indices: tuple[Index, ...]) -> tuple[str, tuple[Index, ...]]:
        local = box.local([i for i in indices if isinstance(i, Affine)])
        placed = layout.place(local, ranges)
        if placed is None:
            sizes = ", ".join(str(tile) for tiles in layout.split.values() for tile in tiles)
            text = f"{primitive}: an index of '{buffer}' does not fall into tiles of {sizes}"
            raise refuse(text, f"index [{', '.join(map(str, local))}]")
        return new, placed

    return map_accesses(body, buffer, change)
