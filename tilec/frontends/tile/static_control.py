"""Checks of branches and loops that need no shapes: which functions they apply, and to how many values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tilec.errors import Report, TileError, error
from tilec.frontends.tile import functions as table
from tilec.frontends.tile.complaints import plural, unknown_function
from tilec.frontends.tile.syntax import Call, Expression, Function, Name
from tilec.frontends.tile.trees import members


def check_control(
    call: Call, functions: Mapping[str, Function], report: Report, visit: Callable[[Expression], None]
) -> int | None:
    """Reports what is wrong with a branch or loop; returns the count of its results, None where unknown.

    TILE0105, TILE0106, TILE0113, TILE0119; `visit` checks an argument that is a value.
    """
    form = table.CONTROL[call.function.text]
    for position, arg in enumerate(call.args):
        if position not in form.functions:
            for member in members(arg):
                visit(member)
    found = [function_named(call.args[k], functions, report) for k in form.functions if k < len(call.args)]
    if not form.least <= len(call.args) <= form.most:
        wanted = f"{form.least} to {form.most}" if form.most < table.MANY else f"at least {form.least}"
        text = f"'{call.function.text}' takes {wanted} arguments, {len(call.args)} given"
        report.error("TILE0106", text, call.span, help=_USE[call.function.text])
        return None
    given = [f for f in found if f is not None]
    if len(given) < len(found):
        return None
    try:
        return _CHECKS[call.function.text](call, *given)
    except TileError as problem:
        report.diagnostics += problem.diagnostics
        return None


def function_named(arg: Expression, functions: Mapping[str, Function], report: Report) -> Function | None:
    """The function of the program that an argument names; reports TILE0105 or TILE0119 where it names none."""
    if isinstance(arg, Name) and arg.ident.text in functions:
        return functions[arg.ident.text]
    if isinstance(arg, Name) and arg.ident.kind == "index" and not table.is_builtin(arg.ident.text):
        report.diagnostics += unknown_function(arg.ident, (), functions).diagnostics
        return None
    text = "a builtin" if isinstance(arg, Name) and arg.ident.kind == "index" else "a value"
    help = "give the name of a function of this file, such as: function step(H, X) -> (Next) { Next = H + X; }"
    report.error("TILE0119", f"a function of the program is needed here, this is {text}", arg.span, help=help)
    return None


def _count(call: Call, position: int) -> int:
    return len(members(call.args[position])) if position < len(call.args) else 0


def _takes(function: Function, count: int, call: Call, what: str) -> None:
    name = function.name.text if function.name else "the function"
    if len(function.inputs) != count:
        text = f"'{name}' takes {plural(len(function.inputs), 'argument')}, '{call.function.text}' gives it {count}"
        raise error("TILE0106", text, call.span, notes=[f"{what}; '{name}' is at {function.span}"])


def _gives(function: Function, count: int, call: Call, what: str, exactly: bool = True) -> None:
    name, found = function.name.text if function.name else "the function", len(function.outputs)
    if found < count or (exactly and found > count):
        text = f"'{name}' has {plural(found, 'result')}, {'' if exactly else 'at least '}{count} wanted"
        raise error("TILE0113", text, call.span, notes=[f"{what}; '{name}' is at {function.span}"])


def _cond(call: Call, then: Function, orelse: Function) -> int:
    for function in (then, orelse):
        _takes(function, len(call.args) - 3, call, "both functions take what follows them")
    _gives(orelse, len(then.outputs), call, "both functions have the same results")
    return len(then.outputs)


def _while(call: Call, test: Function, body: Function) -> int:
    carried, captures = _count(call, 2), _count(call, 3)
    what = f"{carried} carried, {plural(captures, 'capture')}"
    for function in (test, body):
        _takes(function, carried + captures, call, what)
    _gives(test, 1, call, "its one result says whether the loop goes on")
    _gives(body, carried, call, "one result for each carried value")
    return carried


def _scan(call: Call, step: Function) -> int:
    carried, inputs, captures = (_count(call, k) for k in (1, 2, 3))
    _takes(step, carried + inputs + captures, call, f"{carried} carried, {inputs} slices, {captures} captures")
    _gives(step, carried, call, "its first results are the carried values", exactly=False)
    if not inputs and len(call.args) < 5:
        help = "a loop without inputs has its number of steps as the last argument: fold(step, H, (), (), 10)"
        raise error("TILE0106", "nothing says how many steps the loop has", call.span, help=help)
    return len(step.outputs)


def _fold(call: Call, step: Function) -> int:
    results = _scan(call, step)
    _gives(step, _count(call, 1), call, "a fold has no results but those carried; 'scan' has one per step too")
    return results


_CHECKS: Mapping[str, Callable[..., int]] = {
    "cond": _cond,
    "while": _while,
    "scan": _scan,
    "reverse_scan": _scan,
    "fold": _fold,
    "reverse_fold": _fold,
}
_USE: Mapping[str, str] = {
    "cond": "cond(P, f, g, A, B) is f(A, B) where the scalar P holds, else g(A, B)",
    "while": "while(test, body, (A, B), (C)) carries A and B and reads C",
    "scan": "scan(step, H, Xs, W) carries H, goes along axis 0 of Xs and reads W; groups stand in parentheses: (H, C)",
    "reverse_scan": "reverse_scan(step, H, Xs, W) carries H, goes backwards along axis 0 of Xs and reads W",
    "fold": "fold(step, H, Xs, W) carries H, goes along axis 0 of Xs and reads W; groups stand in parentheses: (H, C)",
    "reverse_fold": "reverse_fold(step, H, Xs, W) carries H, goes backwards along axis 0 of Xs and reads W",
}
