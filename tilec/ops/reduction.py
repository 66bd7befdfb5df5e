"""Floor 5: what becomes of the losses of samples: their mean, their sum, or nothing."""

from __future__ import annotations

from typing import Any

from tilec.dtypes import DType
from tilec.errors import error
from tilec.numpy.elementwise import where
from tilec.numpy.precision import widened
from tilec.numpy.reductions import mean, sum
from tilec.numpy.shapes import broadcast_to
from tilec.rules import shape_text
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.tensor import Tensor

_WORDS = ("mean", "sum", "none")


def reduced(losses: Tensor, dtype: DType, weights: Any, reduction: str) -> Any:
    """Losses of samples times their weights, reduced, in `dtype`. Raises TILE0511 and TILE0203."""
    if reduction not in _WORDS:
        raise error("TILE0511", f"there is no reduction {reduction!r}", help=f"there are {', '.join(_WORDS)}")
    if weights is None:
        found = losses if reduction == "none" else (mean if reduction == "mean" else sum)(losses)
        return as_dtype(found, dtype)
    share = _broadcast(widened(weights)[0], losses)
    weighed = losses * share
    if reduction == "mean":
        total = sum(share)
        weighed = sum(weighed) / where(total == 0, 1.0, total)
    return as_dtype(sum(weighed) if reduction == "sum" else weighed, dtype)


def _broadcast(weights: Tensor, losses: Tensor) -> Any:
    shape, own = losses.type.shape, weights.type.shape
    if len(own) > len(shape) or any(n not in (1, m) for n, m in zip(own[::-1], shape[::-1])):
        raise error("TILE0203", f"weights of shape {shape_text(own)} for losses of shape {shape_text(shape)}")
    return broadcast_to(weights, losses.shape)


def pair(target: Any, output: Any) -> tuple[Tensor, Tensor, DType]:
    """A target and an output of one shape, both wide, and the output's float type. Raises TILE0203."""
    (wanted, _), (found, dtype) = widened(target), widened(output)
    if wanted.type.shape != found.type.shape:
        shapes = shape_text(wanted.type.shape), shape_text(found.type.shape)
        raise error("TILE0203", f"a target of shape {shapes[0]} for an output of shape {shapes[1]}")
    return wanted, found, dtype
