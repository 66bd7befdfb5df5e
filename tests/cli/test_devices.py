"""`tilec devices`, and what `tilec doctor` says of OpenCL."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tilec.backends.opencl import devices as opencl
from tilec.backends.opencl.platforms import ADVICE
from tilec.cli import devices
from tilec.cli.main import call
from tilec.measure import machine

GPU: dict[str, Any] = {
    "target": "opencl:0",
    "device": "Arc A770",
    "kind": "gpu",
    "platform": "Intel(R) OpenCL Graphics",
    "vendor": "Intel(R)",
    "driver": "25.1",
    "memory": 16 << 30,
    "largest": 4 << 30,
    "units": 512,
    "fp16": True,
    "fp64": False,
    "problem": None,
    "trusted": True,
    "key": "Intel(R) OpenCL Graphics, Arc A770, driver 25.1",
    "troubles": [],
}


def test_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["devices"][0]["target"], found["default"], found["origin"]) == ("llvm", "llvm", "default")
    usable = [d["target"] for d in found["devices"][1:] if d["target"]]
    assert usable == [f"opencl:{target.device}" for target in opencl.targets()]
    assert all(set(d) == set(GPU) for d in found["devices"])


def test_devices_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_DEVICE", "reference")
    assert call(["devices"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("llvm ")
    assert out.endswith("target 'auto' is reference (TILEC_DEVICE)\n")
    monkeypatch.setenv("TILEC_DEVICE", "the moon")
    assert call(["devices"]) == 1
    assert "TILEC_DEVICE is 'the moon'" in capsys.readouterr().err


def test_a_device_in_lines() -> None:
    assert devices.opencl_lines({"devices": [GPU], "problem": None}) == [
        "opencl:0  Arc A770 (gpu)",
        "          Intel(R) OpenCL Graphics, Intel(R), driver 25.1",
        "          512 units, memory 16384 MiB, largest allocation 4096 MiB, fp16, no fp64",
        "          trusted",
    ]
    told = [
        devices.opencl_lines({"devices": [{**GPU, "trusted": t}], "problem": None})[-1].strip() for t in (False, None)
    ]
    assert told == ["not trusted: it did not pass its tests", "not tested yet"]


def test_a_problem_is_shown_beside_what_works() -> None:
    broken = {**GPU, "target": None, "device": None, "memory": None, "problem": "cannot list its devices"}
    lines = devices.opencl_lines({"devices": [GPU, broken], "problem": None})
    assert lines[4:] == ["unusable  Intel(R) OpenCL Graphics (gpu)", "          problem: cannot list its devices"]


@pytest.mark.parametrize(
    "answer",
    [machine.Answer({"devices": []}), machine.Answer({"problem": "no pyopencl"}), machine.Answer(problem="signal 11")],
)
def test_what_to_install(
    answer: machine.Answer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "ask", lambda *_: answer)
    problem = answer.problem or answer.value.get("problem")
    for command in (["devices"], ["doctor", "--no-test"]):
        assert call(command) == 0
        out = capsys.readouterr().out
        assert all(line in out for line in ADVICE)
        assert problem is None or f"OpenCL: {problem}" in out


def test_without_pyopencl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    machine.main()
    assert json.loads(capsys.readouterr().out)["problem"].startswith("OpenCL needs the package pyopencl")
