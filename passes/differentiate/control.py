"""Nodes with sub-Graphs: their derivatives are nodes with the sub-Graphs' derivatives.

Cond: the branch taken is differentiated, and computed again. Remat: its body is computed again, inside a Remat.
Custom: its own backward Graph. Scan: the carried values of every step are kept by running it again with them as
outputs; then a Scan in the other direction carries their cotangents and adds up those of the captures. While:
`tilec.passes.differentiate.while_loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from tilec.graph import Cond, Custom, Graph, Let, Param, Remat, Scan, While
from tilec.passes.differentiate.builder import Builder, no_derivative, start
from tilec.passes.differentiate.while_loop import pull_while
from tilec.type_graph import result_types

Differentiate: TypeAlias = Callable[[Graph, Sequence[str], Sequence[int]], Graph]


def pull_control(
    b: Builder, let: Let, seeds: Mapping[str, str], active: set[str], backward: Differentiate
) -> Iterator[tuple[str, str]]:
    """Operands and their parts of the cotangent; `seeds` are the cotangents of results."""
    seeded = [k for k, n in enumerate(let.names) if n in seeds]
    given = tuple(seeds[let.names[k]] for k in seeded)
    match let.node:
        case Cond(predicate, then, orelse, args):
            chosen = [k for k, a in enumerate(args) if a in active]
            graphs = [backward(g, [g.params[k].name for k in chosen], seeded) for g in (then, orelse)]
            node = Cond(predicate, graphs[0], graphs[1], (*args, *given))
            return _parts(b, [args[k] for k in chosen], node)
        case Remat(body, args):
            chosen = [k for k, a in enumerate(args) if a in active]
            graph = backward(body, [body.params[k].name for k in chosen], seeded)
            return _parts(b, [args[k] for k in chosen], Remat(graph, (*args, *given)))
        case Custom(_, own, args):
            cotangents = [seeds.get(n) or b.filled(0, t, f"{n}_bar") for n, t in zip(let.names, let.types, strict=True)]
            found = b.inline(own, [*args, *let.names, *cotangents])
            return iter([(a, part) for a, part in zip(args, found, strict=True) if a in active])
        case Scan():
            return _pull_scan(b, let, let.node, seeds, active, backward)
        case While():
            return pull_while(b, let, let.node, seeds, active, backward)
        case _:
            raise AssertionError(f"no control node: {let.node}")


def push_control(b: Builder, let: Let, tangents: Mapping[str, str], forward: Differentiate) -> dict[str, str]:
    """Tangents of the float results."""
    floats = [k for k, t in enumerate(let.types) if t.dtype.is_float]
    match let.node:
        case Cond(predicate, then, orelse, args):
            chosen = [k for k, a in enumerate(args) if a in tangents]
            moved = tuple(tangents[args[k]] for k in chosen)
            graphs = [forward(g, [g.params[k].name for k in chosen], floats) for g in (then, orelse)]
            return _moved(b, let, Cond(predicate, graphs[0], graphs[1], (*args, *moved)), floats)
        case Remat(body, args):
            chosen = [k for k, a in enumerate(args) if a in tangents]
            moved = tuple(tangents[args[k]] for k in chosen)
            graph = forward(body, [body.params[k].name for k in chosen], floats)
            return _moved(b, let, Remat(graph, (*args, *moved)), floats)
        case Scan():
            return _push_scan(b, let, let.node, tangents, forward)
        case While():
            return _push_while(b, let, let.node, tangents, forward)
        case _:
            raise no_derivative("a function with a gradient of its own has no derivative in forward mode", let.span)


def _parts(b: Builder, operands: Sequence[str], node: Cond | Remat) -> Iterator[tuple[str, str]]:
    return iter(list(zip(operands, b.bind_all(node, [f"{n}_bar" for n in operands]), strict=True)))


def _moved(b: Builder, let: Let, node: Cond | Remat, wanted: Sequence[int]) -> dict[str, str]:
    """Binds a node of `let`'s results and tangents of some of them; the results are computed again."""
    stems = [*let.names, *(f"{let.names[k]}_dot" for k in wanted)]
    found = b.bind_all(node, stems)[len(let.names) :]
    return {let.names[k]: t for k, t in zip(wanted, found, strict=True)}


# scan, reverse


def _pull_scan(
    b: Builder, let: Let, node: Scan, seeds: Mapping[str, str], active: set[str], backward: Differentiate
) -> Iterator[tuple[str, str]]:
    """One Scan that keeps the carried values, one in the other direction."""
    carried, sliced = len(node.init), len(node.inputs)
    params = node.body.params
    moving = [k for k in range(carried) if params[k].type.dtype.is_float]
    slices = [k for k in range(sliced) if node.inputs[k] in active]
    captures = [k for k in range(len(node.captures)) if node.captures[k] in active]
    outputs = [k for k in range(carried, len(let.names)) if let.names[k] in seeds]
    variables = [
        *(params[k].name for k in moving),
        *(params[carried + k].name for k in slices),
        *(params[carried + sliced + k].name for k in captures),
    ]
    step = backward(node.body, variables, [*moving, *outputs])
    kept = _kept(b, node)
    init = [seeds.get(let.names[k]) or b.filled(0, let.types[k], f"{let.names[k]}_bar") for k in moving]
    totals = [b.filled(0, b.types[node.captures[k]], f"{node.captures[k]}_bar") for k in captures]
    reverse = Scan(
        _accumulating(step, node, len(moving), len(outputs), len(slices), len(captures)),
        (*init, *totals),
        (*kept, *node.inputs, *(seeds[let.names[k]] for k in outputs)),
        node.captures,
        node.length,
        not node.reverse,
        node.count,
    )
    wanted = [*(node.init[k] for k in moving), *(node.captures[k] for k in captures), *(node.inputs[k] for k in slices)]
    found = b.bind_all(reverse, [f"{n}_bar" for n in wanted])
    return iter([(n, part) for n, part in zip(wanted, found, strict=True) if n in active])


def _kept(b: Builder, node: Scan) -> tuple[str, ...]:
    """The values that are carried into every step, stacked."""
    carried = len(node.init)
    body = node.body
    own = tuple(p.name for p in body.params[:carried])
    keeping = replace(body, results=(*body.results[:carried], *own))
    stems = [*(f"{n}_last" for n in node.init), *(f"{n}_kept" for n in node.init)]
    return b.bind_all(replace(node, body=keeping), stems)[carried:]


def _accumulating(step: Graph, node: Scan, moving: int, outputs: int, slices: int, captures: int) -> Graph:
    """`step` as the body of the reverse Scan.

    `step` takes (carried, slices, captures, cotangents of carried and outputs) and gives the cotangents of carried,
    slices and captures. The body takes (cotangents of carried, sums for captures | carried, slices, cotangents of
    outputs | captures) and gives (cotangents of carried, sums | cotangents of slices).
    """
    b = start(step)
    first = len(node.init) + len(node.inputs)
    last = first + len(node.captures)
    own, constant, seeds = step.params[:first], step.params[first:last], step.params[last:]
    for let in step.lets:
        b.keep(let)
    found = step.results
    sums: list[Param] = []
    totals: list[str] = []
    for name in found[moving + slices :]:
        sums.append(b.param(f"{name}_sum", b.types[name]))
        totals.append(b.total([sums[-1].name, name], f"{name}_sum"))
    params = (*seeds[:moving], *sums, *own, *seeds[moving:], *constant)
    results = (*found[:moving], *totals, *found[moving : moving + slices])
    return replace(step, params=params, lets=tuple(b.lets), results=results)


# loops, forward


def _push_scan(b: Builder, let: Let, node: Scan, tangents: Mapping[str, str], forward: Differentiate) -> dict[str, str]:
    """A Scan that carries tangents beside values; all float carried values have one."""
    carried, sliced = len(node.init), len(node.inputs)
    params, results = node.body.params, result_types(node.body)
    moving = [k for k in range(carried) if params[k].type.dtype.is_float]
    slices = [k for k in range(sliced) if node.inputs[k] in tangents]
    captures = [k for k in range(len(node.captures)) if node.captures[k] in tangents]
    outputs = [k for k in range(carried, len(results)) if results[k].dtype.is_float]
    variables = [
        *(params[k].name for k in moving),
        *(params[carried + k].name for k in slices),
        *(params[carried + sliced + k].name for k in captures),
    ]
    step = forward(node.body, variables, [*moving, *outputs])
    first = len(moving)
    new = Scan(
        _beside(step, node, len(results), first, len(slices)),
        (*node.init, *_tangents(b, [node.init[k] for k in moving], tangents)),
        (*node.inputs, *(tangents[node.inputs[k]] for k in slices)),
        (*node.captures, *(tangents[node.captures[k]] for k in captures)),
        node.length,
        node.reverse,
        node.count,
    )
    stems = [
        *(*let.names[:carried], *(f"{let.names[k]}_dot" for k in moving)),
        *(*let.names[carried:], *(f"{let.names[k]}_dot" for k in outputs)),
    ]
    found = b.bind_all(new, stems)
    moved = {let.names[k]: found[carried + at] for at, k in enumerate(moving)}
    return moved | {let.names[k]: found[len(results) + first + at] for at, k in enumerate(outputs)}


def _beside(step: Graph, node: Scan, results: int, moving: int, slices: int) -> Graph:
    """The step of a Scan with tangents of carried values, slices and captures each beside what they belong to.

    `step` has them at the end. `results` counts the values; `moving` carried ones and `slices` have tangents.
    """
    carried, last = len(node.init), len(node.init) + len(node.inputs)
    own, given = step.params[: len(node.body.params)], step.params[len(node.body.params) :]
    values, dots = step.results[:results], step.results[results:]
    return replace(
        step,
        params=(
            *(*own[:carried], *given[:moving]),
            *(*own[carried:last], *given[moving : moving + slices]),
            *(*own[last:], *given[moving + slices :]),
        ),
        results=(*values[:carried], *dots[:moving], *values[carried:], *dots[moving:]),
    )


def _tangents(b: Builder, names: Sequence[str], tangents: Mapping[str, str]) -> list[str]:
    """Tangents of values, zeros where they have none."""
    return [tangents.get(n) or b.filled(0, b.types[n], f"{n}_dot") for n in names]


def _push_while(
    b: Builder, let: Let, node: While, tangents: Mapping[str, str], forward: Differentiate
) -> dict[str, str]:
    """A While that carries tangents beside values; the condition does not see them."""
    carried, params = len(node.init), node.body.params
    moving = [k for k in range(carried) if params[k].type.dtype.is_float]
    captures = [k for k in range(len(node.captures)) if node.captures[k] in tangents]
    variables = [*(params[k].name for k in moving), *(params[carried + k].name for k in captures)]
    step = forward(node.body, variables, moving)
    own, given = step.params[: len(params)], step.params[len(params) :]

    def mixed(values: Sequence[Param], extra: Sequence[Param]) -> tuple[Param, ...]:
        return (*values[:carried], *extra[: len(moving)], *values[carried:], *extra[len(moving) :])

    body = replace(step, params=mixed(own, given))
    c = start(node.condition)
    unused = [c.param(p.name, p.type) for p in given]
    condition = replace(node.condition, params=mixed(node.condition.params, unused))
    init = (*node.init, *_tangents(b, [node.init[k] for k in moving], tangents))
    constant = (*node.captures, *(tangents[node.captures[k]] for k in captures))
    stems = [*let.names, *(f"{let.names[k]}_dot" for k in moving)]
    found = b.bind_all(While(condition, body, init, constant), stems)[carried:]
    return {let.names[k]: t for k, t in zip(moving, found, strict=True)}
