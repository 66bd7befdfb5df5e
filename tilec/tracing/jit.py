"""Floor 5: `tilec.jit`: a Python function traced once per signature into one compiled program.

A signature is what decides the code: structure of the arguments, dtype and shape of every array, the type of every
number, the values of static arguments, the contents of constant ones, and the settings in force.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, overload

import numpy as np

from tilec.api import compile_for
from tilec.configuration import config
from tilec.dtypes import F64
from tilec.errors import error
from tilec.executable import Executable
from tilec.graph import Graph
from tilec.numpy_semantics import Array
from tilec.options import Options
from tilec.runtime import describe
from tilec.signatures import LIMIT, Describe, Signatures
from tilec.target import Target
from tilec.text.graph_text import print_graph
from tilec.tracing import trees
from tilec.tracing.leaves import (
    NUMBERS,
    check_axes,
    digest,
    exactly,
    frozen,
    identifier,
    kind_of,
    kind_text,
    leaf_type,
    taken_leaf,
)
from tilec.tracing.place import located, user_span
from tilec.tracing.sizes import Axes, OpenSize, axes_at, names_by_argument
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import Trace, current

P = ParamSpec("P")
R = TypeVar("R")
Names: TypeAlias = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Choices:
    """What `tilec.jit` may be told: names of parameters that are static, donated, constant, of axes that are open;
    target and options.
    """

    static: frozenset[str] = frozenset()
    donated: frozenset[str] = frozenset()
    constant: frozenset[str] = frozenset()
    open_sizes: Mapping[str, Any] = field(default_factory=dict)
    target: str | Target = "auto"
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class Call:
    """One call taken apart: the leaves of the traced arguments, their structure, and the static arguments.

    `axes` are the names of open axes by leaf, empty where there are none at all.
    """

    leaves: list[Any]
    structure: Any
    static: tuple[tuple[str, Hashable], ...]
    axes: tuple[Axes, ...] = ()

    def paths(self) -> list[tuple[Any, ...]]:
        return trees.paths(self.structure)


@dataclass(frozen=True, slots=True, repr=False)
class Lowered:
    """A function traced for one signature. `graph` is what was traced, before any pass."""

    graph: Graph
    structure: Any  # of the result
    leaves: tuple[Any, ...]  # of the result: a position among the graph's results, or a value that was not traced
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

    def result(self, arrays: Sequence[Any]) -> Any:
        """The function's result from the program's results; arrays that were not traced are the caller's own copies."""
        kept = (leaf.copy() if isinstance(leaf, np.ndarray) else leaf for leaf in self.leaves)
        leaves = [arrays[leaf.position] if isinstance(leaf, _Result) else leaf for leaf in kept]
        return trees.unflatten(self.structure, leaves)


@dataclass(frozen=True, slots=True)
class _Result:
    position: int


class Jitted(Generic[P, R]):
    """What `tilec.jit` returns: call it as the function that it was made of. Safe to call from any threads."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        static_argnames: Names = (),
        donate_argnums: int | Sequence[int] = (),
        donate_argnames: Names = (),
        constants: Names = (),
        open_sizes: Mapping[str, Any] | None = None,
        target: str | Target = "auto",
        options: Options = Options(),
    ) -> None:
        self._function = function
        self._signature = _signature(function)
        donated = {*_names(donate_argnames), *self._at(donate_argnums)}
        self._choices = Choices(
            frozenset(_names(static_argnames)),
            frozenset(donated),
            frozenset(_names(constants)),
            names_by_argument(open_sizes),
            target,
            options,
        )
        self._axes: dict[Any, tuple[Axes, ...]] = {}  # by structure of the arguments
        self._check_names()
        functools.update_wrapper(self, function)
        name = getattr(self, "__name__", "function")
        self._known: Signatures[tuple[Lowered, Executable | None]] = Signatures(name)
        self._programs: Signatures[tuple[Executable | None]] = Signatures(name)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs the compiled function; inside a function that is being traced, the Python function itself."""
        if current() is not None:
            return self._function(*args, **kwargs)
        call = self._taken_apart(args, kwargs)
        key = self._key(call)
        found = self._known.find(key)
        if found is None:
            found = self._known.make(key, lambda: (self._compiled(call), ()), self._described(call, key))
        return _run(call, *found)  # type: ignore[no-any-return]

    def retraced(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As a call, but the Python function is run each time, so that it may depend on things outside of it; what
        becomes the same program is compiled once.
        """
        call = self._taken_apart(args, kwargs)
        lowered = self._lowered(call)
        key = (print_graph(lowered.graph), config.decisive())
        found = self._programs.find(key)
        if found is None:
            described = self._described(call, self._key(call))
            found = self._programs.make(key, lambda: (_executable(lowered), ()), described)
        return _run(call, lowered, *found)  # type: ignore[no-any-return]

    def lower(self, /, *args: P.args, **kwargs: P.kwargs) -> Lowered:
        """Traces for these arguments, or for types in their place ("f32[64, 64]", a TensorType)."""
        return self._lowered(self._taken_apart(args, kwargs, types=True))

    def signatures(self) -> int:
        """How many signatures have been compiled."""
        return len(self._known)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: `self` is an argument like any other."""
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<tilec.jit {getattr(self, '__name__', 'function')}: {self.signatures()} signatures>"

    # calls

    def _at(self, positions: int | Sequence[int]) -> list[str]:
        """Names of the parameters at these positions."""
        names = list(self._signature.parameters)
        wanted = [positions] if isinstance(positions, int) else list(positions)
        if wrong := [p for p in wanted if not -len(names) <= p < len(names)]:
            raise error("TILE0511", f"there is no argument {wrong[0]} to donate", user_span())
        return [names[p] for p in wanted]

    def _check_names(self) -> None:
        known, chosen = self._signature.parameters, self._choices
        if both := [n for n in chosen.open_sizes if n in chosen.constant | chosen.static]:
            raise error("TILE0511", f"{both[0]!r} cannot be known to the code and of an open size", user_span())
        if any(p.kind is p.VAR_KEYWORD for p in known.values()):
            return
        for name in sorted(chosen.static | chosen.donated | chosen.constant | chosen.open_sizes.keys()):
            if name not in known:
                raise error("TILE0511", f"the function has no parameter {name!r}", user_span())

    def _taken_apart(self, args: Sequence[Any], kwargs: Mapping[str, Any], types: bool = False) -> Call:
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as reason:
            name = getattr(self, "__name__", "function")
            raise error("TILE0502", f"{name}: {reason}", user_span()) from None
        static = tuple((n, frozen(n, v)) for n, v in bound.arguments.items() if n in self._choices.static)
        dynamic = OrderedDict((n, v) for n, v in bound.arguments.items() if n not in self._choices.static)
        leaves, structure = trees.flatten(dynamic)
        if not all(type(leaf) is np.ndarray for leaf in leaves):
            places = trees.paths(structure)
            leaves = [taken_leaf(p, v, types) for p, v in zip(places, leaves, strict=True)]
        return Call(leaves, structure, static, self._open_axes(leaves, structure) if self._choices.open_sizes else ())

    def _open_axes(self, leaves: Sequence[Any], structure: Any) -> tuple[Axes, ...]:
        found = self._axes.get(structure)
        if found is None:
            found = tuple(axes_at(self._choices.open_sizes, path) for path in trees.paths(structure))
            if len(self._axes) >= LIMIT:
                self._axes.clear()
            self._axes[structure] = found
        if any(axes and (type(leaf) is not np.ndarray or leaf.ndim < len(axes)) for axes, leaf in zip(found, leaves)):
            for path, leaf, axes in zip(trees.paths(structure), leaves, found, strict=True):
                check_axes(path, leaf, axes)
        return found

    def _key(self, call: Call) -> Hashable:
        kinds: list[Hashable] = list(map(kind_of, call.leaves, call.axes) if call.axes else map(kind_of, call.leaves))
        if self._choices.constant:
            for k, path in enumerate(call.paths()):
                if path[0] in self._choices.constant:
                    kinds[k] = ("constant", kinds[k], digest(call.leaves[k]))
        return (call.structure, tuple(kinds), tuple((n, exactly(v)) for n, v in call.static), config.decisive())

    def _described(self, call: Call, key: Any) -> Describe:
        """The signature in words: type by leaf, value by static argument and setting."""
        words = {trees.path_text(p): kind_text(k) for p, k in zip(call.paths(), key[1], strict=True)}
        words |= {name: repr(value) for name, value in call.static}
        words |= {f"setting {n}": repr(v) for settings in key[3] for n, v in settings}
        return lambda places: words

    # tracing

    def _compiled(self, call: Call) -> tuple[Lowered, Executable | None]:
        lowered = self._lowered(call)
        with located():
            return lowered, *_executable(lowered)

    def _lowered(self, call: Call) -> Lowered:
        trace = Trace(getattr(self, "__name__", "function").strip("<>"))
        wide = any(kind_of(leaf)[0] == F64.numpy for leaf in call.leaves if not isinstance(leaf, NUMBERS))
        arguments: list[int] = []
        with located(), trace.open():
            tensors: list[Any] = []
            for k, (path, leaf) in enumerate(zip(call.paths(), call.leaves, strict=True)):
                if path[0] in self._choices.constant:
                    tensors.append(trace.lift(leaf))
                else:
                    arguments.append(k)
                    axes = call.axes[k] if call.axes else ()
                    tensors.append(trace.param(identifier(path), leaf_type(leaf, wide, axes)))
            result = self._run(trees.unflatten(call.structure, tensors), dict(call.static))
            return self._finished(trace, call, tensors, result, arguments)

    def _run(self, dynamic: Mapping[str, Any], static: Mapping[str, Any]) -> Any:
        given = {**dynamic, **static}
        ordered = OrderedDict((n, given[n]) for n in self._signature.parameters if n in given)
        bound = inspect.BoundArguments(self._signature, ordered)
        return self._function(*bound.args, **bound.kwargs)

    def _finished(
        self, trace: Trace, call: Call, tensors: Sequence[Any], result: Any, arguments: Sequence[int]
    ) -> Lowered:
        leaves, structure = trees.flatten(result)
        leaves = [trace.lift(leaf) if isinstance(leaf, OpenSize) else leaf for leaf in leaves]
        places = {k: at for at, k in enumerate(k for k, leaf in enumerate(leaves) if isinstance(leaf, Tensor))}
        paths = trees.paths(structure)
        graph = trace.graph([leaves[k] for k in places], [identifier(("result", *paths[k])) for k in places])
        donated = [t for t, path in zip(tensors, call.paths(), strict=True) if path[0] in self._choices.donated]
        graph = _donating(graph, donated)
        kept = tuple(
            _Result(places[k]) if isinstance(v, Tensor) else np.array(v) if isinstance(v, np.ndarray) else v
            for k, v in enumerate(leaves)
        )
        return Lowered(graph, structure, kept, trace.constants, tuple(arguments), self._choices)


def _executable(lowered: Lowered) -> tuple[Executable | None]:
    """The program, where there is anything to compute."""
    return (lowered.compile() if lowered.graph.results else None,)


def _run(call: Call, lowered: Lowered, executable: Executable | None) -> Any:
    if executable is None:
        return lowered.result(())
    return lowered.result(executable.run_values([call.leaves[k] for k in lowered.arguments]))


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


def _names(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        variadic = inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)
        named = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
        return inspect.Signature([variadic, named])


@overload
def jit(
    function: Callable[P, R],
    /,
    *,
    static_argnames: Names = (),
    donate_argnums: int | Sequence[int] = (),
    donate_argnames: Names = (),
    constants: Names = (),
    open_sizes: Mapping[str, Any] | None = None,
    target: str | Target = "auto",
    options: Options = Options(),
) -> Jitted[P, R]: ...


@overload
def jit(
    *,
    static_argnames: Names = (),
    donate_argnums: int | Sequence[int] = (),
    donate_argnames: Names = (),
    constants: Names = (),
    open_sizes: Mapping[str, Any] | None = None,
    target: str | Target = "auto",
    options: Options = Options(),
) -> Callable[[Callable[P, R]], Jitted[P, R]]: ...


def jit(function: Any = None, /, **choices: Any) -> Any:
    """Compiles a Python function of arrays, one program for each signature that it is called with.

    Arguments and results are trees (tuples, lists, dicts, classes registered with optree) of arrays and numbers. The
    function is run once per signature, with `Tensor`s in place of arrays and numbers; what it does to them becomes the
    program. Its Python code, prints included, is not run again.

    static_argnames: arguments that Python needs to know; they hash, and a new value compiles anew. donate_argnums,
    donate_argnames: arguments whose memory the results may take; the caller must not use them any more. constants:
    arguments whose contents are compiled in. open_sizes: names for axes whose sizes each call gives anew, by argument:
    {"x": ("N", None), "y": "N"} are one program for every N; a name alone is that of the first axis, a tuple holds None
    for an axis that is fixed; it holds for all arrays of an argument, a dict or a list in its place for parts of it.
    target, options: as for `tilec.compile`. Raises TileError, when called too.

    >>> import numpy as np, tilec
    >>> double = tilec.jit(lambda x: x + x)
    >>> double(np.arange(3)).tolist()
    [0, 2, 4]
    """
    if function is None:
        return lambda decorated: _jitted(decorated, choices)
    return _jitted(function, choices)


def _jitted(function: Any, choices: Mapping[str, Any]) -> Jitted[Any, Any]:
    if not callable(function):
        text = f"tilec.jit takes a Python function, not an object of type {type(function).__name__}"
        raise error("TILE0511", text, user_span())
    return Jitted(function, **choices)


def trace(function: Callable[..., Any], /) -> Callable[..., Graph]:
    """A function of types ("f32[64, 64]", a TensorType) or examples that returns the Graph of `function` for them.

    >>> import tilec
    >>> print(tilec.trace(lambda x: x + 1.0)("f32[3]").results)
    ('result',)
    """
    return lambda *args, **kwargs: jit(function).lower(*args, **kwargs).graph
