"""Dead code: drops Lets whose values nobody uses. Assertions stay, and what they need.

Before:
    graph f(A: f32[3]) -> (C) {
      B: f32[3] = exp(A)
      () = special assert(A) {message = "A"}
      C: f32[3] = neg(A)
    }
After:
    graph f(A: f32[3]) -> (C) {
      () = special assert(A) {message = "A"}
      C: f32[3] = neg(A)
    }

A node with several results stays as long as one of them is used. Of branches and loops, results that nobody uses go,
with what only they need inside: a carried value stays where its last value, or a kept result of the body, depends on
it. Parameters that no sub-Graph reads go too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tilec.graph import Cond, Graph, Let, Node, Scan, While, operands
from tilec.rewrite import has_effect, map_subgraphs, with_lets


@dataclass(frozen=True, slots=True)
class Options:
    """This pass has no options."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    live = set(graph.results)
    kept: list[Let] = []
    for let in reversed(graph.lets):
        if live.isdisjoint(let.names) and not has_effect(let.node):
            continue
        let = map_subgraphs(trimmed(let, live), lambda g: run(g, options))
        kept.append(let)
        live.update(operands(let.node))
    return with_lets(graph, kept[::-1])


def trimmed(let: Let, live: Collection[str]) -> Let:
    """A branch or loop without the results that are not live, and without parameters that nothing inside reads."""
    wanted = [k for k, n in enumerate(let.names) if n in live]
    match let.node:
        case Cond(args=args) as node:
            graphs = [_giving(g, wanted) for g in (node.then, node.orelse)]
            taken = sorted(_read(graphs[0]) | _read(graphs[1]))
            if len(wanted) == len(let.names) and len(taken) == len(args):
                return let
            then, orelse = (_taking(g, taken) for g in graphs)
            return _binding(let, wanted, replace(node, then=then, orelse=orelse, args=_chosen(args, taken)))
        case While(init=init, captures=captures) as node:
            kept, used = _needed(node.body, len(init), {*wanted, *_read(node.condition)}, ())
            used |= _read(node.condition)
            params = sorted(used | set(kept))
            if len(kept) == len(init) and len(params) == len(init) + len(captures):
                return let
            loop = While(
                _taking(node.condition, params),
                _taking(_giving(node.body, kept), params),
                _chosen(init, kept),
                _chosen(captures, [k - len(init) for k in params if k >= len(init)]),
            )
            return _binding(let, kept, loop)
        case Scan():
            return _trimmed_scan(let, let.node, wanted)
        case _:
            return let


def _trimmed_scan(let: Let, node: Scan, wanted: Sequence[int]) -> Let:
    first, last = len(node.init), len(node.init) + len(node.inputs)
    outputs = [k for k in wanted if k >= first]
    kept, used = _needed(node.body, first, {k for k in wanted if k < first}, outputs)
    params = sorted(used | set(kept))
    results = [*kept, *outputs]
    if len(results) == len(let.names) and len(params) == len(node.body.params):
        return let
    body = _taking(_giving(node.body, results), params)
    inputs = _chosen(node.inputs, [k - first for k in params if first <= k < last])
    captures = _chosen(node.captures, [k - last for k in params if k >= last])
    loop = replace(node, body=body, init=_chosen(node.init, kept), inputs=inputs, captures=captures)
    return _binding(let, results, loop)


def _needed(body: Graph, carried: int, wanted: set[int], outputs: Sequence[int]) -> tuple[list[int], set[int]]:
    """Carried values that a loop cannot do without, and the positions of all parameters that its body then reads."""
    while True:
        used = _read(_giving(body, [*sorted(k for k in wanted if k < carried), *outputs]))
        more = {k for k in used if k < carried} - wanted
        if not more:
            return sorted(k for k in wanted if k < carried), used
        wanted = wanted | more


def _read(graph: Graph) -> set[int]:
    """Positions of the parameters on which results and effects of a Graph depend."""
    live = set(graph.results)
    for let in reversed(graph.lets):
        if not live.isdisjoint(let.names) or has_effect(let.node):
            live.update(operands(let.node))
    return {k for k, p in enumerate(graph.params) if p.name in live}


def _giving(graph: Graph, results: Sequence[int]) -> Graph:
    return replace(graph, results=_chosen(graph.results, results))


def _taking(graph: Graph, params: Sequence[int]) -> Graph:
    """The Graph with some of its parameters, without what reads the others."""
    return replace(run(graph), params=tuple(graph.params[k] for k in params))


def _binding(let: Let, results: Sequence[int], node: Node) -> Let:
    types = tuple(let.types[k] for k in results) if let.types else ()
    return replace(let, names=_chosen(let.names, results), node=node, types=types)


def _chosen(names: Sequence[str], positions: Sequence[int]) -> tuple[str, ...]:
    return tuple(names[k] for k in positions)
