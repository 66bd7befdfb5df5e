"""Launches of kernels over open sizes as loops of launches over slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod

from tilec.affine import Affine, Coef, Poly, Size, named_size, size_text
from tilec.buffers import copy_kernel
from tilec.dtypes import I64
from tilec.fresh import FreshNames
from tilec.loops import (
    Alloc,
    Assign,
    Buffer,
    Copy,
    For,
    Iterate,
    Kernel,
    Launch,
    Program,
    Step,
    Store,
    strides_of,
    walk,
)

from .kernels import Sliced, View, sliced, strides
from .nests import Group, Index, Outer, groups, is_idle, touched, with_scalars_stored

_MOST = 1 << 62  # larger than any size
_ENOUGH = 256  # work of one launch beside which it does not count
_FEW = 16  # rows for which a product reads its weights often enough: no less, to save memory
_HEAVY = 1 << 14  # work per iteration that is worth one more kernel, for fewer small slices


@dataclass(frozen=True, slots=True)
class Options:
    """work: about so many innermost iterations make a block; least, most: extents of the largest blocks. scratch: bytes
    of values that a block keeps to itself, above which it is smaller; a call has memory for them, whatever its sizes.
    """

    work: int = 1 << 19
    least: int = 64
    most: int = 1 << 19
    scratch: int = 1 << 18


DEFAULT = Options()


class Slicer:
    """Collects kernels, buffers and derived sizes of the new Program."""

    def __init__(self, program: Program, options: Options) -> None:
        self._program, self._options = program, options
        self._buffers = {b.name: b for b in program.buffers}
        self._names = FreshNames({*self._buffers, *(k.name for k in program.kernels), *program.sizes})
        self._derived = {(size, divisor): name for name, size, divisor in program.derived}
        self.kernels: list[Kernel] = []

    def finished(self) -> Program:
        derived = tuple((name, size, divisor) for (size, divisor), name in self._derived.items())
        return replace(self._program, buffers=tuple(self._buffers.values()), derived=derived)

    def launch(self, kernel: Kernel, args: Sequence[str]) -> tuple[Step, ...]:
        """What takes the place of one launch."""
        body = tuple(s for s in with_scalars_stored(kernel) if not is_idle(s))
        own = {s.buffer.name: s.buffer for s in body if isinstance(s, Alloc)}
        local = {p.buffer.name: self._buffers[a] for p, a in zip(kernel.params, args)}
        shapes = {n: b.shape for n, b in {**local, **own}.items()}
        found = groups(body, shapes)
        for name, buffer in own.items():
            users = [g for g in found if name in {b for b, _, _ in touched(g.body)}]
            if len(users) > 1:
                local[name] = self._declare(replace(buffer, name=self._names.like(name)))
        private = [b for n, b in own.items() if n not in local]
        steps: list[Step] = []
        for k, group in enumerate(found):
            stem = kernel.name if len(found) == 1 else f"{kernel.name}.{k}"
            steps += _Loops(self, stem, group, {**own, **local}, private).steps()
        return tuple(steps)

    def _declare(self, buffer: Buffer) -> Buffer:
        self._buffers[buffer.name] = buffer
        return buffer

    def kernel(self, made: Sliced, stem: str) -> str:
        name = self._names.like(stem)
        self.kernels.append(replace(made.kernel, name=name))
        return name

    def view(self, base: Buffer, view: View, starts: Mapping[str, Affine]) -> str:
        """Declares the view of a program buffer that a launch is given."""
        offset = Affine.of(base.moves, base.offset)
        if view.shape == base.shape and all(s == Affine() for s in view.starts):
            return base.name
        for start, stride in zip(view.starts, strides_of(base), strict=True):
            offset = offset + start.substitute(starts) * stride
        assert not isinstance(offset.const, float)
        name = self._names.numbered(base.name)
        shown = Buffer(name, base.dtype, view.shape, base.space, strides(base, view), base.base or base.name)
        return self._declare(replace(shown, offset=offset.const, moves=offset.terms)).name  # type: ignore[arg-type]

    def scalar(self) -> str:
        return self._declare(Buffer(self._names.numbered("base"), I64, ())).name

    def index(self, stem: str) -> str:
        return self._names.like(stem)

    def quotient(self, size: Size, divisor: int) -> Size:
        """floor(size / divisor), a size known at run time."""
        return size if divisor == 1 else self._quotient(size, divisor, f"{size_text(size)}/{divisor}")

    def _quotient(self, size: Size, divisor: int, stem: str) -> Size:
        known = self._derived.get((size, divisor))
        if known is None:
            known = self._derived[size, divisor] = self._names.like(stem)
        return named_size(known)

    def holds(self, size: Size) -> Size:
        """1 where the size is >= 0, else 0."""
        if isinstance(size, int):
            return int(size >= 0)
        return self._quotient(_size(size + _MOST), _MOST, f"{size_text(size)} >= 0")

    def blocks(self, work: int, bytes: int, count: int, again: bool, alone: bool) -> tuple[int, ...]:
        """Extents of slices of a loop, the largest first, for kernels of so much work and own memory per iteration.

        `again`: rows may be computed twice, so that small slices are for small sizes only. `alone`: rows have nothing
        in common, so that one by one they take no longer, if there is something to do.
        """
        o = self._options
        if count > 1:  # several loops in blocks: few versions
            return (max(2, o.least >> count), 1)
        top = o.least
        while top < o.most and top * work < o.work:
            top *= 2
        while top > _FEW and top * bytes > o.scratch:
            top //= 2
        if again and alone and work >= _ENOUGH:
            return (top, 1)
        found = [top]
        while found[-1] > 1:
            found.append(_smaller(found[-1], work, o.least, again))
        return tuple(found)


def _smaller(block: int, work: int, least: int, again: bool) -> int:
    """The extent of the next smaller slices."""
    if work >= _HEAVY:
        return max(1, block // 4)
    if again:
        return block // 32 if block >= 512 else 8 if block > 32 else 1
    return block // 32 if block > least else block // 8 if block > 16 else 1


@dataclass(slots=True)
class _Loops:
    """The steps of one group."""

    slicer: Slicer
    stem: str
    group: Group
    buffers: Mapping[str, Buffer]
    own: list[Buffer]
    made: dict[tuple[tuple[str, int], ...], tuple[Sliced, str]] = field(default_factory=dict)

    def steps(self) -> tuple[Step, ...]:
        steps = tuple(self._nested(0, {}, {}))
        for condition in (*self.group.conditions, *self._inner_extents()):
            steps = (Iterate(self.slicer.index("if"), self.slicer.holds(condition), steps),)
        return steps

    def _inner_extents(self) -> Iterator[Size]:
        """Conditions under which the loops inside of one over an open size run at all: there may be 2**60 rows of 0."""
        extents = [o.extent for o in self.group.outer]
        first = next((k for k, e in enumerate(extents) if isinstance(e, Poly)), len(extents))
        for extent in dict.fromkeys(e for e in extents[first + 1 :] if isinstance(e, Poly)):
            yield _size(extent - 1)

    def _nested(self, depth: int, starts: dict[str, Affine], blocks: dict[str, int]) -> Iterator[Step]:
        """Loops from the one at `depth` inwards; `starts` says where the outer ones are."""
        if depth == len(self.group.outer):
            yield from self._launch(starts, blocks)
            return
        outer = self.group.outer[depth]
        name = outer.names[0]
        if not outer.sliced:
            index = self.slicer.index(name)
            inner = self._nested(depth + 1, {**starts, name: Affine.var(index)}, {**blocks, name: 1})
            yield Iterate(index, outer.extent, tuple(inner))
            return
        for block, count, start in self._parts(outer):
            index = self.slicer.index(name)
            here = Affine.of({index: block}, start)
            inner = self._nested(depth + 1, {**starts, name: here}, {**blocks, name: block})
            yield Iterate(index, count, tuple(inner))

    def _parts(self, outer: Outer) -> Iterator[tuple[int, Size, Size]]:
        """(extent of a block, how many, where they start): together they are the whole loop."""
        again, count = self._again(), sum(o.sliced for o in self.group.outer)
        extents = self.slicer.blocks(self._work(), self._bytes(), count, again, self._alone())
        if again:
            yield from self._overlapping(outer.extent, extents)
            return
        yield extents[0], self.slicer.quotient(outer.extent, extents[0]), 0
        for larger, block in pairwise(extents):
            before, now = (self.slicer.quotient(outer.extent, b) for b in (larger, block))
            yield block, _size(now - before * (larger // block)), _size(before * larger)

    def _alone(self) -> bool:
        """Whether iterations have nothing in common: no sums, and their elements lie apart, not side by side."""
        if any(isinstance(s, Store) and s.monoid is not None for s in walk(self.group.body)):
            return False
        names = {n for o in self.group.outer for n in o.names}
        return all(names.isdisjoint(_fastest(indices)) for _, indices, _ in touched(self.group.body))

    def _overlapping(self, extent: Size, extents: tuple[int, ...]) -> Iterator[tuple[int, Size, Size]]:
        """The same where rows may be computed twice: blocks of one extent but the largest end with the loop, the last
        one with some rows of those before it, so that smaller ones are for smaller loops only."""
        whole, holds = self.slicer.quotient, self.slicer.holds
        start: Size = 0  # what is behind it is left
        here: Size = 1  # whether it is left to blocks of this extent
        for block in extents:
            count = whole(_size(extent - start), block)
            yield block, _size(count * here), start
            end = _size(start + count * block)
            if block > 1 and (block < extents[0] or len(extents) == 2):
                enough = holds(_size(extent - block))
                yield block, _size(enough * here * holds(_size(extent - end - 1))), _size(extent - block)
                here = _size(here - here * enough)
            else:
                start = end

    def _again(self) -> bool:
        """Whether it makes no difference that rows are computed twice: nothing that is stored is read from before."""
        blocks = {o.names[0]: 2 if o.sliced else 1 for o in self.group.outer}
        made = sliced(self.stem, self.group, blocks, self.buffers, self.own)
        views = [a.buffer for a in made.arguments if isinstance(a, View)]
        modes: dict[str, set[str]] = {}
        for name, param in zip(views, made.kernel.params):
            buffer = self.buffers[name]
            modes.setdefault(buffer.base or name, set()).add(param.mode)
        return all(m in ({"in"}, {"out"}) for m in modes.values())

    def _work(self) -> int:
        """Iterations of the loops inside, of the longest nest."""
        moved = {n for o in self.group.outer for n in o.names}
        nests = [[s for s in walk((stmt,)) if isinstance(s, For) and s.index not in moved] for stmt in self.group.body]
        return max((prod(s.extent for s in nest if isinstance(s.extent, int)) for nest in nests), default=1)

    def _bytes(self) -> int:
        """Memory for one row of all values that only this group uses."""
        used = {name for name, _, _ in touched(self.group.body)}
        shapes = ([s for s in b.shape if isinstance(s, int)] + [b.dtype.bytes] for b in self.own if b.name in used)
        return sum(map(prod, shapes))

    def _launch(self, starts: Mapping[str, Affine], blocks: dict[str, int]) -> Iterator[Step]:
        key = tuple(blocks.items())
        if key not in self.made:
            made = sliced(self.stem, self.group, blocks, self.buffers, self.own)
            suffix = "".join(f".{blocks[o.names[0]]}" for o in self.group.outer if o.sliced)
            self.made[key] = made, self.slicer.kernel(made, f"{self.stem}{suffix}")
        made, name = self.made[key]
        args: list[str] = []
        for argument in made.arguments:
            if isinstance(argument, View):
                args.append(self.slicer.view(self.buffers[argument.buffer], argument, starts))
            else:
                args.append(self.slicer.scalar())
                yield Assign(args[-1], argument.substitute(starts))
        yield Launch(name, tuple(args))


def _fastest(indices: Sequence[Index]) -> frozenset[str]:
    """The loops along the last axis that there are any along."""
    forms = (i.variables() for i in reversed(indices) if isinstance(i, Affine))
    return next((variables for variables in forms if variables), frozenset())


def _size(value: Coef) -> Size:
    """A sum or product of sizes, which is one."""
    assert isinstance(value, int | Poly)
    return value


def copy_launch(step: Step, program: Program) -> tuple[Kernel, tuple[str, ...]] | None:
    """A copy of a buffer with open sizes as a kernel and its arguments."""
    if not isinstance(step, Copy):
        return None
    source, target = program.buffer(step.source), program.buffer(step.target)
    if not any(isinstance(s, Poly) for s in target.shape):
        return None
    a, b = (Buffer(n, target.dtype, target.shape, "param") for n in ("source", "target"))
    return replace(copy_kernel(a, b, "serial"), name=f"copy_{target.name}"), (source.name, target.name)
