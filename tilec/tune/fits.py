"""Floor 5: schedules from outside, applied: they are refused where they are unsafe, or make code or scratch too large.

A schedule that a person or a file gives is applied by the checked primitives, so that it cannot make a wrong program.
It could still make a huge one: loops unrolled without end, or edges separated again and again.
"""

from __future__ import annotations

from math import prod

from tilec.affine import Size
from tilec.errors import TileError, error
from tilec.loops import Alloc, Block, For, Kernel, children, strides_of, walk
from tilec.passes.schedule import apply_one
from tilec.schedule import Directive, Schedule
from tilec.target import Target

MOST_STATEMENTS = 1 << 14  # of the kernel with all its loops unrolled; good schedules make some hundreds
MOST_DEPTH = 64  # loops and conditions inside of one another; good schedules make a dozen
MOST_SCRATCH = 64 << 20  # bytes that one thread allocates
_LEAST_POINTS = 4096  # a nest of fewer takes about as long as its launch


def tunable(kernel: Kernel, target: Target) -> bool:
    """Whether there is anything to be gained by looking for a schedule: sizes are numbers, and loops are long."""
    if not here(target):
        return False
    shapes = [s for p in kernel.params for s in (*p.buffer.shape, *strides_of(p.buffer))]
    if not all(isinstance(s, int) for s in shapes) or any(p.buffer.strides is not None for p in kernel.params):
        return False
    return points(kernel.body) >= _LEAST_POINTS


def here(target: Target) -> bool:
    """Whether the target is a device of this machine on which kernels can be run and timed."""
    return target.backend == "opencl" or (target.backend == "llvm" and target.device == "host")


def points(block: Block) -> int:
    """Iterations of the statements of a block, each by itself, at most; those of open loops count as one."""

    def count(extent: Size) -> int:
        return extent if isinstance(extent, int) else 1

    return max(
        ((count(s.extent) if isinstance(s, For) else 1) * points(children(s)) for s in block if children(s)), default=1
    )


def applied(kernel: Kernel, schedule: Schedule) -> Kernel:
    """The kernel after its directives; raises TileError TILE0210, TILE0603, TILE0604, and TILE0604 for too large."""
    for directive in schedule:
        kernel = applied_one(kernel, directive)
    return kernel


def applied_one(kernel: Kernel, directive: Directive) -> Kernel:
    """As `applied`, of one directive."""
    before, kernel = depth(kernel.body), apply_one(kernel, directive)
    if (found := depth(kernel.body)) > max(before, MOST_DEPTH):
        raise error("TILE0604", f"{directive} makes {found} loops inside of one another; {MOST_DEPTH} are the limit")
    if (found := statements(kernel.body)) > MOST_STATEMENTS:
        raise error("TILE0604", f"{directive} makes {found} statements of the kernel; {MOST_STATEMENTS} are the limit")
    if (found := scratch(kernel)) > MOST_SCRATCH:
        raise error("TILE0604", f"{directive} makes {found} bytes of scratch; {MOST_SCRATCH} are the limit")
    return kernel


def fitting(kernel: Kernel, schedule: Schedule) -> Kernel | None:
    """As `applied`; None where that raises."""
    try:
        return applied(kernel, schedule)
    except TileError:
        return None


def depth(block: Block) -> int:
    """How many statements are inside of one another."""
    return max((1 + depth(inner) for s in block if (inner := children(s))), default=0)


def statements(block: Block) -> int:
    """Statements of a block once its loops are unrolled."""
    found = 0
    for stmt in block:
        inner = statements(children(stmt)) if children(stmt) else 1
        match stmt:
            case For(kind="unroll", extent=int(extent)):
                found += inner * extent
            case _:
                found += inner
    return found


def scratch(kernel: Kernel) -> int:
    """Bytes of buffers that the kernel allocates."""
    buffers = (s.buffer for s in walk(kernel.body) if isinstance(s, Alloc))
    return sum(prod(x for x in b.shape if isinstance(x, int)) * b.dtype.bytes for b in buffers)
