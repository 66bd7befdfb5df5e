"""Data that in-file tests write down: nested lists and `random(...)`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from tilec.dtypes import F32, I32, I64
from tilec.errors import Span, error
from tilec.frontends.tile.builder import Builder, check_type
from tilec.frontends.tile.syntax import Binary, Expression, List, Number, Unary
from tilec.frontends.tile.values import Tensor
from tilec.graph import Literal, Param, TensorType

MAX_RANDOM = 1 << 26


def list_data(b: Builder, expression: List, name: str | None = None) -> Tensor:
    """A nested list of numbers as a constant tensor: int32 where all are integers, else float32."""
    shape = _shape(expression)
    values = list(_numbers(expression, shape, 0))
    floats = any(isinstance(v, float) for v in values)
    wide = any(not I32.min <= v <= I32.max for v in values)
    dtype = F32 if floats else I64 if wide else I32
    type = TensorType(dtype, shape)
    numbers = tuple(float(v) if floats else int(v) for v in values)
    if not numbers:
        raise error("TILE0016", "an empty list has no type", expression.span)
    return b.emit(Literal(type, numbers), type, expression.span, name)


def _shape(expression: List) -> tuple[int, ...]:
    """The shape that most rows have, so that the odd one is the one complained of; of equally many, the longest."""
    shape: list[int] = []
    level: list[List] = [expression]
    while level:
        lengths = Counter(len(row.items) for row in level)
        shape.append(max(lengths, key=lambda n: (lengths[n], n)))
        items = [item for row in level for item in row.items]
        level = [item for item in items if isinstance(item, List)]
        if 2 * len(level) < len(items):
            break
    return tuple(shape)


def _numbers(expression: Expression, shape: tuple[int, ...], axis: int) -> Iterator[int | float]:
    match expression:
        case List() if axis < len(shape) and len(expression.items) == shape[axis]:
            for item in expression.items:
                yield from _numbers(item, shape, axis + 1)
        case Number() if axis == len(shape):
            yield expression.value
        case Unary(op="-" | "+", operand=Number() as number) if axis == len(shape):
            yield -number.value if expression.op == "-" else number.value
        case Binary(_, _, _, _, sign):
            help = f"did you mean ',' instead of '{expression.op}'?"
            raise error("TILE0016", _ROWS, sign, notes=[f"most rows give the shape {list(shape)}"], help=help)
        case _:
            raise error("TILE0016", _ROWS, expression.span, notes=[f"most rows give the shape {list(shape)}"])


_ROWS = "a nested list holds numbers, in rows of one length"


def random_data(b: Builder, shape: Sequence[int], span: Span, name: str | None = None) -> Tensor:
    """A float32 tensor of numbers in [-1, 1), the same in every run: the n-th of a test depends on n only."""
    type = TensorType(F32, tuple(shape))
    check_type(type, span)
    if prod(shape) > MAX_RANDOM:
        raise error("TILE0416", f"random data of {prod(shape)} elements; the limit is {MAX_RANDOM}", span)
    name = name or b.fresh("t")
    seed = len(b.params)
    b.data[name] = (np.random.default_rng(seed).random(tuple(shape), np.float32) * 2 - 1).astype(np.float32)
    b.params.append(Param(name, type))
    return Tensor(name, type)
