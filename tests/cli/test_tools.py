"""`tilec config`, `tilec passes`, `tilec doctor` and the self-test behind it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilec.backend import Built
from tilec.cli import doctor
from tilec.cli.main import call
from tilec.cli.passes import stages, summary
from tilec.configuration import config
from tilec.dtypes import F32
from tilec.errors import error
from tilec.graph import TensorType
from tilec.measure import machine, selftest
from tilec.settings import settings_by_name
from tilec.target import Target


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Standard output of a command, as JSON."""
    assert call([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


# config ------------------------------------------------------------------------------------------------------------


def test_config_lists_every_setting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_THREADS", "3")
    found = said(capsys, "config")
    assert list(found) == list(settings_by_name())
    assert (found["threads"]["value"], found["threads"]["origin"]) == (3, "TILEC_THREADS")
    assert call(["config"]) == 0
    assert "threads = 3  (TILEC_THREADS)\n" in capsys.readouterr().out


def test_config_refuses_bad_values(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_THREADS", "lots")
    assert call(["config"]) == 1
    assert "error[TILE0711]: TILEC_THREADS is 'lots'" in capsys.readouterr().err


def test_config_names_the_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.tilec]\nthreads = 2\n")
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    monkeypatch.delenv("TILEC_THREADS", raising=False)
    config.reset()
    assert call(["config"]) == 0
    assert f"threads = 2  ({tmp_path / 'pyproject.toml'})\n" in capsys.readouterr().out


# passes ------------------------------------------------------------------------------------------------------------


def test_passes_are_those_of_the_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    from tilec.cli import opt_stages

    found = said(capsys, "passes")
    names = [s["name"] for s in found]
    assert list(dict.fromkeys(opt_stages.stages(opt_stages.work_for("auto", None)))) == names
    assert all(s["summary"] and len(s["summary"]) <= 90 for s in found)
    assert call(["passes"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(names)


def test_one_pass_at_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["passes", "cse"]) == 0
    assert "Before:\n    graph f" in capsys.readouterr().out
    assert call(["passes", "nothing"]) == 1
    assert "TILE0605" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("doc", "line"),
    [
        ("Pass `x`: does this. And that.", "Does this"),
        ("Common: of Lets, the first.\n\nMore.", "Common"),
        ("Floor 4: `y`: a b, c", "A b, c"),
    ],
)
def test_summary(doc: str, line: str) -> None:
    assert summary(doc) == line


def test_every_stage_has_an_example() -> None:
    missing = [s["name"] for s in stages() if "Before:" not in s["doc"]]
    assert set(missing) <= {"schedule", "lower"}


# self-test ---------------------------------------------------------------------------------------------------------


def test_there_are_a_hundred_different_programs() -> None:
    found = selftest.cases()
    assert len({(c.text, tuple(c.inputs.items())) for c in found}) == len(found) == 100
    assert found == selftest.cases()
    dtypes = {t.dtype.name for c in found for t in c.inputs.values()}
    assert dtypes >= {"f32", "f64", "f16", "bf16", "i32", "i64", "i8", "u8"}


def test_programs_are_right_on_this_machine() -> None:
    from tilec.devices import resolve_target

    found = list(selftest.run(resolve_target("llvm"), selftest.cases(33)))
    assert Counter(o.state for o in found) == {"passed": 33}, [o for o in found if o.state != "passed"]


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
    right = selftest._built
    monkeypatch.setattr(selftest, "_built", lambda *a: [(g, Slightly(b)) for g, b in right(*a)])
    found = list(selftest.run(Target("reference"), selftest.cases(22)))
    assert {o.state for o in found} == {"wrong"}
    assert "1 of" in found[0].detail


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


def test_failing_devices_are_told_from_lacking_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    right = selftest._built
    problems = [error("TILE0509", "no float64"), RuntimeError("driver\nlost"), error("TILE0710", "the driver failed")]
    monkeypatch.setattr(selftest, "_built", lambda *a: [(g, p) for (g, _), p in zip(right(*a), problems)])
    found = list(selftest.run(Target("reference"), selftest.cases(3)))
    assert [o.state for o in found] == ["skipped", "failed", "failed"]
    assert found[1].detail.startswith("driver;")


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


def test_inputs_have_their_types() -> None:
    for case in selftest.cases():
        for name, array in selftest.values(case).items():
            assert TensorType(case.inputs[name].dtype, array.shape) == case.inputs[name]


# doctor ------------------------------------------------------------------------------------------------------------


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "doctor")
    assert found["self-test"]["counts"] == {"passed": 100}
    assert found["versions"]["numpy"] == np.__version__
    assert found["processor"]["threads"] >= 1
    assert found["cache"]["limit"] > 0


def test_doctor_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["doctor", "--no-test"]) == 0
    out = capsys.readouterr().out
    assert all(f"{part}\n  " in out for part in ("Versions", "Processor", "OpenCL", "Cache", "Settings"))
    assert call(["doctor", "--target", "cuda"]) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (machine.Answer(problem="no answer within 1 s"), "no answer within 1 s"),
        (machine.Answer({"error": "error[TILE0509]: no device"}), "TILE0509"),
        (machine.Answer({"outcomes": [{"name": "a", "state": "wrong", "detail": "x"}]}), "wrong: a: x"),
        (machine.Answer({"outcomes": [{"name": "a", "state": "skipped", "detail": "x"}]}), "1 skipped"),
    ],
)
def test_doctor_finds(
    answer: machine.Answer, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "ask", lambda *_: answer)
    monkeypatch.setattr(doctor, "facts", lambda: {"opencl": {"devices": []}})
    assert call(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["self-test"]
    assert words in "\n".join(doctor.selftest_lines(found))


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


# colour ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "escapes"),
    [({}, False), ({"TILEC_COLOR": "always"}, True), ({"TILEC_COLOR": "wrong"}, False), ({"NO_COLOR": "1"}, False)],
)
def test_no_colour_into_a_pipe(
    variables: dict[str, str],
    escapes: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert call(["explain", "TILE0101"]) == 0
    assert ("\x1b[" in capsys.readouterr().out) is escapes


@pytest.mark.parametrize(
    ("variables", "escapes"), [({}, False), ({"TILEC_COLOR": "always"}, True), ({"TILEC_COLOR": "never"}, False)]
)
def test_colour_of_diagnostics(
    variables: dict[str, str],
    escapes: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The text is the same but for the colours."""
    (tmp_path / "bad.tile").write_text("function (A) -> (BB) { CC = A - DD; B = CC; }")
    assert call(["check", str(tmp_path / "bad.tile")]) == 1
    plain = capsys.readouterr().out
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert call(["check", str(tmp_path / "bad.tile")]) == 1
    painted = capsys.readouterr().out
    assert ("\x1b[1;31merror\x1b[0m[TILE0101]" in painted) is escapes
    assert re.sub("\x1b\\[[0-9;]*m", "", painted) == plain
    assert call(["opt", str(tmp_path / "bad.tile")]) == 1
    assert ("\x1b[1;31m^^\x1b[0m" in capsys.readouterr().err) is escapes


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("color", "escapes"), [("never", False), ("auto", True)])
def test_colour_of_help(color: str, escapes: bool) -> None:
    import pty

    master, slave = pty.openpty()
    environment = {**os.environ, "TILEC_COLOR": color, "TERM": "xterm"}
    command = [sys.executable, "-m", "tilec", "--help"]
    done = subprocess.run(command, stdout=slave, stderr=slave, env=environment, timeout=60, check=False)
    shown = os.read(master, 65536)
    os.close(slave)
    os.close(master)
    assert done.returncode == 0 and b"Usage" in shown
    assert (b"\x1b[" in shown) is escapes


@pytest.mark.skipif(sys.platform == "win32", reason="a directory in use cannot be deleted there")
def test_config_where_the_directory_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert call(["config"]) == 0
    assert "of which there is none here" in capsys.readouterr().out
