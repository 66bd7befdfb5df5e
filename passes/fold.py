"""Constant folding: elementwise operations, specials and contractions of literals become literals.

Before:
    graph f(A: f32[2]) -> (C) {
      two: f32 = literal (2.0)
      X: f32[2] = literal (1.0, 3.0)
      Y: f32[2] = div(X, two)
      C: f32[2] = add(A, Y)
    }
After:
    graph f(A: f32[2]) -> (C) {
      two: f32 = literal (2.0)
      X: f32[2] = literal (1.0, 3.0)
      Y: f32[2] = literal (0.5, 1.5)
      C: f32[2] = add(A, Y)
    }

Values come from the evaluator in typed mode, so a folded program has the bits of the unfolded one. A tensor of equal
elements becomes a literal of one value. Nothing is folded that is large, or becomes a long list of numbers
(`Options`), and what the evaluator refuses is left for run time. An assertion of a true literal is dropped. What
becomes unused is left to `dce`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import numpy as np

from tilec.affine import Affine, Poly
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.expr import IndexValue, Read, reads, walk
from tilec.graph import Apply, Contraction, Graph, Let, Literal, Node, Special, TensorType, operands
from tilec.numpy_semantics import Array, is_float
from tilec.rewrite import Context, has_effect, rewrite


@dataclass(frozen=True, slots=True)
class Options:
    """elements: of a folded tensor and of each operand, at most. points: of a folded contraction, at most. values: of a
    literal that folding makes, at most, where they are not all equal: each becomes a store, and there it is computed
    before the first call anyway.
    """

    elements: int = 1 << 16
    points: int = 1 << 18
    values: int = 1 << 8


def run(graph: Graph, options: Options = Options()) -> Graph:
    return rewrite(graph, (partial(_assertion, options=options), partial(_fold, options=options)))


def _assertion(let: Let, context: Context, options: Options) -> Sequence[Let] | None:
    if not (isinstance(let.node, Special) and let.node.op == "assert"):
        return None
    condition = context.definition(let.node.args[0])
    return [] if isinstance(condition, Literal) and all(condition.values) else None


def _fold(let: Let, context: Context, options: Options) -> Sequence[Let] | None:
    constants = _constants(let, context)
    if not constants or not let.types or has_effect(let.node):
        return None
    types = [*let.types, *(c.type for c in constants.values())]
    if not all(_is_small(t, options.elements) for t in types) or not _is_quick(let, context, options.points):
        return None
    lets = [Let((name,), literal, (literal.type,)) for name, literal in constants.items()]
    try:
        values = evaluate(Graph("fold", (), (*lets, let), let.names), {})
    except TileError:
        return None
    folded = [_literal(let, name, type, values[name]) for name, type in zip(let.names, let.types)]
    return folded if all(_is_short(f.node, options.values) for f in folded) else None


def _is_short(node: Node, limit: int) -> bool:
    return isinstance(node, Literal) and len(node.values) <= limit


def _constants(let: Let, context: Context) -> dict[str, Literal] | None:
    """The operands by name if all are literals."""
    if not isinstance(let.node, Apply | Special | Contraction):
        return None
    found: dict[str, Literal] = {}
    for name in operands(let.node):
        literal = context.definition(name)
        if not isinstance(literal, Literal):
            return None
        found[name] = literal
    return found


def _is_small(type: TensorType, limit: int) -> bool:
    sizes = [s for s in type.shape if isinstance(s, int)]
    return len(sizes) == type.rank and prod(sizes) <= limit


def _is_quick(let: Let, context: Context, limit: int) -> bool:
    """Whether a contraction's index variables all range over whole axes, with few points together."""
    node = let.node
    if not isinstance(node, Contraction):
        return True
    if _is_open(node):
        return False
    extents: dict[str, int] = {}
    accesses = [(r.access.indices, context.types[r.access.tensor].shape) for b in node.body for r in reads(b)]
    for indices, shape in [*accesses, *((s.indices, s.shape) for s in node.sinks)]:
        for index, size in zip(indices, shape):
            name = index.as_variable() if isinstance(index, Affine) else None
            if name is not None and isinstance(size, int):
                extents[name] = min(size, extents.get(name, size))
    return extents.keys() >= set(node.indices) and prod(extents.values()) <= limit


def _is_open(node: Contraction) -> bool:
    """Whether an open size is in its domain or its values, though in no type."""
    parts = [e for body in node.body for e in walk(body)]
    places = [i for e in parts if isinstance(e, Read) for i in e.access.indices]
    forms = [i for i in places if isinstance(i, Affine)] + [e.form for e in parts if isinstance(e, IndexValue)]
    forms += [*(i for s in node.sinks for i in s.indices), *(c.form for c in node.constraints)]
    return any(isinstance(c.bound, Poly) for c in node.constraints) or any(form.sizes() for form in forms)


def _literal(let: Let, name: str, type: TensorType, value: Array) -> Let:
    flat = np.ascontiguousarray(value).reshape(-1)
    bits = flat.view(f"u{flat.itemsize}")
    if flat.size and (bits == bits[0]).all():
        flat = flat[:1]
    numbers = flat.astype(np.float64).tolist() if is_float(flat) else [int(v) for v in flat.tolist()]
    return replace(let, names=(name,), node=Literal(type, tuple(numbers)), types=(type,))
