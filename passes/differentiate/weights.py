"""What one term of an aggregation contributes to its derivative.

For the cell that a point contributes to, d cell / d body(point) is, by aggregation,

    sum, assign    1
    max, min       1 at the first point, in lexicographic order of the indices, whose value is the result; else 0.
                   Where the result is NaN, the first point of value NaN.
    prod           the product of the other terms. It is exact where terms are zero: with the number Z of zero terms,
                   the product P of the others and the sum W of the zeros (of value 0, but not of derivative 0),
                   P * W^[Z = 1] / body for a term that is not zero, P for the only zero, P * (W - body) for one of two.
                   First and second derivatives are right everywhere, higher ones where at most one term is zero. Where
                   P overflows, its products with zeros count as zero.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeAlias

from tilec.affine import Affine
from tilec.dtypes import BOOL, I32, I64, DType
from tilec.exact.domain import conditions
from tilec.expr import Access, Call, Const, Expr, IndexValue, Read, read, reads
from tilec.graph import Contraction, Let, Sink, TensorType
from tilec.monoid import Monoid, standard
from tilec.passes.differentiate.builder import Builder
from tilec.passes.differentiate.numbering import numbering

Weight: TypeAlias = Callable[[Expr], Expr]


def weight(b: Builder, let: Let, node: Contraction) -> Weight:
    """The weight of a term, as a function that multiplies by it."""
    match node.monoid.name:
        case "max" | "min":
            return _extremum(b, let, node)
        case "prod":
            return _product(b, let, node)
        case _:
            return lambda term: term


def over_points(
    b: Builder,
    node: Contraction,
    monoid: Monoid,
    body: Expr,
    sink: Sink,
    stem: str,
    dtype: DType,
    default: str | None = None,
) -> str:
    """A contraction of another body over the points of `node`: what its reads and sink do not say, constraints do.

    A read that bounds the points as no constraint can say stays, in a branch that is never chosen.
    """
    for r in _bounding(node, body):
        body = Call("cond", (Const(1, BOOL), body, converted(r, body.dtype)), body.dtype)
    shapes = b.shapes(body, *node.body)
    new = Contraction(node.indices, monoid, (body,), (sink,), (), (default,))
    said = set(conditions(new, shapes))
    rest = tuple(c for c in conditions(node, shapes) if c not in said)
    if isinstance(body, Const) and not rest and default is None and _one_point_per_cell(node.indices, sink):
        return b.filled(body.value, TensorType(dtype, sink.shape), stem)
    return b.bind(Contraction(node.indices, monoid, (body,), (sink,), rest, (default,)), stem, dtype)


def _bounding(node: Contraction, body: Expr) -> list[Read]:
    """The reads of `node` that `body` lacks, and that drop points by the values of tensors or by fractional indices."""
    own = {r.access for r in reads(body)}
    return [r for e in node.body for r in reads(e) if r.access not in own and _bounds_points(r.access)]


def _bounds_points(access: Access) -> bool:
    if access.boundary == "skip":
        return any(not isinstance(i, Affine) for i in access.indices)
    return any(isinstance(i, Affine) and i.denominator() != 1 for i in access.indices)


def _one_point_per_cell(indices: tuple[str, ...], sink: Sink) -> bool:
    """Whether the output indices are the indices themselves, so that without other conditions no cell is left out."""
    return sorted(indices) == sorted(form.as_variable() or "" for form in sink.indices)


def is_injective(indices: tuple[str, ...], sink: Sink) -> bool:
    """Whether different points surely have different cells: each index moves along an axis of its own."""
    moving = [form.variables() for form in sink.indices]
    return all(len(names) <= 1 for names in moving) and set(indices) == {n for names in moving for n in names}


def converted(expr: Expr, dtype: DType) -> Expr:
    if isinstance(expr, Const) and dtype.is_float:
        return Const(float(expr.value), dtype)
    return expr if expr.dtype == dtype else Call("cast", (expr,), dtype)


def _extremum(b: Builder, let: Let, node: Contraction) -> Weight:
    """Only the first point that attains the result counts; its number is found by a contraction of its own."""
    (result,), (body,), (sink,) = let.names, node.body, node.sinks
    form, count = numbering(b, let, node)
    integer = I32 if isinstance(count, int) and count < I32.max else I64
    dtype = b.types[result].dtype
    value = converted(body, dtype)
    attained = Call("cmp_eq", (value, read(result, sink.indices, dtype)), BOOL)
    unordered = Call("cmp_ne", (value, value), BOOL)
    number = IndexValue(form, integer)
    none = Const(count, integer) if isinstance(count, int) else IndexValue(Affine.constant(count), integer)
    candidate = Call("cond", (Call("bit_or", (attained, unordered), BOOL), number, none), integer)
    first = over_points(b, node, standard("min", integer), candidate, sink, f"{result}_first", integer)
    chosen = Call("cmp_eq", (number, read(first, sink.indices, integer)), BOOL)
    return lambda term: Call("cond", (chosen, term, Const(0.0, term.dtype)), term.dtype)


def _product(b: Builder, let: Let, node: Contraction) -> Weight:
    """The product of the other terms, by division where no zero is in the way."""
    (result,), (body,), (sink,) = let.names, node.body, node.sinks
    dtype = body.dtype
    if _never_zero(body):
        whole = converted(read(result, sink.indices, let.types[0].dtype), dtype)
        return lambda term: Call("strong_mul", (term, Call("div", (whole, body), dtype)), dtype)
    is_zero = Call("cmp_eq", (body, Const(0.0, dtype)), BOOL)

    def per_cell(monoid: Monoid, then: Expr, orelse: Expr, what: str) -> Expr:
        term = Call("cond", (is_zero, then, orelse), then.dtype)
        name = over_points(b, node, monoid, term, sink, f"{result}_{what}", then.dtype)
        return read(name, sink.indices, then.dtype)

    one, nothing = Const(1.0, dtype), Const(0.0, dtype)
    zeros = per_cell(standard("sum", I32), Const(1, I32), Const(0, I32), "zeros")
    others = per_cell(standard("prod", dtype), one, body, "others")
    vanishing = per_cell(standard("sum", dtype), body, nothing, "vanishing")

    factor = product_of_others(body, zeros, others, vanishing)
    return lambda term: Call("strong_mul", (term, factor), dtype)


def product_of_others(body: Expr, zeros: Expr, others: Expr, vanishing: Expr) -> Expr:
    """The product of a cell's terms without `body`, from the number of its zeros, the product of the others and the sum
    of the zeros.
    """
    dtype = body.dtype
    one, nothing = Const(1.0, dtype), Const(0.0, dtype)
    is_zero = Call("cmp_eq", (body, nothing), BOOL)

    def where_zeros_are(count: int, then: Expr, orelse: Expr) -> Expr:
        return Call("cond", (Call("cmp_eq", (zeros, Const(count, I32)), BOOL), then, orelse), dtype)

    infinite = Call("cmp_eq", (Call("abs", (others,), dtype), Const(inf, dtype)), BOOL)
    finite = Call("cond", (infinite, nothing, others), dtype)  # times zero it is zero, though the others overflow

    def times(zeros: Expr) -> Expr:
        return Call("mul", (finite, zeros), dtype)

    second = Call("sub", (vanishing, body), dtype)
    at_zero = where_zeros_are(1, others, where_zeros_are(2, times(second), nothing))
    elsewhere = where_zeros_are(0, others, where_zeros_are(1, times(vanishing), nothing))
    divisor = Call("cond", (is_zero, one, body), dtype)  # a division by zero, though masked, would have NaN derivatives
    return Call("cond", (is_zero, at_zero, Call("div", (elsewhere, divisor), dtype)), dtype)


def _never_zero(body: Expr) -> bool:
    """Whether the body is `x == 0 ? 1 : x`, as in a derivative of a product."""
    match body:
        case Call("cond", (Call("cmp_eq", (value, Const(0.0))), Const(1.0), orelse)):
            return value == orelse
        case _:
            return False
