"""Random schedules: directives with plausible arguments, of which those are kept that are not refused."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from tests.generators.kernels import loop_names
from tilec.errors import TileError
from tilec.loops import Alloc, For, Kernel, walk
from tilec.passes.schedule import PRIMITIVES, apply_one
from tilec.schedule import Directive, Schedule, directive


def buffers(kernel: Kernel) -> list[str]:
    allocated = [s.buffer.name for s in walk(kernel.body) if isinstance(s, Alloc)]
    return [*(p.buffer.name for p in kernel.params), *dict.fromkeys(allocated)]


def propose(kernel: Kernel, r: Random, step: int) -> Directive:
    """A directive with plausible arguments, often unsafe."""
    name = r.choice([*PRIMITIVES, "tile", "reorder", "stage", "merge"])
    loops = loop_names(kernel)
    loop, buffer, new = r.choice(loops), r.choice(buffers(kernel)), f"x{step}"
    space = r.choice(["thread", "heap", "local", "register"])
    match name:
        case "tile":
            tail, sizes = r.choice(["cut", "guard"]), r.choice(["exact", "balanced"])
            return directive(name, loop, r.randint(1, 9), f"{loop}.{step}a", f"{loop}.{step}b", tail, sizes)
        case "peel":
            return directive(name, loop, r.randint(0, 5))
        case "reorder":
            return directive(name, *r.sample(loops, min(len(loops), r.randint(2, 4))))
        case "stage":
            pad = r.choice([0, 0, 3])
            start, end = r.choice(["copy", "copy", "init"]), r.choice(["copy", "copy", "finish"])
            return directive(name, buffer, loop, new, space, start, pad, end)
        case "merge":
            return directive(name, loop, r.choice(loops), new)
        case "pack":
            panels = r.randint(0, 2), r.randint(1, 4), "thread", r.choice([0, 2])
            group = r.randint(0, 2), r.choice([1, 1, 2, 3]), r.choice(["forward", "backward"])
            return directive(name, buffer, loop, new, *panels, *group)
        case "compute_at":
            return directive(name, buffer, loop, space)
        case "transpose":
            return directive(name, buffer, loop, new)
        case "inline" | "stream":
            return directive(name, buffer)
        case "rfactor":
            return directive(name, loop, new, space)
        case "fuse":
            outermost = [s.index for s in kernel.body if isinstance(s, For)]
            return directive(name, *r.choice([*pairwise(outermost), *pairwise(loops), (loop, loop)]))
        case "bind":
            outermost = [s.index for s in kernel.body if isinstance(s, For)]
            to = r.choice(["group", "item", "item"])
            return directive(name, r.choice(outermost) if to == "group" else loop, to)
        case "spread":
            return directive(name, loop, r.choice([4, 6, 8]), r.choice([1, 2, 4]))
        case "shrink":
            return directive(name, buffer, loop, space)
        case _:
            return directive(name, loop)


def in_groups(kernel: Kernel, r: Random) -> tuple[Kernel, Schedule]:
    """The kernel with loops bound to groups and, tiled or not, to items: as many as are not refused."""
    applied: list[Directive] = []

    def attempt(*found: Directive) -> None:
        nonlocal kernel
        changed = kernel
        try:
            for one in found:
                changed = apply_one(changed, one)
        except TileError:
            return
        kernel = changed
        applied.extend(found)

    for loop in loop_names(kernel):
        if r.random() < 0.7:
            attempt(directive("bind", loop, "group"))
    for loop in loop_names(kernel):
        if r.random() < 0.3:
            attempt(directive("spread", loop, r.choice([4, 6, 8]), r.choice([1, 2, 4])))
    for loop in reversed(loop_names(kernel)):
        if r.random() < 0.5:
            attempt(directive("bind", loop, "item"))
        else:
            outer, inner, tail = f"{loop}.y", f"{loop}.v", r.choice(["cut", "guard"])
            tiled = directive("tile", loop, r.randint(2, 4), outer, inner, tail)
            attempt(tiled, directive("bind", outer, "item"), directive(r.choice(["unroll", "vectorize"]), inner))
    return kernel, tuple(applied)


def random_schedule(kernel: Kernel, r: Random, steps: int, reorder: bool = True) -> tuple[Kernel, Schedule]:
    """The kernel after those of `steps` random directives that apply to it, and these.

    reorder: sums may be taken in another order.
    """
    applied: list[Directive] = []
    for step in range(steps if loop_names(kernel) else 0):
        proposed = propose(kernel, r, step)
        if proposed.name == "rfactor" and not reorder:
            continue
        try:
            kernel = apply_one(kernel, proposed)
        except TileError as refusal:
            if refusal.code not in ("TILE0603", "TILE0604"):
                raise AssertionError(f"{proposed} is refused with {refusal}") from refusal
            continue
        applied.append(proposed)
    return kernel, tuple(applied)
