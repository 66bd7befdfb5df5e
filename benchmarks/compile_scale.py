"""How long compilation takes for large programs, pass by pass, and how that grows.

    python benchmarks/compile_scale.py [--sizes 500,1000,3000,6000] [--programs mlp,conv] [--rounds 2]

One table for each program: seconds of processor time per pass (the least of the rounds; other work on the machine does
not lengthen it) at each size, counted in Lets before optimisation, and the exponent of growth between the second size
and the last: 1 is linear.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from math import log
from typing import Any

from large_programs import PROGRAMS

from tilec import pipeline
from tilec.backends.llvm.module import emit_module
from tilec.devices import resolve_target
from tilec.graph import Graph
from tilec.options import Options
from tilec.text.graph_text import print_graph
from tilec.text.loops_text import print_program
from tilec.verify.graph import verify
from tilec.verify.program import verify_program

Times = dict[str, float]


def measure(graph: Graph) -> Times:
    """Seconds of each stage of the pipeline, of the verifiers, and of printing."""
    target = resolve_target("llvm")
    times: Times = {}
    last = time.process_time()
    kept: dict[str, Any] = {}

    def watch(stage: str, ir: Any) -> None:
        nonlocal last
        now = time.process_time()
        times[stage] = times.get(stage, 0.0) + now - last
        kept[stage] = ir
        last = time.process_time()

    program = pipeline.lower_graph(pipeline.optimise(graph, watch), target, Options(), watch)
    times["all passes"] = sum(times.values())

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = work()
        times[stage] = time.process_time() - started
        return result

    timed("LLVM text", lambda: emit_module(program, target))
    timed("verify Graph", lambda: verify(graph))
    timed("verify Program", lambda: verify_program(program, True))
    timed("print Graph", lambda: print_graph(graph))
    timed("print Program", lambda: print_program(program))
    times["(kernels)"], times["(launches)"] = len(program.kernels), len(program.steps)
    return times


def table(name: str, make: Callable[[int], Graph], sizes: list[int], rounds: int) -> None:
    columns: list[Times] = []
    counts: list[int] = []
    for size in sizes:
        started = time.process_time()
        graph = make(size)
        made = time.process_time() - started
        gc.collect()
        found = [measure(graph) for _ in range(rounds)]
        columns.append({"(make)": made, **{stage: min(f[stage] for f in found) for stage in found[0]}})
        counts.append(len(graph.lets))
    print(f"\n{name:16}" + "".join(f"{c:>9}" for c in counts) + "   growth")
    for stage in columns[0]:
        figures = [c[stage] for c in columns]
        text = "".join(f"{f:9.0f}" if stage[0] == "(" and stage != "(make)" else f"{f:9.3f}" for f in figures)
        print(f"{stage:16}{text}   {_growth(counts, figures)}", flush=True)


def _growth(counts: list[int], figures: list[float]) -> str:
    first = min(1, len(counts) - 1)
    if counts[first] == counts[-1] or min(figures[first], figures[-1]) <= 0.002:
        return ""
    return f"{log(figures[-1] / figures[first]) / log(counts[-1] / counts[first]):6.2f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sizes", default="500,1000,3000,6000")
    options.add_argument("--programs", default=",".join(PROGRAMS))
    options.add_argument("--rounds", type=int, default=2)
    chosen = options.parse_args()
    for name in chosen.programs.split(","):
        table(name, PROGRAMS[name], [int(s) for s in chosen.sizes.split(",")], chosen.rounds)


if __name__ == "__main__":
    main()
