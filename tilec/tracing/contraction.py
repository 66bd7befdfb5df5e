"""Floor 5: contractions of tensors in the scope being traced."""

from __future__ import annotations

from collections.abc import Sequence

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL, I32, DType, accumulator, promote
from tilec.expr import Expr, read
from tilec.frontends.tile.contraction import widen
from tilec.graph import Constraint, Contraction, Sink
from tilec.monoid import standard
from tilec.rules import cast
from tilec.tracing.dispatch import scope
from tilec.tracing.tensor import Tensor


def contraction(
    monoid: str,
    indices: Sequence[str],
    body: Expr,
    sink: Sequence[Affine],
    shape: Sequence[Size],
    *,
    dtype: DType | None = None,
    constraints: Sequence[Constraint] = (),
    default: Tensor | None = None,
    stem: str = "t",
) -> Tensor:
    """Aggregates `body` into a tensor of this shape, with the types that the Tile language gives.

    A sum keeps the type of its operands, counts bools in int32, and adds narrow types up in wide ones; `dtype` is the
    result's.
    """
    trace = scope()
    result = dtype or (I32 if body.dtype == BOOL and monoid == "sum" else body.dtype)
    wide = accumulator(promote(body.dtype, result), monoid)
    expr = widen(body, wide) if monoid in ("sum", "prod") else body
    defaults = (None if default is None else trace.name_of(default),)
    node = Contraction(
        tuple(indices),
        standard(monoid, wide),
        (cast(expr, wide),),
        (Sink(tuple(sink), tuple(shape)),),
        tuple(constraints),
        defaults,
    )
    return trace.bind(node, stem, result)


def element(tensor: Tensor, forms: Sequence[Affine]) -> Expr:
    """One element, read in the current scope."""
    return read(scope().name_of(tensor), tuple(forms), tensor.type.dtype)


def variables(count: int, stem: str = "i") -> tuple[tuple[str, ...], tuple[Affine, ...]]:
    """Index variables and their forms."""
    names = tuple(f"{stem}{axis}" for axis in range(count))
    return names, tuple(map(Affine.var, names))


def rearranged(x: Tensor, forms: Sequence[Affine], shape: Sequence[Size], stem: str) -> Tensor:
    """The tensor of this shape with element i0, i1 ... taken from `x` at `forms`, which are in range everywhere."""
    names, own = variables(len(shape))
    return contraction("assign", names, element(x, forms), own, shape, stem=stem)
