"""Contractions: the derivative of a contraction is a contraction over the same points.

`O[sigma(i)] = agg(body(i))` has, for the cotangent g of O and every access A[alpha(i)] of the body,

    dA[alpha(i)] += weight(i) * g[sigma(i)] * d body(i) / d A[alpha(i)]

where the weight is that of the aggregation (`tilec.passes.differentiate.weights`). The points must be the same, so the
conditions of accesses that the new contraction does not have become constraints. Where alpha is not affine, or the
access has a boundary mode, the cotangent is scattered (`tilec.passes.differentiate.places`). A default has the
cotangent of the cells that no point reaches: 0 over the same points, g else; where one cell may have several points,
their maximum is taken, which is 0 too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tilec.affine import Affine
from tilec.dtypes import DType, accumulator, promote
from tilec.expr import Access, Const, Expr, reads
from tilec.graph import Contraction, Let, Sink
from tilec.monoid import STANDARD, Monoid, standard
from tilec.passes.differentiate.body import adjoints, tangent
from tilec.passes.differentiate.builder import Builder, no_derivative
from tilec.passes.differentiate.places import is_plain, scatter
from tilec.passes.differentiate.weights import converted, is_injective, over_points, weight


def pull_contraction(b: Builder, let: Let, g: str, active: set[str]) -> Iterator[tuple[str, str]]:
    """Operands and their parts of the cotangent."""
    node = _checked(let)
    (body,), (sink,), (default,) = node.body, node.sinks, node.defaults
    if any(r.access.tensor in active for r in reads(body)):
        arriving = converted(b.element(g, sink.indices), body.dtype)
        seed = weight(b, let, node)(arriving)
        for access, adjoint in adjoints(body, seed, active, let.span).items():
            yield access.tensor, _scatter(b, node, access, adjoint)
    if default is not None and default in active:
        yield default, _pull_default(b, node, g, default)


def push_contraction(b: Builder, let: Let, tangents: Mapping[str, str]) -> str:
    """The tangent of the result."""
    node = _checked(let)
    (body,), (default,), dtype = node.body, node.defaults, let.types[0].dtype
    moved = tangent(body, tangents, let.span)
    if moved is None:
        monoid, moved = standard("max", dtype), Const(0.0, dtype)
    else:
        moved = weight(b, let, node)(moved)
        monoid = node.monoid if node.monoid.name == "assign" else _sum(dtype, body.dtype)
    passed = tangents.get(default) if default is not None else None
    return over_points(b, node, monoid, moved, node.sinks[0], f"{let.names[0]}_dot", dtype, passed)


def _checked(let: Let) -> Contraction:
    """The contraction, if it is of a kind that has a derivative; else raises TILE0310."""
    node = let.node
    assert isinstance(node, Contraction)
    if node.monoid.arity != 1 or not _is_standard(node.monoid):
        raise no_derivative(f"the aggregation '{node.monoid.name}' has no derivative", let.span)
    return node


def _is_standard(monoid: Monoid) -> bool:
    return any(monoid == standard(name, monoid.dtypes[0]) for name in STANDARD if name == monoid.name)


def _sum(dtype: DType, term: DType) -> Monoid:
    """The usual sum of `dtype`, no narrower than its terms."""
    return standard("sum", promote(accumulator(dtype, "sum"), term))


def _scatter(b: Builder, node: Contraction, access: Access, term: Expr) -> str:
    """The sum of `term` over the points, into the cells that the access reads."""
    target = b.types[access.tensor]
    monoid = _sum(target.dtype, node.accumulator[0])
    if not is_plain(access):
        return scatter(b, node, access, term, monoid)
    sink = Sink(tuple(i for i in access.indices if isinstance(i, Affine)), target.shape)
    if is_injective(node.indices, sink):  # nothing is added up: later passes see a part of a tensor, moved
        monoid, term = standard("assign", target.dtype), converted(term, target.dtype)
    return over_points(b, node, monoid, term, sink, f"{access.tensor}_bar", target.dtype)


def _pull_default(b: Builder, node: Contraction, g: str, default: str) -> str:
    dtype, stem = b.types[g].dtype, f"{default}_bar"
    zero, sink = Const(0.0, dtype), node.sinks[0]
    monoid = standard("assign" if is_injective(node.indices, sink) else "max", dtype)
    unreached = over_points(b, node, monoid, zero, sink, stem, dtype, g)
    return b.narrowed(unreached, b.types[default], stem)
