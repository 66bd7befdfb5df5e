"""Products and elementwise chains in float32 by the OpenCL backend, on every device found, and by the LLVM backend.

    python benchmarks/opencl.py [--only gelu] [--device 0] [--seconds 4]

Whole calls, arrays of the host in and out. The contenders take turns; medians, and the LLVM backend's time over that of
each device: 1 is as fast.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import tilec
from benchmarks.harness import interleave
from tilec.devices import backend

PRODUCT = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
CHAIN = "function (A, B) -> (C) { T = 2.0 * A + B; C = select(T < 0.0, 0.0, T); }"
GELU = "function (A) -> (C) { C = 0.5 * A * (1.0 + tanh(0.7978845608 * (A + 0.044715 * A * A * A))); }"
MIB = 1 << 18  # float32 numbers

CASES: dict[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {
    "product 512": (PRODUCT, ("A", "B"), (512, 512)),
    "product 1024": (PRODUCT, ("A", "B"), (1024, 1024)),
    "relu(2a + b), 4 MiB": (CHAIN, ("A", "B"), (4 * MIB,)),
    "relu(2a + b), 64 MiB": (CHAIN, ("A", "B"), (64 * MIB,)),
    "gelu, 4 MiB": (GELU, ("A",), (4 * MIB,)),
    "gelu, 64 MiB": (GELU, ("A",), (64 * MIB,)),
}


def aligned(shape: tuple[int, ...]) -> Any:
    """Uninitialised, from the start of a page on."""
    size = int(np.prod(shape)) * 4
    memory = np.empty(size + 4096, np.uint8)
    start = -memory.ctypes.data % 4096
    return memory[start : start + size].view(np.float32).reshape(shape)


def compare(label: str, targets: Sequence[str], seconds: float) -> None:
    text, names, shape = CASES[label]
    random = np.random.default_rng(0)
    operands = {name: aligned(shape) for name in names}
    for array in operands.values():
        array[...] = random.standard_normal(shape, dtype=np.float32)
    calls, results = {}, {}
    for target in targets:
        compiled = tilec.compile(text, target=target, **operands)
        results[target] = aligned(shape)
        calls[target] = partial(compiled, *operands.values(), out=results[target])
    times = interleave(calls, budget=seconds)
    ours = times["llvm"].median
    for target in targets[1:]:
        same = "the same bits" if results[target].tobytes() == results["llvm"].tobytes() else "other digits"
        found = times[target].median
        print(f"{label:22} {target:10} {1e3 * found:9.3f} ms, LLVM {1e3 * ours:9.3f} ms, {ours / found:5.3f}, {same}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose label has this text")
    parser.add_argument("--device", help="a single OpenCL device, by its name behind the colon")
    parser.add_argument("--seconds", type=float, default=4.0, help="for one case")
    options = parser.parse_args()
    found = [t for t in backend("opencl").targets() if options.device in (None, t.device)]
    for target in found:
        print(f"{target} is {target.cpu}")
    for label in (c for c in CASES if options.only in c):
        compare(label, ["llvm", *map(str, found)], options.seconds)


if __name__ == "__main__":
    main()
