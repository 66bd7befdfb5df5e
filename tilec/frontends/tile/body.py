"""The body of a contraction: an elementwise expression over elements of tensors and index values."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from tilec.affine import Affine, Poly
from tilec.dtypes import F32, F64, I32, I64, DType
from tilec.errors import Span, error
from tilec.expr import Call as ExprCall
from tilec.expr import IndexValue, Read
from tilec.frontends.tile import functions as table
from tilec.frontends.tile.builder import Builder
from tilec.frontends.tile.calls import cast_target, lookup, value
from tilec.frontends.tile.complaints import gradients, plural, unknown_function
from tilec.frontends.tile.indices import check_coefficients
from tilec.frontends.tile.places import Place, place
from tilec.frontends.tile.scalars import convert, fold
from tilec.frontends.tile.syntax import Binary, Call, Expression, Ident, Index, Name, Number, Ternary, Unary
from tilec.frontends.tile.values import Number as Constant
from tilec.frontends.tile.values import Scalar, Scope, Tensor, describe
from tilec.graph import Constraint
from tilec.rules import Typed, call_typed, constant, literal, shape_text
from tilec.rules import cast as cast_expr

Operand: TypeAlias = Constant | Affine | Typed


@dataclass(frozen=True, slots=True)
class Reading:
    """One access of the body: the tensor, the forms that bound their indices, and where it is written."""

    name: str
    tensor: Tensor
    forms: tuple[Affine | None, ...]
    span: Span


@dataclass(slots=True)
class Body:
    """Translates a body; `readings` are its accesses, left to right, `constraints` what these do not say."""

    builder: Builder
    scope: Scope
    readings: list[Reading] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    in_index: bool = False

    def typed(self, expression: Expression) -> Typed:
        """The body as a typed expression; its weakness says whether it is made of constants and indices only."""
        return operand(self.operand(expression))

    def operand(self, expression: Expression) -> Operand:
        """Constants and affine forms of index variables stay what they are as long as possible."""
        with self.builder.deeper(expression.span):
            return self._operand(expression)

    def _operand(self, expression: Expression) -> Operand:
        match expression:
            case Number():
                return expression.value
            case Name():
                return self._name(expression)
            case Index():
                return self._element(expression)
            case Unary():
                inner = self.operand(expression.operand)
                if expression.op == "-" and isinstance(inner, Affine):
                    return -inner
                return inner if expression.op == "+" else self._apply(table.UNARY[expression.op], [inner], expression)
            case Binary():
                left, right = self.operand(expression.left), self.operand(expression.right)
                form = _affine(expression, left, right)
                return form if form is not None else self._apply(table.BINARY[expression.op], [left, right], expression)
            case Ternary():
                return self._choose(expression)
            case Call():
                return self._call(expression)
            case _:
                raise error("TILE0013", "nested lists are data of tests", expression.span)

    def _name(self, expression: Name) -> Operand:
        ident = expression.ident
        return Affine.var(ident.text) if ident.kind == "index" else self._read(ident, Place((), ()), ident.span)

    def _element(self, expression: Index) -> Operand:
        return self._read(expression.tensor, place(self.builder, self.scope, expression, self._at), expression.span)

    def _read(self, ident: Ident, place: Place, span: Span) -> Operand:
        found = lookup(self.scope, ident)
        if isinstance(found, Scalar) and not place.indices:
            return Affine.constant(found.value) if isinstance(found.value, Poly) else found.value
        if not isinstance(found, Tensor):
            raise error("TILE0202", f"'{ident.text}' is {describe(found)}; it has no elements", span)
        if found.type.rank != len(place.indices):
            raise _wrong_rank(ident, found, len(place.indices), span)
        self.readings.append(Reading(ident.text, found, place.forms, span))
        self.constraints += place.constraints(found)
        element = Read(place.access(found, span), found.type.dtype)
        if self.in_index and element.dtype.is_integer and element.dtype.bits < I64.bits:
            return Typed(cast_expr(element, I64))
        return Typed(element, found.type.weak)

    def _at(self, expression: Expression) -> Typed:
        """An index over elements, computed in int64: it does not wrap where these are narrow."""
        outer, self.in_index = self.in_index, True
        try:
            return self.typed(expression)
        finally:
            self.in_index = outer

    def _choose(self, expression: Ternary) -> Operand:
        condition = self.operand(expression.condition)
        then = self.operand(expression.then)
        orelse: Operand = 0 if expression.orelse is None else self.operand(expression.orelse)
        return self._apply("cond", [condition, then, orelse], expression)

    def _call(self, call: Call) -> Operand:
        name = call.function.text
        if name in self.builder.functions or table.is_whole(name):
            text = f"'{name}' works on whole tensors; the body of a contraction takes elementwise builtins"
            raise error("TILE0218", text, call.function.span, help="call it in a statement of its own")
        if name in table.GRADIENTS:
            raise gradients(call.function.span, name)
        limits = table.arity(name)
        if limits is None:
            raise unknown_function(call.function, table.known(), {})
        if not limits[0] <= len(call.args) <= limits[1]:
            raise error("TILE0106", f"wrong number of arguments for '{name}'", call.span)
        if name in table.CASTS:
            return self._cast(call)
        return self._apply(table.ELEMENTWISE[name], [self.operand(a) for a in call.args], call)

    def _cast(self, call: Call) -> Operand:
        with self.builder.scratch():
            rest = [value(self.builder, self.scope, a) for a in call.args[1:]]
        dtype = cast_target(self.builder, call.function.text, rest, call)
        inner = self.operand(call.args[0])
        if isinstance(inner, int | float):
            return Typed(constant(convert(inner, dtype), dtype))
        expr = operand(inner).expr
        if expr.dtype == dtype:
            return Typed(ExprCall("ident", (expr,), dtype))  # keeps the sum around it from widening what is inside
        return Typed(cast_expr(expr, dtype))

    def _apply(self, op: str, args: list[Operand], at: Expression) -> Operand:
        constants = [a for a in args if isinstance(a, int | float)]
        if len(constants) == len(args):
            return fold(op, constants, at.span)
        wide = any(isinstance(a, Typed) and not a.weak and a.expr.dtype == F64 for a in args)
        return call_typed(op, [operand(a, F64 if wide else F32) for a in args], span=at.span)


def operand(value: Operand, real: DType = F32) -> Typed:
    """A typed, possibly weak expression. An index form with fractions is its value, divided out in the type `real`."""
    if isinstance(value, Typed):
        return value
    if not isinstance(value, Affine):
        return literal(value)
    scale = value.denominator()
    whole = Typed(IndexValue(value * scale, I64 if value.sizes() else I32), weak=True)
    if scale == 1:
        return whole
    quotient = call_typed("div", [Typed(cast_expr(whole.expr, real)), literal(float(scale))])
    return Typed(quotient.expr, weak=True)


def _affine(at: Binary, left: Operand, right: Operand) -> Affine | None:
    """The sum, difference, multiple or fraction of index forms, None where it is something else."""
    if not (isinstance(left, Affine | int) and isinstance(right, Affine | int)):
        return None
    if isinstance(left, int) and isinstance(right, int):
        return None
    a = left if isinstance(left, Affine) else Affine.constant(int(left))
    c = right if isinstance(right, Affine) else Affine.constant(int(right))
    form = _combine(at, a, c)
    if form is not None:
        check_coefficients(form, at.span)
    return form


def _combine(at: Binary, a: Affine, c: Affine) -> Affine | None:
    match at.op:
        case "+":
            return a + c
        case "-":
            return a - c
        case "*" if a.is_constant:
            return c * a.const
        case "*" if c.is_constant:
            return a * c.const
        case "/" if c.is_constant and not a.terms:
            return None  # of open sizes: at run time, where it truncates
        case "/" if c.is_constant and isinstance(c.const, int | Fraction):
            if c.const == 0:
                raise error("TILE0216", "division by zero in an index value", at.right.span)
            return a * (1 / Fraction(c.const))
        case "/":
            help = "a float says which quotient is meant, as in '1.0 / (i + 1)' or 'as_float(j, 32) / i'"
            raise error("TILE0205", "an integer is divided by an index variable", at.span, help=help)
    return None


def _wrong_rank(ident: Ident, found: Tensor, count: int, span: Span) -> Exception:
    notes = [f"its shape is {shape_text(found.type.shape)}"]
    if count == 0:
        text = f"'{ident.text}' is {found}; an element has {plural(found.type.rank, 'index')}"
        return error("TILE0214", text, span, notes=notes, help=f"write '{ident.text}[...]' with an index for each axis")
    text = f"'{ident.text}' has rank {found.type.rank}, {plural(count, 'index')} given"
    return error("TILE0202", text, span, notes=notes)
