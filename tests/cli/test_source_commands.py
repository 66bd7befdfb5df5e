"""`tilec fmt`, `tilec test` and `tilec new`."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tilec.cli.main import call

UGLY = "function f(A)->(B){B=A;} // same\n"
NEAT = "function f(A) -> (B) {\n  B = A;\n}  // same\n"
TESTS = """function f(A) -> (B) {
  B = 2 * A;
}

test "right" {
  assert_equal(f([1, 2]), [2, 4]);
}

test "wrong" {
  assert_equal(f([1, 2]), [2, 5]);
}

test "nothing" {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ugly.tile").write_text(UGLY)
    (tmp_path / "neat.tile").write_text(NEAT)
    (tmp_path / "broken.tile").write_text("function f(A) -> (B) { B = ; }")
    (tmp_path / "tests.tile").write_text(TESTS)
    return tmp_path


def stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


# fmt


def test_fmt_writes_in_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.chmod(folder / "ugly.tile", 0o641)
    assert call(["fmt", f"{folder}/ugly.tile", f"{folder}/neat.tile"]) == 0
    assert (folder / "ugly.tile").read_text() == NEAT
    assert stat.S_IMODE((folder / "ugly.tile").stat().st_mode) == 0o641
    out, err = capsys.readouterr()
    assert (out, err) == ("", "1 of 2 files formatted\n")
    assert len(list(folder.iterdir())) == 4  # no temporary file stays


def test_fmt_leaves_what_is_neat_untouched(folder: Path) -> None:
    before = (folder / "neat.tile").stat()
    assert call(["fmt", f"{folder}/neat.tile"]) == 0
    after = (folder / "neat.tile").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_fmt_keeps_links(folder: Path) -> None:
    (folder / "link.tile").symlink_to("ugly.tile")
    assert call(["fmt", f"{folder}/link.tile"]) == 0
    assert (folder / "link.tile").is_symlink()
    assert (folder / "ugly.tile").read_text() == NEAT


def test_fmt_check_lists_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["fmt", "--check", f"{folder}/neat.tile"]) == 0
    capsys.readouterr()
    assert call(["fmt", "--check", f"{folder}/neat.tile", f"{folder}/ugly.tile"]) == 1
    assert capsys.readouterr().out == f"would reformat {folder}/ugly.tile\n"
    assert (folder / "ugly.tile").read_text() == UGLY


def test_fmt_leaves_broken_programs_and_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "broken.tile").read_bytes()
    assert call(["fmt", str(folder)]) == 1
    assert (folder / "broken.tile").read_bytes() == before
    assert (folder / "ugly.tile").read_text() == NEAT
    err = capsys.readouterr().err
    assert "TILE0002" in err and f"{folder}/broken.tile:1:28" in err and "1 with errors" in err


def test_fmt_reads_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stdin(monkeypatch, UGLY)
    assert call(["fmt", "-"]) == 0
    assert capsys.readouterr().out == NEAT
    stdin(monkeypatch, UGLY)
    assert call(["fmt", "-", "--check"]) == 1
    assert capsys.readouterr().out == "would reformat <stdin>\n"
    stdin(monkeypatch, "function")
    assert call(["fmt", "-"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "<stdin>:1" in err
    stdin(monkeypatch, UGLY)
    assert call(["fmt", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["<stdin>"] == {"changed": True, "diagnostics": [], "text": NEAT}


def test_fmt_keeps_any_character() -> None:
    command = [sys.executable, "-m", "tilec", "fmt", "-"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    text = "// größer × 2 \U0001f600\n" + NEAT
    done = subprocess.run(command, input=text.encode(), capture_output=True, env=environment, timeout=60)
    assert (done.returncode, done.stdout.decode()) == (0, text)


def test_fmt_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["fmt", "--check", "--json", str(folder)]) == 1
    found = {Path(file).name: value for file, value in json.loads(capsys.readouterr().out).items()}
    assert {n: v["changed"] for n, v in found.items()} == {
        "broken.tile": False,
        "neat.tile": False,
        "tests.tile": False,
        "ugly.tile": True,
    }
    assert found["broken.tile"]["diagnostics"][0]["code"] == "TILE0002"


@pytest.mark.parametrize("name", ["missing.tile", "a\0b"])
def test_fmt_of_what_cannot_be_read(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert call(["fmt", f"{folder}/{name}"]) == 1
    assert "TILE0701" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_fmt_of_what_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.chmod(folder / "ugly.tile", 0o444)
    assert call(["fmt", f"{folder}/ugly.tile"]) == 1
    assert "TILE0702" in capsys.readouterr().err


def test_a_failed_write_leaves_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert call(["fmt", f"{folder}/ugly.tile"]) == 1
    assert "TILE0702" in capsys.readouterr().err
    assert (folder / "ugly.tile").read_text() == UGLY
    assert len(list(folder.iterdir())) == 4


# test


def test_test_reports_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["test", f"{folder}/tests.tile"]) == 1
    out = capsys.readouterr().out
    assert "  ok   right (1 check)\n  FAIL wrong (1 check)\n  ok   nothing (no checks)\n" in out
    assert "error[TILE0705]: 'assert_equal': found 4, expected 5 at [1]" in out
    assert f"{folder}/tests.tile:10:3" in out
    assert "2 passed, 1 failed in " in out


@pytest.mark.parametrize("target", ["llvm", "reference"])
def test_test_by_name_and_target(folder: Path, capsys: pytest.CaptureFixture[str], target: str) -> None:
    assert call(["test", f"{folder}/tests.tile", "-k", "right", "--target", target]) == 0
    assert "1 passed in" in capsys.readouterr().out
    assert call(["test", f"{folder}/tests.tile", "-k", "absent"]) == 2
    assert "TILE0704" in capsys.readouterr().err
    assert call(["test", f"{folder}/tests.tile", "--target", "cuda"]) == 1
    assert "TILE0508" in capsys.readouterr().err


def test_test_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["test", "--json", str(folder)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["passed"], found["failed"]) == (2, 1)
    files = {Path(file).name: value for file, value in found["files"].items()}
    assert [t["name"] for t in files["tests.tile"]["tests"]] == ["right", "wrong", "nothing"]
    assert files["tests.tile"]["tests"][1]["diagnostics"][0]["line"] == 10
    assert files["broken.tile"]["diagnostics"][0]["code"] == "TILE0002"


def test_test_without_tests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["test", f"{folder}/neat.tile"]) == 0
    assert "no tests" in capsys.readouterr().out


# new


def test_new_program_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = f"{tmp_path}/mine.tile"
    assert call(["new", file]) == 0
    assert call(["check", file]) == 0
    assert call(["fmt", "--check", file]) == 0
    assert call(["test", file]) == 0
    assert "3 passed" in capsys.readouterr().out


def test_new_refuses_to_overwrite(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["new", f"{folder}/ugly.tile"]) == 1
    assert "TILE0702" in capsys.readouterr().err
    assert (folder / "ugly.tile").read_text() == UGLY
    assert call(["new", f"{folder}/ugly"]) == 1  # the ending is added
    assert call(["new", f"{folder}/no/such/place.tile"]) == 1
    assert "TILE0702" in capsys.readouterr().err


def test_new_has_a_default_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(["new"]) == 0
    assert (tmp_path / "program.tile").exists()
