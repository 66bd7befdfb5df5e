"""The default schedule of large results: past the caches, where they would drive out what is needed sooner."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from tilec.affine import Affine
from tilec.loops import Block, Buffer, For, Kernel, Store, children, strides_of, walk
from tilec.passes.schedule.analysis import buffers, static
from tilec.passes.schedule.plan import Plan, step
from tilec.target import Target

CACHE_LINE = 64


def streams(plan: Plan, target: Target) -> None:
    """Streams every result that does not fit into the last cache: nothing of it would stay there until it is read."""
    known = buffers(plan.kernel)
    results = {p.buffer.name for p in plan.kernel.params if p.mode == "out"}
    stored = dict.fromkeys(s.buffer for s in walk(plan.kernel.body) if isinstance(s, Store))
    for name in stored:
        buffer = known[name]
        if 0 < target.l3 <= _bytes(buffer) and _root(buffer, known) in results and _by_lines(plan.kernel, buffer):
            plan.attempt(step("stream", name))


def _by_lines(kernel: Kernel, buffer: Buffer) -> bool:
    """Whether the first nest that stores to the buffer fills cache lines one after another; parts cost more."""
    loops, store = next(_stores(kernel.body, buffer.name, ()))
    if not loops or loops[-1].kind != "vector":
        return False
    width = static(loops[-1].extent)
    return width * buffer.dtype.bytes >= CACHE_LINE or _stride(buffer, store, loops[-2:-1]) == width


def _stores(block: Block, name: str, around: tuple[For, ...]) -> Iterator[tuple[tuple[For, ...], Store]]:
    """Stores to a buffer, each with the loops around it."""
    for stmt in block:
        if isinstance(stmt, Store) and stmt.buffer == name:
            yield around, stmt
        yield from _stores(children(stmt), name, (*around, stmt) if isinstance(stmt, For) else around)


def _stride(buffer: Buffer, store: Store, loops: tuple[For, ...]) -> int:
    """Elements between what two iterations of the loop store; 0 where there is none, or that depends on data."""
    forms = [i for i in store.indices if isinstance(i, Affine)]
    if not loops or len(forms) < len(store.indices):
        return 0
    return sum(static(i.coefficient(loops[0].index)) * static(n) for i, n in zip(forms, strides_of(buffer)))


def _bytes(buffer: Buffer) -> int:
    return prod(static(n) for n in buffer.shape) * buffer.dtype.bytes


def _root(buffer: Buffer, known: dict[str, Buffer]) -> str:
    while buffer.base is not None:
        buffer = known[buffer.base]
    return buffer.name
