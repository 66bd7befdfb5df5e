"""Floor 5: what this machine can do at best, measured: multiplications and additions in registers, bytes from memory.

Both are programs of our own, compiled as any other: the figures are what compiled code could reach, on as many threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tilec.affine import Affine
from tilec.devices import backend
from tilec.dtypes import F32, F64, DType
from tilec.expr import Call, Const, read
from tilec.loops import Alloc, Block, Buffer, For, Kernel, KernelParam, Launch, Program, Store
from tilec.target import Target

_CHAINS = 12  # independent accumulators: more than the four cycles of latency times two units
_ROUNDS = 20_000
_ELEMENTS = 16 << 20  # float32 per array of the triad: beyond every cache


@dataclass(frozen=True, slots=True)
class Peaks:
    """Operations per second by element type, and bytes per second."""

    flops: dict[DType, float]
    bandwidth: float

    def seconds(self, operations: int, bytes: int, dtype: DType | None) -> tuple[float, float]:
        """The least time for the arithmetic, and for the memory traffic; narrow types count as float32."""
        peak = self.flops[F64 if dtype == F64 else F32]
        return operations / peak, bytes / self.bandwidth


def measure(target: Target) -> Peaks:
    """The peaks of an LLVM target of this machine; takes about a second."""
    return Peaks({dtype: _arithmetic(dtype, target) for dtype in (F32, F64)}, _triad(target))


def _arithmetic(dtype: DType, target: Target) -> float:
    lanes = target.lanes(dtype.bits)
    program = multiply_add(dtype, lanes, target.threads, _ROUNDS)
    built = backend(target.backend).build(program, target, {})
    result = np.zeros((target.threads, _CHAINS, lanes), dtype.numpy)
    return 2 * _ROUNDS * result.size / _best(lambda: built([], [result]), 0.25)


def multiply_add(dtype: DType, lanes: int, threads: int, rounds: int) -> Program:
    """x = x * 0.5 + 0.5, so many rounds, in every lane of registers; results are written once, at the end."""
    half = Const(0.5, dtype)
    registers = Buffer("x", dtype, (_CHAINS, lanes), "register")
    place = (Affine.var("c"), Affine.var("l"))
    step = Store("x", place, Call("fma", (read("x", place, dtype), half, half), dtype))
    out = Store("R", (Affine.var("t"), *place), read("x", place, dtype))
    body: Block = (
        Alloc(registers),
        *_each_lane(lanes, Store("x", place, half)),
        For("i", rounds, "serial", _each_lane(lanes, step)),
        *_each_lane(lanes, out),
    )
    result = Buffer("R", dtype, (threads, _CHAINS, lanes), "param")
    kernel = Kernel("peak", (KernelParam(result, "out"),), (For("t", threads, "parallel", body),))
    return Program("peak", (), ("R",), (result,), (kernel,), (Launch("peak", ("R",)),))


def _each_lane(lanes: int, stmt: Store) -> Block:
    return (For("c", _CHAINS, "unroll", (For("l", lanes, "vector", (stmt,)),)),)


def _triad(target: Target) -> float:
    """Bytes per second of A = B + 3 C (McCalpin's STREAM): 12 bytes for each element."""
    from tilec.api import compile

    text = "function triad(B[N], C[N]) -> (A) { A = B + 3.0 * C; }"
    executable = compile(text, target, B=(_ELEMENTS,), C=(_ELEMENTS,))
    a, b, c = (np.ones(_ELEMENTS, np.float32) for _ in range(3))
    return 12 * _ELEMENTS / _best(lambda: executable.built([b, c], [a]), 0.25)


def _best(run: Callable[[], None], seconds: float) -> float:
    """Seconds of the fastest of several calls, at least three."""
    best, until, count = float("inf"), time.perf_counter() + seconds, 0
    while count < 3 or time.perf_counter() < until:
        started = time.perf_counter()
        run()
        best, count = min(best, time.perf_counter() - started), count + 1
    return best
