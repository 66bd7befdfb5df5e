"""Floor 6: `tilec setup`: choose the device that programs run on, test it, and keep the choice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from tilec.errors import TileError, error

_PATIENCE = 120.0  # seconds for a product of matrices, which takes a few
_FAST = ("gpu", "accelerator")  # kinds that may be faster than LLVM's code on the CPU

Device = Mapping[str, Any]  # as `tilec devices --json` has it


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a device: why it cannot be used, and seconds of a product of matrices where they were measured."""

    target: str
    problem: str | None
    seconds: float | None = None


def command(
    device: str | None = typer.Option(None, "--device", help="The device to use: llvm, opencl:N, opencl:WORD, ..."),
    yes: bool = typer.Option(False, "--yes", "-y", metavar="", help="Ask nothing: test, choose and save."),
) -> int:
    """Choose the device that programs run on: list, test and time devices, and save the choice for this user."""
    from tilec.cli.devices import facts, text

    if not yes and not _asks():
        raise error("TILE0704", "setup asks questions, and there is no terminal to ask on", help="give --yes")
    found = facts()
    _say(text(found))
    devices = [d for d in found["devices"] if d["target"]]
    trials = _Trials({d["target"]: d["key"] for d in devices})
    if device is not None:
        target, why = required(device, trials)
    elif yes:
        target, why = automatic(devices, trials)
    else:
        target, why = _dialogue(devices, trials)
    if not yes and not _asked(typer.confirm, f"Save {target} as the device of this user?", True):
        _say("nothing is saved")
        return 0
    _save(target, why)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # what follows may take a while


def _asks() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _asked(ask: Callable[[str, Any], Any], question: str, default: str | bool) -> Any:
    """An answer; Ctrl-C and the end of input are the same to Typer, and here too."""
    try:
        return ask(question, default)
    except typer.Abort:
        raise KeyboardInterrupt from None


# trying ------------------------------------------------------------------------------------------------------------


class _Trials:
    """Devices that have been tried, each once."""

    def __init__(self, keys: Mapping[str, str | None]) -> None:
        self._keys, self._known = keys, dict[str, Trial]()

    def __call__(self, target: str, timed: bool = True) -> Trial:
        if target not in self._known:
            self._known[target] = _tried(target, self._keys.get(target), timed)
        return self._known[target]

    def ratio(self, target: str) -> float | None:
        """How many times as fast as on `llvm` a product of matrices is; None where one of them is not known."""
        own, cpu = self(target).seconds, self("llvm").seconds
        return cpu / own if own and cpu else None


def _tried(target: str, key: str | None, timed: bool) -> Trial:
    """Runs the doctor's tests and times a product, each in a process of its own, and tells of both."""
    from tilec.cli.doctor import outcome
    from tilec.measure import machine
    from tilec.measure.checks import examined
    from tilec.measure.product import SIZE

    _say(f"\ntesting {target} ...")
    found = examined(target, key)
    _say("\n".join(outcome(found)))
    if not found["right"]:
        return Trial(target, found["problem"] or "results are wrong")
    if not timed:
        return Trial(target, None)
    answer = machine.ask("tilec.measure.product", [target], _PATIENCE)
    value = answer.value if isinstance(answer.value, dict) else {}
    if problem := answer.problem or value.get("error"):
        return Trial(target, f"a product of matrices: {problem}")
    took = value["seconds"]
    _say(f"{target}: a product of {SIZE} by {SIZE} matrices: {took * 1e3:.1f} ms, {2e-9 * SIZE**3 / took:.1f} GFLOP/s")
    return Trial(target, None, took)


# choosing ----------------------------------------------------------------------------------------------------------


def required(name: str, trials: _Trials) -> tuple[str, str]:
    """The name of a device that passes its tests, and how it compares with the CPU.

    Raises TileError TILE0508, TILE0509, TILE0514.
    """
    from tilec.devices import resolve_target

    target = resolve_target(name, force=True)
    slow = target.backend == "reference" or target.kind == "simulator"
    found = "llvm" if target.backend == "llvm" else str(target)
    problem = trials(found, timed=not slow).problem
    if problem and name.endswith("!"):
        return name, f"it is forced, and did not pass its tests: {problem}"
    if problem:
        raise error("TILE0514", f"{name} did not pass its tests: {problem}", help="nothing is saved")
    ratio = trials.ratio(found) if found != "llvm" and not slow else None
    return name, _comparison(ratio) if ratio else "it passed its tests"


def _comparison(ratio: float) -> str:
    times = f"{ratio:.1f} times as fast" if ratio >= 1 else f"{1 / ratio:.1f} times as slow"
    return f"a product of matrices is {times} as on llvm"


def automatic(devices: Sequence[Device], trials: _Trials) -> tuple[str, str]:
    """The device to use and why: the first GPU that is right and no slower than the CPU's own code, else that.

    OpenCL on the CPU serves where LLVM does not; a simulator never does. Raises TileError TILE0514 where nothing is
    right.
    """
    notes = []
    for target in [d["target"] for d in devices if d["kind"] in _FAST]:
        if problem := trials(target).problem:
            notes.append(f"{target} is not used: {problem}")
        elif (ratio := trials.ratio(target)) is None or ratio >= 1:
            return target, _comparison(ratio) if ratio else "llvm cannot be used"
        else:
            notes.append(f"{target} is not used: {_comparison(ratio)}")
    for target in ["llvm", *(d["target"] for d in devices[1:] if d["kind"] not in (*_FAST, "simulator"))]:
        if not (problem := trials(target).problem):
            return target, "; ".join(notes) or "OpenCL has no GPU here, and llvm is the best for a CPU"
        notes.append(f"{target} is not used: {problem}")
    raise error("TILE0514", "no device passed its tests", notes=notes)


def _dialogue(devices: Sequence[Device], trials: _Trials) -> tuple[str, str]:
    """The device that the user chooses, until it is one that passes its tests."""
    first = next((d["target"] for d in devices if d["kind"] in _FAST), "llvm")
    while True:
        name = _asked(typer.prompt, "\nDevice to use", first).strip()
        try:
            return required(name, trials)
        except TileError as problem:
            _say(str(problem))
            first = "llvm"


# saving ------------------------------------------------------------------------------------------------------------


def _save(target: str, why: str) -> None:
    from tilec.configuration import config
    from tilec.user_file import save

    path = save(target=target)
    _say(f'\ntarget = "{target}" is saved in {path}: {why}')
    loaded = config.loaded()
    if (origin := loaded.origins.get("target")) != str(path):
        _say(f"here and now the target is {loaded.settings.target}, from {origin}, which comes before that file")
