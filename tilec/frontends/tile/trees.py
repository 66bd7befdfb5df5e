"""Questions about syntax trees, answered without recursion."""

from __future__ import annotations

from collections.abc import Container, Iterator

from tilec.frontends.tile.forms import children, walk
from tilec.frontends.tile.functions import CONTROL
from tilec.frontends.tile.syntax import Assign, Call, Check, Contract, Expression, Group, Ident, Index, Name, Statement

__all__ = [
    "accesses",
    "children",
    "expressions",
    "gradient_name",
    "has_index",
    "has_names",
    "index_names",
    "is_control",
    "members",
    "read_names",
    "targets",
    "walk",
]


def gradient_name(name: str) -> str:
    """`X_grad`, as the gradient of X is called."""
    return f"{name}_grad"


def is_control(expression: Expression, functions: Container[str]) -> bool:
    """Whether this is a branch or a loop: `cond` is one where functions follow the condition."""
    if not isinstance(expression, Call) or expression.function.text in functions:
        return False
    name, args = expression.function.text, expression.args
    return name in CONTROL and (name != "cond" or (len(args) > 2 and _is_index(args[1])))


def _is_index(expression: Expression) -> bool:
    return isinstance(expression, Name) and expression.ident.kind == "index"


def members(expression: Expression) -> tuple[Expression, ...]:
    """The values of a group; a single one needs no parentheses."""
    return expression.items if isinstance(expression, Group) else (expression,)


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


def accesses(statement: Statement) -> Iterator[Index]:
    """The elements that a statement reads."""
    return (node for e in expressions(statement) for node in walk(e) if isinstance(node, Index))


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
