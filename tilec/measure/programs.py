"""Floor 5: the small programs that a device is tested with, and their inputs.

The programs are the same in every run. They are made from a seed by a few families, each with sizes that do not fit
vector registers, and with every kind of element. Most are for one work-item, which many share a kernel as; the last few
are large enough for a device to spread them over its units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from tilec.backend import Array
from tilec.dtypes import BF16, BOOL, F16, F32, F64, I8, I32, I64, U8, DType
from tilec.graph import TensorType

COUNT = 300
PARTS = ("1/2", "2/2")  # of the programs: two processes test a device in half of the time
_FLOATS = (F32, F32, F64, F16)
_NUMBERS = (F32, F32, F64, F16, BF16, I32, I64, I8, U8)


@dataclass(frozen=True, slots=True)
class Case:
    """A program and the types of its inputs. large: it has work for many items, and a kernel of its own."""

    name: str
    text: str
    inputs: Mapping[str, TensorType]
    large: bool = False


_Family = Callable[[Random], tuple[str, dict[str, TensorType]]]


def _type(dtype: DType, *shape: int) -> TensorType:
    return TensorType(dtype, shape)


def _matmul(rng: Random) -> tuple[str, dict[str, TensorType]]:
    dtype, m, n, k = rng.choice(_NUMBERS), rng.choice((1, 2, 5)), *rng.choices((1, 3, 8, 17), k=2)
    text = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
    return text, {"A": _type(dtype, m, k), "B": _type(dtype, k, n)}


def _convolution(rng: Random) -> tuple[str, dict[str, TensorType]]:
    dtype, stride, dilation, taps = rng.choice(_NUMBERS), rng.randint(1, 3), rng.randint(1, 2), rng.randint(1, 4)
    text = (
        f"function (I[H, W, C], K[R, C, D]) -> (O) {{ O[y, x, d : H, (W + {stride - 1}) / {stride}, D] = "
        f"+(I[y, {stride}*x + {dilation}*r - 1, c] * K[r, c, d]); }}"
    )
    return text, {"I": _type(dtype, 3, rng.randint(5, 9), 2), "K": _type(dtype, taps, 2, rng.choice((1, 3, 8)))}


def _reduction(rng: Random) -> tuple[str, dict[str, TensorType]]:
    dtype, aggregation, axis = rng.choice(_NUMBERS), rng.choice("+><"), rng.choice(("m", "n"))
    text = f"function (A[M, N]) -> (R) {{ R[{axis} : {axis.upper()}] = {aggregation}(A[m, n]); }}"
    return text, {"A": _type(dtype, rng.randint(1, 9), rng.randint(1, 40))}


def _pooling(rng: Random) -> tuple[str, dict[str, TensorType]]:
    window, aggregation = rng.randint(2, 4), rng.choice(">+<")
    text = (
        f"function (I[N, C]) -> (O) {{ O[i, c : (N + {window - 1}) / {window}, C] = "
        f"{aggregation}(I[{window}*i + j, c]), j < {window}; }}"
    )
    return text, {"I": _type(rng.choice(_NUMBERS), rng.randint(4, 30), rng.choice((1, 5, 16)))}


def _rearrangement(rng: Random) -> tuple[str, dict[str, TensorType]]:
    body = rng.choice(("A[j, i]", "A[j, N - 1 - i]", "A[j, i + 1]", "A[j, (N - 1) - i] + 1"))
    text = f"function (A[M, N]) -> (B) {{ B[i, j : N, M] = =({body}); }}"
    return text, {"A": _type(rng.choice((*_NUMBERS, BOOL)), rng.randint(1, 20), rng.randint(1, 20))}


def _scan(rng: Random) -> tuple[str, dict[str, TensorType]]:
    text = "function (A[N, C]) -> (S) { S[i, c : N, C] = +(A[i - k, c]), k < N; }"
    return text, {"A": _type(rng.choice((F32, F64, I32)), rng.randint(1, 10), rng.randint(1, 5))}


def _elementwise(rng: Random) -> tuple[str, dict[str, TensorType]]:
    dtype, rows, columns = rng.choice(_FLOATS), rng.randint(1, 9), rng.randint(1, 40)
    text = f"function (A[M, N], B[N], C[M, 1]) -> (R) {{ R = {_float_expression(rng, 2)} + 0.0 * (A + B + C); }}"
    return text, {"A": _type(dtype, rows, columns), "B": _type(dtype, columns), "C": _type(dtype, rows, 1)}


def _float_expression(rng: Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(("A", "B", "C", "0.5", "2"))
    a, b = _float_expression(rng, depth - 1), _float_expression(rng, depth - 1)
    unary = ("abs", "exp", "tanh", "sigmoid", "relu", "-")  # the others are much code; `accuracy` tests them
    pick = rng.randrange(4)
    if pick == 0:
        return f"{rng.choice(unary)}({a})"
    if pick == 1:
        return f"select({a} < {b}, {b}, {a})"
    return f"({a} {rng.choice('+-*')} {b})"


def _integers(rng: Random) -> tuple[str, dict[str, TensorType]]:
    dtype, n = rng.choice((I8, U8, I32, I64)), rng.randint(1, 70)
    body = rng.choice(("A * B - A", "(A & B) | (A ^ 3)", "max(A, B) - min(A, B)", "A / (B * B + 1)", "A % (B * B + 1)"))
    return f"function (A, B) -> (C) {{ C = {body}; }}", {"A": _type(dtype, n), "B": _type(dtype, n)}


def _conversion(rng: Random) -> tuple[str, dict[str, TensorType]]:
    source, target = rng.choice(_NUMBERS), rng.choice((F32, F64, F16, I32, I64))
    kind = "float" if target.is_float else "int"
    return f"function (A) -> (B) {{ B = as_{kind}(A, {target.bits}); }}", {"A": _type(source, rng.randint(1, 50))}


def _softmax(rng: Random) -> tuple[str, dict[str, TensorType]]:
    text = (
        "function (X[M, N]) -> (Y) { T[m : M] = >(X[m, n]); E[m, n : M, N] = exp(X[m, n] - T[m]); "
        "S[m : M] = +(E[m, n]); Y[m, n : M, N] = E[m, n] / S[m]; }"
    )
    return text, {"X": _type(rng.choice((F32, F64)), rng.randint(1, 4), rng.randint(1, 40))}


def _layer(rng: Random) -> tuple[str, dict[str, TensorType]]:
    text = "function (X[M, K], W[K, N], B[N]) -> (Y) { H[m, n : M, N] = +(X[m, k] * W[k, n]); Y = relu(H + B) * 0.5; }"
    dtype, m, n, k = rng.choice((F32, F64)), rng.choice((1, 3)), *rng.choices((1, 5, 16, 20), k=2)
    return text, {"X": _type(dtype, m, k), "W": _type(dtype, k, n), "B": _type(dtype, n)}


# How many programs of each family: few of those that are much code.
_FAMILIES: tuple[tuple[_Family, int], ...] = (
    (_matmul, 20),
    (_convolution, 14),
    (_reduction, 40),
    (_pooling, 36),
    (_rearrangement, 36),
    (_scan, 10),
    (_elementwise, 40),
    (_integers, 44),
    (_conversion, 36),
    (_softmax, 10),
    (_layer, 14),
)


def _large() -> list[Case]:
    """Programs that a device spreads over its units: four kernels."""
    product = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
    image = "function (I[H, W, C], K[R, S, C, D]) -> (O) { O[y, x, d : H - R + 1, W - S + 1, D] = "
    rows = "function (A[M, N]) -> (R) { R[m : M] = +(A[m, n]); }"
    return [
        Case("large product", product, {"A": _type(F32, 70, 33), "B": _type(F32, 33, 49)}, True),
        Case(
            "large convolution",
            f"{image}+(I[y + r, x + s, c] * K[r, s, c, d]); }}",
            {"I": _type(F32, 20, 19, 8), "K": _type(F32, 3, 3, 8, 17)},
            True,
        ),
        Case("large sums", rows, {"A": _type(F32, 70, 1001)}, True),
    ]


def cases(count: int = COUNT) -> list[Case]:
    """The first `count` programs: the large ones, and then those of all families mixed."""
    rng, found = Random(7), dict[str, Case]()
    for case in _large():
        found[case.text] = case
    families = [family for family, share in _FAMILIES for _ in range(share)]
    rng.shuffle(families)
    while len(found) < count:  # a family that gives what there is already tries again
        family = families[len(found) % len(families)]
        text, inputs = family(rng)
        case = Case(f"{len(found):03} {family.__name__.strip('_')}", text, inputs)
        found.setdefault(f"{text} {inputs}", case)
    return list(found.values())[:count]


def part(name: str, programs: Sequence[Case]) -> Sequence[Case]:
    """The programs of `2/3`: every third one, from the second on."""
    first, _, step = name.partition("/")
    return programs[int(first) - 1 :: int(step)]


def values(case: Case) -> dict[str, Array]:
    """Small inputs, the same in every run: floats in [-1, 1), integers in [-4, 4] or [0, 8]."""
    rng = np.random.default_rng(len(case.text))
    return {name: _array(type, rng) for name, type in case.inputs.items()}


def _array(type: TensorType, rng: np.random.Generator) -> Array:
    shape, dtype = tuple(map(int, type.shape)), type.dtype  # type: ignore[arg-type]  # sizes are ints here
    if dtype.is_float:
        return rng.uniform(-1, 1, shape).astype(dtype.numpy)
    low = -4 if dtype.is_signed else 0
    return rng.integers(low, low + 9, shape).astype(dtype.numpy)
