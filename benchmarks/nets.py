"""Networks in inference and in training: tilec beside PyTorch (eager and compiled) and JAX, in one run.

    python benchmarks/nets.py [--threads 2] [--only "resnet18 inference"] [--pixels 64] [--json nets2.json]

Each contender runs a case in a process of its own, from the same weights. `first` is the time from the imported
framework to the end of the first call, compilation included, with empty caches; `peak` is the most memory that the
process held; `time` is the median of later calls, all contenders in turn. A training step is the forward pass, the
gradient, and an optimizer: gradient descent with momentum for networks of convolutions, Adam for the others.

The results of contenders are compared: scores in inference, the loss after three steps in training.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.net_models.data import NETWORKS, PIXELS, Case, batch, weights
from benchmarks.workers import Prepared, Worker

MODULES = {
    "tilec": "with_tilec",
    "torch": "with_torch",
    "torch channels last": "with_torch_channels_last",
    "torch.compile": "with_torch_compile",
    "jax": "with_jax",
}
TOLERANCE = 2e-3  # of the largest result
Row = dict[str, dict[str, float]]  # contender: figure: value


@dataclass(frozen=True, slots=True)
class Contender:
    """A process that has run a case."""

    worker: Worker
    prepared: Prepared
    sample: Any


def cases(networks: Sequence[str], pixels: int, training_pixels: int) -> list[Case]:
    """Inference of 1 and of 8, and a step of training with 8."""
    found = []
    for network in networks:
        sizes = [PIXELS.get(network, chosen) for chosen in (pixels, training_pixels)]
        found += [Case(network, False, count, sizes[0]) for count in (1, 8)] + [Case(network, True, 8, sizes[1])]
    return found


def measure(case: Case, names: Sequence[str], threads: int, rounds: int, budget: float) -> Row:
    """The figures of every contender that can do the case. Raises SystemExit where results differ."""
    operands = (*weights(case.network), *batch(case))
    running = {n: c for n in names if (c := begin(n, case, operands, threads))}
    check(case, {n: c.sample for n, c in running.items()})
    seconds: dict[str, list[float]] = {n: [] for n in running}
    for _ in range(rounds):
        for n, c in running.items():
            time.sleep(0.01)  # until the last one's threads sleep
            seconds[n].append(c.worker.time(c.prepared.usual, budget))
    row = {
        n: {"first": c.prepared.first, "peak": c.worker.peak_memory() / 2**20, "time": statistics.median(seconds[n])}
        for n, c in running.items()
    }
    for c in running.values():
        c.worker.close()
    return row


def begin(name: str, case: Case, operands: tuple[Any, ...], threads: int) -> Contender | None:
    """None where the contender has no such case, or fails."""
    worker = Worker(name, "network", threads, f"benchmarks.net_models.{MODULES[name]}")
    try:
        prepared = worker.prepare((case,), operands)
        if prepared is not None:
            return Contender(worker, prepared, worker.call() if case.training else prepared.sample)
    except RuntimeError as problem:
        print(f"{case.label}: {problem}", file=sys.stderr)
    worker.close()
    return None


def check(case: Case, samples: Mapping[str, Any]) -> None:
    """All contenders compute the same thing."""
    first, *others = samples
    a = samples[first]
    for other in others:
        b = samples[other]
        if a.shape != b.shape or not np.all(np.abs(a - b) <= TOLERANCE * np.abs(a).max()):
            raise SystemExit(f"{case.label}: {first} and {other} compute different things: {a[:4]} and {b[:4]}")


def shown(case: Case, row: Row) -> str:
    lines = [case.label]
    for n, f in row.items():
        figures = f"{f['time'] * 1e3:10.3f} ms   first {f['first']:7.2f} s   peak {f['peak']:7.0f} MiB"
        lines.append(f"  {n:20} {figures}")
    if "tilec" in row and len(row) > 1:
        ratios = "   ".join(f"{k} {ratio(row, k):.2f}" for k in ("time", "first", "peak"))
        lines.append(f"  best other / tilec: {ratios}")
    return "\n".join(lines)


def ratio(row: Row, figure: str) -> float:
    """The least figure of all others over tilec's."""
    return min(f[figure] for n, f in row.items() if n != "tilec") / row["tilec"][figure]


def summary(rows: Mapping[str, Row], kind: str) -> str:
    """Geometric means over the cases of a kind."""
    chosen = [r for label, r in rows.items() if kind in label and "tilec" in r and len(r) > 1]
    if not chosen:
        return ""
    mean = statistics.geometric_mean(ratio(r, "time") for r in chosen)
    peaks = statistics.geometric_mean(ratio(r, "peak") for r in chosen)
    text = f"{kind}: tilec is {mean:.2f} of the best of each case; memory of the best / tilec {peaks:.2f}"
    compiled = [r["torch.compile"]["first"] / r["tilec"]["first"] for r in chosen if "torch.compile" in r]
    soon = (
        f"; first call {statistics.geometric_mean(compiled):.1f} times as soon as torch.compile's" if compiled else ""
    )
    return text + soon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="cases whose label contains this")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--contenders", nargs="+", default=list(MODULES), choices=list(MODULES))
    parser.add_argument("--pixels", type=int, default=224, help="a side of images of large networks")
    parser.add_argument("--training-pixels", type=int, default=224, help="the same in training")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--budget", type=float, default=0.1, help="seconds that a round takes of each contender")
    parser.add_argument("--json", type=Path, help="file to add the figures to, for benchmarks/report.py")
    options = parser.parse_args()
    names = [n for n in options.contenders if importlib.util.find_spec(n.partition(".")[0].partition(" ")[0])]
    rows = {}
    for case in cases(options.networks, options.pixels, options.training_pixels):
        if options.only in case.label:
            rows[case.label] = measure(case, names, options.threads, options.rounds, options.budget)
            print(shown(case, rows[case.label]), flush=True)
            if options.json:
                write(options.json, options.threads, rows)
    print("\n".join(filter(None, (summary(rows, kind) for kind in ("inference", "training")))))


def write(path: Path, threads: int, rows: Mapping[str, Row]) -> None:
    """Adds rows to those of a file."""
    known = json.loads(path.read_text(encoding="utf-8"))["networks"] if path.exists() else {}
    figures = {"topic": "networks", "threads": threads, "networks": {**known, **rows}}
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
