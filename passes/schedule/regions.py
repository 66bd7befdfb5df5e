"""The rectangle of a buffer that a block touches, and where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from tilec.affine import Affine
from tilec.loops import For, Space
from tilec.passes.schedule.analysis import Scope, Use, interval, part, refuse, static


@dataclass(frozen=True, slots=True)
class Region:
    """Per axis a start, affine in variables outside the block, and an extent. It may reach over the buffer's edges."""

    starts: tuple[Affine, ...]
    extents: tuple[int, ...]

    @property
    def volume(self) -> int:
        return prod(self.extents)

    def local(self, indices: Sequence[Affine]) -> tuple[Affine, ...]:
        """Indices relative to the start."""
        return tuple(i - s for i, s in zip(indices, self.starts))


def check_nesting(loop: For, scope: Scope, space: Space, primitive: str) -> None:
    """Raises TILE0604 where an allocation in the body of `loop` would be shared by lanes, by threads or by groups, or
    would not be shared by the items that it is for."""
    kinds = {s.kind for s in (*scope.loops, loop)}
    if "vector" in kinds:
        raise refuse(f"{primitive}: '{loop.index}' is in vector lanes")
    if "parallel" in kinds and space == "heap":
        raise refuse(
            f"{primitive}: the threads of a parallel loop around '{loop.index}' would share it", "use space thread"
        )
    if "group" in kinds and space == "heap":
        raise refuse(f"{primitive}: the groups of a loop around '{loop.index}' would share it", "use space local")
    if loop.kind == "item" and any(isinstance(s, For) and s.kind == "item" for s in loop.body):
        raise refuse(f"{primitive}: '{loop.index}' has another loop of items inside, and holds nothing else")
    if "item" in kinds and space == "local":
        raise refuse(f"{primitive}: '{loop.index}' is run by each item for itself", "local memory is a group's")


def region(found: Sequence[Use], primitive: str) -> Region:
    """Bounding box of uses of one buffer. Raises TILE0604 where it does not move as a whole with the outer loops."""
    starts: list[Affine] = []
    extents: list[int] = []
    buffer = found[0].buffer
    for axis in range(len(found[0].indices or ())):
        moving: Affine | None = None
        low, high = 0, -1
        for use in found:
            form = _affine(use, axis, primitive)
            outer = part(form, lambda n, use=use: n not in use.ranges)  # type: ignore[misc]
            if moving is not None and outer != moving:
                raise refuse(
                    f"{primitive}: accesses to '{buffer}' move differently with the outer loops",
                    f"on axis {axis}, one with '{moving}', another with '{outer}'",
                )
            at_least, at_most = interval(form - outer, use.ranges)
            low, high = (at_least, at_most) if moving is None else (min(low, at_least), max(high, at_most))
            moving = outer
        starts.append((moving or Affine()) + low)
        extents.append(high - low + 1)
    return Region(tuple(starts), tuple(extents))


def _affine(use: Use, axis: int, primitive: str) -> Affine:
    if use.indices is None:
        raise refuse(f"{primitive}: '{use.buffer}' is used whole, through a view or an instruction")
    form = use.indices[axis]
    if not isinstance(form, Affine):
        raise refuse(f"{primitive}: an index of '{use.buffer}' depends on data")
    return form


def clip(box: Region, shape: Sequence[int]) -> Region:
    """Cuts off what lies outside of the buffer, on axes where the box does not move."""
    starts, extents = list(box.starts), list(box.extents)
    for axis, size in enumerate(shape):
        if starts[axis].is_constant:
            start = static(starts[axis].const)
            low, high = max(start, 0), min(start + extents[axis], size)
            starts[axis], extents[axis] = Affine.constant(low), max(high - low, 0)
    return Region(tuple(starts), tuple(extents))


def edge_guards(
    starts: Sequence[Affine], locals_: Sequence[Affine], shape: Sequence[int], ranges: Mapping[str, int]
) -> tuple[Affine, ...]:
    """Conditions under which `starts + locals` is inside the buffer; those that always hold are left out."""
    guards = []
    for start, local, size in zip(starts, locals_, shape):
        cell = start + local
        low, high = interval(cell, ranges)
        if low < 0:
            guards.append(cell)
        if high >= size:
            guards.append(-cell + (size - 1))
    return tuple(dict.fromkeys(guards))


def divide(form: Affine, size: int, ranges: Mapping[str, int]) -> tuple[Affine, Affine] | None:
    """Quotient and remainder of a form by `size`, both affine; None where they are not."""
    quotient = Affine.of([(n, static(c) // size) for n, c in form.terms if static(c) % size == 0])
    remainder = Affine.of([(n, c) for n, c in form.terms if static(c) % size])
    low, high = interval(remainder, ranges)
    whole, rest = divmod(static(form.const), size)
    if rest + low < 0 or rest + high >= size:
        return None
    return quotient + whole, remainder + rest
