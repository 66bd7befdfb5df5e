"""Measures an elementary function of one float32 operand on all 2^32 of them.

    python -m tests.graph.all_floats [--step N] [--target sse2|avx2] [NAME ...]

Compiled code of the float32 function is compared with the float64 function, whose own error, held to mpmath by
`function_accuracy`, is 2^-28 of what is measured here. The largest error found is measured again with mpmath. About 20
seconds per function and core; `--step` takes every Nth pattern only.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator

import numpy as np

from tests.backends.llvm_support import Array, build, compute, older, operands, serial_host
from tests.graph.function_accuracy import CASES, Case, exact, ulp_error
from tilec.affine import Affine
from tilec.dtypes import F32, F64, U32
from tilec.expr import Call, Expr, read
from tilec.loops import Buffer, For, Kernel, KernelParam, Store
from tilec.mathlib import EXPANSIONS
from tilec.mathlib.value import INFINITY, Value, bitcast, bits, cast, constant, select
from tilec.target import Target

CHUNK = 1 << 18


def error_of(pattern: Expr, name: str) -> Expr:
    """The error in ulp of the function at the float32 of a pattern; infinite where one of the two is no number."""
    x = bitcast(Value(pattern), F32)
    found = cast(_expanded(name, x), F64)
    wanted = _expanded(name, cast(x, F64))
    exponent = bits(wanted) & (0x7FF << 52)
    least = (1023 - 126) << 52
    ulp = bitcast(select(exponent > least, exponent, least), F64) * 2.0**-23
    error = abs(found - wanted) / ulp
    overflow = abs(wanted) >= 2.0**128 - 2.0**103
    infinite = constant(INFINITY, F64)
    alike = found.equals(select(wanted > 0, infinite, -INFINITY))
    error = select(overflow, select(alike, 0.0, infinite), error)
    error = select(wanted.differs(wanted) & found.differs(found), 0.0, error)
    return cast(select(error.equals(error), error, INFINITY), F32).expr


def _expanded(name: str, x: Value) -> Value:
    expr = EXPANSIONS[name]((x.expr,), x.dtype)
    assert expr is not None
    return Value(expr)


def kernel_of(name: str) -> Kernel:
    at = (Affine.var("i"),)
    params = (
        KernelParam(Buffer("patterns", U32, (CHUNK,), "param"), "in"),
        KernelParam(Buffer("errors", F32, (CHUNK,), "param"), "out"),
    )
    store = Store("errors", at, error_of(read("patterns", at, U32), name))
    return Kernel("errors_of", params, (For("i", CHUNK, "vector", (store,)),))


def errors(name: str, step: int, target: Target | None, span: range) -> Iterator[tuple[Array, Array]]:
    """Patterns and the errors at them, chunk by chunk."""
    run, out = build(kernel_of(name), target), np.empty(CHUNK, np.float32)
    for start in range(span.start, span.stop, CHUNK * step):
        patterns = np.arange(start, start + CHUNK * step, step, dtype=np.int64).astype(np.uint32)
        run([patterns], [out])
        yield patterns, out


def worst(case: Case, step: int = 1, target: Target | None = None, span: range = range(1 << 32)) -> tuple[float, float]:
    """The argument with the largest error, and that error."""
    largest, place = -1.0, 0.0
    for patterns, found in errors(case.name, step, target, span):
        at = int(found.argmax())
        if found[at] > largest:
            largest, place = float(found[at]), float(patterns.view(np.float32)[at])
    return place, largest


def checked(case: Case, x: float) -> float:
    """The error at one argument, by mpmath and the compiled function."""
    column = np.full(16, x, np.float32)
    got = compute({"out": Call(case.name, operands([F32]), F32)}, [column], [F32])["out.vector"][0]
    want = exact(case, (x,)) if math.isfinite(x) else None
    return math.nan if want is None or want == 0 else ulp_error(float(got), want, F32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--target", choices=("sse2", "avx2"))
    parser.add_argument("--between", nargs=2, type=float, help="arguments of one sign, in this interval")
    args = parser.parse_args()
    ends = np.array(args.between, np.float32).view(np.uint32).tolist() if args.between else (0, 1 << 32)
    span = range(min(ends), max(ends))
    target = older(args.target) if args.target else serial_host()
    for case in CASES:
        if case.name == "pow" or (args.names and case.name not in args.names):
            continue
        started = time.perf_counter()
        place, error = worst(case, args.step, target, span)
        seconds = time.perf_counter() - started
        exactly = checked(case, place)
        print(f"{case.name:8} {error:.4f} at {place.hex()} ({exactly:.4f} by mpmath, {seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
