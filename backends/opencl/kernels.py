"""Kernels of the Loops IR as OpenCL C.

A kernel is cut at its top level into phases, each one OpenCL kernel, for only the end of a kernel is a barrier over all
work-items:
  serial    one work-item runs the statement; so do loops of any kind inside
  parallel  the leading `parallel` loops of a nest are the global range
  group     the leading `group` loops are the work-groups; `item` loops inside share the work-items of a group.
            What stands outside of `item` loops is done by the first item; what is allocated there is local memory.

What is inside is written by `statements`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tilec.backends.opencl import types
from tilec.backends.opencl.expressions import Functions
from tilec.backends.opencl.memory import Memory, allocate_shared, number
from tilec.backends.opencl.scope import Scope
from tilec.backends.opencl.statements import FENCE, Writer, leading, spread
from tilec.dtypes import F64
from tilec.loops import Alloc, Block, For, Kernel, Let, Stmt, children, stride_sizes

SCRATCH_UNITS = 64  # work-items or groups that run a nest which needs global scratch memory


@dataclass(frozen=True, slots=True)
class Phase:
    """One OpenCL kernel: `items` work-items in groups of `group` (0: any size), each with `scratch` bytes.

    `scratch` is per work-item, in a buffer that is the last argument where it is not 0.
    """

    name: str
    text: str
    items: int
    group: int
    scratch: int


@dataclass(frozen=True, slots=True)
class KernelText:
    """The phases, in order, the bytes of memory that all of them share (the argument before scratch), and the open
    sizes that they are told (the last arguments)."""

    phases: tuple[Phase, ...]
    shared: int
    sizes: tuple[str, ...] = ()


def emit_kernel(kernel: Kernel, name: str, functions: Functions) -> KernelText:
    """Raises TileError TILE0210 for named sizes and TILE0602 for what no OpenCL device can run."""
    functions.fp64 |= any(p.buffer.dtype == F64 for p in kernel.params)
    sizes = stride_sizes(kernel)
    memory = {p.buffer.name: Memory.parameter(i, p.buffer, sizes) for i, p in enumerate(kernel.params)}
    blocks: list[Block] = [(s,) for s in kernel.body]
    shared = 0
    if any(isinstance(s, Let) for s in kernel.body):
        blocks = [kernel.body]
    else:
        for stmt in (s for s in kernel.body if isinstance(s, Alloc)):
            memory[stmt.buffer.name], shared = allocate_shared(stmt.buffer, memory, shared)
        blocks = [b for b in blocks if not isinstance(b[0], Alloc)]
    phases = [_phase(kernel, b, f"{name}_{i}", memory, shared, functions) for i, b in enumerate(blocks)]
    return KernelText(tuple(phases), shared, sizes)


def _phase(
    kernel: Kernel, block: Block, name: str, memory: dict[str, Memory], shared: int, functions: Functions
) -> Phase:
    loops, block = _ndrange(block)
    group = _group_size(block) if loops and loops[0].kind == "group" else 0
    writer = Writer(functions, group)
    scope = Scope(dict(memory), {}, {}, once=group > 0)
    count = prod(number(loop.extent) for loop in loops)
    if loops:
        _range_loop(writer, loops, block, count, scope)
    else:
        writer.block(block, scope)
    units = min(count, SCRATCH_UNITS) if writer.scratch else count
    return Phase(name, _function(kernel, name, writer, shared), units * max(group, 1), group, writer.scratch)


def _range_loop(writer: Writer, loops: list[For], block: Block, count: int, scope: Scope) -> None:
    """All iterations, by as many work-items or groups as there are, each in strides of that number."""
    first, step = ("group_id", "num_groups") if writer.group else ("global_id", "global_size")
    writer.line(f"for (long at = get_{first}(0); at < {count}L; at += get_{step}(0)) {{")
    writer.depth += 1
    writer.block(block, spread(writer, loops, "at", scope))
    if writer.group:
        writer.line(FENCE)  # the next iteration uses the same local memory
    writer.depth -= 1
    writer.line("}")


def _ndrange(block: Block) -> tuple[list[For], Block]:
    """The loops that become the range of an OpenCL kernel, and the rest."""
    for kind in ("parallel", "group"):
        loops, inner = leading(block[0], kind) if len(block) == 1 else ([], block)
        if loops:
            return loops, inner
    return [], block


def _function(kernel: Kernel, name: str, writer: Writer, shared: int) -> str:
    parameters: list[str] = []
    for i, p in enumerate(kernel.params):
        qualifier = "const " if p.mode == "in" else ""
        parameters += [f"{qualifier}__global {types.stored(p.buffer.dtype)} *p{i}", f"const long o{i}"]
    parameters += ["__global uchar *shared"] if shared else []
    parameters += ["__global uchar *scratch"] if writer.scratch else []
    parameters += [f"const long s{k}" for k in range(len(stride_sizes(kernel)))]
    body = "".join(f"  {line}\n" for line in [*writer.head, *writer.lines])
    if writer.scratch:
        body = f"  scratch += get_global_id(0) * {writer.scratch}L;\n{body}"
    return f"__kernel void {name}({', '.join(parameters)}) {{\n{body}}}\n"


def _group_size(block: Block) -> int:
    """Work-items that the `item` loops of a group need: the largest of their products; 0 without any."""
    return max((_items(s) for s in block), default=0)


def _items(stmt: Stmt) -> int:
    loops, _ = leading(stmt, "item")
    if loops:
        return prod(number(loop.extent) for loop in loops)
    return max((_items(s) for s in children(stmt)), default=0)
