"""Functions of the program as closed Graphs: what loops, branches and custom gradients apply to values."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from tilec.dtypes import DType
from tilec.errors import Span
from tilec.frontends.tile.builder import Builder, strong
from tilec.frontends.tile.calls import cast
from tilec.frontends.tile.syntax import Function
from tilec.frontends.tile.values import Poison, Poisoned, Scalar, Tensor, Tuple, Value
from tilec.graph import Graph, Param, TensorType


@dataclass(frozen=True, slots=True)
class Closed:
    """A function at given types. `graph` takes the arguments that are tensors; constants are part of it.

    size: its Lets, with those of the Graphs inside. height: how many levels of recursion it has taken.
    """

    graph: Graph
    results: tuple[Tensor, ...]
    size: int
    height: int

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(strong(r.type) for r in self.results)


def close(
    b: Builder, function: Function, args: Sequence[Value], span: Span, wanted: Sequence[DType | None] = ()
) -> Closed:
    """Elaborates a function apart from the Lets of `b`; raises Poisoned where its body has errors.

    A tensor among `args` becomes a parameter of its type, a compile-time constant stays one. `wanted` are dtypes that
    weak results are converted to. A function is elaborated once for each kind of arguments, so branches inside of
    branches take no more work than they have text.
    """
    key = (function.name and function.name.text, function.gradient is None, tuple(map(_kind, args)), tuple(wanted))
    if key not in b.closed:
        with b.deeper(span):
            b.closed[key] = _closed(b, function, args, span, wanted)
    found: Closed = b.closed[key]
    b.reach(found.height + 1, span)
    return found


def _kind(value: Value) -> Hashable:
    """What a closed function sees of an argument."""
    match value:
        case Tensor(_, type, known):
            return (type, known and (_kind(Scalar(known.value)), known.origins))
        case Scalar(constant):
            return (constant.__class__, repr(constant))
        case Tuple(items):
            return tuple(map(_kind, items))
        case Poison():
            raise Poisoned


def _closed(
    b: Builder, function: Function, args: Sequence[Value], span: Span, wanted: Sequence[DType | None]
) -> Closed:
    outputs = [o.name.text for o in function.outputs]
    inner = b.nested([*(i.name.text for i in function.inputs), *outputs])
    bound = [parameter(inner, i.name.text, a) for i, a in zip(function.inputs, args, strict=True)]
    values = b.inline(inner, function, bound, span, outputs)
    results = [inner.tensor(v, o.span, "a result") for v, o in zip(values, function.outputs, strict=True)]
    for k, dtype in enumerate(wanted):
        if dtype is not None and results[k].type.weak and results[k].type.dtype != dtype:
            results[k] = cast(inner, results[k], dtype, function.outputs[k].span)
    return finished(b, inner, function.name.text if function.name else "main", results)


def parameter(inner: Builder, name: str, value: Value) -> Value:
    """The value as the closed function sees it."""
    match value:
        case Tensor():
            inner.params.append(Param(name, value.type))
            return replace(value, name=name)
        case Tuple():
            items = tuple(parameter(inner, inner.fresh(name), i) for i in value.items)
            return Tuple(items)
        case Poison():
            raise Poisoned
        case Scalar():
            return value


def tensors(values: Sequence[Value]) -> tuple[str, ...]:
    """The arguments of a closed function's Graph: the tensors among the values, in order."""
    names: list[str] = []
    for value in values:
        match value:
            case Tensor():
                names.append(value.name)
            case Tuple():
                names += tensors(value.items)
    return tuple(names)


def finished(b: Builder, inner: Builder, name: str, results: Sequence[Tensor]) -> Closed:
    b.settle(inner)
    graph = Graph(name, tuple(inner.params), tuple(inner.lets), tuple(r.name for r in results), inner.all_sizes)
    return Closed(graph, tuple(results), len(inner.lets) + inner.inside, inner.height)
