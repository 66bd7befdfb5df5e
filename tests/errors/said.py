"""All that is said about a Tile program: syntax, checks, elaboration at given input types, in-file tests."""

from __future__ import annotations

import re

from tilec.dtypes import BY_NAME
from tilec.errors import Diagnostic, Report
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import check, elaborate
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.syntax import Program
from tilec.frontends.tile.tests_runner import run_tests
from tilec.gradient_check import wrong_gradients
from tilec.graph import TensorType
from tilec.pipeline import optimise

_INPUT = re.compile(r"([\w']+): (?:([a-z]\w+)\[([\d, ]*)\]|([-\d.e]+))")


def signature_of(inputs: str) -> dict[str, TensorType | int | float]:
    """The types of `A: f32[3, 4], N: 5`."""
    found: dict[str, TensorType | int | float] = {}
    for name, dtype, shape, number in _INPUT.findall(inputs):
        if dtype:
            found[name] = TensorType(BY_NAME[dtype], tuple(map(int, re.findall(r"\d+", shape))))
        else:
            found[name] = float(number) if re.search("[.e]", number) else int(number)
    return found


def diagnostics(text: str, name: str, inputs: str | None) -> list[Diagnostic]:
    """Errors and warnings of a program; at `inputs` where they are given. Raises TileError with the errors."""
    program = parse(text, name)
    if inputs is None:
        report = check(program)
        report.check()
        return [*report.diagnostics, *_tested(program)]
    report = Report()
    found = elaborate(program, None, signature_of(inputs))
    optimise(found.graph, report=report)
    report.check()
    return [*found.warnings.diagnostics, *report.diagnostics, *_tested(program)]


def _tested(program: Program) -> list[Diagnostic]:
    return [d for result in run_tests(program, evaluate, differences=wrong_gradients) for d in result.diagnostics]
