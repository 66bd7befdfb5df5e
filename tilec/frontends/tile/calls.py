"""Elementwise expressions over whole tensors: operators, builtins, calls of the program's own functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tilec.affine import Poly, Size
from tilec.dtypes import BOOL, I64, DType
from tilec.errors import Span, TileError, error
from tilec.exact.boxes import integer
from tilec.exact.domain import must_be_fixed
from tilec.frontends.tile import functions as table
from tilec.frontends.tile.builder import Builder
from tilec.frontends.tile.complaints import gradients, undefined, unknown_function, wrong_case
from tilec.frontends.tile.scalars import convert
from tilec.frontends.tile.specials import SPECIALS, check_assertion
from tilec.frontends.tile.syntax import (
    Binary,
    Call,
    Expression,
    Group,
    Ident,
    Index,
    List,
    Name,
    Number,
    Ternary,
    Unary,
)
from tilec.frontends.tile.testdata import list_data, random_data
from tilec.frontends.tile.trees import has_index, is_control, walk
from tilec.frontends.tile.values import Known, Poison, Poisoned, Scalar, Scope, Tensor, Value
from tilec.graph import Apply, TensorType
from tilec.rules import apply_type, is_shift, shift_count, weak_dtype


def value(b: Builder, scope: Scope, expression: Expression, name: str | None = None) -> Value:
    """The value of an elementwise expression; `name` is for the Let of its outermost operation."""
    with b.deeper(expression.span):
        match expression:
            case Number():
                return Scalar(expression.value)
            case Name():
                return lookup(scope, expression.ident)
            case Index():
                return _element(b, scope, expression)
            case Call():
                return call(b, scope, expression, name)
            case Unary():
                args = [value(b, scope, expression.operand)]
                return args[0] if expression.op == "+" else apply(b, table.UNARY[expression.op], args, expression, name)
            case Binary():
                args = [value(b, scope, expression.left), value(b, scope, expression.right)]
                return apply(b, table.BINARY[expression.op], args, expression, name)
            case Ternary():
                return _choose(b, scope, expression, name)
            case List():
                return list_data(b, expression, name)
            case Group():
                raise error("TILE0120", "several values in parentheses", expression.span)


def lookup(scope: Scope, ident: Ident) -> Value:
    """What a name stands for; a poisoned name raises `Poisoned`."""
    if ident.kind != "tensor":
        raise wrong_case(ident, "a tensor")
    found = scope.values.get(ident.text)
    if found is None:
        raise undefined(ident, scope.where)
    if isinstance(found, Poison):
        raise Poisoned
    return found


def size(b: Builder, scope: Scope, expression: Expression, what: str) -> Size:
    """A compile-time integer expression, in a size, an index or a constraint; open sizes may occur in it."""
    if has_index(expression):
        raise error("TILE0210", f"{what} must not depend on an index variable", expression.span)
    with b.scratch():
        found = value(b, scope, expression)
        unknown = isinstance(found, Tensor) and found.known is None
        if unknown and (size := next(open_sizes(scope, expression), None)) is not None:
            why = f"{what} holds it in an operation other than +, - and *"
            raise must_be_fixed(size, why, expression.span)
        return b.size(found, expression.span, what)


def open_sizes(scope: Scope, expression: Expression) -> Iterator[Poly]:
    """Open sizes that an expression names."""
    for node in walk(expression):
        match scope.values.get(node.ident.text) if isinstance(node, Name) else None:
            case Scalar(Poly() as size):
                yield size


def _element(b: Builder, scope: Scope, expression: Index) -> Value:
    found = lookup(scope, expression.tensor)
    if expression.indices:
        raise error("TILE0217", "an element of a tensor in an expression of whole tensors", expression.span)
    if isinstance(found, Tensor) and found.type.rank:
        raise error("TILE0202", f"'{expression.tensor.text}[]' is {found}, not a scalar", expression.span)
    return found


def _choose(b: Builder, scope: Scope, expression: Ternary, name: str | None) -> Value:
    if expression.orelse is None:
        raise error("TILE0011", "'?' without ':'", expression.span)
    args = [value(b, scope, e) for e in (expression.condition, expression.then, expression.orelse)]
    return apply(b, "cond", args, expression, name)


def apply(b: Builder, op: str, args: Sequence[Value], at: Expression, name: str | None = None) -> Value:
    """An elementwise builtin: folded where every operand is a constant, else a Let."""
    constants = [a.value for a in args if isinstance(a, Scalar)]
    if len(constants) == len(args) and (folded := b.folded(op, constants, at.span)) is not None:
        return Scalar(folded)
    args = [b.tensor(a, at.span) if isinstance(a, Scalar) and isinstance(a.value, Poly) else a for a in args]
    operands = [a if isinstance(a, Scalar) else b.tensor(a, at.span, f"an operand of '{op}'") for a in args]
    wanted, type = apply_type(op, [type_of(o) for o in operands], None, at.span)
    if isinstance(operands[-1], Scalar) and not type.weak and is_shift(op):
        operands[-1] = Scalar(shift_count(number(operands[-1]), wanted[-1]))
    tensors = [_in_type(b, o, None if type.weak else d, at.span) for o, d in zip(operands, wanted)]
    return b.emit(Apply(op, tuple(t.name for t in tensors)), type, at.span, name, _known(b, op, tensors, at.span))


def type_of(operand: Scalar | Tensor) -> TensorType:
    """Type of a value; an open size is an int64."""
    if isinstance(operand, Tensor):
        return operand.type
    dtype = I64 if isinstance(operand.value, Poly) else weak_dtype(operand.value)
    return TensorType(dtype, (), weak=True)


def number(scalar: Scalar) -> int | float:
    """The value of a constant that is no open size."""
    assert not isinstance(scalar.value, Poly)
    return scalar.value


def _in_type(b: Builder, operand: Scalar | Tensor, dtype: DType | None, span: Span) -> Tensor:
    """A constant beside a strong operand is written in the type that it takes there: no cast is needed later."""
    if isinstance(operand, Tensor):
        return operand
    return b.literal(number(operand) if dtype is None else convert(number(operand), dtype), span, dtype)


def _known(b: Builder, op: str, args: Sequence[Tensor], span: Span) -> Known | None:
    """The value at compile time; None where there is none, as of 1 / 0, which is an error only in a size."""
    values = [a.known for a in args if a.known is not None]
    if len(values) != len(args) or any(not a.type.weak for a in args):
        return None
    try:
        found = b.folded(op, [v.value for v in values], span)
    except TileError:
        return None
    return None if found is None else Known(found, frozenset().union(*(v.origins for v in values)))


def cast(b: Builder, arg: Value, dtype: DType, span: Span, name: str | None = None) -> Tensor:
    """A conversion, which makes the value strong."""
    if isinstance(arg, Scalar) and not isinstance(arg.value, Poly):
        return b.literal(convert(arg.value, dtype), span, dtype, name)
    tensor = b.tensor(arg, span)
    _, type = apply_type("cast", [tensor.type], dtype, span)
    value_ = tensor.known and _converted(tensor.known, dtype)
    return b.emit(Apply("cast", (tensor.name,), dtype), type, span, name, value_)


def _converted(value: Known, dtype: DType) -> Known | None:
    return None if isinstance(value.value, Poly) else Known(convert(value.value, dtype), value.origins)


def call(b: Builder, scope: Scope, expression: Call, name: str | None = None) -> Value:
    """A call with one result."""
    if not has_results(b, expression):
        return _builtin(b, scope, expression, name)
    results = call_function(b, scope, expression, [name])
    if len(results) != 1:
        raise error("TILE0113", f"'{expression.function.text}' has {len(results)} results", expression.span)
    return results[0]


def has_results(b: Builder, expression: Expression) -> bool:
    """Whether this is a call that may have several results: of the program's functions, a branch or a loop."""
    own = isinstance(expression, Call) and expression.function.text in b.functions
    return own or is_control(expression, b.functions)


def call_function(b: Builder, scope: Scope, expression: Call, names: Sequence[str | None]) -> tuple[Value, ...]:
    """A call of one of the program's own functions, inlined, or a branch or loop."""
    if is_control(expression, b.functions):
        from tilec.frontends.tile.control import control  # its arguments are expressions again

        return control(b, scope, expression, names)
    function = b.functions[expression.function.text]
    args = [value(b, scope, a) for a in expression.args]
    if len(args) != len(function.inputs):
        text = f"'{expression.function.text}' takes {len(function.inputs)} arguments, {len(args)} given"
        raise error("TILE0106", text, expression.span)
    return b.inline(b, function, args, expression.span, names)


def _builtin(b: Builder, scope: Scope, expression: Call, name: str | None) -> Value:
    called = expression.function.text
    if called in table.GRADIENTS:
        raise gradients(expression.function.span, called)
    if called in table.TEST_DATA and b.testing:
        sizes = [integer(size(b, scope, a, "a size")) for a in expression.args]
        return random_data(b, sizes, expression.span, name)
    limits = table.arity(called)
    if limits is None:
        raise unknown_function(expression.function, table.known(), b.functions)
    args = [value(b, scope, a) for a in expression.args]
    if not limits[0] <= len(args) <= limits[1]:
        raise error("TILE0106", f"wrong number of arguments for '{called}'", expression.span)
    if called in table.ELEMENTWISE:
        return apply(b, table.ELEMENTWISE[called], args, expression, name)
    if called in table.CASTS:
        return cast(b, args[0], cast_target(b, called, args[1:], expression), expression.span, name)
    if called.startswith("assert_"):
        return check_assertion(b, args[0], expression)
    return SPECIALS[called](b, args, expression, name)


def cast_target(b: Builder, called: str, rest: Sequence[Value], expression: Call) -> DType:
    """The type of `as_int(x, 8)`; raises TILE0302."""
    widths = table.CASTS[called]
    if not rest:
        return BOOL
    at = expression.args[1].span
    width = b.constant(rest[0], at, f"the width of '{called}'")
    if width not in widths:
        text = f"'{called}' has no width of {width} bits"
        raise error("TILE0302", text, at, help=f"widths: {', '.join(map(str, widths))}")
    return widths[int(width)]
