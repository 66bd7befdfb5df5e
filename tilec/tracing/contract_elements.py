"""Floor 5: contractions written with index objects: an expression of elements, and what it is aggregated into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tilec.affine import Affine, Size
from tilec.errors import error
from tilec.expr import Expr, IndexValue, Read, reads, walk
from tilec.graph import Constraint
from tilec.monoid import STANDARD
from tilec.rewrite import rename_reads
from tilec.tracing.contraction import contraction
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.index import Condition, Element, as_form
from tilec.tracing.tensor import Tensor

_SIGNS = {"+": "sum", "*": "prod", ">": "max", "<": "min", "=": "assign"}
_MONOIDS: dict[str, str] = {**_SIGNS, **{str(name): str(name) for name in STANDARD}}


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


def contract_elements(
    what: Element, out: tuple[Any, ...], sizes: Any, by: str, where: tuple[Any, ...], default: Any
) -> Any:
    """The contraction of an expression of elements; see `tilec.contract`. Raises TILE0205, TILE0215, TILE0511."""
    from tilec.numpy.axes import shape_of  # which has functions that contract: whichever comes first needs the other

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
