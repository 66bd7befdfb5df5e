"""Floor 5: `tilec.jit`: a Python function traced once per signature into one compiled program.

A signature is what decides the code: structure of the arguments, dtype and shape of every array, the type of every
number, the values of static arguments, the contents of constant ones, and the settings in force.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, overload

from tilec.api import with_schedules
from tilec.configuration import config
from tilec.errors import error
from tilec.executable import Executable
from tilec.frames import roomy
from tilec.graph import Graph
from tilec.options import Options
from tilec.shortcuts import Shortcuts
from tilec.signatures import Signatures
from tilec.target import Target
from tilec.text.graph_text import print_graph
from tilec.tracing.calls import Call, Choices, Parameters, names_at
from tilec.tracing.lowered import Lowered, Runner, lowered
from tilec.tracing.place import located, user_span
from tilec.tracing.sizes import names_by_argument
from tilec.tracing.trace import current

P = ParamSpec("P")
R = TypeVar("R")
Names: TypeAlias = str | Sequence[str]


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
        tune: float | str | None = None,
        schedules: Mapping[str, str] | str | Path | None = None,
        budget: int | None = None,
    ) -> None:
        choices = Choices(
            frozenset(_names(static_argnames)),
            frozenset({*_names(donate_argnames), *names_at(function, donate_argnums)}),
            frozenset(_names(constants)),
            names_by_argument(open_sizes),
            target,
            with_schedules(options, tune, schedules, budget),
        )
        self._function = function
        functools.update_wrapper(self, function)
        name = getattr(self, "__name__", "function")
        self._parameters = Parameters(function, name, choices)
        self._known: Signatures[Runner] = Signatures(name)
        self._programs: Signatures[tuple[Executable | None]] = Signatures(name)
        self._shortcuts = Shortcuts()

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs the compiled function; inside a function that is being traced, the Python function itself."""
        if current() is not None:
            return self._function(*args, **kwargs)
        if not kwargs:
            result = self._shortcuts.call(args)
            if result is not NotImplemented:
                return result  # type: ignore[no-any-return]
        call = self._parameters.call(args, kwargs)
        key = self._parameters.key(call)
        found = self._known.find(key)
        if found is None:
            found = self._known.make(key, lambda: (self._compiled(call), ()), self._parameters.described(call, key))
        result = found.run(call.leaves)
        if not kwargs and self._parameters.is_plain(call, args):
            self._shortcuts.add(found.shortcut())
        return result  # type: ignore[no-any-return]

    def retraced(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As a call, but the Python function is run each time, so that it may depend on things outside of it; what
        becomes the same program is compiled once.
        """
        call = self._parameters.call(args, kwargs)
        found = lowered(self._function, self._parameters, call)
        key = (print_graph(found.graph), config.decisive())
        executable = self._programs.find(key)
        if executable is None:
            described = self._parameters.described(call, self._parameters.key(call))
            executable = self._programs.make(key, lambda: (_executable(found), ()), described)
        arrays = [] if executable[0] is None else executable[0].run_values([call.leaves[k] for k in found.arguments])
        return found.result(arrays)  # type: ignore[no-any-return]

    def lower(self, /, *args: P.args, **kwargs: P.kwargs) -> Lowered:
        """Traces for these arguments, or for types in their place ("f32[64, 64]", a TensorType)."""
        return lowered(self._function, self._parameters, self._parameters.call(args, kwargs, types=True))

    def signatures(self) -> int:
        """How many signatures have been compiled."""
        return len(self._known)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: `self` is an argument like any other."""
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<tilec.jit {getattr(self, '__name__', 'function')}: {self.signatures()} signatures>"

    @roomy
    def _compiled(self, call: Call) -> Runner:
        found = lowered(self._function, self._parameters, call)
        with located():
            return found.runner()


def _executable(found: Lowered) -> tuple[Executable | None]:
    """The program, where there is anything to compute; it keeps no constants that calls do not read."""
    if not found.graph.results:
        return (None,)
    executable = found.compile()
    executable.release_constants()
    return (executable,)


def _names(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


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
    tune: float | str | None = None,
    schedules: Mapping[str, str] | str | Path | None = None,
    budget: int | None = None,
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
    tune: float | str | None = None,
    schedules: Mapping[str, str] | str | Path | None = None,
    budget: int | None = None,
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
    target, options, tune, schedules, budget: as for `tilec.compile`. Raises TileError, when called too.

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
