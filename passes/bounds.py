"""Pass `bounds`: gives every contraction integer coefficients and a box, and drops constraints the box implies.

Index variables are substituted so that all forms are integer and index i runs over 0 <= i < extent, the tightest box
that holds all points (exact up to the limits of `exact.polyhedron`). Lexicographic order, hence the order of a float
sum, is kept. A contraction that scatters is made to gather where that is possible (see `exact.gather_form`). A variable
that keeps its meaning keeps its name. An index over an open size is independent of all others and keeps that size as
its extent. Accesses and sinks stay: the points of the box at which
they are in range are the points of the contraction. A contraction without points gets a box of extents 0.

Errors: TILE0401 an index that nothing bounds; TILE0402 an assignment with several writers of one cell; TILE0210 an open
size that is not ranged by one variable alone. Warning TILE0403, collected in `report`: no valid point.

Before:
    graph f(A: f32[10]) -> (O) {
      O: f32[4] = sum:f32 [i] { [1/2*i] <- A[i + 2] }
    }
After:
    graph f(A: f32[10]) -> (O) {
      O: f32[4] = sum:f32 [i_1 < 4] { [i_1] <- A[2*i_1 + 2] }
    }
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import floor

from tilec.affine import Affine, Coef, Poly, Size
from tilec.errors import Report, Span, TileError, error
from tilec.exact.boxes import Box, Unbounded, implied
from tilec.exact.cells import several_writers
from tilec.exact.domain import OpenNormal, box_of, conditions, guards, integral_forms, normalise_open
from tilec.exact.gather_form import gather_form
from tilec.exact.polyhedron import Undecided
from tilec.expr import Expr, IndexValue, Read, substitute_indices, transform
from tilec.graph import Constraint, Contraction, Graph, Let, Sink, subgraphs, with_subgraphs

Shapes = Mapping[str, tuple[Size, ...]]
Normalise = Callable[[tuple[str, ...], tuple[Constraint, ...], tuple[Affine, ...]], OpenNormal | None]


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(graph: Graph, options: Options = Options(), report: Report | None = None) -> Graph:
    """Normalises all contractions, those of sub-Graphs too. The graph must be inferred."""
    return _run(graph, report, cache(normalise_open))  # equal layers have equal domains


def _run(graph: Graph, report: Report | None, normalise: Normalise) -> Graph:
    shapes = {name: type.shape for name, type in graph.types().items()}
    lets = tuple(_let(let, shapes, report, normalise) for let in graph.lets)
    return graph if all(a is b for a, b in zip(lets, graph.lets)) else replace(graph, lets=lets)


def _let(let: Let, shapes: Shapes, report: Report | None, normalise: Normalise) -> Let:
    node = let.node
    if isinstance(node, Contraction):
        bounded = contraction(node, shapes, let.span, report, normalise)
        return let if bounded == node else replace(let, node=bounded)
    inner = subgraphs(node)
    graphs = tuple(_run(g, report, normalise) for g in inner)
    if all(a is b for a, b in zip(graphs, inner)):
        return let
    return replace(let, node=with_subgraphs(node, graphs))


def contraction(
    node: Contraction,
    shapes: Shapes,
    span: Span | None = None,
    report: Report | None = None,
    normalise: Normalise = normalise_open,
) -> Contraction:
    """One contraction, normalised; the same value where it already was. Raises TileError, see the module's text."""
    given = conditions(node, shapes)
    try:
        normal = normalise(node.indices, tuple(given), tuple(integral_forms(node)))
    except TileError as e:
        raise TileError(replace(d, span=d.span or span) for d in e.diagnostics) from None
    except Unbounded as e:
        raise error(
            "TILE0401",
            f"index '{e}' is unbounded",
            span,
            help=f"use '{e}' alone as an index of some tensor, or add a constraint such as '{e} < 10'",
        ) from None
    if normal is None:
        if report is not None:
            text = "this contraction has no valid point; every cell has the default value"
            help = "compare its indices and constraints with the sizes: no choice of the indices meets all of them"
            report.warning("TILE0403", text, span, help=help)
        return _empty(node)
    if normal.values:
        node = _substitute(node, normal.values)
    node = replace(node, indices=normal.indices, extents=normal.extents)
    box = box_of(node)
    node = replace(node, constraints=_needed(node, shapes, box))
    gathering = gather_form(node)
    if gathering is not None:
        return contraction(gathering, shapes, span, report, normalise)
    if node.monoid.name == "assign":
        _check_writers(node, conditions(node, shapes), span)
    return node


def _needed(node: Contraction, shapes: Shapes, box: Box) -> tuple[Constraint, ...]:
    """Constraints that neither the box nor an access or sink implies."""
    accesses = frozenset(conditions(replace(node, constraints=()), shapes))
    return tuple(c for c in dict.fromkeys(node.constraints) if c not in accesses and not _holds(c, box))


def _holds(c: Constraint, box: Box) -> bool:
    """Whether a constraint says nothing new; one of an open size never does."""
    return isinstance(c.bound, Poly) or implied(c, box)


def _substitute(node: Contraction, values: Mapping[str, Affine]) -> Contraction:
    return replace(
        node,
        body=tuple(substitute_indices(b, values) for b in node.body),
        sinks=tuple(Sink(tuple(f.substitute(values) for f in s.indices), s.shape) for s in node.sinks),
        constraints=tuple(Constraint(c.form.substitute(values), c.bound) for c in node.constraints),
    )


def _check_writers(node: Contraction, given: list[Constraint], span: Span | None) -> None:
    box = box_of(node)
    needed = guards(given, box)
    for sink in node.sinks:
        try:
            several = several_writers(sink.indices, box, needed)
        except Undecided:
            raise error("TILE0402", "cannot decide whether each cell of this assignment has one writer", span) from None
        if several:
            raise error(
                "TILE0402",
                "this assignment writes one cell several times",
                span,
                notes=["two points of its domain have the same output index"],
                help="aggregate with '+', '>' or another, or add a constraint that leaves one writer",
            )


def _empty(node: Contraction) -> Contraction:
    """A contraction over a box without points. Its forms no longer matter; they are rounded to be integer."""
    indices = node.indices or ("none",)
    return replace(
        node,
        indices=indices,
        body=tuple(transform(b, _rounded_leaf) for b in node.body),
        sinks=tuple(Sink(tuple(map(_rounded, s.indices)), s.shape) for s in node.sinks),
        constraints=(),
        extents=(0,) * len(indices),
    )


def _rounded_leaf(e: Expr) -> Expr:
    if isinstance(e, IndexValue):
        return replace(e, form=_rounded(e.form))
    if isinstance(e, Read):
        indices = tuple(_rounded(i) if isinstance(i, Affine) else i for i in e.access.indices)
        return replace(e, access=replace(e.access, indices=indices))
    return e


def _rounded(form: Affine) -> Affine:
    return Affine.of([(n, _whole(c)) for n, c in form.terms], _whole(form.const))


def _whole(value: Coef) -> Coef:
    return value if isinstance(value, Poly) else floor(value)
