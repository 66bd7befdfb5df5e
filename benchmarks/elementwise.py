"""Elementwise chains, aggregations and normalisations in float32, of 4 MiB, 64 MiB and more.

    python benchmarks/elementwise.py [--threads 2] [--only softmax]

Rates are the bytes that have to move at least, every input read and every result written once, per second.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.compare import Case, Topic, main
from benchmarks.definitions import OPERANDS, RESULTS, chains

SIZES = ((1024, 1024), (16384, 1024))
MORE = [("softmax", 1536, 128), ("softmax", 32, 1000), ("batch norm", 25088, 64), ("nine operations", 65536, 1024)]
CASES: list[Case] = [*((name, *size) for name in chains(np) for size in SIZES), *MORE]


def operands(case: Case) -> list[Any]:
    name, rows, columns = case
    random = np.random.default_rng(0)
    shapes = [(rows, columns) if kind == "m" else (columns,) for kind in OPERANDS.get(name, "m")]
    found = [random.standard_normal(s, dtype=np.float32) for s in shapes]
    if name in ("batch norm", "Adam"):
        found[2] = np.abs(found[2]) + np.float32(0.5)  # a variance
    return found


def work(case: Case) -> float:
    name, rows, columns = case
    matrices = OPERANDS.get(name, "m").count("m") + RESULTS.get(name, 1)
    return float(4 * rows * columns * matrices)


TOPIC = Topic(
    name="elementwise",
    function="chain",
    cases={f"{name} {rows}x{columns}": (name, rows, columns) for name, rows, columns in CASES},
    operands=operands,
    work=work,
    unit="GB/s",
)

if __name__ == "__main__":
    main(TOPIC)
