"""Floor 3: the meaning of whole-tensor builtins (`tilec.specials`) on NumPy arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import numpy as np

from tilec.errors import Span, error
from tilec.evaluate.expr import Mode, storage
from tilec.expr import Const
from tilec.graph import Special, TensorType
from tilec.host_functions import call_host
from tilec.mathlib.threefry import threefry
from tilec.monoid import identity
from tilec.numpy_semantics import Array, cast, is_float, maximum, minimum
from tilec.specials import SCATTERS, axis_of, code_of, fixed_sizes_of

_COMBINE: dict[str, Callable[[Array, Array], Array]] = {
    "scatter": operator.add,
    "scatter_max": maximum,
    "scatter_min": minimum,
    "scatter_prod": operator.mul,
}


def evaluate_special(
    node: Special,
    args: Sequence[Array],
    types: Sequence[TensorType],
    mode: Mode,
    span: Span | None = None,
) -> tuple[Array, ...]:
    """Results in `storage` form; `types` are the results'. Raises TILE0405 or the code of an assertion, and TILE0420
    where a host function fails."""
    match node.op:
        case "reshape":
            return (args[0].reshape(fixed_sizes_of(node)),)
        case "gather":
            return (gather(args[0], args[1]),)
        case op if op in SCATTERS:
            return (scatter(args[0], args[1], args[2].shape, identity(SCATTERS[op], types[0].dtype), _COMBINE[op]),)
        case "sort":
            return sort(args[0], axis_of(node, args[0].ndim, span))
        case "prng_step":
            state, values = prng_step(args[0], fixed_sizes_of(node))
            return state, cast(values, storage(types[1].dtype, mode))
        case "random_bits" | "random_bits64":
            return (random_bits(args[0], int(args[1]), fixed_sizes_of(node)).astype(types[0].dtype.numpy),)
        case "assert":
            if not np.all(args[0]):
                raise error(code_of(node), str(node.attribute("message")), span)
            return ()
        case "host_call":
            return _host_call(node, args, types, mode, span)
        case _:
            raise error("TILE0105", f"there is no whole-tensor operation '{node.op}'", span)


def gather(data: Array, index: Array) -> Array:
    """data[index] along axis 0, the index clamped to the axis."""
    if data.shape[0] == 0:
        return np.zeros(index.shape + data.shape[1:], data.dtype)
    top = data.shape[0] - 1
    inside = np.where(index < 0, 0, np.where(index > top, top, index)).astype(np.int64)
    return np.asarray(data[inside])


def scatter(
    updates: Array, index: Array, shape: tuple[int, ...], start: Const, combine: Callable[[Array, Array], Array]
) -> Array:
    """`start` everywhere, with which updates[j] is combined at [index[j]], in row-major order of j; outside is
    dropped.
    """
    result = np.full(shape, start.value, updates.dtype)
    rows = updates.reshape(index.size, *shape[1:])
    with np.errstate(all="ignore"):
        for row, place in zip(rows, index.reshape(-1).tolist()):
            if 0 <= place < shape[0]:
                result[place] = combine(result[place], row)
    return result


def sort(x: Array, axis: int) -> tuple[Array, Array]:
    """(values, order), ascending and stable, NaN last."""
    key = x.astype(np.float64) if is_float(x) else x
    order = np.argsort(key, axis=axis, kind="stable")
    return np.take_along_axis(x, order, axis), order.astype(np.int32)


def prng_step(state: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """L'Ecuyer's taus88 (Math. of Comp. 65, 1996), n generators side by side: element i comes from generator i mod n.

    state: uint32[3, n]. A generator steps once per value; the value is its top 24 bits over 2^24, in [0, 1).
    """
    count, n = int(np.prod(shape, dtype=np.int64)), state.shape[1]
    s1, s2, s3 = (s.copy() for s in state)
    values = np.zeros(count, np.float32)
    for start in range(0, count, n):
        live = slice(0, min(n, count - start))
        s1[live] = ((s1[live] & np.uint32(0xFFFFFFFE)) << 12) ^ (((s1[live] << 13) ^ s1[live]) >> 19)
        s2[live] = ((s2[live] & np.uint32(0xFFFFFFF8)) << 4) ^ (((s2[live] << 2) ^ s2[live]) >> 25)
        s3[live] = ((s3[live] & np.uint32(0xFFFFFFF0)) << 17) ^ (((s3[live] << 3) ^ s3[live]) >> 11)
        bits = s1[live] ^ s2[live] ^ s3[live]
        values[start : start + n] = (bits >> 8).astype(np.float32) * np.float32(2.0**-24)
    return np.stack([s1, s2, s3]), values.reshape(shape)


def random_bits(key: Array, offset: int, shape: tuple[int, ...]) -> Array:
    """Blocks of Threefry (`tilec.mathlib.threefry`) as uint64: of the counters from `offset` on, modulo 2^64.

    key: uint32[2], the low word first.
    """
    words = key.astype(np.uint64)
    first = np.uint64(offset % (1 << 64))
    with np.errstate(over="ignore"):
        counter = first + np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint64)
    return threefry(words[0] | (words[1] << np.uint64(32)), counter).reshape(shape)


def _host_call(
    node: Special, args: Sequence[Array], types: Sequence[TensorType], mode: Mode, span: Span | None
) -> tuple[Array, ...]:
    shapes = [tuple(int(s) for s in t.shape if isinstance(s, int)) for t in types]
    values = call_host(str(node.attribute("function")), shapes, args, span)
    return tuple(cast(v, storage(t.dtype, mode)) for v, t in zip(values, types, strict=True))
