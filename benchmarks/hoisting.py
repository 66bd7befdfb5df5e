"""What the pass `hoist` gains: scans with and without it, in turn in one process.

    python benchmarks/hoisting.py [--seconds 1.5]

`ahead`: products of a slice and weights, `h = h + x[t] @ W`, for rows, terms and columns of each; computed for
all steps at once against step by step, whatever the rules of the pass say. They stand in `passes/hoist/choice.py`,
found here. `across`: `h = tanh(h @ W.T)`, with a transposed copy against reading across the rows of W.

Processor time of the process on one thread (the least of all rounds), so that other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ["TILEC_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import tilec
from tilec import pipeline
from tilec.graph import Graph
from tilec.passes import hoist
from tilec.passes.hoist import choice
from tilec.text.graph_text import parse_graph

STEPS = 50
AHEAD = [(1, 32, 256), (1, 64, 256), (2, 64, 256), (3, 64, 256), (16, 64, 256), (4, 256, 1024), (16, 256, 1024)]
AHEAD += [(16, 512, 1024), (16, 512, 2048), (64, 512, 2048)]
ACROSS = [(1, 64), (16, 64), (16, 256), (64, 256), (16, 1024)]


def ahead(rows: int, terms: int, columns: int) -> Graph:
    x, w, h = f"f32[{rows}, {terms}]", f"f32[{terms}, {columns}]", f"f32[{rows}, {columns}]"
    return parse_graph(f"""graph f(X: f32[{STEPS}, {rows}, {terms}], W: {w}, H: {h}) -> (R) {{
      R: {h} = scan (H) in (X) const (W) length {STEPS} do graph s(H: {h}, X: {x}, W: {w}) -> (Q) {{
        P: {h} = sum:f32 [m, n, k] {{ [m, n] <- mul(X[m, k], W[k, n]) }}
        Q: {h} = add(H, P)
      }} }}""")


def across(rows: int, columns: int) -> Graph:
    w, h = f"f32[{columns}, {columns}]", f"f32[{rows}, {columns}]"
    return parse_graph(f"""graph f(W: {w}, H: {h}) -> (R) {{
      R: {h} = scan (H) in () const (W) length {STEPS} do graph s(H: {h}, W: {w}) -> (Q) {{
        P: {h} = sum:f32 [m, n, k] {{ [m, n] <- mul(H[m, k], W[n, k]) }}
        Q: {h} = tanh(P)
      }} }}""")


def compiled(graph: Graph, with_hoist: bool) -> tilec.Executable:
    """The program, with all moved that can be or nothing."""
    eager = partial(hoist.run, options=hoist.Options(stack=1 << 40, terms=1, steps=1))
    kept, usual = choice._ROWS, pipeline.GRAPH_PASSES
    passes = [(n, eager if n == "hoist" else run) for n, run in usual if with_hoist or n != "hoist"]
    choice._ROWS, pipeline.GRAPH_PASSES = ((0, 1 << 40),), tuple(passes)  # type: ignore[assignment]
    try:
        return tilec.compile(graph)
    finally:
        choice._ROWS, pipeline.GRAPH_PASSES = kept, usual


def measure(title: str, graph: Graph, seconds: float) -> None:
    """Prints microseconds for a step."""
    random = np.random.default_rng(0)
    both = [compiled(graph, True), compiled(graph, False)]
    values = [random.standard_normal(t.shape).astype("f4") * 0.1 for t in both[0].params.values()]  # type: ignore[arg-type]
    np.testing.assert_allclose(both[0](*values), both[1](*values), rtol=1e-3, atol=1e-4)
    least = [float("inf")] * 2
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for k, call in enumerate(both):
            least[k] = min(least[k], _time(partial(call, *values)))
    moved, plain = (t / STEPS * 1e6 for t in least)
    print(f"{title:36} {moved:9.2f} {plain:9.2f} {plain / moved:6.2f}", flush=True)


def _time(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.5, help="for each line")
    given = parser.parse_args()
    print(f"{'microseconds per step':36} {'moved':>9} {'plain':>9} {'ratio':>6}")
    for rows, terms, columns in AHEAD:
        measure(f"ahead  {rows}x{terms} @ {terms}x{columns}", ahead(rows, terms, columns), given.seconds)
    for rows, columns in ACROSS:
        measure(f"across {rows}x{columns} @ {columns}x{columns}", across(rows, columns), given.seconds)


if __name__ == "__main__":
    main()
