"""Matrix products of narrow types: by machine instructions, without them, and by PyTorch where it is installed.

    python benchmarks/instructions.py [--size 512] [--threads 1]

Contenders take turns in one process. `constant`: the right operand is known when the program is compiled, and packed
then; else it is packed in every call. Figures are billions of operations a second, two for each product.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness import interleave, single_thread

PAIRS = ("int8 int8", "uint8 int8", "int16 int16", "bfloat16 bfloat16", "float32 float32")
MIXED = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N]: i32 = +(as_int(A[m, k], 32) * as_int(B[k, n], 32)); }"
SAME = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"


def contenders(pair: str, size: int, threads: int) -> dict[str, Callable[[], object]]:
    import ml_dtypes
    import numpy as np

    import tilec
    from tilec.devices import resolve_target

    r = np.random.default_rng(0)
    types = [np.dtype(ml_dtypes.bfloat16 if t == "bfloat16" else t) for t in pair.split()]
    a, b = (r.integers(0, 100, (size, size)).astype(t) for t in types)
    text = MIXED if types[0].kind in "iu" else SAME
    own = replace(resolve_target("llvm"), threads=threads)
    plain = replace(own, features=tuple(f for f in own.features if not any(w in f for w in ("vnni", "bf16", "amx"))))
    found: dict[str, Callable[[], object]] = {}
    for name, target in (("", own), ("plain", plain)):
        fixed = tilec.compile(text, target=target, A=a, constants={"B": b})
        free = tilec.compile(text, target=target, A=a, B=b)
        found[f"{name} constant".strip()] = repeated(fixed, a)
        found[name or "tilec"] = repeated(free, a, b)
    return found | peers(a, b, threads)


def repeated(function: Callable[..., Any], *operands: Any) -> Callable[[], object]:
    """A call that overwrites its result each time."""
    out = function(*operands)
    return lambda: function(*operands, out=out)


def peers(a: Any, b: Any, threads: int) -> dict[str, Callable[[], object]]:
    """PyTorch's product of the same types, where it has one."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(threads)
    match a.dtype.name, b.dtype.name:
        case "int8", "int8":
            x, y = torch.from_numpy(a), torch.from_numpy(b)
            return {"torch": lambda: torch._int_mm(x, y)}
        case ("float32", _) | ("bfloat16", _):
            kind = getattr(torch, a.dtype.name)
            x, y = (torch.from_numpy(v.astype("float32")).to(kind) for v in (a, b))
            return {"torch": lambda: torch.mm(x, y)}
        case _:
            return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    os.environ.setdefault("TILEC_TUNE", "0")
    if given.threads == 1:
        single_thread()
    for pair in PAIRS:
        times = interleave(contenders(pair, given.size, given.threads), budget=3.0)
        rates = {name: 2 * given.size**3 / t.minimum / 1e9 for name, t in times.items()}
        print(f"{pair:18}", "  ".join(f"{name} {rate:.0f}" for name, rate in rates.items()), flush=True)


if __name__ == "__main__":
    main()
