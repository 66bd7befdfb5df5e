"""The command line in bad company: terminals, pipes, devices, hostile files, interruption."""

from __future__ import annotations

import os
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tilec.cli.main import call

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX devices, pipes and signals")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "add.tile").write_text("function (A[N]) -> (B) { B = A + 1; }\n")
    (tmp_path / "arrow.tile").write_text("function (A[N]) -> (B) { B = A + Q; } // \u2192\n", encoding="utf-8")
    np.save(tmp_path / "a.npy", np.arange(4, dtype=np.float32))
    return tmp_path


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tilec", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


def header(text: str, data: bytes = b"") -> bytes:
    """A .npy file with this header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


@pytest.mark.parametrize(
    "content",
    [
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,), }\n"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }\n"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (True,), }\n", bytes(4)),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n"),
        header("{'descr': 'O', 'fortran_order': False, 'shape': (3,), }\n", b"cos\nsystem\n"),
        header("{'descr': ['a'], 'fortran_order': False, 'shape': (3,), }\n"),
        header("(" * 5000),
        header("__import__('os').abort()\n"),
        b"\x93NUMPY\x09\x00abc",
        b"PK\x03\x04garbage",
        b"\x80\x04K\x01.",
        b"",
    ],
)
def test_hostile_array_files(folder: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.npy").write_bytes(content)
    assert call(["run", f"{folder}/add.tile", "-i", f"A={folder}/bad.npy"]) == 1
    assert "TILE0703" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-i", "A={}/a.npy", "-i", "A={}/a.npy"], "TILE0704"),
        (["-i", "A={}/a.npy", "--random", "A:f32[3]"], "TILE0704"),
        (["-i", "A={}/a.npy", "-o", "B={}/x.npy", "-o", "B={}/y.npy"], "TILE0704"),
        (["--random", f"A:f32[{'1,' * 80}1]"], "TILE0413"),
        (["-i", "A={}/a.npy", "-o", "B={}"], "TILE0702"),
    ],
)
def test_refused_options(folder: Path, arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["run", f"{folder}/add.tile", *(a.replace("{}", str(folder)) for a in arguments)]) == (
        2 if code == "TILE0704" else 1
    )
    assert code in capsys.readouterr().err
    assert sorted(p.name for p in folder.iterdir()) == ["a.npy", "add.tile", "arrow.tile"]  # nothing left behind


@POSIX
def test_devices_and_links_stay_what_they_are(folder: Path) -> None:
    pipe, link, target = folder / "pipe", folder / "link.npy", folder / "target.npy"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert call(["run", f"{folder}/add.tile", "-i", f"A={folder}/a.npy", "-o", f"B={pipe}"]) == 0
    assert os.read(reader, 6) == b"\x93NUMPY"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    target.write_bytes(b"")
    target.chmod(0o640)
    link.symlink_to(target)
    assert call(["run", f"{folder}/add.tile", "-i", f"A={folder}/a.npy", "-o", f"B={link}"]) == 0
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    np.testing.assert_array_equal(np.load(target), [1, 2, 3, 4])


@POSIX
def test_new_files_have_ordinary_permissions(folder: Path) -> None:
    assert call(["run", f"{folder}/add.tile", "-i", f"A={folder}/a.npy", "-o", f"B={folder}/new.npy"]) == 0
    (folder / "plain").write_text("")
    assert (folder / "new.npy").stat().st_mode == (folder / "plain").stat().st_mode


@pytest.mark.parametrize("command", [["check", "arrow.tile"], ["run", "arrow.tile", "-i", "A=a.npy"]])
def test_terminal_without_unicode(folder: Path, command: list[str]) -> None:
    found = start(folder, *command, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert found.returncode == 1
    assert "\\u2192" in found.stdout + found.stderr
    assert "Traceback" not in found.stderr


@POSIX
@pytest.mark.parametrize("command", ["check add.tile", "run add.tile -i A=a.npy"])
@pytest.mark.parametrize("end", [">/dev/full", ">&-", "<&-", "| true"])
def test_output_that_cannot_be_written(folder: Path, command: str, end: str) -> None:
    line = f"{sys.executable} -m tilec {command} {end}"
    found = subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in found.stderr
    assert ("TILE0702" in found.stderr) == (end == ">/dev/full")


LONG_TO_COMPILE = "".join(f"T{i + 1} = T{i} * 2;\n" for i in range(5000))
LONG_TO_RUN = "T5000[i : N] = +(T0[i] * k), k < 1000000000000000;"
ENDLESS = "T5000 = while(always, next, T0);"
HELPERS = "function always(T) -> (Go) { M[] = +(T[i]); Go = M >= M; } function next(T[N]) -> (U) { U = T / 2; }"


@POSIX
@pytest.mark.parametrize("statements", [LONG_TO_COMPILE, LONG_TO_RUN, ENDLESS], ids=["compiling", "running", "endless"])
def test_interruption_ends_with_130(folder: Path, statements: str) -> None:
    (folder / "long.tile").write_text(f"{HELPERS} function long(T0[N]) -> (T5000) {{ {statements} }}")
    code = "from tilec.cli.main import main; print('ready', flush=True); main()"  # an interrupted import is Python's
    command = [sys.executable, "-c", code, "run", "long.tile", "-f", "long", "--random", "T0:f32[3]"]
    running = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None and running.stdout.readline() == "ready\n"
    time.sleep(1.0)
    running.send_signal(signal.SIGINT)
    _, problems = running.communicate(timeout=60)
    assert running.returncode == 130
    assert problems == "interrupted\n"
