"""One training step of three small networks: tilec against torch eager, torch.compile and JAX, in one run.

    python benchmarks/training.py [--networks mlp conv lstm] [--rounds 31]

Three things are measured. `first`: seconds from the imported frameworks to the end of the first step, compilation
included, each in a process of its own with empty caches. `peak`: MiB of memory that this whole process came to need at
most, and how much of it beyond what the imports took. `step`: median time of a later step, all contenders in turn in
one process.

Before that the contenders' losses over five steps are compared: a wrong one ends the run.
All run with the same number of threads (OMP_NUM_THREADS, or all cores). Contenders that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import interleave  # noqa: E402
from benchmarks.training_models import data  # noqa: E402

NEEDS = {"tilec": "tilec", "torch": "torch", "torch.compile": "torch", "jax": "jax"}
STEPS = 5  # whose losses are compared


def trainer(contender: str, network: str) -> Callable[[data.Array, data.Array], float]:
    """The training function of one contender, from the common starting values."""
    framework, _, compiled = contender.partition(".")
    found = importlib.import_module(f"benchmarks.training_models.with_{framework}")
    choice = {"compiled": bool(compiled)} if framework == "torch" else {}
    return found.trainer(network, data.parameters(network), **choice)  # type: ignore[no-any-return]


def first_step(contender: str, network: str) -> dict[str, float]:
    """Runs in a process of its own: seconds to the first step's end, and MiB above the imports."""
    importlib.import_module(f"benchmarks.training_models.with_{contender.partition('.')[0]}")
    x, y = data.batch(network)
    before = memory("VmRSS")
    started = time.perf_counter()
    loss = trainer(contender, network)(x, y)
    seconds = time.perf_counter() - started
    peak = memory("VmHWM")
    return {"first": seconds, "peak": peak / 2**20, "beyond": (peak - before) / 2**20, "loss": loss}


def memory(field: str) -> int:
    """Bytes in use by this process: `VmRSS` now, `VmHWM` at most so far (Linux; ru_maxrss counts the parent's, too)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def in_fresh_process(contender: str, network: str) -> dict[str, float]:
    """`first_step` with empty caches."""
    with tempfile.TemporaryDirectory() as empty:
        caches = {"TILEC_CACHE": "0", "TORCHINDUCTOR_CACHE_DIR": empty}
        command = [sys.executable, __file__, "--first", contender, network]
        found = subprocess.run(command, env={**os.environ, **caches}, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise SystemExit(f"{contender} failed on {network}:\n{found.stderr}")
    answer: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return answer


def compare(network: str, contenders: list[str], rounds: int) -> None:
    """Prints the three figures of every contender, and tilec's as ratios."""
    x, y = data.batch(network)
    fresh = {c: in_fresh_process(c, network) for c in contenders}
    steps = {c: trainer(c, network) for c in contenders}
    check_losses(network, {c: [step(x, y) for _ in range(STEPS)] for c, step in steps.items()})
    times = interleave({c: (lambda s=step: s(x, y)) for c, step in steps.items()}, rounds, budget=20)  # type: ignore[misc]
    for c in contenders:
        first, top, beyond = (fresh[c][k] for k in ("first", "peak", "beyond"))
        needed = f"peak {top:7.1f} MiB, {beyond:6.1f} beyond imports"
        print(f"{network:5} {c:14} first {first:7.2f} s   {needed}   step {times[c].median * 1e3:8.3f} ms")
    for c in contenders:
        if c != "tilec" and "tilec" in contenders:
            shown = "   ".join(f"{k} {fresh[c][k] / fresh['tilec'][k]:.2f}" for k in ("first", "peak", "beyond"))
            print(f"{network:5} {c} / tilec: {shown}   step {times[c].median / times['tilec'].median:.2f}")


def check_losses(network: str, losses: dict[str, list[float]]) -> None:
    """All contenders compute the same thing."""
    names = list(losses)
    for other in names[1:]:
        for k, (a, b) in enumerate(zip(losses[names[0]], losses[other], strict=True)):
            if not abs(a - b) <= 1e-3 * abs(a):
                raise SystemExit(f"{network}: the loss of step {k} is {a} by {names[0]} and {b} by {other}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(data.NETWORKS), choices=data.NETWORKS)
    parser.add_argument("--contenders", nargs="+", default=list(NEEDS), choices=list(NEEDS))
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--first", nargs=2, metavar=("CONTENDER", "NETWORK"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.first:
        print(json.dumps(first_step(*args.first)))
        return
    present = [c for c in args.contenders if importlib.util.find_spec(NEEDS[c])]
    for missing in set(args.contenders) - set(present):
        print(f"{missing} is not installed: left out")
    for network in args.networks:
        compare(network, present, args.rounds)


if __name__ == "__main__":
    main()
