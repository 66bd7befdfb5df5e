"""Devices that did not pass their tests are refused, until they pass or their driver changes."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.backends.test_platforms import NVIDIA, POCL
from tests.refusals import refused
from tilec import trust
from tilec.backends.opencl import devices
from tilec.backends.opencl.platforms import listed
from tilec.cli.doctor import outcome
from tilec.devices import resolve_target
from tilec.measure import machine
from tilec.measure.checks import examined
from tilec.trust import Mark, mark, marks

FOUND = listed([POCL, NVIDIA])
KEY = FOUND[0].key
WRONG = Mark(False, "2 of 300 tests failed")


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "state" / "devices.json"
    monkeypatch.setattr(trust, "state_file", lambda: path)
    monkeypatch.setattr(devices, "find", lambda: FOUND)
    return path


def test_marks_are_kept() -> None:
    assert marks() == {}
    mark("a", WRONG)
    mark("b", Mark(True))
    assert marks() == {"a": WRONG, "b": Mark(True)}
    mark("a", Mark(True))
    assert marks() == {"a": Mark(True), "b": Mark(True)}


@pytest.mark.parametrize("damage", ["right", "checksum", "half", "[" * 5000, "[]", "{}", "\xff"])
def test_damage_says_nothing(damage: str, file: Path) -> None:
    mark("a", WRONG)
    text = file.read_text()
    damaged = {
        "right": text.replace("false", "true"),
        "checksum": text.replace('"checksum": "', '"checksum": "0'),
        "half": text[:-9],
    }.get(damage, damage)
    assert damaged != text
    file.write_text(damaged, encoding="latin-1")
    assert marks() == {}
    mark("b", Mark(True))
    assert marks() == {"b": Mark(True)}


def test_no_mark_is_lost_between_threads() -> None:
    threads = [threading.Thread(target=mark, args=(str(i), Mark(True))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(marks()) == set(map(str, range(8)))


def test_a_place_that_cannot_be_written(file: Path) -> None:
    file.parent.write_text("a file where a directory should be")
    refused("TILE0702", mark, "a", WRONG)
    assert marks() == {}


def test_a_wrong_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_target("opencl:0").cpu == "RTX 4090"
    mark(KEY, WRONG)
    for name in ("opencl:0", "opencl"):
        text = refused("TILE0514", resolve_target, name)
        assert "2 of 300 tests failed" in text and "tilec doctor --target opencl:0" in text
    assert resolve_target("opencl:1").cpu == "RTX 3050"
    assert resolve_target("opencl:0!") == resolve_target("opencl:0", force=True) == resolve_target("opencl!")
    monkeypatch.setenv("TILEC_DEVICE", "opencl:0")
    assert "from TILEC_DEVICE" in refused("TILE0514", resolve_target, "auto")
    monkeypatch.setenv("TILEC_DEVICE", "opencl:0!")
    assert resolve_target("auto").cpu == "RTX 4090"


def test_another_driver_begins_anew() -> None:
    mark(KEY.replace("driver 1.0", "driver 0.9"), WRONG)
    assert resolve_target("opencl:0").cpu == "RTX 4090"


PASSED, FAILED, SKIPPED = ({"name": "a", "state": s, "detail": ""} for s in ("passed", "wrong", "skipped"))
EXACT, FAR = ({"name": "exp", "dtype": "f32", "ulp": ulp, "bound": 1.5, "argument": 1.0} for ulp in (0.5, 9.0))


def said(outcomes: list[Any], *functions: Any) -> machine.Answer:
    return machine.Answer({"outcomes": outcomes, "functions": list(functions), "bandwidth": 1e9})


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (said([PASSED, SKIPPED], EXACT), Mark(True)),
        (said([PASSED, FAILED], EXACT), Mark(False, "1 of 3 tests failed")),
        (said([PASSED], FAR, {**EXACT, "ulp": None}), Mark(False, "2 of 3 tests failed")),
        (machine.Answer(problem="signal 11", crashed=True), Mark(False, "signal 11")),
        (machine.Answer(problem="no answer within 1 s"), None),
        (machine.Answer({"error": "TILE0509"}), None),
        (said([SKIPPED]), None),
    ],
)
def test_the_doctor_marks(answer: machine.Answer, kept: Mark | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ask_all", lambda *_: [answer])
    assert examined("opencl:0", KEY)["right"] is (kept == Mark(True))
    assert marks().get(KEY) == kept
    mark(KEY, WRONG)
    examined("opencl:0", KEY)
    assert marks()[KEY] == (kept or WRONG)


def test_nothing_is_tested_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = iter([said([PASSED]), machine.Answer(problem="signal 11", crashed=True)])

    def ask(module: str, *_: Any) -> list[machine.Answer]:
        asked.append(module)
        return [next(answers)]

    monkeypatch.setattr(machine, "ask_all", ask)
    found = examined("opencl:0", KEY)
    assert asked == ["tilec.measure.selftest", "tilec.measure.ulp"]
    assert (found["right"], found["counts"], marks()[KEY].why) == (False, {"passed": 1}, "signal 11")


def test_a_mark_that_cannot_be_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.parent.write_text("a file where a directory should be")
    monkeypatch.setattr(machine, "ask_all", lambda *_: [said([FAILED])])
    assert "not kept: cannot write" in "\n".join(outcome(examined("opencl:0", KEY)))


def test_devices_tell(capsys: pytest.CaptureFixture[str]) -> None:
    mark(KEY, WRONG)
    mark(FOUND[1].key, Mark(True))
    machine.main()
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["devices"]
    assert [d["trusted"] for d in found] == [False, True, None]
