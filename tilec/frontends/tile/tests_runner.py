"""In-file tests: `test "name" { ... assert_close(f(A), B); check_grad(f, A); }`.

Every test becomes one Graph whose results are the operands of its checks; who runs the Graph is the caller's choice
(`evaluate`), so that the compiled program and the evaluator are tested by the same code, and so is who compares
gradients with differences (`differences`). Data are nested lists and
`random(d0, ...)`, float32 numbers in [-1, 1) that are the same in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from tilec.errors import Diagnostic, TileError, error
from tilec.frontends.tile.builder import Builder
from tilec.frontends.tile.calls import value
from tilec.frontends.tile.closed import close
from tilec.frontends.tile.elaborate import check, function_table, inline, run
from tilec.frontends.tile.functions import CHECK_GRADIENT
from tilec.frontends.tile.limits import MAX_DIAGNOSTICS
from tilec.frontends.tile.syntax import Check, Name, Program, Test
from tilec.frontends.tile.values import Poisoned, Scalar, Scope, Tensor, Tuple, Value
from tilec.graph import Apply, Graph
from tilec.rules import shape_text
from tilec.type_graph import infer_graph

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Evaluate: TypeAlias = Callable[[Graph, Mapping[str, Any]], Mapping[str, Any]]
Differences: TypeAlias = Callable[[Graph, Mapping[str, Any]], Sequence[str]]  # of a Graph at a point: what is wrong
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test; `diagnostics` is empty where it passed."""

    name: str
    checks: int
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.diagnostics


@dataclass(frozen=True, slots=True)
class _Checked:
    """One check: its statement and the results of the Graph that hold its operands."""

    statement: Check
    operands: tuple[str, ...]
    tolerance: float


@dataclass(frozen=True, slots=True)
class _Gradient:
    """One `check_grad`: the function as a Graph of its float arguments, and the results that hold these."""

    statement: Check
    graph: Graph
    operands: tuple[str, ...]


@dataclass(slots=True)
class Prepared:
    """A test as a Graph, its data, and what is to be checked of its results."""

    graph: Graph
    data: dict[str, Any]
    checks: list[_Checked | _Gradient] = field(default_factory=list)


def run_tests(
    program: Program, evaluate: Evaluate, only: str | None = None, *, differences: Differences
) -> list[Result]:
    """Runs the tests, or those whose name contains `only`. Raises TileError where the program itself is wrong."""
    if found := check(program).errors():
        raise TileError(found[:MAX_DIAGNOSTICS])
    chosen = [t for t in program.tests if only is None or only in t.name]
    return [_run(program, test, evaluate, differences) for test in chosen]


def _run(program: Program, test: Test, evaluate: Evaluate, differences: Differences) -> Result:
    count = sum(isinstance(s, Check) for s in test.body)
    found: list[Diagnostic] = []
    try:
        prepared = prepare(program, test)
        results = evaluate(prepared.graph, prepared.data) if prepared.checks else {}
        for one in prepared.checks:
            if isinstance(one, _Gradient):
                found += _compare_gradient(one, results, differences)
            elif (wrong := _compare(one, results)) is not None:
                found.append(wrong)
    except TileError as problem:
        return Result(test.name, count, (*found, *problem.diagnostics))
    return Result(test.name, count, tuple(found))


def prepare(program: Program, test: Test) -> Prepared:
    """The Graph of a test; raises TileError with all errors found."""
    builder = Builder(function_table(program), inline, testing=True)
    scope = Scope()
    checks: list[_Checked | _Gradient] = []
    for statement in test.body:
        if isinstance(statement, Check):
            _add_check(builder, scope, statement, checks)
        else:
            run(builder, scope, statement, {})
    if found := builder.report.errors():
        raise TileError(found[:MAX_DIAGNOSTICS])
    results = tuple(dict.fromkeys(name for c in checks for name in c.operands))
    graph = Graph("test", tuple(builder.params), tuple(builder.lets), results)
    return Prepared(infer_graph(graph), builder.data, checks)


def _add_check(b: Builder, scope: Scope, statement: Check, checks: list[_Checked | _Gradient]) -> None:
    try:
        if statement.call.function.text == CHECK_GRADIENT:
            checks.append(_check_gradient(b, scope, statement))
        else:
            checks.append(_check(b, scope, statement))
    except Poisoned:
        pass
    except TileError as found:
        b.complain(found)


def _check(b: Builder, scope: Scope, statement: Check) -> _Checked:
    call = statement.call
    tolerance = TOLERANCE
    if len(call.args) == 3:
        with b.scratch():
            tolerance = float(b.constant(value(b, scope, call.args[2]), call.args[2].span, "a tolerance"))
    operands = [b.tensor(value(b, scope, a), a.span) for a in call.args[:2]]
    if len(operands) == 2 and operands[0].type.shape != operands[1].type.shape:
        texts = [shape_text(o.type.shape) for o in operands]
        raise error("TILE0705", f"'{call.function.text}': the shapes are {texts[0]} and {texts[1]}", statement.span)
    return _Checked(statement, tuple(_result(b, o, statement) for o in operands), tolerance)


def _check_gradient(b: Builder, scope: Scope, statement: Check) -> _Gradient:
    """`check_grad(f, A, B)`: f is elaborated at the types of A and B; float literals are arguments like any."""
    name, *given = statement.call.args
    assert isinstance(name, Name)
    values = [value(b, scope, e) for e in given]
    args = [
        b.tensor(v, e.span) if isinstance(v, Scalar) and isinstance(v.value, float) else v
        for v, e in zip(values, given)
    ]
    closed = close(b, b.functions[name.ident.text], args, statement.span)
    if not any(p.type.dtype.is_float for p in closed.graph.params):
        help = "a list of integers is written with a decimal point to be one of floats: [1.0, 2.0]"
        raise error("TILE0309", f"'{name.ident.text}' has no argument that is a float", statement.span, help=help)
    passed = [t for v in args for t in _tensors(v)]
    operands = tuple(_result(b, t, statement) for t in passed)
    return _Gradient(statement, infer_graph(closed.graph), operands)


def _tensors(value: Value) -> tuple[Tensor, ...]:
    match value:
        case Tensor():
            return (value,)
        case Tuple(items):
            return tuple(t for item in items for t in _tensors(item))
        case _:
            return ()


def _result(b: Builder, operand: Tensor, statement: Check) -> str:
    """A result of its own: a parameter can be an operand, but is no result."""
    if operand.name in b.data:
        return b.emit(Apply("ident", (operand.name,)), operand.type, statement.span).name
    return operand.name


# comparing


def _compare_gradient(check: _Gradient, results: Mapping[str, Any], differences: Differences) -> list[Diagnostic]:
    point = {p.name: np.asarray(results[o]) for p, o in zip(check.graph.params, check.operands, strict=True)}
    text, span = f"'{CHECK_GRADIENT}': ", check.statement.span
    try:
        return [Diagnostic("TILE0705", text + d, span) for d in differences(check.graph, point)]
    except TileError as problem:  # what has no place of its own is about the function as it is checked here
        return [replace(d, span=d.span or span) for d in problem.diagnostics]


def _compare(check: _Checked, results: Mapping[str, Any]) -> Diagnostic | None:
    arrays = [np.asarray(results[name]) for name in check.operands]
    wide = [a.astype(np.float64) if a.dtype.kind not in "biu" else a for a in arrays]
    if len(wide) == 1:
        wrong = wide[0] == 0
    elif check.statement.call.function.text == "assert_equal":
        wrong = ~((wide[0] == wide[1]) | (_nan(wide[0]) & _nan(wide[1])))
    else:
        wrong = ~np.isclose(wide[0], wide[1], rtol=check.tolerance, atol=check.tolerance, equal_nan=True)
    if not np.any(wrong):
        return None
    return _failure(check, arrays, np.asarray(wrong))


def _nan(array: Array) -> Any:
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)


def _failure(check: _Checked, arrays: list[Array], wrong: Array) -> Diagnostic:
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    where = f" at {list(place)}" if place else ""
    name = check.statement.call.function.text
    notes = [f"{int(np.sum(wrong))} of {wrong.size} elements differ"] if wrong.size > 1 else []
    if len(arrays) == 1:
        return Diagnostic("TILE0705", f"'{name}' does not hold{where}", check.statement.span)
    if wrong.size > 1:
        notes += [f"{word}: {_brief(array)}" for word, array in zip(("found", "expected"), arrays)]
    text = f"'{name}': found {arrays[0][place]}, expected {arrays[1][place]}{where}"
    return Diagnostic("TILE0705", text, check.statement.span, tuple(notes))


def _brief(array: Array) -> str:
    text = np.array2string(array, precision=6, threshold=24, edgeitems=2, separator=", ")
    return " ".join(text.split())
