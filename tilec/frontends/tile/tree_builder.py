"""LALR reductions -> syntax.py: one method per rule of grammar/tile.lark, called bottom-up while parsing.

Methods receive the values of a rule's parts: tokens (of `scanner.Token`), None for an optional part left out, and what
earlier reductions returned. The builder keeps no state, so one instance serves every parse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from lark import Transformer, v_args

from tilec.errors import Span
from tilec.frontends.tile import syntax as s
from tilec.frontends.tile.scanner import Token


@dataclass(frozen=True, slots=True)
class _Cells:
    """Left side of a contraction: `O[m, n : M, N]: f32`."""

    target: s.Ident
    indices: tuple[s.Expression, ...]
    sizes: tuple[s.Expression, ...] | None
    dtype: s.Ident | None
    span: Span


@dataclass(frozen=True, slots=True)
class _Tail:
    """What follows the body of a contraction."""

    constraints: tuple[s.Expression, ...]
    no_defract: Token | None
    default: s.Ident | None


def ident(token: Token) -> s.Ident:
    """The name of a NAME token; its first letter, or a sigil, says whether it is a tensor's or an index's."""
    sigil, text = token.text[0], token.text
    if sigil in "#$":
        return s.Ident(text[1:], "tensor" if sigil == "#" else "index", token.span)
    upper = text.lstrip("_")[:1].isupper()
    return s.Ident(text, "tensor" if upper else "index", token.span)


def _span(node: s.Expression) -> Span:
    return node.span


@v_args(inline=True)
class TreeBuilder(Transformer[Token, s.Program]):
    """The callbacks; see the module."""

    def start(self, *items: s.Function | s.Test) -> tuple[s.Function | s.Test, ...]:
        return items

    # functions

    def function(self, word: Token, *parts: Any) -> s.Function:
        name, generics, _, inputs, _, _, _, outputs, _, _, body, close, gradient = parts
        return s.Function(
            ident(name) if name else None,
            generics or (),
            inputs or (),
            outputs,
            body,
            word.doc,
            word.span.to(close.span),
            gradient,
        )

    def gradient(self, word: Token, _open: Token, body: tuple[s.Statement, ...], close: Token) -> s.Gradient:
        return s.Gradient(body, word.span.to(close.span))

    def test(self, word: Token, name: Token, _open: Token, body: tuple[s.Statement, ...], close: Token) -> s.Test:
        text = name.text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        return s.Test(text, body, word.span.to(close.span))

    def generics(self, *items: s.Generic) -> tuple[s.Generic, ...]:
        return items

    def generic(self, name: Token, category: s.Ident | None) -> s.Generic:
        return s.Generic(ident(name), category)

    def type(self, name: Token) -> s.Ident:
        return ident(name)

    def inputs(self, *items: s.Input) -> tuple[s.Input, ...]:
        return items

    def input(
        self, name: Token, dims: tuple[tuple[s.Ident | s.Number, ...], Token] | None, dtype: s.Ident | None
    ) -> s.Input:
        span = name.span
        if dims is not None:
            span = span.to(dims[1].span)
        if dtype is not None:
            span = span.to(dtype.span)
        return s.Input(ident(name), None if dims is None else dims[0], dtype, span)

    def dims(
        self, _open: Token, items: tuple[s.Ident | s.Number, ...] | None, close: Token
    ) -> tuple[tuple[s.Ident | s.Number, ...], Token]:
        return items or (), close

    def dim_list(self, *items: s.Ident | s.Number) -> tuple[s.Ident | s.Number, ...]:
        return items

    def ident(self, name: Token) -> s.Ident:
        return ident(name)

    def outputs(self, *items: s.Output) -> tuple[s.Output, ...]:
        return items

    def output(self, name: Token, dtype: s.Ident | None) -> s.Output:
        return s.Output(ident(name), dtype, name.span.to(dtype.span) if dtype else name.span)

    # statements

    def block(self, *statements: s.Statement) -> tuple[s.Statement, ...]:
        return statements

    def statement(self, *parts: Any) -> s.Statement:
        *lists, node = parts
        attributes = tuple(chain.from_iterable(lists))
        if not attributes:
            return node  # type: ignore[no-any-return]
        if isinstance(node, s.Check):
            return replace(node, span=attributes[0].span.to(node.span))
        return replace(node, attributes=attributes, span=attributes[0].span.to(node.span))  # type: ignore[no-any-return]

    def attributes(self, *items: s.Attribute) -> tuple[s.Attribute, ...]:
        return items

    def attribute(self, name: Token, args: tuple[Token, ...] | None) -> s.Attribute:
        if args is None:
            return s.Attribute(ident(name), (), name.span)
        texts = tuple(token.text for token in args[1:-1] if token.type != "COMMA")
        return s.Attribute(ident(name), texts, name.span.to(args[-1].span))

    def attribute_args(self, *parts: Token | None) -> tuple[Token, ...]:
        return tuple(token for token in parts if token is not None)

    def assign(self, name: Token, value: s.Expression) -> s.Assign:
        return s.Assign((ident(name),), value, (), name.span.to(_span(value)))

    def assign_several(self, *parts: Any) -> s.Assign:
        first, names, _, _, value = parts
        return s.Assign(names, value, (), first.span.to(value.span))

    def names(self, *names: Token) -> tuple[s.Ident, ...]:
        return tuple(map(ident, names))

    def check(self, call: s.Call) -> s.Check:
        return s.Check(call, call.span)

    def contract(self, *parts: Any) -> s.Contract:
        cells, _, (aggregation, accumulator), _, body, close, tail = parts
        return _contract(cells, aggregation, accumulator, body, tail, close.span)

    def update(
        self, cells: _Cells, aggregation: s.Aggregation, body: s.Expression, tail: tuple[_Tail, Span | None]
    ) -> s.Contract:
        return _contract(cells, aggregation, None, body, tail)

    def define(self, cells: _Cells, body: s.Expression, tail: tuple[_Tail, Span | None]) -> s.Contract:
        return _contract(cells, "plain", None, body, tail)

    def cells(self, *parts: Any) -> _Cells:
        name, _, indices, sizes, close, dtype = parts
        span = name.span.to(dtype.span if dtype else close.span)
        if indices is None and sizes is None:
            sizes = ()  # O[]: a result of rank 0 has no size to be left out
        return _Cells(ident(name), indices or (), sizes or (() if not indices else None), dtype, span)

    def sizes(self, sizes: tuple[s.Expression, ...] | None) -> tuple[s.Expression, ...]:
        return sizes or ()

    def aggregation(self, aggregation: s.Aggregation, dtype: s.Ident | None) -> tuple[s.Aggregation, s.Ident | None]:
        return aggregation, dtype

    def aggregation_operator(self, sign: Token) -> str:
        return sign.text

    def update_operator(self, sign: Token) -> str:
        return sign.text[0]

    def tail(self, constraints: tuple[s.Expression, ...], *parts: Any) -> tuple[_Tail, Span | None]:
        no_defract, default = parts
        last = default or no_defract or (constraints[-1] if constraints else None)
        return _Tail(constraints, no_defract, default), last.span if last else None

    def constraints(self, *items: s.Expression) -> tuple[s.Expression, ...]:
        return items

    def default(self, _word: Token, name: Token) -> s.Ident:
        return ident(name)

    def select(self, condition: s.Expression, then: s.Expression) -> s.Ternary:
        return s.Ternary(condition, then, None, _span(condition).to(_span(then)))

    # expressions

    def exprs(self, *items: s.Expression) -> tuple[s.Expression, ...]:
        return items

    def ternary(self, condition: s.Expression, then: s.Expression, orelse: s.Expression) -> s.Ternary:
        return s.Ternary(condition, then, orelse, _span(condition).to(_span(orelse)))

    def binary(self, left: s.Expression, sign: Token, right: s.Expression) -> s.Binary:
        return s.Binary(sign.text, left, right, _span(left).to(_span(right)), sign.span)

    def prefix(self, sign: Token, operand: s.Expression) -> s.Unary:
        return s.Unary(sign.text, operand, sign.span.to(_span(operand)), sign.span)  # type: ignore[arg-type]

    def integer(self, token: Token) -> s.Number:
        return s.Number(int(token.text), token.span)

    def real(self, token: Token) -> s.Number:
        return s.Number(float(token.text), token.span)

    def name(self, token: Token) -> s.Name:
        return s.Name(ident(token))

    def scaled(self, factor: Token, name: Token) -> s.Binary:
        number, variable = s.Number(int(factor.text), factor.span), s.Name(ident(name))
        return s.Binary("*", number, variable, factor.span.to(name.span), factor.span)

    def call(self, name: Token, _open: Token, args: tuple[s.Expression, ...] | None, close: Token) -> s.Call:
        return s.Call(ident(name), args or (), name.span.to(close.span))

    def access(self, name: Token, _open: Token, indices: tuple[s.Expression, ...] | None, close: Token) -> s.Index:
        return s.Index(ident(name), indices or (), name.span.to(close.span))

    def parenthesis(self, opening: Token, inner: s.Expression, close: Token) -> s.Expression:
        match inner:
            case s.Binary() | s.Unary() | s.Ternary():
                return replace(inner, span=opening.span.to(close.span))
        return inner

    def group(self, opening: Token, *parts: Any) -> s.Group:
        *rest, close = parts
        items = (rest[0], *rest[2]) if rest else ()
        return s.Group(items, opening.span.to(close.span))

    def list(self, opening: Token, items: tuple[s.Expression, ...] | None, close: Token) -> s.List:
        return s.List(items or (), opening.span.to(close.span))


def _contract(
    cells: _Cells,
    aggregation: s.Aggregation,
    accumulator: s.Ident | None,
    body: s.Expression,
    tail: tuple[_Tail, Span | None],
    end: Span | None = None,
) -> s.Contract:
    rest, last = tail
    return s.Contract(
        target=cells.target,
        indices=cells.indices,
        sizes=cells.sizes,
        dtype=cells.dtype,
        aggregation=aggregation,
        accumulator=accumulator,
        body=body,
        constraints=rest.constraints,
        no_defract=rest.no_defract is not None,
        default=rest.default,
        attributes=(),
        span=cells.span.to(last or end or _span(body)),
        body_span=_span(body),
    )
