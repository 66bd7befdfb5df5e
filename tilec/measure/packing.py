"""Floor 5: many small programs as one with a single kernel: the iterations of one parallel loop, one for each program.

A driver takes a tenth of a second and more to compile a kernel however small it is, so the doctor's hundreds of checks
are packed. Each program keeps its own code: its loops are as they were, but one work-item or thread runs all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tilec.affine import Affine
from tilec.dtypes import F64
from tilec.loops import (
    Alloc,
    Block,
    Buffer,
    For,
    If,
    Instr,
    Kernel,
    KernelParam,
    Launch,
    Program,
    Stmt,
    Store,
    map_exprs,
    rewrite,
    walk,
)
from tilec.rewrite import rename_reads

MOST = (
    62  # buffers of a kernel: each is two arguments of 8 bytes, two more are scratch memory, and 1024 bytes are certain
)
_INDEX = "program"


def groups(programs: Sequence[Program]) -> list[list[int]]:
    """Numbers of programs that share a kernel; those with float64 are apart, which not every device has."""
    found: list[list[int]] = []
    for double in (False, True):
        room = 0
        for number, program in enumerate(programs):
            if any(b.dtype == F64 for b in program.buffers) == double:
                if len(program.buffers) > room:
                    found.append([])
                    room = MOST
                found[-1].append(number)
                room -= len(program.buffers)
    return found


def packable(program: Program) -> bool:
    """Whether a program is only launches of kernels on whole buffers, few enough for one kernel."""
    whole = all(b.base is None and not b.moves for b in program.buffers)
    plain = all(isinstance(s, Launch) for s in program.steps)
    return whole and plain and not program.init and not program.constants and len(program.buffers) <= MOST


def packed(programs: Sequence[Program]) -> Program:
    """One program with the parameters and the results of all, in order; intermediate tensors are results, too.

    `prefix(i)` and a buffer's name is its name there.
    """
    buffers = [replace(b, name=prefix(i) + b.name, space="param") for i, p in enumerate(programs) for b in p.buffers]
    inputs = [prefix(i) + name for i, p in enumerate(programs) for name in p.params]
    params = tuple(KernelParam(b, "in" if b.name in inputs else "inout") for b in buffers)
    body = tuple(_only(i, _body(p, prefix(i))) for i, p in enumerate(programs))
    kernel = Kernel("pack", params, (For(_INDEX, len(programs), "parallel", body),))
    names = tuple(b.name for b in buffers)
    results = tuple(n for n in names if n not in inputs)
    return Program("pack", tuple(inputs), results, tuple(buffers), (kernel,), (Launch("pack", names),))


def prefix(number: int) -> str:
    return f"p{number}_"


def _only(number: int, body: Block) -> If:
    here = Affine.var(_INDEX) + Affine.constant(-number)
    return If((here, -here), body)


def _body(program: Program, prefix: str) -> Block:
    """What the program's launches do, by one item and on the pack's buffers."""
    found: list[Stmt] = []
    for number, step in enumerate(program.steps):
        assert isinstance(step, Launch)
        kernel = program.kernel(step.kernel)
        names = {s.buffer.name: f"{prefix}{number}_{s.buffer.name}" for s in walk(kernel.body) if isinstance(s, Alloc)}
        names |= {p.buffer.name: prefix + arg for p, arg in zip(kernel.params, step.args, strict=True)}
        found += _serial(kernel.body, names)
    return tuple(found)


def _serial(body: Block, names: Mapping[str, str]) -> Block:
    """The block with other names of buffers, and without a range of items."""

    def statement(stmt: Stmt) -> Block:
        match stmt:
            case Store():
                return (replace(stmt, buffer=names[stmt.buffer]),)
            case Alloc(buffer):
                return (Alloc(_own(buffer, names[buffer.name])),)
            case For(kind="parallel" | "group" | "item"):
                return (replace(stmt, kind="serial"),)
            case Instr():
                return (replace(stmt, operands=tuple(replace(w, buffer=names[w.buffer]) for w in stmt.operands)),)
            case _:
                return (stmt,)

    return rewrite(map_exprs(body, lambda e: rename_reads(e, names)), statement)


def _own(buffer: Buffer, name: str) -> Buffer:
    return replace(buffer, name=name, space="register" if buffer.space == "register" else "thread")
