"""Everything that can be said of a program without shapes: names, arities, recursion, affine indices.

All errors of a program are found in one run; `to_graph` may then rely on what is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tilec.errors import Diagnostic, Note, Report, Span, TileError, error
from tilec.frontends.tile import functions as table
from tilec.frontends.tile.complaints import bound_at, did_you_mean, nearest, never_used, type_named, wrong_case
from tilec.frontends.tile.misspelt import sharpen
from tilec.frontends.tile.static import Checker, check_attributes
from tilec.frontends.tile.syntax import (
    Assign,
    Call,
    Check,
    Contract,
    Function,
    Generic,
    Gradient,
    Ident,
    Name,
    Program,
    Statement,
)
from tilec.frontends.tile.trees import expressions, gradient_name, is_control, read_names, targets, walk

MAX_NAMES = 4_000
CATEGORIES = frozenset({"float", "int", "uint", "integer", "bool", "number", "any"})


def check(program: Program) -> Report:
    """Diagnostics of the whole program, in the order of its text: errors and warnings."""
    report = _check(program)
    sharpen(program, report, _check)
    report.diagnostics.sort(key=_position)
    return report


def _check(program: Program) -> Report:
    report = Report()
    functions = _function_table(program, report)
    for function in program.functions:
        _check_function(function, functions, report)
    _check_recursion(functions, report)
    for test in program.tests:
        body = _Body({}, functions, report, testing=True)
        body.statements(test.body)
    return report


def _position(diagnostic: Diagnostic) -> int:
    return diagnostic.span.start if diagnostic.span else -1


def choose(program: Program, name: str | None) -> Function:
    """The function called `name`; without one the only function, or the anonymous one. Raises TILE0110, TILE0111."""
    names = [f.name.text for f in program.functions if f.name is not None]
    if name is None:
        anonymous = [f for f in program.functions if f.name is None]
        if len(program.functions) == 1 or anonymous:
            return (anonymous or program.functions)[0]
        if not program.functions:
            raise error("TILE0110", "the program has no function")
        raise error(
            "TILE0111",
            f"the program has {len(program.functions)} functions and none was chosen",
            help=f"choose one of: {', '.join(names)}",
        )
    for function in program.functions:
        if function.name is not None and function.name.text == name:
            return function
    raise error("TILE0110", f"the program has no function '{name}'", help=did_you_mean(name, names))


def _function_table(program: Program, report: Report) -> dict[str, Function]:
    found: dict[str, Function] = {}
    anonymous: Function | None = None
    for function in program.functions:
        if function.name is None:
            if anonymous is not None:
                note = Note(f"the first is at {anonymous.span}", anonymous.span)
                report.error(
                    "TILE0117", "two functions without a name", function.span, notes=[note], help="name one of them"
                )
            anonymous = function
            continue
        name = function.name
        if name.text in found:
            first = found[name.text].name or name
            note = Note(f"first defined at {first.span}", first.span)
            report.error("TILE0108", f"function '{name.text}' is defined twice", name.span, notes=[note])
            continue
        if table.is_builtin(name.text):
            report.warning(
                "TILE0109",
                f"function '{name.text}' shadows the builtin of that name",
                name.span,
                notes=["calls in this program mean this function"],
            )
        found[name.text] = function
    return found


def _check_function(function: Function, functions: Mapping[str, Function], report: Report) -> None:
    names: dict[str, Span] = {}
    generics = _check_generics(function.generics, report)
    for item in function.inputs:
        _declare(item.name, names, report)
        _check_type(item.dtype, generics, report)
    inputs = frozenset(names)
    for item in function.inputs:
        for dim in item.dims or ():
            if isinstance(dim, Ident):
                _check_size_name(dim, inputs, names, report)
    if len(names) > MAX_NAMES:
        report.error("TILE0417", f"a function may have {MAX_NAMES} inputs and sizes", function.span)
    outputs = _check_outputs(function, inputs, generics, report)
    body = _Body(
        names,
        functions,
        report,
        reported=inputs & outputs.keys(),
        sizes=frozenset(names) - inputs,
        generics=generics,
        results=frozenset(outputs),
        ranks={i.name.text: len(i.dims) for i in function.inputs if i.dims is not None},
    )
    declared = dict(names)
    body.statements(function.body)
    if function.gradient is not None:
        _check_gradient(function, function.gradient, {**declared, **outputs}, body)
    for name, span in outputs.items():
        if name not in names:
            assigned = names.keys() - inputs
            unused = {n: s for n, s in body.unused.items() if n in assigned and n not in body.sizes}
            notes = [*bound_at(name, assigned, names), *never_used(unused, nearest(name, assigned))]
            help = did_you_mean(name, assigned)
            report.error("TILE0103", f"output '{name}' is never assigned", span, notes=notes, help=help)


def _check_gradient(function: Function, gradient: Gradient, names: dict[str, Span], outer: _Body) -> None:
    """The block sees inputs, sizes, results and the gradients of results, and assigns one of an input at least."""
    for output in function.outputs:
        name = gradient_name(output.name.text)
        if name in names:
            help = "rename the input or result"
            outer.report.error("TILE0115", f"'{name}' is the gradient of '{output.name.text}'", names[name], help=help)
        names.setdefault(name, output.span)
    inputs = [i.name.text for i in function.inputs]
    wanted = frozenset(map(gradient_name, inputs))
    body = _Body(names, outer.functions, outer.report, generics=outer.generics, results=wanted, ranks=dict(outer.ranks))
    body.statements(gradient.body)
    if not wanted & {t.text for s in gradient.body for t in targets(s)}:
        help = f"assign '{gradient_name(inputs[0])}'" if inputs else "a function without inputs has no gradient"
        outer.report.error("TILE0121", "the gradient of no input is assigned", gradient.span, help=help)


def _check_generics(generics: tuple[Generic, ...], report: Report) -> frozenset[str]:
    for generic in generics:
        if generic.category is not None and generic.category.text not in CATEGORIES:
            help = did_you_mean(generic.category.text, CATEGORIES) or f"categories: {', '.join(sorted(CATEGORIES))}"
            text = f"there is no category of types '{generic.category.text}'"
            report.error("TILE0308", text, generic.category.span, help=help)
    return frozenset(g.name.text for g in generics)


def _declare(name: Ident, names: dict[str, Span], report: Report) -> None:
    if name.kind != "tensor":
        report.diagnostics.append(wrong_case(name, "an input, which is a tensor").diagnostics[0])
    elif name.text in names:
        note = Note(f"first bound at {names[name.text]}", names[name.text])
        report.error("TILE0115", f"input '{name.text}' is declared twice", name.span, notes=[note])
        return
    names[name.text] = name.span


def _check_size_name(dim: Ident, inputs: frozenset[str], names: dict[str, Span], report: Report) -> None:
    if dim.kind != "tensor":
        report.diagnostics.append(wrong_case(dim, "a size").diagnostics[0])
    elif dim.text in inputs:
        note = Note(f"the input is at {names[dim.text]}", names[dim.text])
        help = f"a size comes with its tensor: leave the input '{dim.text}' out, or rename one of them"
        report.error("TILE0118", f"'{dim.text}' is both an input and a size", dim.span, notes=[note], help=help)
    names.setdefault(dim.text, dim.span)


def _check_outputs(
    function: Function, inputs: frozenset[str], generics: frozenset[str], report: Report
) -> dict[str, Span]:
    outputs: dict[str, Span] = {}
    for output in function.outputs:
        name = output.name
        _check_type(output.dtype, generics, report)
        if name.kind != "tensor":
            report.diagnostics.append(wrong_case(name, "an output, which is a tensor").diagnostics[0])
        elif name.text in inputs:
            help = "give the result a name of its own"
            report.error("TILE0104", f"output '{name.text}' is also an input", name.span, help=help)
        elif name.text in outputs:
            note = Note(f"first listed at {outputs[name.text]}", outputs[name.text])
            report.error("TILE0115", f"output '{name.text}' is listed twice", name.span, notes=[note])
        outputs.setdefault(name.text, name.span)
    return outputs


def _check_type(name: Ident | None, generics: Iterable[str], report: Report) -> None:
    if name is not None and name.text not in generics:
        try:
            type_named(name, generics)
        except TileError as found:
            report.diagnostics += found.diagnostics


@dataclass(slots=True)
class _Body:
    """Checks the statements of a function or test; `names` are those bound so far."""

    names: dict[str, Span]
    functions: Mapping[str, Function]
    report: Report
    reported: frozenset[str] = frozenset()  # outputs that are inputs too
    sizes: frozenset[str] = frozenset()
    generics: frozenset[str] = frozenset()
    testing: bool = False
    results: frozenset[str] = frozenset()
    later: dict[str, Span] = field(default_factory=dict)
    unused: dict[str, Span] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)

    def statements(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            for target in targets(statement):
                self.later.setdefault(target.text, target.span)
        used = self.results.union(*map(read_names, body))
        self.unused = {n: span for n, span in {**self.names, **self.later}.items() if n not in used}
        for statement in body:
            self._statement(statement)

    def _statement(self, statement: Statement) -> None:
        check_attributes(statement, self.report)
        checker = Checker(self.names, self.later, self.functions, self.report, self.testing, self.unused, self.ranks)
        self._check_statement(statement, checker)
        for target in targets(statement):
            self._bind(target)
        if isinstance(statement, Contract):
            self.ranks.setdefault(statement.target.text, len(statement.indices))

    def _check_statement(self, statement: Statement, checker: Checker) -> None:
        match statement:
            case Assign():
                checker.assignment(statement)
            case Contract():
                _check_type(statement.dtype, self.generics, self.report)
                _check_type(statement.accumulator, self.generics, self.report)
                checker.contraction(statement)
            case Check():
                checker.check(statement)

    def _bind(self, target: Ident) -> None:
        if target.kind != "tensor":
            self.report.diagnostics.append(wrong_case(target, "the name of a tensor").diagnostics[0])
            return
        if target.text in self.names and target.text not in self.reported:
            what = "bound as a size" if target.text in self.sizes else "bound"
            self.report.error(
                "TILE0102",
                f"'{target.text}' is assigned more than once",
                target.span,
                notes=[Note(f"first {what} at {self.names[target.text]}", self.names[target.text])],
                help="every name is assigned once; use another name",
            )
        self.names.setdefault(target.text, target.span)


def _check_recursion(functions: Mapping[str, Function], report: Report) -> None:
    """Reports each circle of calls once, at the call that closes it (depth-first search, iterative)."""
    done: set[str] = set()
    for root in functions:
        path: list[str] = []
        stack: list[tuple[str, Iterator[Ident]]] = []
        if root not in done:
            stack.append((root, _calls(functions[root], functions)))
            path.append(root)
        while stack:
            name, calls = stack[-1]
            call = next((c for c in calls if c.text in functions and c.text not in done), None)
            if call is None:
                done.add(name)
                stack.pop()
                path.pop()
            elif call.text in path:
                circle = " -> ".join([*path[path.index(call.text) :], call.text])
                report.error("TILE0107", f"function '{call.text}' calls itself", call.span, notes=[f"circle: {circle}"])
            else:
                stack.append((call.text, _calls(functions[call.text], functions)))
                path.append(call.text)


def _calls(function: Function, functions: Mapping[str, Function]) -> Iterator[Ident]:
    """What a function calls, or has called by a branch or loop."""
    gradient = function.gradient.body if function.gradient is not None else ()
    for statement in (*function.body, *gradient):
        for expression in expressions(statement):
            for node in walk(expression):
                if isinstance(node, Call):
                    yield node.function
                    if is_control(node, functions):
                        yield from (a.ident for a in node.args if isinstance(a, Name))
