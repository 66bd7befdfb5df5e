"""Forward mode: tangents from the variables on to the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tilec.builtins import BUILTINS
from tilec.derivatives import forward_template, instantiate
from tilec.expr import Var
from tilec.graph import Apply, Contraction, Graph, Let, Special
from tilec.passes.differentiate.activity import active_names, live_lets
from tilec.passes.differentiate.builder import Builder, no_derivative, start
from tilec.passes.differentiate.contraction import push_contraction
from tilec.passes.differentiate.control import push_control
from tilec.passes.differentiate.special import push_special


def push_forward(b: Builder, graph: Graph, tangents: dict[str, str], effects: bool = False) -> None:
    """Adds the Lets that the results need, and after each its tangents; `tangents` starts with the variables'.

    With `effects`, Lets that do something are added too.
    """
    active = active_names(live_lets(graph, graph.results), tangents)
    for let in live_lets(graph, graph.results, effects):
        b.keep(let)
        b.span = let.span
        if not active.isdisjoint(let.names):
            tangents.update(_push(b, let, tangents))
    b.span = None


def _push(b: Builder, let: Let, tangents: Mapping[str, str]) -> Mapping[str, str]:
    match let.node:
        case Apply():
            moved = _push_apply(b, let, tangents)
            return {} if moved is None else {let.names[0]: moved}
        case Contraction():
            if len(let.names) > 1:
                raise no_derivative("an aggregation of several components has no derivative", let.span)
            return {let.names[0]: push_contraction(b, let, tangents)}
        case Special():
            return {let.names[0]: push_special(b, let, tangents)}
        case _:
            return push_control(b, let, tangents, forward)


def _push_apply(b: Builder, let: Let, tangents: Mapping[str, str]) -> str | None:
    node, stem = let.node, f"{let.names[0]}_dot"
    assert isinstance(node, Apply)
    gradient = BUILTINS[node.op].gradient
    if gradient is None:
        raise no_derivative(f"'{node.op}' has no derivative", let.span)
    parts = []
    for arg, template in zip(node.args, gradient, strict=True):
        if arg in tangents and template is not None:
            values = {**{f"x{k}": a for k, a in enumerate(node.args)}, "y": let.names[0], "g": tangents[arg]}
            variables = {n: Var(n, b.types[v].dtype) for n, v in values.items()}
            moved = instantiate(forward_template(template), let.types[0].dtype, variables)
            parts.append(b.expression(moved, values, stem))
    return b.widened(b.total(parts, stem), let.types[0], stem) if parts else None


def forward(graph: Graph, variables: Sequence[str], wanted: Sequence[int]) -> Graph:
    """The Graph of a sub-Graph and its tangents.

    Parameters: those of `graph`, then the tangents of the variables. Results: those of `graph`, then the tangents of
    the results numbered in `wanted`, zeros where one depends on no variable.
    """
    b = start(graph)
    given = [b.param(f"{v}_dot", b.types[v]) for v in variables]
    tangents = {v: p.name for v, p in zip(variables, given)}
    push_forward(b, graph, tangents)
    names = [graph.results[k] for k in wanted]
    moved = tuple(tangents.get(n) or b.filled(0, b.types[n], f"{n}_dot") for n in names)
    params = (*graph.params, *given)
    return Graph(f"{graph.name}_jvp", params, tuple(b.lets), (*graph.results, *moved), graph.sizes)
