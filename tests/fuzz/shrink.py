"""Makes a failing case small: the guilty statement alone, its operands as inputs, short axes, no extra clauses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from tests.fuzz.generate import Case
from tests.fuzz.run import Executor, check
from tilec.errors import TileError

MAX_TRIALS = 400


def shrink(case: Case, execute: Executor) -> Case:
    """A smaller case that still fails, within a bounded number of trials."""
    trials = 0
    progress = True
    while progress and trials < MAX_TRIALS:
        progress = False
        for candidate in candidates(case):
            trials += 1
            if fails(candidate, execute):
                case, progress = candidate, True
                break
            if trials >= MAX_TRIALS:
                break
    return case


def fails(case: Case, execute: Executor) -> bool:
    try:
        return check(case, execute).reason is not None
    except TileError:
        return False
    except Exception:
        return True


def candidates(case: Case) -> Iterator[Case]:
    """Simpler neighbours, the boldest first."""
    yield from without_statement(case)
    yield from without_clause(case)
    yield from with_smaller_input(case)
    yield from with_plain_input(case)


def statements(case: Case) -> list[str]:
    return [line.strip() for line in case.text[: _end(case)].splitlines()[1:]]


def _end(case: Case) -> int:
    """Where the first function ends; others, which it applies, may follow."""
    return case.text.index("\n}\n")


def rebuild(case: Case, lines: list[str], inputs: dict[str, Any]) -> Case:
    """The case of some statements: results that are not assigned any more are no outputs, unused inputs are dropped."""
    names = [name for line in lines for name in re.findall(r"\bT\d+\b", line[: line.index(" = ")])]
    used = {word for line in lines for word in re.findall(r"\b[IT]\d+\b", line)} - set(names)
    kept = {n: v for n, v in inputs.items() if n in used}
    body = "\n".join(f"  {line}" for line in lines)
    text = f"function ({', '.join(kept)}) -> ({', '.join(names)}) {{\n{body}{case.text[_end(case) :]}"
    return replace(case, text=text, inputs=kept)


def without_statement(case: Case) -> Iterator[Case]:
    """Drops a statement that no other needs; what later ones read of it becomes an input of its evaluated value."""
    from tests.fuzz.judge import visible
    from tests.fuzz.run import elaborate
    from tilec.evaluate.graph import evaluate

    lines = statements(case)
    if len(lines) == 1:
        return
    graph = elaborate(case)
    known = evaluate(visible(graph), dict(case.inputs))
    for i in range(len(lines)):
        rest = lines[:i] + lines[i + 1 :]
        yield rebuild(case, rest, {**case.inputs, **{n: v for n, v in known.items() if re.match(r"T\d+\Z", n)}})


def without_clause(case: Case) -> Iterator[Case]:
    """Drops a constraint or a default."""
    lines = statements(case)
    for i, line in enumerate(lines):
        for pattern in (r" default \w+", r", [^,()\[\]]*<[^,;]*(?=[,;])"):
            for found in re.finditer(pattern, line):
                shorter = line[: found.start()] + line[found.end() :]
                yield rebuild(case, [*lines[:i], shorter, *lines[i + 1 :]], dict(case.inputs))


def with_smaller_input(case: Case) -> Iterator[Case]:
    for name, value in case.inputs.items():
        if not isinstance(value, np.ndarray):
            continue
        for axis, extent in enumerate(value.shape):
            for smaller in sorted({1, extent // 2, extent - 1}):
                if 0 < smaller < extent:
                    cut = np.ascontiguousarray(np.take(value, range(smaller), axis))
                    yield replace(case, inputs={**case.inputs, name: cut})


def with_plain_input(case: Case) -> Iterator[Case]:
    """Dense layout, all ones."""
    for name, value in case.inputs.items():
        if isinstance(value, np.ndarray) and not (value == 1).all():
            yield replace(case, inputs={**case.inputs, name: np.ones_like(value, order="C")})


def show(case: Case) -> str:
    """Text and inputs, to be pasted into a test."""
    lines = [f"  {n} = {np.array2string(np.asarray(v), threshold=60)}  {_kind(v)}" for n, v in case.inputs.items()]
    return case.text + "\n".join(lines)


def _kind(value: Any) -> str:
    return f"{value.dtype.name}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__


Shrinker = Callable[[Case, Executor], Case]
