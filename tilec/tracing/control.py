"""Floor 5: branches and loops of which the program, not Python, decides: `cond`, `while_loop`, `fori_loop`, `scan`.

Each takes Python functions, which are traced into sub-Graphs; they may use tensors from outside. What is carried from
step to step is a tree whose structure, dtypes and shapes stay the same; a Python number in it takes the type that the
step gives it. Called on arrays outside of a traced function, they are traced and compiled as one program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tilec.affine import Size
from tilec.dtypes import BOOL, I32, I64
from tilec.errors import error
from tilec.graph import Cond, Scan, TensorType, While
from tilec.rules import shape_text
from tilec.tracing import trees
from tilec.tracing.dispatch import lift, scope
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.jit import jit
from tilec.tracing.place import located
from tilec.tracing.subgraph import Subgraph, check_function, same_types, subgraph, united
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import current

Function = Callable[..., Any]


def traced(*static: str) -> Callable[[Function], Function]:
    """Compiles calls outside of traced functions; `static` are the arguments that are not trees of arrays."""

    def decorated(function: Function) -> Function:
        compiled = jit(function, static_argnames=static)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with located():
                return function(*args, **kwargs) if current() is not None else compiled.retraced(*args, **kwargs)

        return call

    return decorated


@traced("then", "orelse")
def cond(predicate: Any, then: Function, orelse: Function, *operands: Any) -> Any:
    """`then(*operands)` where the predicate, a scalar, is not zero, else `orelse(*operands)`; only one is computed.

    Both return trees of one structure and the same types. Raises TILE0202, TILE0305.
    """
    check_function(then, "a branch")
    check_function(orelse, "a branch")
    chosen = as_dtype(lift(predicate), BOOL)
    if chosen.ndim:
        help = "tilec.numpy.where chooses for each element"
        raise error("TILE0202", f"the predicate has shape {list(chosen.shape)}, not []", help=help)
    leaves, structure = trees.flatten(operands)
    args = [lift(leaf) for leaf in leaves]
    types = [a.type for a in args]
    branches = [
        subgraph("branch", types, lambda t, f=f: f(*trees.unflatten(structure, t)))  # type: ignore[misc]
        for f in (then, orelse)
    ]
    same_types("the second branch", branches[1], "the first", branches[0].structure, branches[0].types())
    graphs, captures = united(branches)
    here = scope()
    node = Cond(here.name_of(chosen), graphs[0], graphs[1], here.names([*args, *captures]))
    return trees.unflatten(branches[0].structure, here.bind_all(node, ["cond"] * len(branches[0].types())))


@traced("condition", "body")
def while_loop(condition: Function, body: Function, init: Any) -> Any:
    """Replaces the carried tree, `init` at first, by `body(carried)` as long as `condition(carried)` is not zero.

    Reverse mode computes states again from snapshots: 128 of them, whatever the number of steps. Raises TILE0202,
    TILE0305.
    """
    check_function(condition, "the condition of a loop")
    check_function(body, "the body of a loop")
    carried = _Carried(init, lambda types, structure: _step(body, types, structure))
    test = subgraph("condition", carried.types, lambda t: as_dtype(lift(condition(carried.tree(t))), BOOL))
    if test.types() != [TensorType(BOOL)]:
        raise error("TILE0202", "the condition of a loop is not a scalar")
    (tested, step), captures = united([test, carried.step])
    here = scope()
    node = While(tested, step, here.names(carried.init), here.names(captures))
    return carried.tree(here.bind_all(node, ["loop"] * len(carried.types)))


@traced("body", "length", "reverse")
def scan(body: Function, init: Any, inputs: Any = None, length: int | None = None, reverse: bool = False) -> Any:
    """Calls `body(carried, slices)`, which returns (carried, outputs), for each slice of the inputs along axis 0.

    Returns the pair (last carried tree, outputs stacked along a new axis 0). length: the number of steps, needed where
    there are no inputs; reverse: from the last slice to the first. Raises TILE0202, TILE0305.
    """
    check_function(body, "the body of a scan")
    leaves, structure = trees.flatten(inputs)
    rows = [as_dtype(t, t.type.dtype) for t in map(lift, leaves)]
    count = _length(rows, length)
    slices = [TensorType(r.type.dtype, r.type.shape[1:]) for r in rows]

    def step(types: Sequence[TensorType], own: Any) -> Subgraph:
        def run(tensors: list[Tensor]) -> Any:
            found = body(trees.unflatten(own, tensors[: len(types)]), trees.unflatten(structure, tensors[len(types) :]))
            if not isinstance(found, tuple) or len(found) != 2:
                raise error("TILE0113", "the body of a scan returns a pair: the carried tree and the outputs")
            return found

        return subgraph("step", [*types, *slices], run)

    carried = _Carried(init, step, pair=True)
    (graph,), captures = united([carried.step])
    here = scope()
    node = Scan(graph, here.names(carried.init), here.names(rows), here.names(captures), count, bool(reverse))
    found = here.bind_all(node, ["scan"] * len(carried.step.types()))
    last, stacked = trees.unflatten(carried.step.structure, found)
    return last, stacked


def _length(rows: Sequence[Tensor], length: int | None) -> Size:
    from tilec.numpy.axes import shape_of  # which has functions that loop: whichever comes first needs the other

    if any(r.ndim == 0 for r in rows):
        raise error("TILE0202", "a scan runs along axis 0 of its inputs; one of them has rank 0")
    counts: set[Size] = {r.type.shape[0] for r in rows} | (set() if length is None else set(shape_of(length)))
    if len(counts) != 1:
        lengths = shape_text(tuple(sorted(counts, key=str)))
        text = f"lengths of a scan differ: {lengths}" if counts else "a scan without inputs needs length="
        raise error("TILE0222" if counts else "TILE0501", text)
    (count,) = counts
    if isinstance(count, int) and count > I64.max:
        raise error("TILE0415", f"the number of steps {count} exceeds 64 bits")
    return count


def fori_loop(lower: Any, upper: Any, body: Function, init: Any) -> Any:
    """Replaces the carried tree by `body(i, carried)` for i from `lower` up to `upper` less one; i is an int32 scalar.

    With Python integers for bounds it is a scan, which has all derivatives; with tensors a `while_loop`.
    """
    with located():
        check_function(body, "the body of a loop")
    if isinstance(lower, int) and isinstance(upper, int):
        return _counted(lower, upper, body, init)
    return while_loop(_below, functools.partial(_advanced, body), (lower, upper, init))[2]


def _below(state: Any) -> Any:
    return state[0] < state[1]


def _advanced(body: Function, state: Any) -> Any:
    return state[0] + 1, state[1], body(state[0], state[2])


def _counted(lower: int, upper: int, body: Function, init: Any) -> Any:
    from tilec.numpy.creation import arange

    if wide := next((n for n in (lower, upper) if not I64.min <= n <= I64.max), None):
        with located():
            raise error("TILE0415", f"the bound {wide} of a loop exceeds 64 bits")
    dtype = I32 if I32.min <= lower and upper <= I32.max else I64
    with located():
        indices = arange(lower, max(lower, upper), dtype=dtype)
        return scan(functools.partial(_indexed, body), init, indices)[0]


def _indexed(body: Function, carried: Any, i: Any) -> Any:
    return body(i, carried), None


class _Carried:
    """The state of a loop: its leaves before the first step, and the step traced for their types.

    A weak leaf, a Python number, takes the type that the step gives it; the step is traced again for it.
    """

    def __init__(self, init: Any, trace: Callable[[Sequence[TensorType], Any], Subgraph], pair: bool = False) -> None:
        leaves, self._structure = trees.flatten(init)
        self.init = [lift(leaf) for leaf in leaves]
        self.step = trace([t.type for t in self.init], self._structure)
        wanted = self.step.types()[: len(self.init)]
        weak = [t.type.weak for t in self.init]
        if any(weak):
            pairs = zip(self.init, wanted, weak)
            self.init = [as_dtype(t, w.dtype if is_weak else t.type.dtype) for t, w, is_weak in pairs]
            self.step = trace([t.type for t in self.init], self._structure)
        self._check(pair)

    @property
    def types(self) -> list[TensorType]:
        return [t.type for t in self.init]

    def tree(self, leaves: Sequence[Tensor]) -> Any:
        return trees.unflatten(self._structure, leaves)

    def _check(self, pair: bool) -> None:
        """The step returns what it was given, in kind; with `pair`, as the first of two."""
        found = self.step
        if pair:
            first = found.structure.children()[0]
            results = found.graph.results[: first.num_leaves]
            found = Subgraph(replace(found.graph, results=results), found.captures, first)
        same_types("a step", found, "the carried tree is", self._structure, self.types)


def _step(body: Function, types: Sequence[TensorType], structure: Any) -> Subgraph:
    return subgraph("step", types, lambda t: body(trees.unflatten(structure, t)))
