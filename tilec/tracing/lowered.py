"""Floor 5: what a call of a compiled function becomes: the Graph that was traced, and the way back to its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tilec.api import compile_for
from tilec.dtypes import F64
from tilec.executable import Executable
from tilec.graph import Graph
from tilec.numpy_semantics import Array
from tilec.runtime import describe
from tilec.shortcuts import Shortcut, shortcut
from tilec.text.graph_text import print_graph
from tilec.tracing import trees
from tilec.tracing.calls import Call, Choices, Parameters
from tilec.tracing.leaves import NUMBERS, identifier, kind_of, leaf_type
from tilec.tracing.place import located
from tilec.tracing.sizes import OpenSize
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import Trace


@dataclass(frozen=True, slots=True)
class Runner:
    """From the leaves of a call to the function's result. executable: where it takes all of the leaves, and its results
    are those of the result, of which `finish` makes it; None: there is one, and that is it.
    """

    run: Callable[[Sequence[Any]], Any]
    executable: Executable | None = None
    finish: Callable[[Any], Any] | None = None

    def shortcut(self) -> Shortcut | None:
        return None if self.executable is None else shortcut(self.executable, self.finish)


@dataclass(frozen=True, slots=True)
class Result:
    """A leaf of the function's result that is computed: which of the Graph's results it is."""

    position: int


@dataclass(frozen=True, slots=True, repr=False)
class Lowered:
    """A function traced for one signature. `graph` is what was traced, before any pass."""

    graph: Graph
    structure: Any  # of the result
    leaves: tuple[Any, ...]  # of the result: `Result`s, and values that were not traced
    constants: Mapping[str, Array]
    arguments: tuple[int, ...]  # which leaves of the call are arguments of the graph
    choices: Choices

    def __str__(self) -> str:
        """The graph as text, which `tilec opt` and `tilec compile` read."""
        return print_graph(self.graph)

    def __repr__(self) -> str:
        params = (f"{p.name}: {describe(p.type)}" for p in self.graph.params if p.digest is None)
        return f"<tilec lowered {self.graph.name}({', '.join(params)}) -> ({', '.join(self.graph.results)})>"

    def compile(self) -> Executable:
        """The Executable; its arguments are the leaves of the call's arguments, in order."""
        return compile_for(
            self.graph, self.choices.target, None, {}, dict(self.constants) or None, self.choices.options
        )

    def runner(self) -> Runner:
        """Compiled: a function from the leaves of a call to the function's result. It keeps no constants that calls do
        not read.
        """
        bare = replace(self, constants={})
        if not self.graph.results:  # there is nothing to compute
            return Runner(lambda leaves: bare.result(()))
        executable = self.compile()
        executable.release_constants()
        run, arguments, structure = executable.run_values, self.arguments, self.structure
        computed = all(isinstance(leaf, Result) and leaf.position == k for k, leaf in enumerate(self.leaves))
        if not computed or self.choices.constant:
            return Runner(lambda leaves: bare.result(run([leaves[k] for k in arguments])))
        finish = None if trees.is_leaf(structure) else partial(trees.unflatten, structure)
        return Runner(lambda leaves: trees.unflatten(structure, run(leaves)), executable, finish)

    def result(self, arrays: Sequence[Any]) -> Any:
        """The function's result from the program's results; arrays that were not traced are the caller's own copies."""
        kept = (leaf.copy() if isinstance(leaf, np.ndarray) else leaf for leaf in self.leaves)
        leaves = [arrays[leaf.position] if isinstance(leaf, Result) else leaf for leaf in kept]
        return trees.unflatten(self.structure, leaves)


def lowered(function: Callable[..., Any], parameters: Parameters, call: Call) -> Lowered:
    """The function traced for one call."""
    choices = parameters.choices
    trace = Trace(parameters.name.strip("<>"))
    wide = any(kind_of(leaf)[0] == F64.numpy for leaf in call.leaves if not isinstance(leaf, NUMBERS))
    arguments: list[int] = []
    with located(), trace.open():
        tensors: list[Tensor] = []
        for k, (path, leaf) in enumerate(zip(call.paths(), call.leaves, strict=True)):
            if path[0] in choices.constant:
                tensors.append(trace.lift(leaf))
            else:
                arguments.append(k)
                axes = call.axes[k] if call.axes else ()
                tensors.append(trace.param(identifier(path), leaf_type(leaf, wide, axes)))
        args, kwargs = parameters.arguments(call, tensors)
        leaves, structure = _leaves(trace, function(*args, **kwargs))
        donated = [t for t, path in zip(tensors, call.paths(), strict=True) if path[0] in choices.donated]
        graph, kept = _finished(trace, leaves, structure)
        return Lowered(_donating(graph, donated), structure, kept, trace.constants, tuple(arguments), choices)


def _leaves(trace: Trace, result: Any) -> tuple[list[Any], Any]:
    """The leaves of a result, and its structure."""
    leaves, structure = trees.flatten(result)
    return [trace.lift(leaf) if isinstance(leaf, OpenSize) else leaf for leaf in leaves], structure


def _finished(trace: Trace, leaves: Sequence[Any], structure: Any) -> tuple[Graph, tuple[Any, ...]]:
    """The Graph, and for each leaf of the function's result where it comes from."""
    places = {k: at for at, k in enumerate(k for k, leaf in enumerate(leaves) if isinstance(leaf, Tensor))}
    paths = trees.paths(structure)
    graph = trace.graph([leaves[k] for k in places], [identifier(("result", *paths[k])) for k in places])
    kept = tuple(
        Result(places[k]) if isinstance(v, Tensor) else np.array(v) if isinstance(v, np.ndarray) else v
        for k, v in enumerate(leaves)
    )
    return graph, kept


def _donating(graph: Graph, donated: Sequence[Tensor]) -> Graph:
    """The Graph with each donated parameter aliased to the first result of its type that is still free."""
    types = graph.types()
    free = list(graph.results)
    aliases = []
    for tensor in donated:
        wanted = (tensor.type.dtype, tensor.type.shape)
        same = next((r for r in free if (types[r].dtype, types[r].shape) == wanted), None)
        if same is not None:
            free.remove(same)
            aliases.append((tensor.name, same))
    return replace(graph, aliases=tuple(aliases)) if aliases else graph
