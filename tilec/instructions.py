"""Floor 3: machine instructions, each declared by its meaning in Loops.

A meaning is a kernel of one nest. Its parameters are the operands, in order, with the layout that they must have in
memory: `strides [4, 1]` says how far the elements of a window are apart (row-major without it). Sizes with a name are
open: any extent up to the one in `most` will do, so that the last lanes and the last terms of a sum need no code of
their own.

    instr vpdpbusd.u8.i8(C[m, 0 : 16], A[m, 4*k : 4], P[k, 0 : 16, 0 : 4])

is the nest of the meaning with `C[m, i]` for `c[i]`, and so on: `expand` writes it. Evaluators, verifiers and backends
that do not have the instruction take that nest instead, so a kernel with instructions runs everywhere. The schedule
primitive `map_to` goes the other way.

Integer sums wrap, and are the same in any order. The instructions for floats do what `note` says.

The instructions of matrices (AMX) need nothing to be set up here: how tiles are configured and released around them is
the backend's work, and that a process may use them at all is asked of the system when a target is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from tilec.affine import Affine, Coef, Poly, Size, resolve
from tilec.errors import error
from tilec.expr import Expr, Read, read, transform
from tilec.loops import Block, Buffer, For, Instr, Kernel, Store, Window, rewrite, row_major, strides_of, walk
from tilec.text.loops_text import parse_kernel


@dataclass(frozen=True, slots=True)
class Instruction:
    """meaning: what it computes. most: the greatest extents of open sizes. group: how many neighbours of `b` lie
    together. backward: whether the last of these comes first. features: of a CPU that has it, any of these sets. slow:
    features of CPUs that have it but are as fast without. note: where the machine's numbers differ from those of the
    meaning."""

    name: str
    meaning: Kernel
    most: Mapping[str, int]
    group: int
    features: tuple[frozenset[str], ...]
    note: str = ""
    slow: frozenset[str] = frozenset()
    backward: bool = False

    @property
    def operands(self) -> tuple[Buffer, ...]:
        return tuple(p.buffer for p in self.meaning.params)

    def runs_on(self, features: Iterable[str]) -> bool:
        """Whether a target of these features has it."""
        present = frozenset(features)
        return any(needed <= present for needed in self.features)


_DOT = """
kernel {name}(inout c: {c}[N], in a: {a}[J], in b: {b}[N, J] strides [{group}, 1]) {{
  for j in J unroll {{ for i in N vector {{ c[i] sum= mul(cast.{c}(a[j]), cast.{c}(b[i, j])) }} }}
}}
"""

# Products of bytes of one sign, as machines have them that multiply unsigned bytes with signed ones: `a` is moved by
# half of its range, and what that adds to the sum is the same for all `a`.
_MOVED = """
kernel {name}(inout c: i32[N], in a: {a}[J], in b: {b}[N, J] strides [4, 1]) {{
  for j in J unroll {{ for i in N vector {{ c[i] sum= mul(add(cast.i32(a[j]), {by}), cast.i32(b[i, j])) }} }}
}}
"""

_ADDED = """
kernel {name}(inout c: i32[N], in b: {b}[N, J] strides [4, 1]) {{
  for j in J unroll {{ for i in N vector {{ c[i] sum= mul({by}, cast.i32(b[i, j])) }} }}
}}
"""

# The machine adds up such a pair from its second member on: it is the order of the terms where `b` has it turned.
_TURNED = """
kernel {name}(inout c: {c}[N], in a: {a}[J], in b: {b}[N, 2] strides [2, 1]) {{
  for j in J unroll {{ for i in N vector {{ c[i] sum= mul(cast.{c}(a[j]), cast.{c}(b[i, 1 - j])) }} }}
}}
"""

_TILES = """
kernel {name}(inout c: {c}[M, N] strides [P, 1], in a: {a}[M, {group}*K] strides [P, 1],
              in b: {b}[K, N, {group}] strides [P, {group}, 1]) {{
  for k in K {{ for l in {group} {{ for i in M {{ for j in N vector {{
    c[i, j] sum= mul(cast.{c}(a[i, {group}*k + l]), cast.{c}(b[k, j, l]))
  }} }} }} }}
}}
"""

_VNNI = (frozenset({"+avx512vnni", "+avx512vl"}), frozenset({"+avxvnni"}))
_BF16 = (frozenset({"+avx512bf16", "+avx512vl"}),)
_BF16_NOTE = (
    "every operand, product and sum below 2^-126 in size counts as a zero; else the same numbers, in the same order"
)
_AMX_NOTE = (
    "every operand, product and sum below 2^-126 in size counts as a zero; the terms of one instruction, up to 32, are "
    "added up in two sums, of those with even and those with odd numbers, before they are added to c"
)
_AMX_BF16, _AMX_INT8 = ((frozenset({"+amx-tile", f"+amx-{kind}"}),) for kind in ("bf16", "int8"))
# name: element types of c, a and b, terms in a lane, features, note
_MATRICES = {
    "tdpbf16ps": ("f32", "bf16", "bf16", 2, _AMX_BF16, _AMX_NOTE),
    **{
        f"tdpb{signs}d": ("i32", a, b, 4, _AMX_INT8, "")
        for signs, a, b in (("ss", "i8", "i8"), ("su", "i8", "u8"), ("us", "u8", "i8"), ("uu", "u8", "u8"))
    },
}
_DOTS = {
    **{
        f"vpdpbusd.{a}.{b}": ("i32", a, b, 4, _VNNI, "")  # u8 * i8 itself; the others move an operand by 128
        for a in ("u8", "i8")
        for b in ("u8", "i8")
    },
    "vpdpwssd": ("i32", "i16", "i16", 2, _VNNI, ""),
    "vdpbf16ps": ("f32", "bf16", "bf16", 2, _BF16, _BF16_NOTE),
}
_FORMS = {"moved": _MOVED, "added": _ADDED}
PARTS = {f"vpdpbusd.{a}.{a}": ("", "moved", "added") for a in ("i8", "u8")}  # their names behind a colon
_BACKWARD = ("vdpbf16ps",)
_SLOW = {"vdpbf16ps": frozenset({"+amx-bf16"})}  # there it takes two cycles, measured on a Sapphire Rapids
NAMES: tuple[str, ...] = (*_MATRICES, *_DOTS)  # the faster ones first


@cache
def instruction(name: str) -> Instruction | None:
    """The instruction of that name; None where there is none."""
    base, _, part = name.partition(":")
    if base not in NAMES or part not in PARTS.get(base, ("",)):
        return None
    c, a, b, group, features, note = (_DOTS | _MATRICES)[base]
    backward = base in _BACKWARD
    form = _FORMS.get(part) or (_TURNED if backward else _DOT if base in _DOTS else _TILES)
    text = form.format(name=base, c=c, a=a, b=b, group=group, by=128 if a == "i8" else -128)
    most = {"N": 16, "J": group} if base in _DOTS else {"M": 16, "N": 16, "K": 16}
    return Instruction(name, parse_kernel(text), most, group, features, note, _SLOW.get(base, frozenset()), backward)


def known(stmt: Instr) -> Instruction:
    """The instruction of a statement. Raises TILE0602 where there is none, or the number of operands is wrong."""
    found = instruction(stmt.name)
    if found is None:
        raise error("TILE0602", f"there is no machine instruction '{stmt.name}'")
    if len(stmt.operands) != len(found.operands):
        raise error("TILE0602", f"'{stmt.name}' has {len(found.operands)} operands, not {len(stmt.operands)}")
    return found


def stored(stmt: Instr) -> frozenset[str]:
    """Buffers that an instruction writes."""
    params = known(stmt).meaning.params
    return frozenset(w.buffer for w, p in zip(stmt.operands, params) if p.mode != "in")


def lies_well(operand: Buffer, window: Window, buffer: Buffer, sizes: Mapping[str, int]) -> bool:
    """Whether a window's elements are as far apart as those of the operand; a named stride fits any."""
    kept = [s for s, e in zip(strides_of(buffer), window.extents) if e is not None]
    extents = [e for e in window.extents if e is not None]
    wanted = strides_of(operand)
    if operand.strides is None:
        wanted = row_major(tuple(int(resolve(s, sizes)) for s in operand.shape))
    return len(kept) == len(wanted) and all(
        extent == 1 or isinstance(want, Poly) or have == want for have, want, extent in zip(kept, wanted, extents)
    )


def expand(stmt: Instr) -> Block:
    """The nest that an instruction stands for. Raises TILE0602 where the windows do not fit the operands."""
    found = known(stmt)
    sizes = _sizes(found, stmt.operands)
    windows = {o.name: w for o, w in zip(found.operands, stmt.operands)}
    loops = {s.index: Affine.var(loop_name(stmt, s.index)) for s in walk(found.meaning.body) if isinstance(s, For)}

    def place(name: str, indices: tuple[Affine | Expr, ...]) -> tuple[Affine, ...]:
        inner = iter([i.substitute(loops) for i in indices if isinstance(i, Affine)])
        window = windows[name]
        return tuple(s if e is None else s + next(inner) for s, e in zip(window.starts, window.extents))

    def leaf(e: Expr) -> Expr:
        if isinstance(e, Read):
            name = e.access.tensor
            return read(windows[name].buffer, place(name, e.access.indices), e.dtype)
        return e

    def visit(part: object) -> Block:
        match part:
            case For(index, extent):
                return (replace(part, index=loop_name(stmt, index), extent=int(resolve(extent, sizes))),)
            case Store(buffer, indices, value):
                target = windows[buffer].buffer
                return (replace(part, buffer=target, indices=place(buffer, indices), value=transform(value, leaf)),)
            case _:
                raise AssertionError("a meaning is loops around a store")

    return rewrite(found.meaning.body, visit)


def loop_name(stmt: Instr, loop: str) -> str:
    """A loop of the meaning where it is written out: no name that a kernel can have."""
    return f"{stmt.name}:{loop}"


def expanded(body: Block) -> Block:
    """A block with every instruction written out."""
    return rewrite(body, lambda s: expand(s) if isinstance(s, Instr) else (s,))


def _sizes(found: Instruction, windows: tuple[Window, ...]) -> dict[str, int]:
    """Open sizes, by the extents of the windows."""
    sizes: dict[str, int] = {}
    for operand, window in zip(found.operands, windows):
        extents = [e for e in window.extents if e is not None]
        if len(extents) != len(operand.shape):
            raise _unfit(found, operand, f"has {len(operand.shape)} axes, and its window {len(extents)}")
        for size, extent in zip(operand.shape, extents):
            bind(found, sizes, size, extent, operand)
    return sizes


def bind(found: Instruction, sizes: dict[str, int], size: Size | Coef, extent: Size, operand: Buffer) -> None:
    """Takes an extent for a size of the meaning. Raises TILE0602 where it is another one already, or too large."""
    if not isinstance(extent, int):
        raise _unfit(found, operand, f"has an extent {extent} that is not known")
    if not isinstance(size, Poly):
        if size != extent:
            raise _unfit(found, operand, f"has an extent of {extent} for {size}")
        return
    (((name,), factor),) = size.terms  # a multiple of one open size
    count, rest = divmod(extent, int(factor))
    if rest or sizes.setdefault(name, count) != count:
        raise _unfit(found, operand, f"has an extent of {extent} for {resolve(size, sizes)}")
    if not 1 <= count <= found.most[name]:
        raise _unfit(found, operand, f"has an extent of {extent}, '{name}' is at most {found.most[name]}")


def _unfit(found: Instruction, operand: Buffer, why: str) -> Exception:
    return error("TILE0602", f"operand '{operand.name}' of '{found.name}' {why}")


def check_windows(stmt: Instr, buffers: Mapping[str, Buffer]) -> None:
    """Raises TILE0602 where an operand has another type or layout than the instruction takes."""
    found = known(stmt)
    sizes = _sizes(found, stmt.operands)
    for operand, window in zip(found.operands, stmt.operands):
        buffer = buffers[window.buffer]
        if buffer.dtype != operand.dtype:
            raise _unfit(found, operand, f"is {operand.dtype}, and '{buffer.name}' is {buffer.dtype}")
        if not lies_well(operand, window, buffer, sizes):
            raise _unfit(found, operand, f"does not have the layout of '{buffer.name}'")
