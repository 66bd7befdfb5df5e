"""160 random programs with open sizes on LLVM and 20 on an OpenCL device.

`python -m tests.fuzz --sizes 20000` runs more of them.
"""

from __future__ import annotations

import pytest

from tests.fuzz.sizes import run_sizes
from tilec import pipeline


@pytest.mark.parametrize("start", range(0, 160, 20))
def test_open_sizes_on_llvm(start: int) -> None:
    found = run_sizes(range(start, start + 20), "llvm")
    assert not found.failures, found.report()
    assert found.features["runs"] == 5 * found.features["compiled"] > 0


@pytest.mark.parametrize("start", range(10_000, 10_020, 10))
def test_open_sizes_on_opencl(start: int) -> None:
    if not pipeline.backend("opencl").targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    found = run_sizes(range(start, start + 10), "opencl")
    assert not found.failures, found.report()
