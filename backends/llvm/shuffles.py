"""Vectors put together from others by shuffles."""

from __future__ import annotations

from collections.abc import Sequence

from tilec.backends.llvm.ops import Ops
from tilec.backends.llvm.types import Value, ssa_bits
from tilec.dtypes import BOOL, U8


def transposed(ops: Ops, rows: Sequence[Value], column: int) -> Value:
    """Lane `column` of each of as many rows as there are lanes, in their order.

    A network of shuffles of two vectors each, whose inner results all columns share: first the halves of 128-bit parts
    interleave, then whole parts change places. On x86 every step is one instruction, at any width.
    """
    if rows[0].dtype == BOOL:
        bytes_ = transposed(ops, [ops.convert("zext", row, U8) for row in rows], column)
        return ops.compare("cmp_ne", bytes_, ops.like(0, bytes_))
    lanes = ops.lanes
    part = min(lanes, 128 // ssa_bits(rows[0].dtype))
    inside, stages = part.bit_length() - 1, lanes.bit_length() - 1
    order = [*reversed(range(inside)), *range(inside, stages)]  # bit of the row number that each step looks at

    def value(stage: int, row: int) -> Value:
        if stage == 0:
            return rows[row]
        bit = 1 << order[stage - 1]
        choose = _halves if stage <= inside else _parts
        return ops.shuffled(
            value(stage - 1, row & ~bit), value(stage - 1, row | bit), choose(lanes, part, int(bool(row & bit)))
        )

    return value(stages, column)


def _halves(lanes: int, part: int, half: int) -> list[int]:
    """The low or the high half of every part of two vectors, element by element in turn."""
    half *= part // 2
    return [p + half + i + v for p in range(0, lanes, part) for i in range(part // 2) for v in (0, lanes)]


def _parts(lanes: int, part: int, odd: int) -> list[int]:
    """The even or the odd parts of a vector, then those of another."""
    return [v + p + i for v in (0, lanes) for p in range(odd * part, lanes, 2 * part) for i in range(part)]
