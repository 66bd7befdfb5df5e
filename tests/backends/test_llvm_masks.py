"""Masked loads, stores, gathers and scatters of every dtype, mask and way of access: the lanes that are on, no others.

LLVM 22 is known to turn a masked store of a truncated vector with one lane on into a store of the wide element; what
is like it is looked for here by brute force: the elements around the lanes must keep their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.backends.llvm_support import Array, build, older, program_of, serial_host
from tilec import rules
from tilec.affine import Affine
from tilec.dtypes import ALL, F32, F64, I32, I64, DType
from tilec.evaluate.loops import evaluate_kernel
from tilec.expr import Expr, read
from tilec.loops import Block, Buffer, For, If, Kernel, KernelParam, Store

LANE, ROW = Affine.var("lane"), Affine.var("row")
MOST = 16  # lanes of the narrowest type computed with
EDGE = 3


def intervals(lanes: int) -> list[tuple[int, int]]:
    """First and last lane of masks: single lanes, leading ones, trailing ones, some in the middle."""
    ends = [(n, n) for n in range(lanes)] + [(0, n) for n in range(lanes)] + [(n, lanes - 1) for n in range(lanes)]
    return sorted({*ends, (1, lanes - 2), (lanes // 4, 3 * lanes // 4), (lanes // 2 - 1, lanes // 2)})


def place(way: str, row: int | Affine) -> tuple[Affine | Expr, ...]:
    """Where a lane's element is in its row."""
    first = row if isinstance(row, Affine) else Affine.constant(row)
    match way:
        case "next":
            return first, LANE + EDGE
        case "strided":
            return first, LANE * 2 + EDGE
        case "back":
            return first, LANE * -1 + (MOST + EDGE)
        case _:
            return first, read("I", (LANE,), I64)


def kernel(way: str, dtype: DType, middle: DType, lanes: int, known: bool) -> Kernel:
    """`O[row, place] = cast(cast(A[row, place]) + 1)` under masks, known when compiled or by the value of `row`."""
    masks = intervals(lanes)
    shape = (len(masks), 2 * MOST + 2 * EDGE)

    def body(row: int | Affine) -> Block:
        at = place(way, row)
        value = rules.cast(rules.call("add", rules.cast(read("A", at, dtype), middle), 1), dtype)
        return (Store("O", at, value),)

    def loop(row: int | Affine, *conditions: Affine) -> For:
        return For("lane", lanes, "vector", (If(conditions, body(row)),))

    rows: Block = tuple(loop(r, LANE - a, Affine.constant(b) - LANE) for r, (a, b) in enumerate(masks))
    if not known:
        rows = (For("row", lanes, "serial", (loop(ROW, LANE - ROW, ROW * 3 + 1 - LANE),)),)
    params = [
        KernelParam(Buffer("A", dtype, shape, "param"), "in"),
        KernelParam(Buffer("I", I64, (MOST,), "param"), "in"),
    ]
    return Kernel("masks", (*params, KernelParam(Buffer("O", dtype, shape, "param"), "inout")), rows)


def data(kernel: Kernel) -> dict[str, Array]:
    shape = tuple(int(n) for n in kernel.params[0].buffer.shape if isinstance(n, int))
    dtype = kernel.params[0].buffer.dtype.numpy
    random = np.random.default_rng(3)
    places = random.permutation(2 * MOST + 2 * EDGE)[:MOST].astype(np.int64)
    return {
        "A": random.integers(0, 2 if dtype.kind == "b" else 90, shape).astype(dtype),
        "I": places,
        "O": (np.ones(shape) * 77).astype(dtype),
    }


WAYS = ("next", "strided", "back", "by data")


def cases() -> Iterator[tuple[DType, DType]]:
    """Dtypes in memory and in between, which decides on the number of lanes."""
    for dtype in ALL:
        for middle in (I32, F32, I64, F64):
            if dtype.bits <= middle.bits:
                yield dtype, middle


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("machine", ["host", "avx2", "sse2"])
def test_masks(way: str, machine: str) -> None:
    target = serial_host() if machine == "host" else replace(older(machine), threads=1)
    for dtype, middle in cases():
        for known in (True, False):
            masked = kernel(way, dtype, middle, min(MOST, target.lanes(middle.bits)), known)
            start = data(masked)
            expected = {n: a.copy() for n, a in start.items()}
            evaluate_kernel(masked, expected)
            program = program_of(masked)
            build(masked, target)([start[n] for n in program.params], [start["O"]])
            assert start["O"].tobytes() == expected["O"].tobytes(), (dtype, middle, known)
