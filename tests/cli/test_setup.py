"""`tilec setup`: which device it chooses, what it saves, and what it asks."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.refusals import refused
from tilec import configuration
from tilec.cli import devices, setup
from tilec.cli.main import call
from tilec.cli.setup import Trial, automatic, required
from tilec.configuration import config
from tilec.measure import machine
from tilec.user_file import changed, save

CPU = {"target": "llvm", "kind": "cpu", "key": None}
POCL = {"target": "opencl:1", "kind": "cpu", "key": "pocl"}
GPU = {"target": "opencl:0", "kind": "gpu", "key": "gpu"}
GRIND = {"target": "opencl:2", "kind": "simulator", "key": "grind"}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file, which does not exist yet."""
    path = tmp_path / "config" / "tilec" / "config.toml"
    monkeypatch.setattr(configuration, "user_file", lambda: path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    config.reset()
    return path


class Trials(setup._Trials):
    """Devices whose seconds are known, and those that are not right."""

    def __init__(self, **known: float | str) -> None:
        names = {"llvm": "llvm", "gpu": "opencl:0", "pocl": "opencl:1"}
        self._known = {
            names[n]: Trial(names[n], v) if isinstance(v, str) else Trial(names[n], None, v) for n, v in known.items()
        }


# choosing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "trials", "target", "why"),
    [
        ([CPU], Trials(llvm=1.0), "llvm", "OpenCL has no GPU here"),
        ([CPU, POCL, GRIND], Trials(llvm=1.0, pocl=0.5), "llvm", "OpenCL has no GPU here"),
        ([CPU, GPU, POCL], Trials(llvm=1.0, gpu=0.25), "opencl:0", "4.0 times as fast as on llvm"),
        (
            [CPU, GPU],
            Trials(llvm=1.0, gpu=2.0),
            "llvm",
            "opencl:0 is not used: a product of matrices is 2.0 times as slow",
        ),
        ([CPU, GPU], Trials(llvm=1.0, gpu="2 wrong"), "llvm", "opencl:0 is not used: 2 wrong"),
        ([CPU, GPU], Trials(llvm="no LLVM", gpu=2.0), "opencl:0", "llvm cannot be used"),
        ([CPU, POCL], Trials(llvm="no LLVM", pocl=2.0), "opencl:1", "llvm is not used: no LLVM"),
    ],
)
def test_automatic(found: list[Mapping[str, Any]], trials: Trials, target: str, why: str) -> None:
    chosen, reason = automatic(found, trials)
    assert chosen == target and why in reason


def test_nothing_is_right() -> None:
    text = refused("TILE0514", automatic, [CPU, POCL, GRIND], Trials(llvm="no LLVM", pocl="signal 11"))
    assert "llvm is not used: no LLVM" in text and "opencl:1 is not used: signal 11" in text


def test_a_device_that_is_asked_for_has_to_pass() -> None:
    assert required("llvm", Trials(llvm=1.0)) == ("llvm", "it passed its tests")
    assert "nothing is saved" in refused("TILE0514", required, "llvm", Trials(llvm="3 wrong"))
    assert required("llvm!", Trials(llvm="3 wrong"))[1].startswith("it is forced")
    refused("TILE0508", required, "cuda", Trials())
    refused("TILE0508", required, "", Trials())
    refused("TILE0509", required, "opencl:no-such-word", Trials())


# saving ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'target = "llvm"\n'),
        ("# mine\n\n", '# mine\ntarget = "llvm"\n\n'),
        ('# a\ntarget = "opencl:0"  # why\nthreads = 2\n', '# a\ntarget = "llvm"  # why\nthreads = 2\n'),
        ("threads = 2 # two\r\n", 'threads = 2 # two\r\ntarget = "llvm"\n'),
        ("threads = 2", 'threads = 2\ntarget = "llvm"\n'),
    ],
)
def test_lines_are_kept(before: str, after: str) -> None:
    assert changed(before, {"target": "llvm"}, "a file") == after
    assert changed(after, {"target": "llvm"}, "a file") == after


def test_values_stay_out_of_tables() -> None:
    text = changed("threads = 1\n[other] # not ours\nx = 1\n", {"target": "llvm"}, "a file")
    assert tomllib.loads(text) == {"threads": 1, "target": "llvm", "other": {"x": 1}}
    assert "[other] # not ours\nx = 1\n" in text


@pytest.mark.parametrize("text", ["target = ", "a = 1\na = 2\n", "[" * 5000, "\0"])
def test_no_toml(text: str, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert "nothing was changed" in refused("TILE0711", save, target="llvm")
    assert file.read_text() == text
    assert call(["setup", "--yes"]) == 1


def test_save(file: Path) -> None:
    assert config.target == "auto"
    assert save(target="opencl:0") == file
    assert config.target == "opencl:0"
    refused("TILE0711", save, target="the moon")
    refused("TILE0711", save, colour="never")
    assert file.read_text() == 'target = "opencl:0"\n'


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_read_only(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.parent.chmod(0o500)
    refused("TILE0702", save, target="llvm")
    file.parent.chmod(0o700)
    assert not list(file.parent.iterdir())


def test_places_that_cannot_be_written(file: Path) -> None:
    file.parent.parent.write_text("a file where a directory should be")
    refused("TILE0702", save, target="llvm")
    file.parent.parent.unlink()
    file.mkdir(parents=True)
    refused("TILE0701", save, target="llvm")


# the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets devices pass and products take 10 ms, but what is given by name."""

    def set(found: list[dict[str, Any]] | None = None, **problems: str) -> None:
        full = [{**devices._cpu(), **d} for d in found or [CPU]]
        monkeypatch.setattr(
            devices, "facts", lambda: {"devices": full, "problem": None, "default": "llvm", "origin": "x"}
        )

        def ask_all(module: str, calls: list[list[str]], seconds: float) -> list[machine.Answer]:
            device = calls[0][0]
            if problem := problems.get(device.replace(":", "")):
                return [machine.Answer({"error": problem})]
            outcomes = [{"name": "a", "state": "passed", "detail": ""}]
            seconds = 0.01 if device == "llvm" else 0.002
            value = {"outcomes": outcomes, "functions": [], "bandwidth": None, "seconds": seconds}
            return [machine.Answer(value)]

        monkeypatch.setattr(machine, "ask_all", ask_all)

    set()
    return set


def test_unattended(file: Path, tried: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["setup", "--yes"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f'target = "llvm" is saved in {file}: OpenCL has no GPU here, and llvm is the best for a CPU'
    tried([CPU, GPU])
    assert call(["setup", "-y"]) == 0
    assert "5.0 times as fast" in capsys.readouterr().out
    assert file.read_text() == 'target = "opencl:0"\n'
    tried([CPU, GPU], opencl0="error[TILE0710]: the driver failed")
    assert call(["setup", "-y"]) == 0
    assert file.read_text() == 'target = "llvm"\n'


def test_a_named_device(file: Path, tried: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["setup", "--device", "llvm", "--yes"]) == 0
    tried(llvm="it is broken")
    assert call(["setup", "--device", "llvm", "--yes"]) == 1
    assert "TILE0514" in capsys.readouterr().err
    assert file.read_text() == 'target = "llvm"\n'


def test_without_a_terminal(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert call(["setup"]) == 2
    assert "give --yes" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.usefixtures("tried")
def test_what_comes_before_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILEC_DEVICE", "reference")
    assert call(["setup", "--yes"]) == 0
    assert file.exists()
    assert "here and now the target is reference, from TILEC_DEVICE" in capsys.readouterr().out


# the dialogue ------------------------------------------------------------------------------------------------------


def _take_terminal(terminal: int) -> None:
    """Makes a terminal that of this process, which Ctrl-C there then interrupts."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests in the background have it ignored
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("typed", "code", "kept", "said"),
    [
        (["\n", "\n"], 0, 'target = "llvm"\n', "is saved in"),
        (["cuda\n", "reference\n", "y\n"], 0, 'target = "reference"\n', "TILE0508"),
        (["\n", "n\n"], 0, None, "nothing is saved"),
        (["\x03"], 130, None, "interrupted"),
        (["\n", "\x04"], 130, None, "interrupted"),
    ],
)
def test_dialogue(typed: list[str], code: int, kept: str | None, said: str, file: Path) -> None:
    lines = (
        "from tilec.measure import machine",
        "passed = [{'name': 'a', 'state': 'passed', 'detail': ''}]",
        "value = {'devices': [], 'outcomes': passed, 'functions': [], 'bandwidth': None, 'seconds': 0.01}",
        "machine.ask_all = lambda *_: [machine.Answer(value)]",
        "from tilec.cli.main import call",
        "raise SystemExit(call(['setup']))",
    )
    import pty

    own, other = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        stdin=other,
        stdout=other,
        stderr=other,
        preexec_fn=partial(_take_terminal, other),
    )
    os.close(other)
    shown, typed, last, at = "", [*typed], "", 0.0
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        if select.select([own], [], [], 0.1)[0]:
            try:
                shown += os.read(own, 4096).decode()
            except OSError:
                break
        if shown.rstrip().endswith(("]:", "]: ")) and typed:
            shown += "\n"
            last, at = typed.pop(0), time.monotonic()
            os.write(own, last.encode())
        elif last == "\x03" and time.monotonic() > at + 5:  # it came before Python waited for input: users do it again
            at = time.monotonic()
            os.write(own, last.encode())
    os.close(own)
    try:
        child.wait(30)
    finally:
        child.kill()
    assert (child.returncode, said in shown) == (code, True), shown
    assert (file.read_text() if file.exists() else None) == kept
