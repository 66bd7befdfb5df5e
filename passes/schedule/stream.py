"""Results that are larger than the caches, and stored past them.

Before:
    kernel f(in A: f32[64], out C: f32[64])
    for m in 64 { C[m] = neg(A[m]) }
After vectorize(m) stream(C):
    for m in 64 vector { C[m] stream= neg(A[m]) }
"""

from __future__ import annotations

from dataclasses import replace

from tilec.loops import Block, Kernel, Stmt, Store, rewrite
from tilec.passes.schedule.analysis import VIEW, buffers, malformed, refuse, uses


def stream(kernel: Kernel, buffer: str) -> Kernel:
    """Stores to `buffer` go past the caches where they can: by whole, aligned vectors. The values stay the same.

    Raises TILE0604 where the kernel also reads the buffer or aggregates into it, or where it is private to a thread.
    """
    known = buffers(kernel)
    if buffer not in known:
        raise malformed(f"stream: there is no buffer '{buffer}' in kernel '{kernel.name}'")
    if known[buffer].space not in ("param", "heap"):
        raise refuse(f"stream: '{buffer}' is in the space '{known[buffer].space}'")
    found = [u for u in uses(kernel.body, private=True) if u.buffer == buffer]
    found = [u for u in found if u.store is None or u.store.value is not VIEW]
    if any(u.store is None or u.store.monoid is not None for u in found):
        raise refuse(f"stream: '{buffer}' is read, too")
    if not found:
        raise refuse(f"stream: nothing is stored to '{buffer}'")

    def change(stmt: Stmt) -> Block:
        if isinstance(stmt, Store) and stmt.buffer == buffer and not stmt.stream:
            return (replace(stmt, stream=True),)
        return (stmt,)

    return replace(kernel, body=rewrite(kernel.body, change))
