"""Floor 1: scalar expressions, shared by the bodies of Graph contractions and the values of Loops.

    Expr ::= Const(value, dtype)                 a number; its dtype is final
           | Var(name, dtype)                    a scalar bound elsewhere: a template parameter or a Loops `Let`
           | IndexValue(form, dtype)             the value of an affine form in index variables
           | Read(access, dtype)                 an element of a tensor (Graph) or a buffer (Loops)
           | Call(op, args, dtype)               a builtin of `tilec.builtins`, homogeneous in dtype

An `Access` names a tensor, one affine index per axis and what happens outside: `skip` means "no term" in a Graph
contraction; in Loops every access is in bounds, and `skip` is the only mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from tilec.affine import Affine, Coef
from tilec.dtypes import DType

Boundary = Literal["skip", "clamp", "wrap", "reflect", "value"]


@dataclass(frozen=True, slots=True)
class Const:
    """A number. bool and integer values are Python ints in range; floats are Python floats (NaN and inf allowed)."""

    value: int | float
    dtype: DType


@dataclass(frozen=True, slots=True)
class Var:
    name: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class IndexValue:
    """The value of an affine form, converted to `dtype` (integral forms only)."""

    form: Affine
    dtype: DType


@dataclass(frozen=True, slots=True)
class Access:
    """`tensor[indices]`. An index is affine, or an Expr whose value is an integer (data-dependent; produced later).

    `boundary` is per access; with `value`, reads outside give `fill`.
    """

    tensor: str
    indices: tuple[Affine | Expr, ...]
    boundary: Boundary = "skip"
    fill: Const | None = None


@dataclass(frozen=True, slots=True)
class Read:
    access: Access
    dtype: DType


@dataclass(frozen=True, slots=True)
class Call:
    op: str
    args: tuple[Expr, ...]
    dtype: DType


Expr: TypeAlias = Const | Var | IndexValue | Read | Call


def read(tensor: str, indices: tuple[Affine | Expr, ...], dtype: DType) -> Read:
    """An element of `tensor`, boundary `skip`."""
    return Read(Access(tensor, indices), dtype)


def transform(expr: Expr, leaf: Callable[[Expr], Expr]) -> Expr:
    """Rebuilds bottom-up with `leaf` applied to every node; returns the same object where nothing changed.

    A node object that occurs several times is visited once and stays shared: expressions are DAGs.
    """
    done: dict[int, Expr] = {}

    def rebuild(node: Expr) -> Expr:
        if isinstance(node, Call):
            args = tuple(done[id(a)] for a in node.args)
            if any(a is not b for a, b in zip(args, node.args)):
                return Call(node.op, args, node.dtype)
        elif isinstance(node, Read):
            indices = tuple(i if isinstance(i, Affine) else done[id(i)] for i in node.access.indices)
            if any(a is not b for a, b in zip(indices, node.access.indices)):
                return Read(replace(node.access, indices=indices), node.dtype)
        return node

    for node in postorder(expr):
        done[id(node)] = leaf(rebuild(node))
    return done[id(expr)]


def walk(expr: Expr) -> Iterator[Expr]:
    """Every node object once, all its parents before it, left before right; data-dependent indices included.

    Linear in the number of node objects, however often they are shared: the reverse of a postorder from the right.
    """
    return reversed(_after_parts(expr, children))


def postorder(expr: Expr, parts: Callable[[Expr], Sequence[Expr]] | None = None) -> list[Expr]:
    """Every node object once, after all its `parts` (`children`), which come in their order.

    Without recursion: expressions may be deeper than Python's stack.
    """
    parts = parts or children
    return _after_parts(expr, lambda e: parts(e)[::-1])


def _after_parts(expr: Expr, parts: Callable[[Expr], Sequence[Expr]]) -> list[Expr]:
    """Every node object once, after all its parts, the last of which come first."""
    order: list[Expr] = []
    seen: set[int] = set()
    stack: list[Expr | None] = [expr]  # None: all parts of the node below it are done
    while stack:
        node = stack.pop()
        if node is None:
            order.append(stack.pop())  # type: ignore[arg-type]  # a node
        elif id(node) not in seen:
            seen.add(id(node))
            if found := parts(node):
                stack += (node, None, *found)
            else:
                order.append(node)
    return order


def operands(expr: Expr) -> Sequence[Expr]:
    """What is computed before a node, data-dependent indices left aside."""
    return expr.args if isinstance(expr, Call) else ()


def written_size(expr: Expr) -> int:
    """Terms of the expression as it is written: a shared one counts as often as it is used."""
    sizes: dict[int, int] = {}
    for e in postorder(expr):
        sizes[id(e)] = 1 + sum(sizes[id(child)] for child in children(e))
    return sizes[id(expr)]


def levels(expr: Expr) -> int:
    """How deep the expression nests; 1 without parts."""
    known: dict[int, int] = {}
    for e in postorder(expr):
        known[id(e)] = 1 + max((known[id(child)] for child in children(e)), default=0)
    return known[id(expr)]


def children(expr: Expr) -> Sequence[Expr]:
    """Operands of a call; data-dependent indices of a read."""
    if isinstance(expr, Call):
        return expr.args
    if isinstance(expr, Read):
        return [i for i in expr.access.indices if not isinstance(i, Affine)]
    return ()


def reads(expr: Expr) -> list[Read]:
    """All tensor reads of an expression, left to right, a shared one once."""
    return [e for e in walk(expr) if isinstance(e, Read)]


def moved(expr: Expr) -> Read | None:
    """The read whose value the expression is, unchanged; None where something is computed."""
    while isinstance(expr, Call) and expr.op == "ident":
        (expr,) = expr.args
    return expr if isinstance(expr, Read) else None


def substitute_indices(expr: Expr, values: Mapping[str, Affine | Coef]) -> Expr:
    """Replaces index variables in every access and index value."""

    def leaf(e: Expr) -> Expr:
        if isinstance(e, IndexValue):
            form = e.form.substitute(values)
            return e if form is e.form else IndexValue(form, e.dtype)
        if isinstance(e, Read):
            indices = tuple(i.substitute(values) if isinstance(i, Affine) else i for i in e.access.indices)
            if all(a is b for a, b in zip(indices, e.access.indices)):
                return e
            return Read(replace(e.access, indices=indices), e.dtype)
        return e

    return transform(expr, leaf)


def substitute_vars(expr: Expr, values: Mapping[str, Expr]) -> Expr:
    """Replaces scalar variables: instantiates a template."""
    return transform(expr, lambda e: values.get(e.name, e) if isinstance(e, Var) else e)


def variables(expr: Expr) -> frozenset[str]:
    """Index variables that occur in accesses and index values."""
    names: set[str] = set()
    for e in walk(expr):
        if isinstance(e, IndexValue):
            names |= e.form.variables()
        elif isinstance(e, Read):
            for i in e.access.indices:
                if isinstance(i, Affine):
                    names |= i.variables()
    return frozenset(names)
