"""Floor 5: powers, exponentials and chains of products of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import factorial, inf
from typing import Any

from tilec.dtypes import F32, I32, I64
from tilec.errors import error
from tilec.numpy.axes import whole
from tilec.numpy.creation import full, zeros_like
from tilec.numpy.einstein import einsum
from tilec.numpy.elementwise import abs, log2, where
from tilec.numpy.products import matmul
from tilec.numpy.reductions import any as some
from tilec.numpy.reductions import max as largest
from tilec.numpy.reductions import sum
from tilec.numpy.shapes import broadcast_to, concat, expand_dims
from tilec.ops.linalg.matrices import identity, matrices, turned
from tilec.ops.linalg.systems import inv
from tilec.rules import shape_text
from tilec.tracing.control import while_loop
from tilec.tracing.custom import custom_gradient
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype

_BLOCK = 4  # powers of a matrix that a group of Taylor's terms is made of


@operation
def expm(x: Any, /) -> Any:
    """The exponentials of square matrices: 1 + x + x x / 2 + ... Raises TILE0202, TILE0203.

    By scaling and squaring: x is halved until its 1-norm is below 1, Taylor's series of degree 19 (float32: 11) is
    summed in groups (M. Paterson and L. Stockmeyer, SIAM J. Comput. 2, 1973), and the result squared as often; a Pade
    approximant would need a system of equations, which is a host call. See N. Higham, Functions of Matrices, 2008,
    chapter 10; the derivative is theorem 3.6 there.
    """
    matrix, wanted = matrices("expm", x, square=True)
    return as_dtype(_expm(matrix), wanted)


@custom_gradient
def _expm(a: Any) -> Any:
    return _squared(a)


def _squared(a: Any) -> Any:
    """Scaling and squaring."""
    if 0 in a.type.shape:
        return a
    norm = largest(sum(abs(a), -2), axis=-1)
    times = apply("ceil", log2(where((norm > 1) & (norm < inf), norm, 1)))
    scale = expand_dims(apply("pow", 2.0, -times), (-2, -1))
    halvings = as_dtype(times, I32)
    each = expand_dims(halvings, (-2, -1))
    start = full((), 0, dtype="int32"), _taylor(a * scale, 3 if a.type.dtype == F32 else 5)

    def more(state: Any) -> Any:
        return some(state[0] < halvings)

    def again(state: Any) -> Any:
        turn, power = state
        return turn + 1, where(turn < each, matmul(power, power), power)

    return while_loop(more, again, start)[1]


def _taylor(a: Any, groups: int) -> Any:
    """Taylor's series in groups of terms, each a sum of the first powers."""
    powers = [broadcast_to(identity(a), a.type.shape), a]
    for _ in range(2, _BLOCK + 1):
        powers.append(matmul(powers[-1], a))
    found = zeros_like(a)
    for group in reversed(range(groups)):
        found = matmul(found, powers[_BLOCK])
        for k in range(_BLOCK):
            found = found + powers[k] * (1 / factorial(group * _BLOCK + k))
    return found


@_expm.defgrad
def _expm_gradient(args: Any, result: Any, g: Any) -> Any:
    """The upper right block of the exponential of [[xt, g], [0, xt]]."""
    (a,), n = args, args[0].shape[-1]
    if 0 in a.type.shape:
        return g
    at = turned(a)
    upper, lower = concat([at, g], axis=-1), concat([zeros_like(at), at], axis=-1)
    return _squared(concat([upper, lower], axis=-2))[..., :n, n:]


@operation
def matrix_power(x: Any, /, n: int) -> Any:
    """Square matrices to a power, by repeated squaring; of a negative one, those of the inverse, a host call. Integers
    stay integers and wrap. Raises TILE0202, TILE0203, TILE0210, TILE0511, and TILE0420 where there is no inverse.
    """
    exponent, tensor = whole(n, "the power of a matrix"), lift(x)
    if not -I64.max <= exponent <= I64.max:
        raise error("TILE0511", f"a power of {exponent.bit_length()} bits; int64 holds the largest one")
    matrices("matrix_power", tensor, square=True)
    base = inv(tensor) if exponent < 0 else tensor
    found, exponent = None, -exponent if exponent < 0 else exponent
    while exponent:
        if exponent % 2:
            found = base if found is None else matmul(found, base)
        exponent //= 2
        base = matmul(base, base) if exponent else base
    return broadcast_to(identity(base), base.type.shape) if found is None else found


@operation
def multi_dot(arrays: Sequence[Any], /) -> Any:
    """The product of several matrices, in the order that takes the fewest multiplications; the first may be a row and
    the last a column of rank 1. Raises TILE0202, TILE0203, TILE0505.
    """
    if not isinstance(arrays, tuple | list) or len(arrays) < 2:
        raise error("TILE0505", "two matrices or more are multiplied")
    tensors, last = [lift(a) for a in arrays], len(arrays) - 1
    operands: list[Any] = []
    for k, tensor in enumerate(tensors):
        if tensor.ndim != 2 and (tensor.ndim != 1 or 0 < k < last):
            raise error("TILE0202", f"matrices are multiplied, not tensors of rank {tensor.ndim}")
        row, column = (1 if tensor.ndim == 1 and k == 0 else k), k + 1
        operands += [tensor, [row] if tensor.ndim == 1 else [row, column]]
    for a, b in pairwise(tensors):
        if a.type.shape[-1] != b.type.shape[0]:
            raise error("TILE0203", f"shapes {shape_text(a.type.shape)} and {shape_text(b.type.shape)} are multiplied")
    ends = [0] * (tensors[0].ndim == 2) + [last + 1] * (tensors[-1].ndim == 2)
    return einsum(*operands, ends, optimize="dp")
