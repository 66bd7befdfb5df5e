"""Index expressions as affine forms with exact rational coefficients.

`/` is exact where an index variable or only literals occur (`i/2`, `1/2*i`), and truncates between sizes (`N/2`), as
in every other expression of sizes. Errors raised: TILE0205 not affine, TILE0206 a float, TILE0216 a zero divisor, and
those of `calls.size`.
"""

from __future__ import annotations

from fractions import Fraction

from tilec.affine import Affine, Poly
from tilec.errors import Span, error
from tilec.exact.domain import must_be_fixed
from tilec.frontends.tile import calls
from tilec.frontends.tile.builder import Builder
from tilec.frontends.tile.complaints import ELEMENT_INSIDE, float_in_index, not_affine
from tilec.frontends.tile.scalars import truncate
from tilec.frontends.tile.syntax import Binary, Expression, Index, Name, Number, Unary
from tilec.frontends.tile.trees import has_index, has_names
from tilec.frontends.tile.values import Scope

_LIMIT = 1 << 62


def affine(b: Builder, scope: Scope, expression: Expression) -> Affine:
    """The form of an index; sizes and constants are numbers in it."""
    with b.deeper(expression.span):
        form = _affine(b, scope, expression)
    check_coefficients(form, expression.span)
    return form


def check_coefficients(form: Affine, span: Span) -> None:
    """TILE0414 for offsets and strides that no address can have: keeps the exact arithmetic small."""
    for coefficient in (form.const, *(c for _, c in form.terms)):
        if isinstance(coefficient, int | Fraction) and (
            abs(coefficient.numerator) > _LIMIT or coefficient.denominator > _LIMIT
        ):
            raise error("TILE0414", f"the index has the coefficient {coefficient}, beyond 2^62", span)


def _affine(b: Builder, scope: Scope, expression: Expression) -> Affine:
    match expression:
        case Number(value=float()):
            raise float_in_index(expression)
        case Number(value=int() as number):
            return Affine.constant(number)
        case Name() if expression.ident.kind == "index":
            return Affine.var(expression.ident.text)
        case Unary(op="-"):
            return -affine(b, scope, expression.operand)
        case Unary(op="+"):
            return affine(b, scope, expression.operand)
        case Binary(op="+"):
            return affine(b, scope, expression.left) + affine(b, scope, expression.right)
        case Binary(op="-"):
            return affine(b, scope, expression.left) - affine(b, scope, expression.right)
        case Binary(op="*"):
            return _product(b, scope, expression)
        case Binary(op="/"):
            return _quotient(b, scope, expression)
        case Index() if expression.indices:
            raise not_affine(expression.span, ELEMENT_INSIDE)
    if has_index(expression):
        raise not_affine(expression.span, "an index variable inside another operation")
    return Affine.constant(calls.size(b, scope, expression, "an index"))


def _product(b: Builder, scope: Scope, expression: Binary) -> Affine:
    left, right = affine(b, scope, expression.left), affine(b, scope, expression.right)
    if left.is_constant:
        return right * left.const
    if right.is_constant:
        return left * right.const
    raise not_affine(expression.span, "a product of index variables")


def _quotient(b: Builder, scope: Scope, expression: Binary) -> Affine:
    left, right = affine(b, scope, expression.left), affine(b, scope, expression.right)
    open_ = isinstance(left.const, Poly) or isinstance(right.const, Poly)
    if open_ and b.derived is not None and not has_index(expression):
        return Affine.constant(calls.size(b, scope, expression, "an index"))
    if isinstance(right.const, Poly):
        raise must_be_fixed(right.const, "an index is divided by it", expression.right.span)
    if has_index(expression.right) or not isinstance(right.const, int | Fraction):
        raise not_affine(expression.span, "a division by an index variable")
    if right.const == 0:
        raise error("TILE0216", "division by zero in an index", expression.right.span)
    numerator, divisor = left.const, right.const
    if isinstance(numerator, Poly) and b.derived is None:
        raise must_be_fixed(numerator, "a quotient of it is an index", expression.span)
    if isinstance(numerator, int) and isinstance(divisor, int) and has_names(expression) and not has_index(expression):
        return Affine.constant(truncate(numerator, divisor))
    return left * (1 / Fraction(divisor))
