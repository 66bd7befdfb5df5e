"""Floor 4: a process that measures schedules for this one, and may crash, hang or run out of memory while it does.

Waiting for it can be interrupted at any moment. It is out of reach of the terminal's Ctrl-C, for this process decides
what an interruption means.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from tilec.scratch import driver_caches

WORKER = ("-P", "-m", "tilec.tune.worker")  # -P: the present directory's random.py is not ours
_POLL = 0.1  # on Windows, waiting without a limit cannot be interrupted
_GRACE = 2.0  # seconds that a child has to end by its own alarm
_LONGEST = 1 << 20  # characters of an answer


class Gone(Exception):
    """The child crashed, or was killed for taking too long."""


class Child:
    """A child that does one job after the other. Use as a context manager: at the end it is killed."""

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._answers: SimpleQueue[str] = SimpleQueue()
        self._folder: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def ask(self, job: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """The answer to a job that may take `limit` seconds; raises Gone, after which the next job has a new child.

        Raises OSError where no process can be started.
        """
        process = self._process or self._start()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps({**job, "limit": limit}) + "\n")
            process.stdin.flush()
            return self._answer(time.monotonic() + limit + _GRACE)
        except (OSError, ValueError) as reason:
            self.end()
            raise Gone(f"it ended: {reason}") from None
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Kills the child; it holds nothing that would have to be put in order."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        process.wait()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _start(self) -> subprocess.Popen[str]:
        if getattr(sys, "frozen", False) or not os.path.basename(sys.executable or "").lower().startswith("py"):
            raise OSError(None, "there is no Python to start in this application")
        home = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._answers = SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, **self._scratch(), "PYTHONPATH": path},
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        threading.Thread(target=_read, args=(self._process, self._answers), daemon=True).start()
        return self._process

    def _scratch(self) -> dict[str, str]:
        """A folder for what drivers keep, as long as the child lives."""
        self._folder = self._folder or TemporaryDirectory(prefix="tilec-tune-", ignore_cleanup_errors=True)
        return driver_caches(self._folder.name)

    def _answer(self, until: float) -> dict[str, Any]:
        while True:
            try:
                line = self._answers.get(timeout=_POLL)
            except Empty:
                if time.monotonic() > until:
                    raise Gone("it took too long") from None
                continue
            if not line.endswith("\n"):
                raise Gone("it crashed")
            found: dict[str, Any] = json.loads(line)
            return found


def _read(process: subprocess.Popen[str], answers: SimpleQueue[str]) -> None:
    """Passes lines on; in the end an empty one."""
    assert process.stdout is not None
    with suppress(ValueError, OSError), process.stdout as lines:
        while line := lines.readline(_LONGEST):
            answers.put(line)
    answers.put("")
