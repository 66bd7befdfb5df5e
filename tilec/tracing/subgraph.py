"""Floor 5: Python functions as closed sub-Graphs: of branches, steps of loops, functions with their own gradients.

The parameters of a sub-Graph are the leaves of its arguments, then the captures: traced tensors of enclosing functions
that it uses. Several sub-Graphs of one node take the same captures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tilec.errors import error
from tilec.graph import Graph, Param, TensorType
from tilec.rewrite import names
from tilec.tracing import trees
from tilec.tracing.dispatch import lift, scope
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import Trace


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A traced function. `captures`: outer names by parameter names; `structure`: of its result."""

    graph: Graph
    captures: dict[str, str]
    structure: Any

    def types(self) -> list[TensorType]:
        """Types of the results."""
        found = self.graph.types()
        return [found[r] for r in self.graph.results]


def subgraph(name: str, types: Sequence[TensorType], run: Callable[[list[Tensor]], Any]) -> Subgraph:
    """Traces `run`, a function of the parameters, in a scope of its own."""
    trace = Trace(name, scope())
    with trace.open():
        params = [trace.param("x", t) for t in types]
        leaves, structure = trees.flatten(run(params))
        graph = trace.graph([lift(leaf) for leaf in leaves], ["y"] * len(leaves))
    return Subgraph(graph, trace.captures, structure)


def check_function(value: Any, what: str) -> None:
    """Raises TILE0511 for what cannot be called."""
    if not callable(value):
        raise error("TILE0511", f"{what} is a Python function, not an object of type {type(value).__name__}")


def united(found: Sequence[Subgraph]) -> tuple[list[Graph], list[Tensor]]:
    """The Graphs with all captures of any of them, in one order, and the tensors captured."""
    outer = list(dict.fromkeys(name for sub in found for name in sub.captures.values()))
    here = scope()
    tensors = [here.tensor(name) for name in outer]
    return [_with_captures(sub, outer, tensors) for sub in found], tensors


def _with_captures(sub: Subgraph, outer: Sequence[str], tensors: Sequence[Tensor]) -> Graph:
    own = {name: param for param, name in sub.captures.items()}
    params = {p.name: p for p in sub.graph.params}
    taken = names(sub.graph)
    captured = []
    for name, tensor in zip(outer, tensors, strict=True):
        if name in own:
            captured.append(params[own[name]])
        else:
            unused = name
            while unused in taken:
                unused += "_"
            taken.add(unused)
            captured.append(Param(unused, tensor.type))
    first = [p for p in sub.graph.params if p.name not in sub.captures]
    return replace(sub.graph, params=(*first, *captured))


def same_types(what: str, found: Subgraph, other: str, structure: Any, types: Sequence[TensorType]) -> None:
    """Raises TILE0305 where a function does not return the structure and types that it should."""
    if found.structure != structure:
        texts = trees.structure_text(found.structure), trees.structure_text(structure)
        raise error("TILE0305", f"{what} returns the structure {texts[0]}, {other} {texts[1]}")
    for path, a, b in zip(trees.paths(structure), found.types(), types, strict=True):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            where = f" at {trees.path_text(path)}" if path else ""
            texts = _text(a), _text(b)
            raise error("TILE0305", f"{what} returns {texts[0]}{where}, {other} {texts[1]}")


def _text(type: TensorType) -> str:
    return f"{type.dtype.long}[{', '.join(map(str, type.shape))}]"
