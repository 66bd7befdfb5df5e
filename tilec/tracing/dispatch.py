"""Floor 5: how functions of arrays are called: on tensors they add nodes, on arrays they are compiled and run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from tilec.errors import error
from tilec.tracing.place import located, user_span
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import Trace, current

P = ParamSpec("P")
R = TypeVar("R")


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Makes a function of tensors one of arrays too. Its positional-only parameters are operands, trees of arrays or
    numbers; all others decide what is computed. Errors name the user's line.
    """
    eager: list[Callable[P, R]] = []  # made when it is first needed

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with located():
            if current() is not None or any(hasattr(a, "apply_builtin") for a in args):
                return function(*args, **kwargs)
            if not eager:
                from tilec.tracing.jit import Jitted

                eager.append(Jitted(function, static_argnames=_static(function)))
            return eager[0](*args, **kwargs)

    return call


def _static(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    return code.co_varnames[code.co_posonlyargcount : count]


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
