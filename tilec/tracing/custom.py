"""Floor 5: functions that say how they are differentiated: `checkpoint`, `custom_gradient`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tilec.errors import error
from tilec.graph import Custom, Remat
from tilec.passes import dce
from tilec.passes.differentiate.reverse import backward
from tilec.rules import shape_text
from tilec.tracing import trees
from tilec.tracing.dispatch import lift, scope
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.jit import jit
from tilec.tracing.place import located, user_span
from tilec.tracing.subgraph import Subgraph, check_function, subgraph, united
from tilec.tracing.tensor import Tensor, is_operand
from tilec.tracing.trace import Trace, current

Function = Callable[..., Any]


def checkpoint(function: Function, /) -> Function:
    """The function, whose intermediate values a gradient computes again instead of keeping them.

    Arguments that are no arrays, tensors or numbers are passed as they are. The result is the same. Raises TILE0511.
    """
    with located():
        check_function(function, "what is computed again")

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if current() is None:
            return function(*args, **kwargs)  # nothing is differentiated
        with located():
            given = _Arguments(args, kwargs)
            found = subgraph("checkpoint", [t.type for t in given.tensors], lambda t: given.call(function, t))
            (body,), captures = united([found])
            here = scope()
            node = Remat(body, here.names([*given.tensors, *captures]))
            return trees.unflatten(found.structure, here.bind_all(node, ["kept"] * len(body.results)))

    return call


class CustomGradient:
    """A function with a gradient of its own: what `tilec.custom_gradient` returns.

    Called in forward mode (`jvp`, `hvp`) its derivative raises TILE0310: only the reverse is known.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._backward: Function | None = None
        functools.update_wrapper(self, function)
        self._compiled = jit(self._traced)

    def defgrad(self, backward: Function) -> CustomGradient:
        """Sets the gradient: `backward(args, result, cotangent)` returns one tree for each argument, None for zero.

        Without it, the function returns a pair (result, backward), where `backward(cotangent)` does the same.
        """
        self._backward = backward
        return self

    def __call__(self, *args: Any) -> Any:
        with located():
            return self._traced(*args) if current() is not None else self._compiled.retraced(*args)

    def _traced(self, *args: Any) -> Any:
        given = _Arguments(args, {})
        forward, backward = self._graphs(given)
        (first, second), captures = united([forward, backward])
        count = len(given.tensors)
        own, rest, captured = second.params[:count], second.params[count:], second.params[len(second.params) :]
        if captures:
            rest, captured = rest[: -len(captures)], rest[-len(captures) :]
        second = replace(second, params=(*own, *captured, *rest))
        node = Custom(first, dce.run(second), scope().names([*given.tensors, *captures]))
        return trees.unflatten(forward.structure, scope().bind_all(node, ["own"] * len(first.results)))

    def _graphs(self, given: _Arguments) -> tuple[Subgraph, Subgraph]:
        """The function, and its gradient by all arguments, then by all captures. Both trace the function: a closed
        Graph sees no values of another, and what is not needed, or computed twice in the end, is removed by the passes.
        """
        types = [t.type for t in given.tensors]

        def run(tensors: list[Tensor]) -> Any:
            found = given.call(self._function, tensors)
            return found if self._backward is not None else _pair(found)[0]

        forward = subgraph("forward", types, run)
        trace = Trace("backward", scope())
        with trace.open():
            params = [trace.param("x", t) for t in types]
            results = [trace.param("y", t) for t in forward.types()]
            cotangents = [trace.param("y_grad", t) for t in forward.types()]
            cotangent = trees.unflatten(forward.structure, cotangents)
            if self._backward is not None:
                result = trees.unflatten(forward.structure, results)
                found = self._backward(given.arguments(params), result, cotangent)
            else:
                found = _pair(given.call(self._function, params))[1](cotangent)
            gradients = given.gradients(found, params)
            gradients += _of_captures(trace, forward, params, cotangents)
            graph = trace.graph(gradients, ["x_grad"] * len(gradients))
        return forward, Subgraph(graph, trace.captures, None)


def _of_captures(
    trace: Trace, forward: Subgraph, params: Sequence[Tensor], cotangents: Sequence[Tensor]
) -> list[Tensor]:
    """Gradients by the tensors that the function uses without being given them: those of the calculus.

    First by what the function captures, then zeros by what its gradient alone captures. Raises TILE0310.
    """
    from tilec.numpy.creation import zeros_like

    assert trace.parent is not None
    first = dict.fromkeys(forward.captures.values())
    outer = [trace.parent.tensor(name) for name in (*first, *(n for n in trace.captures.values() if n not in first))]
    inside = {name: own for own, name in forward.captures.items()}
    constants = trace.root().constants
    moving = [t for t in outer if t.name in inside and t.type.dtype.is_float and t.name not in constants]
    seeded = [k for k, t in enumerate(cotangents) if t.type.dtype.is_float]
    if not (moving and seeded):
        return [zeros_like(t) for t in outer]
    graph = backward(forward.graph, [inside[t.name] for t in moving], seeded)
    values = dict(zip([p.name for p in forward.graph.params if p.name not in forward.captures], params, strict=True))
    values |= {own: trace.parent.tensor(name) for own, name in forward.captures.items()}
    given = [*(values[p.name] for p in forward.graph.params), *(cotangents[k] for k in seeded)]
    slopes = dict(zip([t.name for t in moving], trace.inline(graph, given), strict=True))
    return [slopes[t.name] if t.name in slopes else zeros_like(t) for t in outer]


def custom_gradient(function: Function, /) -> CustomGradient:
    """A function of positional arguments whose gradient is given, not derived.

    Either the function returns a pair (result, backward), where `backward(cotangent)` returns one gradient for each
    argument, or it returns its result, and the gradient is set by `defgrad`:

    >>> import numpy as np, tilec
    >>> import tilec.numpy as tnp
    >>> @tilec.custom_gradient
    ... def rounded(x):
    ...     return tnp.round(x), lambda g: g
    >>> tilec.grad(lambda x: (rounded(x) * x).sum())(np.array([1.2])).tolist()
    [2.2]

    A tensor that the function uses without being given it has the derivative of the calculus; arrays are constants.
    """
    if not callable(function):
        text = f"a Python function is given a gradient, not an object of type {type(function).__name__}"
        raise error("TILE0511", text, user_span())
    return CustomGradient(function)


class _Arguments:
    """The arguments of a call: tensors, and whatever else is passed on as it is."""

    def __init__(self, args: Sequence[Any], kwargs: Any) -> None:
        self._leaves, self._structure = trees.flatten((tuple(args), dict(kwargs)))
        self._places = [k for k, leaf in enumerate(self._leaves) if is_operand(leaf)]
        lifted = [lift(self._leaves[k]) for k in self._places]
        self.tensors = [as_dtype(t, t.type.dtype) for t in lifted]

    def tree(self, tensors: Sequence[Tensor]) -> Any:
        leaves = list(self._leaves)
        for k, tensor in zip(self._places, tensors, strict=True):
            leaves[k] = tensor
        return trees.unflatten(self._structure, leaves)

    def call(self, function: Function, tensors: Sequence[Tensor]) -> Any:
        args, kwargs = self.tree(tensors)
        return function(*args, **kwargs)

    def arguments(self, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self.tree(tensors)[0]
        return found

    def gradients(self, found: Any, params: Sequence[Tensor]) -> list[Tensor]:
        """One gradient for each parameter, in its type: from one tree for each argument, None for zeros."""
        args = self.arguments(params)
        given = found if isinstance(found, tuple) and len(args) != 1 else (found,)
        if isinstance(found, tuple) and len(args) == 1 and len(found) == 1:
            given = found
        if len(given) != len(args):
            raise error("TILE0113", f"a gradient returns {len(given)} values for {len(args)} arguments")
        results = []
        for own, gradient in zip(args, given):
            results += _matched(own, gradient)
        return results


def _matched(argument: Any, gradient: Any) -> list[Tensor]:
    leaves, structure = trees.flatten(argument)
    if gradient is None:
        slopes = [None] * len(leaves)
    else:
        slopes, own = trees.flatten(gradient)
        if own != structure:
            texts = trees.structure_text(own), trees.structure_text(structure)
            raise error("TILE0305", f"a gradient has the structure {texts[0]}, its argument {texts[1]}")
    pairs = [(leaf, g) for leaf, g in zip(leaves, slopes, strict=True) if isinstance(leaf, Tensor)]
    return [_slope(leaf, g) for leaf, g in pairs]


def _slope(leaf: Tensor, gradient: Any) -> Tensor:
    from tilec.numpy.creation import zeros_like

    if gradient is None:
        return zeros_like(leaf)  # type: ignore[no-any-return]
    found = lift(gradient)
    if found.type.shape != leaf.type.shape:
        shapes = shape_text(found.type.shape), shape_text(leaf.type.shape)
        raise error("TILE0504", f"a gradient has shape {shapes[0]}, its argument {shapes[1]}")
    return as_dtype(found, leaf.type.dtype)  # type: ignore[no-any-return]


def _pair(found: Any) -> tuple[Any, Function]:
    if not (isinstance(found, tuple) and len(found) == 2 and callable(found[1])):
        help = "return (result, backward), or set the gradient with .defgrad"
        raise error("TILE0113", "a function with a gradient of its own returns a result and a function", help=help)
    return found
