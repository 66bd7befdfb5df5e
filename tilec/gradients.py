"""Floor 5: `grad`, `value_and_grad`, `jvp`: derivatives of programs, compiled like programs.

>>> import numpy as np
>>> from tilec.gradients import grad
>>> slope = grad("function (X[N]) -> (L) { L[] = +(X[n] * X[n]); }", wrt="X")
>>> slope(X=np.array([1.0, 2.0])).tolist()
[2.0, 4.0]
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tilec.api import ProgramLike, compile_for, parse_text, signature_entry, source_of
from tilec.errors import error
from tilec.executable import Executable
from tilec.frontends.tile.syntax import Program as TileProgram
from tilec.graph import Graph, TensorType
from tilec.options import Options
from tilec.passes import cse, dce, differentiate, fold, infer, inline, simplify
from tilec.runtime import as_array, bind
from tilec.target import Target

Transform: TypeAlias = Callable[[Graph, Sequence[str], str | None], Graph]
Entry: TypeAlias = TensorType | int | float
Variables: TypeAlias = str | Sequence[str] | None

_CLEANERS = (inline.run, simplify.run, fold.run, simplify.run, cse.run, dce.run)


@dataclass(frozen=True, slots=True)
class _Source:
    """A function of a program that is to be differentiated: the result `of` with respect to `wrt`."""

    program: TileProgram | Graph
    function: str | None
    wrt: Variables
    of: str | None
    transform: Transform

    def names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        if isinstance(self.program, Graph):
            return tuple(p.name for p in self.program.params)
        from tilec.frontends.tile.names import choose

        return tuple(i.name.text for i in choose(self.program, self.function).inputs)

    def graph(self, signature: Mapping[str, Entry]) -> tuple[Graph, frozenset[str]]:
        """The typed Graph for these inputs, and the numbers that became constants of it."""
        if isinstance(self.program, Graph):
            return infer.run(self.program), frozenset()
        from tilec.frontends.tile.elaborate import elaborate

        found = elaborate(self.program, self.function, signature)
        return found.graph, found.constants

    def variables(self, graph: Graph) -> tuple[str, ...]:
        """The parameters to differentiate by: those asked for, or all floats."""
        if self.wrt is None:
            return tuple(p.name for p in graph.params if p.type.dtype.is_float)
        return (self.wrt,) if isinstance(self.wrt, str) else tuple(self.wrt)

    def derived(self, signature: Mapping[str, Entry]) -> tuple[Graph, frozenset[str]]:
        """The derivative's Graph in simplest form, and the numbers that became constants of it."""
        graph, constants = self.graph(signature)
        derived = self.transform(graph, self.variables(graph), self.of)
        for clean in _CLEANERS:
            derived = clean(derived)
        return derived, constants


@dataclass(slots=True)
class Derivative:
    """What `grad`, `value_and_grad` and `jvp` return. Call it with arrays, by position or name.

    A signature is compiled once; numbers that reach a size or an index once per value. Safe to call from any threads.
    """

    _source: _Source
    _names: tuple[str, ...]
    _arrange: Callable[[Executable, Sequence[Any]], Any]
    _target: str | Target
    _options: Options
    _known: dict[Any, list[tuple[dict[str, Any], Executable]]] = field(default_factory=dict)
    _gate: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Computes the derivative; raises TileError."""
        values = [_readable(n, v) for n, v in zip(self._names, bind(self._names, args, kwargs), strict=True)]
        found = self._compiled(dict(zip(self._names, values)))
        return self._arrange(found, found.run_values(values))

    def compile(self, /, **shapes_or_examples: Any) -> Executable:
        """The Executable for these inputs, given as to `tilec.compile`."""
        return self._compiled(dict(zip(self._names, bind(self._names, (), shapes_or_examples), strict=True)))

    def graph(self, /, **shapes_or_examples: Any) -> Graph:
        """The derivative's Graph for these inputs, given as to `tilec.compile`."""
        return self._source.derived({n: signature_entry(n, v) for n, v in shapes_or_examples.items()})[0]

    def _compiled(self, arguments: Mapping[str, Any]) -> Executable:
        signature = {n: signature_entry(n, v) for n, v in arguments.items()}
        key = tuple(v if isinstance(v, TensorType) else type(v) for v in signature.values())
        with self._gate:
            for fixed, executable in self._known.get(key, ()):
                if all(signature[n] == v for n, v in fixed.items()):
                    return executable
            own = {p: v for p, v in signature.items() if p in self._source.names()}
            graph, constants = self._source.derived(own)
            given = {n: v for n, v in arguments.items() if n not in constants}
            tensors = {n: v for n, v in given.items() if not isinstance(v, int | float)}
            executable = compile_for(graph, self._target, None, tensors, None, self._options)
            self._known.setdefault(key, []).append(({n: signature[n] for n in constants}, executable))
            return executable


def grad(
    program: ProgramLike,
    /,
    wrt: Variables = None,
    *,
    function: str | None = None,
    of: str | None = None,
    target: str | Target = "auto",
    options: Options = Options(),
) -> Derivative:
    """A function of the same inputs that computes d(sum of a result)/d(input).

    wrt: a name, for one array; names, for a tuple of them; None, for all inputs that are floats. of: the result, where
    there are several. function: which one, where there are several. Raises TileError, when called too.
    """
    source = _source(program, function, wrt, of, differentiate.gradient)
    return Derivative(source, source.names(), _shape(wrt), target, options)


def value_and_grad(
    program: ProgramLike,
    /,
    wrt: Variables = None,
    *,
    function: str | None = None,
    of: str | None = None,
    target: str | Target = "auto",
    options: Options = Options(),
) -> Derivative:
    """As `grad`, for the pair (value, gradient): the value is the function's result, or the tuple of its results."""
    source = _source(program, function, wrt, of, differentiate.value_and_gradient)
    inner = _shape(wrt)

    def arrange(executable: Executable, arrays: Sequence[Any]) -> Any:
        count = len(executable.results) - _count(wrt, executable)
        return _one_or_all(arrays[:count]), inner(executable, arrays[count:])

    return Derivative(source, source.names(), arrange, target, options)


def jvp(
    program: ProgramLike,
    /,
    wrt: str | Sequence[str],
    *,
    function: str | None = None,
    of: str | None = None,
    target: str | Target = "auto",
    options: Options = Options(),
) -> Derivative:
    """A function of the inputs and, for each X in `wrt`, of a direction X_dot: the derivative along these.

    Returns the pair (value, derivative), each one array or a tuple: of all float results, or of the result `of`.
    """
    source = _source(program, function, wrt, of, differentiate.jvp)
    variables = (wrt,) if isinstance(wrt, str) else tuple(wrt)

    def arrange(executable: Executable, arrays: Sequence[Any]) -> Any:
        types = list(executable.results.values())
        count = len(types) - 1
        if of is None:  # as many derivatives as there are floats among the values
            count = next(c for c in range(len(types)) if sum(t.dtype.is_float for t in types[:c]) == len(types) - c)
        values, moved = arrays[:count], arrays[count:]
        return _one_or_all(values), _one_or_all(moved)

    return Derivative(source, (*source.names(), *(f"{v}_dot" for v in variables)), arrange, target, options)


def _source(
    program: ProgramLike, function: str | None, wrt: Variables, of: str | None, transform: Transform
) -> _Source:
    if isinstance(program, str | Path):
        text = source_of(program)
        program = parse_text(text.text, text.name)
    if not isinstance(program, TileProgram | Graph):
        raise error(
            "TILE0511", f"a program is text, a path, a parsed program or a Graph, not a {type(program).__name__}"
        )
    return _Source(program, function, wrt, of, transform)


def _shape(wrt: Variables) -> Callable[[Executable, Sequence[Any]], Any]:
    """One array where one name was asked for, else a tuple."""
    return lambda executable, arrays: arrays[0] if isinstance(wrt, str) else tuple(arrays)


def _count(wrt: Variables, executable: Executable) -> int:
    """How many gradients an Executable computes."""
    if wrt is None:
        return sum(t.dtype.is_float for t in executable.params.values())
    return 1 if isinstance(wrt, str) else len(wrt)


def _one_or_all(arrays: Sequence[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def _readable(name: str, value: Any) -> Any:
    return value if isinstance(value, bool | int | float) else as_array(name, value)
