"""Floor 5: how functions of arrays are called: on tensors they add nodes, on arrays they are compiled and run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar, overload

import numpy as np

from tilec.errors import error
from tilec.resident import Buffer
from tilec.tracing.place import located, user_span
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import Trace, current

P = ParamSpec("P")
R = TypeVar("R")


@overload
def operation(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def operation(*, arrays: Sequence[str]) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def operation(function: Any = None, /, *, arrays: Sequence[str] = ()) -> Any:
    """Makes a function of tensors one of arrays too. Its positional-only parameters are operands, trees of arrays or
    numbers, and so are those named in `arrays`; all others decide what is computed, and so does an integer that an
    array beside it does not hold: it is refused where it takes that type. Errors name the user's line.
    """
    if function is None:
        return lambda decorated: _operation(decorated, arrays)
    return _operation(function, arrays)


def _operation(function: Callable[P, R], arrays: Sequence[str]) -> Callable[P, R]:
    eager: dict[tuple[str, ...], Callable[P, R]] = {}  # by what is known besides; made when it is first needed
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with located():
            if current() is not None or any(hasattr(a, "apply_builtin") for a in args):
                return _traced(function, args, kwargs)
            known = _unheld([*zip(names, args), *((name, a) for name, a in kwargs.items() if name in names)])
            if known not in eager:
                from tilec.tracing.jit import Jitted

                eager[known] = Jitted(function, static_argnames=(*_static(function, arrays), *known))
            return eager[known](*args, **kwargs)

    return call


def _traced(function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
    """Raises TILE0502 for arguments that the function has no parameters for, as a call on arrays does."""
    try:
        return function(*args, **kwargs)
    except TypeError:
        try:
            inspect.signature(function).bind(*args, **kwargs)
        except TypeError as reason:
            raise error("TILE0502", f"{function.__name__}: {reason}", user_span()) from None
        raise


def _unheld(given: Sequence[tuple[str, Any]]) -> tuple[str, ...]:
    """The names of Python integers that the type of an array beside them does not hold."""
    numbers = [(name, value) for name, value in given if type(value) is int]
    if not numbers:
        return ()
    arrays = [a for _, a in given if isinstance(a, np.ndarray | np.generic | Buffer)]
    limits = [np.iinfo(a.dtype) for a in arrays if a.dtype.kind in "iu"]
    return tuple(name for name, value in numbers if any(not t.min <= value <= t.max for t in limits))


def _static(function: Callable[..., Any], arrays: Sequence[str]) -> tuple[str, ...]:
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    return tuple(n for n in code.co_varnames[code.co_posonlyargcount : count] if n not in arrays)


def scope() -> Trace:
    """The scope that nodes are added to."""
    trace = current()
    if trace is None:
        raise error("TILE0511", "this is done while a function is traced", user_span(), help="decorate it: @tilec.jit")
    return trace


def lift(value: Any) -> Tensor:
    """A number, array or tensor as a tensor of the current scope or one around it."""
    return value if isinstance(value, Tensor) else scope().lift(value)


__all__ = ["lift", "operation", "scope"]
