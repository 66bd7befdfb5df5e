"""The default schedule of chains: softmax, normalisations, attention, whatever does the same for each row.

Each nest is scheduled by itself, by the rules for such nests, but for threads. Then their outermost loops are fused,
and the ones inside of these, as far as that is safe: one row, while it is in the cache, goes through all nests. What
lives no longer than a row shrinks to one. Threads share the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tilec.loops import Alloc, For, If, Kernel, Stmt
from tilec.passes.schedule.analysis import buffers, loops_named, static, uses
from tilec.passes.schedule.plan import Nest, Plan, step
from tilec.target import Target

LEAST_ROWS = 4  # for each thread
MOST_AXES = 6  # that are rows
MOST_TOGETHER = 16  # rows in the nearest cache


def is_chain(kernel: Kernel) -> bool:
    """Whether a nest aggregates what another one stores, or reads each cell of an aggregation again and again."""
    nests = [Nest.of(kernel, s) for s in kernel.body if isinstance(s, For)]
    makers = {u.buffer: n for n in sorted(nests, key=lambda n: len(n.reductions)) for u in n.stores()}
    for nest in nests:
        own = {u.buffer for u in nest.stores()}
        for buffer in {u.buffer for u in nest.reads()} & makers.keys() - own:
            cells = prod(static(s) for s in nest.buffers[buffer].shape)
            if nest.reductions or (makers[buffer].reductions and nest.points > cells):
                return True
    return False


def shared_axes(nests: Sequence[Nest]) -> int:
    """How many outermost loops of all nests agree in their extents."""
    loops = zip(*(n.extents.values() for n in nests))
    return (*(len(set(extents)) == 1 for extents in loops), False).index(False)


def fuse_rows(plan: Plan, target: Target) -> bool:
    """Fuses all scheduled nests; False where their outermost loops cannot be one."""
    before = plan.kernel, list(plan.directives)
    rows = _all_fused(plan, MOST_AXES)
    if not rows:
        return False
    count = prod(_extent(plan, n) for n in rows)
    together = _together(plan, _extent(plan, rows[-1]), count, target)
    if together > 1:
        plan.kernel, plan.directives = before
        tiled = [_at_depth(s, len(rows) - 1) for s in plan.kernel.body if isinstance(s, For)]
        if not plan.attempt(*(step("tile", n, together, f"{n}.b", f"{n}.r") for n in tiled)):
            return False
        rows = _all_fused(plan, len(rows))
    for name in [s.buffer.name for s in plan.kernel.body if isinstance(s, Alloc) and s.buffer.base is None]:
        _shrink(plan, name, rows)
    _in_threads(plan, rows, target)
    return True


def _shrink(plan: Plan, name: str, rows: list[str]) -> None:
    """A buffer keeps what one iteration needs; a single number is in a register, as a constant of the loops inside."""
    before = plan.kernel, list(plan.directives)
    loop = next((n for n in reversed(rows) if plan.attempt(step("shrink", name, n))), None)
    if loop is not None and prod(static(s) for s in buffers(plan.kernel)[name].shape) == 1:
        plan.kernel, plan.directives = before
        plan.attempt(step("shrink", name, loop, "register"))


def _in_threads(plan: Plan, rows: list[str], target: Target) -> None:
    if target.threads < 2 or _work(plan.kernel.body) < plan.limits.many:
        return
    enough = [n for n in rows if _extent(plan, n) >= LEAST_ROWS * target.threads]
    plan.attempt(step("parallel", enough[0] if enough else max(rows, key=lambda n: _extent(plan, n))))


def _extent(plan: Plan, loop: str) -> int:
    return static(loops_named(plan.kernel.body, loop)[0].extent)


def _together(plan: Plan, extent: int, rows: int, target: Target) -> int:
    """How many short rows go through each nest before the next: one waits while another is combined to one number."""
    used = {u.buffer for u in uses(plan.kernel.body, private=True)}
    known = [b for n, b in buffers(plan.kernel).items() if n in used and b.space != "register"]
    row = sum(prod(map(static, b.shape)) * b.dtype.bits // 8 for b in known) // rows
    most = min(MOST_TOGETHER, target.l1 // 2 // max(row, 1))
    return max((n for n in range(1, most + 1) if extent % n == 0), default=1)


def _at_depth(stmt: For, depth: int) -> str:
    """The loop that is so many loops inside of another one."""
    for _ in range(depth):
        stmt = next(s for s in stmt.body if isinstance(s, For))
    return stmt.index


def _all_fused(plan: Plan, most: int) -> list[str]:
    """Fuses the loops around all nests, at most so many; their names, outermost first."""
    rows: list[str] = []
    while len(rows) < most and (loop := _fused(plan, rows)) is not None:
        rows.append(loop)
    return rows


def _fused(plan: Plan, rows: list[str]) -> str | None:
    """Fuses the loops of the innermost fused one; the loop that remains, None where there is none that all share."""
    block = loops_named(plan.kernel.body, rows[-1])[0].body if rows else plan.kernel.body
    first, *others = [s.index for s in block if isinstance(s, For)] or [""]
    plain = all(isinstance(s, For | Alloc) for s in block)
    if plain and others and plan.attempt(*(step("fuse", first, n) for n in others)):
        return first
    return None


def _work(block: tuple[Stmt, ...]) -> int:
    """How often statements without loops are carried out."""
    total = 0
    for stmt in block:
        match stmt:
            case For():
                total += static(stmt.extent) * _work(stmt.body)
            case If():
                total += _work(stmt.body)
            case Alloc():
                pass
            case _:
                total += 1
    return total
