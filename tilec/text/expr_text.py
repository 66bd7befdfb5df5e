"""Floor 3: text of dtypes, scalar expressions, accesses and monoids.

    expr   ::= const | name [":" dtype] | "$(" affine ")" [":" dtype] | access [":" dtype] | call
    const  ::= ["-"] (number | "inf" | "nan") [":" dtype]                        2.5   -inf:f16   1:bool
    access ::= name "[" {index ","} [";" boundary [const]] "]"                   A[2*i + k - 1; value 0.0]
    index  ::= affine | "@" expr                                                 W[@Idx[i], j]
    call   ::= name ["." dtype] "(" {expr ","} ")"                               add.f32(A[i], 1.0)
    monoid ::= name ":" dtype                                                    sum:f32, one of the language's
             | "monoid" name "(" {const ","} ")" "(" {expr ","} ")"              identities, then combine functions

A dtype is left out where it is the expected one. A read expects the dtype its tensor was declared with, a variable the
one it was bound with; everything else what its surroundings imply (`_argument_dtype`). Printer and parser follow the
same rules, so the text is unambiguous. Casts always show theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from tilec.affine import Affine
from tilec.dtypes import BOOL, BY_NAME, I32, DType
from tilec.expr import Access, Boundary, Call, Const, Expr, IndexValue, Read, Var
from tilec.monoid import STANDARD, Monoid, standard
from tilec.text.affine_text import AffineParser, print_affine
from tilec.text.lexer import name_text

BOUNDARIES: tuple[str, ...] = get_args(Boundary)


@dataclass(frozen=True, slots=True)
class Scope:
    """Dtypes of the tensors (or buffers) and scalar variables in sight."""

    tensors: Mapping[str, DType] = field(default_factory=dict)
    scalars: Mapping[str, DType] = field(default_factory=dict)

    def with_tensor(self, name: str, dtype: DType) -> Scope:
        return Scope({**self.tensors, name: dtype}, self.scalars)

    def with_scalar(self, name: str, dtype: DType) -> Scope:
        return Scope(self.tensors, {**self.scalars, name: dtype})


EMPTY = Scope()


def _argument_dtype(op: str, dtype: DType, position: int, first: DType | None) -> DType | None:
    """The dtype expected of an argument of a call; `first` is that of argument 0 once it is known."""
    if op.startswith("cmp_"):
        return first
    if op in ("cast", "bitcast"):
        return None
    return BOOL if op in ("select", "cond") and position == 0 else dtype


def number_text(value: int | float) -> str:
    """Floats as `repr` gives them, so always with a point or an exponent; integers without."""
    return repr(value) if isinstance(value, float) else str(int(value))


def print_expr(expr: Expr, scope: Scope = EMPTY, expected: DType | None = None) -> str:
    """The text of an expression; dtypes that follow from `scope` and `expected` are left out."""
    match expr:
        case Const(value, dtype):
            return number_text(value) + _suffix(dtype, expected)
        case Var(name, dtype):
            return name_text(name) + _suffix(dtype, scope.scalars.get(name, expected))
        case IndexValue(form, dtype):
            return f"$({print_affine(form)})" + _suffix(dtype, expected)
        case Read(access, dtype):
            return print_access(access, scope) + _suffix(dtype, scope.tensors.get(access.tensor, expected))
        case Call(op, args, dtype):
            known = dtype == expected and op not in ("cast", "bitcast")
            texts: list[str] = []
            for arg in args:  # here, in a plain loop, for one frame of Python's stack for every level of nesting
                wanted = _argument_dtype(op, dtype, len(texts), args[0].dtype if texts else None)
                texts.append(print_expr(arg, scope, wanted))
            return f"{operation_text(op, None if known else dtype)}({', '.join(texts)})"


def operation_text(op: str, dtype: DType | None) -> str:
    """`add` or `add.f32`."""
    return name_text(f"{op}.{dtype}" if dtype else op)


def _suffix(dtype: DType, expected: DType | None) -> str:
    return "" if dtype == expected else f":{dtype}"


def print_access(access: Access, scope: Scope = EMPTY) -> str:
    fill = access.fill
    text = print_indices(access.indices, scope)
    if access.boundary != "skip" or fill is not None:
        value = "" if fill is None else " " + print_expr(fill, expected=scope.tensors.get(access.tensor))
        text += f"; {access.boundary}{value}"
    return f"{name_text(access.tensor)}[{text}]"


def print_indices(indices: Sequence[Affine | Expr], scope: Scope) -> str:
    return ", ".join(print_affine(i) if isinstance(i, Affine) else "@" + print_expr(i, scope, I32) for i in indices)


def print_monoid(monoid: Monoid) -> str:
    dtype = monoid.identity[0].dtype if monoid.identity else I32
    # by text, not `==`, for -0.0 == 0.0 and an identity of -0.0 is not the standard one
    if monoid.name in STANDARD and repr(monoid) == repr(standard(monoid.name, dtype)):
        return f"{monoid.name}:{dtype}"
    scope = monoid_scope(monoid.identity)
    identity = ", ".join(print_expr(c) for c in monoid.identity)
    combine = ", ".join(print_expr(e, scope, c.dtype) for e, c in zip(monoid.combine, monoid.identity, strict=True))
    return f"monoid {name_text(monoid.name)}({identity}) ({combine})"


def monoid_scope(identity: Sequence[Const]) -> Scope:
    """The variables of combine functions: `a0 ..`, the state, and `b0 ..`, the new element."""
    return Scope(scalars={f"{v}{i}": c.dtype for i, c in enumerate(identity) for v in "ab"})


def parse_expr(
    text: str,
    name: str = "<expr>",
    scope: Scope = EMPTY,
    expected: DType | None = None,
) -> Expr:
    """Inverse of `print_expr` with the same scope and expectation. Raises TILE0601, TILE0411."""
    parser = ExprParser(text, name)
    expr = parser.expr(scope, expected)
    parser.end()
    return expr


def split_operation(name: str) -> tuple[str, DType | None]:
    """Inverse of `operation_text`. No operation has a dtype for the last part of its own name."""
    op, _, last = name.rpartition(".")
    return (op, BY_NAME[last]) if op and last in BY_NAME else (name, None)


class ExprParser(AffineParser):
    """Adds dtypes, expressions and monoids."""

    def dtype(self) -> DType:
        token = self.token
        found = BY_NAME.get(token.text) if token.kind == "name" else None
        if found is None:
            self.expected("an element type")
        self.advance()
        return found

    def _typed(self, expected: DType | None) -> DType:
        """An optional `: dtype`."""
        if self.accept(":"):
            return self.dtype()
        if expected is None:
            self.expected("':' and an element type, which nothing implies here")
        return expected

    def number(self) -> int | float:
        """An optionally signed number; with a point or an exponent, or as `inf` or `nan`, a float."""
        negative = self.accept("-")
        if self.accept("nan"):
            return math.nan
        value = math.inf if self.accept("inf") else self._unsigned()
        return -value if negative else value

    def _unsigned(self) -> int | float:
        token = self.token
        if token.kind != "number":
            self.expected("a number")
        if token.text.isdecimal():
            return self.natural()
        self.advance()
        value = float(token.text)
        if math.isinf(value):
            self.fail("number is too large", token)
        return value

    def const(self, expected: DType | None = None) -> Const:
        token, value = self.token, self.number()
        dtype = self._typed(expected)
        fits = isinstance(value, float) or dtype.is_float or dtype.min <= value <= dtype.max
        if not fits or (isinstance(value, float) and not dtype.is_float):
            self.fail(f"{value} is not a value of {dtype}", token)
        return Const(value, dtype)

    def expr(self, scope: Scope, expected: DType | None) -> Expr:
        token = self.token
        if self.accept("$"):
            self.expect("(")
            form = self.affine()
            self.expect(")")
            return IndexValue(form, self._typed(expected))
        if token.kind == "number" or any(map(self.at, ("-", "inf", "nan"))):
            return self.const(expected)
        name = self.name("an expression")
        if self.at("("):
            return self._call(name, scope, expected)
        if self.at("["):
            access = self.access(name, scope)
            return Read(access, self._typed(scope.tensors.get(name, expected)))
        return Var(name, self._typed(scope.scalars.get(name, expected)))

    def _call(self, name: str, scope: Scope, expected: DType | None) -> Call:
        op, dtype = split_operation(name)
        dtype = dtype or expected
        if dtype is None:
            self.fail(f"operation '{op}' needs a type here: write {op}.TYPE(...)", self.tokens[self.position - 1])
        self.expect("(")
        args: list[Expr] = []
        with self.nested():
            while not self.accept(")"):
                first = args[0].dtype if args else None
                args.append(self.expr(scope, _argument_dtype(op, dtype, len(args), first)))
                if not self.at(")"):
                    self.expect(",")
        return Call(op, tuple(args), dtype)

    def access(self, tensor: str, scope: Scope) -> Access:
        """The part after the tensor's name."""
        self.expect("[")
        indices = self._indices(scope)
        boundary, fill = "skip", None
        if self.accept(";"):
            boundary = self.word(BOUNDARIES, "a boundary mode")
            fill = None if self.at("]") else self.const(scope.tensors.get(tensor))
        self.expect("]")
        return Access(tensor, indices, boundary, fill)  # type: ignore[arg-type]  # one of BOUNDARIES

    def _indices(self, scope: Scope) -> tuple[Affine | Expr, ...]:
        found: list[Affine | Expr] = []
        with self.nested():
            while not (self.at("]") or self.at(";")):
                found.append(self.expr(scope, I32) if self.accept("@") else self.affine())
                if not self.accept(","):
                    break
        return tuple(found)

    def monoid(self) -> Monoid:
        if not self.accept("monoid"):
            name = self.word(STANDARD, "an aggregation")
            self.expect(":")
            return standard(name, self.dtype())
        name = self.name()
        self.expect("(")
        identity = self.items(self.const, ")")
        self.expect("(")
        scope, combine = monoid_scope(identity), []
        for c in identity:
            combine.append(self.expr(scope, c.dtype))
            self.accept(",")
        self.expect(")")
        return Monoid(name, identity, tuple(combine))
