"""Contractions of the index structure of a product, each beside the peak of its own instructions, on one thread.

    python benchmarks/generality.py [--size 512] [--seconds 0.5]

A peak is the same arithmetic on values that stay in registers, in twelve independent chains. Printed are terms per
second of both, the share, and that share beside the one which the f32 product reaches: the goal is 0.7 everywhere.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import tilec
from tilec.affine import Affine
from tilec.devices import backend, resolve_target
from tilec.dtypes import BOOL, F32, F64, I32, DType
from tilec.expr import Call, Const, Expr, read
from tilec.loops import Alloc, Block, Buffer, For, Kernel, KernelParam, Launch, Program, Store

CHAINS = 12  # more than the latency of an addition times the units that add
ROUNDS = 20_000
TARGET = replace(resolve_target("llvm"), threads=1)


@dataclass(frozen=True)
class Case:
    """A contraction, the type of its elements, and one term of it on a value x that stays in a register."""

    text: str
    dtype: DType
    term: Callable[[Expr, Expr], Expr]


def call(op: str, *args: Expr) -> Expr:
    return Call(op, args, args[0].dtype)


def plain_max(a: Expr, b: Expr) -> Expr:
    """One instruction, which forgets a NaN; so do kernels whose inputs hold none."""
    return Call("cond", (Call("cmp_gt", (a, b), BOOL), a, b), a.dtype)


def text(body: str, aggregate: str = "+", more: str = "") -> str:
    return f"function f(A[M, K], B[K, N]{more}) -> (C) {{ C[m, n : M, N] = {aggregate}({body}); }}"


PRODUCT = text("A[m, k] * B[k, n]")
CASES = {
    "f32 product": Case(PRODUCT, F32, lambda x, c: call("fma", x, c, c)),
    "f64 product": Case(PRODUCT, F64, lambda x, c: call("fma", x, c, c)),
    "i32 product": Case(PRODUCT, I32, lambda x, c: call("add", call("mul", x, c), c)),
    "max-plus": Case(text("A[m, k] + B[k, n]", ">"), F32, lambda x, c: plain_max(call("add", x, c), c)),
    "L1 distance": Case(
        text("abs(A[m, k] - B[k, n])"), F32, lambda x, c: call("add", x, call("abs", call("sub", x, c)))
    ),
    "three operands": Case(
        text("A[m, k] * B[k, n] * D[k, n]", more=", D[K, N]"), F32, lambda x, c: call("fma", call("mul", x, c), c, x)
    ),
}


def register_loop(case: Case, lanes: int) -> Program:
    """x = term(x), so many rounds, in every lane of every chain; written once, at the end."""
    dtype = case.dtype
    half = Const(3 if dtype == I32 else 0.5, dtype)
    place = (Affine.var("c"), Affine.var("l"))
    x = read("x", place, dtype)
    body: Block = (
        Alloc(Buffer("x", dtype, (CHAINS, lanes), "register")),
        *each(lanes, Store("x", place, half)),
        For("i", ROUNDS, "serial", each(lanes, Store("x", place, case.term(x, half)))),
        *each(lanes, Store("R", place, x)),
    )
    result = Buffer("R", dtype, (CHAINS, lanes), "param")
    kernel = Kernel("peak", (KernelParam(result, "out"),), body)
    return Program("peak", (), ("R",), (result,), (kernel,), (Launch("peak", ("R",)),))


def each(lanes: int, stmt: Store) -> Block:
    return (For("c", CHAINS, "unroll", (For("l", lanes, "vector", (stmt,)),)),)


def best(run: Callable[[], Any], seconds: float) -> float:
    """Seconds of the fastest call."""
    found, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        run()
        found = min(found, time.perf_counter() - started)
    return found


def peak(case: Case, seconds: float) -> float:
    """Terms per second in registers."""
    lanes = TARGET.lanes(case.dtype.bits)
    built = backend(TARGET.backend).build(register_loop(case, lanes), TARGET, {})
    result = np.zeros((CHAINS, lanes), case.dtype.numpy)
    return ROUNDS * result.size / best(lambda: built([], [result]), seconds)


def reached(case: Case, size: int, seconds: float) -> float:
    """Terms per second of the contraction; its result is compared with NumPy's where that is a product."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-4, 5, (size, size)).astype(case.dtype.numpy) for _ in range(2 + ("D[K" in case.text))]
    compiled = tilec.compile(case.text, TARGET, **dict(zip("ABD", arrays)))
    out = compiled(*arrays)
    if case.text == PRODUCT:
        np.testing.assert_array_equal(out, arrays[0] @ arrays[1])
    return size**3 / best(lambda: compiled(*arrays, out=out), seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    print(f"{'':16}{'Gterms/s':>10}{'peak':>10}{'share':>8}{'of f32':>8}")
    first = 0.0
    for name, case in CASES.items():
        terms, most = reached(case, options.size, options.seconds), peak(case, options.seconds)
        first = first or terms / most
        share = terms / most
        print(f"{name:16}{terms / 1e9:10.1f}{most / 1e9:10.1f}{share:8.2f}{share / first:8.2f}", flush=True)


if __name__ == "__main__":
    main()
