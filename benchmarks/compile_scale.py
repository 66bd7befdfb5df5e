"""How long compilation takes for large programs, pass by pass, and how that grows.

    python benchmarks/compile_scale.py [--sizes 500,1000,3000,6000] [--programs mlp,conv] [--kernels 300] [--rounds 2]

One table for each program: seconds of processor time per pass (the least of the rounds; other work on the machine does
not lengthen it) at each size, counted in Lets before optimisation, and the exponent of growth between the second size
and the last: 1 is linear. Garbage is collected between the passes, not in them, except for the row that says so.

Then machine code of kernels no two of which are equal, from the Graph to what can be called: wall time, and processor
time of this process, by the number of worker processes.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from math import log
from typing import Any

from large_programs import PROGRAMS, many_kernels

from tilec import config, pipeline
from tilec.backends.llvm.backend import LLVMBackend
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

    gc.collect()
    gc.disable()
    try:
        program = pipeline.lower_graph(pipeline.optimise(graph, watch), target, Options(), watch)
    finally:
        gc.enable()
    times["all passes"] = sum(times.values())

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = work()
        times[stage] = time.process_time() - started
        return result

    timed("with garbage", lambda: pipeline.lower_graph(pipeline.optimise(graph), target))
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


def kernels(count: int, rounds: int) -> None:
    """Prints times of a program of at least `count` kernels, by number of workers."""
    target = resolve_target("llvm")
    graph = many_kernels(count)
    print(f"\n{'kernels':>8}{'workers':>9}{'wall':>9}{'own CPU':>9}{'objects':>9}")
    for workers in (0, 1, 2):
        found = []
        for _ in range(rounds):
            started, used = time.perf_counter(), time.process_time()
            with config(compile_workers=workers):
                program = pipeline.lower_graph(pipeline.optimise(graph), target)
                built = LLVMBackend().build(program, target, {})
            found.append((time.perf_counter() - started, time.process_time() - used))
        wall, used = (min(column) for column in zip(*found))
        row = f"{len(program.kernels):8}{workers:9}{wall:9.2f}{used:9.2f}{len(built.code.objects):9}"
        print(row, flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sizes", default="500,1000,3000,6000")
    options.add_argument("--programs", default=",".join(PROGRAMS))
    options.add_argument("--kernels", type=int, default=300)
    options.add_argument("--rounds", type=int, default=2)
    chosen = options.parse_args()
    for name in filter(None, chosen.programs.split(",")):
        table(name, PROGRAMS[name], [int(s) for s in chosen.sizes.split(",")], chosen.rounds)
    if chosen.kernels:
        kernels(chosen.kernels, chosen.rounds)


if __name__ == "__main__":
    main()
