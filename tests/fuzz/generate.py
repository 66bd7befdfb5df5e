"""Random Tile programs from a seed: every aggregation, body form, index form, dtype and input layout.

A `Case` is text plus arrays. Index ranges are drawn first and operand shapes made to fit them (give or take one), so
that most domains are not empty. `features` names what a program contains, for the histogram and the pair coverage.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor, prod
from typing import Any

import numpy as np

from tilec.dtypes import ALL, BOOL, F32, F64, I8, I32, I64, U8, U64, DType

Array = np.ndarray[Any, np.dtype[Any]]
Form = tuple[dict[str, Fraction], Fraction]  # coefficients by index variable, constant
MAX_POINTS = 12_000
LAYOUTS = ("dense", "dense", "dense", "strided", "reversed", "unaligned", "read-only", "transposed")
UNARY = ("exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "erf", "relu", "abs", "floor", "ceil", "round", "recip")
BINARY = ("+", "-", "*", "/", "+", "-", "*")


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: DType


@dataclass(frozen=True, slots=True)
class Case:
    """A program: text and inputs (arrays, or Python numbers for scalars). All assigned names are outputs.

    The text is an anonymous function, and after it the functions that this applies.
    """

    seed: int
    text: str
    inputs: Mapping[str, Any]
    features: frozenset[str]


def dtype_of(rng: random.Random) -> DType:
    return rng.choice([*ALL, *[F32] * 10, F64, I32])


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType, kind: str) -> Array:
    """Array of small values; `kind`: plain, near_one (for products), special (NaN, infinities, extremes)."""
    if dtype == BOOL:
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.is_integer:
        if kind == "special":
            choices = np.array([dtype.min, dtype.max, 0, 1, dtype.max - 1], object)
            return np.asarray(choices[rng.integers(0, 5, shape)]).astype(dtype.numpy)
        low = -6 if dtype.is_signed else 0
        return np.asarray(rng.integers(low, 7, shape)).astype(dtype.numpy)
    found = rng.uniform(0.5, 1.5, shape) if kind == "near_one" else rng.uniform(-2, 2, shape)
    if kind == "special":
        extremes = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40])
        found = np.where(rng.random(shape) < 0.1, extremes[rng.integers(0, 6, shape)], found)
    with np.errstate(all="ignore"):
        return np.asarray(found).astype(dtype.numpy)


def lay_out(array: Array, layout: str) -> Array:
    """The same values in another memory layout."""
    if layout == "strided" and array.ndim:
        wide = np.repeat(array, 2, axis=-1)
        return wide[..., ::2]
    if layout == "reversed" and array.ndim:
        return array[::-1].copy()[::-1]
    if layout == "transposed" and array.ndim > 1:
        return np.asfortranarray(array)
    if layout == "unaligned" and array.size:
        raw = np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:]
        return raw.view(array.dtype).reshape(array.shape)
    if layout == "read-only":
        array = array.copy()
        array.flags.writeable = False
    return array


@dataclass(slots=True)
class Generator:
    """State of one program's making."""

    rng: random.Random
    numbers: np.random.Generator
    inputs: dict[str, Any] = field(default_factory=dict)
    pool: list[Tensor] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    features: set[str] = field(default_factory=set)
    functions: dict[str, str] = field(default_factory=dict)

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def note(self, *names: str) -> None:
        self.features.update(names)

    def input(self, shape: tuple[int, ...], dtype: DType, kind: str = "plain") -> Tensor:
        tensor = Tensor(f"I{len(self.inputs)}", shape, dtype)
        layout = self.rng.choice(LAYOUTS)
        self.inputs[tensor.name] = lay_out(values(self.numbers, shape, dtype, kind), layout)
        self.note(f"dtype {dtype}", f"layout {layout}", f"values {kind}")
        if 0 in shape:
            self.note("zero extent")
        return tensor

    def index(self, shape: tuple[int, ...]) -> Tensor:
        """An input of small indices, some of them outside of any axis."""
        dtype = self.rng.choice([I8, U8, I32, I32, I32, I64, U64])
        tensor = Tensor(f"I{len(self.inputs)}", shape, dtype)
        self.inputs[tensor.name] = self.numbers.integers(-1 if dtype.is_signed else 0, 6, shape).astype(dtype.numpy)
        self.note(f"dtype {dtype}")
        return tensor

    def result(self, shape: tuple[int, ...], dtype: DType) -> Tensor:
        tensor = Tensor(f"T{len(self.results)}", shape, dtype)
        self.results.append(tensor.name)
        return tensor


def generate(seed: int) -> Case:
    """The program of a seed."""
    from tests.fuzz.statements import statement

    gen = Generator(random.Random(seed), np.random.default_rng(seed))
    for _ in range(gen.rng.choice([1, 1, 2, 3, 4])):
        statement(gen)
    gen.note("chain" if len(gen.results) > 1 else "single statement")
    params = ", ".join(gen.inputs)
    body = "\n".join(f"  {line}" for line in gen.lines)
    text = f"function ({params}) -> ({', '.join(gen.results)}) {{\n{body}\n}}\n"
    functions = "".join(f"{function}\n" for function in gen.functions.values())
    return Case(seed, text + functions, gen.inputs, frozenset(gen.features))


def form_text(form: Form) -> str:
    """`2*i - j/2 + 1`, as one writes it."""
    parts: list[str] = []
    for name, c in form[0].items():
        sign = "-" if c < 0 else "+"
        number = "" if abs(c.numerator) == 1 else f"{abs(c.numerator)}*"
        below = "" if c.denominator == 1 else f"/{c.denominator}"
        parts.append(f"{sign} {number}{name}{below}")
    if form[1] or not parts:
        below = "" if form[1].denominator == 1 else f"/{form[1].denominator}"
        parts.append(f"{'-' if form[1] < 0 else '+'} {abs(form[1].numerator)}{below}")
    text = " ".join(parts)
    return text[2:] if text.startswith("+ ") else "-" + text[2:]


def form_range(form: Form, ranges: Mapping[str, int]) -> tuple[Fraction, Fraction]:
    """Least and greatest value over 0 <= v < ranges[v]."""
    low = high = form[1]
    for name, c in form[0].items():
        edge = c * max(0, ranges[name] - 1)
        low, high = low + min(Fraction(0), edge), high + max(Fraction(0), edge)
    return low, high


def shifted(form: Form, ranges: Mapping[str, int], offset: int = 0) -> Form:
    """The form moved so that its least value is near `offset`."""
    low, _ = form_range(form, ranges)
    return form[0], form[1] - floor(low) + offset


def extent_for(form: Form, ranges: Mapping[str, int]) -> int:
    """Size of an axis that the form just covers."""
    if any(ranges[v] == 0 for v in form[0]):
        return 0
    return max(0, floor(form_range(form, ranges)[1]) + 1)


def points(ranges: Mapping[str, int]) -> int:
    return prod(ranges.values())
