"""Maxima without NaN: a kernel in two versions, and a cheap look at the inputs that chooses one.

An exact maximum costs three instructions where no NaN is told apart from one, and a NaN is rare. Where a kernel does
nothing but aggregate maxima or minima of inputs, or of sums, differences or products of two inputs, no NaN can arise
unless an input is one, or infinities meet (or one meets a zero in a product). What was aggregated before is no input:
it may be infinite where no input is. So the inputs are scanned
once, in time that their reuse in the kernel makes negligible, and a version is run whose maximum is one instruction
that only orders zeros. Kernels without such reuse, or that do anything else, keep the one exact version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, isnan, prod
from typing import TypeGuard

from tilec.affine import Affine
from tilec.backends.llvm.address import number
from tilec.backends.llvm.target import has
from tilec.dtypes import BOOL, F32, F64, DType
from tilec.expr import Call, Const, Expr, Read, Var, read
from tilec.loops import Alloc, Block, Buffer, For, Kernel, KernelParam, Stmt, Store, While, stride_sizes, walk
from tilec.monoid import Monoid, identity, standard
from tilec.target import Target

_REUSE = 16  # uses of every input element, at least, that pay for the scan


@dataclass(frozen=True, slots=True)
class Screen:
    """`scan` writes the greatest and the least input element (NaN if there is one) to `extremes`: f32[2] or f64[2].

    finite: every infinity is a danger (differences, products), not only infinities of both signs (sums).
    """

    scan: Kernel
    dtype: DType
    inputs: tuple[int, ...]  # positions of the scanned parameters
    finite: bool


def screen(kernel: Kernel, target: Target) -> Screen | None:
    """What to scan so that no maximum of the kernel can meet a NaN; None where there is no telling, or no gain."""
    inputs = {p.buffer.name: p.buffer for p in kernel.params if p.mode == "in"}
    types = {p.buffer.dtype for p in kernel.params}
    if not has(target, "avx512dq") or len(types) != 1 or not types <= {F32, F64}:
        return None
    if any(p.mode == "inout" or p.buffer.strides is not None or stride_sizes(kernel) for p in kernel.params):
        return None
    stores = [s for s in walk(kernel.body) if isinstance(s, Store)]
    tame = _copies(kernel.body, inputs)
    if any(isinstance(s, While) for s in walk(kernel.body)) or not all(_harmless(s, tame) for s in stores):
        return None
    elements = sum(prod(number(n) for n in b.shape) for b in inputs.values())
    if not inputs or _uses(kernel.body) < _REUSE * elements:
        return None
    (dtype,) = types
    finite = any(isinstance(s.value, Call) and s.value.op != "add" for s in stores)
    positions = tuple(i for i, p in enumerate(kernel.params) if p.mode == "in")
    return Screen(_scan(list(inputs.values()), dtype, target), dtype, positions, finite)


def _copies(body: Block, inputs: Iterable[str]) -> frozenset[str]:
    """The inputs, and buffers and views that never hold anything but elements of inputs and finite numbers."""
    views = {s.buffer.name: s.buffer.base for s in walk(body) if isinstance(s, Alloc) and s.buffer.base is not None}

    def root(name: str) -> str:
        return root(views[name]) if name in views else name

    stores = [(root(s.buffer), s) for s in walk(body) if isinstance(s, Store)]
    found = {*inputs, *(name for name, _ in stores)}

    def keeps(store: Store) -> bool:
        value = store.value
        if isinstance(value, Read):
            return store.monoid is None and _is_copy(value) and root(value.access.tensor) in found
        return store.monoid is None and isinstance(value, Const) and isfinite(value.value)

    while spoilt := {name for name, s in stores if name in found and not keeps(s)}:
        found -= spoilt
    return frozenset({*found, *(v for v in views if root(v) in found)})


def _harmless(store: Store, tame: frozenset[str]) -> bool:
    """A number, a copy, or a maximum or minimum of inputs: never the source of a NaN. `tame`: what holds inputs."""
    if store.monoid is None:
        return _is_number(store.value) or _is_copy(store.value)
    if store.monoid.name not in ("max", "min") or len(store.monoid.combine) != 1:
        return False
    if store.monoid != standard(store.monoid.name, store.monoid.dtypes[0]):
        return False
    value = store.value
    if isinstance(value, Call) and value.op in ("add", "sub", "mul"):
        return all(_is_copy(a) and a.access.tensor in tame for a in value.args)
    return _is_copy(value)


def _is_number(value: Expr) -> bool:
    return isinstance(value, Const) and not isnan(value.value)


def _is_copy(value: Expr) -> TypeGuard[Read]:
    """A read at affine indices: of an input, or of a copy of one, or of what was aggregated so far."""
    return isinstance(value, Read) and all(isinstance(i, Affine) for i in value.access.indices)


def _uses(body: Block) -> int:
    """How often an aggregation is carried out."""
    total = 0
    for stmt in body:
        if isinstance(stmt, Store):
            total += stmt.monoid is not None
        elif isinstance(stmt, For):
            total += number(stmt.extent) * _uses(stmt.body)
    return total


_ROWS = 4  # independent accumulators: the latency of a maximum is hidden


def _scan(inputs: list[Buffer], dtype: DType, target: Target) -> Kernel:
    """The greatest (NaN if there is one) and the least of all elements, aggregated in vector lanes first."""
    lanes = target.lanes(dtype.bits)
    rows = tuple(Buffer(name, dtype, (_ROWS, lanes), "register") for name in ("high", "low"))
    monoids = (standard("max", dtype), _plain_minimum(dtype))
    row, lane = Affine.var("row"), Affine.var("lane")
    starts = tuple(Store(b.name, (row, lane), m.identity[0]) for b, m in zip(rows, monoids))
    body: list[Stmt] = [*map(Alloc, rows), _each_row(lanes, starts)]
    for n, buffer in enumerate(inputs):
        blocks, rest = divmod(_count(buffer), _ROWS * lanes)
        if blocks:
            at = Affine.of({"block": _ROWS * lanes, "row": lanes, "lane": 1})
            stores = tuple(Store(b.name, (row, lane), read(f"x{n}", (at,), dtype), m) for b, m in zip(rows, monoids))
            body.append(For("block", blocks, "serial", (_each_row(lanes, stores),)))
        for start in range(0, rest, lanes):
            at = lane + (blocks * _ROWS * lanes + start)
            value = read(f"x{n}", (at,), dtype)
            stores = tuple(Store(b.name, (Affine(), lane), value, m) for b, m in zip(rows, monoids))
            body.append(For("lane", min(lanes, rest - start), "vector", stores))
    for slot, (buffer, monoid) in enumerate(zip(rows, monoids)):
        cell = (Affine.constant(slot),)
        body.append(Store("extremes", cell, monoid.identity[0]))
        body.append(_each_row(lanes, (Store("extremes", cell, read(buffer.name, (row, lane), dtype), monoid),)))
    params = [KernelParam(Buffer(f"x{n}", dtype, (_count(b),), "param"), "in") for n, b in enumerate(inputs)]
    params.append(KernelParam(Buffer("extremes", dtype, (2,), "param"), "out"))
    return Kernel("scan", tuple(params), tuple(body))


def _each_row(lanes: int, body: Block) -> For:
    return For("row", _ROWS, "unroll", (For("lane", lanes, "vector", body),))


def _plain_minimum(dtype: DType) -> Monoid:
    """The lesser number by one comparison; NaN is the maximum's to find."""
    old, new = Var("a0", dtype), Var("b0", dtype)
    lesser = Call("cond", (Call("cmp_lt", (new, old), BOOL), new, old), dtype)
    return Monoid("plain_min", (identity("min", dtype),), (lesser,))


def _count(buffer: Buffer) -> int:
    return prod(number(n) for n in buffer.shape)
