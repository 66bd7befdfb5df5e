"""A Let of a scan's body computed for all steps: what depends on slices gets a first axis, of the steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from tilec.affine import Affine, Size
from tilec.expr import Expr, Read, reads, transform
from tilec.fresh import FreshNames
from tilec.graph import Apply, Contraction, Let, Node, Sink, Special, TensorType


def can_be_stacked(let: Let, types: Mapping[str, TensorType], sliced: Collection[str]) -> bool:
    """Whether `stacked` is right for a Let whose operands `sliced` are slices."""
    if any(types[n].weak for n in (*let.names, *sliced)):
        return False

    def fits(result: TensorType, default: str | None) -> bool:
        """Whether a default, stacked if it is a slice, is still of the result's shape, or one number for all of it."""
        return default is None or types[default].shape == (result.shape if default in sliced else ())

    match let.node:
        case Contraction(body=body, defaults=defaults):
            found = [r.access for b in body for r in reads(b)]
            plain = all(isinstance(i, Affine) for a in found for i in a.indices)
            inside = all(a.boundary == "skip" for a in found if a.tensor in sliced)
            return plain and inside and all(map(fits, let.types, defaults))
        case Apply():
            return all(types[n].rank == let.types[0].rank for n in sliced)
        case Special(op=op):
            return op == "reshape"
        case _:
            return False


def stacked(node: Node, sliced: Collection[str], length: int) -> Node:
    """The node for all steps, on operands that are stacked themselves."""
    match node:
        case Contraction(indices=indices, sinks=sinks):
            step = FreshNames(indices).like("t")
            at = Affine.var(step)
            return replace(
                node,
                indices=(step, *indices),
                body=tuple(_at_step(b, sliced, at) for b in node.body),
                sinks=tuple(Sink((at, *s.indices), (length, *s.shape)) for s in sinks),
                extents=(length, *node.extents) if node.extents else (),
            )
        case Special(attributes=attributes):
            longer = ((name, _longer(v, length) if name == "shape" else v) for name, v in attributes)
            return replace(node, attributes=tuple(longer))
        case _:
            return node  # elementwise: operands that are not stacked are broadcast along the first axis


def _longer(shape: object, length: int) -> tuple[Size, ...]:
    assert isinstance(shape, tuple)
    return (length, *shape)


def _at_step(body: Expr, sliced: Collection[str], at: Affine) -> Expr:
    def leaf(e: Expr) -> Expr:
        if isinstance(e, Read) and e.access.tensor in sliced:
            return Read(replace(e.access, indices=(at, *e.access.indices)), e.dtype)
        return e

    return transform(body, leaf)


def stacked_type(type: TensorType, length: int) -> TensorType:
    return TensorType(type.dtype, (length, *type.shape))
