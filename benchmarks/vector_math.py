"""Elementary functions on 16,384 float32 numbers, which stay in the cache: tilec beside NumPy, PyTorch, JAX and numba.

    python benchmarks/vector_math.py [--only NAME] [--count N] [--peers torch,numpy,jax,numba]

Prints nanoseconds per element at the median, and how many times faster than each other tilec is; those that are not
installed are left out. One thread each, results preallocated where the library can. Goal: at least 1.0 of torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

if __name__ == "__main__":
    from harness import single_thread

    single_thread()

import numpy as np
from harness import interleave

import tilec
from tilec.pipeline import resolve_target

TARGET = replace(resolve_target("llvm"), threads=1)
GELU = "0.5 * X * (1.0 + tanh(0.7978846 * (X + 0.044715 * X * X * X)))"


@dataclass(frozen=True, slots=True)
class Case:
    """A function as tilec's expression in X (and Y), its arguments' interval, and what others call it."""

    name: str
    text: str
    low: float
    high: float
    operands: int = 1


CASES = (
    Case("exp", "exp(X)", -20, 20),
    Case("log", "log(X)", 1e-3, 1e3),
    Case("tanh", "tanh(X)", -10, 10),
    Case("sigmoid", "sigmoid(X)", -20, 20),
    Case("erf", "erf(X)", -5, 5),
    Case("sin", "sin(X)", -1000, 1000),
    Case("cos", "cos(X)", -1000, 1000),
    Case("pow", "pow(X, Y)", 1e-2, 10, operands=2),
    Case("gelu", GELU, -5, 5),
    Case("sqrt", "sqrt(X)", 0, 1e3),
    Case("expm1", "expm1(X)", -5, 5),
    Case("log1p", "log1p(X)", 0, 10),
    Case("tan", "tan(X)", -10, 10),
    Case("atan", "atan(X)", -10, 10),
)


def ours(case: Case, args: list[Any]) -> Callable[[], object]:
    names = "XY"[: case.operands]
    text = f"function ({', '.join(names)}) -> (R) {{ R = {case.text}; }}"
    compiled = tilec.compile(text, target=TARGET, **dict(zip(names, args, strict=True)))
    out = np.empty_like(args[0])
    return lambda: compiled(*args, out=out)


def with_numpy(case: Case, args: list[Any]) -> Callable[[], object] | None:
    names = {"pow": "power", "atan": "arctan"}
    function, out = getattr(np, names.get(case.name, case.name), None), np.empty_like(args[0])
    return None if function is None else lambda: function(*args, out=out)


def with_torch(case: Case, args: list[Any]) -> Callable[[], object]:
    import torch

    torch.set_num_threads(1)
    tensors, out = [torch.from_numpy(a) for a in args], torch.empty(args[0].shape)
    if case.name == "gelu":
        gelu = torch._C._nn.gelu
        return lambda: gelu(*tensors, approximate="tanh", out=out)
    function = getattr(torch, case.name)
    return lambda: function(*tensors, out=out)


def with_jax(case: Case, args: list[Any]) -> Callable[[], object]:
    import jax

    names = {"sigmoid": jax.nn.sigmoid, "erf": jax.scipy.special.erf, "pow": jax.numpy.power}
    function = jax.jit(names.get(case.name) or getattr(jax.nn if case.name == "gelu" else jax.numpy, case.name))
    arrays = [jax.numpy.asarray(a) for a in args]
    return lambda: function(*arrays).block_until_ready()


def with_numba(case: Case, args: list[Any]) -> Callable[[], object] | None:
    import math

    import numba

    function, out = getattr(math, case.name, None), np.empty_like(args[0])
    if function is None:
        return None
    if case.operands == 2:

        @numba.njit
        def loop(x, y, r):  # type: ignore[no-untyped-def]
            for i in range(x.size):
                r[i] = function(x[i], y[i])
    else:

        @numba.njit
        def loop(x, r):  # type: ignore[no-untyped-def]
            for i in range(x.size):
                r[i] = function(x[i])

    loop(*args, out)
    return lambda: loop(*args, out)


PEERS = {"torch": with_torch, "numpy": with_numpy, "jax": with_jax, "numba": with_numba}


def contenders(case: Case, count: int, peers: list[str]) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    args = [rng.uniform(case.low, case.high, count).astype(np.float32) for _ in range(case.operands)]
    found = {"tilec": ours(case, args)}
    for name in peers:
        try:
            call = PEERS[name](case, args)
        except ImportError:
            continue
        if call is not None:
            found[name] = call
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names of functions, with commas between them")
    parser.add_argument("--count", type=int, default=16384)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--budget", type=float, default=2.0, help="seconds per function")
    args = parser.parse_args()
    chosen = [c for c in CASES if not args.only or c.name in args.only.split(",")]
    for case in chosen:
        times = interleave(contenders(case, args.count, args.peers.split(",")), sample=5e-4, budget=args.budget)
        rates = "  ".join(f"{name} {t.median / args.count * 1e9:6.3f}" for name, t in times.items())
        ratios = "  ".join(f"{t.median / times['tilec'].median:5.2f} of {n}" for n, t in times.items() if n != "tilec")
        print(f"{case.name:8} ns/element: {rates}   tilec is {ratios}", flush=True)


if __name__ == "__main__":
    main()
