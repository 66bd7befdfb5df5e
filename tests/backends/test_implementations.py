"""The conformance suite and random programs on other OpenCL implementations, and on a device with low limits.

Oclgrind looks at every access to memory: what it writes to its log, out of bounds or in a race, is a failure.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.backends.implementations import DEVICE, INTEL, LIMITS, OCLGRIND, ROOT, environment, opencl_target, run

CONFORMANCE = "tests/backends/test_conformance.py"
GROUPS = "tests/backends/test_opencl_groups.py"
# Each of them many cases; the others take long where nothing is optimised.
FEW = "opencl and (loops or steps or round or random or fused-scheduled or tiles_of_groups)"

pytestmark = pytest.mark.skipif(DEVICE in os.environ, reason="this is the process of an implementation")


@pytest.fixture
def grind(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """The environment of Oclgrind, and its log."""
    log = tmp_path / "oclgrind.log"
    return {**environment(OCLGRIND, tmp_path), "OCLGRIND_LOG": str(log)}, log


def passed(output: str) -> int:
    found = re.search(r"(\d+) passed", output)
    return int(found[1]) if found else 0


def suite(variables: dict[str, str], *arguments: str) -> int:
    """How many tests have passed in a process with these variables; fails where one has failed."""
    return passed(run(variables, "pytest", "-n", "0", "-o", "addopts=", "-p", "no:cacheprovider", *arguments))


def test_limits() -> None:
    opencl_target()
    variables = {**os.environ, LIMITS: "local=32K,wg=256,max_alloc=256M"}
    assert suite(variables, CONFORMANCE, "-k", "opencl and (loops or steps or round or fused-scheduled)") >= 4


def test_conformance_on_oclgrind(grind: tuple[dict[str, str], Path]) -> None:
    variables, log = grind
    assert suite(variables, CONFORMANCE, GROUPS, "-k", FEW) >= 6
    assert log.read_text() == ""


def test_random_programs_on_oclgrind(grind: tuple[dict[str, str], Path]) -> None:
    variables, log = grind
    out = run(
        variables, "tests.fuzz", "--programs", "25", "--seed", "300000", "--target", "opencl:oclgrind", "--jobs", "1"
    )
    assert "25 programs" in out
    assert log.read_text() == ""


PLANTED = """
import numpy as np, pyopencl as cl
text = '''__kernel void f(__global int *a) {
  __local int l[4]; int i = get_local_id(0); l[i] = i; a[i + OUT] = l[3 - i]; }'''
device = [d for p in cl.get_platforms() for d in p.get_devices() if "Oclgrind" in p.name][0]
context = cl.Context([device])
queue = cl.CommandQueue(context)
memory = cl.Buffer(context, cl.mem_flags.READ_WRITE, 16)
cl.Program(context, text).build(["-DOUT=%d"]).f(queue, (4,), (4,), memory)
queue.finish()
"""


@pytest.mark.parametrize(("out", "words"), [(0, "data race at local memory"), (2, "Invalid write of size 4")])
def test_the_log_shows_what_is_planted(
    out: int, words: str, grind: tuple[dict[str, str], Path], tmp_path: Path
) -> None:
    variables, log = grind
    (tmp_path / "planted.py").write_text(PLANTED % out)
    run({**variables, "PYTHONPATH": str(tmp_path)}, "planted")
    assert words in log.read_text()


def test_a_simulator_is_never_the_first(grind: tuple[dict[str, str], Path]) -> None:
    opencl_target()
    out = run({**grind[0], "TILEC_CACHE": "0", "PYTHONPATH": str(ROOT)}, "tilec", "devices")
    (number,) = re.findall(r"^opencl:(\d+) .*Oclgrind Simulator \(simulator\)$", out, re.M)
    assert int(number) == out.count("\nopencl:") - 1 > 0


def test_conformance_on_intel(tmp_path: Path) -> None:
    assert suite(environment(INTEL, tmp_path), CONFORMANCE, GROUPS, "-k", "opencl and not shared") >= 12


def test_random_programs_on_intel(tmp_path: Path) -> None:
    out = run(environment(INTEL, tmp_path), "tests.fuzz", "--programs", "25", "--target", "opencl:intel", "--jobs", "1")
    assert "25 programs" in out
