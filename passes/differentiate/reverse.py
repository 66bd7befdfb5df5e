"""Reverse mode: cotangents from the results back to the variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from tilec.builtins import BUILTINS
from tilec.derivatives import instantiate
from tilec.expr import Var
from tilec.graph import Apply, Contraction, Graph, Let, Special
from tilec.passes.differentiate.activity import active_names, live_lets
from tilec.passes.differentiate.builder import Builder, no_derivative, start
from tilec.passes.differentiate.contraction import pull_contraction
from tilec.passes.differentiate.control import pull_control
from tilec.passes.differentiate.special import pull_special

Parts: TypeAlias = dict[str, list[str]]  # per value the parts of its cotangent found so far


def pull_back(b: Builder, lets: Sequence[Let], variables: Sequence[str], parts: Parts) -> list[str | None]:
    """Cotangents of the variables, None where nothing depends on one; `parts` holds those of the results.

    `lets` are typed, in order, and known to the builder. Raises TILE0310 for what has no derivative.
    """
    active = active_names(lets, variables)
    for let in reversed(lets):
        if not active.isdisjoint(let.names):
            b.span = let.span
            seeds = {n: b.total(parts.pop(n), f"{n}_bar") for n in let.names if n in parts and n in active}
            for name, part in _pull(b, let, seeds, active) if seeds else ():
                parts.setdefault(name, []).append(part)
    b.span = None
    return [b.total(parts[v], f"{v}_bar") if v in parts else None for v in variables]


def _pull(b: Builder, let: Let, seeds: Mapping[str, str], active: set[str]) -> Iterator[tuple[str, str]]:
    """The active operands of a Let and their parts of the cotangent."""
    first = seeds.get(let.names[0])
    match let.node:
        case Apply():
            assert first is not None
            return _pull_apply(b, let, first, active)
        case Contraction():
            return pull_contraction(b, let, _only(let, seeds), active)
        case Special():
            return iter(()) if first is None else pull_special(b, let, first, active)
        case _:
            return pull_control(b, let, seeds, active, backward)


def _only(let: Let, seeds: Mapping[str, str]) -> str:
    if len(let.names) > 1:
        raise no_derivative("an aggregation of several components has no derivative", let.span)
    return seeds[let.names[0]]


def _pull_apply(b: Builder, let: Let, g: str, active: set[str]) -> Iterator[tuple[str, str]]:
    node = let.node
    assert isinstance(node, Apply)
    gradient = BUILTINS[node.op].gradient
    if gradient is None:
        raise no_derivative(f"'{node.op}' has no derivative", let.span)
    values = {**{f"x{k}": a for k, a in enumerate(node.args)}, "y": let.names[0], "g": g}
    for arg, template in zip(node.args, gradient, strict=True):
        if arg in active and template is not None:
            type_ = b.types[arg]
            variables = {n: Var(n, b.types[v].dtype) for n, v in values.items()}
            part = b.expression(instantiate(template, type_.dtype, variables), values, f"{arg}_bar")
            yield arg, b.narrowed(part, type_, f"{arg}_bar")


def backward(graph: Graph, variables: Sequence[str], seeded: Sequence[int]) -> Graph:
    """The Graph of a sub-Graph's gradient.

    Parameters: those of `graph`, then the cotangents of the results numbered in `seeded`. Results: the cotangents of
    the variables (parameters of `graph`), zeros where nothing depends on one.
    """
    b = start(graph)
    lets = live_lets(graph, [graph.results[k] for k in seeded])
    for let in lets:
        b.keep(let)
    inner = graph.types()
    seeds = [b.param(f"{graph.results[k]}_bar", inner[graph.results[k]]) for k in seeded]
    parts: Parts = {}
    for k, seed in zip(seeded, seeds):
        parts.setdefault(graph.results[k], []).append(seed.name)
    found = pull_back(b, lets, variables, parts)
    results = tuple(n or b.filled(0, b.types[v], f"{v}_bar") for n, v in zip(found, variables))
    return Graph(f"{graph.name}_grad", (*graph.params, *seeds), tuple(b.lets), results, graph.sizes)
