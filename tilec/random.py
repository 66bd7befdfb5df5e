"""Floor 5: random numbers as functions of a key and an offset: no hidden state, the same everywhere.

A *key* is two uint32 words (`key(seed)`). Element n of what a function returns is made from block `offset + n` of the
key's stream (Threefry-2x32, `tilec.mathlib.threefry`), so a call gives the same numbers on every backend, for every
number of threads and however the work is split: `bits(k, o, n)` is `bits(k, 0, o + n)[o:]`. Two calls with one key and
overlapping ranges of blocks give dependent numbers: give each its own key (`split`, `fold_in`), or its own range.

The functions take arrays and run at once, or tensors while `tilec.jit` traces; there they fuse with what uses them.
Normal and uniform numbers are differentiable in what they are scaled by: `mean + std * normal(k, o, shape)`.
"""

from __future__ import annotations

from math import erf, pi, sqrt
from typing import Any

import numpy as np

from tilec.dtypes import BF16, BOOL, F16, F32, F64, I32, I64, U32, U64, DType
from tilec.errors import error
from tilec.graph import Special
from tilec.mathlib.threefry import threefry
from tilec.numpy import argsort, stack, take, where
from tilec.numpy import max as largest
from tilec.numpy import min as smallest
from tilec.numpy.axes import shape_of
from tilec.numpy_semantics import Array
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import apply, as_dtype, dtype_of
from tilec.tracing.place import located
from tilec.tracing.tensor import Tensor

_CHILDREN = 0x5BF0_3635_0000_0000  # separates the keys made of a key from the bits made of it


# --- keys -------------------------------------------------------------------------------------------------------------


def key(seed: int) -> Array:
    """A key from any integer, modulo 2^64: uint32[2], the low word first."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise error("TILE0511", f"a seed is an integer, not an object of type {type(seed).__name__}")
    return _words(np.array(int(seed) % (1 << 64), np.uint64))


def split(parent: Any, count: int = 2) -> Any:
    """`count` keys whose streams are independent of one another and of the parent's: uint32[count, 2].

    A traced key gives a tensor of the same keys. Raises TILE0301 of what is no key, TILE0511 of what is no number.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 0 <= count < 1 << 31:
        raise error("TILE0511", f"a key is split into a number of keys, not into {count!r}")
    return _keys(parent, np.arange(count, dtype=np.uint64))


def fold_in(parent: Any, number: Any) -> Any:
    """The key of that number among those of `split`: for the steps of a training, say.

    Key and number may be traced: a step of a loop has its own numbers by `fold_in(key, i)`. Raises as `split` does.
    """
    if isinstance(number, Tensor):
        return _keys(parent, number)
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise error("TILE0511", f"a number is folded in, not an object of type {type(number).__name__}")
    return _keys(parent, np.array(int(number) % (1 << 64), np.uint64))


def _keys(parent: Any, numbers: Any) -> Any:
    """The keys of these numbers, at once or, where something is traced, as a tensor."""
    if isinstance(parent, Tensor) or isinstance(numbers, Tensor):
        with located():
            return _traced_keys(lift(parent), lift(numbers))
    return _words(_children(parent, numbers))


def _traced_keys(parent: Tensor, numbers: Tensor) -> Tensor:
    if numbers.type.dtype == BOOL or not numbers.type.dtype.is_integer:
        raise error("TILE0511", f"an integer is folded in, not {numbers.type.dtype.long}")
    words = as_dtype(_checked_key(parent), U64)
    whole = apply("bit_or", words[0], apply("bit_left", words[1], 32))
    blocks = apply("threefry", apply("bit_xor", whole, np.uint64(_CHILDREN)), as_dtype(numbers, U64))
    found: Tensor = stack([as_dtype(blocks, U32), as_dtype(apply("bit_right", blocks, 32), U32)], axis=-1)
    return found


def _checked_key(key: Tensor) -> Tensor:
    if key.type.dtype != U32 or key.shape != (2,):
        raise _no_key(key.type.dtype.long, key.shape)
    return key


def _no_key(dtype: Any, shape: Any) -> Exception:
    help = "tilec.random.key(seed) makes one, split(key) gives several"
    return error("TILE0301", f"a key is a uint32 array of shape [2], not {dtype} of {list(shape)}", help=help)


def _children(parent: Any, numbers: Array) -> Array:
    words = np.asarray(parent)
    if words.dtype != np.uint32 or words.shape != (2,):
        raise _no_key(words.dtype, words.shape)
    whole = int(words[0]) | int(words[1]) << 32
    return threefry(np.full(numbers.shape, whole ^ _CHILDREN, np.uint64), numbers)


def _words(blocks: Array) -> Array:
    return np.stack([blocks & np.uint64(0xFFFFFFFF), blocks >> np.uint64(32)], axis=-1).astype(np.uint32)


# --- bits and uniform numbers -----------------------------------------------------------------------------------------


@operation
def bits(key: Any, offset: Any = 0, /, shape: Any = (), dtype: Any = "uint32") -> Any:
    """Random bits, uint32 or uint64: element n, in row-major order, comes from block `offset + n` of the key."""
    return _bits(key, offset, shape, dtype_of(dtype))


def _bits(key: Any, offset: Any, shape: Any, dtype: DType) -> Tensor:
    if dtype not in (U32, U64):
        raise error("TILE0301", f"random bits are uint32 or uint64, not {dtype.long}")
    if isinstance(offset, tuple | list):
        help = "the shape comes after the offset: normal(key, 0, (2, 3)), or normal(key, shape=(2, 3))"
        raise error("TILE0511", f"an offset is an integer, not a {type(offset).__name__}", help=help)
    node = Special(
        "random_bits" if dtype == U32 else "random_bits64",
        scope().names([_checked_key(lift(key)), lift(offset)]),
        (("shape", shape_of(shape)),),
    )
    return scope().bind(node, "bits")


@operation
def uniform(
    key: Any, offset: Any = 0, /, shape: Any = (), dtype: Any = "float32", low: float = 0.0, high: float = 1.0
) -> Any:
    """Uniform in [low, high): multiples of 2^-p, with p the bits of the type's significand, scaled and moved.

    Where low + (high - low) u is rounded, `high` itself can come out, unless low is 0. Raises TILE0511 of bounds that
    are no numbers, that hold nothing between them, or whose distance the type does not have.
    """
    target = dtype_of(dtype)
    low, high = _bounds(low, high)
    with np.errstate(over="ignore"):
        held = np.isfinite(np.array([low, high, high - low]).astype(target.numpy)).all() if target.is_float else True
    if not held:
        raise error("TILE0511", f"no random {target.long} in [{low}, {high})", help="bounds at a finite distance")
    unit = _unit(key, offset, shape, target)
    return unit if (low, high) == (0.0, 1.0) else low + unit * (high - low)


def _unit(key: Any, offset: Any, shape: Any, dtype: DType) -> Any:
    """Multiples of 2^-p in [0, 1)."""
    digits = {F16: 11, BF16: 8, F32: 24, F64: 53}.get(dtype)
    if digits is None:
        raise error("TILE0301", f"random numbers of this distribution are floats, not {dtype.long}")
    source = U64 if dtype == F64 else U32
    top = apply("bit_right", _bits(key, offset, shape, source), source.bits - digits)
    return as_dtype(top, dtype) * 2.0**-digits


def _bounds(low: Any, high: Any) -> tuple[float, float]:
    """The bounds of a distribution as floats."""
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int | float | np.integer | np.floating):
            raise error("TILE0511", f"a bound of random numbers is a number, not {bound!r}")
    if not low < high:
        raise error("TILE0511", f"there is no number between {low} and {high}", help="low < high")
    return float(low), float(high)


@operation
def bernoulli(key: Any, offset: Any = 0, p: Any = 0.5, /, shape: Any = None) -> Any:
    """True with probability p, in steps of 2^-24; of the shape of p unless another is given, to which p broadcasts."""
    chance = as_dtype(lift(p), F32)
    return apply("cmp_lt", _unit(key, offset, chance.shape if shape is None else shape, F32), chance)


@operation
def randint(key: Any, offset: Any = 0, /, shape: Any = (), low: int = 0, high: int = 2, dtype: Any = "int32") -> Any:
    """Integers in [low, high), at most 2^32 - 1 of them.

    The upper 64 bits of block * (high - low): each number is as likely as any other up to a share of 2^-32 at most.
    """
    target = dtype_of(dtype)
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int | np.integer):
            raise error("TILE0511", f"a bound of random integers is an integer, not {bound!r}")
    low, high = int(low), int(high)
    width = high - low
    if not target.is_integer or target == BOOL:
        raise error("TILE0301", f"random integers are of an integer type, not {target.long}")
    if not 0 < width < 1 << 32 or not (target.min <= low and high - 1 <= target.max):
        raise error("TILE0511", f"no random {target.long} in [{low}, {high})", help="low < high, both in the type")
    block = _bits(key, offset, shape, U64)
    size = np.uint64(width)
    upper, lower = apply("bit_right", block, 32), apply("bit_and", block, np.uint64(0xFFFFFFFF))
    chosen = apply("bit_right", upper * size + apply("bit_right", lower * size, 32), 32)
    return as_dtype(as_dtype(chosen, I64) + np.int64(low), target)


# --- normal numbers ---------------------------------------------------------------------------------------------------


@operation
def normal(key: Any, offset: Any = 0, /, shape: Any = (), dtype: Any = "float32") -> Any:
    """Standard normal, by the transform of Box and Muller (1958): sqrt(-2 log u) cos(2 pi v).

    u and v are the words of a block, 32 bits each: the tails end at 6.7 standard deviations, as far as 2^32 numbers
    reach. In float64 u has 64 bits, and v comes from a second stream; the tails end at 9.4.
    """
    target = dtype_of(dtype)
    if target in (F16, BF16):
        return as_dtype(_normal(key, offset, shape, F32), target)
    return _normal(key, offset, shape, target)


def _normal(key: Any, offset: Any, shape: Any, dtype: DType) -> Any:
    block = _bits(key, offset, shape, U64)
    if dtype == F64:
        second = apply("bit_xor", lift(key), np.array([0xB5297A4D, 0x68E31DA4], np.uint32))
        u, v, scale = block, _bits(second, offset, shape, U64), 2.0**-64
    elif dtype == F32:
        u, v, scale = as_dtype(apply("bit_right", block, 32), U32), as_dtype(block, U32), 2.0**-32
    else:
        raise error("TILE0301", f"normal numbers are floats, not {dtype.long}")
    radius = apply("sqrt", apply("log", (as_dtype(u, dtype) + 1.0) * scale) * -2.0)
    return radius * apply("cos", as_dtype(v, dtype) * (2 * pi * scale))


@operation
def truncated_normal(
    key: Any, offset: Any = 0, /, shape: Any = (), dtype: Any = "float32", low: float = -2.0, high: float = 2.0
) -> Any:
    """Standard normal on the condition that it is in [low, high], by the inverse of the distribution function.

    The tails are cut at 5.4 standard deviations in float32 and 7.9 in float64, where the function tells no values
    apart. Raises TILE0511 of bounds that are both beyond 4, or 7 in float64: little would be left between.
    """
    target = dtype_of(dtype)
    low, high = _bounds(low, high)
    wide = F32 if target in (F16, BF16) else target
    farthest = 7.0 if wide == F64 else 4.0
    if low > farthest or high < -farthest:
        text = f"{target.long} numbers cannot be drawn from the tail between {low} and {high}"
        raise error("TILE0511", text, help=f"bounds within {farthest:g} standard deviations, or dtype='float64'")
    first, last = (float(erf(bound / sqrt(2))) for bound in (low, high))
    u = _unit(key, offset, shape, wide)
    nearest = 1 - 2.0 ** -(53 if wide == F64 else 24)  # to 1, whose inverse is infinite
    y = apply("max", apply("min", first + u * (last - first), nearest), -nearest)
    x = _inverse_erf(y, wide) * sqrt(2)
    return as_dtype(apply("min", apply("max", x, low), high), target)


# M. Giles, Approximating the erfinv function, GPU Computing Gems 2 (2010): polynomials in w - 2.5 and sqrt(w) - 3.
_NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
         -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
        0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


def _inverse_erf(y: Tensor, dtype: DType) -> Any:
    """The x with erf x = y; in float64 by two steps of Halley's method more."""
    w = -apply("log", (1.0 - y) * (1.0 + y))
    near = apply("cmp_lt", w, 5.0)
    t = where(near, w - 2.5, apply("sqrt", w) - 3.0)
    p: Any = where(near, _NEAR[0], _FAR[0])
    for a, b in zip(_NEAR[1:], _FAR[1:]):
        p = where(near, a, b) + as_dtype(p, dtype) * t
    x = as_dtype(p, dtype) * y
    for _ in range(2 if dtype == F64 else 0):
        newton = (apply("erf", x) - y) * apply("exp", x * x) * (sqrt(pi) / 2)
        x = x - newton / (1.0 + x * newton)
    return x


# --- choices ----------------------------------------------------------------------------------------------------------


@operation
def categorical(key: Any, offset: Any = 0, logits: Any = (0.0,), /) -> Any:
    """One index, int32, for each row of `logits` along the last axis, with probability softmax(logits).

    The place of the greatest logit to which Gumbel noise, -log(-log(1 - v)), is added (E. J. Gumbel, 1954). v has 32
    bits, as the noise that wins comes from those close to 0.
    """
    given = lift(logits)
    if not given.ndim or not given.shape[-1]:
        raise error("TILE0511", "categorical takes logits along a last axis that is not empty")
    v = (as_dtype(_bits(key, offset, given.shape, U32), F32) + 0.5) * 2.0**-32
    below_one = apply("min", v, 1 - 2.0**-24)  # what is rounded up to 1 would make infinite noise
    noisy = as_dtype(given, F32) - apply("log", -apply("log1p", -below_one))
    best = largest(noisy, axis=-1, keepdims=True)
    count = given.shape[-1]
    places = np.arange(count, dtype=np.int32)
    return smallest(where(apply("cmp_eq", noisy, best), places, np.int32(count - 1)), axis=-1)


@operation
def permutation(key: Any, offset: Any = 0, /, n: int = 1) -> Any:
    """The numbers 0 to n - 1, int32, in random order: the order of n blocks, which are equal with probability 2^-64."""
    return as_dtype(argsort(_bits(key, offset, (n,), U64), axis=0), I32)


@operation
def shuffle(key: Any, offset: Any = 0, x: Any = (0.0,), /) -> Any:
    """The rows of x, along its first axis, in random order."""
    given = lift(x)
    if not given.ndim:
        raise error("TILE0511", "a single number cannot be shuffled")
    return take(given, argsort(_bits(key, offset, (given.shape[0],), U64), axis=0), axis=0)


__all__ = [
    "bernoulli",
    "bits",
    "categorical",
    "fold_in",
    "key",
    "normal",
    "permutation",
    "randint",
    "shuffle",
    "split",
    "truncated_normal",
    "uniform",
]
