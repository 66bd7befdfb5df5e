"""Floor 5: polynomials as vectors of their coefficients, that of the highest power first, as in `numpy.polyval`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import count_of
from tilec.numpy.creation import zeros
from tilec.numpy.curves import convolve
from tilec.numpy.indexing import getitem_of
from tilec.numpy.shapes import broadcast_to, concat, reshape
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float
from tilec.tracing.tensor import Tensor


@operation
def polyval(p: Any, x: Any, /) -> Any:
    """The values of a polynomial at x, by Horner's rule: p[0] * x ** (n - 1) + ... + p[n - 1]. Raises TILE0202."""
    coefficients, place = _vector(p), lift(x)
    found: Any = apply("mul", apply("mul", place, 0), zeros((), coefficients.dtype))
    for k in range(_count(coefficients)):
        found = apply("add", apply("mul", found, place), getitem_of(coefficients, [k]))
    return found


@operation
def polyadd(a: Any, b: Any, /) -> Any:
    """The sum of two polynomials; zeros in front stay. Raises TILE0202."""
    return apply("add", *_equally_long(a, b))


@operation
def polysub(a: Any, b: Any, /) -> Any:
    """The difference of two polynomials; zeros in front stay. Raises TILE0202."""
    return apply("sub", *_equally_long(a, b))


@operation
def polymul(a: Any, b: Any, /) -> Any:
    """The product of two polynomials; zeros in front stay. Raises TILE0202, TILE0403."""
    return convolve(_vector(a), _vector(b))


@operation
def polyder(p: Any, /, m: int = 1) -> Any:
    """The m-th derivative of a polynomial. Raises TILE0202, TILE0211."""
    found = _vector(p)
    for _ in range(count_of(m, "the order of a derivative")):
        powers = np.arange(max(_count(found) - 1, 0), 0, -1, dtype=np.int32)
        found = apply("mul", getitem_of(found, [slice(0, len(powers))]), as_dtype(lift(powers), found.type.dtype))
    return found


@operation
def polyint(p: Any, /, m: int = 1, k: float = 0.0) -> Any:
    """The m-th integral of a polynomial, with k for the constant of each. Raises TILE0202, TILE0211."""
    found = as_float(_vector(p))
    for _ in range(count_of(m, "the order of an integral")):
        powers = as_dtype(lift(np.arange(_count(found), 0, -1, dtype=np.int32)), found.type.dtype)
        constant = reshape(as_dtype(lift(k), found.type.dtype), (1,))
        found = concat([apply("div", found, powers), constant], axis=0)
    return found


@operation
def poly(roots: Any, /) -> Any:
    """The polynomial with these roots, whose first coefficient is 1. Raises TILE0202."""
    given = as_float(_vector(roots))
    one = broadcast_to(as_dtype(lift(1), given.type.dtype), (1,))
    found = one
    for k in range(_count(given)):
        found = convolve(found, concat([one, apply("neg", getitem_of(given, [slice(k, k + 1)]))], axis=0))
    return found


def _vector(p: Any) -> Tensor:
    tensor = lift(p)
    if tensor.ndim != 1:
        raise error("TILE0202", f"a polynomial is a vector of coefficients, not a tensor of rank {tensor.ndim}")
    return tensor


def _count(p: Tensor) -> int:
    return fixed(p.type.shape[0], "a polynomial of that many coefficients")


def _equally_long(a: Any, b: Any) -> list[Any]:
    both = [_vector(a), _vector(b)]
    most = max(map(_count, both))
    return [concat([zeros((most - _count(p),), p.dtype), p], axis=0) for p in both]
