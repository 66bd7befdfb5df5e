"""Floor 6: `tilec test`: runs the tests inside programs on compiled code."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from tilec.cli import sources
from tilec.cli.color import shown

if TYPE_CHECKING:
    from tilec.frontends.tile.tests_runner import Result


@dataclass(frozen=True, slots=True)
class Outcome:
    """The tests of one file; `diagnostics` say why the file itself could not be used."""

    file: str
    results: tuple[Result, ...]
    diagnostics: tuple[Any, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.diagnostics and all(r.passed for r in self.results)


def command(
    files: list[str] = typer.Argument(..., help="Tile files, directories of them, or - for standard input."),
    target: str = typer.Option("auto", "--target", help="auto, llvm, opencl[:N] or reference."),
    name: str | None = typer.Option(None, "-k", metavar="NAME", help="Only tests whose name contains this."),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Run the tests that programs hold; the exit code is 1 if one fails."""
    from tilec.devices import resolve_target
    from tilec.errors import error

    device = resolve_target(target)
    started = time.perf_counter()
    outcomes = [_run(file, device, name) for file in sources.expand(files)]
    seconds = time.perf_counter() - started
    if name is not None and not any(o.results or o.diagnostics for o in outcomes):
        raise error("TILE0704", f"no test has {name!r} in its name")
    if as_json:
        print(json.dumps(_as_value(outcomes, str(device), seconds)))
    else:
        _report(outcomes, name, seconds)
    return 0 if all(o.passed for o in outcomes) else 1


def _run(file: str, target: Any, name: str | None) -> Outcome:
    from tilec import api
    from tilec.errors import TileError
    from tilec.frontends.tile.tests_runner import run_tests
    from tilec.gradient_check import wrong_gradients

    try:
        program = api.parse_text(sources.read(file), sources.shown(file))
        results = run_tests(
            program,
            lambda graph, data: api.run(graph, data, target=target),
            name,
            differences=lambda graph, point: wrong_gradients(graph, point, target=target),
        )
    except TileError as problem:
        return Outcome(file, (), problem.diagnostics)
    return Outcome(file, tuple(results))


def _report(outcomes: list[Outcome], name: str | None, seconds: float) -> None:
    for outcome in outcomes:
        if outcome.results or outcome.diagnostics or name is None:
            _report_file(outcome)
    results = [r for o in outcomes for r in o.results]
    failed = sum(not r.passed for r in results)
    unusable = sum(bool(o.diagnostics) for o in outcomes)
    parts = [f"{len(results) - failed} passed", f"{failed} failed" * bool(failed), _wrong(unusable) * bool(unusable)]
    print(f"{', '.join(filter(None, parts))} in {seconds:.2f} s")


def _report_file(outcome: Outcome) -> None:
    empty = "" if outcome.results or outcome.diagnostics else ": no tests"
    print(f"{sources.shown(outcome.file)}{empty}")
    for result in outcome.results:
        print(f"  {'ok  ' if result.passed else 'FAIL'} {result.name} ({_checks(result.checks)})")
    sys.stdout.flush()
    for diagnostic in (*outcome.diagnostics, *(d for r in outcome.results for d in r.diagnostics)):
        print(f"\n{shown(diagnostic, sys.stdout)}\n")


def _checks(count: int) -> str:
    return f"{count} check" if count == 1 else f"{count} checks" if count else "no checks"


def _wrong(count: int) -> str:
    return f"{count} file with errors" if count == 1 else f"{count} files with errors"


def _as_value(outcomes: list[Outcome], target: str, seconds: float) -> dict[str, Any]:
    from tilec.cli.check import as_value

    results = [r for o in outcomes for r in o.results]
    return {
        "target": target,
        "passed": sum(r.passed for r in results),
        "failed": sum(not r.passed for r in results),
        "seconds": seconds,
        "files": {
            sources.shown(o.file): {
                "diagnostics": [as_value(d) for d in o.diagnostics],
                "tests": [
                    {
                        "name": r.name,
                        "passed": r.passed,
                        "checks": r.checks,
                        "diagnostics": [as_value(d) for d in r.diagnostics],
                    }
                    for r in o.results
                ],
            }
            for o in outcomes
        },
    }
