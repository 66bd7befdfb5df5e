"""What a device's compiler is shown to do, by running it: never taken from what the device says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from tilec.backends.opencl import devices, types
from tilec.backends.opencl.expressions import Functions
from tilec.backends.opencl.lanes import WIDTHS
from tilec.backends.opencl.sessions import Session
from tilec.dtypes import F32, F64, DType
from tilec.errors import TileError

_BITS = {F32: (15, 11), F64: (30, 21)}  # of the fraction of a factor, and how many of them are not 0
_COUNT = 4096


def definitions(session: Session, text: str) -> str:
    """Lines to stand before a program's text; the device is tried at the first text that asks."""
    return "#define TILEC_FUSES\n" if "TILEC_FUSES" in text and fuses(session.device) else ""


@cache
def fuses(device: Any) -> bool:
    """Whether a * b + c is rounded once for all types and lanes, so that the functions of `Functions.fused` may rely on
    it."""
    try:
        with devices.translated("try the device"):
            session = Session.of(device)
            dtypes = (F32, F64) if session.has_fp64() else (F32,)
            program = session.build(_text(dtypes))
            return all(_is_exact(session, program, dtype) for dtype in dtypes)
    except TileError:
        return False


def _text(dtypes: Sequence[DType]) -> str:
    functions = Functions()
    kernels = [_kernel(functions, dtype) for dtype in dtypes]
    return "\n".join(("#define TILEC_FUSES", types.prelude(functions.fp64), functions.text(), *kernels))


def _kernel(functions: Functions, dtype: DType) -> str:
    """An item computes as many results as the widest vector has, once for each width."""
    element, most = types.carried(dtype), max(WIDTHS)
    parameters = ", ".join(f"__global {element} *{x}" for x in "abcr")
    lines = [f"__kernel void try_{element}({parameters}) {{", f"  const long i = get_global_id(0) * {most};"]
    for part, count in enumerate(WIDTHS):
        kind = functions.pointee(element, count, dtype.bytes) if count > 1 else element
        a, b, c = (f"*(__global {kind} *)({x} + i + k)" for x in "abc")
        target = f"*(__global {kind} *)(r + {part * _COUNT} + i + k)"
        lines.append(f"  for (int k = 0; k < {most}; k += {count})")
        lines.append(f"    {target} = {functions.fused('fma', dtype, count)}({a}, {b}, {c});")
    return "\n".join((*lines, "}", ""))


def _is_exact(session: Session, program: Any, dtype: DType) -> bool:
    cl = devices.pyopencl()
    given, once = _examples(dtype)
    expected = np.tile(once, len(WIDTHS))
    result = np.zeros_like(expected)
    buffers = [session.take(x.nbytes).memory for x in (*given, result)]
    for buffer, x in zip(buffers, given, strict=False):
        cl.enqueue_copy(session.queue, buffer, x)
    kernel = cl.Kernel(program, f"try_{types.carried(dtype)}")
    kernel(session.queue, (_COUNT // max(WIDTHS),), (1,), *buffers)
    cl.enqueue_copy(session.queue, result, buffers[-1])
    session.queue.finish()
    return bool(result.tobytes() == expected.tobytes())


def _examples(dtype: DType) -> tuple[list[Any], Any]:
    """Factors 1 + i/2^n and 1 + j/2^n, and a summand that leaves i j/2^2n of their product: all of that is lost, or a
    part, where the product is rounded by itself. Signs and powers of two vary."""
    fraction, bits = _BITS[dtype]
    random = np.random.default_rng(0)
    i, j = random.integers(1, 1 << bits, (2, _COUNT))
    sign = random.choice([-1.0, 1.0], _COUNT) * np.exp2(random.integers(-20, 20, _COUNT))
    unit = 2.0**-fraction
    a, b, c = sign * (1 + i * unit), 1 + j * unit, -sign * (1 + (i + j) * unit)
    expected = sign * (i * j * unit * unit)
    kind = dtype.numpy
    return [np.asarray(x, kind) for x in (a, b, c)], np.asarray(expected, kind)
