"""One contraction statement -> a `Contraction`: forms, sizes, constraints, types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tilec.affine import Affine, Poly, Size
from tilec.dtypes import BOOL, I32, DType, accumulator, promote
from tilec.errors import Span, TileError, error
from tilec.exact.domain import must_be_fixed
from tilec.expr import Call, Expr
from tilec.frontends.tile.body import Body, Reading
from tilec.frontends.tile.builder import Builder, check_type
from tilec.frontends.tile.calls import cast, lookup, size
from tilec.frontends.tile.complaints import plural, type_named
from tilec.frontends.tile.emit import Extras, emit_contraction
from tilec.frontends.tile.indices import affine
from tilec.frontends.tile.syntax import Binary, Contract, Expression, Ident
from tilec.frontends.tile.trees import index_names
from tilec.frontends.tile.values import Scope, Tensor
from tilec.graph import Constraint, TensorType
from tilec.rules import cast as cast_expr
from tilec.rules import shape_text

_MONOIDS: Mapping[str, str] = {"+": "sum", "*": "prod", ">": "max", "<": "min", "=": "assign", "plain": "assign"}


def contraction(b: Builder, scope: Scope, statement: Contract, name: str) -> Tensor:
    """Elaborates the statement into a Let called `name`."""
    body = Body(b, scope)
    element = body.typed(statement.body)
    forms = tuple(affine(b, scope, i) for i in statement.indices)
    shape = _shape(b, scope, statement, forms, body.readings)
    monoid = _MONOIDS[statement.aggregation]
    result, wide = _types(scope, statement, monoid, element.expr.dtype)
    expr = widen(element.expr, wide) if monoid in ("sum", "prod") else element.expr
    type = TensorType(result, shape)
    check_type(type, statement.target.span)
    if b.derived is None:
        _check_open(statement, forms, type, body.readings)
    constraints = (*(_constraint(b, scope, c) for c in statement.constraints), *body.constraints)
    default = _default(b, scope, statement.default, type) if statement.default else None
    extras = Extras(constraints, default, wide)
    return emit_contraction(b, monoid, _indices(statement), expr, forms, type, statement.span, name, extras)


def _check_open(statement: Contract, forms: Sequence[Affine], type: TensorType, readings: Sequence[Reading]) -> None:
    """TILE0210 where an axis of an open size is indexed by more than one variable; `bounds` checks the rest."""
    found = [(r.span, f, s) for r in readings for f, s in zip(r.forms, r.tensor.type.shape)]
    found += [(e.span, f, s) for e, f, s in zip(statement.indices, forms, type.shape)]
    for span, form, extent in found:
        if isinstance(extent, Poly) and form is None:
            raise must_be_fixed(extent, "an axis of it is read outside, or at an index that depends on data", span)
        if isinstance(extent, Poly) and form is not None and form.as_variable() is None:
            raise must_be_fixed(extent, f"the index '{form}' of an axis of that size is not one variable alone", span)


def _indices(statement: Contract) -> tuple[str, ...]:
    """Index variables in the order of their first occurrence: the output's, then the body's, then the rest."""
    parts = [*statement.indices, statement.body, *statement.constraints]
    return tuple(dict.fromkeys(ident.text for part in parts for ident in index_names(part)))


def _types(scope: Scope, statement: Contract, monoid: str, dtype: DType) -> tuple[DType, DType]:
    """Types of the result and of the aggregation.

    A sum keeps its operands' type, but counts bools in int32; a declared result type widens the aggregation, and a
    declared accumulator says it outright.
    """
    counted = I32 if dtype == BOOL and monoid == "sum" else dtype
    result = _type(scope, statement.dtype) if statement.dtype else counted
    if statement.accumulator:
        return result, _type(scope, statement.accumulator)
    return result, accumulator(promote(dtype, result) if statement.dtype else dtype, monoid)


def _type(scope: Scope, name: Ident) -> DType:
    return scope.generics.get(name.text) or type_named(name, scope.generics)


_LINEAR = frozenset({"add", "sub", "mul", "neg"})


def widen(expr: Expr, dtype: DType) -> Expr:
    """The body in the accumulator's wider type: products of narrow operands are neither rounded nor wrapped first.

    Only sums, differences and products (and choices between them) are carried out wide; every other operation, a
    conversion that the program wrote above all, keeps its type.
    """
    narrow = expr.dtype
    if narrow == BOOL or narrow.is_float != dtype.is_float or narrow.bits >= dtype.bits:
        return expr
    match expr:
        case Call(op, args) if op in _LINEAR:
            return Call(op, tuple(widen(a, dtype) for a in args), dtype)
        case Call("cond", (condition, then, orelse)):
            return Call("cond", (condition, widen(then, dtype), widen(orelse, dtype)), dtype)
        case _:
            return cast_expr(expr, dtype)


def _constraint(b: Builder, scope: Scope, expression: Expression) -> Constraint:
    if not isinstance(expression, Binary) or expression.op != "<":
        raise error("TILE0215", "a constraint has the form 'index < bound'", expression.span)
    form = affine(b, scope, expression.left)
    return Constraint(form, size(b, scope, expression.right, "the bound of a constraint"))


def _default(b: Builder, scope: Scope, ident: Ident, type: TensorType) -> str:
    """The name of the default, in the result's type; its shape is the result's, or it is a scalar."""
    found = lookup(scope, ident)
    tensor = cast(b, found, type.dtype, ident.span) if not isinstance(found, Tensor) else found
    if tensor.type.shape not in ((), type.shape):
        text = f"'{ident.text}' has shape {shape_text(tensor.type.shape)}, the result {shape_text(type.shape)}"
        raise error("TILE0213", text, ident.span, help="a default has the result's shape or is a scalar")
    return tensor.name if tensor.type.dtype == type.dtype else cast(b, tensor, type.dtype, ident.span).name


# sizes of the output


def _shape(
    b: Builder, scope: Scope, statement: Contract, forms: Sequence[Affine], readings: Sequence[Reading]
) -> tuple[Size, ...]:
    if statement.sizes is None:
        return tuple(_infer(statement, e, f, readings) for e, f in zip(statement.indices, forms))
    if len(statement.sizes) != len(forms):
        text = f"'{statement.target.text}' has {plural(len(forms), 'index')} and {plural(len(statement.sizes), 'size')}"
        raise error("TILE0204", text, statement.target.span)
    return tuple(_size(b, scope, e) for e in statement.sizes)


def _size(b: Builder, scope: Scope, expression: Expression) -> Size:
    found = size(b, scope, expression, "a size")
    if isinstance(found, int) and found < 0:
        raise error("TILE0211", f"the size is negative: {found}", expression.span)
    return found


def _infer(statement: Contract, expression: Expression, form: Affine, readings: Sequence[Reading]) -> Size:
    """The size of the axes that the index alone names; raises TILE0207 for none, TILE0208 for different ones."""
    index = form.as_variable()
    if index is None:
        raise _undetermined(statement, expression.span, f"the index '{_text(expression)}' is not a bare variable")
    found: dict[Size, str] = {}
    for reading in readings:
        for axis, (used, extent) in enumerate(zip(reading.forms, reading.tensor.type.shape)):
            if used is not None and used.as_variable() == index:
                text = f"{extent} as axis {axis} of '{reading.name}', of shape {shape_text(reading.tensor.type.shape)}"
                found.setdefault(extent, text)
    if not found:
        raise _undetermined(statement, expression.span, f"'{index}' alone names no axis of an operand")
    if len(found) > 1:
        help = f"say which size the result has: '{statement.target.text}[... : ...]'"
        text = f"index '{index}' ranges over different sizes"
        raise error("TILE0208", text, expression.span, notes=list(found.values()), help=help)
    return next(iter(found))


def _undetermined(statement: Contract, span: Span, why: str) -> TileError:
    text = f"the output size of '{_at(span)}' is undetermined: {why}"
    indices = ", ".join(_text(e) for e in statement.indices)
    help = f"give the sizes: '{statement.target.text}[{indices} : ...]'"
    return error("TILE0207", text, span, help=help)


def _text(expression: Expression) -> str:
    return _at(expression.span)


def _at(span: Span) -> str:
    return span.source.text[span.start : span.end]
