"""Floor 2: the Loops IR: scheduled loop nests over buffers, and programs made of them.

    Program ::= name, buffers, kernels, init steps, steps
    Step    ::= Launch(kernel, args) | Copy | Assign(target, value) | HostCall | Check(condition)
              | Iterate(index, extent, steps) | Repeat(condition, steps) | Branch(condition, steps, steps)
    Kernel  ::= name, params, body                      params are buffers, each read, written or both
    Stmt    ::= For(index, extent, kind, body)          index runs over 0 .. extent-1
              | If(conditions, body)                    all affine forms >= 0
              | Alloc(buffer)                           scope: the rest of the enclosing block
              | Let(name, value)                        scope: the rest of the enclosing block
              | Store(buffer, indices, value, monoid)   buffer[indices] = value, or aggregated into what is there
              | While(condition, body) | Barrier(scope) | Instr(name, operands)

Indices are affine in loop variables with integer coefficients, and in bounds at every execution (the verifier and the
evaluator check it; no backend guards). Buffers are multi-dimensional; strides (in elements) default to row-major.

Loop kinds: `serial`; `parallel` (iterations independent, run by threads in any order); `vector` (lanes: all iterations
at once, so none touches what another writes; an `If` on the lane index masks lanes, and a masked lane touches no
memory); `unroll`; `group` and `item` (OpenCL work-groups and work-items; `tilec.groups` says how they nest);
`pipelined` (copies of `depth` iterations in flight).

A `register` buffer must have constant indices once `unroll` and `vector` loops are expanded: backends keep it in SSA
values. A vector loop's index may appear in a register buffer's index with coefficient 1: that axis is the lanes. The
first axes of one that a group allocates may be the indices of items: each has its own part.

Kernel parameters do not alias one another.
"""

from __future__ import annotations

from .blocks import accesses, children, is_open, is_unsliced, map_exprs, rewrite, walk, with_children
from .ir import (
    LOOP_KINDS,
    SPACES,
    Alloc,
    Assign,
    Barrier,
    Block,
    Branch,
    Buffer,
    Check,
    Copy,
    For,
    HostCall,
    If,
    Instr,
    Iterate,
    Kernel,
    KernelParam,
    Launch,
    Let,
    LoopKind,
    Mode,
    Program,
    Repeat,
    Space,
    Step,
    Stmt,
    Store,
    While,
    Window,
    row_major,
    stride_sizes,
    strides_of,
)
from .steps import all_steps, map_launches, parts, rename_buffers, touched, with_parts

__all__ = [
    "LOOP_KINDS",
    "SPACES",
    "Alloc",
    "Assign",
    "Barrier",
    "Block",
    "Branch",
    "Buffer",
    "Check",
    "Copy",
    "For",
    "HostCall",
    "If",
    "Instr",
    "Iterate",
    "Kernel",
    "KernelParam",
    "Launch",
    "Let",
    "LoopKind",
    "Mode",
    "Program",
    "Repeat",
    "Space",
    "Step",
    "Stmt",
    "Store",
    "While",
    "Window",
    "accesses",
    "all_steps",
    "children",
    "is_open",
    "is_unsliced",
    "map_exprs",
    "map_launches",
    "parts",
    "rename_buffers",
    "rewrite",
    "row_major",
    "stride_sizes",
    "strides_of",
    "touched",
    "walk",
    "with_children",
    "with_parts",
]
