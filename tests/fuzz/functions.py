"""Random Python functions over the names of `tilec.numpy`, made together with what NumPy computes.

A statement that NumPy refuses, or whose values are not finite, large or without elements, is not taken; so shapes need
not be foreseen.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from tests.fuzz.reference import CONTRACTIONS, Reference

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

UNARY = (
    *("sin", "cos", "tanh", "exp", "sigmoid", "abs", "square", "floor", "sign", "negative", "relu", "atan", "expm1"),
    *("erf", "asinh", "ceil", "trunc", "round", "sinh", "exp2"),
)
GUARDED = ("xp.log(xp.abs({a}) + 0.5)", "xp.sqrt(xp.abs({a}) + 0.1)", "xp.rsqrt({a} * {a} + 1)", "xp.log1p({a} * {a})")
BINARY = (
    "{a} + {b}",
    "{a} - {b}",
    "{a} * {b}",
    "{a} / (xp.abs({b}) + 0.5)",
    "xp.maximum({a}, {b})",
    "xp.minimum({a}, {b})",
    "xp.where({a} > {b}, {a}, {b} * {b})",
    "xp.where(xp.logical_and({a} > 0.1, {b} < 0.2), {b}, {a})",
    "xp.logaddexp({a}, {b})",
    "2.0 - {a}",
    "{a} * 0.5 + 1",
    "{a} ** 2",
    "{a} ** 3",
    "1 / ({a} ** 2 + 1)",
    "xp.remainder({a}, 1.7)",
    "xp.clip({a}, -0.7, 0.9)",
    "-{a}",
)
AGGREGATIONS = (
    *(f"{{a}}.{n}(axis={{axis}})" for n in ("sum", "mean", "max", "min", "prod")),
    *(f"xp.{n}({{a}}, axis={{axis}}, keepdims={{flag}})" for n in ("sum", "max", "min", "mean", "var", "logsumexp")),
    "{a}.sum()",
    "{a}.mean()",
    "xp.std({a} + {b}, axis={axis})",
    "xp.softmax({a}, axis={axis})",
    "xp.log_softmax({a}, axis={axis})",
    "xp.cumulative_sum({a}, axis={axis})",
    "xp.sort({a}, axis={axis})",
    "xp.argmax({a}, axis={axis}) * {b}.sum()",
    "xp.take_along_axis({a}, xp.argsort({a}, axis={axis}), axis={axis})",
)
SHAPES = (
    "{a}.T",
    "{a}.reshape(-1)",
    "{a}.reshape({shape})",
    "xp.permute_dims({a}, {order})",
    "xp.expand_dims({a}, axis={axis})",
    "xp.squeeze(xp.expand_dims({a}, axis=0), axis=0)",
    "xp.flip({a}, axis={axis})",
    "xp.roll({a}, {k}, axis={axis})",
    "xp.concat([{a}, {b}], axis={axis})",
    "xp.stack([{a}, {b}], axis={axis})",
    "xp.broadcast_to({a}, (2, *{a}.shape))",
    "xp.moveaxis({a}, 0, -1)",
    "xp.pad({a}, 1, constant_values=0.5)",
    "xp.tril({a})",
)
PLACES = (
    "{a}[{k}]",
    "{a}[-1]",
    "{a}[1:]",
    "{a}[::2]",
    "{a}[::-1]",
    "{a}[None]",
    "{a}[..., {k}]",
    "{a}[..., None] * {b}",
    "{a}[1:] - {a}[:-1]",
    "{a}[n0]",
    "xp.take({a}, n1, axis={axis})",
    "xp.take({a}, n0[{k}])",
)
PRODUCTS = (
    "{a} @ {b}",
    "{a} @ {a}.T",
    "xp.einsum('ij,kj->ik', {a}, {b})",
    "xp.einsum('ij,j->i', {a}, {b})",
    "xp.einsum('ii->i', {a} @ {a}.T)",
    "xp.outer({a}, {b})",
    "xp.vecdot({a}, {b})",
    "xp.tensordot({a}, {b}, axes=1)",
    *(f"xp.contract({text!r}, A={{a}})" for text in CONTRACTIONS),
)
CONTROL = (
    "xp.cond({a}.sum() > 0.3, lambda u: u * u, lambda u: -u, {b})",
    "xp.cond(n0[0] > 1, lambda: {a} * 2.0, lambda: xp.sin({a}))",
    "xp.scan(lambda s, r: (xp.tanh(s + r), s * r), {a}[0] * 0.5, {a})[0]",
    "xp.scan(lambda s, r: (0.5 * s + r * {b}.sum(), s * 2.0), {a}[0] * 1.0, {a}, reverse={flag})[1]",
    "xp.fori_loop(0, {k} + 2, lambda i, s: 0.5 * s + xp.sin({a}) * i, {a} * 1.0)",
    "xp.while_loop(lambda s: s[0] < {k} + 2, lambda s: (s[0] + 1, 0.7 * s[1] + {a}), (0, {a} * 0.1))[1]",
    "xp.checkpoint(lambda u: xp.sin(u) * u)({a})",
)
KINDS = {
    "unary": tuple(f"xp.{name}({{a}})" for name in UNARY) + GUARDED,
    "binary": BINARY,
    "aggregation": AGGREGATIONS,
    "shape": SHAPES,
    "place": PLACES,
    "product": PRODUCTS,
    "control": CONTROL,
}
WEIGHTS = {"unary": 3, "binary": 5, "aggregation": 3, "shape": 3, "place": 3, "product": 2, "control": 1}


@dataclass(frozen=True, slots=True)
class Program:
    """A function `f` as text, its arguments by name, and what it contains."""

    seed: int
    text: str
    inputs: Mapping[str, Array]
    features: frozenset[str]

    def function(self, namespace: Any) -> Callable[..., Any]:
        """The function, with `xp` for the namespace."""
        scope: dict[str, Any] = {"xp": namespace}
        exec(compile(self.text, f"<seed {self.seed}>", "exec"), scope)
        return scope["f"]  # type: ignore[no-any-return]


@dataclass(slots=True)
class Maker:
    """State of one function's making: what every name is worth."""

    rng: random.Random
    values: dict[str, Array] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    features: set[str] = field(default_factory=set)

    def statement(self) -> None:
        """Adds a statement, after some attempts at most."""
        for _ in range(20):
            kind = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            template = self.rng.choice(KINDS[kind])
            text = self.filled(template)
            if (value := self.value(text)) is not None:
                name = f"v{len(self.lines)}"
                self.values[name] = value
                self.lines.append(f"{name} = {text}")
                self.features |= {kind, template}
                return

    def filled(self, template: str) -> str:
        names = [n for n, v in self.values.items() if v.dtype == np.float64]
        recent = names[-3:] if self.rng.random() < 0.6 else names
        a = self.rng.choice(recent)
        alike = [n for n in names if self.values[n].shape == self.values[a].shape]
        axes = [-1, *range(self.values[a].ndim)] if self.values[a].ndim else [9]  # which NumPy refuses
        return template.format(
            a=a,
            b=self.rng.choice(alike if self.rng.random() < 0.6 else names),
            axis=self.rng.choice(axes),
            flag=self.rng.random() < 0.5,
            k=self.rng.choice([0, 1, 2]),
            shape=tuple(reversed(self.values[a].shape)),
            order=tuple(self.rng.sample(range(self.values[a].ndim), self.values[a].ndim)),
        )

    def value(self, text: str) -> Array | None:
        """What NumPy computes, if that is worth something."""
        try:
            with np.errstate(all="ignore"):
                found = np.asarray(eval(text, {"xp": Reference(), **self.values}))
        except (ValueError, IndexError, TypeError, np.exceptions.AxisError):
            return None
        good = found.dtype == np.float64 and 0 < found.size <= 300 and found.ndim <= 4
        return found if good and np.isfinite(found).all() and np.abs(found).max() < 100 else None


def python_function(seed: int) -> Program:
    """The function of a seed."""
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    maker = Maker(rng)
    n = rng.choice([2, 3, 4])
    shapes = [rng.choice([(n,), (n, n), (n, 3), (2, n, 3), (3,)]) for _ in range(rng.choice([1, 2, 2, 3]))]
    maker.values = {f"x{k}": numbers.uniform(-1.5, 1.5, shape) for k, shape in enumerate(shapes)}
    maker.values |= {f"n{k}": numbers.integers(0, 2, shape).astype("i4") for k, shape in enumerate([(3,), (2, 2)])}
    inputs = dict(maker.values)
    for _ in range(rng.choice([1, 2, 3, 5, 8])):
        maker.statement()
    body = "".join(f"    {line}\n" for line in maker.lines)
    last = list(maker.values)[-1] if maker.lines else "x0 * 1.0"
    text = f"def f({', '.join(inputs)}):\n{body}    return {last}\n"
    return Program(seed, text, inputs, frozenset(maker.features))
