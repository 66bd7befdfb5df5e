"""Cold and warm times of every example: `tilec.compile` in fresh processes, with an empty cache and with a full one.

    python benchmarks/cold_warm.py [rounds]

Times are of the call alone, after `import tilec, tilec.api`: the first call of a process pays for everything that is
loaded on demand. `cpu` is the processor time of the warm call, which other work on the machine does not lengthen;
`again` is a second call in the same process. Medians over the rounds; all processes run one by one.
A process of a cached program is also checked to import neither Lark nor any pass.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

# file, function, inputs
CASES: list[tuple[str, str | None, dict[str, Any]]] = [
    ("blur", None, {"Image": "f32[480, 640, 3]", "Weights": "f32[5]"}),
    ("conv2d", "conv2d", {"I": "f32[8, 56, 56, 64]", "K": "f32[3, 3, 64, 64]"}),
    ("conv2d", "conv2d_stride2", {"I": "f32[8, 56, 56, 64]", "K": "f32[3, 3, 64, 64]"}),
    ("conv2d", "depthwise", {"I": "f32[8, 56, 56, 64]", "K": "f32[3, 3, 64]"}),
    ("digits_knn", None, {"TrainX": "u8[1257, 64]", "TrainY": "u8[1257]", "TestX": "u8[540, 64]", "TestY": "u8[540]"}),
    ("heat", None, {"U": "f32[512, 512]", "R": 0.1}),
    ("kmeans", None, {"X": "f32[10000, 8]", "Centre": "f32[16, 8]"}),
    ("life", None, {"Board": "u8[512, 512]"}),
    ("matmul", "matmul", {"A": "f32[512, 512]", "B": "f32[512, 512]"}),
    ("matmul", "dense", {"X": "f32[64, 784]", "W": "f32[784, 128]", "B": "f32[128]"}),
    ("maxpool", None, {"I": "f32[8, 55, 57, 64]"}),
    ("softmax", None, {"X": "f32[256, 1000]"}),
]

CHILD = """
import json, sys, time
import tilec, tilec.api
file, function, inputs = json.loads(sys.argv[1])
times = []
for _ in range(2):
    started, used = time.perf_counter(), time.process_time()
    tilec.compile(f"examples/{file}.tile", function=function, **inputs)
    times += [time.perf_counter() - started, time.process_time() - used]
loaded = any(n == "lark" or n.startswith("tilec.passes") for n in sys.modules)
print(json.dumps([*times, loaded]))
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Milliseconds of the first and the second call of a process; `compiled`: Lark or a pass was imported."""

    first: float
    cpu: float
    again: float
    compiled: bool


def measure(case: tuple[str, str | None, dict[str, Any]], directory: str) -> Sample:
    environment = {**os.environ, "TILEC_CACHE": "1", "TILEC_CACHE_DIR": directory}
    command = [sys.executable, "-c", CHILD, json.dumps(case)]
    first, cpu, again, _, loaded = json.loads(subprocess.check_output(command, cwd=ROOT, env=environment))
    return Sample(first * 1e3, cpu * 1e3, again * 1e3, loaded)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'example':24} {'cold ms':>9} {'warm ms':>9} {'cpu ms':>9} {'again ms':>9}   medians of {rounds}")
    slow = 0
    for case in CASES:
        cold, warm = [], []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as directory:
                cold.append(measure(case, directory))
                warm.append(measure(case, directory))
        assert not any(s.compiled for s in warm), "a cached program was compiled again"
        row = [[s.first for s in cold], [s.first for s in warm], [s.cpu for s in warm], [s.again for s in warm]]
        name = f"{case[0]}.{case[1]}" if case[1] else case[0]
        print(f"{name:24} " + " ".join(f"{statistics.median(column):9.1f}" for column in row), flush=True)
        slow += statistics.median(row[2]) >= 20
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
