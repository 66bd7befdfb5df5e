"""Floor 5: keys, the bits of their streams, and numbers that are equally likely."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.dtypes import BF16, BOOL, F16, F32, F64, I64, U32, U64, DType
from tilec.errors import error
from tilec.graph import Special
from tilec.mathlib.threefry import threefry
from tilec.numpy import stack
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


@operation(arrays=("offset",))
def bits(key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "uint32") -> Any:
    """Random bits, uint32 or uint64: element n, in row-major order, comes from block `offset + n` of the key."""
    return blocks(key, offset, shape, dtype_of(dtype))


def blocks(key: Any, offset: Any, shape: Any, dtype: DType) -> Tensor:
    """Random bits, of uint32 or uint64."""
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


@operation(arrays=("offset",))
def uniform(
    key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "float32", low: float = 0.0, high: float = 1.0
) -> Any:
    """Uniform in [low, high): multiples of 2^-p, with p the bits of the type's significand, scaled and moved.

    Where low + (high - low) u is rounded, `high` itself can come out, unless low is 0. Raises TILE0511 of bounds that
    are no numbers, that hold nothing between them, or whose distance the type does not have.
    """
    target = dtype_of(dtype)
    low, high = bounds(low, high)
    with np.errstate(over="ignore"):
        held = np.isfinite(np.array([low, high, high - low]).astype(target.numpy)).all() if target.is_float else True
    if not held:
        raise error("TILE0511", f"no random {target.long} in [{low}, {high})", help="bounds at a finite distance")
    share = unit(key, offset, shape, target)
    return share if (low, high) == (0.0, 1.0) else low + share * (high - low)


def unit(key: Any, offset: Any, shape: Any, dtype: DType) -> Any:
    """Multiples of 2^-p in [0, 1)."""
    digits = {F16: 11, BF16: 8, F32: 24, F64: 53}.get(dtype)
    if digits is None:
        raise error("TILE0301", f"random numbers of this distribution are floats, not {dtype.long}")
    source = U64 if dtype == F64 else U32
    top = apply("bit_right", blocks(key, offset, shape, source), source.bits - digits)
    return as_dtype(top, dtype) * 2.0**-digits


def bounds(low: Any, high: Any) -> tuple[float, float]:
    """The bounds of a distribution as floats."""
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int | float | np.integer | np.floating):
            raise error("TILE0511", f"a bound of random numbers is a number, not {bound!r}")
    if not low < high:
        raise error("TILE0511", f"there is no number between {low} and {high}", help="low < high")
    return float(low), float(high)


@operation(arrays=("offset", "p"))
def bernoulli(key: Any, /, offset: Any = 0, p: Any = 0.5, shape: Any = None) -> Any:
    """True with probability p, in steps of 2^-24, never where p is NaN; of the shape of p unless another is given, to
    which p broadcasts."""
    chance = as_dtype(lift(p), F32)
    return apply("cmp_lt", unit(key, offset, chance.shape if shape is None else shape, F32), chance)


@operation(arrays=("offset",))
def randint(key: Any, /, offset: Any = 0, shape: Any = (), low: int = 0, high: int = 2, dtype: Any = "int32") -> Any:
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
    block = blocks(key, offset, shape, U64)
    size = np.uint64(width)
    upper, lower = apply("bit_right", block, 32), apply("bit_and", block, np.uint64(0xFFFFFFFF))
    chosen = apply("bit_right", upper * size + apply("bit_right", lower * size, 32), 32)
    if target == U64:
        return chosen + np.uint64(low)
    return as_dtype(as_dtype(chosen, I64) + np.int64(low), target)
