"""Common subexpressions: of Lets that compute the same, the first is kept and the others' users read it.

Before:
    graph f(A: f32[3]) -> (C) {
      B: f32[3] = exp(A)
      D: f32[3] = exp(A)
      C: f32[3] = add(B, D)
    }
After:
    graph f(A: f32[3]) -> (C) {
      B: f32[3] = exp(A)
      C: f32[3] = add(B, B)
    }

Value numbering over the text of the nodes (Click, "Global code motion, global value numbering", 1995, without the code
motion): text tells -0.0 from 0.0 and one dtype from another, and makes NaN equal to itself. Index variables of a
contraction are numbered in their order of declaration first, for their names have no meaning. A second result of equal
value stays, as a copy. Nodes with effects are left alone, and what is computed `again` to save memory; sub-Graphs are
scopes of their own.

Scans that differ in their outputs only become one with the outputs of both: the derivative of a scan runs it again to
keep the carried values, which costs nothing where the scan itself can keep them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tilec.graph import AGAIN, Apply, Graph, Let, Node, Scan, TensorType
from tilec.numbering import Values
from tilec.rewrite import has_effect, map_subgraphs, rename_uses, with_lets
from tilec.text.graph_text import print_node


@dataclass(frozen=True, slots=True)
class Options:
    """This pass has no options."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    values = Values()
    scans: dict[str, int] = {}  # positions in `lets`
    renamed: dict[str, str] = {}
    lets: list[Let] = []
    for old in graph.lets:
        let = map_subgraphs(rename_uses(old, renamed), lambda g: run(g, options))
        shared = let.types and not (has_effect(let.node) or _is_copy(let.node) or AGAIN in let.attributes)
        if shared and isinstance(let.node, Scan):
            known = scans.setdefault(_steps_key(let.node), len(lets))
            if known < len(lets):
                lets[known], names = _with_outputs(lets[known], let)
                renamed.update(names)
                lets += _copied(let, names, graph.results)
                continue
        first = values.first(let) if shared else None
        if first is None or first is let:
            lets.append(let)
            continue
        renamed.update(zip(let.names, first.names))
        lets += _copies(let, first, graph.results)
    return with_lets(graph, lets)


def _is_copy(node: Node) -> bool:
    return isinstance(node, Apply) and node.op == "ident"


def _copies(let: Let, first: Let, results: tuple[str, ...]) -> list[Let]:
    """Results keep their names, so those that `let` would have bound become copies."""
    return _copied(let, dict(zip(let.names, first.names)), results)


def _copied(let: Let, names: Mapping[str, str], results: tuple[str, ...]) -> list[Let]:
    pairs = [(n, t) for n, t in zip(let.names, let.types) if n in results and n in names]
    return [Let((n,), Apply("ident", (names[n],)), (t,), span=let.span) for n, t in pairs]


def _steps_key(node: Scan) -> str:
    """Equal for Scans whose steps compute the same and carry the same."""
    carried = node.body.results[: len(node.init)]
    return print_node((), replace(node, body=replace(node.body, name="", results=carried)))


def _with_outputs(first: Let, second: Let) -> tuple[Let, dict[str, str]]:
    """The first Scan with the outputs of the second too, and the names of `second` that are now other ones."""
    a, b = first.node, second.node
    assert isinstance(a, Scan) and isinstance(b, Scan)
    carried = len(a.init)
    names = dict(zip(second.names[:carried], first.names[:carried]))
    made = dict(zip(a.body.results[carried:], first.names[carried:]))
    added: list[tuple[str, str, TensorType]] = []
    for name, result, type in zip(second.names[carried:], b.body.results[carried:], second.types[carried:]):
        if result in made:
            names[name] = made[result]
        else:
            made[result] = name
            added.append((name, result, type))
    body = replace(a.body, results=(*a.body.results, *(r for _, r, _ in added)))
    node = replace(a, body=body)
    types = (*first.types, *(t for _, _, t in added))
    return replace(first, names=(*first.names, *(n for n, _, _ in added)), node=node, types=types), names
