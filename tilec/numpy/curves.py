"""Floor 5: windows of signals, progressions by factors, correlations."""

from __future__ import annotations

from functools import reduce
from typing import Any, cast

import numpy as np

from tilec.dtypes import F32, DType
from tilec.errors import error
from tilec.numpy.axes import count_of, number
from tilec.numpy.creation import ones
from tilec.numpy.elementwise import where
from tilec.numpy.indexing import getitem_of
from tilec.numpy.products import matmul
from tilec.numpy.reductions import mean, sum
from tilec.numpy.shapes import concat, flip, permute_dims, reshape
from tilec.tracing.contract import contract
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float, dtype_of
from tilec.tracing.tensor import Tensor


def _window(name: str, m: int, *more: float) -> Any:
    """A window's values are known, and rounded once."""
    return lift(getattr(np, name)(count_of(m, "the length of a window"), *more).astype("float32"))


@operation
def bartlett(m: int) -> Any:
    """Bartlett's window of m values, float32: a triangle."""
    return _window("bartlett", m)


@operation
def blackman(m: int) -> Any:
    """Blackman's window of m values, float32."""
    return _window("blackman", m)


@operation
def hamming(m: int) -> Any:
    """Hamming's window of m values, float32."""
    return _window("hamming", m)


@operation
def hanning(m: int) -> Any:
    """Hann's window of m values, float32."""
    return _window("hanning", m)


@operation
def kaiser(m: int, beta: float) -> Any:
    """Kaiser's window of m values, float32."""
    return _window("kaiser", m, float(number(beta, "beta")))


@operation
def logspace(
    start: float, stop: float, num: int = 50, *, endpoint: bool = True, base: float = 10.0, dtype: Any = "float32"
) -> Any:
    """`num` powers of the base, from base ** start to base ** stop by equal factors."""
    low, high, by = (float(number(v, "a bound")) for v in (start, stop, base))
    values = np.logspace(low, high, count_of(num, "the number of elements"), endpoint=endpoint, base=by)
    return lift(values.astype(dtype_of(dtype).numpy))


@operation
def geomspace(start: float, stop: float, num: int = 50, *, endpoint: bool = True, dtype: Any = "float32") -> Any:
    """`num` numbers from start to stop by equal factors. Raises TILE0511."""
    low, high = (float(number(v, "a bound")) for v in (start, stop))
    if low * high <= 0:
        raise error("TILE0511", f"numbers by equal factors from {low:g} to {high:g}")
    return lift(
        np.geomspace(low, high, count_of(num, "the number of elements"), endpoint=endpoint).astype(
            dtype_of(dtype).numpy
        )
    )


@operation
def correlate(x1: Any, x2: Any, /, mode: str = "valid") -> Any:
    """Sums of products of x1 and of x2 moved along it: for all places where they meet ("full"), as many as the longer
    one has ("same"), or where one lies within the other ("valid"). Raises TILE0202, TILE0511.
    """
    a, b = lift(x1), lift(x2)
    if a.ndim != 1 or b.ndim != 1:
        raise error("TILE0202", f"vectors are correlated, not tensors of rank {a.ndim} and {b.ndim}")
    long, short = max(a.shape[0], b.shape[0]), min(a.shape[0], b.shape[0])
    if mode not in ("full", "same", "valid"):
        raise error("TILE0511", f"there is no mode {mode!r} of correlation", help="full, same, valid")
    if short == 0:
        raise error("TILE0403", "a correlation with nothing")
    last = b.shape[0] - 1
    found = contract(f"C[k : {long + short - 1}] = +(A[k + i - {last}] * B[i])", A=a, B=b)
    if mode == "full":
        return found
    if mode == "valid":
        return getitem_of(found, [slice(short - 1, long)])
    first = (short - 1) // 2 if a.shape[0] >= b.shape[0] else short // 2
    return getitem_of(found, [slice(first, first + long)])


@operation
def convolve(x1: Any, x2: Any, /, mode: str = "full") -> Any:
    """Sums of products of x1 and of the reversed x2 moved along it; `mode` as of `correlate`, but "same" is as many as
    the longer one has from the middle of all. Raises TILE0202, TILE0403, TILE0511.
    """
    a, b = lift(x1), lift(x2)
    if a.ndim == b.ndim == 1 and a.shape[0] < b.shape[0]:
        a, b = b, a
    return correlate(a, flip(b), mode)


@operation(arrays=("fweights", "aweights"))
def cov(
    x: Any,
    y: Any = None,
    /,
    rowvar: bool = True,
    *,
    bias: bool = False,
    correction: float | None = None,
    fweights: Any = None,
    aweights: Any = None,
) -> Any:
    """Covariances of the rows of a matrix, or of its columns without `rowvar`, with one another, those of y among them:
    sums of products of distances from the mean over the number of columns less `correction`, NumPy's `ddof`, which is 1
    unless given, and 0 if `bias`.

    fweights: how often each column counts. aweights: how much. Raises TILE0202, TILE0203, TILE0210.
    """
    rows, dtype, single = _rows(x, y, rowvar)
    less = float(number(correction, "a correction") if correction is not None else not bias)
    given = [as_dtype(lift(w), rows.type.dtype) for w in (fweights, aweights) if w is not None]
    for weight in given:
        if weight.type.shape != rows.type.shape[1:]:
            raise error("TILE0203", f"{list(weight.shape)} weights for {rows.shape[1]} columns")
    weights = reduce(lambda a, b: a * b, given, as_dtype(ones((rows.shape[1],)), rows.type.dtype))
    total = sum(weights)
    centred = rows - matmul(rows, reshape(weights, (-1, 1))) / total
    if aweights is None or not less:
        count = total - less
    else:
        count = total - less * sum(weights * given[-1]) / total
    found = matmul(centred * weights, permute_dims(centred)) / where(count > 0, count, 0)
    return as_dtype(reshape(found, ()) if single else found, dtype)


def _rows(x: Any, y: Any, rowvar: bool) -> tuple[Tensor, DType, bool]:
    """The variables as rows in float32 or float64, the type of the result, and whether there is one variable."""
    first = _variables(x, rowvar)
    parts = [first] if y is None else [first, _variables(y, rowvar)]
    rows = concat(parts, axis=0)
    dtype = rows.type.dtype
    return as_dtype(rows, F32) if dtype.bits < 32 else rows, dtype, rows.shape[0] == 1


def _variables(x: Any, rowvar: bool) -> Tensor:
    tensor = as_float(x)
    if tensor.ndim > 2:
        raise error("TILE0202", f"the rows of a matrix are correlated, not those of a tensor of rank {tensor.ndim}")
    if tensor.ndim < 2:
        return cast(Tensor, reshape(tensor, (1, -1)))
    return tensor if rowvar else cast(Tensor, permute_dims(tensor))


@operation
def corrcoef(x: Any, y: Any = None, /, rowvar: bool = True) -> Any:
    """Correlations of the rows of a matrix, or of its columns without `rowvar`, with one another and those of y, from
    -1 to 1. Raises TILE0202, TILE0203.
    """
    rows, dtype, single = _rows(x, y, rowvar)
    centred = apply("sub", rows, mean(rows, 1, keepdims=True))
    products = matmul(centred, permute_dims(centred))
    norm = apply("sqrt", apply("mul", centred, centred).sum(1))
    scale = apply("mul", reshape(norm, (-1, 1)), norm)
    found = apply("min", apply("max", apply("div", products, scale), -1), 1)
    return as_dtype(reshape(found, ()) if single else found, dtype)
