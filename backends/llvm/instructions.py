"""Machine instructions of `tilec.instructions` as LLVM intrinsics.

`emit` leaves an instruction to its meaning where the target does not have it, or an operand is not where the
instruction can take it from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tilec.affine import Affine
from tilec.backends.llvm import memory, tiles
from tilec.backends.llvm.address import Lanes, number
from tilec.backends.llvm.frame import Frame
from tilec.backends.llvm.types import Value
from tilec.dtypes import F32, I32
from tilec.instructions import expand, known, loop_name
from tilec.loops import Instr, Store, Window, walk

_BYTES = 0x80808080  # the sign bits of four bytes


def emit(frame: Frame, stmt: Instr) -> bool:
    """Emits an instruction; False, and nothing emitted, where the target does not have it."""
    if not known(stmt).runs_on(frame.target.features):
        return False
    if tiles.is_matrix(stmt):
        return tiles.emit(frame, stmt)
    dot = _Dot.of(frame, stmt)
    if dot is None:
        return False
    dot.emit(_DOTS[stmt.name])
    return True


@dataclass(slots=True)
class _Dot:
    """c[lane] += sum over j of a[j] * b[lane, j]: `terms` products of elements that fill 32 bits of a lane."""

    frame: Frame
    stmt: Instr
    store: Store
    lanes: int  # that are used
    terms: int
    full: int  # terms that 32 bits hold

    @staticmethod
    def of(frame: Frame, stmt: Instr) -> _Dot | None:
        """None where the operands are not where they must be."""
        c, *a, b = stmt.operands
        nest = expand(stmt)
        store = next(s for s in walk(nest) if isinstance(s, Store))
        (lanes,), (*_, terms) = ([number(e) for e in w.extents if e is not None] for w in (c, a[0] if a else b))
        if frame.in_vector or not lanes <= frame.lanes or frame.lanes not in (4, 8, 16) or frame.mask is not None:
            return None
        if not all(w.buffer in frame.storage and w.buffer not in frame.registers for w in (*a, b)):
            return None
        if c.buffer in frame.registers and frame.registers[c.buffer].lane_axis is None:
            return None
        full = 32 // known(stmt).operands[1].dtype.bits
        if terms < full and frame.storage[b.buffer].buffer.shape[-1] != full:
            return None  # what lies behind the terms might not belong to the buffer
        return _Dot(frame, stmt, store, lanes, terms, full)

    def emit(self, formula: Formula) -> None:
        frame = self.frame
        on = None if self.lanes == frame.lanes else tuple(lane < self.lanes for lane in range(frame.lanes))
        frame.in_vector = True
        with frame.masked(on), frame.index(loop_name(self.stmt, "i"), Lanes(0)):
            old = memory.load(frame, self.store.buffer, self._indices(), {})
            new = formula(self, frame.ops.splat(old))
            memory.store(frame, self.store.buffer, self._indices(), {}, new)
        frame.in_vector = False

    def _indices(self) -> tuple[Affine, ...]:
        return tuple(i for i in self.store.indices if isinstance(i, Affine))

    # operands ------------------------------------------------------------------------------------------------------

    @property
    def wide(self) -> str:
        return f"<{self.frame.lanes} x i32>"

    def a(self) -> str:
        """The terms of a in every lane; those that there are none of are zero."""
        return self.frame.ops.splat(Value(self.word(), I32)).ref

    def word(self) -> str:
        """The terms of a as the bits of an i32."""
        frame, emitter, window = self.frame, self.frame.emitter, self.stmt.operands[1]
        place = memory.address(frame, window.buffer, window.starts)
        element = 32 // self.full
        if self.terms == self.full:
            return self._load("i32", place, window, element // 8)
        word = ""
        for j in range(self.terms):
            at = emitter.pure(f"getelementptr i{element}, ptr {place}, i64 {j}") if j else place
            part = emitter.pure(f"zext i{element} {self._load(f'i{element}', at, window, element // 8)} to i32")
            part = emitter.pure(f"shl i32 {part}, {element * j}") if j else part
            word = emitter.pure(f"or i32 {word}, {part}") if word else part
        return word

    def b(self) -> str:
        """A lane's terms of b in each lane."""
        window = self.stmt.operands[-1]
        place = memory.address(self.frame, window.buffer, window.starts)
        return self._load(self.wide, place, window, 4 // self.full)

    def _load(self, type_: str, place: str, window: Window, align: int) -> str:
        """A load of memory as it is; under the mask where it is of lanes."""
        emitter, storage = self.frame.emitter, self.frame.storage[window.buffer]
        masked = type_ == self.wide and self.frame.mask is not None
        mask = f"<{self.frame.lanes} x i1> {self.frame.mask_ref()}" if masked else ""
        key = (storage.root, place, f"raw {type_} {mask}")
        ref = emitter.loaded(key)
        if ref is None:
            if masked:
                name = f"llvm.masked.load.v{self.frame.lanes}i32.p0"
                ref = emitter.emit(
                    emitter.call(name, type_, f"ptr {place}", f"i32 {align}", mask, f"{type_} zeroinitializer")
                )
            else:
                ref = emitter.emit(f"load {type_}, ptr {place}, align {align}")
            emitter.remember_load(key, ref)
        return ref

    # arithmetic ----------------------------------------------------------------------------------------------------

    def pure(self, instruction: str, a: str, b: str) -> str:
        return self.frame.emitter.pure(f"{instruction} {self.wide} {a}, {b}")

    def splat(self, word: int) -> str:
        return f"splat (i32 {word - (word >> 31 << 32)})"

    def used(self, word: int) -> int:
        """The bits of a constant that belong to terms that there are."""
        return word & ((1 << (32 // self.full * self.terms)) - 1)

    def vnni(self, name: str, c: str, first: str, second: str) -> str:
        """c + the products in a lane: of unsigned bytes with signed ones, or of signed words."""
        emitter, lanes = self.frame.emitter, self.frame.lanes
        bits = lanes * 32
        parts = f"<{lanes * 4} x i8>" if name == "vpdpbusd" else f"<{lanes * 2} x i16>"
        x, y = (emitter.pure(f"bitcast {self.wide} {v} to {parts}") for v in (first, second))
        text = emitter.call(
            f"llvm.x86.avx512.{name}.{bits}", self.wide, f"{self.wide} {c}", f"{parts} {x}", f"{parts} {y}"
        )
        return emitter.pure(text)


Formula = Callable[[_Dot, Value], Value]


def _unsigned_signed(dot: _Dot, c: Value) -> Value:
    return Value(dot.vnni("vpdpbusd", c.ref, dot.a(), dot.b()), I32, c.lanes)


def _signed_unsigned(dot: _Dot, c: Value) -> Value:
    return Value(dot.vnni("vpdpbusd", c.ref, dot.b(), dot.a()), I32, c.lanes)


def _signed(dot: _Dot, c: Value) -> Value:
    """a * b = (a + 128) * b - 128 * b, modulo 2^32, where a + 128 is unsigned."""
    return _less(dot, _signed_moved(dot, c), _signed_added)


def _signed_moved(dot: _Dot, c: Value) -> Value:
    moved = dot.pure("xor", dot.a(), dot.splat(dot.used(_BYTES)))
    return Value(dot.vnni("vpdpbusd", c.ref, moved, dot.b()), I32, c.lanes)


def _signed_added(dot: _Dot, c: Value) -> Value:
    return Value(dot.vnni("vpdpbusd", c.ref, dot.splat(dot.used(_BYTES)), dot.b()), I32, c.lanes)


def _unsigned(dot: _Dot, c: Value) -> Value:
    """a * b = b * (a - 128) + b * 128, modulo 2^32; a - 128 is signed."""
    return _less(dot, _unsigned_moved(dot, c), _unsigned_added)


def _unsigned_moved(dot: _Dot, c: Value) -> Value:
    moved = dot.pure("xor", dot.a(), dot.splat(dot.used(_BYTES)))
    return Value(dot.vnni("vpdpbusd", c.ref, dot.b(), moved), I32, c.lanes)


def _unsigned_added(dot: _Dot, c: Value) -> Value:
    return Value(dot.vnni("vpdpbusd", c.ref, dot.b(), dot.splat(dot.used(_BYTES))), I32, c.lanes)


def _less(dot: _Dot, moved: Value, added: Formula) -> Value:
    """What is left without what moving `a` has added."""
    less = added(dot, Value("zeroinitializer", I32, moved.lanes))
    return Value(dot.pure("sub", moved.ref, less.ref), I32, moved.lanes)


def _words(dot: _Dot, c: Value) -> Value:
    return Value(dot.vnni("vpdpwssd", c.ref, dot.a(), dot.b()), I32, c.lanes)


def _bfloat(dot: _Dot, c: Value) -> Value:
    """The machine adds the second product first, and b is packed for that; the terms of a change places before they are
    spread over the lanes, where that is no work for vector registers.

    A term that there is none of is -0 * 0, which changes no sum.
    """
    emitter, lanes = dot.frame.emitter, c.lanes
    word, b = dot.word(), dot.b()
    if dot.terms == 1:
        word, b = emitter.pure(f"or i32 {word}, -2147483648"), dot.pure("and", b, dot.splat(0xFFFF0000))
    turned = emitter.pure(emitter.call("llvm.fshl.i32", "i32", f"i32 {word}", f"i32 {word}", "i32 16"))
    a = dot.frame.ops.splat(Value(turned, I32)).ref
    pairs = f"<{lanes * 2} x bfloat>"
    parts = [f"{pairs} {emitter.pure(f'bitcast {dot.wide} {x} to {pairs}')}" for x in (a, b)]
    text = emitter.call(f"llvm.x86.avx512bf16.dpbf16ps.{lanes * 32}", c.type, str(c), *parts)
    return Value(emitter.pure(text), F32, lanes)


_DOTS: Mapping[str, Formula] = {
    "vpdpbusd.u8.i8": _unsigned_signed,
    "vpdpbusd.i8.u8": _signed_unsigned,
    "vpdpbusd.i8.i8": _signed,
    "vpdpbusd.i8.i8:moved": _signed_moved,
    "vpdpbusd.i8.i8:added": _signed_added,
    "vpdpbusd.u8.u8": _unsigned,
    "vpdpbusd.u8.u8:moved": _unsigned_moved,
    "vpdpbusd.u8.u8:added": _unsigned_added,
    "vpdpwssd": _words,
    "vdpbf16ps": _bfloat,
}

