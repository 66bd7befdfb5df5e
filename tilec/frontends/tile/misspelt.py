"""Which of two spellings is the wrong one: a name is not defined where it is used, or misspelt where it is bound.

The checker finds every use of a name that is not defined. If the only typo is in the place that binds it, that place is
the error and the uses are its consequences. So each place that binds a similar name is tried: spelled the other way,
does the program lose errors and gain none? Where a single use and its binding explain it equally well, the spelling
that the rest of the text has is right. (For tokens this is minimum-cost repair: L. Diekmann and L. Tratt, "Don't
Panic! Better, Fewer, Syntax Errors for LR Parsers", ECOOP 2020.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tilec.errors import Diagnostic, Note, Report, Span
from tilec.frontends.tile import functions
from tilec.frontends.tile.spelling import alike, doubled, familiarity
from tilec.frontends.tile.syntax import Assign, Contract, Function, Ident, Input, Program, Statement, Test

Check = Callable[[Program], Report]
Item = Function | Test
MAX_TRIALS = 16
MAX_TEXT = 20_000  # characters of programs that are looked at: a trial checks the whole program
_UNDEFINED: Mapping[str, str] = {"TILE0101": "used", "TILE0103": "listed", "TILE0105": "called"}


@dataclass(frozen=True, slots=True)
class _Trial:
    """A change of one name: what stands at `span` now, what is said of it, and the program with the change."""

    span: Span
    bound: str
    about: str
    help: str
    program: Program


def sharpen(program: Program, report: Report, check: Check) -> None:
    """Replaces the errors about a name that is not defined, in `report`, by one where its binding is misspelt."""
    missing = next((d for d in report.errors() if d.code in _UNDEFINED and d.span is not None), None)
    if missing is None or missing.span is None or len(program.source.text) > MAX_TEXT:
        return
    before = _keys(report)
    found: list[tuple[int, int, int, _Trial, set[tuple[str, int]]]] = []
    for order, trial in enumerate(list(_trials(program, missing.code, missing.span))[:MAX_TRIALS]):
        left = _keys(check(trial.program))
        if left < before:
            found.append((len(left), _singles(program, trial, _text(missing.span)), order, trial, left))
    if not found:
        return
    _, _, _, best, left = min(found, key=lambda f: f[:3])
    uses = [d.span for d in report.errors() if d.code in _UNDEFINED and d.span and _text(d.span) == _text(missing.span)]
    if len(uses) > 1 or _misspelt(best, _text(missing.span), missing.span, _known(program, missing)):
        kept = [d for d in report.diagnostics if d.severity == "warning" or _key(d) in left]
        report.diagnostics[:] = [*kept, _moved(missing, best)]


def _moved(missing: Diagnostic, trial: _Trial) -> Diagnostic:
    assert missing.span is not None
    note = Note(f"'{_text(missing.span)}' is {_UNDEFINED[missing.code]} at {missing.span}", missing.span)
    return Diagnostic(missing.code, f"{missing.message}; {trial.about}", trial.span, (note,), trial.help)


def _keys(report: Report) -> set[tuple[str, int]]:
    return {_key(d) for d in report.errors()}


def _key(found: Diagnostic) -> tuple[str, int]:
    return found.code, found.span.start if found.span else -1


def _text(span: Span) -> str:
    return span.source.text[span.start : span.end].lstrip("#$")


_WORD = re.compile(r"[A-Za-z_]\w*'?")


def _misspelt(trial: _Trial, name: str, use: Span, known: Iterable[str]) -> bool:
    """Whether, of a name used once and the name bound, the text knows the first better, or the other looks mistyped."""
    if not trial.bound:
        return not any(alike(name, other, least=0.75) for other in known if len(name) > 1)
    text = use.source.text
    rest = text[: use.start] + text[use.end :]
    times = familiarity(name, rest), familiarity(trial.bound, rest) - 1
    return times[0] > times[1] if times[0] != times[1] else doubled(trial.bound, name)


def _known(program: Program, missing: Diagnostic) -> list[str]:
    """Names that may have been meant where one is missing."""
    if missing.code == "TILE0105":
        return [*functions.known(), *(f.name.text for f in program.functions if f.name is not None)]
    item = _item(program, missing.span) if missing.span is not None else None
    return [] if item is None else [bound.text for bound in _bindings(item, results=False)]


def _singles(program: Program, trial: _Trial, name: str) -> int:
    """How many names would stand only once in the text of the function or test: the change should leave few."""
    item = _item(program, trial.span)
    whole, text = _whole(item) if item is not None else trial.span, trial.span.source.text
    changed = f"{text[whole.start : trial.span.start]}{name}{text[trial.span.end : whole.end]}"
    return sum(n == 1 for n in Counter(_WORD.findall(changed)).values())


def _items(program: Program) -> tuple[Item, ...]:
    return (*program.functions, *program.tests)


def _item(program: Program, span: Span) -> Item | None:
    """The function or test that a place is in."""
    return next((i for i in _items(program) if i.span.start <= span.start < _whole(i).end), None)


def _whole(item: Item) -> Span:
    """All of a function or test, with the gradient of its own."""
    gradient = item.gradient if isinstance(item, Function) else None
    return item.span if gradient is None else item.span.to(gradient.span)


# what may be misspelt


def _trials(program: Program, code: str, span: Span) -> Iterator[_Trial]:
    name = _text(span)
    if code == "TILE0105":
        yield from _functions(program, name)
        return
    if (item := _item(program, span)) is None:
        return
    for bound in _bindings(item, results=code == "TILE0103"):
        if bound.text != name and alike(bound.text, name):
            changed = _with(program, item, _renamed(item, bound, name))
            yield _Trial(bound.span, bound.text, f"'{bound.text}' is bound here", f"did you mean '{name}'?", changed)
    if isinstance(item, Function):
        for given in item.inputs:
            if given.dims == ():
                yield _sized(program, item, given, Ident(name, "tensor", span))


def _functions(program: Program, name: str) -> Iterator[_Trial]:
    for function in program.functions:
        ident = function.name
        if ident is None:
            keyword = Span(function.span.source, function.span.start, function.span.start + len("function"))
            changed = _with(program, function, replace(function, name=Ident(name, "index", keyword)))
            yield _Trial(keyword, "", "this one has no name", f"did you mean 'function {name}'?", changed)
        elif alike(ident.text, name):
            changed = _with(program, function, replace(function, name=replace(ident, text=name)))
            yield _Trial(ident.span, ident.text, f"'{ident.text}' is defined here", f"did you mean '{name}'?", changed)


def _sized(program: Program, function: Function, given: Input, size: Ident) -> _Trial:
    """Empty brackets of an input, with the size that is missing."""
    inputs = tuple(replace(i, dims=(size,)) if i is given else i for i in function.inputs)
    end = Span(given.span.source, given.name.span.end, given.span.end)
    changed = _with(program, function, replace(function, inputs=inputs))
    about, help = "there is none in these brackets", f"did you mean '{given.name.text}[{size.text}]'?"
    return _Trial(end, "", about, help, changed)


def _bindings(item: Item, results: bool) -> Iterator[Ident]:
    """The names that a function or test binds, in the order of the text; or only those that can be its results."""
    if isinstance(item, Function) and not results:
        for given in item.inputs:
            yield given.name
            yield from (dim for dim in given.dims or () if isinstance(dim, Ident))
    gradient = item.gradient if isinstance(item, Function) else None
    for statement in (*item.body, *(gradient.body if gradient is not None else ())):
        match statement:
            case Assign(targets):
                yield from targets
            case Contract(target):
                yield target


def _with(program: Program, old: Item, new: Item) -> Program:
    functions = tuple(new if f is old else f for f in program.functions)
    tests = tuple(new if t is old else t for t in program.tests)
    return replace(program, functions=functions, tests=tests)  # type: ignore[arg-type]


def _renamed(item: Item, bound: Ident, name: str) -> Item:
    new = replace(bound, text=name)
    item = replace(item, body=tuple(_target(s, bound, new) for s in item.body))
    if isinstance(item, Test):
        return item
    if item.gradient is not None:
        body = tuple(_target(s, bound, new) for s in item.gradient.body)
        item = replace(item, gradient=replace(item.gradient, body=body))
    return replace(item, inputs=tuple(_input(i, bound, new) for i in item.inputs))


def _input(given: Input, old: Ident, new: Ident) -> Input:
    if given.name is old:
        return replace(given, name=new)
    return replace(given, dims=given.dims and tuple(new if d is old else d for d in given.dims))


def _target(statement: Statement, old: Ident, new: Ident) -> Statement:
    match statement:
        case Assign(targets) if any(t is old for t in targets):
            return replace(statement, targets=tuple(new if t is old else t for t in targets))
        case Contract(target) if target is old:
            return replace(statement, target=new)
    return statement
