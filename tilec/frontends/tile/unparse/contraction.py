"""Contractions as statements of Tile, in the shortest form that means them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL, F32, I32, DType, accumulator, promote
from tilec.expr import Call, Expr, Read, reads
from tilec.frontends.tile.unparse.body import BodyWriter, unspeakable
from tilec.frontends.tile.unparse.forms import form_text, size_text
from tilec.graph import Contraction, Let, Sink, TensorType
from tilec.monoid import STANDARD, standard

_OPERATORS = {"sum": "+", "prod": "*", "max": ">", "min": "<", "assign": "="}
_OF_BOOL = {"sum": "max", "prod": "min"}  # or and and: a sum would count


@dataclass(frozen=True, slots=True)
class Shortest:
    """What has to be written of the types: that of the result, and that of the aggregation."""

    body: Expr
    result: DType | None
    accumulator: DType | None


def statement(let: Let, node: Contraction, types: Mapping[str, TensorType], write: BodyWriter, default: str) -> str:
    """The statement without its semicolon; raises TILE0606."""
    monoid = _aggregation(let, node)
    (sink,), result = node.sinks, let.types[0]
    short = _types(monoid, node.body[0], node.accumulator[0], result.dtype)
    body = write.term(short.body)
    if body.strong is not None and short.body.dtype not in (F32, I32):
        body = body.strong
    target = _cells(let, sink, node, types, write)
    if short.result is not None:
        target += f": {short.result}"
    operator = _OPERATORS[monoid]
    if short.accumulator is not None:
        text = f"{target} = {operator}:{short.accumulator}({body.text})"
    elif monoid == "assign":
        text = f"{target} = {body.text}"
    else:
        text = f"{target} {operator}= {body.text}"
    return text + "".join(f", {c}" for c in _constraints(node, write, types)) + default


def _aggregation(let: Let, node: Contraction) -> str:
    monoid = node.monoid
    if monoid.arity != 1 or monoid.name not in STANDARD or monoid != standard(monoid.name, monoid.dtypes[0]):
        raise unspeakable(f"the aggregation '{monoid.name}'", let.span)
    return _OF_BOOL.get(monoid.name, monoid.name) if monoid.dtypes[0] == BOOL else monoid.name


def _types(monoid: str, body: Expr, own: DType, result: DType) -> Shortest:
    """As the elaboration of a statement finds them."""
    match body:
        case Call("cast", (Read() as inner,)) if accumulator(inner.dtype, monoid) == own:
            if result == _counted(inner.dtype, monoid):
                return Shortest(inner, None, None)
    wanted = None if result == _counted(own, monoid) else result
    found = accumulator(promote(own, result) if wanted is not None else own, monoid)
    return Shortest(body, wanted, None if found == own else own)


def _counted(dtype: DType, monoid: str) -> DType:
    return I32 if dtype == BOOL and monoid == "sum" else dtype


def _cells(let: Let, sink: Sink, node: Contraction, types: Mapping[str, TensorType], write: BodyWriter) -> str:
    places = [form_text(i, write.indices, write.names)[0] for i in sink.indices]
    text = ", ".join(places)
    if not all(_inferred(i, s, node, types) for i, s in zip(sink.indices, sink.shape)):
        text += " : " + ", ".join(size_text(s, write.names, let.span) for s in sink.shape)
    return f"{write.names.values[let.names[0]]}[{text}]"


def _inferred(index: Affine, size: Size, node: Contraction, types: Mapping[str, TensorType]) -> bool:
    """Whether the index alone names axes of operands, all of this size."""
    return index.as_variable() is not None and _ranges(index, node, types) == {size}


def _ranges(index: Affine, node: Contraction, types: Mapping[str, TensorType]) -> set[Size]:
    accesses = [r.access for r in reads(node.body[0]) if r.access.boundary == "skip"]
    return {s for a in accesses for i, s in zip(a.indices, types[a.tensor].shape) if i == index}


def _constraints(node: Contraction, write: BodyWriter, types: Mapping[str, TensorType]) -> list[str]:
    """The constraints, and the extents of index variables that nothing else bounds as tightly."""
    found = [(c.form, c.bound) for c in node.constraints]
    for index, extent in zip(node.indices, node.extents):
        form = Affine.var(index)
        sinks = {s for i, s in zip(node.sinks[0].indices, node.sinks[0].shape) if i == form}
        if extent not in _ranges(form, node, types) | sinks and (form, extent) not in found:
            found.append((form, extent))
    texts = ((form_text(form, write.indices, write.names)[0], size_text(bound, write.names)) for form, bound in found)
    return [f"{form} < {bound}" for form, bound in texts]
