"""Floor 3: how much work a kernel is: floating-point operations, and bytes of its parameters that it touches.

Operations are counted, not estimated: each `add`, `mul`, `max`, `sqrt` or `exp` of floats is one, `fma` two; choosing,
comparing, converting and changing a sign is none. Combining the partial results of a sum counts too. A guard counts by
the share of loop iterations that it lets through: exactly for up to 4096 of them, by a sample of as many otherwise. A
loop without a known count counts once.

A byte that is read twice counts once, as in the roofline model (Williams, Waterman and Patterson, CACM 52(4), 2009):
what a kernel must move if its caches hold everything. Per access the elements are those that its affine indices reach.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from math import gcd, prod
from random import Random

from tilec.affine import Affine
from tilec.builtins import BUILTINS
from tilec.dtypes import DType
from tilec.expr import Access, Call, Expr, Read
from tilec.loops import Block, Buffer, For, If, Kernel, Let, Store, While

_COUNTED = ("arithmetic", "order", "rounding", "float", "raw")  # rules of `tilec.builtins` that are arithmetic
_SAMPLES = 4096


@dataclass(frozen=True, slots=True)
class Cost:
    """`flops` by element type; bytes of distinct elements `read` and `written`."""

    flops: dict[DType, int]
    read: int
    written: int

    @property
    def operations(self) -> int:
        return sum(self.flops.values())

    @property
    def bytes(self) -> int:
        return self.read + self.written

    @property
    def dtype(self) -> DType | None:
        """The type of most operations."""
        return max(self.flops, key=lambda d: self.flops[d], default=None)


def cost(kernel: Kernel) -> Cost:
    """The work of one launch; sizes must be numbers."""
    counter = _Counter({p.buffer.name: p.buffer for p in kernel.params})
    counter.block(kernel.body, (), ())
    flops = {d: round(n) for d, n in counter.flops.items() if round(n)}
    return Cost(flops, counter.bytes(counter.reads), counter.bytes(counter.writes))


_Loops = tuple[tuple[str, int], ...]
_Box = tuple[tuple[int, int, int], ...]  # per axis: first and last element, and how many of those between


@dataclass(slots=True)
class _Counter:
    params: dict[str, Buffer]
    flops: dict[DType, float] = field(default_factory=lambda: defaultdict(float))
    reads: dict[str, dict[_Box, int]] = field(default_factory=lambda: defaultdict(dict))
    writes: dict[str, dict[_Box, int]] = field(default_factory=lambda: defaultdict(dict))

    def block(self, block: Block, loops: _Loops, guards: tuple[Affine, ...]) -> None:
        for stmt in block:
            match stmt:
                case For(index=index, extent=extent):
                    self.block(stmt.body, (*loops, (index, number(extent))), guards)
                case If(conditions=conditions):
                    self.block(stmt.body, loops, (*guards, *conditions))
                case Let(value=value):
                    self.value(value, loops, guards)
                case Store():
                    self.store(stmt, loops, guards)
                case While(condition=condition):
                    self.value(condition, loops, guards)
                    self.block(stmt.body, loops, guards)
                case _:
                    pass  # memory, barriers, machine instructions

    def store(self, stmt: Store, loops: _Loops, guards: tuple[Affine, ...]) -> None:
        self.value(stmt.value, loops, guards)
        self.touch(self.writes, stmt.buffer, stmt.indices, loops, guards)
        for index in stmt.indices:
            if not isinstance(index, Affine):
                self.value(index, loops, guards)
        if stmt.monoid is not None and stmt.monoid.name != "assign":
            self.touch(self.reads, stmt.buffer, stmt.indices, loops, guards)
            for combine in stmt.monoid.combine:
                self.value(combine, loops, guards)

    def value(self, value: Expr, loops: _Loops, guards: tuple[Affine, ...]) -> None:
        nodes = list(_nodes(value))
        per_point = Counter[DType]()
        for node in nodes:
            if isinstance(node, Call) and node.dtype.is_float:
                per_point[node.dtype] += _operations(node.op)
            elif isinstance(node, Read):
                self.access(node.access, loops, guards)
        if per_point:
            points = iterations(loops, guards)
            for dtype, count in per_point.items():
                self.flops[dtype] += count * points

    def access(self, access: Access, loops: _Loops, guards: tuple[Affine, ...]) -> None:
        self.touch(self.reads, access.tensor, access.indices, loops, guards)

    def touch(
        self,
        found: dict[str, dict[_Box, int]],
        name: str,
        indices: tuple[Affine | Expr, ...],
        loops: _Loops,
        guards: tuple[Affine, ...],
    ) -> None:
        """Notes the elements of a parameter that an access reaches."""
        if name not in self.params:
            return
        shape = tuple(map(number, self.params[name].shape))
        box = tuple(_reach(index, loops, extent) for index, extent in zip(indices, shape))
        used = {v for index in indices if isinstance(index, Affine) for v in index.variables()}
        most = prod(extent for v, extent in loops if v in used) if _affine(indices) else prod(shape)
        share = iterations(loops, guards) > 0
        found[name][box] = min(prod(count for _, _, count in box), most) if share else 0

    def bytes(self, touched: dict[str, dict[_Box, int]]) -> int:
        """Bytes of all elements touched: boxes may overlap, so no more than their hull holds."""
        total = 0
        for name, boxes in touched.items():
            hull = prod(max(b[1] for b in axis) - min(b[0] for b in axis) + 1 for axis in zip(*boxes))
            total += min(hull, sum(boxes.values())) * self.params[name].dtype.bytes
        return total


def iterations(loops: _Loops, guards: Iterable[Affine]) -> float:
    """How many iterations of the nest pass all guards."""
    extents, forms = dict(loops), tuple(guards)
    total = prod(extents.values())
    if not forms or not total:
        return total
    used = sorted({v for f in forms for v in f.variables() if v in extents})
    space = prod(extents[v] for v in used)
    points: Iterable[tuple[int, ...]] = product(*(range(extents[v]) for v in used))
    if space > _SAMPLES:
        random = Random(0)
        points = (tuple(random.randrange(extents[v]) for v in used) for _ in range(_SAMPLES))
    passed = sum(_passes(forms, dict(zip(used, point))) for point in islice(points, _SAMPLES))
    return total * passed / min(space, _SAMPLES)


def _passes(forms: tuple[Affine, ...], point: dict[str, int]) -> bool:
    return all(number(f.const) + sum(number(c) * point.get(v, 0) for v, c in f.terms) >= 0 for f in forms)


def _reach(index: Affine | Expr, loops: _Loops, extent: int) -> tuple[int, int, int]:
    """First and last element of an axis that an index can name, and how many it names."""
    if not isinstance(index, Affine):
        return 0, extent - 1, extent
    extents = dict(loops)
    low = high = number(index.const)
    step, values = 0, 1
    for name, coefficient in index.terms:
        span = number(coefficient) * (extents.get(name, 1) - 1)
        low, high = low + min(span, 0), high + max(span, 0)
        step, values = gcd(step, abs(number(coefficient))), values * extents.get(name, 1)
    low, high = max(low, 0), min(high, extent - 1)
    return low, high, max(0, min((high - low) // max(step, 1) + 1, values))


def _affine(indices: tuple[Affine | Expr, ...]) -> bool:
    return all(isinstance(i, Affine) for i in indices)


def _operations(op: str) -> int:
    builtin = BUILTINS[op]
    if op in ("ident", "neg", "abs") or builtin.rule not in _COUNTED:
        return 0
    return 2 if op == "fma" else 1


def _nodes(value: Expr) -> Iterator[Expr]:
    """Every node of an expression once, however often it is used."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, Call):
            stack.extend(node.args)
        elif isinstance(node, Read):
            stack.extend(i for i in node.access.indices if not isinstance(i, Affine))


def number(size: object) -> int:
    """A size or coefficient that is a number; raises ValueError for named sizes."""
    if not isinstance(size, int):
        raise ValueError(f"size {size} is not a number")
    return size
