"""Floor 5: `tilec.contract`: one statement of the Tile language, as text or written with index objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tilec.affine import Affine, Size
from tilec.errors import Diagnostic, Source, TileError, error
from tilec.expr import Expr, IndexValue, Read, reads, walk
from tilec.graph import Constraint
from tilec.monoid import STANDARD
from tilec.numpy.axes import shape_of
from tilec.rewrite import rename_reads
from tilec.tracing.contraction import contraction
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.index import Condition, Element, as_form
from tilec.tracing.place import located
from tilec.tracing.programs import call_program
from tilec.tracing.tensor import Tensor

_TARGET = re.compile(r"\s*(?:\[\[.*?\]\]\s*)*#?([A-Za-z_]\w*'?)\s*(?=[\[=:])", re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_SIGNS = {"+": "sum", "*": "prod", ">": "max", "<": "min", "=": "assign"}
_MONOIDS: dict[str, str] = {**_SIGNS, **{str(name): str(name) for name in STANDARD}}


def contract(
    what: str | Element,
    /,
    *,
    out: Any = None,
    sizes: Any = None,
    by: str = "+",
    where: Any = (),
    default: Any = None,
    **operands: Any,
) -> Any:
    """One contraction: a statement in Tile with its operands by name, or an expression of elements.

    In Tile, `contract("C[m, n] = +(A[m, k] * B[k, n])", A=a, B=b)`; several statements are separated by semicolons, and
    the last one's target is the result.

    With index objects, `contract(a[m, k] * b[k, n], out=(m, n))`. out: index expressions of the result; sizes: of the
    result's axes, needed where an index is not a bare variable that alone names an axis of an operand; by: one of
    `+ * > < =`, or sum, prod, max, min, assign; where: conditions such as `i - j < 3`, meaning 0 <= i - j < 3; default:
    a tensor for the cells that no term reaches.

    Inside a function that is being traced the result is a tensor; of arrays it is computed at once, compiled once per
    signature. Raises TileError with the codes of the language.

    >>> import numpy as np, tilec
    >>> i, j = tilec.index("i j")
    >>> a = np.arange(6).reshape(2, 3)
    >>> tilec.contract("S[j] = +(A[i, j])", A=a).tolist()
    [3, 5, 7]
    >>> tilec.contract(tilec.at(a)[i, j], out=(j,)).tolist()
    [3, 5, 7]
    """
    with located():
        if isinstance(what, Element):
            if operands:
                raise error(
                    "TILE0502", f"elements have their operands already; {next(iter(operands))!r} is one too many"
                )
            return _elements(what, _all(out), sizes, by, _all(where), default)
        if not isinstance(what, str):
            text = f"a contraction is text or an expression of elements, not an object of type {type(what).__name__}"
            raise error(
                "TILE0511", text, help="an element is a tensor at index objects: t[i, j], or tilec.at(array)[i, j]"
            )
        if (out, sizes, by, where, default) != (None, None, "+", (), None):
            raise error("TILE0511", "out, sizes, by, where and default go with elements; text says all that itself")
        return _of_text(operands, text=what)


def _all(given: Any) -> tuple[Any, ...]:
    return () if given is None else tuple(given) if isinstance(given, tuple | list) else (given,)


@operation
def _of_text(operands: Mapping[str, Any], /, text: str) -> Any:
    """A statement of the language, as the only one of a function of the operands."""
    text = text.strip().removesuffix(";")
    statements = [s for s in _COMMENT.sub(" ", text).split(";") if s.strip()]
    target = _TARGET.match(statements[-1]) if statements else None
    if target is None:
        help = "write it like C[m, n] = +(A[m, k] * B[k, n])"
        raise error("TILE0511", f"a contraction begins with the tensor that it defines: {text!r}", help=help)
    program = f"function ({', '.join(operands)}) -> ({target[1]}) {{\n{text};\n}}\n"
    try:
        return call_program(Source("<contract>", program), None, operands)[0]
    except TileError as found:
        raise TileError(map(_helped, found.diagnostics)) from found.__cause__


def _helped(problem: Diagnostic) -> Diagnostic:
    """Where a name is not known: what the names are."""
    if problem.code != "TILE0101" or problem.help is not None:
        return problem
    return replace(problem, help="operands are given by name, contract(text, A=a); sizes are numbers, or left out")


# elements


@dataclass(frozen=True, slots=True, eq=False)
class _Statement:
    """What decides the code of a contraction of elements, with operands named by their numbers."""

    body: Expr
    out: tuple[Affine, ...]
    sizes: tuple[Size, ...] | None
    monoid: str
    constraints: tuple[Constraint, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Statement) and repr(self) == repr(other)  # which tells -0.0 from 0.0

    def __hash__(self) -> int:
        return hash(repr(self))


def _elements(what: Element, out: tuple[Any, ...], sizes: Any, by: str, where: tuple[Any, ...], default: Any) -> Any:
    names = list(dict.fromkeys(r.access.tensor for r in reads(what.typed.expr)))
    body = rename_reads(what.typed.expr, {name: f"{k}" for k, name in enumerate(names)})
    forms = [as_form(f) for f in out]
    if None in forms:
        raise error("TILE0205", f"an index of the result is affine in index objects, not {out[forms.index(None)]!r}")
    if by not in _MONOIDS:
        raise error("TILE0511", f"there is no aggregation {by!r}", help=f"one of {', '.join(_MONOIDS)}")
    if wrong := [w for w in where if not isinstance(w, Condition)]:
        raise error("TILE0215", f"a condition is written like i - j < 3, not {wrong[0]!r}")
    statement = _Statement(
        body,
        tuple(f for f in forms if f is not None),
        None if sizes is None else shape_of(sizes),
        _MONOIDS[by],
        tuple(w.constraint for w in where),
    )
    return _of_elements([what.operands[n] for n in names], default, statement=statement)


@operation
def _of_elements(operands: Sequence[Any], default: Any, /, statement: _Statement) -> Any:
    tensors = [lift(t) for t in operands]
    shape = statement.sizes
    if shape is None:
        shape = tuple(_size(form, statement.body, tensors) for form in statement.out)
    if len(shape) != len(statement.out):
        raise error("TILE0204", f"{len(statement.out)} indices of the result and {len(shape)} sizes")
    body = rename_reads(statement.body, {f"{k}": scope().name_of(t) for k, t in enumerate(tensors)})
    filled = None if default is None else as_dtype(default, body.dtype)
    return contraction(
        statement.monoid,
        _indices(statement),
        body,
        statement.out,
        shape,
        constraints=statement.constraints,
        default=filled,
        stem="contract",
    )


def _indices(statement: _Statement) -> tuple[str, ...]:
    """Index variables in the order of their first occurrence: the output's, then the body's, then the rest."""
    forms = list(statement.out)
    for e in walk(statement.body):
        match e:
            case Read(access):
                forms += [f for f in access.indices if isinstance(f, Affine)]
            case IndexValue(form):
                forms.append(form)
            case _:
                pass
    forms += [c.form for c in statement.constraints]
    return tuple(dict.fromkeys(name for form in forms for name, _ in form.terms))


def _size(form: Affine, body: Expr, tensors: Sequence[Tensor]) -> Size:
    """The size of the axes that the index alone names; raises TILE0207 for none, TILE0208 for different ones."""
    found: dict[Size, None] = {}
    for r in reads(body):
        for used, size in zip(r.access.indices, tensors[int(r.access.tensor)].type.shape, strict=True):
            if form.as_variable() is not None and used == form:
                found[size] = None
    if not found:
        help = "give the sizes: contract(..., out=..., sizes=...)"
        raise error("TILE0207", f"the output size of '{form}' is undetermined", help=help)
    if len(found) > 1:
        notes = [f"sizes: {', '.join(map(str, found))}"]
        raise error("TILE0208", f"index '{form}' ranges over different sizes", notes=notes, help="give sizes=")
    return next(iter(found))
