"""Arithmetic on SSA values: casts, rounding of 16-bit floats, and the builtins that LLVM spells natively.

Everything else is expanded by the builtin table (`Builtin.expand`) until only these remain. No instruction here becomes
a call of the C library on any supported target; tests check the undefined symbols of the objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import copysign, isnan

from tilec.backends.llvm.blocks import Emitter
from tilec.backends.llvm.target import half_arithmetic, has, is_x86
from tilec.backends.llvm.types import (
    NARROW,
    Value,
    constant,
    float_of,
    is_constant,
    mangled,
    memory_type,
    splat_text,
    ssa_bits,
    ssa_type,
    vector_type,
)
from tilec.dtypes import BF16, BOOL, F16, F32, F64, I32, U16, DType
from tilec.target import Target

_INTEGER = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "shl_raw": "shl",
    "bit_and": "and",
    "bit_or": "or",
    "bit_xor": "xor",
}
_SIGNED = {"div_raw": "sdiv", "rem_raw": "srem", "shr_raw": "ashr"}
_UNSIGNED = {"div_raw": "udiv", "rem_raw": "urem", "shr_raw": "lshr"}
_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "div_raw": "fdiv"}
_HALF_INSTRUCTIONS = {**_FLOAT, "neg": "fneg"}
_HALF_INTRINSICS = {"sqrt": "sqrt", "abs": "fabs"}
HALF = frozenset({*_HALF_INSTRUCTIONS, *_HALF_INTRINSICS})  # what CPUs with arithmetic of float16 do in it
_ROUNDING = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "roundeven"}
_EXTREME = {"max": ("maximum", "smax", "umax", "or"), "min": ("minimum", "smin", "umin", "and")}
_COMPARE = {"cmp_eq": "eq", "cmp_ne": "ne", "cmp_lt": "lt", "cmp_le": "le", "cmp_gt": "gt", "cmp_ge": "ge"}


@dataclass(slots=True)
class Ops:
    """Emits operations into `emitter`, for vectors of `lanes` elements."""

    emitter: Emitter
    target: Target
    lanes: int
    no_nan: bool = False  # maxima and minima meet no NaN

    # shapes --------------------------------------------------------------------------------------------------------

    def splat(self, value: Value) -> Value:
        """The value in every lane."""
        if value.lanes or self.lanes == 0:
            return value
        wide = f"<{self.lanes} x {ssa_type(value.dtype)}>"
        if is_constant(value.ref):
            return Value(splat_text(str(value)), value.dtype, self.lanes)
        one = self.emitter.pure(f"insertelement {wide} poison, {value}, i64 0")
        text = f"shufflevector {wide} {one}, {wide} poison, <{self.lanes} x i32> zeroinitializer"
        return Value(self.emitter.pure(text), value.dtype, self.lanes)

    def alike(self, *values: Value) -> tuple[Value, ...]:
        """The values all scalar or all vectors."""
        lanes = values[0].lanes
        for value in values:
            if value.lanes != lanes:
                return tuple(map(self.splat, values))
        return values

    def pick(self, value: Value, lane: int) -> Value:
        """One lane as a scalar."""
        if not value.lanes:
            return value
        return Value(self.emitter.pure(f"extractelement {value}, i64 {lane}"), value.dtype)

    def insert(self, value: Value, lane: int, scalar: Value) -> Value:
        text = f"insertelement {value}, {scalar}, i64 {lane}"
        return Value(self.emitter.pure(text), value.dtype, value.lanes)

    def shifted(self, first: Value, second: Value, lane: int) -> Value:
        """The lanes from `lane` of the first vector on, continued by those of the second."""
        return self.shuffled(first, second, range(lane, lane + self.lanes))

    def shuffled(self, first: Value, second: Value, lanes: Sequence[int]) -> Value:
        """The given lanes of two vectors, those of the second counted on."""
        if first == second and first.ref == "zeroinitializer" and len(lanes) == first.lanes:
            return first
        places = ", ".join(f"i32 {lane}" for lane in lanes)
        text = f"shufflevector {first}, {second}, <{len(lanes)} x i32> <{places}>"
        return Value(self.emitter.pure(text), first.dtype, len(lanes))

    def like(self, number: int | float, value: Value, dtype: DType | None = None) -> Value:
        """A constant with the lanes of `value`."""
        scalar = constant(number, dtype or value.dtype)
        return self.splat(scalar) if value.lanes else scalar

    # plain instructions --------------------------------------------------------------------------------------------

    def binary(self, instruction: str, a: Value, b: Value, dtype: DType | None = None) -> Value:
        a, b = self.alike(a, b)
        ref = self.emitter.pure(f"{instruction} {a.type} {a.ref}, {b.ref}")
        return Value(ref, dtype or a.dtype, a.lanes)

    def intrinsic(self, stem: str, *args: Value) -> Value:
        args = self.alike(*args)
        name = f"{stem}.{mangled(args[0].type)}"
        text = self.emitter.call(name, args[0].type, *map(str, args))
        return Value(self.emitter.pure(text), args[0].dtype, args[0].lanes)

    def convert(self, instruction: str, value: Value, dtype: DType) -> Value:
        to = vector_type(ssa_type(dtype), value.lanes)
        return Value(self.emitter.pure(f"{instruction} {value} to {to}"), dtype, value.lanes)

    def select(self, condition: Value, then: Value, orelse: Value) -> Value:
        condition, then, orelse = self.alike(condition, then, orelse)
        ref = self.emitter.pure(f"select {condition}, {then}, {orelse}")
        return Value(ref, then.dtype, then.lanes)

    def compare(self, op: str, a: Value, b: Value) -> Value:
        kind = _COMPARE[op]
        if a.dtype.is_float:
            return self.binary(f"fcmp {'une' if kind == 'ne' else 'o' + kind}", a, b, BOOL)
        sign = "" if kind in ("eq", "ne") else "s" if a.dtype.is_signed else "u"
        return self.binary(f"icmp {sign}{kind}", a, b, BOOL)

    def muladd(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, contracted to one instruction where the target has it (float32, float64)."""
        return self.intrinsic("llvm.fmuladd", a, b, c)

    # 16-bit floats -------------------------------------------------------------------------------------------------

    def narrow(self, value: Value, dtype: DType) -> Value:
        """A float32 value rounded, half to even, to float16 or bfloat16, still held as float."""
        value = Value(value.ref, F32, value.lanes)
        rounded = self._round_bfloat(value) if dtype == BF16 else self._round_half(value)
        return Value(rounded.ref, dtype, value.lanes)

    def _round_bfloat(self, value: Value) -> Value:
        bits = self.convert("bitcast", value, I32)
        odd = self.binary("and", self.binary("lshr", bits, self.like(16, bits)), self.like(1, bits))
        up = self.binary("add", self.binary("add", bits, self.like(0x7FFF, bits)), odd)
        quiet = self.binary("or", bits, self.like(0x400000, bits))
        number = self.binary("fcmp ord", value, value, BOOL)
        kept = self.binary("and", self.select(number, up, quiet), self.like(-0x10000, bits))
        return self.convert("bitcast", kept, F32)

    def _round_half(self, value: Value) -> Value:
        if self._has_half():
            half = self.emitter.pure(f"fptrunc {value} to {vector_type('half', value.lanes)}")
            text = f"fpext {vector_type('half', value.lanes)} {half} to {value.type}"
            return Value(self.emitter.pure(text), F32, value.lanes)
        size = self.intrinsic("llvm.fabs", value)
        bits = self.convert("bitcast", size, I32)
        odd = self.binary("and", self.binary("lshr", bits, self.like(13, bits)), self.like(1, bits))
        up = self.binary("add", self.binary("add", bits, self.like(0xFFF, bits)), odd)
        normal = self.convert("bitcast", self.binary("and", up, self.like(-0x2000, bits)), F32)
        # adding and taking away 0.5 rounds to multiples of 2^-24, the spacing of subnormal halves
        shifted = self.binary("fadd", size, self.like(0.5, size))
        subnormal = self.binary("fsub", shifted, self.like(0.5, size))
        result = self.select(self.compare("cmp_lt", size, self.like(2.0**-14, size)), subnormal, normal)
        result = self.select(
            self.compare("cmp_ge", size, self.like(65520.0, size)), self.like(float("inf"), size), result
        )
        result = self.select(self.binary("fcmp uno", size, size, BOOL), value, result)
        return self.intrinsic("llvm.copysign", result, value)

    def _has_half(self) -> bool:
        return not is_x86(self.target) or has(self.target, "f16c") or has(self.target, "avx512f")

    def _in_half(self, op: str, *args: Value) -> Value:
        """One instruction on halves. That of float32, rounded, gives the same bits: 24 digits are not fewer than 2 * 11
        + 2 (S. Figueroa, When is double rounding innocuous?, 1995). The conversions around it meet others, and go.
        """
        half = vector_type("half", args[0].lanes)
        parts = [self.emitter.pure(f"fptrunc {a} to {half}") for a in args]
        if instruction := _HALF_INSTRUCTIONS.get(op):
            text = f"{instruction} {half} {', '.join(parts)}"
        else:
            name = f"llvm.{_HALF_INTRINSICS[op]}.{mangled(half)}"
            text = self.emitter.call(name, half, *(f"{half} {p}" for p in parts))
        wide = self.emitter.pure(f"fpext {half} {self.emitter.pure(text)} to {args[0].type}")
        return Value(wide, F16, args[0].lanes)

    def to_memory(self, value: Value) -> str:
        """The value as its type in memory: a typed operand."""
        dtype, memory = value.dtype, vector_type(memory_type(value.dtype), value.lanes)
        if dtype == BOOL:
            return f"{memory} {self.emitter.pure(f'zext {value} to {memory}')}"
        if dtype == BF16:
            bits = self.convert("bitcast", Value(value.ref, F32, value.lanes), I32)
            high = self.binary("lshr", bits, self.like(16, bits))
            return f"{memory} {self.emitter.pure(f'trunc {high} to {memory}')}"
        if dtype == F16:
            return f"{memory} {self._half_bits(value)}"
        return str(value)

    def _half_bits(self, value: Value) -> str:
        """Bits of a float that a half can represent."""
        memory = vector_type("i16", value.lanes)
        if self._has_half():
            wide = vector_type("half", value.lanes)
            half = self.emitter.pure(f"fptrunc {value} to {wide}")
            return self.emitter.pure(f"bitcast {wide} {half} to {memory}")
        plain = Value(value.ref, F32, value.lanes)
        bits = self.convert("bitcast", plain, I32)
        sign = self.binary("and", self.binary("lshr", bits, self.like(16, bits)), self.like(0x8000, bits))
        size = self.intrinsic("llvm.fabs", plain)
        body = self.convert("bitcast", size, I32)
        rebased = self.binary("sub", self.binary("lshr", body, self.like(13, bits)), self.like(112 << 10, bits))
        small = self.compare("cmp_lt", size, self.like(2.0**-14, size))
        steps = self.binary("fmul", self.select(small, size, self.like(0.0, size)), self.like(2.0**24, size))
        result = self.select(small, self.convert("fptosi", steps, I32), rebased)
        huge = self.compare("cmp_ge", body, self.like(0x7F800000, bits))
        nan = self.binary("fcmp uno", plain, plain, BOOL)
        special = self.select(nan, self.like(0x7E00, bits), self.like(0x7C00, bits))
        result = self.binary("or", self.select(huge, special, result), sign)
        return self.emitter.pure(f"trunc {result} to {memory}")

    def from_memory(self, ref: str, dtype: DType, lanes: int) -> Value:
        """A value loaded as its type in memory, as an SSA value."""
        memory = vector_type(memory_type(dtype), lanes)
        if dtype == BOOL:
            zero = "zeroinitializer" if lanes else "0"
            return Value(self.emitter.pure(f"icmp ne {memory} {ref}, {zero}"), BOOL, lanes)
        if dtype == BF16:
            bits = Value(self.emitter.pure(f"zext {memory} {ref} to {vector_type('i32', lanes)}"), I32, lanes)
            wide = self.convert("bitcast", self.binary("shl", bits, self.like(16, bits)), F32)
            return Value(wide.ref, BF16, lanes)
        if dtype == F16:
            return Value(self._half_value(ref, lanes).ref, F16, lanes)
        return Value(ref, dtype, lanes)

    def _half_value(self, ref: str, lanes: int) -> Value:
        memory, wide = vector_type("i16", lanes), vector_type("float", lanes)
        if self._has_half():
            half = self.emitter.pure(f"bitcast {memory} {ref} to {vector_type('half', lanes)}")
            return Value(self.emitter.pure(f"fpext {vector_type('half', lanes)} {half} to {wide}"), F32, lanes)
        bits = Value(self.emitter.pure(f"zext {memory} {ref} to {vector_type('i32', lanes)}"), I32, lanes)
        sign = self.binary("shl", self.binary("and", bits, self.like(0x8000, bits)), self.like(16, bits))
        body = self.binary("shl", self.binary("and", bits, self.like(0x7FFF, bits)), self.like(13, bits))
        # scaling by 2^112 moves the exponent's bias and makes subnormal halves normal
        scaled = self.binary("fmul", self.convert("bitcast", body, F32), self.like(2.0**112, bits, F32))
        special = self.compare("cmp_ge", body, self.like(0x7C00 << 13, bits))
        patterned = self.binary("or", body, self.like(0x7F800000, bits))
        size = self.select(special, patterned, self.convert("bitcast", scaled, I32))
        return self.convert("bitcast", self.binary("or", size, sign), F32)

    # conversions ---------------------------------------------------------------------------------------------------

    def cast(self, value: Value, dtype: DType) -> Value:
        """Conversion as `tilec.builtins` defines it."""
        source = value.dtype
        if source == dtype:
            return value
        if dtype == BOOL:
            return self.compare("cmp_ne", value, self.like(0, value))
        if source.is_float:
            return self._from_float(value, dtype)
        if dtype.is_float:
            return self._integer_to_float(value, dtype)
        bits = 1 if source == BOOL else source.bits
        if bits == dtype.bits:
            return Value(value.ref, dtype, value.lanes)
        if bits > dtype.bits:
            return self.convert("trunc", value, dtype)
        return self.convert("sext" if source.is_signed else "zext", value, dtype)

    def _integer_to_float(self, value: Value, dtype: DType) -> Value:
        instruction = "sitofp" if value.dtype.is_signed else "uitofp"
        if dtype in NARROW:
            return self.narrow(self.convert(instruction, value, F32), dtype)
        return self.convert(instruction, value, dtype)

    def _from_float(self, value: Value, dtype: DType) -> Value:
        if dtype.is_integer:
            stem = "llvm.fptosi.sat" if dtype.is_signed else "llvm.fptoui.sat"
            to = vector_type(ssa_type(dtype), value.lanes)
            text = self.emitter.call(f"{stem}.{mangled(to)}.{mangled(value.type)}", to, str(value))
            return Value(self.emitter.pure(text), dtype, value.lanes)
        if dtype == F64:
            return self.convert("fpext", value, F64)
        single = self.convert("fptrunc", value, F32) if value.dtype == F64 else Value(value.ref, F32, value.lanes)
        if dtype == F32:
            return single
        return self.narrow(single, dtype)

    def bitcast(self, value: Value, dtype: DType) -> Value:
        """The same bits as another type of the same width."""
        if value.dtype == dtype:
            return value
        if value.dtype in NARROW:
            operand = self.to_memory(value)
            value = Value(operand.rsplit(" ", 1)[1], U16, value.lanes)
        if dtype in NARROW:
            return self.from_memory(value.ref, dtype, value.lanes)
        if ssa_type(dtype) == ssa_type(value.dtype):
            return Value(value.ref, dtype, value.lanes)
        return self.convert("bitcast", value, dtype)

    # builtins ------------------------------------------------------------------------------------------------------

    def builtin(self, op: str, args: tuple[Value, ...], dtype: DType) -> Value | None:
        """The value of a builtin that has a native spelling for these types, else None."""
        if op == "cast":
            return self.cast(args[0], dtype)
        if op == "bitcast":
            return self.bitcast(args[0], dtype)
        if op in _COMPARE:
            return self.compare(op, *args)
        if op in ("cond", "select"):
            return self.select(self.cast(args[0], BOOL), args[1], args[2])
        if dtype.is_float:
            return self._float_builtin(op, args, dtype)
        return self._integer_builtin(op, args, dtype)

    def _integer_builtin(self, op: str, args: tuple[Value, ...], dtype: DType) -> Value | None:
        signs = _SIGNED if dtype.is_signed else _UNSIGNED
        if instruction := _INTEGER.get(op) or signs.get(op):
            return self.binary(instruction, args[0], args[1])
        if op in _EXTREME:
            _, signed, unsigned, logical = _EXTREME[op]
            if dtype == BOOL:
                return self.binary(logical, args[0], args[1])
            return self.intrinsic(f"llvm.{signed if dtype.is_signed else unsigned}", *args)
        return None

    def _float_builtin(self, op: str, args: tuple[Value, ...], dtype: DType) -> Value | None:
        if dtype == F16 and op in HALF and half_arithmetic(self.target):
            return self._in_half(op, *self.alike(*args))
        if instruction := _FLOAT.get(op):
            return self._rounded(lambda a, b: self.binary(instruction, a, b), args, dtype)
        if op in _EXTREME:
            return self._extreme_of_constant(op, *args) or self._extreme(op, *self.alike(*args))
        if op in _ROUNDING:
            return self._rounding(op, args[0])
        match op:
            case "neg":
                return Value(self.emitter.pure(f"fneg {args[0]}"), dtype, args[0].lanes)
            case "abs":
                return self.intrinsic("llvm.fabs", *args)
            case "copysign":
                return self.intrinsic("llvm.copysign", *args)
            case "sqrt":
                return self._rounded(lambda a: self.intrinsic("llvm.sqrt", a), args, dtype)
            case "scale2":
                return self._scale(*self.alike(*args))
            case "rem_raw":
                return self.cast(self._each(self._remainder, *(self.cast(a, F64) for a in args)), dtype)
        return None

    def _extreme_of_constant(self, op: str, a: Value, b: Value) -> Value | None:
        """Beside a number, as in relu and clip, only the other operand may be NaN: that one is what x86's own
        instruction gives then. It gives that one also where both are zero; adding 0 makes 0 of a maximum of -0."""
        number, x = (a, b) if is_constant(a.ref) else (b, a)
        value = float_of(number.ref)
        if value is None or isnan(value) or x.dtype not in (F32, F64) or not is_x86(self.target):
            return None
        if op == "min" and value == 0 and copysign(1.0, value) < 0:
            return None
        found = self.select(self.compare("cmp_gt" if op == "max" else "cmp_lt", number, x), number, x)
        return self.binary("fadd", found, number) if op == "max" and value == 0 else found

    def _extreme(self, op: str, a: Value, b: Value) -> Value:
        """Maximum or minimum with NaN and signed zeros as the table says.

        On full AVX-512 registers in three instructions, where LLVM's own expansion takes six: the range instruction
        orders zeros but drops a NaN, which the masked sum brings back.
        """
        if not has(self.target, "avx512dq") or a.lanes * ssa_bits(a.dtype) != 512:
            return self.intrinsic(f"llvm.{_EXTREME[op][0]}", a, b)
        stem = "llvm.x86.avx512.mask.range." + ("pd.512" if a.dtype == F64 else "ps.512")
        arguments = (str(a), str(b), "i32 5" if op == "max" else "i32 4", str(a), f"i{a.lanes} -1", "i32 4")
        ordered = Value(self.emitter.pure(self.emitter.call(stem, a.type, *arguments)), a.dtype, a.lanes)
        if self.no_nan:
            return ordered
        return self.select(self.binary("fcmp uno", a, b, BOOL), self.binary("fadd", a, b), ordered)

    def _scale(self, x: Value, shifted: Value) -> Value | None:
        """x * 2^n by one instruction, in vectors on AVX-512; n is an integer with a magic number added."""
        bits = x.lanes * ssa_bits(x.dtype)
        if not has(self.target, "avx512vl") or bits not in (128, 256, 512):
            return None
        exponent = self.binary("fsub", shifted, self.like(1.5 * 2.0 ** (52 if x.dtype == F64 else 23), x))
        stem = f"llvm.x86.avx512.mask.scalef.{'pd' if x.dtype == F64 else 'ps'}.{bits}"
        mode = ("i32 4",) if bits == 512 else ()  # the rounding that is set
        arguments = (str(x), str(exponent), f"{x.type} zeroinitializer", f"i{max(8, x.lanes)} -1", *mode)
        return Value(self.emitter.pure(self.emitter.call(stem, x.type, *arguments)), x.dtype, x.lanes)

    def _rounded(self, operation: Callable[..., Value], args: tuple[Value, ...], dtype: DType) -> Value:
        """An operation of float32 or float64; 16-bit floats compute in float32 and round."""
        result = operation(*args)
        return self.narrow(result, dtype) if dtype in NARROW else result

    def _each(self, function: Callable[..., Value], *args: Value) -> Value:
        """A scalar function applied lane by lane."""
        if not any(a.lanes for a in args):
            return function(*args)
        args = self.alike(*args)
        first = function(*(self.pick(a, 0) for a in args))
        result = self.insert(Value("poison", first.dtype, self.lanes), 0, first)
        for lane in range(1, self.lanes):
            result = self.insert(result, lane, function(*(self.pick(a, lane) for a in args)))
        return result

    def _remainder(self, x: Value, y: Value) -> Value:
        return Value(self.emitter.pure(self.emitter.call("tilec.fmod", "double", str(x), str(y))), F64)

    def _rounding(self, op: str, x: Value) -> Value:
        if not is_x86(self.target) or has(self.target, "sse4.1") or has(self.target, "avx"):
            return self.intrinsic(f"llvm.{_ROUNDING[op]}", x)
        if x.dtype in NARROW:
            return Value(self._rounding(op, Value(x.ref, F32, x.lanes)).ref, x.dtype, x.lanes)
        if op == "trunc":
            return self.intrinsic("llvm.copysign", self._rounding("floor", self.intrinsic("llvm.fabs", x)), x)
        magic = self.like(2.0 ** (52 if x.dtype == F64 else 23), x)  # from here on every number is whole
        shift = self.intrinsic("llvm.copysign", magic, x)
        nearest = self.binary("fsub", self.binary("fadd", x, shift), shift)
        if op != "round":
            beyond, step = ("cmp_gt", "fsub") if op == "floor" else ("cmp_lt", "fadd")
            moved = self.binary(step, nearest, self.like(1.0, x))
            nearest = self.select(self.compare(beyond, nearest, x), moved, nearest)
        nearest = self.intrinsic("llvm.copysign", nearest, x)  # a zero keeps the sign
        whole = self.compare("cmp_lt", self.intrinsic("llvm.fabs", x), magic)
        return self.select(whole, nearest, x)
