"""Random programs with open sizes: numbers in the shapes of a program become names, one executable runs for many values
of them, and each statement is judged as in the other programs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from tests.fuzz.generate import Case, generate, values
from tests.fuzz.judge import judge, visible
from tests.fuzz.run import Failure, Summary, elaborate
from tilec import api
from tilec.affine import Affine, Poly, Size, named_size, resolve
from tilec.errors import TileError
from tilec.expr import Expr, IndexValue, Read, transform
from tilec.graph import (
    Constraint,
    Contraction,
    Graph,
    Let,
    Literal,
    Node,
    Scan,
    Sink,
    Special,
    TensorType,
    subgraphs,
    with_subgraphs,
)
from tilec.passes import infer
from tilec.specials import sizes_of
from tilec.text.graph_text import print_graph

NAMES = ("N", "M")
VALUES = (0, 1, 2, 3, 5, 8, 17, 63, 70)

REFUSALS = ("TILE0210", "TILE0202", "TILE0203", "TILE0209", "TILE0305")  # cannot stay open; shapes agree by chance

Change = Callable[[Size], Size]
T = TypeVar("T")


def with_sizes(graph: Graph, change: Change, sizes: tuple[str, ...] = ()) -> Graph:
    """The graph with every size of a shape changed, and every bound of a constraint; `sizes` are open in it."""

    def shape(sizes: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(change(s) if isinstance(s, int | Poly) else s for s in sizes)

    def type_(t: TensorType) -> TensorType:
        return replace(t, shape=shape(t.shape))

    def node(n: Node) -> Node:
        match n:
            case Contraction():
                sinks = tuple(Sink(s.indices, shape(s.shape)) for s in n.sinks)
                constraints = tuple(Constraint(c.form, change(c.bound)) for c in n.constraints)
                return replace(n, sinks=sinks, constraints=constraints)
            case Literal() if len(n.values) == 1 or type_(n.type) != n.type:
                return replace(n, type=type_(n.type), values=n.values[:1] or (0,))  # of as many elements as it takes
            case Special(op="reshape"):
                return replace(n, attributes=(("shape", shape(sizes_of(n))),))
            case Scan():
                return with_subgraphs(replace(n, length=change(n.length)), tuple(map(inner, subgraphs(n))))
            case _:
                return with_subgraphs(n, tuple(map(inner, subgraphs(n))))

    def inner(g: Graph) -> Graph:
        return with_sizes(g, change, sizes)

    def let(x: Let) -> Let:
        return replace(x, node=node(x.node), types=tuple(map(type_, x.types)))

    params = tuple(replace(p, type=type_(p.type)) for p in graph.params)
    return replace(graph, params=params, lets=tuple(map(let, graph.lets)), sizes=sizes)


def choices(graph: Graph, rng: random.Random) -> Iterable[list[int]]:
    """Numbers among the sizes of the inputs that could stay open: two together, then each alone."""
    found = sorted({s for p in graph.params for s in p.type.shape if isinstance(s, int) and s != 1})
    rng.shuffle(found)
    return [*([found[:2]] if len(found) > 1 else []), *([s] for s in found)]


def opened(graph: Graph, chosen: list[int]) -> tuple[Graph, dict[str, int]]:
    """The graph with some numbers among its sizes left open, and these numbers by name."""
    names = dict(zip(chosen, map(named_size, NAMES)))
    new = with_sizes(graph, lambda s: names.get(s, s) if isinstance(s, int) else s, NAMES[: len(chosen)])
    return new, dict(zip(NAMES, chosen))


def check(case: Case, target: str, summary: Summary) -> str | None:
    """What is wrong, if anything; raises TileError where the program or each of its open forms is refused."""
    rng = random.Random(case.seed)
    whole = visible(elaborate(case))
    found = first_open(whole, rng, lambda g: api.compile_for(infer.run(g), target, None, {}), summary)
    if found is None:
        return None
    graph, first, executable = found
    summary.features["compiled"] += 1
    for sizes in some_sizes(graph, first, rng, VALUES):
        closed = closed_at(graph, sizes)
        inputs = arguments(closed, case)
        results = executable.run((), inputs)
        summary.features["runs"] += 1
        if mismatch := judge(closed, inputs, dict(zip(executable.results, results))):
            return f"{sizes}: {mismatch}\n{print_graph(graph)}"
    return None


def first_open(
    fixed: Graph, rng: random.Random, make: Callable[[Graph], T], summary: Summary
) -> tuple[Graph, dict[str, int], T] | None:
    """The first open form of a graph of which something can be made, the sizes that it was made of, and that thing.

    None where all are refused, for a reason that an open size may give.
    """
    for chosen in choices(fixed, rng):
        graph, first = opened(fixed, chosen)
        try:
            return graph, first, make(graph)
        except TileError as refusal:
            if refusal.code not in REFUSALS:
                raise AssertionError(f"{chosen}: {refusal}") from None
            summary.refused[refusal.code] += 1
    return None


def some_sizes(
    graph: Graph, first: dict[str, int], rng: random.Random, values: Sequence[int]
) -> Iterator[dict[str, int]]:
    """The sizes that the graph was made of, then others."""
    yield first
    for _ in range(4):
        yield dict(zip(graph.sizes, rng.choices(values, k=len(graph.sizes))))


def closed_at(graph: Graph, sizes: dict[str, int]) -> Graph:
    """The graph at these sizes."""

    def forms(node: Node) -> Node:
        if not isinstance(node, Contraction):
            return with_subgraphs(node, tuple(map(all_forms, subgraphs(node))))
        sinks = tuple(replace(s, indices=tuple(i.resolve(sizes) for i in s.indices)) for s in node.sinks)
        constraints = tuple(replace(c, form=c.form.resolve(sizes)) for c in node.constraints)
        return replace(node, body=tuple(transform(b, value) for b in node.body), sinks=sinks, constraints=constraints)

    def value(e: Expr) -> Expr:
        match e:
            case IndexValue():
                return replace(e, form=e.form.resolve(sizes))
            case Read():
                indices = tuple(i.resolve(sizes) if isinstance(i, Affine) else i for i in e.access.indices)
                return replace(e, access=replace(e.access, indices=indices))
            case _:
                return e

    def all_forms(g: Graph) -> Graph:
        return replace(g, lets=tuple(replace(let, node=forms(let.node)) for let in g.lets))

    return all_forms(with_sizes(graph, lambda s: int(resolve(s, sizes))))


def arguments(graph: Graph, case: Case) -> dict[str, Any]:
    """The case's inputs where their shapes are right, fresh ones elsewhere."""
    numbers = np.random.default_rng(case.seed)
    found: dict[str, Any] = {}
    for p in graph.params:
        given = np.asarray(case.inputs[p.name], p.type.dtype.numpy)
        found[p.name] = given if given.shape == p.type.shape else _fresh(numbers, p.type)
    return found


def _fresh(numbers: np.random.Generator, type: TensorType) -> np.ndarray[Any, np.dtype[Any]]:
    return values(numbers, tuple(s for s in type.shape if isinstance(s, int)), type.dtype, "plain")


def run_sizes(seeds: Iterable[int], target: str) -> Summary:
    """Checks the programs of `seeds`. `features` counts executables and their runs."""
    summary = Summary()
    for seed in seeds:
        case = generate(seed)
        summary.programs += 1
        try:
            reason = check(case, target, summary)
        except TileError as refusal:
            reason = summary.refuse(refusal)
        except Exception as crash:
            reason = f"{type(crash).__name__}: {crash}"
        if reason is not None:
            summary.failures.append(Failure(seed, case.text, reason))
    return summary


def run_sizes_batch(task: tuple[int, int, str]) -> Summary:
    """`run_sizes` for a worker process: first seed, number of programs, target."""
    start, count, target = task
    return run_sizes(range(start, start + count), target)



