"""Floor 5: attention by scaled dot products."""

from __future__ import annotations

from math import inf
from typing import Any

from tilec.affine import Size
from tilec.dtypes import BOOL, F32, DType
from tilec.errors import error
from tilec.numpy.axes import number
from tilec.numpy.creation import arange
from tilec.numpy.elementwise import common, exp, isfinite, stop_gradient, where
from tilec.numpy.precision import widened
from tilec.numpy.products import matmul
from tilec.numpy.reductions import max_or_zero, sum
from tilec.numpy.shapes import matrix_transpose, reshape
from tilec.ops.dropout import dropout
from tilec.rules import broadcast, shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.tensor import Tensor


@operation(arrays=("mask", "dropout_key"))
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    /,
    mask: Any = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: Any = None,
) -> Any:
    """softmax(scale * query @ key^T + mask) @ value (Vaswani et al. 2017).

    `query[..., heads, length, features]`, `key[..., groups, size, features]`, `value[..., groups, size, outputs]` give
    `[..., heads, length, outputs]`; axes before the heads are broadcast. Of grouped queries (Ainslie et al. 2023),
    heads / groups neighbouring heads share a key and a value. Tensors of rank 2 are one head.

    A mask broadcasts to `[..., heads, length, size]`: one of bool is true where a key takes part, one of floats is
    added to the scores. `causal` leaves to query i the keys up to i. A query without any key (all of them false or
    -infinity, or none there) has the result 0, and gradients of 0. `scale` is 1 / sqrt(features) unless given.
    `dropout_rate` drops weights after the softmax, by `dropout_key`.

    Sixteen-bit floats are computed in float32. Raises TILE0202 and TILE0203 where shapes do not fit, TILE0301 of a
    mask of integers, TILE0210 of a scale or rate that is no number, TILE0511 of a rate without a key.
    """
    tensors = lift(query), lift(key), lift(value)
    (q, _), (k, _), (v, _) = map(widened, tensors)
    _check_shapes(q, k, v)
    bias = None if mask is None else _checked_mask(lift(mask), q, k)
    heads, groups = _heads(q), _heads(k)
    grouped = groups not in (1, heads)
    if grouped:
        q, k, v = _split(q, groups), _split(k, groups), _split(v, groups)
        bias = None if bias is None else _split(bias, groups if _heads(bias) == heads else 1)
    features = q.shape[-1] if q.type.shape[-1] else 1  # without features all scores are 0
    factor = features**-0.5 if scale is None else float(number(scale, "a scale"))
    weights, total = _weights(_masked(matmul(q * factor, matrix_transpose(k)), bias, causal))
    if dropout_rate:
        weights = dropout(weights, _given(dropout_key), rate=dropout_rate)
    result = matmul(weights, v) / total
    if grouped:
        result = reshape(result, (*result.shape[:-4], heads, *result.shape[-2:]))
    return as_dtype(result, _result_type(tensors))


def _check_shapes(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Features of queries and keys agree, and the number of keys and values; heads are shared evenly."""
    shapes = " ".join(f"{name}{shape_text(t.type.shape)}" for name, t in (("query", q), ("key", k), ("value", v)))
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise error("TILE0202", f"attention takes tensors of rank 2 or more: {shapes}")
    if q.type.shape[-1] != k.type.shape[-1] or k.type.shape[-2] != v.type.shape[-2] or _heads(k) != _heads(v):
        help = (
            "query[..., heads, length, features], key[..., groups, size, features], value[..., groups, size, outputs]"
        )
        raise error("TILE0203", f"shapes of attention do not fit: {shapes}", help=help)
    heads, groups = _heads(q), _heads(k)
    if heads != groups and not (isinstance(heads, int) and isinstance(groups, int) and groups and heads % groups == 0):
        raise error("TILE0203", f"{heads} heads of queries cannot share {groups} heads of keys evenly: {shapes}")


def _checked_mask(mask: Tensor, q: Tensor, k: Tensor) -> Tensor:
    if mask.type.dtype != BOOL and not mask.type.dtype.is_float:
        help = "one of bool says which keys take part, one of floats is added to the scores"
        raise error("TILE0301", f"a mask of attention cannot be of {mask.type.dtype.long}", help=help)
    heads = (_heads(q),) if max(q.ndim, k.ndim) > 2 else ()
    scores = (*broadcast([q.type.shape[:-3], k.type.shape[:-3]]), *heads, q.type.shape[-2], k.type.shape[-2])
    own = mask.type.shape
    if len(own) > len(scores) or any(n not in (1, m) for n, m in zip(own[::-1], scores[::-1])):
        raise error("TILE0203", f"a mask of shape {shape_text(own)} for scores of shape {shape_text(scores)}")
    return mask


def _heads(x: Tensor) -> Size:
    return x.type.shape[-3] if x.ndim > 2 else 1


def _split(x: Tensor, groups: Size) -> Tensor:
    """[..., heads, m, n] as [..., groups, heads / groups, m, n]; a mask without heads as it is."""
    if x.ndim < 3:
        return x
    shape, heads = x.type.shape, _heads(x)
    assert isinstance(heads, int) and isinstance(groups, int)
    found: Tensor = reshape(x, (*shape[:-3], groups, heads // groups, *shape[-2:]))
    return found


def _masked(scores: Tensor, mask: Tensor | None, causal: bool) -> Any:
    """The scores, -infinity where no key takes part."""
    found: Any = scores
    if mask is not None:
        found = where(mask, found, -inf) if mask.type.dtype == BOOL else found + mask
    if causal:
        length, size = scores.shape[-2:]
        found = where(arange(length)[:, None] >= arange(size)[None, :], found, -inf)
    return as_dtype(found, scores.type.dtype)


def _weights(scores: Tensor) -> tuple[Any, Any]:
    """Powers of e relative to the greatest of each row, and their sums; of a row of -infinity, 0 and 1."""
    top = stop_gradient(max_or_zero(scores, axis=-1, keepdims=True))
    powers = exp(scores - where(isfinite(top), top, 0.0))
    total = sum(powers, axis=-1, keepdims=True)
    return powers, where(total == 0, 1.0, total)


def _given(key: Any) -> Any:
    if key is None:
        help = "dropout_key=tilec.random.key(seed), a new one for each step"
        raise error("TILE0511", "dropout of attention weights needs a key", help=help)
    return key


def _result_type(tensors: Any) -> DType:
    dtype = common(*tensors)
    return dtype if dtype.is_float else F32
