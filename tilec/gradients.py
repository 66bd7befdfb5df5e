"""Floor 5: `grad`, `value_and_grad`, `jvp`, `hvp`: derivatives of programs, compiled like programs.

>>> import numpy as np, tilec
>>> slope = tilec.grad("function (X[N]) -> (L) { L[] = +(X[n] * X[n]); }", wrt="X")
>>> slope(X=np.array([1.0, 2.0])).tolist()
[2.0, 4.0]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

from tilec.api import ProgramLike
from tilec.derivative import Derivative, Variables, listed, subject, variables
from tilec.errors import error
from tilec.executable import Executable
from tilec.graph import Graph
from tilec.options import Options
from tilec.passes import differentiate
from tilec.target import Target


def _also_of_functions(transformation: Callable[..., Derivative]) -> Callable[..., Any]:
    """Hands Python functions over to the transformation of the same name in `tilec.tracing.transforms`."""

    @wraps(transformation)
    def call(program: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not callable(program):
            return transformation(program, *args, **kwargs)
        from tilec.tracing import transforms
        from tilec.tracing.place import user_span

        if named := kwargs.keys() & {"wrt", "of", "function"}:
            help = "choose arguments of a Python function by their positions: argnums=0 or argnums=(0, 1)"
            text = f"{min(named)}= is for programs in Tile, not for Python functions"
            raise error("TILE0511", text, user_span(), help=help)
        if compiled := kwargs.keys() & {"target", "options"}:
            help = f"give it to tilec.jit around it: tilec.jit(..., {min(compiled)}=...)"
            text = f"{min(compiled)}= is for programs in Tile, not for Python functions"
            raise error("TILE0511", text, user_span(), help=help)
        return getattr(transforms, transformation.__name__)(program, *args, **kwargs)

    return call


@_also_of_functions
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
    """A function of the same inputs that computes d(sum of a result)/d(input), in reverse mode.

    wrt: a name, for one array; names, for a tuple of them; None, for all inputs that are floats. of: the result, where
    there are several. function: which one, where there are several. Raises TileError, when called too.

    Of a Python function: `grad(function, argnums=0, *, has_aux=False)` is a function of the same arguments, trees of
    arrays, that returns the gradient with respect to those at `argnums`, in their structure; with has_aux the function
    returns a pair (value, anything else), and the result is one too.

    >>> import numpy as np, tilec
    >>> tilec.grad(lambda x: (x * x).sum())(np.array([1.0, 2.0])).tolist()
    [2.0, 4.0]
    """

    def transform(graph: Graph) -> Graph:
        return differentiate.gradient(graph, variables(graph, wrt), of)

    def arrange(executable: Executable, arrays: Sequence[Any]) -> Any:
        return arrays[0] if isinstance(wrt, str) else tuple(arrays)

    found = subject(program, function)
    return Derivative(found, found.names(), transform, arrange, target, options)


@_also_of_functions
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

    def transform(graph: Graph) -> Graph:
        return differentiate.value_and_gradient(graph, variables(graph, wrt), of)

    def arrange(executable: Executable, arrays: Sequence[Any]) -> Any:
        floats = sum(t.dtype.is_float for t in executable.params.values())
        count = len(arrays) - (floats if wrt is None else len(listed(wrt)))
        gradients = arrays[count:]
        return _one_or_all(arrays[:count]), gradients[0] if isinstance(wrt, str) else tuple(gradients)

    found = subject(program, function)
    return Derivative(found, found.names(), transform, arrange, target, options)


@_also_of_functions
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

    Returns the pair (value, derivative), each one array or a tuple: of all float results, or of the result `of`. It is
    computed in forward mode, beside the value. Raises TileError, when called too.

    Of a Python function: `jvp(function)` is a function of two tuples, the arguments and a direction for each, that
    returns the pair (what the function returns, its derivative along the direction).
    """

    def transform(graph: Graph) -> Graph:
        return differentiate.jvp(graph, listed(wrt), of)

    def arrange(executable: Executable, arrays: Sequence[Any]) -> Any:
        types = list(executable.results.values())
        count = len(types) - 1
        if of is None:  # as many derivatives as there are floats among the values
            count = next(c for c in range(len(types)) if sum(t.dtype.is_float for t in types[:c]) == len(types) - c)
        return _one_or_all(arrays[:count]), _one_or_all(arrays[count:])

    found = subject(program, function)
    return Derivative(found, _with_directions(found.names(), wrt), transform, arrange, target, options)


@_also_of_functions
def hvp(
    program: ProgramLike,
    /,
    wrt: str | Sequence[str],
    *,
    function: str | None = None,
    of: str | None = None,
    target: str | Target = "auto",
    options: Options = Options(),
) -> Derivative:
    """A function of the inputs and, for each X in `wrt`, of a direction X_dot: the Hessian times the direction.

    Returns an array for one name, a tuple of arrays for several: the derivative of the gradient along the direction,
    forward over reverse, so at a small multiple of the cost of a gradient. Raises TileError, when called too.

    Of a Python function: `hvp(function)` is a function of two tuples, the arguments and a direction for each, that
    returns the Hessian times the direction, a tuple in the structure of the arguments (alone where there is only one).
    """

    def transform(graph: Graph) -> Graph:
        names = listed(wrt)
        found = differentiate.jvp(differentiate.gradient(graph, names, of), names)
        return replace(found, results=found.results[len(names) :])  # without the gradient itself

    def arrange(executable: Executable, arrays: Sequence[Any]) -> Any:
        return arrays[0] if isinstance(wrt, str) else tuple(arrays)

    found = subject(program, function)
    return Derivative(found, _with_directions(found.names(), wrt), transform, arrange, target, options)


def _with_directions(names: tuple[str, ...], wrt: str | Sequence[str]) -> tuple[str, ...]:
    return (*names, *(f"{v}_dot" for v in listed(wrt)))


def _one_or_all(arrays: Sequence[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else tuple(arrays)
