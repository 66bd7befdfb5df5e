"""Questions about syntax trees, answered without recursion."""

from __future__ import annotations

from collections.abc import Iterator

from tilec.frontends.tile.forms import children, walk
from tilec.frontends.tile.syntax import Assign, Call, Check, Contract, Expression, Ident, Index, Name, Statement

__all__ = ["children", "expressions", "has_index", "has_names", "index_names", "read_names", "targets", "walk"]


def index_names(expression: Expression) -> Iterator[Ident]:
    """The index variables that occur in an expression."""
    for node in walk(expression):
        if isinstance(node, Name) and node.ident.kind == "index":
            yield node.ident


def has_index(expression: Expression) -> bool:
    return next(index_names(expression), None) is not None


def has_names(expression: Expression) -> bool:
    """Whether anything but number literals occurs."""
    return any(isinstance(node, Name | Index | Call) for node in walk(expression))


def targets(statement: Statement) -> tuple[Ident, ...]:
    """Names that a statement binds."""
    match statement:
        case Assign():
            return statement.targets
        case Contract():
            return (statement.target,)
        case Check():
            return ()


def read_names(statement: Statement) -> frozenset[str]:
    """Tensors and sizes that a statement reads."""
    default = statement.default if isinstance(statement, Contract) else None
    found = {default.text} if default is not None else set()
    for node in (n for e in expressions(statement) for n in walk(e)):
        match node:
            case Name(ident) if ident.kind == "tensor":
                found.add(ident.text)
            case Index(tensor):
                found.add(tensor.text)
    return frozenset(found)


def expressions(statement: Statement) -> Iterator[Expression]:
    """The expressions of a statement, in the order of the text."""
    match statement:
        case Assign():
            yield statement.value
        case Contract():
            yield from statement.indices
            yield from statement.sizes or ()
            yield statement.body
            yield from statement.constraints
        case Check():
            yield statement.call
