"""`tilec doctor`, the tests of a device behind it, and the processes that they run in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilec.backend import Built
from tilec.backends.opencl import devices as opencl
from tilec.backends.opencl.backend import OpenCLBackend
from tilec.backends.opencl.programs import emit_programs
from tilec.backends.opencl.quirks import TROUBLES, troubles
from tilec.cli import doctor
from tilec.cli.main import call
from tilec.devices import resolve_target
from tilec.dtypes import F32, F64
from tilec.errors import error
from tilec.graph import TensorType
from tilec.loops import Program
from tilec.measure import bandwidth, machine, packing, selftest, ulp
from tilec.measure.programs import PARTS, cases, part, values
from tilec.target import Target
from tilec.verify.program import verify_program

REFERENCE = Target("reference")
WIDE = Target("opencl", "0", vector_bytes=32)  # a CPU


def wrong(outcomes: Sequence[selftest.Outcome]) -> list[selftest.Outcome]:
    return [o for o in outcomes if o.state != "passed"]


# the programs ------------------------------------------------------------------------------------------------------


def test_there_are_three_hundred_different_programs() -> None:
    found = cases()
    assert len({(c.text, tuple(c.inputs.items())) for c in found}) == len({c.name for c in found}) == len(found) == 300
    assert found == cases()
    dtypes = {t.dtype.name for c in found for t in c.inputs.values()}
    assert dtypes >= {"f32", "f64", "f16", "bf16", "i32", "i64", "i8", "u8"}


def test_inputs_have_their_types() -> None:
    for case in cases():
        for name, array in values(case).items():
            assert TensorType(case.inputs[name].dtype, array.shape) == case.inputs[name]


@pytest.fixture(scope="module")
def packs() -> list[selftest.Pack]:
    parts = [part(name, cases()) for name in PARTS]
    return [p for programs in parts for p in selftest.packs_of([selftest.lowered(WIDE, c) for c in programs])]


def test_they_share_twenty_kernels(packs: list[selftest.Pack]) -> None:
    assert len({c.case.name for p in packs for c in p.checks}) == sum(len(p.checks) for p in packs) == 300
    source = emit_programs([p.program for p in packs])
    assert sum(len(k.phases) for p in source.programs for k in p.all()) <= 20


def test_packs_are_right_programs(packs: list[selftest.Pack]) -> None:
    for pack in packs:
        verify_program(pack.program, scheduled=True)
        (kernel, *_) = pack.program.kernels
        assert len(kernel.params) * 16 + 16 <= 1024  # what every device takes of arguments
        doubles = {any(b.dtype == F64 for b in c.program.buffers) for c in pack.checks}
        assert len(doubles) == 1  # a device without float64 lacks whole packs only


def test_programs_that_are_not_packed() -> None:
    program = selftest.lowered(WIDE, cases(4)[3]).program
    assert packing.packable(program)
    assert not packing.packable(Program(**{**_fields(program), "init": program.steps}))
    many = tuple(program.buffers[0] for _ in range(packing.MOST + 1))
    assert not packing.packable(Program(**{**_fields(program), "buffers": many}))


def _fields(program: Program) -> dict[str, Any]:
    return {name: getattr(program, name) for name in program.__dataclass_fields__}


# running them ------------------------------------------------------------------------------------------------------


def test_programs_are_right_on_this_machine() -> None:
    assert not wrong(selftest.run(resolve_target("llvm"), cases(90)))


def test_packs_mean_what_their_programs_mean() -> None:
    few = [c for c in cases(40) if not c.large]
    assert not wrong(selftest.run(REFERENCE, few))


def test_programs_are_right_on_opencl() -> None:
    if not OpenCLBackend().targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    assert not wrong(selftest.run(resolve_target("opencl:0", force=True), cases(50)))


class Slightly(Built):
    """A device that is wrong in the last element of what it computes."""

    def __init__(self, inner: Built) -> None:
        self._inner = inner

    def __call__(self, params: Sequence[Any], results: Sequence[Any]) -> None:
        self._inner(params, results)
        for array in results:
            last = array.reshape(-1)[-1:]
            last[...] = ~last if array.dtype == bool else last + last.dtype.type(1)


def test_a_wrong_device_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = selftest.built_alone
    monkeypatch.setattr(selftest, "built_alone", lambda *a: Slightly(right(*a)))
    found = selftest.run(REFERENCE, [c for c in cases(25) if not c.large])
    assert {o.state for o in found} == {"wrong"}
    assert "1 of" in found[0].detail


@pytest.mark.parametrize("where", ["build", "call"])
def test_one_failure_hides_no_other(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = selftest.built_alone
    few = [c for c in cases(20) if not c.large]
    problems = {few[3].name: RuntimeError("driver\nlost"), few[9].name: error("TILE0509", "no float64")}

    class Failing(Built):
        def __init__(self, problem: Exception) -> None:
            self._problem = problem

        def __call__(self, params: Sequence[Any], results: Sequence[Any]) -> None:
            raise self._problem

    def build(target: Target, pack: selftest.Pack) -> Built:
        bad = [problems[c.case.name] for c in pack.checks if c.case.name in problems]
        if bad and where == "build":
            raise bad[0]
        return Failing(bad[0]) if bad else right(target, pack)

    monkeypatch.setattr(selftest, "built_alone", build)
    found = {o.name: o for o in selftest.run(REFERENCE, few)}
    assert {o.name: o.state for o in wrong(list(found.values()))} == {few[3].name: "failed", few[9].name: "skipped"}
    assert found[few[3].name].detail.startswith("driver;")


def test_no_kept_code_is_tested(tmp_path: Path) -> None:
    code = (
        "from tilec.measure import selftest\n"
        "few = selftest.cases(3)\n"
        "selftest.cases = lambda: few\n"
        "raise SystemExit(selftest.main(['llvm']))\n"
    )
    environment = {**os.environ, "TILEC_CACHE": "1", "TILEC_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert [o["state"] for o in json.loads(done.stdout)["outcomes"]] == ["passed"] * 3, done.stderr
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        ([1.0, 2.0], [1.0, 2.00001], True),
        ([1.0, 2.0], [1.0, 2.01], False),
        ([np.nan], [1.0], False),
        ([1.0], [np.nan], False),
        ([np.nan], [np.nan], True),
        ([], [], True),
    ],
)
def test_differences(found: list[float], expected: list[float], same: bool) -> None:
    a, b = (np.array(x, np.float32) for x in (found, expected))
    assert (selftest._difference(a, b, F32) == "") is same


# accuracy and speed ------------------------------------------------------------------------------------------------


def test_functions_are_as_exact_as_they_should_be() -> None:
    found = ulp.measure(resolve_target("llvm"))
    assert {m.dtype for m in found} >= {"f32"} and len(found) >= len(ulp._FUNCTIONS)
    assert all(0 < m.ulp <= m.bound for m in found)


def test_ulps() -> None:
    one = np.float32(1)
    found = np.array([1, np.nextafter(one, np.float32(2)), 2, 0.5, np.nan, 7, np.inf, 1e-40], np.float32)
    exact = np.array([1, 1, 1.5, 0.5 + 2.0**-25, 1, 1e39, 1, 1e-42])
    unit = 2.0**-23
    assert ulp.ulps(found, exact).tolist() == [0, 1, 0.5 / unit, 0.5, np.inf, 0, np.inf, 0]


def test_bandwidth() -> None:
    for target in [resolve_target("llvm"), *opencl.targets()[:1]]:
        found = bandwidth.measure(target)
        assert found is not None and 1e7 < found < 1e14
    assert bandwidth.measure(REFERENCE) is None


# the command -------------------------------------------------------------------------------------------------------


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Standard output of a command, as JSON."""
    assert call([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "doctor", "--target", "llvm")
    (tests,) = found["tests"]
    assert (tests["target"], tests["counts"], tests["right"]) == ("llvm", {"passed": 300}, True)
    assert found["versions"]["numpy"] == np.__version__
    assert found["processor"]["threads"] >= 1
    assert found["cache"]["limit"] > 0


def test_doctor_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["doctor", "--no-test"]) == 0
    out = capsys.readouterr().out
    assert all(f"{part}\n  " in out for part in ("Versions", "Processor", "OpenCL", "Cache", "Settings"))
    assert call(["doctor", "--target", "cuda"]) == 1


ROW = {"name": "exp", "dtype": "f32", "ulp": 0.5, "bound": 1.5, "argument": 2.0}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (machine.Answer(problem="no answer within 1 s"), "no answer within 1 s"),
        (machine.Answer({"error": "error[TILE0509]: no device"}), "TILE0509"),
        (machine.Answer({"outcomes": [{"name": "a", "state": "wrong", "detail": "x"}]}), "wrong: a: x"),
        (machine.Answer({"outcomes": [{"name": "a", "state": "skipped", "detail": "x"}]}), "1 skipped"),
        (machine.Answer({"outcomes": [], "functions": [{**ROW, "ulp": 3.0}]}), "wrong: exp of f32: 3.00 ulp at 2.0"),
        (machine.Answer({"outcomes": [], "functions": [{**ROW, "ulp": None}]}), "f32 in ulp: exp infinitely many"),
    ],
)
def test_doctor_finds(
    answer: machine.Answer, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if answer.value:
        answer = machine.Answer({"functions": [], "bandwidth": 5e9, "outcomes": [], **answer.value})
    monkeypatch.setattr(machine, "ask_all", lambda *_: [answer])
    monkeypatch.setattr(doctor, "facts", lambda: {"opencl": {"devices": []}})
    assert call(["doctor", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["tests"]
    assert words in "\n".join([*doctor.outcome(found), *doctor.figures(found)])


def test_a_broken_device_hides_no_other(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    crashed = machine.Answer(problem="the process was ended by signal 11", crashed=True)
    passed = [{"name": "a", "state": "passed", "detail": ""}]
    fine = machine.Answer({"outcomes": passed, "functions": [], "bandwidth": None})
    monkeypatch.setattr(machine, "ask_all", lambda module, calls, _: [crashed if calls[0][0] == "opencl:0" else fine])
    listed = [{"target": f"opencl:{n}", "key": f"device {n}"} for n in range(2)] + [{"target": None, "key": "none"}]
    monkeypatch.setattr(doctor, "facts", lambda: {"opencl": {"devices": listed}})
    found = said(capsys, "doctor", code=1)["tests"]
    assert {t["target"]: t["right"] for t in found} == {"llvm": True, "opencl:0": False, "opencl:1": True}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("Portable Computing Language", "AMD", "pthread-EPYC", "3.0-rc2"), "PoCL's cache"),
        (("Intel(R) OpenCL HD Graphics", "Intel(R)", "Intel(R) HD Graphics 4000", "10"), "NaN"),
        (("Apple", "Apple", "Apple M1", "1.2"), "Apple's OpenCL"),
        (("Clover", "Mesa", "", "unknown"), "rusticl"),
        (("rusticl", "Mesa/X.org", "llvmpipe", "22"), "RUSTICL_ENABLE"),
    ],
)
def test_known_troubles(names: tuple[str, str, str, str], words: str) -> None:
    assert any(words in t.what + t.cure for t in troubles(*names))


def test_no_trouble_without_a_cure() -> None:
    assert all(t.cure and t.what and t.names == t.names.lower().replace("\\D", "\\d") for t in TROUBLES)
    assert troubles("AMD Accelerated Parallel Processing", "AMD", "gfx1100", "3600") == []


# processes ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="groups of processes are POSIX's")
def test_what_a_process_has_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    (tmp_path / "asked_parent.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    started = time.monotonic()
    assert machine.ask("asked_parent", [], 2).problem == "no answer within 2 s"
    assert time.monotonic() - started < 30


def test_asking_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = {
        "good": "print('noise'); print('[1]')",
        "slow": "import time; time.sleep(60)",
        "crashed": "import os; os.kill(os.getpid(), 11)",
        "broken": "import no_such_module_here",
    }
    for name, text in programs.items():
        (tmp_path / f"asked_{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "json.py").write_text("raise ImportError('this is not the json you want')")
    monkeypatch.chdir(tmp_path / "folder")
    assert machine.ask("asked_good", [], 30).value == [1]
    assert machine.ask("tilec.measure.machine", [], 60).problem is None
    assert machine.ask("asked_slow", [], 1).problem == "no answer within 1 s"
    if sys.platform != "win32":
        assert machine.ask("asked_crashed", [], 30).problem == "the process was ended by signal 11"
    assert "no_such_module_here" in str(machine.ask("asked_broken", [], 30).problem)
