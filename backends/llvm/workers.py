"""Machine code of several modules, made by several processes where that is worth their start.

llvmlite takes one lock around every library call, so nothing is gained by threads. Workers live as long as one
compilation: no idle processes, nothing to survive a fork or to hold up the interpreter's exit. The calling process does
its share too, and all that a worker fails to do, or does not do in time (it may be stopped, or starved): without any
worker the result is the same, only later.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING

import llvmlite

from tilec.backends.llvm import codegen, jit
from tilec.backends.llvm.codegen import Machine
from tilec.backends.llvm.target import threads
from tilec.configuration import config
from tilec.target import Target

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

MANY = 48  # kernels of a program that is sure to be worth workers: they start while the first text is written
ENOUGH = 3 << 17  # bytes of text from which on workers are started: about 0.3 s of work
_MOST = 16  # workers, unless someone asks for more
_AT_ONCE = 2  # modules that a worker has been given: one that it compiles, one that waits
_PATIENCE = 5.0  # seconds that the calling process waits for workers when it has nothing left to do itself
_PER_BYTE = 1e-5  # and more for a byte of the longest text: ten times what LLVM takes
_log = logging.getLogger("tilec")


class Worker:
    """A process that compiles modules, one after the other. Raises OSError where it cannot be started.

    Two threads may use it at once: the text of the next module is on its way while it is at work on the last one.
    Otherwise it waits for this process's interpreter lock, several times for each module.
    """

    def __init__(self, machine: Machine) -> None:
        path = str(Path(llvmlite.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, *codegen.arguments(machine, path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._writing = threading.Lock()
        self._turn = threading.Condition()
        self._asked = 0
        self._answered = 0

    def object_code(self, text: str) -> bytes:
        """As `jit.object_code`; raises OSError, EOFError or ValueError where the worker is not, or no longer, there."""
        jobs, answers = self.process.stdin, self.process.stdout
        assert jobs is not None and answers is not None
        data = text.encode()
        with self._writing:
            codegen.write(jobs, data)
            number, self._asked = self._asked, self._asked + 1
        with self._turn:
            self._turn.wait_for(lambda: self._answered == number)
        try:
            if number == 0 and answers.readline(len(codegen.GREETING)) != codegen.GREETING:
                raise EOFError
            return codegen.read(answers)
        finally:
            with self._turn:
                self._answered += 1
                self._turn.notify_all()

    def end(self) -> None:
        """Kills the process: it holds nothing that would have to be put in order."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:  # what was still to be written to a dead process
                pass
        self.process.wait()


class Compilation:
    """Takes modules one by one, `add`, and has their objects in the end, `objects`. A context manager, used once.

    kernels: how many there will be.
    """

    def __init__(self, target: Target, kernels: int = 0) -> None:
        self._target = target
        self._many = kernels >= MANY
        self._machine: Machine | None = None
        self._texts: list[str] = []
        self._bytes = 0
        self._answers: list[Future[bytes | None]] = []
        self._executor: ThreadPoolExecutor | None = None
        self._workers: list[Worker] = []
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._granted = 0
        self._ended = False
        self._gate = threading.Lock()

    def __enter__(self) -> Compilation:
        if self._many:
            self._start()
        if self._executor is not None:
            self._executor.submit(self._get_ready)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        """Ends all workers, at once: after `objects` none has anything to do."""
        with self._gate:
            self._ended = True
            for worker in self._workers:
                worker.process.kill()  # whoever waits for an answer sees the end of the stream
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.end()
        _places.give_back(self._granted)

    def add(self, text: str) -> None:
        """One more module; workers may begin with it at once."""
        self._texts.append(text)
        self._bytes += len(text)
        if self._executor is None and len(self._texts) > 1 and self._bytes >= ENOUGH:
            self._start()
        if self._executor is not None:
            self._hand_over()

    def objects(self) -> tuple[bytes, ...]:
        """An object for each module, in their order. Raises what `jit.object_code` raises."""
        found: dict[int, bytes] = {}
        for number in range(len(self._texts) - 1, -1, -1):  # the workers are at the first ones
            if number >= len(self._answers) or self._answers[number].cancel():
                found[number] = jit.object_code(self._texts[number], self._target)
        waiting = {number: text for number, text in enumerate(self._texts) if number not in found}
        until = time.monotonic() + _PATIENCE + _PER_BYTE * max(map(len, waiting.values()), default=0)
        for number, text in waiting.items():
            answer = _answer(self._answers[number], until)
            found[number] = answer if answer is not None else jit.object_code(text, self._target)
        return tuple(found[number] for number in range(len(self._texts)))

    def _start(self) -> None:
        if not _can_start():
            return
        self._granted = _places.take(_wanted(self._target))
        if self._granted:
            from concurrent.futures import ThreadPoolExecutor

            self._machine = jit.machine_of(self._target)
            self._executor = ThreadPoolExecutor(_AT_ONCE * self._granted, "tilec-compile")

    def _hand_over(self) -> None:
        assert self._executor is not None
        try:
            for text in self._texts[len(self._answers) :]:
                self._answers.append(self._executor.submit(self._compiled, text))
        except RuntimeError:  # the interpreter is on its way out, and starts no more threads
            pass

    def _compiled(self, text: str) -> bytes | None:
        """What a worker makes of a text, in a thread that waits for it; None where it fails."""
        worker = None
        try:
            worker = self._worker()
            code = worker.object_code(text)
        except (OSError, EOFError, ValueError) as reason:
            _log.info("a compile worker failed: %r", reason)
            return None
        self._idle.put(worker)
        return code

    def _get_ready(self) -> None:
        """Starts the first worker before there is anything to do."""
        try:
            self._idle.put(self._worker())
        except (OSError, EOFError) as reason:
            _log.info("a compile worker failed: %r", reason)

    def _worker(self) -> Worker:
        with self._gate:
            try:
                return self._idle.get_nowait()
            except Empty:
                pass
            if self._ended:
                raise EOFError
            if len(self._workers) == self._granted:  # those that failed are not replaced
                raise EOFError
            assert self._machine is not None
            worker = Worker(self._machine)
            self._workers.append(worker)
            for _ in range(_AT_ONCE - 1):
                self._idle.put(worker)
            return worker


def _answer(future: Future[bytes | None], until: float) -> bytes | None:
    """What a worker made, None where it failed or has not answered at the time `until`."""
    try:
        return future.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        _log.info("a compile worker failed: no answer in time")
        return None


class _Places:
    """How many workers there may be at once in this process, whatever the number of threads that compile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0

    def take(self, wanted: int) -> int:
        """As many places as are free, at most `wanted`."""
        with self._lock:
            granted = max(0, wanted - self._taken)
            self._taken += granted
            return granted

    def give_back(self, count: int) -> None:
        with self._lock:
            self._taken -= count


_places = _Places()


def _after_fork() -> None:
    """The parent's workers are not the child's."""
    global _places
    _places = _Places()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _wanted(target: Target) -> int:
    """What the setting says; of itself one less than the processors that this process and `threads` allow."""
    setting = config.compile_workers
    return int(setting) if setting != "auto" else min(threads() - 1, target.threads - 1, _MOST)


def _can_start() -> bool:
    """Whether there is a Python to start: in an application that embeds or bundles one, the executable is another."""
    if getattr(sys, "frozen", False) or not os.path.isfile(codegen.__file__):
        return False
    return os.path.basename(sys.executable or "").lower().startswith(("python", "pypy"))
