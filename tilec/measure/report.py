"""Floor 5: what an executable does in a call, and what it took to compile it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tilec.loops import Branch, Copy, HostCall, Iterate, Launch, Program, Step, parts


@dataclass(frozen=True, slots=True)
class ExecutableReport:
    """What `Executable.report` returns; print it.

    name: that of the function. kernels: how many there are. launches, copies: steps of a call; host_calls: those that
    NumPy computes, by function. The steps of a loop count once per round, or once where only the call knows how many
    rounds there are; of a branch the longer side counts. first: launches before the first call. memory: bytes of
    temporary tensors in a call, None with open sizes. constants: bytes that are compiled in. seconds: what each pass
    and the backend took, empty where the machine code comes from the cache or a file.
    """

    name: str
    target: str
    kernels: int
    launches: int
    copies: int
    host_calls: Mapping[str, int]
    first: int
    memory: int | None
    constants: int
    seconds: Mapping[str, float]

    def __str__(self) -> str:
        return "\n".join(f"{what:<18}{text}" for what, text in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        yield "function", f"{self.name} on {self.target}"
        yield (
            "kernels",
            f"{self.kernels}, launched {self.launches} times in a call, {self.first} times before the first",
        )
        yield "copies", str(self.copies)
        calls = ", ".join(f"{name} {count}" for name, count in self.host_calls.items())
        yield "host calls", f"{sum(self.host_calls.values())}{f' ({calls})' if calls else ''}"
        if self.memory is not None:
            yield "temporary tensors", f"{self.memory:,} bytes"
        yield "constants", f"{self.constants:,} bytes"
        if self.seconds:
            yield "compiled in", f"{sum(self.seconds.values()):.3f} s"
        for stage, taken in sorted(self.seconds.items(), key=lambda item: -item[1]):
            yield f"  {stage}", f"{taken:.3f} s"


def report(executable: Any, seconds: Mapping[str, float]) -> ExecutableReport:
    """The report of an `Executable`; of target `reference`, which has no program, all counts are 0."""
    program: Program | None = executable.program
    steps: Counter[str] = Counter() if program is None else _counted(program.steps)
    first: Counter[str] = Counter() if program is None else _counted(program.init)
    return ExecutableReport(
        executable.name,
        str(executable.target),
        0 if program is None else len(program.kernels),
        steps["launch"],
        steps["copy"],
        {name.removeprefix("host "): n for name, n in sorted(steps.items()) if name.startswith("host ")},
        first["launch"],
        None if program is None or program.sizes else _memory(program),
        sum(a.nbytes for a in executable.constants.values()),
        dict(seconds),
    )


def _memory(program: Program) -> int:
    return program.arena or 0


def _counted(steps: Iterable[Step]) -> Counter[str]:
    """Steps of a call by kind."""
    found: Counter[str] = Counter()
    for step in steps:
        inner = [_counted(part) for part in parts(step)]
        match step:
            case Launch():
                found["launch"] += 1
            case Copy():
                found["copy"] += 1
            case HostCall(function):
                found[f"host {function}"] += 1
            case Branch():
                found += inner[0] | inner[1]
            case Iterate(extent=int(extent)):
                found += Counter({name: n * extent for name, n in inner[0].items()})
            case _:
                found += sum(inner, Counter[str]())
    return found
