"""Syntax tree of the Tile language, with positions. Only the text frontend knows it.

    Program    ::= functions, tests
    Function   ::= name?, generics, inputs, outputs, body, gradient?
    Statement  ::= Assign(targets, value)                      elementwise; several targets for several results
                 | Contract(target, ...)                       a contraction, or the plain definition O[i, j] = A[j, i]
                 | Check(call)                                 an expression statement of a test: assert_close(...)
    Expression ::= Number | Name | Index | Call | Unary | Binary | Ternary | List | Group

Every node carries its Span. Indices, sizes, constraints and bodies are all plain Expressions here; sorting out which is
legal where is the elaborator's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from tilec.errors import Source, Span

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(frozen=True, slots=True)
class Ident:
    """A name as written (sigil dropped). `kind`: `tensor` upper-case or #name, `index` lower-case or $name."""

    text: str
    kind: Literal["tensor", "index"]
    span: Span


@dataclass(frozen=True, slots=True)
class Number:
    """An integer (`value` int) or a float literal (`value` float)."""

    value: int | float
    span: Span


@dataclass(frozen=True, slots=True)
class Name:
    ident: Ident

    @property
    def span(self) -> Span:
        return self.ident.span


@dataclass(frozen=True, slots=True)
class Index:
    """`A[i, j]`; `S[]` has no indices."""

    tensor: Ident
    indices: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    function: Ident
    args: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Unary:
    op: Literal["-", "~", "!", "+"]
    operand: Expression
    span: Span
    op_span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    """op: + - * / % ^ | & == != < <= > >= << >>"""

    op: str
    left: Expression
    right: Expression
    span: Span
    op_span: Span


@dataclass(frozen=True, slots=True)
class Ternary:
    """`condition ? then : orelse`; without `orelse` only as the whole body of a contraction."""

    condition: Expression
    then: Expression
    orelse: Expression | None
    span: Span


@dataclass(frozen=True, slots=True)
class List:
    """Nested data of a test: [[1, 2], [3, 4]]."""

    items: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Group:
    """Several values, or none, as one argument of a loop: `(H, C)`."""

    items: tuple[Expression, ...]
    span: Span


Expression: TypeAlias = Number | Name | Index | Call | Unary | Binary | Ternary | List | Group

Aggregation = Literal["+", "*", ">", "<", "=", "plain"]


@dataclass(frozen=True, slots=True)
class Attribute:
    name: Ident
    args: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Assign:
    targets: tuple[Ident, ...]
    value: Expression
    attributes: tuple[Attribute, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Contract:
    """`target[indices : sizes] : type = aggregation:accumulator(body), constraints no_defract default D`.

    aggregation `plain` is `O[i, j] = body` without parentheses-with-operator: a definition, like `=`.
    `sizes` is None where left out; () for a rank-0 output.
    """

    target: Ident
    indices: tuple[Expression, ...]
    sizes: tuple[Expression, ...] | None
    dtype: Ident | None
    aggregation: Aggregation
    accumulator: Ident | None
    body: Expression
    constraints: tuple[Expression, ...]
    no_defract: bool
    default: Ident | None
    attributes: tuple[Attribute, ...]
    span: Span
    body_span: Span


@dataclass(frozen=True, slots=True)
class Check:
    call: Call
    span: Span


Statement: TypeAlias = Assign | Contract | Check


@dataclass(frozen=True, slots=True)
class Generic:
    """`T` or `T: float` in function dot<T: float>(...)."""

    name: Ident
    category: Ident | None


@dataclass(frozen=True, slots=True)
class Input:
    """`A[M, K]: f32`; `dims` is None for a bare name (a tensor of any rank, or a scalar)."""

    name: Ident
    dims: tuple[Ident | Number, ...] | None
    dtype: Ident | None
    span: Span


@dataclass(frozen=True, slots=True)
class Output:
    name: Ident
    dtype: Ident | None
    span: Span


@dataclass(frozen=True, slots=True)
class Gradient:
    """`gradient { ... }` behind a function: its own derivative."""

    body: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Function:
    """`name` is None for the one anonymous function of a 0.7 program."""

    name: Ident | None
    generics: tuple[Generic, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    body: tuple[Statement, ...]
    doc: str | None
    span: Span
    gradient: Gradient | None = None


@dataclass(frozen=True, slots=True)
class Test:
    name: str
    body: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Program:
    source: Source
    functions: tuple[Function, ...]
    tests: tuple[Test, ...]

    def _repr_html_(self) -> str:
        """The coloured text, for notebooks."""
        from tilec.highlight import to_html

        return to_html(self.source.text)

    def __rich__(self) -> Text:
        """The coloured text, for `rich.print`."""
        from tilec.highlight import to_rich

        return to_rich(self.source.text)
