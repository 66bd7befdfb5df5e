"""Making one loop of two that walk through memory as one.

Before:
    kernel f(in A: f32[4, 8, 3], in B: f32[3], out C: f32[4, 8, 3])
    for i in 4 { for j in 8 { for k in 3 { C[i, j, k] = mul(A[i, j, k], B[k]) } } }
After merge(i, j, ij):
    alloc C.ij: heap f32[32, 3] base C
    alloc A.ij: heap f32[32, 3] base A
    for ij in 32 { for k in 3 { C.ij[ij, k] = mul(A.ij[ij, k], B[k]) } }
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tilec.affine import Affine, Coef, Size
from tilec.expr import Expr, IndexValue, walk
from tilec.loops import Alloc, Block, Buffer, For, If, Instr, Kernel, Let, Stmt, Store, While, rewrite
from tilec.loops import walk as statements
from tilec.passes.schedule.analysis import (
    Index,
    Scope,
    Use,
    buffers,
    check_fresh,
    loops_named,
    malformed,
    map_accesses,
    refuse,
    rewrite_loops,
    static,
    substitute,
    uses,
)


def merge(kernel: Kernel, outer: str, inner: str, new: str) -> Kernel:
    """The loops `outer` and, directly inside it, `inner` become one loop `new`, in the same order of iterations.

    Every access must move by the extent of `inner` times as much with `outer` as it does with `inner`. Where they stand
    on two neighbouring axes, these become one: of a parameter in a view `buffer.new`, of an allocation by its shape.
    Raises TILE0604 where an access or a guard does not fit.
    """
    check_fresh(kernel, new)
    if not loops_named(kernel.body, outer) or not loops_named(kernel.body, inner):
        raise malformed(f"merge: there is no loop '{outer}' or '{inner}' in kernel '{kernel.name}'")
    found: dict[str, int] = {}
    known = buffers(kernel)
    for loop in loops_named(kernel.body, outer):
        _axes_to_join(_pair(loop, inner), known, found)
    for buffer, axis in found.items():
        kernel = _joined(kernel, buffer, axis, new)

    def change(found: For, scope: Scope) -> Block:
        pair = _pair(found, inner)
        values: dict[str, Affine | Coef] = {outer: 0, inner: Affine.var(new)}
        extent = static(found.extent) * pair.extent
        return (For(new, extent, "serial", substitute(pair.body, values)),)

    return rewrite_loops(kernel, outer, change)


@dataclass(frozen=True, slots=True)
class _Pair:
    outer: str
    inner: str
    extent: int  # of the inner loop
    body: Block

    def fits(self, form: Affine) -> bool:
        return form.coefficient(self.outer) == form.coefficient(self.inner) * self.extent


def _pair(loop: For, inner: str) -> _Pair:
    if len(loop.body) != 1 or not isinstance(loop.body[0], For) or loop.body[0].index != inner:
        raise refuse(f"merge: loop '{inner}' is not all that loop '{loop.index}' holds")
    if loop.kind != "serial" or loop.body[0].kind != "serial":
        raise refuse(f"merge: loops '{loop.index}' and '{inner}' must be serial")
    return _Pair(loop.index, inner, static(loop.body[0].extent), loop.body[0].body)


def _axes_to_join(pair: _Pair, known: Mapping[str, Buffer], found: dict[str, int]) -> None:
    """Adds to `found` per buffer the first of two axes that must become one. Checks that all else fits."""
    for stmt in statements(pair.body):
        if isinstance(stmt, Instr):
            raise refuse("merge: the loops hold a machine instruction")
        forms = list(stmt.conditions) if isinstance(stmt, If) else []
        values: list[Expr] = [stmt.value] if isinstance(stmt, Store | Let) else []
        values += [stmt.condition] if isinstance(stmt, While) else []
        forms += [e.form for v in values for e in walk(v) if isinstance(e, IndexValue)]
        for form in forms:
            if not pair.fits(form):
                raise refuse(f"merge: '{form}' is no function of the merged index")
    for use in uses(pair.body, private=True):
        axis = _axis(use, pair, known)
        if axis is not None and found.setdefault(use.buffer, axis) != axis:
            raise refuse(f"merge: '{use.buffer}' is accessed along different axes")


def _axis(use: Use, pair: _Pair, known: Mapping[str, Buffer]) -> int | None:
    if use.indices is None:
        raise refuse(f"merge: '{use.buffer}' is seen through a view")
    if all(isinstance(i, Affine) and pair.fits(i) for i in use.indices):
        return None
    moved = [a for a, i in enumerate(use.indices) if not isinstance(i, Affine) or not pair.fits(i)]
    buffer = known.get(use.buffer)
    if buffer is None or buffer.strides is not None or len(moved) != 2 or moved[1] != moved[0] + 1:
        raise refuse(f"merge: '{use.buffer}' is not contiguous along '{pair.outer}' and '{pair.inner}'")
    first, second = (use.indices[a] for a in moved)
    size = static(buffer.shape[moved[1]])
    if not isinstance(first, Affine) or not isinstance(second, Affine) or not pair.fits(first * size + second):
        raise refuse(f"merge: '{use.buffer}' is not contiguous along '{pair.outer}' and '{pair.inner}'")
    return moved[0]


def _joined(kernel: Kernel, buffer: str, axis: int, new: str) -> Kernel:
    """The kernel with two axes of a buffer made one, in all its accesses."""
    old = buffers(kernel)[buffer]
    _check_alike(kernel, old)
    size = static(old.shape[axis + 1])
    shape = (*old.shape[:axis], static(old.shape[axis]) * size, *old.shape[axis + 2 :])
    target = buffer if old.space != "param" or old.base is not None else f"{buffer}.{new}"

    def change(indices: tuple[Index, ...]) -> tuple[str, tuple[Index, ...]]:
        first, second = indices[axis : axis + 2]
        if not isinstance(first, Affine) or not isinstance(second, Affine):
            raise refuse(f"merge: an index of '{buffer}' depends on data")
        return target, (*indices[:axis], first * size + second, *indices[axis + 2 :])

    body = map_accesses(kernel.body, buffer, change, keep_streams=True)
    if target == buffer:
        return replace(kernel, body=rewrite(body, lambda s: (_reshaped(s, buffer, shape),)))
    check_fresh(kernel, target)
    view = Alloc(Buffer(target, old.dtype, shape, "heap", None, buffer))
    return replace(kernel, body=(view, *body))


def _check_alike(kernel: Kernel, buffer: Buffer) -> None:
    """Copies of a nest may hold buffers of one name and different shapes; windows keep the rank they have."""
    for stmt in statements(kernel.body):
        if isinstance(stmt, Alloc) and stmt.buffer.name == buffer.name and stmt.buffer != buffer:
            raise refuse(f"merge: there are buffers '{buffer.name}' of different shapes")
        if isinstance(stmt, Instr) and any(w.buffer == buffer.name for w in stmt.operands):
            raise refuse(f"merge: '{buffer.name}' is an operand of the machine instruction '{stmt.name}'")


def _reshaped(stmt: Stmt, buffer: str, shape: tuple[Size, ...]) -> Stmt:
    if isinstance(stmt, Alloc) and stmt.buffer.name == buffer:
        return Alloc(replace(stmt.buffer, shape=shape))
    return stmt
