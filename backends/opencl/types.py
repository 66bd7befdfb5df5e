"""How element types and constants are spelled in OpenCL C 1.2.

A value of dtype f16 or bf16 is carried as a `float` that the type can hold, and stored as `ushort`: so no device needs
cl_khr_fp16. A bool is carried as `bool` and stored as `uchar`. Helper functions named here are in `prelude`.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from tilec.dtypes import BF16, BOOL, F16, F64, DType

_CARRIED = {
    "bool": "bool",
    **{"i8": "char", "i16": "short", "i32": "int", "i64": "long"},
    **{"u8": "uchar", "u16": "ushort", "u32": "uint", "u64": "ulong"},
    **{"f16": "float", "bf16": "float", "f32": "float", "f64": "double"},
}
_INTEGERS = {8: "char", 16: "short", 32: "int", 64: "long"}
_STORED = {"bool": "uchar", "f16": "ushort", "bf16": "ushort"}


def carried(dtype: DType) -> str:
    """C type of a value in an expression."""
    return _CARRIED[dtype.name]


def vector(dtype: DType, count: int) -> str:
    """C type of the values of several lanes; not of bools, which are `integers`."""
    return f"{_CARRIED[dtype.name]}{count}"


def integers(bits: int, count: int) -> str:
    """C type of signed integers of several lanes: what comparisons give."""
    return f"{_INTEGERS[bits]}{count}"


def width(dtype: DType) -> int:
    """Bits of a value as it is carried."""
    return 32 if is_narrow(dtype) else dtype.bits


def sign_bit(dtype: DType) -> str:
    return f"0x{1 << (dtype.bits - 1):x}{'L' if dtype.bits == 64 else ''}"


def stored(dtype: DType) -> str:
    """C type of an element in memory."""
    return _STORED.get(dtype.name, _CARRIED[dtype.name])


def is_narrow(dtype: DType) -> bool:
    """f16 and bf16, whose values are rounded after every operation."""
    return dtype in (F16, BF16)


def load(dtype: DType, element: str) -> str:
    """A stored element as a carried value."""
    if is_narrow(dtype):
        return f"tilec_{dtype}_from_bits({element})"
    return f"({element} != 0)" if dtype == BOOL else element


def store(dtype: DType, value: str) -> str:
    """A carried value as it is stored."""
    return f"tilec_{dtype}_to_bits({value})" if is_narrow(dtype) else value


def rounded(dtype: DType, value: str) -> str:
    """The result of a float operation, rounded to the type that it is carried for."""
    return f"tilec_{dtype}_from_bits(tilec_{dtype}_to_bits({value}))" if is_narrow(dtype) else value


def constant(value: float, dtype: DType) -> str:
    """A literal with the value, rounded to the type, and the type; it can stand behind any operator."""
    if dtype == BOOL:
        return "true" if value else "false"
    if dtype.is_float:
        with np.errstate(over="ignore"):
            number = float(dtype.numpy.type(value))
        return _double(number) if dtype == F64 else _float(number)
    if dtype.bits == 64:
        return f"(({carried(dtype)})0x{int(value) % 2**64:x}UL)"
    return f"(({carried(dtype)})0x{int(value) % 2**32:x}u)"


def _float(value: float) -> str:
    pattern = struct.unpack("<I", struct.pack("<f", value))[0]
    return f"({value.hex()}f)" if math.isfinite(value) else f"as_float(0x{pattern:x}u)"


def _double(value: float) -> str:
    pattern = struct.unpack("<Q", struct.pack("<d", value))[0]
    return f"({value.hex()})" if math.isfinite(value) else f"as_double(0x{pattern:x}UL)"


def cast(value: str, source: DType, target: DType) -> str:
    """Conversion: integers wrap, floats to integers truncate and saturate, NaN gives 0; f64 to 16 bits through f32."""
    if source == target:
        return value
    if target == BOOL:
        return f"({value} != 0)"
    if target.is_float:
        wide = f"(({'double' if target == F64 else 'float'}){value})"
        return rounded(target, wide) if is_narrow(target) else wide
    if source.is_float:
        return f"(isnan({value}) ? 0 : convert_{carried(target)}_sat_rtz({value}))"
    return f"(({carried(target)}){value})"


def bitcast(value: str, source: DType, target: DType) -> str:
    """The same bits as another type of the same width."""
    if source == target:
        return value
    if is_narrow(source):
        return bitcast(f"tilec_{source}_to_bits({value})", _BITS16, target)
    if is_narrow(target):
        return f"tilec_{target}_from_bits((ushort){value})"
    return f"as_{carried(target)}({value})" if BOOL not in (source, target) else cast(value, source, target)


_BITS16 = DType("u16", "uint16", "uint", 16)


def wrapping(dtype: DType) -> str:
    """The unsigned type in which integer arithmetic is done: signed overflow is undefined in C."""
    return "ulong" if dtype.bits == 64 else "uint"


def prelude(fp64: bool) -> str:
    """Pragmas and the conversions of 16-bit floats, both rounding half to even."""
    lines = ["#pragma OPENCL EXTENSION cl_khr_fp64 : enable"] if fp64 else []
    return "\n".join([*lines, _PRELUDE])


_PRELUDE = """#pragma OPENCL FP_CONTRACT OFF
#ifdef __has_builtin
#if __has_builtin(__builtin_convertvector)
#define TILEC_CONVERTS
#endif
#if __has_builtin(__builtin_nontemporal_store)
#define TILEC_STREAM(cells, value) __builtin_nontemporal_store((value), &(cells))
#endif
#endif
#ifndef TILEC_STREAM
#define TILEC_STREAM(cells, value) (cells) = (value)
#endif

float tilec_f16_from_bits(ushort bits) { return vload_half(0, (const half *)&bits); }
ushort tilec_f16_to_bits(float x) {
  const uint wide = as_uint(x);
  ushort bits;
  vstore_half_rte(x, 0, (half *)&bits);
  return isnan(x) ? (ushort)(((wide >> 16) & 0x8000u) | 0x7e00u | ((wide >> 13) & 0x1ffu)) : bits;
}
float tilec_bf16_from_bits(ushort bits) { return as_float((uint)bits << 16); }
ushort tilec_bf16_to_bits(float x) {
  const uint bits = as_uint(x);
  return isnan(x) ? (ushort)((bits >> 16) | 0x40u) : (ushort)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
"""
