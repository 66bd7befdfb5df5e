"""Differentiation of Graphs: reverse mode (`gradient`, `value_and_gradient`) and forward mode (`jvp`).

The result is again a Graph: it can be printed, compiled and differentiated. The input must be typed (`infer`). A result
of rank > 0 is summed. A gradient has the type of its parameter. Values that are no floats carry no derivative: what is
computed from them has derivative zero. On ties of max and min, elementwise and aggregated, the first wins;
`tilec.derivatives` and `tilec.passes.differentiate.weights` list all such choices. Assertions stay.

Errors: TILE0101 no parameter or result of a name; TILE0309 a parameter or result that is not a float, or one of several
results; TILE0310, where an operation has no derivative; TILE0210 an open size along the axis of a gather,
scatter or sort.

Below, `gradient(graph, ["B"])` and the cleaners.

Before:
    graph f(A: f32[4, 3], B: f32[3]) -> (L) {
      C: f32[4] = sum:f32 [m, k] { [m] <- mul(A[m, k], B[k]) }
      D: f32[4] = exp(C)
      L: f32 = sum:f32 [m] { [] <- D[m] }
    }
After:
    graph f_grad(A: f32[4, 3], B: f32[3]) -> (B_grad) {
      C: f32[4] = sum:f32 [m, k] { [m] <- mul(A[m, k], B[k]) }
      D: f32[4] = exp(C)
      B_grad: f32[3] = sum:f32 [m, k] { [k] <- mul(D[m], A[m, k]) }
    }
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tilec.errors import TileError, error
from tilec.graph import Apply, Graph, Let, Param, TensorType
from tilec.passes.differentiate.activity import live_lets
from tilec.passes.differentiate.builder import Builder, start
from tilec.passes.differentiate.forward import push_forward
from tilec.passes.differentiate.reverse import pull_back
from tilec.rewrite import names, rename_uses


def gradient(graph: Graph, wrt: Sequence[str], of: str | None = None, *, seed: bool = False) -> Graph:
    """A Graph of the same parameters whose results `X_grad` are d(sum of `of`)/dX for the parameters X in `wrt`.

    of: a result of the Graph; needed where there are several. seed: a last parameter, `<of>_seed` of the result's type,
    weights the sum. Raises TileError, see the module's text.
    """
    return _reverse(graph, wrt, of, seed, values=False)


def value_and_gradient(graph: Graph, wrt: Sequence[str], of: str | None = None, *, seed: bool = False) -> Graph:
    """As `gradient`; the results of `graph` come first, under their own names."""
    return _reverse(graph, wrt, of, seed, values=True)


def jvp(graph: Graph, wrt: Sequence[str], of: str | None = None) -> Graph:
    """A Graph with a further parameter `X_dot` for each X in `wrt`, which computes the derivative along these.

    Results: those of `graph`, then `Y_dot` for each float result Y, or for `of` only.
    """
    _check_parameters(graph, wrt)
    types = graph.types()
    floats = [n for n in dict.fromkeys(graph.results) if types[n].dtype.is_float]
    wanted = floats if of is None else [_result(graph, of)]
    if graph.results and not wanted:
        raise _no_float(graph, graph.results[0])
    b = start(graph)
    given = [b.param(f"{v}_dot", types[v]) for v in wrt]
    targets = [b.fresh.like(f"{n}_dot") for n in wanted]
    tangents = {v: p.name for v, p in zip(wrt, given)}
    push_forward(b, graph, tangents, effects=True)
    found = [tangents.get(n) or b.filled(0, types[n], f"{n}_dot") for n in wanted]
    return _finished(b, graph, f"{graph.name}_jvp", given, graph.results, list(zip(targets, found)))


def _reverse(graph: Graph, wrt: Sequence[str], of: str | None, seed: bool, values: bool) -> Graph:
    _check_parameters(graph, wrt)
    loss = _result(graph, of)
    kept = graph.results if values else (loss,)
    b = start(graph)
    for let in live_lets(graph, kept, effects=True):
        b.keep(let)
    type_ = b.types[loss]
    given = [b.param(f"{loss}_seed", type_)] if seed else []
    targets = [b.fresh.like(f"{v}_grad") for v in wrt]
    first = given[0].name if seed else b.filled(1, type_, f"{loss}_bar")
    found = pull_back(b, live_lets(graph, (loss,)), wrt, {loss: [first]})
    cotangents = [n or b.filled(0, b.types[v], f"{v}_bar") for v, n in zip(wrt, found)]
    results = kept if values else ()
    return _finished(b, graph, f"{graph.name}_grad", given, results, list(zip(targets, cotangents)))


def _check_parameters(graph: Graph, wrt: Sequence[str]) -> None:
    types = {p.name: p.type for p in graph.params}
    for name in wrt:
        if name not in types:
            known = ", ".join(types) or "none"
            raise error("TILE0101", f"'{graph.name}' has no parameter '{name}'", notes=[f"parameters: {known}"])
        if not types[name].dtype.is_float:
            help = "make it a float, or leave it out of the variables"
            raise error("TILE0309", f"'{name}' is {types[name].dtype.long}: it has no gradient", help=help)


def _result(graph: Graph, of: str | None) -> str:
    """The result that is differentiated."""
    if of is None and len(set(graph.results)) == 1:
        of = graph.results[0]
    if of is None:
        known = ", ".join(graph.results) or "none"
        raise error("TILE0309", f"'{graph.name}' has not one result to differentiate", notes=[f"results: {known}"])
    if of not in graph.results:
        raise error("TILE0101", f"'{graph.name}' has no result '{of}'", notes=[f"results: {', '.join(graph.results)}"])
    if not graph.types()[of].dtype.is_float:
        raise _no_float(graph, of)
    return of


def _no_float(graph: Graph, result: str) -> TileError:
    span = next((let.span for let in graph.lets if result in let.names), None)
    return error("TILE0309", f"'{result}' is {graph.types()[result].dtype.long}: it has no gradient", span)


def _finished(
    b: Builder,
    graph: Graph,
    name: str,
    given: Sequence[Param],
    results: tuple[str, ...],
    named: Sequence[tuple[str, str]],
) -> Graph:
    """The Graph of what the builder holds, with further results: pairs of name and value.

    What binds such a value takes its name; one that is a parameter, a value of the Graph or named already is copied.
    """
    taken = names(graph) | {p.name for p in given}
    new: dict[str, str] = {}
    for target, value in named:
        if value in taken or value in new:
            type_ = TensorType(b.types[value].dtype, b.types[value].shape)
            b.keep(Let((target,), Apply("ident", (value,)), (type_,)))
        else:
            new[value] = target
    lets = [replace(rename_uses(let, new), names=tuple(new.get(n, n) for n in let.names)) for let in b.lets]
    further = tuple(target for target, _ in named)
    return Graph(name, (*graph.params, *given), tuple(lets), (*results, *further), graph.sizes)


__all__ = ["gradient", "jvp", "value_and_gradient"]
