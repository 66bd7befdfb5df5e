"""Files that users name: whole or not at all, devices, pipes, links, permissions, and what is no path."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec import api, files
from tilec.cli.main import call
from tilec.errors import TileError

SCALE = "function scale(X[N], F) -> (Y) { Y = X * F; }"
posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and permissions are POSIX")


@pytest.fixture
def scale() -> tilec.Executable:
    return tilec.compile(SCALE, X=(3,), F=2.0)


@posix
def test_a_link_is_followed_and_permissions_stay(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    files.write_file(link, b"new")
    assert link.is_symlink()
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"new", 0o640)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "made")
    files.write_file(dangling, lambda file: file.write(b"new"))
    assert dangling.is_symlink() and (tmp_path / "made").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 4


@posix
def test_an_executable_saved_to_a_link_or_a_pipe(scale: tilec.Executable, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    scale.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert tilec.load(tmp_path / "target")(np.ones(3, np.float32), 2.0).tolist() == [2, 2, 2]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    scale.save(pipe)
    assert os.read(reader, 2) == b"PK"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)  # not replaced by a file


@posix
@pytest.mark.parametrize("command", ["profile", "compile"])
def test_reports_and_objects_go_into_pipes(command: str, tmp_path: Path) -> None:
    program, pipe = tmp_path / "scale.tile", tmp_path / "pipe"
    program.write_text(SCALE)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    rest = {
        "profile": ["--random", "X:f32[4]", "-i", "F=2.0", "--seconds", "0", "--trace", str(pipe)],
        "compile": ["--shape", "X=4,", "--shape", "F=2.0", "--emit", "obj", "-o", str(pipe)],
    }
    assert call([command, str(program), *rest[command]]) == 0
    assert os.read(reader, 100)
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/stdout is a link into /proc")
def test_standard_output_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "scale.tile").write_text(SCALE)
    command = [sys.executable, "-m", "tilec", "compile", "scale.tile", "--shape", "X=4,", "--shape", "F=2.0"]
    command += ["--emit", "obj", "-o", "/dev/stdout"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.stdout.startswith(b"\x7fELF"), done.stderr


def test_a_read_only_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # for root may write everywhere
    with pytest.raises(TileError, match=r"TILE0702.*it is read-only"):
        files.write_file(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("path", [None, 3, 1.5, [], object()])
def test_what_is_no_path(scale: tilec.Executable, path: Any) -> None:
    for use in (scale.save, tilec.load, api.parse_file):
        with pytest.raises(TileError, match="TILE0511"):
            use(path)


def test_odd_paths(scale: tilec.Executable, tmp_path: Path) -> None:
    scale.save(os.fsencode(tmp_path / "bytes"))  # type: ignore[arg-type]
    assert tilec.load(os.fsencode(tmp_path / "bytes")).name == "scale"  # type: ignore[arg-type]
    for path in ("", tmp_path, f"{tmp_path}/a\0b", tmp_path / "no" / "such"):
        with pytest.raises(TileError, match="TILE0702"):
            scale.save(path)


def test_a_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "endless.tile"
    path.write_text("//" * 1000)
    monkeypatch.setattr(files, "_MOST_TEXT", 1000)
    for read in (lambda: call(["check", str(path)]), lambda: api.parse_file(path)):
        try:
            assert read() == 1
        except TileError as problem:
            assert problem.code == "TILE0701"
    path.write_text(SCALE)
    assert call(["check", str(path)]) == 0


def test_a_directory_that_is_called_like_a_program(tmp_path: Path) -> None:
    (tmp_path / "odd.tile").mkdir()
    (tmp_path / "odd.tile" / "scale.tile").write_text(SCALE)
    assert call(["check", str(tmp_path)]) == 0
