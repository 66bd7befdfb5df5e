"""0.7's composite builtins as expansions into contractions and elementwise operations."""

from __future__ import annotations

from collections.abc import Sequence

from tilec.affine import Affine
from tilec.dtypes import F32, accumulator
from tilec.errors import Span, error
from tilec.expr import read
from tilec.frontends.tile.builder import Builder
from tilec.frontends.tile.emit import Extras, emit_contraction
from tilec.frontends.tile.syntax import Call
from tilec.frontends.tile.values import Tensor, Value
from tilec.graph import Apply, TensorType
from tilec.rules import apply_type, shape_text

_ROW, _COLUMN = Affine.var("x"), Affine.var("y")


def softmax(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    """builtin_softmax(x, X, Y) = exp(x - max) / sum(exp(x - max)) over the last axis of a matrix [X, Y]."""
    shifted = _shifted(b, args, at)
    powers = apply(b, "exp", at.span, shifted)
    return apply(b, "div", at.span, powers, _reduce(b, "sum", powers, at.span), name=name)


def logsoftmax(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    """builtin_logsoftmax(x, X, Y) = (x - max) - log(sum(exp(x - max))) over the last axis of a matrix [X, Y]."""
    shifted = _shifted(b, args, at)
    total = _reduce(b, "sum", apply(b, "exp", at.span, shifted), at.span)
    return apply(b, "sub", at.span, shifted, apply(b, "log", at.span, total), name=name)


def binary_crossentropy(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    """builtin_binary_crossentropy(p, t[, count]) = -t log(p) - (1 - t) log(1 - p), elementwise."""
    p, t = (b.tensor(a, at.span) for a in args[:2])
    one = b.literal(1, at.span)
    hit = apply(b, "mul", at.span, t, apply(b, "log", at.span, p))
    miss = apply(b, "mul", at.span, _minus(b, one, t, at), apply(b, "log", at.span, _minus(b, one, p, at)))
    return apply(b, "sub", at.span, apply(b, "neg", at.span, hit), miss, name=name)


def _minus(b: Builder, x: Tensor, y: Tensor, at: Call) -> Tensor:
    return apply(b, "sub", at.span, x, y)


def _shifted(b: Builder, args: Sequence[Value], at: Call) -> Tensor:
    """x minus the maximum of its row: exp cannot overflow then."""
    x = b.tensor(args[0], at.span)
    if x.type.rank != 2:
        raise error("TILE0202", f"'{at.function.text}' takes a matrix, found {x}", at.args[0].span)
    for axis, (size, expression) in enumerate(zip(args[1:], at.args[1:])):
        given = b.size(size, expression.span, "a size")
        if given != x.type.shape[axis]:
            text = f"size {given} is given for axis {axis} of a tensor of shape {shape_text(x.type.shape)}"
            raise error("TILE0201", text, expression.span)
    if not x.type.dtype.is_float:
        x = b.emit(Apply("cast", (x.name,), F32), TensorType(F32, x.type.shape), at.span)
    return apply(b, "sub", at.span, x, _reduce(b, "max", x, at.span))


def _reduce(b: Builder, monoid: str, x: Tensor, span: Span) -> Tensor:
    """Aggregates the rows of [X, Y] to [X, 1]."""
    body = read(x.name, (_ROW, _COLUMN), x.type.dtype)
    type = TensorType(x.type.dtype, (x.type.shape[0], 1))
    extras = Extras(accumulator=accumulator(x.type.dtype, monoid))
    return emit_contraction(b, monoid, ("x", "y"), body, (_ROW, Affine.constant(0)), type, span, None, extras)


def apply(b: Builder, op: str, span: Span, *args: Tensor, name: str | None = None) -> Tensor:
    """An elementwise Let; never folded."""
    _, type = apply_type(op, [a.type for a in args], None, span)
    return b.emit(Apply(op, tuple(a.name for a in args)), type, span, name)
