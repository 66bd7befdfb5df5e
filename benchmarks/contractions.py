"""tilec beside NumPy (and PyTorch, where it is installed), one thread each, outputs preallocated, results compared.

    python benchmarks/contractions.py [--only gemm|conv|chain] [--budget SECONDS]

Prints GFLOP/s or GB/s at the median and ratios (above 1: tilec is faster). Goals: f32 products of 256 to 1024 at least
0.8 of NumPy, a 56x56x64 convolution at least 0.8 of torch, elementwise chains of 16M floats at least 0.9 of NumPy.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

if __name__ == "__main__":
    from harness import single_thread

    single_thread()

import numpy as np
from harness import interleave, row

import tilec
from tilec.pipeline import resolve_target

TARGET = replace(resolve_target("llvm"), threads=1)
GEMM = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
CONV = """function (I[N, H, W, CI], K[KH, KW, CI, CO]) -> (O) {
  O[n, y, x, co : N, H - KH + 1, W - KW + 1, CO] = +(I[n, y + i, x + j, ci] * K[i, j, ci, co]);
}"""
CHAINS = {
    "x * y + z": "function (X, Y, Z) -> (R) { R = X * Y + Z; }",
    "relu(x + y) - 2 z": "function (X, Y, Z) -> (R) { R = relu(X + Y) - 2.0 * Z; }",
}
RNG = np.random.default_rng(0)


def uniform(*shape: int) -> Any:
    return RNG.random(shape, np.float32) - np.float32(0.5)


def close(found: Any, expected: Any) -> None:
    """A benchmark of a wrong result is worth nothing."""
    scale = float(np.abs(expected).max())
    error = float(np.abs(found - expected).max())
    if error > 1e-4 * scale:
        raise SystemExit(f"wrong result: off by {error} where the largest value is {scale}")


def torch_or_none() -> Any:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    return torch


def gemm(budget: float) -> None:
    torch = torch_or_none()
    for n in (256, 384, 512, 768, 1024):
        a, b, out, other = uniform(n, n), uniform(n, n), np.empty((n, n), np.float32), np.empty((n, n), np.float32)
        ours = tilec.compile(GEMM, target=TARGET, A=a, B=b)
        contenders = {
            "tilec": lambda f=ours, a=a, b=b, out=out: f(a, b, out=out),
            "numpy": lambda a=a, b=b, out=other: np.matmul(a, b, out=out),
        }
        if torch is not None:
            ta, tb, to = torch.from_numpy(a), torch.from_numpy(b), torch.empty(n, n)
            contenders["torch"] = lambda f=torch.mm, a=ta, b=tb, out=to: f(a, b, out=out)
        close(ours(a, b), a @ b)
        print(row(f"product {n}x{n}x{n}", 2 * n**3 / 1e9, "GFLOP/s", interleave(contenders, budget=budget)), flush=True)


def conv(budget: float) -> None:
    torch = torch_or_none()
    if torch is None:
        print("convolution: torch is not installed, nothing to compare with")
        return
    for h, ci, co, k in ((56, 64, 64, 3), (56, 64, 256, 1), (28, 128, 128, 3), (14, 256, 256, 3)):
        image, kernel = uniform(1, h + k - 1, h + k - 1, ci), uniform(k, k, ci, co)
        ours = tilec.compile(CONV, target=TARGET, I=image, K=kernel)
        out = np.empty((1, h, h, co), np.float32)
        ti = torch.from_numpy(image.copy()).permute(0, 3, 1, 2)
        tk = torch.from_numpy(kernel.copy()).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            convolve = torch.nn.functional.conv2d
            close(ours(image, kernel), convolve(ti, tk).permute(0, 2, 3, 1).numpy())
            contenders = {
                "tilec": lambda f=ours, i=image, k=kernel, out=out: f(i, k, out=out),
                "torch": lambda f=convolve, i=ti, k=tk: f(i, k),
            }
            times = interleave(contenders, budget=budget)
        work = 2 * h * h * ci * co * k * k / 1e9
        print(row(f"conv {h}x{h} {ci}->{co} {k}x{k}", work, "GFLOP/s", times), flush=True)


def chain(budget: float) -> None:
    x, y, z = (uniform(1 << 24) for _ in range(3))
    out, temporary = np.empty_like(x), np.empty_like(x)

    def multiply_add() -> Any:
        np.multiply(x, y, out=temporary)
        return np.add(temporary, z, out=temporary)

    def relu_chain() -> Any:
        np.add(x, y, out=temporary)
        np.maximum(temporary, 0, out=temporary)
        return np.subtract(temporary, np.float32(2) * z, out=temporary)

    for (title, code), reference in zip(CHAINS.items(), (multiply_add, relu_chain)):
        ours = tilec.compile(code, target=TARGET, X=x, Y=y, Z=z)
        close(ours(x, y, z), reference())
        times = interleave({"tilec": lambda f=ours: f(x, y, z, out=out), "numpy": reference}, 11, 0.0, budget)
        print(row(f"{title}, 16M floats", 4 * x.nbytes / 1e9, "GB/s", times), flush=True)


TOPICS = {"gemm": gemm, "conv": conv, "chain": chain}


def main() -> None:
    parser = argparse.ArgumentParser(description="tilec beside NumPy and PyTorch, one thread each.")
    parser.add_argument("--only", choices=TOPICS)
    parser.add_argument("--budget", type=float, default=6.0, help="seconds per line")
    options = parser.parse_args()
    for name, topic in TOPICS.items():
        if options.only in (None, name):
            topic(options.budget)


if __name__ == "__main__":
    main()
