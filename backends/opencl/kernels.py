"""Kernels of the Loops IR as OpenCL C.

A kernel is cut at its top level into phases, each one OpenCL kernel, for only the end of a kernel is a barrier over all
work-items:
  serial    one work-item runs the statement; so do loops of any kind inside
  parallel  the leading `parallel` loops of a nest are the global range
  group     the leading `group` loops are the work-groups; `item` loops inside share the work-items of a group.
            What stands outside of `item` loops is done by the first item; what is allocated there is local memory,
            or the items' own registers. Barriers are where `tilec.fences` puts them.

What is inside is written by `statements`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from tilec.backends.opencl import types
from tilec.backends.opencl.expressions import Functions
from tilec.backends.opencl.groups import fits_int, grid_of, group_body, group_size
from tilec.backends.opencl.memory import Memory, allocate_shared, number
from tilec.backends.opencl.scope import Scope
from tilec.backends.opencl.statements import FENCE, Writer, leading, spread
from tilec.dtypes import F64
from tilec.loops import Alloc, Block, For, Kernel, Let, stride_sizes

SCRATCH_UNITS = 64  # work-items or groups that run a nest which needs global scratch memory


@dataclass(frozen=True, slots=True)
class Phase:
    """One OpenCL kernel: `items` work-items in groups of `group` (0: any size), each with `scratch` bytes.

    `scratch` is per work-item, in a buffer that is the last argument where it is not 0. `grid`: groups along each
    dimension of the range, the one that varies fastest first.
    """

    name: str
    text: str
    items: int
    group: int
    scratch: int
    grid: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The range: items along each dimension."""
        return (self.grid[0] * self.group, *self.grid[1:]) if self.grid else (self.items,)

    @property
    def local(self) -> tuple[int, ...] | None:
        """The shape of a group; None for any."""
        return (self.group, *(1 for _ in self.grid[1:])) if self.group else None


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
    blocks: list[Block] = [(s,) for s in kernel.body]
    if any(isinstance(s, Let) for s in kernel.body):
        blocks = [kernel.body]
    else:
        blocks = [b for b in blocks if not isinstance(b[0], Alloc)]
    memory, shared = _memory(kernel, [f"o{i}" for i in range(len(kernel.params))])
    phases = [_phase(kernel, b, f"{name}_{i}", memory, shared, functions) for i, b in enumerate(blocks)]
    return KernelText(tuple(phases), shared, stride_sizes(kernel))


def _memory(kernel: Kernel, offsets: Sequence[str]) -> tuple[dict[str, Memory], int]:
    """Where parameters and what all phases share are, and the bytes of the latter."""
    sizes = stride_sizes(kernel)
    params = [p.buffer for p in kernel.params]
    memory = {b.name: Memory.of(f"p{i}", b, offsets[i], sizes) for i, b in enumerate(params)}
    shared = 0
    if not any(isinstance(s, Let) for s in kernel.body):
        for stmt in (s for s in kernel.body if isinstance(s, Alloc)):
            memory[stmt.buffer.name], shared = allocate_shared(stmt.buffer, memory, shared)
    return memory, shared


def _phase(
    kernel: Kernel, block: Block, name: str, memory: dict[str, Memory], shared: int, functions: Functions
) -> Phase:
    loops, block = _ndrange(block)
    if loops and loops[0].kind == "group" and (group := group_size(block)):
        return _group_phase(kernel, loops, block, name, group, functions)
    writer = Writer(functions, 0)
    scope = Scope(dict(memory), {}, {})
    count = prod(number(loop.extent) for loop in loops)
    if loops:
        writer.line(f"for (long at = get_global_id(0); at < {count}L; at += get_global_size(0)) {{")
        writer.depth += 1
        writer.block(block, spread(writer, loops, "at", scope))
        writer.depth -= 1
        writer.line("}")
    else:
        writer.block(block, scope)
    units = min(count, SCRATCH_UNITS) if writer.scratch else count
    return Phase(name, _function(kernel, name, writer, shared), units, 0, writer.scratch)


def _group_phase(kernel: Kernel, loops: list[For], block: Block, name: str, group: int, functions: Functions) -> Phase:
    """Groups in a range of up to three dimensions; where they need scratch memory, a few groups do the work of all."""
    memory, shared = _memory(kernel, ["0"] * len(kernel.params))
    buffers = {n: m.buffer for n, m in memory.items()}
    writer, grid = Writer(functions, group), grid_of(loops)
    names = {loop.index: writer.name(loop.index) for loop in loops}
    small = fits_int(loops, block, buffers)
    writer.block(group_body(block, buffers), Scope(memory, names, {}, once=True, small=small))
    if writer.scratch:
        grid = (min(prod(grid), SCRATCH_UNITS),)
    start = [f"p{i} += o{i};" for i in range(len(kernel.params))]
    start += _group_indices(loops, names, grid, writer.scratch > 0, "int" if small else "long")
    writer.lines = start + writer.lines + ([FENCE, "}"] if writer.scratch else [])
    text = _function(kernel, name, writer, shared)
    return Phase(name, text, prod(grid) * group, group, writer.scratch, grid)


def _group_indices(
    loops: list[For], names: dict[str, str], grid: tuple[int, ...], shared: bool, kind: str
) -> list[str]:
    """Declarations of the indices of groups. shared: each group takes a part of the iterations."""
    lines: list[str] = []
    if shared:
        count = prod(number(loop.extent) for loop in loops)
        lines.append(f"for ({kind} at = get_group_id(0); at < {count}; at += get_num_groups(0)) {{")
    sources = ["at"] if shared else [f"({kind})get_group_id({d})" for d in range(len(grid))]
    for position, loop in enumerate(reversed(loops)):
        dimension = min(position, len(sources) - 1)
        own = [number(f.extent) for f in list(reversed(loops))[dimension:position]]
        last = dimension < len(sources) - 1 or position == len(loops) - 1
        text = sources[dimension] + (f" / {prod(own)}" if prod(own) > 1 else "")
        lines.append(f"const {kind} {names[loop.index]} = {text}{'' if last else f' % {max(1, number(loop.extent))}'};")
    return lines


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
    body = "".join(f"  {line}\n" for line in [*map(str, writer.local.values()), *writer.lines])
    if writer.scratch:
        body = f"  scratch += get_global_id(0) * {writer.scratch}L;\n{body}"
    size = f"__attribute__((reqd_work_group_size({writer.group}, 1, 1))) " if writer.group else ""
    return f"__kernel {size}void {name}({', '.join(parameters)}) {{\n{body}}}\n"
