"""The chain rule on scalar expressions, in both directions, by the templates of the builtins.

Expressions are DAGs: every node is visited once and its derivative is shared by all who need it, so the derivative of
an expression is a constant times as large (Griewank and Walther, Evaluating Derivatives, 2008).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tilec.builtins import BUILTINS
from tilec.derivatives import forward_template, instantiate
from tilec.dtypes import DType
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
                if id(arg) in flow and (template := _template(e, k, span)) is not None:
                    pending[id(arg)] = _plus(pending.get(id(arg)), _filled(template, e, adjoint, arg.dtype))
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
            for k, arg in enumerate(e.args):
                if id(arg) in found and (template := _template(e, k, span)) is not None:
                    part = _filled(forward_template(template), e, found[id(arg)], e.dtype)
                    found[id(e)] = _plus(found.get(id(e)), part)
    return found.get(id(body))


def _template(call: Call, k: int, span: Span | None) -> Expr | None:
    """The derivative by operand k, None where it is zero."""
    gradient = BUILTINS[call.op].gradient
    if gradient is None:
        raise no_derivative(f"'{call.op}' has no derivative", span)
    return gradient[k]


def _filled(template: Expr, call: Call, g: Expr, dtype: DType) -> Expr:
    """The template of an operand of `call`, with `g` and in `dtype`."""
    return instantiate(template, dtype, {**{f"x{i}": a for i, a in enumerate(call.args)}, "y": call, "g": g})


def _plus(a: Expr | None, b: Expr) -> Expr:
    return b if a is None else Call("add", (a, b), b.dtype)
