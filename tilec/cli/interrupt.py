"""Floor 6: long calls into machine code that Ctrl-C can end.

Python looks at signals between its own instructions only, so the thread that receives them must not be the one that is
inside machine code. The other one is a daemon: it does not keep the process alive once we have given it up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
_POLL_SECONDS = 0.1  # on Windows, waiting without a limit cannot be interrupted


def interruptible(work: Callable[[], Result]) -> Result:
    """`work()`, run in another thread; raises what it raises, or KeyboardInterrupt at once when there is one."""
    results: list[Result] = []
    problems: list[BaseException] = []

    def attempt() -> None:
        try:
            results.append(work())
        except BaseException as problem:  # handed to the waiting thread
            problems.append(problem)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_POLL_SECONDS)
    if problems:
        raise problems[0]
    return results[0]
