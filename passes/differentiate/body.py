"""The chain rule on scalar expressions, in both directions, by the templates of the builtins.

Expressions are DAGs: every node is visited once and its derivative is shared by all who need it, so the derivative of
an expression is a constant times as large (Griewank and Walther, Evaluating Derivatives, 2008).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tilec.builtins import BUILTINS
from tilec.derivatives import instantiate
from tilec.errors import Span
from tilec.expr import Access, Call, Const, Expr, Read, walk
from tilec.passes.differentiate.activity import active_nodes
from tilec.passes.differentiate.builder import no_derivative


def adjoints(body: Expr, seed: Expr, active: set[str], span: Span | None) -> dict[Access, Expr]:
    """For every access of an active tensor, the derivative of `body` with respect to it, times `seed`."""
    flow = active_nodes(body, active)
    pending: dict[int, Expr] = {id(body): seed}
    found: dict[Access, Expr] = {}
    for e in walk(body):  # parents first: by the time a node comes, all parts of its adjoint are in
        if id(e) not in flow or id(e) not in pending:
            continue
        adjoint = pending.pop(id(e))
        if isinstance(e, Read):
            found[e.access] = _plus(found.get(e.access), adjoint)
        elif isinstance(e, Call):
            for k, arg in enumerate(e.args):
                if id(arg) in flow and (part := _part(e, k, adjoint, arg, span)) is not None:
                    pending[id(arg)] = _plus(pending.get(id(arg)), part)
    return found


def tangent(body: Expr, tangents: Mapping[str, str], span: Span | None) -> Expr | None:
    """The derivative of `body` along the tensors `tangents` of those it reads; None where it is zero."""
    flow = active_nodes(body, set(tangents))
    found: dict[int, Expr] = {}
    for e in reversed(list(walk(body))):  # children first
        if id(e) not in flow:
            continue
        if isinstance(e, Read):
            fill = None if e.access.fill is None else Const(0.0, e.access.fill.dtype)
            found[id(e)] = Read(replace(e.access, tensor=tangents[e.access.tensor], fill=fill), e.dtype)
        elif isinstance(e, Call):
            parts = [_part(e, k, found[id(a)], e, span) for k, a in enumerate(e.args) if id(a) in found]
            known = [p for p in parts if p is not None]
            if known:
                total: Expr | None = None
                for part in known:
                    total = _plus(total, part)
                assert total is not None
                found[id(e)] = total
    return found.get(id(body))


def _part(call: Call, k: int, g: Expr, like: Expr, span: Span | None) -> Expr | None:
    """The template of operand k, with `g` and in the dtype of `like`."""
    gradient = BUILTINS[call.op].gradient
    if gradient is None:
        raise no_derivative(f"'{call.op}' has no derivative", span)
    template = gradient[k]
    if template is None:
        return None
    return instantiate(template, like.dtype, {**{f"x{i}": a for i, a in enumerate(call.args)}, "y": call, "g": g})


def _plus(a: Expr | None, b: Expr) -> Expr:
    return b if a is None else Call("add", (a, b), b.dtype)
