"""`tilec config`, `tilec passes`, and colour."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tilec.cli.main import call
from tilec.cli.passes import stages, summary
from tilec.configuration import config
from tilec.settings import settings_by_name


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
