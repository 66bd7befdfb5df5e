"""Floor 3: the verifier of Programs: kernels, the buffers they are launched on, and where these lie in memory.

Checked besides every kernel: names bound once; launches match their kernels' parameters in number, dtype and shape;
nothing writes to an input; no launch is given memory it writes a second time under another name; a view that moves with
the steps of an Iterate is used only inside of it and stays inside of its base at every step; placed buffers lie
inside the arena, and two that are needed at the same time share no byte. Error: TILE0602.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

from tilec.affine import Size
from tilec.buffers import place_of, root
from tilec.codes import CODES
from tilec.dtypes import BOOL, I64, DType
from tilec.errors import TileError
from tilec.expr import Access
from tilec.graph import TensorType
from tilec.host_functions import result_types
from tilec.loops import (
    Assign,
    Branch,
    Buffer,
    Check,
    Copy,
    HostCall,
    Iterate,
    Kernel,
    Launch,
    Program,
    Repeat,
    Step,
    all_steps,
    parts,
    strides_of,
    touched,
)
from tilec.verify.expr import ExprChecker, fail
from tilec.verify.kernel import check_buffer, verify_kernel
from tilec.verify.lifetimes import lifetimes
from tilec.verify.steps import reads_of, writes_of


def verify_program(program: Program, scheduled: bool = False) -> None:
    """Raises TileError TILE0602 at the first fault."""
    _unique("buffer", [b.name for b in program.buffers])
    _unique("kernel", [k.name for k in program.kernels])
    sizes = _sizes(program)
    buffers = {b.name: b for b in program.buffers}
    extents = _extents(program)
    for buffer in program.buffers:
        check_buffer(buffer, sizes)
        if buffer.base is not None:
            _view(buffer, buffers, extents)
    _signature(program, buffers)
    for kernel in program.kernels:
        verify_kernel(kernel, sorted(sizes), scheduled)
    checker = _Steps(buffers, {k.name: k for k in program.kernels}, frozenset(_inputs(program)), extents, sizes)
    checker.block((*program.init, *program.steps), frozenset())
    _places(program, buffers)


def _sizes(program: Program) -> frozenset[str]:
    """Named sizes and those derived from them, each from what is before it."""
    _unique("size", [*program.sizes, *(name for name, _, _ in program.derived)])
    known = frozenset(program.sizes)
    for name, size, divisor in program.derived:
        ExprChecker(frozenset(), _no_access, {}, known).size(size)
        if divisor < 1:
            fail(f"size '{name}' is a quotient by {divisor}")
        known |= {name}
    return known


def _extents(program: Program) -> dict[str, Size]:
    """Extents of the Iterates, by index."""
    loops = [s for s in all_steps((*program.init, *program.steps)) if isinstance(s, Iterate)]
    _unique("index", [s.index for s in loops])
    return {s.index: s.extent for s in loops}


def _unique(what: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            fail(f"{what} '{name}' is declared twice")


def _signature(program: Program, buffers: dict[str, Buffer]) -> None:
    for name in (*program.params, *program.results, *(n for n, _ in program.constants)):
        if name not in buffers:
            fail(f"'{name}' of the signature is not a buffer")
    for name in (*program.params, *program.results):
        if buffers[name].space != "param":
            fail(f"'{name}' of the signature is of space {buffers[name].space}")
    _unique("result", program.results)


def _inputs(program: Program) -> Iterator[str]:
    """Buffers that nothing may write to: a parameter that is a result is donated."""
    yield from (p for p in program.params if p not in program.results)
    yield from (name for name, _ in program.constants)


def _alike(a: Buffer, b: Buffer) -> bool:
    return (a.dtype, a.shape) == (b.dtype, b.shape)


def _view(buffer: Buffer, buffers: dict[str, Buffer], extents: dict[str, Size]) -> None:
    seen = {buffer.name}
    current: Buffer = buffer
    while current.base is not None:
        if current.base not in buffers:
            fail(f"base '{current.base}' of '{current.name}' is not a buffer")
        current = buffers[current.base]
        if current.name in seen:
            fail(f"'{buffer.name}' is a view of itself")
        seen.add(current.name)
    span, whole = _extent(buffer, buffers, extents), _elements(current)
    if span is not None and whole is not None and not 0 <= span[0] <= span[1] <= whole:
        fail(f"view '{buffer.name}' reaches outside of '{current.name}'")


def _elements(buffer: Buffer) -> int | None:
    """Elements of memory that a buffer needs, None if symbolic."""
    strides = strides_of(buffer)
    numbers = [n for n in (*buffer.shape, *strides) if isinstance(n, int)]
    if len(numbers) != len(buffer.shape) + len(strides):
        return None
    shape, steps = numbers[: len(buffer.shape)], numbers[len(buffer.shape) :]
    return 1 + sum((n - 1) * s for n, s in zip(shape, steps)) if prod(shape) else 0


def _extent(buffer: Buffer, buffers: dict[str, Buffer], extents: Mapping[str, Size]) -> tuple[int, int] | None:
    """First element and the one after the last, in the memory of the root, over all steps; None if symbolic.

    A view inside of an Iterate without steps is nowhere.
    """
    place, elements = place_of(buffer, buffers), _elements(buffer)
    if not isinstance(place.const, int) or elements is None:
        return None
    low = high = place.const
    for index, stride in place.terms:
        extent = extents.get(index)
        if extent is None:
            fail(f"view '{buffer.name}' moves with '{index}', which no step counts")
        if not isinstance(stride, int) or not isinstance(extent, int):
            return None
        if extent <= 0:
            return 0, 0
        low, high = low + min(0, stride * (extent - 1)), high + max(0, stride * (extent - 1))
    return low, high + elements


@dataclass(frozen=True, slots=True)
class _Steps:
    """Checks steps; `extents` are those of all Iterates, `indices` those that are counting."""

    buffers: dict[str, Buffer]
    kernels: dict[str, Kernel]
    inputs: frozenset[str]
    extents: dict[str, Size]
    sizes: frozenset[str]

    def block(self, steps: Iterable[Step], indices: frozenset[str]) -> None:
        for step in steps:
            self.check(step, indices)
            inner = indices | {step.index} if isinstance(step, Iterate) else indices
            for part in parts(step):
                self.block(part, inner)

    def check(self, step: Step, indices: frozenset[str]) -> None:
        for name in (*reads_of(step, self.kernels), *writes_of(step, self.kernels)):
            if name not in self.buffers:
                fail(f"'{name}' of a step is not a buffer")
            if outside := place_of(self.buffers[name], self.buffers).variables() - indices:
                fail(f"'{name}' moves with {', '.join(sorted(outside))} and is used outside of that loop")
        for name in writes_of(step, self.kernels):
            if root(self.buffers[name], self.buffers).name in self.inputs:
                fail(f"a step writes to the input '{name}'")
        match step:
            case Launch():
                self._launch(step)
            case Copy(source, target) if not _alike(self.buffers[source], self.buffers[target]):
                fail(f"copy of '{source}' to '{target}', which differ in type")
            case Repeat(condition) | Branch(condition) | Check(condition):
                if isinstance(step, Check) and step.code not in CODES:
                    fail(f"a check has the unknown code '{step.code}'")
                buffer = self.buffers[condition]
                if buffer.dtype != BOOL or buffer.shape:
                    fail(f"condition '{condition}' is not a bool of rank 0")
            case Assign(target, value):
                ExprChecker(indices, _no_access, {}, self.sizes).affine(value)
                if self.buffers[target].dtype != I64 or self.buffers[target].shape:
                    fail(f"'{target}', which is assigned a form, is not an i64 of rank 0")
            case HostCall():
                self._host(step)
            case Iterate(extent=extent, count=count):
                ExprChecker(frozenset(), _no_access, {}, self.sizes).size(extent)
                if count is not None and (self.buffers[count].dtype != I64 or self.buffers[count].shape):
                    fail(f"count '{count}' is not an i64 of rank 0")

    def _host(self, step: HostCall) -> None:
        inputs, outputs = (
            tuple(TensorType(self.buffers[n].dtype, self.buffers[n].shape) for n in names)
            for names in (step.inputs, step.outputs)
        )
        try:
            result_types(step.function, inputs, outputs)
        except TileError as reason:
            fail(reason.diagnostics[0].message)
        for a, b in combinations(step.outputs, 2):
            if self._overlap(self.buffers[a], self.buffers[b]):
                fail(f"results '{a}' and '{b}' of the host function '{step.function}' share memory")

    def _launch(self, step: Launch) -> None:
        kernel = self.kernels[step.kernel]
        for param, name in zip(kernel.params, step.args):
            if not _alike(param.buffer, self.buffers[name]):
                fail(f"launch of '{kernel.name}': '{name}' differs in type from parameter '{param.buffer.name}'")
        given = list(zip(kernel.params, (self.buffers[n] for n in step.args)))
        for (p, a), (q, b) in combinations(given, 2):
            if (p.mode != "in" or q.mode != "in") and self._overlap(a, b):
                fail(f"launch of '{kernel.name}': parameters '{p.buffer.name}' and '{q.buffer.name}' share memory")

    def _overlap(self, a: Buffer, b: Buffer) -> bool:
        if root(a, self.buffers).name != root(b, self.buffers).name:
            return False
        both = place_of(a, self.buffers).terms == place_of(b, self.buffers).terms  # then they move together
        extents = dict.fromkeys(self.extents, 1) if both else self.extents
        x, y = _extent(a, self.buffers, extents), _extent(b, self.buffers, extents)
        near = x is None or y is None or (x[0] < y[1] and y[0] < x[1])
        return near and not (both and self._interleaved(a, b))

    def _interleaved(self, a: Buffer, b: Buffer) -> bool:
        """Whether two views that move together, of known sizes, have no element in common, as columns side by side."""
        x, y = (place_of(v, self.buffers).const for v in (a, b))
        steps: dict[int, list[int]] = {}  # per stride how far an element of `a` may be behind and before one of `b`
        for side, view in enumerate((b, a)):
            for extent, stride in zip(view.shape, strides_of(view), strict=True):
                if not isinstance(extent, int) or not isinstance(stride, int) or extent < 1 or stride < 0:
                    return False
                steps.setdefault(stride, [0, 0])[side] += extent - 1
        axes = [(stride, -behind, before) for stride, (behind, before) in sorted(steps.items())]
        return isinstance(x, int) and isinstance(y, int) and not _reaches(y - x, axes)


def _reaches(distance: int, axes: Sequence[tuple[int, int, int]]) -> bool:
    """Whether a distance is a sum of steps along axes; True if unsure.

    `axes` are (stride, fewest steps, most steps), the smallest stride first: where no two axes overlap, few numbers of
    steps along one leave a distance that the smaller ones reach.
    """
    axes = [(stride, low, high) for stride, low, high in axes if stride and low < high]
    if not axes:
        return distance == 0
    (stride, fewest, most), rest = axes[-1], axes[:-1]
    least, greatest = sum(s * low for s, low, _ in rest), sum(s * high for s, _, high in rest)
    first, last = max(fewest, -((greatest - distance) // stride)), min(most, (distance - least) // stride)
    return last - first > 2 or any(_reaches(distance - n * stride, rest) for n in range(first, last + 1))


def _no_access(access: Access, dtype: DType) -> None:
    fail(f"a read of '{access.tensor}' is not allowed here")


# --- memory -----------------------------------------------------------------------------------------------------------


def _places(program: Program, buffers: dict[str, Buffer]) -> None:
    if not program.places:
        return
    _unique("place of", [name for name, _ in program.places])
    ranges: dict[str, tuple[int, int]] = {}
    for name, offset in program.places:
        if name not in buffers or buffers[name].space == "param" or buffers[name].base is not None:
            fail(f"'{name}' has a place and is not a buffer of the arena")
        size = (_elements(buffers[name]) or 0) * buffers[name].dtype.bytes
        if offset % buffers[name].dtype.bytes or offset < 0 or offset + size > program.arena:
            fail(f"'{name}' of {size} bytes at {offset} is misplaced in an arena of {program.arena} bytes")
        ranges[name] = (offset, offset + size)
    lives = lifetimes(program)
    kept = {root(buffers[n], buffers).name for step in program.init for n in touched(step)}  # they may lie elsewhere
    for name in lives:
        if name not in ranges and buffers[name].space != "param" and name not in kept:
            fail(f"'{name}' has no place")
    used = sorted((low, high, name) for name, (low, high) in ranges.items() if name in lives and low < high)
    for k, (_, end, a) in enumerate(used):
        for start, _, b in used[k + 1 :]:
            if start >= end:
                break
            if lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]:
                fail(f"'{a}' and '{b}' share memory and are needed at the same time")
