"""Judges a run of a program, statement by statement, each from its own actual inputs.

Integers, assignments, maxima, minima and comparisons must be exact. A float sum of n terms may be off by
4 n eps sum|terms| (Higham, Accuracy and Stability of Numerical Algorithms, 4.2, with room for the terms' own
rounding), plus what the body's own operations may lose: a running error bound over the body's expression. Loops and
branches are exact where all that is inside is; others are judged by the greatest value that goes in or comes out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tilec.affine import Affine
from tilec.builtins import BUILTINS
from tilec.dtypes import DType
from tilec.evaluate.contraction import contraction_magnitude, read_cells, term_points
from tilec.evaluate.domain import Points, integers
from tilec.evaluate.expr import constant, evaluate_call
from tilec.evaluate.graph import evaluate
from tilec.expr import Access, Call, Const, Expr, IndexValue, Read
from tilec.graph import Apply, Cond, Contraction, Graph, Let, Param, Scan, While, operands, subgraphs
from tilec.numpy_semantics import cast

Array = np.ndarray[Any, np.dtype[Any]]
Tensors = Mapping[str, Array]

EPS = {"f16": 2.0**-11, "bf16": 2.0**-8, "f32": 2.0**-24, "f64": 2.0**-53}  # unit roundoff
_IDENTITIES = frozenset({"ident", "stop_gradient", "reverse_grad"})
_PRODUCTS = frozenset({"mul", "div", "strong_mul", "strong_div", "recip"})
CORRECTLY_ROUNDED = _IDENTITIES | _PRODUCTS | {"add", "sub", "neg", "abs", "relu", "cast", "sqrt"}
LOOP = 2.0**10  # unit roundoffs of the greatest value, for the few short steps that random loops have
TINY = {"f16": 2.0**-24, "bf16": 2.0**-133, "f32": 2.0**-149, "f64": 2.0**-1074}  # smallest subnormal


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A statement whose result is wrong: where, what came out, what should have, how far off was allowed."""

    let: Let
    name: str
    index: tuple[int, ...]
    found: Any
    expected: Any
    allowed: Any

    def __str__(self) -> str:
        at = list(self.index)
        return f"{self.name}{at} is {self.found}, expected {self.expected}, allowed error {self.allowed}"


def visible(graph: Graph) -> Graph:
    """The graph with every named value as a result, so that each can be judged."""
    return replace(graph, results=tuple(n for let in graph.lets for n in let.names))


def judge(graph: Graph, inputs: Tensors, found: Tensors) -> Mismatch | None:
    """First wrong statement of a typed graph, given what a backend found for every name; None where all is right."""
    return next(mismatches(graph, inputs, found), None)


def mismatches(graph: Graph, inputs: Tensors, found: Tensors) -> Iterator[Mismatch]:
    """Every wrong value of a typed graph, at its first wrong element."""
    types = graph.types()
    for let in graph.lets:
        actual = {n: found[n] if n in found else inputs[n] for n in operands(let.node)}
        params = tuple(Param(n, replace(types[n], weak=False)) for n in actual)
        single = Graph("one", params, (let,), let.names)
        exact = evaluate(single, actual, "typed")
        for name, type_ in zip(let.names, let.types):
            if type_.dtype.is_float and not is_exact(let):
                twin = evaluate(single, actual, "float64")[name]
                allowed = tolerance(let, actual, twin, type_.dtype)
                wrong = ~close(found[name], exact[name], twin, allowed)
            else:
                allowed = np.zeros(found[name].shape)
                wrong = ~same(found[name], exact[name])
            if wrong.any():
                at = tuple(int(i) for i in np.argwhere(wrong)[0])
                yield Mismatch(let, name, at, found[name][at], exact[name][at], allowed[at])


def same(a: Array, b: Array) -> Array:
    """Equal, or both NaN; the sign of zero does not count."""
    return np.asarray((a == b) | ((a != a) & (b != b)))


def close(found: Array, typed: Array, twin: Array, allowed: Array) -> Array:
    """Within the bound of the float64 value. Where the typed value overflows or is NaN, equal to that instead."""
    with np.errstate(all="ignore"):
        value = found.astype(np.float64)
        near = np.abs(value - twin) <= allowed
        both_overflow = ~np.isfinite(typed.astype(np.float64)) & ~np.isfinite(value) & ~np.isfinite(allowed)
    return np.asarray(same(found, typed) | near | both_overflow)


def is_exact(let: Let) -> bool:
    """Whether a float result admits no rounding at all."""
    match let.node:
        case Apply():
            return BUILTINS[let.node.op].rule in ("order", "select", "rounding") or let.node.op in CORRECTLY_ROUNDED
        case Contraction():
            plain = all(isinstance(b, Read | Const | IndexValue) for b in let.node.body)
            return plain and let.node.monoid.name in ("max", "min", "assign")
        case Cond() | While() | Scan():
            return all(is_exact(inner) for graph in subgraphs(let.node) for inner in graph.lets)
        case _:
            return False


def tolerance(let: Let, actual: Tensors, twin: Array, dtype: DType) -> Array:
    """Allowed absolute error of each element of a float result."""
    eps, tiny = EPS[dtype.name], TINY[dtype.name]
    with np.errstate(all="ignore"):
        match let.node:
            case Apply():
                ulps = BUILTINS[let.node.op].ulp + 0.5
                return np.asarray(2 * ulps * eps * np.abs(twin) + (2 + ulps) * tiny)
            case Contraction():
                return contraction_tolerance(let.node, actual, twin, dtype)
            case Cond() | While() | Scan():
                return np.full(twin.shape, LOOP * eps * max(map(_largest, (*actual.values(), twin))) + 4 * tiny)
            case _:
                return np.asarray(64 * eps * np.abs(twin) + 4 * tiny)


def _largest(array: Array) -> float:
    """Greatest finite magnitude."""
    numbers = np.abs(array.astype(np.float64))
    return float(np.max(numbers, initial=0.0, where=np.isfinite(numbers)))


def contraction_tolerance(node: Contraction, actual: Tensors, twin: Array, dtype: DType) -> Array:
    """The bound of the module's text, for one-component monoids."""
    accumulate = node.accumulator[0]
    eps = EPS.get(accumulate.name, 0.0)
    (magnitude,) = contraction_magnitude(node, actual, {})
    shape, n = magnitude.count.shape, magnitude.count
    own = body_errors(node, actual, shape)
    rounding = EPS[dtype.name] * np.abs(twin) + 2 * TINY[dtype.name] * (1 + n)
    match node.monoid.name:
        case "sum":
            return np.asarray(4 * n * eps * magnitude.total + own[0] + rounding)
        case "prod":
            relative = 2 * n * eps + own[2]
            return np.asarray(np.abs(twin) * relative * np.exp(np.minimum(relative, 700)) + rounding + own[3])
        case _:
            return np.asarray(own[1] + rounding)


def body_errors(node: Contraction, actual: Tensors, shape: tuple[int, ...]) -> tuple[Array, Array, Array, Array]:
    """Per output cell: sum, maximum and relative sum of the bounds of the terms' own rounding errors.

    The fourth array is infinite where a term that may round to or from zero makes a relative bound meaningless.
    """
    total, largest, relative, doubtful = (np.zeros(int(np.prod(shape))) for _ in range(4))
    for at in term_points(node, actual, {}, "typed"):
        value, bound = running_error(node.body[0], actual, at)
        cells = np.zeros(at.count, np.int64)
        for form, size in zip(node.sinks[0].indices, shape):
            cells = cells * size + integers(form, at)
        np.add.at(total, cells, bound)
        np.maximum.at(largest, cells, bound)
        with np.errstate(all="ignore"):
            share = np.where(bound > 0, bound / np.abs(value), 0.0)
        np.add.at(relative, cells, np.where(np.isfinite(share), share, 0.0))
        np.maximum.at(doubtful, cells, np.where(np.isfinite(share) & (share < 0.5), 0.0, np.inf))
    return total.reshape(shape), largest.reshape(shape), relative.reshape(shape), doubtful.reshape(shape)


def running_error(expr: Expr, tensors: Tensors, at: Points) -> tuple[Array, Array]:
    """(value in float64, bound of the error of a typed evaluation) at the points, both float64 (integers: bound 0)."""
    match expr:
        case Const():
            value = np.broadcast_to(constant(expr, "float64"), (at.count,))
            return value, np.zeros(at.count)
        case IndexValue():
            exact = integers(expr.form, at)
            value = cast(exact, np.dtype(np.float64) if expr.dtype.is_float else expr.dtype.numpy)
            return value, _rounding(value, expr.dtype)
        case Read():
            value = np.broadcast_to(_read(expr.access, tensors, at), (at.count,))
            return (value.astype(np.float64) if expr.dtype.is_float else value), np.zeros(at.count)
        case Call():
            return _call_error(expr, tensors, at)
        case _:
            raise AssertionError(f"{expr} in a contraction's body")


def _read(access: Access, tensors: Tensors, at: Points) -> Array:
    position = [integers(i, at) if isinstance(i, Affine) else running_error(i, tensors, at)[0] for i in access.indices]
    return read_cells(tensors[access.tensor], position, access, "typed")


def _rounding(value: Array, dtype: DType, ulps: float = 0.5) -> Array:
    if not dtype.is_float:
        return np.zeros(value.shape)
    return np.asarray(2 * ulps * EPS[dtype.name] * np.abs(value) + TINY[dtype.name])


def _call_error(expr: Call, tensors: Tensors, at: Points) -> tuple[Array, Array]:
    parts = [running_error(a, tensors, at) for a in expr.args]
    values, errors = [p[0] for p in parts], [p[1] for p in parts]
    with np.errstate(all="ignore"):
        single = evaluate_call(expr.op, values, [a.dtype for a in expr.args], expr.dtype, "float64")
        value = np.broadcast_to(single, (at.count,))
        inherited = _inherited(expr, values, errors)
        own = _rounding(value, expr.dtype, BUILTINS[expr.op].ulp + 0.5)
        if BUILTINS[expr.op].rule in ("order", "select", "rounding"):
            own = np.zeros(at.count)
        return value, np.nan_to_num(inherited + own, nan=np.inf, posinf=np.inf)


def _inherited(expr: Call, values: list[Array], errors: list[Array]) -> Array:
    """How much the operands' errors move the result."""
    none = np.zeros(values[0].shape)
    if not any(e.any() for e in errors):
        return none
    match expr.op:
        case "add" | "sub":
            return np.asarray(errors[0] + errors[1])
        case "mul":
            a, b = np.abs(values[0]), np.abs(values[1])
            return np.asarray(a * errors[1] + b * errors[0] + errors[0] * errors[1])
        case "neg" | "abs" | "cast" | "relu" | "ident" | "stop_gradient" | "reverse_grad":
            return errors[0]
        case "max" | "min":
            return np.maximum(errors[0], errors[1])
        case "cond":
            safe = np.where(errors[0] > 0, np.inf, 0.0)
            return np.asarray(np.maximum(errors[1], errors[2]) + safe)
        case _ if BUILTINS[expr.op].rule == "compare":
            close_call = np.abs(values[0].astype(np.float64) - values[1]) <= errors[0] + errors[1]
            return np.where(close_call, np.inf, 0.0)
        case _:
            return np.full(none.shape, np.inf)  # not judged: rare, and counted as such
