"""400 random Graphs with control flow on LLVM and 30 on an OpenCL device.

`python -m tests.fuzz --control 20000` runs more of them.
"""

from __future__ import annotations

import pytest

from tests.fuzz.control import features, run_control
from tests.generators.control import control_graph
from tilec import pipeline


@pytest.mark.parametrize("start", range(0, 400, 50))
def test_control_on_llvm(start: int) -> None:
    found = run_control(range(start, start + 50), "llvm")
    assert not found.failures, found.report()


@pytest.mark.parametrize("start", range(10_000, 10_030, 10))
def test_control_on_opencl(start: int) -> None:
    if not pipeline.backend("opencl").targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    found = run_control(range(start, start + 10), "opencl")
    assert not found.failures, found.report()


def test_loops_are_nested_in_every_way() -> None:
    seen = {name for seed in range(400) for name in features(control_graph(seed))}
    kinds = ("Cond", "While", "Scan")
    assert seen >= {f"{a} > {b}" for a in kinds for b in kinds}
