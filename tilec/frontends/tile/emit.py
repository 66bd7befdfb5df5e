"""Emitting contractions: the one place where the frontend builds a `Contraction` node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tilec.affine import Affine
from tilec.dtypes import DType
from tilec.errors import Span
from tilec.expr import Expr
from tilec.frontends.tile.builder import Builder
from tilec.frontends.tile.values import Tensor
from tilec.graph import Constraint, Contraction, Sink, TensorType
from tilec.monoid import standard
from tilec.rules import cast


@dataclass(frozen=True, slots=True)
class Extras:
    """What only some contractions have."""

    constraints: tuple[Constraint, ...] = ()
    default: str | None = None
    accumulator: DType | None = None


def emit_contraction(
    b: Builder,
    monoid: str,
    indices: tuple[str, ...],
    body: Expr,
    sink: Sequence[Affine],
    type: TensorType,
    span: Span,
    name: str | None = None,
    extras: Extras = Extras(),  # immutable
) -> Tensor:
    """Aggregates `body`, converted to the accumulator's type, into a tensor of `type`."""
    accumulator = extras.accumulator or body.dtype
    node = Contraction(
        indices,
        standard(monoid, accumulator),
        (cast(body, accumulator),),
        (Sink(tuple(sink), type.shape),),
        extras.constraints,
        (extras.default,),
    )
    return b.emit(node, type, span, name)
