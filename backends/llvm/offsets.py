"""Products of bytes of one sign, without a subtraction for each instruction.

The machine multiplies unsigned bytes with signed ones. Of two bytes of one sign one is moved by 128, and what that adds
to the sum is the same for all rows: it is summed up by itself, as far out as the columns and the terms allow, and taken
off a sum when its terms are through. Sums wrap, so nothing is lost.

Before:
    for m.0 in 4 {
      alloc c: register i32[13, 16]
      ...
      for k in 128 { for m.1 in 13 unroll { instr vpdpbusd.i8.i8(c[m.1, 0 : 16], A[13*m.0 + m.1, 4*k : 4], ...) } }
    }
After:
    alloc k.added: register i32[16]
    for k.added.l in 16 vector { k.added[k.added.l] = 0 }
    for k in 128 { instr vpdpbusd.i8.i8:added(k.added[0 : 16], ...) }
    for m.0 in 4 {
      alloc c: register i32[13, 16]
      ...
      for k in 128 { for m.1 in 13 unroll { instr vpdpbusd.i8.i8:moved(c[m.1, 0 : 16], A[...], ...) } }
      for m.1 in 13 unroll { for k.added.l in 16 vector { c[m.1, k.added.l] sum= neg(k.added[k.added.l]) } }
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tilec.affine import Affine
from tilec.backends.llvm.address import number
from tilec.dtypes import I32
from tilec.expr import Call, Const, read
from tilec.instructions import PARTS, known, stored
from tilec.loops import Alloc, Block, Buffer, For, If, Instr, Kernel, Stmt, Store, Window, walk
from tilec.monoid import standard
from tilec.target import Target


@dataclass(frozen=True, slots=True)
class _Added:
    """What moving adds to sums: its declaration and nest, the loops that these depend on, and the buffer they read."""

    block: Block
    variables: frozenset[str]
    source: str


@dataclass(frozen=True, slots=True)
class _Nest:
    """Loops around one instruction: those that move its sums, and those over terms."""

    loops: tuple[For, ...]
    instr: Instr

    @property
    def cells(self) -> tuple[For, ...]:
        moved = _variables(self.instr.operands[0])
        return tuple(f for f in self.loops if f.index in moved)

    @property
    def columns(self) -> tuple[For, ...]:
        """Loops over cells whose sums do not have the same added to them."""
        return tuple(f for f in self.cells if f.index in _variables(self.instr.operands[-1]))

    @property
    def shared(self) -> tuple[For, ...]:
        """Those over columns and terms."""
        return tuple(f for f in self.loops if f not in self.cells or f in self.columns)


def without_offsets(kernel: Kernel, target: Target) -> Kernel:
    """The kernel with what moving adds taken off once for each sum; the same object where there is nothing to do."""
    parts = list(walk(kernel.body))
    here = [s for s in parts if isinstance(s, Instr) and s.name in PARTS and known(s).runs_on(target.features)]
    allocs = [s.buffer for s in parts if isinstance(s, Alloc)]
    if not here or any(b.base is not None for b in allocs):
        return kernel
    registers = {b.name: b for b in allocs if b.space == "register"}
    body, left = _Rewriting(registers).block(kernel.body)
    return replace(kernel, body=(*_placed(left), *body))


@dataclass(slots=True)
class _Rewriting:
    registers: Mapping[str, Buffer]
    names: dict[object, str] = field(default_factory=dict)

    def block(self, body: Block) -> tuple[Block, list[_Added]]:
        """The statements, and what has to be computed before them, here or further out."""
        written = _written(body)
        done: list[Stmt] = []
        here: list[_Added] = []
        outward: list[_Added] = []
        for stmt in body:
            new, needed = self.statement(stmt)
            first = [n for n in needed if n not in here and n not in outward]
            here += [n for n in first if n.source in written]
            outward += [n for n in first if n.source not in written]
            for added in (n for n in first if n.source in written):
                done += added.block[added.block[0] in done :]  # declared once, also where it is summed up anew
            done += new
            changed = _written((stmt,))
            here = [n for n in here if n.source not in changed]
        return tuple(done), outward

    def statement(self, stmt: Stmt) -> tuple[Block, list[_Added]]:
        nest = _nest(stmt, self.registers)
        if nest is not None:
            return self.moved(nest)
        if isinstance(stmt, If):
            body, left = self.block(stmt.body)
            return (replace(stmt, body=(*_placed(left), *body)),), []
        if not isinstance(stmt, For):
            return (stmt,), []
        body, left = self.block(stmt.body)
        stays = stmt.kind != "serial"
        inside = [n for n in left if stays or stmt.index in n.variables]
        return (replace(stmt, body=(*_placed(inside), *body)),), [n for n in left if n not in inside]

    def moved(self, nest: _Nest) -> tuple[Block, list[_Added]]:
        """The nest with its first factor moved, taking off what that adds; and what computes it."""
        key = nest.instr.name, nest.instr.operands[-1], tuple((f.index, f.extent, f.kind) for f in nest.shared)
        name = self.names.setdefault(key, f"added.{len(self.names)}")
        return (_with(nest, "moved"), _taken_off(nest, name)), [_added(nest, name)]


def _nest(stmt: Stmt, registers: Mapping[str, Buffer]) -> _Nest | None:
    """Loops around one such instruction, whose sums are cells of registers that each loop moves by itself."""
    loops: list[For] = []
    while isinstance(stmt, For) and len(stmt.body) == 1 and stmt.kind in ("serial", "unroll"):
        loops.append(stmt)
        (stmt,) = stmt.body
    if not isinstance(stmt, Instr) or stmt.name not in PARTS or stmt.operands[0].buffer not in registers:
        return None
    sums = stmt.operands[0]
    starts = [s for s in sums.starts if s.variables()]
    if any(s.variables() for s, e in zip(sums.starts, sums.extents) if e is not None):
        return None
    if any(s.as_variable() is None for s in starts) or len({s.as_variable() for s in starts}) != len(starts):
        return None
    nest = _Nest(tuple(loops), stmt)
    return nest if loops and len(nest.cells) == len(starts) < len(loops) else None


def _with(nest: _Nest, part: str) -> Stmt:
    return _around(nest.loops, replace(nest.instr, name=f"{nest.instr.name}:{part}"))


def _added(nest: _Nest, name: str) -> _Added:
    """What the instruction adds to sums when its first factor is moved, summed up over all terms."""
    columns, factor = nest.columns, nest.instr.operands[-1]
    lanes = number(next(e for e in factor.extents if e is not None))
    buffer = Buffer(name, I32, (*(f.extent for f in columns), lanes), "register")
    cell = tuple(Affine.var(f.index) for f in columns)
    lane = f"{name}.l"
    zero = Store(name, (*cell, Affine.var(lane)), Const(0, I32))
    clear = _around(columns, For(lane, lanes, "vector", (zero,)))
    window = Window(name, (*cell, Affine()), (*(None for _ in columns), lanes))
    sums = _around(nest.shared, Instr(f"{nest.instr.name}:added", (window, factor)))
    return _Added((Alloc(buffer), clear, sums), _variables(factor) - {f.index for f in nest.shared}, factor.buffer)


def _taken_off(nest: _Nest, name: str) -> Stmt:
    """Takes what was added off every sum."""
    sums = nest.instr.operands[0]
    lanes = number(next(e for e in sums.extents if e is not None))
    lane = f"{name}.l"
    cell = tuple(s if e is None else s + Affine.var(lane) for s, e in zip(sums.starts, sums.extents))
    added = read(name, (*(Affine.var(f.index) for f in nest.columns), Affine.var(lane)), I32)
    store = Store(sums.buffer, cell, Call("neg", (added,), I32), standard("sum", I32))
    return _around(nest.cells, For(lane, lanes, "vector", (store,)))


def _around(loops: Sequence[For], stmt: Stmt) -> Stmt:
    for loop in reversed(loops):
        stmt = replace(loop, body=(stmt,))
    return stmt


def _placed(needed: Sequence[_Added]) -> Iterator[Stmt]:
    for added in needed:
        yield from added.block


def _written(body: Block) -> frozenset[str]:
    """Buffers that statements declare or store to."""
    found: set[str] = set()
    for stmt in walk(body):
        match stmt:
            case Alloc():
                found.add(stmt.buffer.name)
            case Store():
                found.add(stmt.buffer)
            case Instr():
                found |= stored(stmt)
    return frozenset(found)


def _variables(window: Window) -> frozenset[str]:
    return frozenset[str]().union(*(s.variables() for s in window.starts))
