"""Open sizes in the interface for C: a function that checks them, and works out all that follows from them.

It fills words of the table that `run` takes: sizes, those derived from them, and for each buffer of the arena how far
behind the workspace's start it lies. No sum or product in it can wrap unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tilec.affine import Poly, Size
from tilec.backends.llvm.layout import Layout
from tilec.exact.domain import must_be_fixed
from tilec.loops import Program
from tilec.open_arena import Part, open_lives, parts

_PAIR = "{ i64, i1 }"
DECLARATIONS = "".join(f"declare {_PAIR} @llvm.{op}.with.overflow.i64(i64, i64)\n" for op in ("sadd", "smul"))


class Checked:
    """LLVM text of arithmetic on i64; `bad` is an i1 that says whether anything went wrong so far."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self.bad = "false"
        self._values = dict(values)  # of sizes, by name
        self._known: dict[Size, str] = {}

    def emit(self, text: str) -> str:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name

    def refuse(self, condition: str) -> None:
        self.bad = self.emit(f"or i1 {self.bad}, {condition}")

    def op(self, op: str, a: str, b: str) -> str:
        """`sadd` or `smul`."""
        pair = self.emit(f"call {_PAIR} @llvm.{op}.with.overflow.i64(i64 {a}, i64 {b})")
        self.refuse(self.emit(f"extractvalue {_PAIR} {pair}, 1"))
        return self.emit(f"extractvalue {_PAIR} {pair}, 0")

    def size(self, size: Size) -> str:
        """The value of a size; raises TILE0210 for fractions."""
        if not isinstance(size, Poly):
            return str(size)
        if size not in self._known:
            total = "0"
            for names, factor in size.terms:
                if not isinstance(factor, int):
                    raise must_be_fixed(size, "it is divided")
                term = str(factor)
                for name in names:
                    term = self._values[name] if term == "1" else self.op("smul", term, self._values[name])
                total = term if total == "0" else self.op("sadd", total, term)
            self._known[size] = total
        return self._known[size]

    def define(self, name: str, size: Size, divisor: int) -> str:
        """A derived size: the quotient, rounded down."""
        value = self.size(size)
        rest = self.emit(f"srem i64 {value}, {divisor}")
        down = self.emit(f"sext i1 {self.emit(f'icmp slt i64 {rest}, 0')} to i64")
        self._values[name] = self.emit(f"add i64 {self.emit(f'sdiv i64 {value}, {divisor}')}, {down}")
        return self._values[name]

    def up(self, value: str, step: int) -> str:
        """The next multiple of a power of two."""
        return value if step == 1 else self.emit(f"and i64 {self.op('sadd', value, str(step - 1))}, {-step}")

    def store(self, value: str, word: int) -> None:
        place = self.emit(f"getelementptr i64, ptr %table, i64 {word}")
        self.lines.append(f"store i64 {value}, ptr {place}, align 8")


def size_function(
    name: str, program: Program, layout: Layout, arguments: Sequence[Size], start: int, limit: int | None
) -> str:
    """`i64 NAME(i64 size, ..., ptr table)`: bytes of the workspace, or -1 for sizes that are not accepted.

    The buffers of the arena begin `start` bytes behind the first cache line of the workspace; `limit` is the most that
    they may take. `arguments`: sizes in bytes, whose values follow those of the sizes in the table.
    Raises TileError TILE0210 for sizes with fractions, TILE0414.
    """
    checked = Checked({n: f"%n{k}" for k, n in enumerate(program.sizes)})
    for k in range(len(program.sizes)):
        checked.refuse(checked.emit(f"icmp slt i64 %n{k}, 0"))
    for axis in dict.fromkeys(s for b in program.buffers for s in b.shape if isinstance(s, Poly)):
        checked.refuse(checked.emit(f"icmp slt i64 {checked.size(axis)}, 0"))
    for k, n in enumerate(program.sizes):
        checked.store(f"%n{k}", layout.sizes[n])
    for n, size, divisor in program.derived:
        checked.store(checked.define(n, size, divisor), layout.sizes[n])
    for k, size in enumerate(arguments):
        checked.store(checked.size(size), words(layout) + k)
    end = _placed(checked, parts(open_lives(program)), layout, start, limit)
    some = checked.emit(f"icmp ne i64 {end}, 0")
    room = checked.emit(f"select i1 {some}, i64 {checked.op('sadd', end, '63')}, i64 0")
    found = checked.emit(f"select i1 {checked.bad}, i64 -1, i64 {room}")
    body = "".join(f"  {line}\n" for line in [*checked.lines, f"ret i64 {found}"])
    sizes = "".join(f"i64 %n{k}, " for k in range(len(program.sizes)))
    return f"define internal i64 @{name}({sizes}ptr %table) #0 {{\n{body}}}\n"


def words(layout: Layout) -> int:
    """How long the table is that `run` takes: pointers and sizes."""
    return max(1, len(layout.table) + len(layout.sizes))


def _placed(checked: Checked, found: Sequence[Part], layout: Layout, start: int, limit: int | None) -> str:
    """Stores where buffers lie, and gives the bytes up to the end of the arena."""
    end = str(start)
    for part in found:
        unit = checked.up(checked.size(part.unit), part.step)
        for name, place in part.places:
            checked.store(checked.op("sadd", end, checked.op("smul", unit, str(place))), layout.table.index(name))
        end = checked.op("sadd", end, checked.op("smul", unit, str(part.extent)))
    if limit is not None:
        checked.refuse(checked.emit(f"icmp sgt i64 {end}, {min(start + limit, (1 << 63) - 1)}"))
    return end
