"""Machine instructions in the place of nests that compute what they mean.

Before:
    kernel f(in A: u8[3, 8], in P: i8[2, 16, 4], inout C: i32[3, 16])
    for m in 3 { for k in 2 { for j in 4 { for n in 16 {
      C[m, n] sum= mul(cast.i32(A[m, 4*k + j]), cast.i32(P[k, n, j]))
    } } } }
After map_to(j, vpdpbusd.u8.i8):
    for m in 3 { for k in 2 { instr vpdpbusd.u8.i8(C[m, 0 : 16], A[m, 4*k : 4], P[k, 0 : 16, 0 : 4]) } }
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tilec.affine import Affine, Size, resolve
from tilec.errors import TileError
from tilec.expr import Call, Const, Expr, Read
from tilec.instructions import NAMES, Instruction, bind, instruction, lies_well
from tilec.loops import Block, Buffer, For, If, Instr, Kernel, Stmt, Store, Window
from tilec.passes.schedule.analysis import Index, Scope, malformed, refuse, rewrite_loops, static

_COMMUTE = ("add", "mul", "max", "min")


def map_to(kernel: Kernel, loop: str, name: str) -> Kernel:
    """Every nest of loop `loop` becomes the machine instruction `name`, see `tilec.instructions`.

    It is proved by unification (as in Exo: Ikarashi et al., Exocompilation, 2022) that the nest computes the
    instruction's meaning: the same loops from the outside to the inside, where an open extent of the meaning takes any
    up to its limit; one store of the same aggregation and the same expression of the same types; and for each operand
    one window of one buffer, that every access of it goes through. Conditions that no loop of the nest moves stay
    around the instruction.

    Raises TILE0603 for an unknown instruction, TILE0604 where the two are not the same, an operand does not have the
    layout that the instruction takes, or what it stores to is one of its other operands.
    """
    found = instruction(name)
    if found is None:
        raise malformed(f"map_to: there is no machine instruction '{name}'; there are {', '.join(NAMES)}")

    def change(top: For, scope: Scope) -> Block:
        return _mapped(top, scope, found)

    return rewrite_loops(kernel, loop, change)


def _mapped(top: For, scope: Scope, found: Instruction) -> Block:
    loops, conditions, store = _nest(top)
    moved = {loop.index for loop in loops}
    if any(c.variables() & moved for c in conditions):
        raise refuse(f"map_to: a condition depends on the loops of '{top.index}'")
    unifier = _Unifier(found, scope, _pairs(found, loops))
    windows = unifier.windows(store)
    instr = Instr(found.name, windows)
    return (If(tuple(conditions), (instr,)),) if conditions else (instr,)


def _nest(top: Stmt) -> tuple[list[For], list[Affine], Store]:
    """Loops, conditions among them, and the one store inside."""
    loops: list[For] = []
    conditions: list[Affine] = []
    inner = top
    while isinstance(inner, For | If):
        if isinstance(inner, For):
            loops.append(inner)
        else:
            conditions += inner.conditions
        if len(inner.body) != 1:
            raise refuse(f"map_to: the nest of '{loops[0].index}' is not loops around one store")
        inner = inner.body[0]
    if not isinstance(inner, Store):
        raise refuse(f"map_to: the nest of '{loops[0].index}' is not loops around one store")
    return loops, list(dict.fromkeys(conditions)), inner


def _pairs(found: Instruction, loops: Sequence[For]) -> list[tuple[For, For]]:
    """Loops of the meaning beside those of the nest."""
    meant, _, _ = _nest(found.meaning.body[0])
    if len(meant) != len(loops):
        raise refuse(f"map_to: '{found.name}' is {len(meant)} loops, the nest of '{loops[0].index}' is {len(loops)}")
    return list(zip(meant, loops))


@dataclass(slots=True)
class _Unifier:
    """One attempt to read a nest as the meaning of an instruction."""

    found: Instruction
    scope: Scope
    pairs: list[tuple[For, For]]
    sizes: dict[str, int] = field(default_factory=dict)
    known: dict[str, Window] = field(default_factory=dict)

    def windows(self, store: Store) -> tuple[Window, ...]:
        """The operands' windows. Raises TILE0604 where nest and meaning differ."""
        for meant, loop in self.pairs:
            self._extent(meant, loop)
        _, _, wanted = _nest(self.found.meaning.body[0])
        if wanted.monoid != store.monoid:
            raise self._differs("aggregates otherwise", wanted.monoid and wanted.monoid.name)
        self._operand(wanted.buffer, wanted.indices, store.buffer, store.indices)
        if not self._value(wanted.value, store.value):
            raise self._differs("computes another expression")
        result = self.known[wanted.buffer].buffer
        if any(w.buffer == result for n, w in self.known.items() if n != wanted.buffer):
            raise refuse(f"map_to: '{result}' is stored by the nest and read as another operand")
        for operand in self.found.operands:
            self._layout(operand)
        return tuple(self.known[o.name] for o in self.found.operands)

    def _differs(self, how: str, *notes: object) -> TileError:
        loop = self.pairs[0][1].index
        return refuse(f"map_to: the nest of '{loop}' {how} than '{self.found.name}'", *map(str, filter(None, notes)))

    def _extent(self, meant: For, loop: For) -> None:
        try:
            bind(self.found, self.sizes, meant.extent, static(loop.extent), self.found.operands[0])
        except TileError:
            raise refuse(
                f"map_to: loop '{loop.index}' has the extent {loop.extent}, '{self.found.name}' takes {meant.extent}",
                ", ".join(f"{n} is at most {most}" for n, most in self.found.most.items()),
            ) from None

    def _value(self, wanted: Expr, value: Expr) -> bool:
        """Whether the expressions are the same, up to the order of commuting operands."""
        if wanted.dtype != value.dtype or type(wanted) is not type(value):
            return False
        match wanted, value:
            case Const(), Const():
                return wanted == value
            case Read(a), Read(b):
                return self._operand(a.tensor, a.indices, b.tensor, b.indices)
            case Call(), Call():
                return wanted.op == value.op and any(self._arguments(wanted, o) for o in _orders(value))
        return False

    def _arguments(self, wanted: Call, args: tuple[Expr, ...]) -> bool:
        before = dict(self.known)
        if len(wanted.args) == len(args) and all(map(self._value, wanted.args, args)):
            return True
        self.known = before
        return False

    def _operand(self, name: str, meant: Sequence[Index], buffer: str, indices: Sequence[Index]) -> bool:
        """Takes an access for one of an operand; whether it is possible."""
        operand = next(o for o in self.found.operands if o.name == name)
        source = self.scope.buffer(buffer)
        if source is None or source.dtype != operand.dtype:
            return False
        window = self._window(operand, [i for i in meant if isinstance(i, Affine)], buffer, indices)
        return window is not None and self.known.setdefault(name, window) == window

    def _window(
        self, operand: Buffer, meant: Sequence[Affine], buffer: str, indices: Sequence[Index]
    ) -> Window | None:
        """The window in which indices of the meaning, axis by axis, are those of the nest."""
        loops = {ours.index: Affine.var(theirs.index) for ours, theirs in self.pairs}
        single = {theirs.index: 0 for _, theirs in self.pairs if theirs.extent == 1}  # its index is 0
        inside = {theirs.index for _, theirs in self.pairs}
        left = [(form.substitute(loops).substitute(single), size) for form, size in zip(meant, operand.shape)]
        starts: list[Affine] = []
        extents: list[int | None] = []
        for index in indices:
            if not isinstance(index, Affine):
                return None
            index = index.substitute(single)
            moved = Affine(tuple((n, c) for n, c in index.terms if n in inside))
            form, size = left[0] if left else (Affine(), 1)
            taken = bool(left) and form - form.const == moved
            taken = taken and (moved != Affine() or self._placed(left, indices, extents))
            if taken and form.const != 0 and index != form:
                return None  # the window might begin before the buffer does
            starts.append(index - form if taken else index)
            extents.append(self._size(size) if taken else None)
            left = left[taken:]
            if not taken and moved != Affine():
                return None
        return None if left else Window(buffer, tuple(starts), tuple(extents))

    def _placed(self, left: Sequence[object], indices: Sequence[Index], extents: Sequence[object]) -> bool:
        """Whether an axis that does not move must stand for one of extent 1: no axes are to spare."""
        return len(indices) - len(extents) <= len(left)

    def _size(self, size: Size) -> int:
        return int(resolve(size, self.sizes))

    def _layout(self, operand: Buffer) -> None:
        window = self.known[operand.name]
        buffer = self.scope.buffer(window.buffer)
        if buffer is None or not lies_well(operand, window, buffer, self.sizes):
            whose = f"operand '{operand.name}' of '{self.found.name}'"
            raise refuse(f"map_to: '{window.buffer}' does not have the layout of {whose}", "pack it first")


def _orders(value: Call) -> Iterator[tuple[Expr, ...]]:
    yield value.args
    if value.op in _COMMUTE and len(value.args) == 2:
        yield value.args[::-1]


