"""Nodes with sub-Graphs as steps: loops with carried state, and branches.

    scan     copy init -> carried
             iterate t in length { body: carried, inputs[t] -> next, outputs[t];  copy next -> carried }
    while    copy init -> carried
             repeat test: carried -> condition { body: carried -> next;  copy next -> carried }
    cond     branch predicate { then: args -> results } else { orelse: args -> results }

The steps of a sub-Graph are made by a `Build`, on buffers that are given for its parameters and for its results. Slices
are views that move with the loop; nothing of a stacked tensor is copied. A carried value is copied from where the body
computed it, unless that could be its own memory: where nothing reads the old value once the new one is being written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from tilec.graph import Cond, Graph, Scan, While
from tilec.loops import Branch, Buffer, Copy, Iterate, Repeat, Step, touched
from tilec.partition import Partition

from .assembly import Assembly

# (graph, its partition, a buffer per parameter, a buffer or None per result) -> steps, and where the results are
Build: TypeAlias = Callable[
    [Graph, Partition, Sequence[str], Sequence[str | None]], tuple[list[Step], tuple[str, ...]]
]


def cond(
    node: Cond, predicate: str, args: Sequence[str], results: Sequence[str], parts: Sequence[Partition], build: Build
) -> list[Step]:
    """Both branches give their results in the same buffers."""
    then, _ = build(node.then, parts[0], args, results)
    orelse, _ = build(node.orelse, parts[1], args, results)
    return [Branch(predicate, tuple(then), tuple(orelse))]


def loop(
    node: While,
    init: Sequence[str],
    captures: Sequence[str],
    carried: Sequence[str],
    parts: Sequence[Partition],
    assembly: Assembly,
    build: Build,
) -> list[Step]:
    """A While; `carried` are the buffers of its results."""
    test, (condition,) = build(node.condition, parts[0], (*carried, *captures), (None,))
    steps, found = build(node.body, parts[1], (*carried, *captures), (None,) * len(carried))
    steps = _carry(steps, found, carried, captures, assembly)
    return [*map(Copy, init, carried), Repeat(condition, tuple(test), tuple(steps))]


def scan(
    node: Scan,
    init: Sequence[str],
    inputs: Sequence[str],
    captures: Sequence[str],
    count: str | None,
    results: Sequence[str],
    part: Partition,
    assembly: Assembly,
    build: Build,
) -> list[Step]:
    """A Scan; `results` are the buffers of the carried values and then of the stacked outputs."""
    carried, outputs = results[: len(init)], results[len(init) :]
    start: list[Step] = list(map(Copy, init, carried))
    if node.length == 0:
        return start
    index = assembly.names.like("t")
    slices = [assembly.slice(name, index) for name in inputs]
    targets = [assembly.slice(name, index) for name in outputs]
    steps, found = build(node.body, part, (*carried, *slices, *captures), (*(None for _ in carried), *targets))
    steps = _carry(steps, found[: len(carried)], carried, (*captures, *slices), assembly)
    return [*start, Iterate(index, node.length, tuple(steps), node.reverse, count)]


def _carry(
    steps: list[Step], found: Sequence[str], carried: Sequence[str], given: Sequence[str], assembly: Assembly
) -> list[Step]:
    """The body's steps, and those that make its results the next carried values. `given` are its other arguments."""
    moved: list[Step] = []
    late: list[Step] = []
    roots = {assembly.root(c) for c in carried}
    read_last = {assembly.root(f) for f in found}  # by the copies that end the step
    for new, old in zip(found, carried, strict=True):
        if new == old:
            continue
        own = new not in given and new not in carried and list(found).count(new) == 1
        if own and assembly.root(old) not in read_last and _replaceable(new, old, steps, assembly):
            steps = assembly.replace(new, old, steps)
        elif assembly.root(new) in roots:  # another carried value, which may be overwritten first
            kept = assembly.names.numbered(old)
            assembly.buffers[kept] = Buffer(kept, assembly.buffers[old].dtype, assembly.buffers[old].shape)
            moved.append(Copy(new, kept))
            late.append(Copy(kept, old))
        else:
            late.append(Copy(new, old))
    return [*steps, *moved, *late]


def _replaceable(new: str, old: str, steps: Sequence[Step], assembly: Assembly) -> bool:
    """Whether `new`, made by the steps, may be computed in the memory of `old`: no step touches both or `old` later."""
    buffer = assembly.buffers[new]
    if buffer.base is not None or new in assembly.viewed or new in assembly.constant:
        return False
    uses = [{assembly.root(n) for n in touched(step)} for step in steps]
    first = next((k for k, names in enumerate(uses) if new in names), None)
    return first is not None and not any(assembly.root(old) in names for names in uses[first:])
