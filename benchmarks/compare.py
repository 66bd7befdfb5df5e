"""The command line of the topics: contenders side by side on each case, interleaved; medians and ratios.

Only figures of one run compare. A contender whose result differs from the others' is named and left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import CONTENDERS, installed
from benchmarks.workers import Worker

Case = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """One benchmark: which function of the contenders it times, and its cases by their labels.

    operands: the case's inputs. work: floating point operations, or bytes that have to move. arguments: what of the
    case the contenders are told beside the operands.
    """

    name: str
    function: str
    cases: Mapping[str, Case]
    operands: Callable[[Case], Sequence[Any]]
    work: Callable[[Case], float]
    unit: str = "GFLOP/s"
    arguments: Callable[[Case], Case] = lambda case: case
    tolerance: float = 1e-3


def main(topic: Topic) -> None:
    parser = argparse.ArgumentParser(description=f"tilec beside other libraries: {topic.name}.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="cases whose label contains this")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=0.03, help="seconds a round takes of each contender")
    parser.add_argument("--json", type=Path, help="file to add the figures to, for benchmarks/report.py")
    options = parser.parse_args()
    names = [n for n in options.contenders.split(",") if installed(n)]
    for missing in sorted(set(options.contenders.split(",")) - set(names)):
        print(f"{missing} is not installed: left out")
    cases = {label: case for label, case in topic.cases.items() if options.only in label}
    workers = [Worker(n, topic.function, options.threads) for n in names]
    workers = [w for w in workers if w.contender == "tilec" or _takes_part(w, topic)]
    rows = {}
    print(f"{topic.name}, {options.threads} thread(s), {topic.unit} at the median of {options.rounds} rounds")
    print(f"{'':34}" + "".join(f"{w.contender:>14}" for w in workers) + f"{'tilec / best':>14}")
    for label, case in cases.items():
        rows[label] = _row(topic, case, workers, options)
        print(_line(label, topic.work(case), rows[label], workers), flush=True)
    print(_summary(rows, workers))
    if options.json:
        memory = {w.contender: w.peak_memory() for w in workers if w.alive()}
        _write(options.json, topic, options.threads, cases, rows, memory)
    for w in workers:
        w.close()


def _takes_part(worker: Worker, topic: Topic) -> bool:
    from importlib.util import find_spec

    spec = find_spec(f"benchmarks.contenders.{CONTENDERS[worker.contender][0]}")
    return spec is not None and spec.origin is not None and f"def {topic.function}(" in Path(spec.origin).read_text()


def _row(topic: Topic, case: Case, workers: Sequence[Worker], options: argparse.Namespace) -> dict[str, float]:
    """Median seconds by contender."""
    operands = topic.operands(case)
    prepared = {}
    for w in workers:
        try:
            found = w.prepare(topic.arguments(case), operands)
        except RuntimeError as problem:
            print(problem, file=sys.stderr)
            continue
        if found is not None:
            prepared[w.contender] = found
    wrong = _outliers({n: p.sample for n, p in prepared.items()}, topic.tolerance)
    for name in wrong:
        print(f"{name} computes something else and is left out", file=sys.stderr)
    if "tilec" in wrong:
        raise SystemExit("tilec's result is wrong")
    live = [w for w in workers if w.contender in prepared and w.contender not in wrong]
    seconds: dict[str, list[float]] = {w.contender: [] for w in live}
    for _ in range(options.rounds):
        for w in live:
            time.sleep(0.01)  # until the last one's threads sleep
            try:
                seconds[w.contender].append(w.time(prepared[w.contender].usual, options.budget))
            except RuntimeError as problem:
                print(problem, file=sys.stderr)
    return {n: statistics.median(s) for n, s in seconds.items() if len(s) == options.rounds}


def _outliers(samples: Mapping[str, Any], tolerance: float) -> list[str]:
    """Those that differ from more than half of the others."""

    def differ(a: Any, b: Any) -> bool:
        return a.shape != b.shape or not bool(np.all(np.abs(a - b) <= tolerance * max(np.abs(b).max(initial=0), 1e-30)))

    return [
        n
        for n, a in samples.items()
        if 2 * sum(differ(a, b) for other, b in samples.items() if other != n) > max(1, len(samples) - 1)
    ]


def _best(row: Mapping[str, float]) -> float | None:
    """Least seconds of another contender."""
    return min((s for n, s in row.items() if n != "tilec"), default=None)


def _line(label: str, work: float, row: Mapping[str, float], workers: Sequence[Worker]) -> str:
    rates = [f"{work / row[w.contender] / 1e9:14.1f}" if w.contender in row else f"{'-':>14}" for w in workers]
    best = _best(row)
    ratio = f"{best / row['tilec']:14.2f}" if best and "tilec" in row else ""
    return f"{label:34}" + "".join(rates) + ratio


def _summary(rows: Mapping[str, Mapping[str, float]], workers: Sequence[Worker]) -> str:
    """Geometric means over the cases."""
    both = {label: (_best(r), r["tilec"]) for label, r in rows.items() if "tilec" in r and _best(r)}
    if not both:
        return ""
    ratios = {label: best / ours for label, (best, ours) in both.items() if best}
    worst = min(ratios, key=ratios.__getitem__)
    lines = [f"tilec is {_mean(ratios.values()):.2f} of the best of each case; at least {ratios[worst]:.2f} ({worst})"]
    for w in workers:
        shared = [r[w.contender] / r["tilec"] for r in rows.values() if w.contender in r and "tilec" in r]
        if w.contender != "tilec" and shared:
            lines.append(f"tilec is {_mean(shared):.2f} of {w.contender}, over {len(shared)} cases")
    return "\n".join(lines)


def _mean(ratios: Any) -> float:
    return statistics.geometric_mean(ratios)


def _write(
    path: Path,
    topic: Topic,
    threads: int,
    cases: Mapping[str, Case],
    rows: Mapping[str, Mapping[str, float]],
    memory: Mapping[str, int],
) -> None:
    """Beside the rows that the file has of other runs of the topic with as many threads."""
    work = {label: topic.work(case) for label, case in cases.items()}
    head = {"topic": topic.name, "unit": topic.unit, "threads": threads}
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if any(earlier.get(name) != value for name, value in head.items()):
        earlier = {"work": {}, "seconds": {}, "memory": {}}
    of = {name: {**earlier[name], **new} for name, new in (("work", work), ("seconds", rows), ("memory", memory))}
    for name in ("work", "seconds"):
        of[name] = {label: of[name][label] for label in topic.cases if label in of[name]}
    path.write_text(json.dumps({**head, **of}, indent=1), encoding="utf-8")
