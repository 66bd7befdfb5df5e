"""Floor 1: Threefry-2x32 with 20 rounds: J. K. Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011).

A 64-bit block cipher made for random numbers: of one key, the blocks of the counters 0, 1, 2 ... are as good as random,
and any of them can be had without those before it. A key, a counter and a block are two words of 32 bits each; here
they are one 64-bit integer, its low word first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tilec.dtypes import U32, U64, DType
from tilec.expr import Expr
from tilec.mathlib.value import Value, cast

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA


def expand(args: tuple[Expr, ...], dtype: DType) -> Expr:
    """The block of `(key, counter)`, computed in 32-bit words; other integers than u64 are converted to it and back."""
    key, counter = (_words(Value(a)) for a in args)
    keys = (*key, key[0] ^ key[1] ^ _PARITY)
    x0, x1 = counter[0] + keys[0], counter[1] + keys[1]
    for step in range(20):
        turn = _ROTATIONS[step % 8]
        x0 = x0 + x1
        x1 = ((x1 << turn) | (x1 >> (32 - turn))) ^ x0
        if step % 4 == 3:
            n = step // 4 + 1
            x0, x1 = x0 + keys[n % 3], x1 + keys[(n + 1) % 3] + n
    block = cast(x0, U64) | (cast(x1, U64) << 32)
    return (block if dtype == U64 else cast(block, dtype)).expr


def _words(x: Value) -> tuple[Value, Value]:
    wide = x if x.dtype == U64 else cast(x, U64)
    return cast(wide, U32), cast(wide >> 32, U32)


def threefry(key: npt.NDArray[np.generic], counter: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The same on NumPy integers of one dtype, for evaluators and tests: one block per pair of elements."""
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    with np.errstate(over="ignore"):
        wide, count = (np.asarray(x).astype(np.uint64) for x in (key, counter))
        keys = [(wide & low).astype(np.uint32), (wide >> high).astype(np.uint32)]
        keys.append(keys[0] ^ keys[1] ^ np.uint32(_PARITY))
        x0, x1 = (count & low).astype(np.uint32) + keys[0], (count >> high).astype(np.uint32) + keys[1]
        for step in range(20):
            turn = _ROTATIONS[step % 8]
            x0 = x0 + x1
            x1 = ((x1 << np.uint32(turn)) | (x1 >> np.uint32(32 - turn))) ^ x0
            if step % 4 == 3:
                n = step // 4 + 1
                x0, x1 = x0 + keys[n % 3], x1 + keys[(n + 1) % 3] + np.uint32(n)
        block = x0.astype(np.uint64) | (x1.astype(np.uint64) << high)
    return np.asarray(block.astype(np.asarray(key).dtype))
