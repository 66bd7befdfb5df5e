"""Pass `hoist`: what does not change in a loop is computed before it, and products of slices all at once.

A Let of a body that depends on captures only has the same value in every round: it moves out in front of the loop and
becomes a capture itself (loop-invariant code motion; A. Aho et al., Compilers, 2nd edition, section 9.5). Literals and
rearrangements stay: kernels read through them for nothing.

A product of the slice of an input and something fixed, `x[t] @ W` say, needs nothing of the step before: it is computed
for all t by one contraction, of which each step reads its slice. Small products with weights become a large one, which
reads the weights once; recurrent networks are computed so since J. Appleyard et al., Optimizing Performance of
Recurrent Neural Networks on GPUs, 2016. What such a product needs moves with it, as long as it is elementwise or a
contraction. It takes memory for all steps, and gains where a step reads the weights for few rows, so that rules decide
(`choice`). Of a loop with a `count` no slices are computed ahead: it may need few of them.

Weights that each step reads across their rows get a transposed copy (`layout`).

Nothing moves that could make a difference where the loop makes no round: assertions, host calls, and `while` loops,
which need not end. Nothing leaves a branch, and what is to be computed again to save memory stays where it is. No
result changes by a bit.

It runs after `cse`, when a loop and its derivative are one where they can be, and before `recompute`. What nothing in
the loop reads any more is left to `dce`.

Before:
    graph f(X: i8[9, 32], W: i8[32, 8], H: i8[8]) -> (R) {
      R: i8[8] = scan (H) in (X) const (W) length 9 do graph s(H: i8[8], X: i8[32], W: i8[32, 8]) -> (N) {
        E: i8[32, 8] = abs(W)
        P: i8[8] = sum:i8 [n, k] { [n] <- mul(X[k], E[k, n]) }
        N: i8[8] = add(H, P)
      }
    }
After:
    graph f(X: i8[9, 32], W: i8[32, 8], H: i8[8]) -> (R) {
      E: i8[32, 8] = abs(W)
      P: i8[9, 8] = sum:i8 [t, n, k] { [t, n] <- mul(X[t, k], E[k, n]) }
      R: i8[8] = scan (H) in (X, P) const (W) length 9 do graph s(H: i8[8], X: i8[32], P: i8[8], W: i8[32, 8]) -> (N) {
        N: i8[8] = add(H, P)
      }
    }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tilec.fresh import FreshNames
from tilec.graph import Graph, Let, Param, Scan, While
from tilec.rewrite import map_subgraphs, names, rename_operands, with_lets

from .choice import Body, Level, Options
from .layout import with_copies
from .stack import stacked, stacked_type

__all__ = ["Options", "run"]
_DEFAULT = Options()


def run(graph: Graph, options: Options = _DEFAULT) -> Graph:
    """The Graph with less in its loops; the same object where nothing moves. Needs types."""
    fresh = FreshNames(names(graph))
    lets: list[Let] = []
    for let in graph.lets:
        let = map_subgraphs(let, lambda g: run(g, options))
        match let.node:
            case While():
                lets += _of_while(let, let.node, fresh)
            case Scan():
                lets += _of_scan(let, let.node, fresh, options)
            case _:
                lets.append(let)
    return with_lets(graph, lets)


def _of_while(let: Let, node: While, fresh: FreshNames) -> list[Let]:
    """What is fixed in the test and in the body, and the loop."""
    found: list[Let] = []
    for k in range(2):  # the test, the body
        part = (node.condition, node.body)[k]
        body = Body.of(part, len(node.init), 0)
        moved = body.fixed()
        if not moved:
            continue
        outside, new = _outside(body, moved, (*node.init, *node.captures), fresh, 1)
        found += outside
        added = body.frontier(moved)
        params = tuple(Param(n, body.types[n]) for n in added)
        parts = [_with_params(g, params) for g in (node.condition, node.body)]
        parts[k] = _left(body, moved, (*part.params, *params))
        node = While(parts[0], parts[1], node.init, (*node.captures, *(new[n] for n in added)))
    return [*found, replace(let, node=node)] if found else [let]


def _with_params(graph: Graph, params: Sequence[Param]) -> Graph:
    """The Graph with more parameters, which it does not read."""
    free = FreshNames(names(graph))
    return replace(graph, params=(*graph.params, *(Param(free.like(p.name), p.type) for p in params)))


def _scan_body(node: Scan, options: Options) -> Body:
    """The body of a scan, which reads copies of what it would read across."""
    body = Body.of(node.body, len(node.init), len(node.inputs))
    if not isinstance(node.length, int) or node.count is not None:
        return body
    found = with_copies(body, node.length, options)
    return Body.of(found.graph, len(node.init), len(node.inputs), found.names) if found.names else body


def _of_scan(let: Let, node: Scan, fresh: FreshNames, options: Options) -> list[Let]:
    """What is fixed, what is computed for all steps, and the loop."""
    body = _scan_body(node, options)
    moved = body.fixed()
    if isinstance(node.length, int) and node.count is None:
        moved |= body.stackable(node.length, options, moved)
    if not moved:
        return [let]
    outer = (*node.init, *node.inputs, *node.captures)
    found, new = _outside(body, moved, outer, fresh, node.length if isinstance(node.length, int) else 1)
    added = body.frontier(moved)
    inputs = [n for n in added if body.level[n] is Level.SLICED]
    captures = [n for n in added if body.level[n] is not Level.SLICED]
    last = len(node.init) + len(node.inputs)
    params = (
        *node.body.params[:last],
        *(Param(n, body.types[n]) for n in inputs),
        *node.body.params[last:],
        *(Param(n, body.types[n]) for n in captures),
    )
    loop = replace(
        node,
        body=_left(body, moved, params),
        inputs=(*node.inputs, *(new[n] for n in inputs)),
        captures=(*node.captures, *(new[n] for n in captures)),
    )
    return [*found, replace(let, node=loop)]


def _outside(
    body: Body, moved: set[int], outer: Sequence[str], fresh: FreshNames, length: int
) -> tuple[list[Let], Mapping[str, str]]:
    """Moved Lets as they stand in front of the loop, and their names there. `outer` are the loop's arguments."""
    new = {p.name: a for p, a in zip(body.graph.params, outer, strict=True)}
    sliced = {n for n, level in body.level.items() if level is Level.SLICED}
    found = []
    for k in sorted(moved):
        let = body.graph.lets[k]
        if not sliced.isdisjoint(let.names):
            types = tuple(stacked_type(t, length) for t in let.types)
            let = replace(let, node=stacked(let.node, sliced, length), types=types)
        node = rename_operands(let.node, new)
        new.update((n, fresh.like(n)) for n in let.names)
        found.append(replace(let, names=tuple(new[n] for n in let.names), node=node))
    return found, new


def _left(body: Body, moved: set[int], params: Sequence[Param]) -> Graph:
    """The body with other parameters, without what has moved and need not be there too."""
    graph = body.graph
    kept = tuple(let for k, let in enumerate(graph.lets) if k not in moved or k in body.repeated(moved))
    return replace(graph, params=tuple(params), lets=kept)
