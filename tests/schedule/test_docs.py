"""The Before/After texts in the docstrings of the schedule primitives are what the primitives do."""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import tilec.passes.schedule
from tests.generators.kernels import assert_same
from tilec.loops import Kernel
from tilec.passes.schedule import PRIMITIVES, apply
from tilec.schedule import parse_schedule
from tilec.text.loops_text import parse_kernel, print_kernel
from tilec.verify.loops import verify_kernel

FOLDER = Path(tilec.passes.schedule.__file__).parent
_PART = re.compile(
    r"^(?P<indent> *)(?P<head>Before|After [^\n]*):\n(?P<body>(?:(?P=indent)    [^\n]*\n)+)", re.MULTILINE
)


def docs() -> Iterator[tuple[str, str]]:
    for path in sorted(FOLDER.glob("*.py")):
        name = "tilec.passes.schedule" + ("" if path.stem == "__init__" else f".{path.stem}")
        module = importlib.import_module(name)
        yield path.stem, module.__doc__ or ""
        for function, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == name:
                yield f"{path.stem}.{function}", inspect.cleandoc(value.__doc__ or "")


def examples() -> Iterator[tuple[str, str, str, str]]:
    for place, text in docs():
        before = ""
        for part in _PART.finditer(text if text.endswith("\n") else text + "\n"):
            body = textwrap.dedent(part["body"])
            if part["head"] == "Before":
                before = body
            else:
                yield place, before, part["head"].removeprefix("After "), body


def kernel(header: str, body: str) -> Kernel:
    return parse_kernel(f"{header} {{\n{body}}}\n")


@pytest.mark.parametrize("place, before, schedule, after", list(examples()))
def test_before_and_after(place: str, before: str, schedule: str, after: str) -> None:
    header, _, body = before.partition("\n")
    start, expected = kernel(header, body), kernel(header, after)
    directives = parse_schedule(schedule)
    actual = apply(start, directives)
    assert print_kernel(actual) == print_kernel(expected)
    verify_kernel(actual)
    assert_same(start, actual, directives)


def test_every_primitive_is_documented() -> None:
    shown = " ".join(schedule for _, _, schedule, _ in examples())
    assert [name for name in PRIMITIVES if f"{name}(" not in shown] == []
