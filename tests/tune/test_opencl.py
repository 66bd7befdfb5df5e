"""The tuner on OpenCL devices: what it finds is used there, by device and driver, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tilec
from tests.backends.implementations import opencl_target
from tests.tune.test_tuner import OTHER_NAMES, PRODUCT, product, record_of, records  # noqa: F401 (a fixture)
from tilec import api
from tilec.cli.main import call
from tilec.devices import resolve_target
from tilec.target import Target
from tilec.text.loops_text import print_kernel
from tilec.tune.alone import alone, inputs
from tilec.tune.child import Child
from tilec.tune.record import traits, traits_digest
from tilec.tune.records import Records
from tilec.tune.search import Progress
from tilec.tune.tuner import known, tune
from tilec.tune.worker import Bench

DEVICE = Target("opencl", "0", cpu="a GPU", driver="1.0", kind="gpu", group=256, memory=1 << 30)


@pytest.fixture
def device() -> Target:
    return opencl_target()


def test_records_are_of_a_device_and_its_driver() -> None:
    """Not of its number, which changes when another driver is installed, nor of the memory that it has."""
    assert traits_digest(replace(DEVICE, device="1", memory=2 << 30)) == traits_digest(DEVICE)
    for other in (replace(DEVICE, driver="1.1"), replace(DEVICE, cpu="another GPU"), replace(DEVICE, group=128)):
        assert traits_digest(other) != traits_digest(DEVICE)


class Enough(Exception):
    """Ends a search, however slow the machine is."""


def test_a_kernel_is_tuned(records: Records, device: Target) -> None:  # noqa: F811
    """Candidates are built, give the same bits as the default schedule, and are timed by the device."""
    seen: list[Progress] = []

    def tell(progress: Progress) -> None:
        seen.append(progress)
        if progress.tried > 4:
            raise Enough

    with pytest.raises(Enough):
        list(tune(product(n=64), device, records, 100.0, tell=tell))
    assert seen[-1].lost < seen[-1].tried - 1
    (outcome,) = known(product(OTHER_NAMES, n=64), device, records)
    assert outcome.record is not None and outcome.record.target == traits(device)
    assert outcome.record.state == "partial" and "the default schedule" in outcome.record.verified


@pytest.mark.parametrize(("name", "clock"), [("opencl", "_by_device"), ("llvm", "_by_host")])
def test_clocks(name: str, clock: str, device: Target) -> None:
    program = alone(product(n=16).kernels[0])
    bench = Bench(program, device if name == "opencl" else resolve_target(name), inputs(program, seed=1))
    assert bench.load()["milliseconds"] > 0
    assert bench.ready["default"].func.__name__ == clock  # type: ignore[attr-defined]


def test_a_record_is_used_on_its_device_only(records: Records, device: Target) -> None:  # noqa: F811
    kernel = product().kernels[0]
    slow = replace(record_of(kernel, "unroll(m)"), target=traits(device))
    records.put(slow, device)
    a = np.random.default_rng(0).integers(-4, 5, (48, 48)).astype(np.float32)
    for target, used in ((device, True), (resolve_target("llvm"), False)):
        texts = []
        for wanted in (0, "records"):
            with tilec.config(tune=wanted):
                executable = api.compile_for(PRODUCT, str(target), None, {"A": (48, 48), "B": (48, 48)})
            assert np.array_equal(executable(a, a), a @ a) and executable.program is not None
            texts.append(print_kernel(executable.program.kernels[0]))
        assert (texts[0] != texts[1]) == used


def test_command(records: Records, device: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    file = tmp_path / "product.tile"
    file.write_text(PRODUCT, encoding="utf-8")
    with tilec.config(target=str(device)):
        shapes = ["--shape", "A=48,48", "--shape", "B=48,48"]
        assert call(["tune", str(file), *shapes, "--seconds", "1"]) == 0
    assert "k0_C" in capsys.readouterr().out
    assert len(list(records.entries())) == 1


def test_a_child_keeps_nothing_of_drivers() -> None:
    """PoCL's own cache is led astray by a process that is killed while it compiles."""
    command = ("-c", "import os; print('\"' + os.environ['POCL_CACHE_DIR'] + '\"', flush=True); input(); input()")
    with Child(command) as child:
        folder = Path(str(child.ask({}, 10.0)))
        assert folder.is_dir()
    assert not folder.exists()
