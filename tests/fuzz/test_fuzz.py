"""5,000 random programs on LLVM and 300 on an OpenCL device, each statement judged by its error bound.

`python -m tests.fuzz --programs 200000` runs more of them and prints the histogram of features.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.fuzz.generate import generate
from tests.fuzz.run import Summary, compiled, run, run_on_opencl
from tests.fuzz.shrink import fails, shrink, statements
from tilec import pipeline
from tilec.loops import Program, Stmt, Store, rewrite

BATCH, PROGRAMS = 250, 5000


@pytest.mark.parametrize("start", range(0, PROGRAMS, BATCH))
def test_programs_on_llvm(start: int) -> None:
    found = run(range(start, start + BATCH), compiled("llvm"))
    assert not found.failures, found.report()
    assert found.empty <= 0.2 * found.programs
    assert sum(found.refused.values()) <= 0.01 * found.programs, found.refused


@pytest.mark.parametrize("start", range(100_000, 100_500, 25))
def test_programs_on_opencl(start: int) -> None:
    if not pipeline.backend("opencl").targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    found = run_on_opencl(range(start, start + 25))
    assert not found.failures, found.report()


def test_features_and_their_pairs_are_covered() -> None:
    summary = Summary()
    for seed in range(PROGRAMS):
        summary.count(generate(seed))
    rare = {name: n for name, n in summary.features.items() if n < 10}
    assert not rare
    possible = len(summary.features) * (len(summary.features) - 1) // 2
    assert len(summary.pairs) >= 0.98 * possible


def test_a_failure_shrinks_to_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler that aggregates nothing, a program of several statements shrinks to one short statement."""
    lower = pipeline.lower_graph

    def overwrite(stmt: Stmt) -> tuple[Stmt, ...]:
        return (Store(stmt.buffer, stmt.indices, stmt.value),) if isinstance(stmt, Store) else (stmt,)

    def broken(*args: Any, **options: Any) -> Program:
        program = lower(*args, **options)
        kernels = tuple(replace(k, body=rewrite(k.body, overwrite)) for k in program.kernels)
        return replace(program, kernels=kernels)

    monkeypatch.setattr(pipeline, "lower_graph", broken)
    execute = compiled("llvm")
    long = (case for case in map(generate, range(1000)) if len(statements(case)) >= 3)
    failing = next(case for case in long if fails(case, execute))
    small = shrink(failing, execute)
    assert fails(small, execute)
    assert len(statements(small)) == 1 and len(small.text.splitlines()) == 3


