"""The first result of relu(x @ w + b), 512 x 512 x 512, in a fresh process: how long a compiler lets one wait.

    python benchmarks/latency.py [--rounds 5] [--contenders tilec,jax]

`imports`: the library's import. `first`: from then to the first result, compilation included, with empty caches.
`cached`: the same in the next process, with what the first one kept on disk. `later`: a later call. Medians, ms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CONTENDERS = ("tilec", "numpy", "torch", "torch.compile", "jax", "numba")
SIZE = 512


def program(contender: str) -> Callable[..., Any]:
    """The function of NumPy arrays x, w, b, not yet compiled; imports the library."""
    if contender == "tilec":
        import tilec
        import tilec.numpy as tnp

        return tilec.jit(lambda x, w, b: tnp.relu(x @ w + b))
    if contender == "jax":
        import jax
        import jax.numpy as jnp

        if folder := os.environ.get("BENCHMARK_CACHE"):
            jax.config.update("jax_compilation_cache_dir", folder)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        compiled = jax.jit(lambda x, w, b: jnp.maximum(x @ w + b, 0))
        return lambda *arrays: jax.block_until_ready(compiled(*arrays))
    if contender == "numba":
        import numba
        import numpy as np

        return numba.njit(lambda x, w, b: np.maximum(x @ w + b, np.float32(0)))  # type: ignore[no-any-return]
    if contender == "numpy":
        import numpy as np

        return lambda x, w, b: np.maximum(x @ w + b, 0)
    import torch

    def relu(x: Any, w: Any, b: Any) -> Any:
        return torch.relu(x @ w + b)

    run = torch.compile(relu) if contender == "torch.compile" else relu
    return lambda *arrays: run(*map(torch.from_numpy, arrays))


def child(contender: str) -> None:
    """Prints the times of this process, in milliseconds."""
    import numpy as np

    random = np.random.default_rng(0)
    arrays = [random.random(s, np.float32) for s in ((SIZE, SIZE), (SIZE, SIZE), (SIZE,))]
    times = [time.perf_counter()]
    run = program(contender)
    times.append(time.perf_counter())
    for _ in range(12):
        run(*arrays)
        times.append(time.perf_counter())
    spans = [1e3 * (b - a) for a, b in pairwise(times)]
    print(json.dumps({"imports": spans[0], "first": spans[1], "later": statistics.median(spans[3:])}))


def measure(contender: str, folder: str) -> dict[str, float]:
    """One process, with its caches in `folder`."""
    caches = {"TILEC_CACHE": "1", "TILEC_CACHE_DIR": folder, "TORCHINDUCTOR_CACHE_DIR": folder}
    environment = {**os.environ, **caches, "BENCHMARK_CACHE": folder, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, "--child", contender]
    found: dict[str, float] = json.loads(subprocess.check_output(command, env=environment).splitlines()[-1])
    return found


def main() -> None:
    from benchmarks.contenders import installed

    parser = argparse.ArgumentParser(
        description="Milliseconds to the first result of relu(x @ w + b), in fresh processes."
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    names = [n for n in options.contenders.split(",") if installed(n)]
    samples: dict[str, list[dict[str, float]]] = {n: [] for n in names}
    for _ in range(options.rounds):
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                cold, warm = measure(name, folder), measure(name, folder)
            samples[name].append({**cold, "cached": warm["first"]})
    print(f"{'ms':16}" + "".join(f"{c:>12}" for c in ("imports", "first", "cached", "later")))
    medians = {n: {c: statistics.median(s[c] for s in found) for c in found[0]} for n, found in samples.items()}
    for name, row in medians.items():
        print(f"{name:16}" + "".join(f"{row[c]:12.2f}" for c in ("imports", "first", "cached", "later")))
    if options.json:
        options.json.write_text(json.dumps({"topic": "latency", "milliseconds": medians}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
