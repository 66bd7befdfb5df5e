"""Floor 3: types of contraction bodies: dtypes of the tensors read, and the casts that operations need.

Errors raised, besides those of `tilec.rules`: TILE0202 wrong rank, TILE0304 index not an integer, TILE0602 undefined
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from tilec.affine import Affine
from tilec.errors import Span, error
from tilec.expr import Access, Call, Expr, Read, postorder
from tilec.graph import TensorType
from tilec.rules import Typed, builtin, call_typed

Types: TypeAlias = Mapping[str, TensorType]


def type_of(types: Types, name: str, span: Span | None) -> TensorType:
    if name not in types:
        raise error("TILE0602", f"'{name}' is not defined before its use", span)
    return types[name]


def retype(expr: Expr, types: Types, span: Span | None = None) -> Typed:
    """A body with the dtypes of its tensors and all casts; the same object where it is homogeneous already."""
    done: dict[int, Typed] = {}  # by id: a shared sub-expression is visited once and stays shared

    def change(e: Expr) -> Typed:
        match e:
            case Read():
                return _retype_read(e, types, done, span)
            case Call():
                return _retype_call(e, [done[id(a)] for a in e.args], span)
            case _:
                return Typed(e)

    for e in postorder(expr):
        done[id(e)] = change(e)
    return done[id(expr)]


def _retype_call(expr: Call, args: list[Typed], span: Span | None) -> Typed:
    entry = builtin(expr.op, len(args), span)
    same = all(a.expr is b for a, b in zip(args, expr.args))
    if entry.rule == "raw":
        return Typed(expr if same else Call(expr.op, tuple(a.expr for a in args), expr.dtype))
    if same and entry.rule == "cast":
        return Typed(expr)
    dtype = expr.dtype if entry.rule in ("cast", "bitcast") else None
    new = call_typed(expr.op, args, dtype=dtype, span=span)
    found = new.expr
    if (
        same
        and isinstance(found, Call)
        and (found.op, found.dtype) == (expr.op, expr.dtype)
        and all(a is b for a, b in zip(found.args, expr.args))
    ):
        return Typed(expr, new.weak)
    return new


def _retype_read(expr: Read, types: Types, done: Mapping[int, Typed], span: Span | None) -> Typed:
    access = expr.access
    type_ = type_of(types, access.tensor, span)
    if len(access.indices) != type_.rank:
        message = f"'{access.tensor}' has rank {type_.rank} and is read with {len(access.indices)} indices"
        raise error("TILE0202", message, span)
    indices = tuple(i if isinstance(i, Affine) else _index(done[id(i)].expr, access, span) for i in access.indices)
    if type_.dtype == expr.dtype and all(a is b for a, b in zip(indices, access.indices)):
        return Typed(expr, type_.weak)
    return Typed(Read(replace(access, indices=indices), type_.dtype), type_.weak)


def _index(index: Expr, access: Access, span: Span | None) -> Expr:
    if not index.dtype.is_integer:
        raise error("TILE0304", f"an index of '{access.tensor}' is of type {index.dtype.long}", span)
    return index
