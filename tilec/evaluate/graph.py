"""Floor 3: the slow, obvious meaning of Graphs on NumPy arrays: the oracle of all tests.

`typed` rounds every operation to its dtype and wraps integers; `float64`, its twin, holds every float value in
float64 (`tilec.evaluate.expr`). Sums of floats are taken in lexicographic order of the indices, in the accumulator's
type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from tilec.affine import Poly, named_size, resolve
from tilec.dtypes import from_numpy
from tilec.errors import Span, error
from tilec.evaluate.contraction import Magnitude, contraction_magnitude, evaluate_contraction
from tilec.evaluate.expr import Mode, constant, evaluate_call, storage
from tilec.evaluate.special import evaluate_special
from tilec.expr import Const
from tilec.graph import (
    Apply,
    AttributeValue,
    Cond,
    Contraction,
    Custom,
    Graph,
    Let,
    Literal,
    Node,
    Param,
    Remat,
    Scan,
    Special,
    TensorType,
    While,
    subgraphs,
)
from tilec.numpy_semantics import Array, cast
from tilec.type_graph import infer_graph

Tensors: TypeAlias = dict[str, Array]
Watcher: TypeAlias = Callable[[Let, Tensors], None]


def evaluate(graph: Graph, inputs: Mapping[str, Any], mode: Mode = "typed") -> dict[str, Array]:
    """Results by name. Inputs are arrays or numbers by parameter name, of the parameters' dtypes and shapes.

    A number, a weak parameter's value and, in float64 mode, a float64 array are converted. Raises TILE0501, TILE0502,
    TILE0503, TILE0504 for the inputs, TILE0401, TILE0402, TILE0405, TILE0420 while running.
    """
    graph = typed(graph)
    sizes, arguments = bind(graph, inputs, mode)
    tensors = _Evaluator(mode, sizes, _ignore).run(graph, arguments)
    return {name: tensors[name].copy() for name in graph.results}  # never a view of an argument


def evaluate_with_bounds(graph: Graph, inputs: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Magnitude]]:
    """Every named value of the graph in float64 mode, and the magnitudes of its own contractions' results."""
    graph = typed(graph)
    sizes, arguments = bind(graph, inputs, "float64")
    magnitudes: dict[str, Magnitude] = {}

    def watch(let: Let, tensors: Tensors) -> None:
        if isinstance(let.node, Contraction):
            magnitudes.update(zip(let.names, contraction_magnitude(let.node, tensors, sizes, let.span)))

    return _Evaluator("float64", sizes, watch).run(graph, arguments), magnitudes


def typed(graph: Graph) -> Graph:
    """The graph itself where every Let has its types, those of sub-Graphs included, else after inference."""
    return graph if _is_typed(graph) else infer_graph(graph)


def _is_typed(graph: Graph) -> bool:
    return all(len(let.types) == len(let.names) and all(map(_is_typed, subgraphs(let.node))) for let in graph.lets)


def bind(graph: Graph, inputs: Mapping[str, Any], mode: Mode) -> tuple[dict[str, int], list[Array]]:
    """Values of the named sizes, read off the shapes, and the arguments in `storage` form, in order."""
    known = {p.name for p in graph.params}
    for name in inputs:
        if name not in known:
            raise error("TILE0502", f"'{graph.name}' has no parameter '{name}'")
    for p in graph.params:
        if p.name not in inputs:
            raise error("TILE0501", f"argument '{p.name}' is missing")
    arrays = [_argument(p, inputs[p.name], mode) for p in graph.params]
    sizes: dict[str, int] = {}
    for p, array in zip(graph.params, arrays):
        for size, actual in zip(p.type.shape, array.shape):
            for name in size.names() if isinstance(size, Poly) else ():
                if size == named_size(name):
                    sizes.setdefault(name, actual)
    for p, array in zip(graph.params, arrays):
        wanted = tuple(resolve(s, sizes) for s in p.type.shape)
        if wanted != array.shape:
            raise error("TILE0504", f"argument '{p.name}' has shape {list(array.shape)}, not {list(wanted)}")
    return sizes, arrays


def _argument(param: Param, value: Any, mode: Mode) -> Array:
    array = np.asarray(value)
    dtype, target = from_numpy(array.dtype), storage(param.type.dtype, mode)
    converts = param.type.weak or isinstance(value, int | float | bool) or array.dtype == target
    if dtype is None or not (converts or dtype == param.type.dtype):
        raise error("TILE0503", f"argument '{param.name}' has dtype {array.dtype}, not {param.type.dtype.long}")
    if array.ndim != param.type.rank:
        raise error("TILE0504", f"argument '{param.name}' has rank {array.ndim}, not {param.type.rank}")
    return cast(array, target)


def _ignore(let: Let, tensors: Tensors) -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Evaluator:
    """What every Let's evaluation needs besides the tensors."""

    mode: Mode
    sizes: Mapping[str, int]
    watch: Watcher

    def run(self, graph: Graph, arguments: Sequence[Array]) -> Tensors:
        """All named values of a graph."""
        tensors = {p.name: a for p, a in zip(graph.params, arguments, strict=True)}
        types = {p.name: p.type for p in graph.params}
        for let in graph.lets:
            values = self.node(let.node, tensors, types, let.types, let.span)
            tensors.update(zip(let.names, values, strict=True))
            types.update(zip(let.names, let.types, strict=True))
            self.watch(let, tensors)
        return tensors

    def call(self, graph: Graph, arguments: Sequence[Array]) -> list[Array]:
        """Results of a sub-Graph. Its scope is closed, so nothing of it is watched."""
        inner = _Evaluator(self.mode, self._sizes_inside(graph, arguments), _ignore)
        tensors = inner.run(graph, arguments)
        return [tensors[r] for r in graph.results]

    def _sizes_inside(self, graph: Graph, arguments: Sequence[Array]) -> Mapping[str, int]:
        if not graph.sizes:
            return self.sizes
        found, _ = bind(graph, {p.name: a for p, a in zip(graph.params, arguments)}, self.mode)
        return {**self.sizes, **found}

    def node(
        self,
        node: Node,
        tensors: Tensors,
        types: Mapping[str, TensorType],
        results: Sequence[TensorType],
        span: Span | None,
    ) -> Sequence[Array]:
        match node:
            case Contraction():
                return evaluate_contraction(node, results, tensors, self.sizes, self.mode, span)
            case Apply():
                args = [tensors[a] for a in node.args]
                sources = [types[a].dtype for a in node.args]
                value = evaluate_call(node.op, args, sources, results[0].dtype, self.mode)
                return (np.broadcast_to(value, self._shape(results[0])),)
            case Special():
                args = [tensors[a] for a in node.args]
                return evaluate_special(self._resolved(node), args, results, self.mode, span)
            case Literal():
                return (self._literal(node),)
            case Cond():
                chosen = node.then if tensors[node.predicate].item() else node.orelse
                return self.call(chosen, [tensors[a] for a in node.args])
            case While():
                return self._while(node, tensors)
            case Scan():
                return self._scan(node, tensors)
            case Custom():
                return self.call(node.forward, [tensors[a] for a in node.args])
            case Remat():
                return self.call(node.body, [tensors[a] for a in node.args])

    def _shape(self, type_: TensorType) -> tuple[int, ...]:
        return tuple(int(resolve(s, self.sizes)) for s in type_.shape)

    def _resolved(self, node: Special) -> Special:
        """With numbers for the sizes among its attributes."""

        def value(v: AttributeValue) -> AttributeValue:
            if isinstance(v, tuple):
                return tuple(map(value, v))
            return int(resolve(v, self.sizes)) if isinstance(v, Poly) else v

        return replace(node, attributes=tuple((name, value(v)) for name, v in node.attributes))

    def _literal(self, node: Literal) -> Array:
        values = [constant(Const(v, node.type.dtype), self.mode) for v in node.values]
        shape = self._shape(node.type)
        if len(values) == 1:
            return np.full(shape, values[0])
        return np.array(values, storage(node.type.dtype, self.mode)).reshape(shape)

    def _while(self, node: While, tensors: Tensors) -> Sequence[Array]:
        carried = [tensors[a] for a in node.init]
        captures = [tensors[a] for a in node.captures]
        while self.call(node.condition, [*carried, *captures])[0].item():
            carried = self.call(node.body, [*carried, *captures])
        return carried

    def _scan(self, node: Scan, tensors: Tensors) -> Sequence[Array]:
        carried = [tensors[a] for a in node.init]
        inputs = [tensors[a] for a in node.inputs]
        captures = [tensors[a] for a in node.captures]
        length = int(resolve(node.length, self.sizes))
        steps = length if node.count is None else max(0, min(int(tensors[node.count]), length))
        rows: list[list[Array]] = []
        for step in reversed(range(steps)) if node.reverse else range(steps):
            found = self.call(node.body, [*carried, *(x[step] for x in inputs), *captures])
            carried, outputs = found[: len(carried)], found[len(carried) :]
            rows.append(outputs)
        if node.reverse:
            rows.reverse()
        return [*carried, *self._stack(node, rows, length)]

    def _stack(self, node: Scan, rows: Sequence[Sequence[Array]], length: int) -> list[Array]:
        """Outputs along a new axis 0, 0 where no step ran."""
        if rows:
            stacked = [np.stack(column) for column in zip(*rows)]
            return [np.concatenate([a, np.zeros((length - len(rows), *a.shape[1:]), a.dtype)]) for a in stacked]
        inside = typed(node.body).types()
        outputs = [inside[r] for r in node.body.results[len(node.init) :]]
        return [np.zeros((length, *self._shape(t)), storage(t.dtype, self.mode)) for t in outputs]
