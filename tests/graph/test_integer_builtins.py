"""Integer and bool operations on edge values against Python's integers, and every expansion against the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from tests.graph.values import array, edges, expanded, meaning, number
from tilec.dtypes import ALL, BOOL, DType
from tilec.rules import wrap

INTEGERS = [d for d in ALL if d.is_integer]


def truncated(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def shift(a: int, count: int, dtype: DType, left: bool) -> int:
    if not 0 <= count < dtype.bits:
        return 0 if left or a >= 0 else -1
    return a << count if left else a >> count


def threefry(key: int, counter: int) -> int:
    """Threefry-2x32-20 in Python's integers, as the paper writes it."""
    word = (1 << 32) - 1
    keys = [key & word, key >> 32 & word]
    keys.append(keys[0] ^ keys[1] ^ 0x1BD11BDA)
    x, y = (counter & word) + keys[0] & word, (counter >> 32 & word) + keys[1] & word
    for step, turn in enumerate((13, 15, 26, 6, 17, 29, 16, 24, 13, 15, 26, 6, 17, 29, 16, 24, 13, 15, 26, 6), 1):
        x = x + y & word
        y = (y << turn | y >> 32 - turn) & word ^ x
        if step % 4 == 0:
            n = step // 4
            x, y = x + keys[n % 3] & word, y + keys[(n + 1) % 3] + n & word
    return y << 32 | x


BINARY: dict[str, Callable[[int, int, DType], int]] = {
    "add": lambda a, b, d: a + b,
    "sub": lambda a, b, d: a - b,
    "mul": lambda a, b, d: a * b,
    "div": lambda a, b, d: truncated(a, b) if b else 0,
    "mod": lambda a, b, d: a % b if b else 0,
    "strong_mul": lambda a, b, d: a * b,
    "strong_div": lambda a, b, d: truncated(a, b) if b else 0,
    "max": lambda a, b, d: max(a, b),
    "min": lambda a, b, d: min(a, b),
    "bit_and": lambda a, b, d: a & b,
    "bit_or": lambda a, b, d: a | b,
    "bit_xor": lambda a, b, d: a ^ b,
    "bit_left": lambda a, b, d: shift(a, b, d, True),
    "bit_right": lambda a, b, d: shift(a, b, d, False),
    "threefry": lambda a, b, d: threefry(a, b) if d != BOOL else threefry(a, b) != 0,
    "cmp_eq": lambda a, b, d: a == b,
    "cmp_ne": lambda a, b, d: a != b,
    "cmp_lt": lambda a, b, d: a < b,
    "cmp_gt": lambda a, b, d: a > b,
    "cmp_le": lambda a, b, d: a <= b,
    "cmp_ge": lambda a, b, d: a >= b,
    "reverse_grad": lambda a, b, d: a,
}
UNARY: dict[str, Callable[[int, DType], int]] = {
    "neg": lambda a, d: -a,
    "abs": lambda a, d: abs(a),
    "bit_not": lambda a, d: ~a,
    "relu": lambda a, d: max(a, 0),
    "ident": lambda a, d: a,
    "stop_gradient": lambda a, d: a,
    "floor": lambda a, d: a,
    "ceil": lambda a, d: a,
    "round": lambda a, d: a,
    "trunc": lambda a, d: a,
    "logical_not": lambda a, d: a == 0,
}
TO_BOOL = {"cmp_eq", "cmp_ne", "cmp_lt", "cmp_gt", "cmp_le", "cmp_ge", "logical_not"}


def check(name: str, dtype: DType, columns: list[list[int]], expected: list[int]) -> None:
    args = [array(c, dtype) for c in columns]
    for result in (meaning(name, *args), expanded(name, dtype, *args)):
        if result is None:
            continue
        assert result.dtype == (BOOL if name in TO_BOOL else dtype).numpy
        wrong = [(*row, number(r), e) for *row, r, e in zip(*columns, result, expected) if number(r) != e]
        assert not wrong, wrong[:5]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtype: DType) -> None:
    pairs = [(int(a), int(b)) for a, b in product(edges(dtype), repeat=2)]
    wanted = BOOL if name in TO_BOOL else dtype
    expected = [wrap(int(BINARY[name](a, b, dtype)), wanted) for a, b in pairs]
    check(name, dtype, [[a for a, _ in pairs], [b for _, b in pairs]], expected)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: DType) -> None:
    values = [int(a) for a in edges(dtype)]
    wanted = BOOL if name in TO_BOOL else dtype
    check(name, dtype, [values], [wrap(int(UNARY[name](a, dtype)), wanted) for a in values])


@pytest.mark.parametrize("name", ["max", "min", "bit_and", "bit_or", "bit_xor", *sorted(TO_BOOL - {"logical_not"})])
def test_binary_of_bool(name: str) -> None:
    pairs = [(a, b) for a in (0, 1) for b in (0, 1)]
    expected = [int(BINARY[name](a, b, BOOL)) for a, b in pairs]
    check(name, BOOL, [[a for a, _ in pairs], [b for _, b in pairs]], expected)


@pytest.mark.parametrize("name", ["relu", "ident", "floor", "logical_not"])
def test_unary_of_bool(name: str) -> None:
    check(name, BOOL, [[0, 1]], [int(UNARY[name](a, BOOL)) for a in (0, 1)])


def test_not_of_bool() -> None:
    check("bit_not", BOOL, [[0, 1]], [1, 0])
