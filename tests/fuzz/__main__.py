"""python -m tests.fuzz --programs 200000 [--target llvm] [--seed 0] [--jobs 2]: exits 1 on any mismatch.

With `--control N`, N graphs with control flow instead of programs in Tile; with `--sizes N`, N programs with open
sizes; with `--python N`, N Python functions, traced, with their derivatives. With `--gradients`, the gradients of the
programs, in both modes, evaluated and compiled; with `--gradients --sizes N`, of programs with open sizes. With
`--open`, sizes of graphs with control flow, or of traced functions, stay open, and their gradients are judged too.
With `--schedules N`, each program under N random schedules.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_context

from tests.fuzz import gradients, open_control, open_gradients, schedules, traced, traced_sizes
from tests.fuzz.control import run_control_batch
from tests.fuzz.generate import generate
from tests.fuzz.run import Summary, compiled, run_batch
from tests.fuzz.shrink import show, shrink
from tests.fuzz.sizes import run_sizes_batch

BATCH = 50


def batches(seed: int, programs: int, target: str) -> Iterator[tuple[int, int, str]]:
    for start in range(seed, seed + programs, BATCH):
        yield start, min(BATCH, seed + programs - start), target


def _work(options: argparse.Namespace) -> Callable[[tuple[int, int, str]], Summary]:
    if options.python:
        return traced_sizes.run_batch if options.open else traced.run_batch
    if options.sizes:
        return open_gradients.run_batch if options.gradients else run_sizes_batch
    if options.control:
        return open_control.run_batch if options.open else run_control_batch
    if options.schedules:
        return schedules.Batch(options.schedules)
    return gradients.run_batch if options.gradients else run_batch


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Random programs against the evaluator.")
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--control", type=int, default=0, help="graphs with control flow instead")
    parser.add_argument("--sizes", type=int, default=0, help="programs with open sizes instead")
    parser.add_argument("--python", type=int, default=0, help="Python functions, traced, instead")
    parser.add_argument("--schedules", type=int, default=0, help="random schedules of each program")
    parser.add_argument("--open", action="store_true", help="with --python or --control, sizes stay open")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", default="llvm")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--gradients", action="store_true", help="the gradients of the programs; also with --sizes")
    options = parser.parse_args()
    os.environ["TILEC_CACHE"] = "0"  # what is tested is the compiler
    total = Summary()
    # Workers are replaced now and then: what one leaks must not fill the memory of a long run.
    # (ProcessPoolExecutor with max_tasks_per_child can stop for ever when it replaces one: CPython issue 115634.)
    with get_context("spawn").Pool(options.jobs, maxtasksperchild=40) as pool:
        work = _work(options)
        count = options.control or options.sizes or options.python or options.programs
        for done in pool.imap(work, batches(options.seed, count, options.target)):
            total.add(done)
            for failure in done.failures:  # at once: a long run may be broken off
                print(f"seed {failure.seed}: {failure.reason}\n{failure.text}", flush=True)
            print(f"{total.programs} programs, {len(total.failures)} mismatches", end="\r", file=sys.stderr, flush=True)
    print(total.report())
    plain = not (options.control or options.sizes or options.python or options.gradients or options.schedules)
    for failure in total.failures[:3] if plain else ():
        print(f"--- seed {failure.seed}, shrunk:")
        print(show(shrink(generate(failure.seed), compiled(options.target))))
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
