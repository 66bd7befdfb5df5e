"""Runs the blocks of one page in a folder of its own, and says what differs from what the page shows."""

from __future__ import annotations

import ast
import contextlib
import glob
import io
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.docs.pages import Block, agrees
from tilec.cli.main import call

_SHELL = re.compile(r"[|&;<>$`]")
_ARROW = re.compile(r"  # -> (.*)$")


@dataclass(frozen=True, slots=True)
class Difference:
    """What a page shows and what came out; `start` and `end` bound the shown text on the page."""

    line: int
    shown: str
    got: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"line {self.line}\n--- shown\n{self.shown}--- got\n{self.got}"


@dataclass(slots=True)
class Page:
    """The state that the blocks of a page share."""

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    printed: str = ""

    def run(self, block: Block) -> Iterator[Difference]:
        """Runs one block in the current folder, which must be the page's."""
        if block.title is not None:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            yield from self._python(block)
        elif block.language == "console":
            yield from console(block)
        elif block.language == "text" and not agrees(block.text, self.printed):
            got = self.printed.strip("\n") + "\n"
            yield Difference(block.line, block.text, got, block.start, block.start + len(block.text))

    def _python(self, block: Block) -> Iterator[Difference]:
        """Statement by statement, as typed at a prompt; an exception ends the test with its traceback."""
        lines = block.text.splitlines(keepends=True)
        output, self.printed = io.StringIO(), ""
        for statement in ast.parse(block.text).body:
            last = (statement.end_lineno or 1) - 1
            arrow = _ARROW.search(lines[last].rstrip("\n"))
            begin = output.tell()
            with contextlib.redirect_stdout(output):
                self._statement(statement, bool(arrow))
            got = output.getvalue()[begin:]
            if arrow is None:
                self.printed += got
            elif not agrees(arrow[1], got):
                start = block.start + sum(map(len, lines[:last])) + arrow.start(1)
                end = start + len(arrow[1])
                yield Difference(block.line + last + 1, arrow[1] + "\n", got.strip("\n"), start, end)

    def _statement(self, statement: ast.stmt, show: bool) -> None:
        """Runs a statement; where it is an expression and `show` is true, prints its repr unless it is None."""
        if show and isinstance(statement, ast.Expr):
            value = eval(compile(ast.Expression(statement.value), "<page>", "eval"), self.names)
            if value is not None:
                print(repr(value))
        else:
            exec(compile(ast.Module([statement], []), "<page>", "exec"), self.names)


def console(block: Block) -> Iterator[Difference]:
    """Commands after `$`; a command whose output is not shown has to succeed."""
    parts = re.split(r"^\$ ", block.text, flags=re.M)
    place = block.start + len(parts[0])
    for part in parts[1:]:
        place += 2
        command, shown = _command(part)
        code, got = execute(command)
        start, end = place + len(part) - len(shown), place + len(part)
        line = block.line + 1 + block.text.count("\n", 0, start - block.start)
        if shown.strip() and not agrees(shown, got):
            yield Difference(line, shown, got, start, end)
        if not shown.strip() and code != 0:
            yield Difference(line, shown, f"{got}(exit code {code})\n", start, end)
        place += len(part)


def _command(part: str) -> tuple[str, str]:
    """A command with its continuation lines, and the output shown below it."""
    lines = part.splitlines(keepends=True)
    count = 1 + next((n for n, line in enumerate(lines) if not line.rstrip("\n").endswith("\\")), len(lines) - 1)
    return "".join(lines[:count]).replace("\\\n", " ").strip(), "".join(lines[count:])


def execute(command: str) -> tuple[int, str]:
    """Exit code and output of a command line: tilec in this process, anything else in a shell."""
    if command.startswith("tilec ") and not _SHELL.search(command):
        return _tilec([word for text in shlex.split(command)[1:] for word in sorted(glob.glob(text)) or [text]])
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    found = subprocess.run(
        ["bash", "-c", command],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        timeout=120,
    )
    return found.returncode, found.stdout


def _tilec(arguments: list[str]) -> tuple[int, str]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            code = call(arguments)
        except Exception:
            output.write(traceback.format_exc())
            code = 70
    return code, output.getvalue()
