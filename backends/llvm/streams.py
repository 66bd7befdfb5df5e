"""Stores past the caches: where they are possible, and kernels in versions for the alignment of what they store to.

A streaming store takes an aligned vector. How a store lies to the start of its array is known at compile time, where
the array starts at run time: a kernel that streams is emitted for arrays aligned to a vector, to 16 bytes (the pieces
that a vector is then stored in), and to nothing, where its stores are plain ones; a test of the pointers chooses.
"""

from __future__ import annotations

from math import gcd

from tilec.affine import Size
from tilec.backends.llvm.address import Offset
from tilec.backends.llvm.blocks import Emitter
from tilec.backends.llvm.frame import Frame, Storage
from tilec.backends.llvm.target import is_x86
from tilec.loops import Alloc, Kernel, Store, stride_sizes, walk
from tilec.target import Target

PIECE = 16  # bytes of the least streaming store
METADATA = "!0 = !{i32 1}\n"  # what `!nontemporal` refers to


def streamed(kernel: Kernel) -> tuple[int, ...]:
    """Positions of the parameters that the kernel streams to."""
    bases = {s.buffer.name: s.buffer.base for s in walk(kernel.body) if isinstance(s, Alloc)}
    names = {s.buffer for s in walk(kernel.body) if isinstance(s, Store) and s.stream}
    while outer := {base for n in names if (base := bases.get(n)) is not None} - names:
        names |= outer
    return tuple(k for k, p in enumerate(kernel.params) if p.buffer.name in names)


def alignments(target: Target) -> tuple[int, ...]:
    """Of the arrays, in the order of preference; 0: none, and nothing is streamed."""
    return (target.vector_bytes, PIECE, 0) if target.vector_bytes > PIECE else (PIECE, 0)


def alignment(frame: Frame, storage: Storage, form: Offset) -> int:
    """Bytes to which a whole vector at `form` is known to be aligned; 0 where it cannot be streamed."""
    size = storage.buffer.dtype.bytes
    steps: list[Size] = [form.const, *(c for _, c in form.terms)]
    is_parameter = storage.base not in ("%shared", "%private")
    if not frame.aligned or not is_parameter or not all(isinstance(s, int) for s in steps):
        return 0
    found = gcd(frame.aligned, storage.offset, *(s * size for s in steps if isinstance(s, int)))
    return found if found >= PIECE and frame.lanes * size >= PIECE else 0


def fence(emitter: Emitter, target: Target) -> None:
    """What was streamed is seen by whoever sees that the kernel is done."""
    if is_x86(target):
        emitter.line(emitter.call("llvm.x86.sse.sfence", "void"))
    else:
        emitter.line("fence seq_cst")


def choice(kernel: Kernel, name: str, target: Target) -> str:
    """The function that looks at the pointers and calls a version: `name.0`, `name.1` ...."""
    pointers = [f"ptr %p{i}" for i in range(len(kernel.params))]
    rest = ["ptr %pool", *(f"i64 %s{k}" for k in range(len(stride_sizes(kernel))))]
    signature = ", ".join(["ptr noalias " + p[4:] for p in pointers] + ["ptr noalias %shared", "ptr %private", *rest])
    call = ", ".join([*pointers, "ptr %shared", "ptr %private", *rest])
    lines = [f"define internal void @{name}({signature}) #0 {{", "entry:"]
    merged = "0"
    for i in streamed(kernel):
        lines += [f"  %a{i} = ptrtoint ptr %p{i} to i64", f"  %m{i} = or i64 {merged}, %a{i}"]
        merged = f"%m{i}"
    for k, bytes_ in enumerate(alignments(target)):
        if bytes_:
            lines += [f"  %r{k} = and i64 {merged}, {bytes_ - 1}", f"  %c{k} = icmp eq i64 %r{k}, 0"]
            lines += [f"  br i1 %c{k}, label %yes{k}, label %no{k}", f"yes{k}:"]
        lines += [f"  call void @{name}.{k}({call})", "  ret void"] + ([f"no{k}:"] if bytes_ else [])
    return "\n".join([*lines, "}", ""])
