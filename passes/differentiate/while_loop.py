"""Reverse mode of While: states are computed again from snapshots, so that memory does not grow with the steps.

The loop counts its T steps. Then, on each of `LEVELS` levels, a stretch of steps is cut into at most `SNAPSHOTS` equal
segments; the states at their beginnings are kept, and the segments are visited from the last to the first, each from
its snapshot, on the next level. Below the last level, the steps of a segment are visited backwards, each from a state
that is computed again from the segment's snapshot.

Memory is SNAPSHOTS * LEVELS states, whatever T is. A level that cuts into segments of one step computes nothing
again. So the steps computed again are T for T <= SNAPSHOTS, 2 T for T <= SNAPSHOTS^2 = 4096, and about
(2 + T / (2 * 4096)) T beyond. The scheme is multi-level checkpointing: A. Griewank, Achieving logarithmic growth of
temporal and spatial complexity in reverse automatic differentiation, Optimization Methods and Software 1, 1992; with
fixed numbers of snapshots, since the size of memory is planned before T is known.

Values that are no floats are state without cotangents, and the condition has none. Assertions are checked when the loop
runs, not again. A host function might answer differently when it is called again: refused with TILE0310.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tilec.dtypes import I64
from tilec.fresh import FreshNames
from tilec.graph import Graph, Let, Param, Scan, TensorType, While
from tilec.passes.differentiate.activity import live_lets
from tilec.passes.differentiate.builder import Builder, start
from tilec.rewrite import names

SNAPSHOTS = 64
LEVELS = 2
_NUMBER = TensorType(I64)


@dataclass(frozen=True, slots=True)
class _Loop:
    """`step`: (state, constants) -> state. `pull`: (state, constants, cotangents) -> (cotangents, constants' parts)."""

    step: Graph
    pull: Graph
    carried: int
    sums: tuple[Param, ...]  # the constants that have cotangents

    @property
    def state(self) -> tuple[Param, ...]:
        return self.step.params[: self.carried]

    @property
    def constants(self) -> tuple[Param, ...]:
        return self.step.params[self.carried :]

    @property
    def cotangents(self) -> tuple[Param, ...]:
        return self.pull.params[len(self.step.params) :]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Names of: the state before step `first`, what all steps read, and the numbers of the steps first ... last - 1."""

    state: tuple[str, ...]
    constants: tuple[str, ...]
    first: str
    last: str


def pull_while(
    b: Builder,
    let: Let,
    node: While,
    seeds: Mapping[str, str],
    active: set[str],
    backward: Callable[[Graph, Sequence[str], Sequence[int]], Graph],
) -> Iterator[tuple[str, str]]:
    """Operands and their parts of the cotangent; `seeds` are the cotangents of results."""
    params, carried = node.body.params, len(node.init)
    moving = [k for k in range(carried) if params[k].type.dtype.is_float]
    captures = [k for k in range(len(node.captures)) if node.captures[k] in active]
    step = replace(node.body, lets=tuple(live_lets(node.body, node.body.results)))
    sums = tuple(params[carried + k] for k in captures)
    pull = backward(step, [*(params[k].name for k in moving), *(p.name for p in sums)], moving)
    last = _counted(b, let, node)
    first = b.filled(0, _NUMBER, "first")
    given = [seeds.get(let.names[k]) or b.filled(0, let.types[k], f"{let.names[k]}_bar") for k in moving]
    totals = [b.filled(0, b.types[node.captures[k]], f"{node.captures[k]}_bar") for k in captures]
    stretch = _Stretch(node.init, node.captures, first, last)
    found = _pulled(b, _Loop(step, pull, carried, sums), LEVELS, stretch, (*given, *totals))
    wanted = [*(node.init[k] for k in moving), *(node.captures[k] for k in captures)]
    return iter([(n, part) for n, part in zip(wanted, found, strict=True) if n in active])


def _counted(b: Builder, let: Let, node: While) -> str:
    """Puts in the loop's place one that counts its steps as well; the name of their number."""
    body, condition = start(node.body), start(node.condition)
    for inner in node.body.lets:
        body.keep(inner)
    number, unused = body.param("steps", _NUMBER), condition.param("steps", _NUMBER)
    more = body.apply("add", (number.name, body.filled(1, _NUMBER, "one")), "steps")
    carried = len(node.init)

    def with_number(graph: Graph, param: Param) -> Graph:
        return replace(graph, params=(*graph.params[:carried], param, *graph.params[carried:]))

    counting = with_number(
        replace(node.body, lets=tuple(body.lets), results=(*node.body.results, more)),
        number,
    )
    at = next(k for k, other in enumerate(b.lets) if other.names == let.names)
    later = b.lets[at + 1 :]
    del b.lets[at:]
    init = (*node.init, b.filled(0, _NUMBER, "steps"))
    loop = While(with_number(node.condition, unused), counting, init, node.captures)
    steps = b.fresh.like("steps")
    b.keep(replace(let, names=(*let.names, steps), node=loop, types=(*let.types, _NUMBER)))
    b.lets.extend(later)
    return steps


def _pulled(b: Builder, loop: _Loop, level: int, s: _Stretch, cotangents: Sequence[str]) -> tuple[str, ...]:
    """The cotangents before the steps of a stretch, and the constants' sums, from those after it."""
    if level == 0:
        return _pulled_singly(b, loop, s, cotangents)
    stride = _segment(b, s)
    count = _ceiling(b, b.apply("sub", (s.last, s.first), "length"), stride)
    kept = _snapshots(b, loop, s, stride, count)
    inner = _inside(b, loop)
    moved = _moved(inner, loop)
    first, step, last = (inner.param(stem, _NUMBER) for stem in ("first", "stride", "last"))
    end = inner.apply("min", (inner.apply("add", (first.name, step.name), "end"), last.name), "end")
    segment = _Stretch(_names(loop.state), _names(loop.constants), first.name, end)
    found = _pulled(inner, loop, level - 1, segment, _names(moved))
    params = (*moved, *loop.state, first, *loop.constants, step, last)
    body = _graph(inner, loop, "segment", params, found)
    node = Scan(body, tuple(cotangents), kept, (*s.constants, stride, s.last), SNAPSHOTS, True, count)
    return b.bind_all(node, _names(moved))


def _segment(b: Builder, s: _Stretch) -> str:
    """The length of the segments: at least 1, and as small as the number of snapshots allows."""
    length = b.apply("sub", (s.last, s.first), "length")
    least = b.filled(1, _NUMBER, "one")
    return b.apply("max", (least, _ceiling(b, length, b.filled(SNAPSHOTS, _NUMBER, "snapshots"))), "stride")


def _ceiling(b: Builder, number: str, by: str) -> str:
    """number / by, rounded up; both are positive, or number is 0."""
    more = b.apply("sub", (b.apply("add", (number, by), "sum"), b.filled(1, _NUMBER, "one")), "sum")
    return b.apply("div", (more, by), "quotient")


def _snapshots(b: Builder, loop: _Loop, s: _Stretch, stride: str, count: str) -> tuple[str, ...]:
    """The states before the first steps of the segments, stacked, and the numbers of these steps."""
    inner = _inside(b, loop)
    first, step, last = (inner.param(stem, _NUMBER) for stem in ("first", "stride", "last"))
    following = inner.apply("add", (first.name, step.name), "next")
    more = inner.apply("cmp_lt", (following, last.name), "more")
    end = inner.apply("cond", (more, following, first.name), "end")  # nobody needs the state after the last segment
    state = _names(loop.state)
    found = _state_at(inner, loop, _Stretch(state, _names(loop.constants), first.name, end))
    params = (*loop.state, first, *loop.constants, step, last)
    body = _graph(inner, loop, "snapshot", params, (*found, following, *state, first.name))
    node = Scan(body, (*s.state, s.first), (), (*s.constants, stride, s.last), SNAPSHOTS, False, count)
    stems = [*(f"{n}_last" for n in state), "next", *(f"{n}_kept" for n in state), "firsts"]
    return b.bind_all(node, stems)[len(stems) // 2 :]


def _state_at(b: Builder, loop: _Loop, s: _Stretch) -> tuple[str, ...]:
    """The state after a stretch."""
    inner, test = _inside(b, loop), _inside(b, loop)
    for let in loop.step.lets:
        inner.keep(let)
    params = []
    for scope in (inner, test):
        at, last = scope.param("at", _NUMBER), scope.param("last", _NUMBER)
        params.append((*loop.state, at, *loop.constants, last))
    at, last = params[0][loop.carried], params[0][-1]
    more = inner.apply("add", (at.name, inner.filled(1, _NUMBER, "one")), "at")
    body = _graph(inner, loop, "again", params[0], (*loop.step.results, more))
    go = test.apply("cmp_lt", (params[1][loop.carried].name, params[1][-1].name), "go")
    condition = _graph(test, loop, "more", params[1], (go,))
    node = While(condition, body, (*s.state, s.first), (*s.constants, s.last))
    return b.bind_all(node, [*_names(loop.state), "at"])[:-1]


def _pulled_singly(b: Builder, loop: _Loop, s: _Stretch, cotangents: Sequence[str]) -> tuple[str, ...]:
    """As `_pulled`, where every state is computed again from the first."""
    inner, test = _inside(b, loop), _inside(b, loop)
    moved, same = _moved(inner, loop), _moved(test, loop)
    at, first = inner.param("at", _NUMBER), inner.param("first", _NUMBER)
    before = inner.apply("sub", (at.name, inner.filled(1, _NUMBER, "one")), "at")
    constants = _names(loop.constants)
    state = _state_at(inner, loop, _Stretch(_names(loop.state), constants, first.name, before))
    count = len(loop.cotangents)
    found = inner.inline(loop.pull, [*state, *constants, *(_names(moved)[:count])])
    totals = [inner.total([p.name, part], p.name) for p, part in zip(moved[count:], found[count:], strict=True)]
    params = (*moved, at, *loop.state, *loop.constants, first)
    body = _graph(inner, loop, "pull", params, (*found[:count], *totals, before))
    number, least = test.param("at", _NUMBER), test.param("first", _NUMBER)
    go = test.apply("cmp_gt", (number.name, least.name), "go")
    condition = _graph(test, loop, "left", (*same, number, *loop.state, *loop.constants, least), (go,))
    node = While(condition, body, (*cotangents, s.last), (*s.state, *s.constants, s.first))
    return b.bind_all(node, [*_names(moved), "at"])[:-1]


def _inside(b: Builder, loop: _Loop) -> Builder:
    """A Builder for a sub-Graph that has the loop's state and constants among its parameters."""
    types = {p.name: p.type for p in loop.pull.params}
    return Builder(FreshNames(names(loop.step) | names(loop.pull), "_"), types, span=b.span)


def _moved(b: Builder, loop: _Loop) -> tuple[Param, ...]:
    """Parameters for the cotangents of the state and the sums of those of the constants."""
    return (*loop.cotangents, *(b.param(f"{p.name}_sum", p.type) for p in loop.sums))


def _graph(b: Builder, loop: _Loop, what: str, params: tuple[Param, ...], results: tuple[str, ...]) -> Graph:
    return Graph(f"{loop.step.name}_{what}", params, tuple(b.lets), results, loop.step.sizes)


def _names(params: Sequence[Param]) -> tuple[str, ...]:
    return tuple(p.name for p in params)
