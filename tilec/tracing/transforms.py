"""Floor 5: derivatives of Python functions: `grad`, `value_and_grad`, `jvp`, `hvp`.

Each returns a function. While a function is traced, the derivative's nodes become part of its Graph; called on arrays,
a derivative is traced each time and compiled once (`tilec.jit(tilec.grad(f))` is traced once, too). The function is
traced into a sub-Graph, whose parameters are the leaves it is differentiated by, then the traced tensors of enclosing
functions that it uses, which count as constants; the pass `differentiate` does the rest. A value of rank > 0 is summed.
All of them nest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tilec.errors import error
from tilec.graph import Graph
from tilec.passes import dce, differentiate
from tilec.rules import shape_text
from tilec.tracing import trees
from tilec.tracing.dispatch import lift, scope
from tilec.tracing.jit import jit
from tilec.tracing.place import located, user_span
from tilec.tracing.tensor import Tensor, is_operand
from tilec.tracing.trace import Trace, current

Function = Callable[..., Any]


def grad(function: Function, /, argnums: int | Sequence[int] = 0, *, has_aux: bool = False) -> Function:
    """A function of the same arguments that returns the gradient with respect to those at `argnums`.

    A gradient has the structure of its argument; several argnums give a tuple. has_aux: `function` returns a pair
    (value, anything else), and so does the result: (gradient, anything else). Raises TileError, when called: TILE0309
    where the value or an argument is not of floats, TILE0310 where something has no derivative.
    """
    both = value_and_grad(function, argnums, has_aux=has_aux)

    @functools.wraps(function)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(function: Function, /, argnums: int | Sequence[int] = 0, *, has_aux: bool = False) -> Function:
    """As `grad`, for the pair (what `function` returns, gradient)."""

    def derived(*args: Any, **kwargs: Any) -> Any:
        chosen = _chosen(argnums, args)
        split = _Split.of([args[k] for k in chosen])

        def run(tensors: Sequence[Tensor]) -> Any:
            given = list(args)
            for k, tree in zip(chosen, split.trees(tensors), strict=True):
                given[k] = tree
            return function(*given, **kwargs)

        value, gradients = _reverse(run, split, has_aux)
        found = split.trees(gradients)
        return value, found[0] if isinstance(argnums, int) else tuple(found)

    return _compiled(function, derived)


def jvp(function: Function, /) -> Function:
    """A function of two tuples, the arguments and a direction for each, that returns the pair (what `function` returns,
    its derivative along the direction).

    >>> import numpy as np, tilec
    >>> x, along = np.array([2.0, 3.0]), np.array([1.0, 0.0])
    >>> [r.tolist() for r in tilec.jvp(lambda x: x * x)((x,), (along,))]
    [[4.0, 9.0], [4.0, 0.0]]
    """

    def derived(primals: Sequence[Any], tangents: Sequence[Any], /) -> Any:
        split = _Split.of(_tuple(primals, "arguments"))
        moved, structure = trees.flatten(_tuple(tangents, "directions"))
        if structure != split.structure:
            raise _different("the direction", structure, "the arguments", split.structure)
        return _forward(lambda tensors: function(*split.trees(tensors)), split, moved)

    return _compiled(function, derived)


def hvp(function: Function, /) -> Function:
    """A function of two tuples, the arguments and a vector for each, that returns the product of the Hessian of
    `function` with the vector, one tree for each argument (the tree itself where there is only one).

    Forward mode over reverse mode: it costs a few times what the gradient does, and no matrix is formed.
    """

    def derived(primals: Sequence[Any], vectors: Sequence[Any], /) -> Any:
        count = len(_tuple(primals, "arguments"))
        slope = value_and_grad(function, tuple(range(count)))
        _, product = jvp(lambda *args: slope(*args)[1])(primals, vectors)
        return product[0] if count == 1 else product

    return _compiled(function, derived)


@dataclass(frozen=True, slots=True)
class _Split:
    """Arguments as the leaves that a function is differentiated by."""

    leaves: tuple[Tensor, ...]
    structure: Any

    @staticmethod
    def of(args: list[Any]) -> _Split:
        leaves, structure = trees.flatten(args)
        return _Split(tuple(map(lift, leaves)), structure)

    def trees(self, leaves: Sequence[Any]) -> list[Any]:
        found: list[Any] = trees.unflatten(self.structure, leaves)
        return found

    def check(self) -> None:
        """Raises TILE0309 where a leaf is not a float."""
        for path, leaf in zip(trees.paths(self.structure), self.leaves, strict=True):
            if not leaf.type.dtype.is_float:
                where = trees.path_text(path[1:])
                name = f"the leaf {where!r} of an argument" if where else "an argument"
                help = "make it a float, or choose other arguments by argnums"
                raise error("TILE0309", f"{name} is {leaf.type.dtype.long}: it has no gradient", help=help)


def _tuple(given: Any, what: str) -> list[Any]:
    if not isinstance(given, tuple | list):
        help = f"the function's {what} stand in parentheses: ((x,), (v,)) for a function of x alone"
        raise error("TILE0511", f"the {what} are a tuple, not an object of type {type(given).__name__}", help=help)
    return list(given)


def _chosen(argnums: int | Sequence[int], args: Sequence[Any]) -> list[int]:
    wanted = list(argnums) if isinstance(argnums, Iterable) else [argnums]
    if strange := [k for k in wanted if not isinstance(k, int)]:
        help = "inputs go by name where the program is text, a path or a Graph: tilec.grad(path, wrt=NAME)"
        raise error("TILE0511", f"argnums are positions of arguments, not {strange[0]!r}", help=help)
    if wrong := [k for k in wanted if not -len(args) <= k < len(args)]:
        raise error("TILE0501", f"there is no positional argument {wrong[0]} to differentiate by: {len(args)} given")
    found = [k % len(args) for k in wanted]
    if twice := [k for k in found if found.count(k) > 1]:
        help = "an argument has one gradient: give its position once"
        raise error("TILE0511", f"argument {twice[0]} is chosen twice by argnums={argnums!r}", help=help)
    return found


def _reverse(run: Callable[[Sequence[Tensor]], Any], split: _Split, has_aux: bool) -> tuple[Any, list[Tensor]]:
    """What the function returns, and the gradients of its (first) value by the leaves."""
    split.check()
    trace = Trace("function", scope())
    with trace.open():
        inputs = [trace.param("x", t.type) for t in split.leaves]
        returned = run(inputs)
        value = _value(returned, has_aux)
        leaves, structure = trees.flatten(returned)
        places = [k for k, leaf in enumerate(leaves) if is_operand(leaf)]
        graph = trace.graph([lift(value), *(lift(leaves[k]) for k in places)], ["loss", *["value"] * len(places)])
    derived = differentiate.value_and_gradient(graph, [t.name for t in inputs], graph.results[0])
    found = _inlined(trace, derived, split.leaves)[1:]
    for k, tensor in zip(places, found):
        leaves[k] = tensor
    return trees.unflatten(structure, leaves), found[len(places) :]


def _value(returned: Any, has_aux: bool) -> Any:
    if has_aux and not (isinstance(returned, tuple) and len(returned) == 2):
        raise error("TILE0113", "with has_aux a function returns a pair: the value, and anything else")
    value = returned[0] if has_aux else returned
    leaves, _ = trees.flatten(value)
    if len(leaves) != 1 or leaves[0] is not value:
        help = "return the loss alone, or a pair (loss, anything else) with has_aux=True"
        raise error("TILE0309", "the function's value is not one tensor", help=help)
    if not lift(value).type.dtype.is_float:
        raise error("TILE0309", f"the function's value is {lift(value).type.dtype.long}: it has no gradient")
    return value


def _forward(run: Callable[[Sequence[Tensor]], Any], split: _Split, moved: Sequence[Any]) -> tuple[Any, Any]:
    split.check()
    trace = Trace("function", scope())
    with trace.open():
        inputs = [trace.param("x", t.type) for t in split.leaves]
        results, structure = trees.flatten(run(inputs))
        graph = trace.graph([lift(r) for r in results], ["value"] * len(results))
    types = graph.types()
    derived = differentiate.jvp(graph, [t.name for t in inputs])
    directions = [_direction(m, t) for m, t in zip(moved, split.leaves, strict=True)]
    found = _inlined(trace, derived, split.leaves, directions)
    values, rates = found[: len(results)], iter(found[len(results) :])
    # what is no float has a derivative of zero, which is told as zeros of its own type
    slopes = [next(rates) if types[n].dtype.is_float else _zeros(v) for n, v in zip(graph.results, values, strict=True)]
    return trees.unflatten(structure, values), trees.unflatten(structure, slopes)


def _direction(value: Any, like: Tensor) -> Tensor:
    found = lift(value)
    if found.type.shape != like.type.shape:
        shapes = shape_text(found.type.shape), shape_text(like.type.shape)
        raise error("TILE0504", f"a direction has shape {shapes[0]}, its argument {shapes[1]}")
    return scope().apply("cast", found, dtype=like.type.dtype)


def _zeros(like: Tensor) -> Tensor:
    return scope().apply("sub", like, like)


def _inlined(trace: Trace, derived: Graph, leaves: Sequence[Tensor], further: Sequence[Tensor] = ()) -> list[Tensor]:
    """The results of a derivative of what was traced, for these leaves and the captures."""
    outer = scope()
    captured = [outer.tensor(outer_name) for outer_name in trace.captures.values()]
    return outer.inline(dce.run(derived), [*leaves, *captured, *further])


def _different(what: str, structure: Any, other: str, wanted: Any) -> Exception:
    texts = trees.structure_text(structure), trees.structure_text(wanted)
    return error("TILE0305", f"{what} has the structure {texts[0]}, {other} {texts[1]}")


def _compiled(function: Function, derived: Function) -> Function:
    """`derived` while a function is traced, else compiled."""
    if not callable(function):
        text = f"a Python function is differentiated, not an object of type {type(function).__name__}"
        raise error("TILE0511", text, user_span())
    derived.__name__ = getattr(function, "__name__", "function")
    compiled = jit(derived)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with located():
            return derived(*args, **kwargs) if current() is not None else compiled.retraced(*args, **kwargs)

    return call


__all__ = ["grad", "hvp", "jvp", "value_and_grad"]
