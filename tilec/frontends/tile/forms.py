"""What the grammar leaves open: which expression may stand where, as far as no meaning of a name is needed.

The grammar has one kind of expression; here the constraints, indices and names of a parsed program are held to their
forms: TILE0012, 0013, 0014, 0112, 0206, 0215, 0411, 0417. Trees are walked iteratively, whatever their depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from tilec.errors import Report, Source, Span
from tilec.frontends.tile import syntax as s
from tilec.frontends.tile.limits import MAX_NESTING, MAX_STATEMENTS


def check_forms(program: s.Program, report: Report) -> None:
    """Reports every construct of `program` that is not valid where it stands."""
    if not program.functions and not program.tests:
        report.error("TILE0012", "the program holds no function", Span(program.source, 0, 0), help=_EXAMPLE)
    if (extra := _statement_beyond(program, MAX_STATEMENTS)) is not None:
        report.error("TILE0417", f"the program has more than {MAX_STATEMENTS} statements", extra.span)
        return
    for function in program.functions:
        _check_signature(function, report)
        _check_block(function.body, report, in_test=False)
        if function.gradient is not None:
            _check_block(function.gradient.body, report, in_test=False)
    for test in program.tests:
        _check_block(test.body, report, in_test=True)


_EXAMPLE = "the shortest one is: function (A) -> (B) { B = A; }"


def children(node: s.Expression) -> tuple[s.Expression, ...]:
    """Direct subexpressions, from left to right."""
    match node:
        case s.Index(_, indices):
            return indices
        case s.Call(_, args):
            return args
        case s.Unary(_, operand):
            return (operand,)
        case s.Binary(_, left, right):
            return (left, right)
        case s.Ternary(condition, then, orelse):
            return (condition, then) if orelse is None else (condition, then, orelse)
        case s.List(items) | s.Group(items):
            return items
        case s.Number() | s.Name():
            return ()


def walk(root: s.Expression) -> Iterator[s.Expression]:
    """Every node of a tree, parents first, from left to right."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def _statement_beyond(program: s.Program, limit: int) -> s.Statement | None:
    gradients = (f.gradient.body for f in program.functions if f.gradient is not None)
    bodies = [*(f.body for f in program.functions), *gradients, *(test.body for test in program.tests)]
    return next(islice(chain.from_iterable(bodies), limit, None), None)


def _check_signature(function: s.Function, report: Report) -> None:
    if function.name is not None and function.name.kind == "tensor":
        _wrong_case(function.name, "a function's name begins", "index", report)
    for given in function.inputs:
        _want_tensor(given.name, "an input's name begins", report)
        for dim in given.dims or ():
            if isinstance(dim, s.Ident):
                _want_tensor(dim, "a size's name begins", report)
    for output in function.outputs:
        _want_tensor(output.name, "an output's name begins", report)


def _want_tensor(name: s.Ident, what: str, report: Report) -> None:
    if name.kind == "index":
        _wrong_case(name, what, "tensor", report)


def _wrong_case(name: s.Ident, what: str, wanted: str, report: Report) -> None:
    case = "an upper-case" if wanted == "tensor" else "a lower-case"
    text = name.text
    first = len(text) - len(text.lstrip("_"))
    change = str.upper if wanted == "tensor" else str.lower
    fixed = text[:first] + change(text[first : first + 1]) + text[first + 1 :]
    sigil = "#" if wanted == "tensor" else "$"
    hint = f"write '{fixed}', or '{sigil}{text}' to keep the name"
    report.error("TILE0112", f"{what} with {case} letter, '{text}' does not", name.span, help=hint)


def _check_block(body: Iterable[s.Statement], report: Report, *, in_test: bool) -> None:
    for statement in body:
        match statement:
            case s.Assign(targets, value):
                for target in targets:
                    _want_tensor(target, "the name of a tensor begins", report)
                _check_expression(value, report, in_test)
            case s.Contract():
                _check_contract(statement, report, in_test)
            case s.Check(call):
                if in_test:
                    _check_expression(call, report, in_test)
                else:
                    report.error("TILE0014", _BARE_CALL, call.span, help="assign its result: X = ...;")


_AS_INPUT = "make the data an input of the function"
_BARE_CALL = "a call is a statement of its own only in a test"


def _check_contract(node: s.Contract, report: Report, in_test: bool) -> None:
    _want_tensor(node.target, "the name of a tensor begins", report)
    if node.default is not None:
        _want_tensor(node.default, "the name of a tensor begins", report)
    for part in (*node.indices, *(node.sizes or ())):
        _check_expression(part, report, in_test)
        _check_index(part, report)
    _check_expression(node.body, report, in_test)
    for constraint in node.constraints:
        _check_constraint(constraint, report, in_test)


_WITH_LESS = {
    "<=": "for 'i <= n' write 'i < n + 1'",
    ">": "for 'i > n' write 'i - n - 1 < N' with a large enough N: it means 0 <= i - n - 1, too",
    ">=": "for 'i >= n' write 'i - n < N' with a large enough N: it means 0 <= i - n, too",
}


def _check_constraint(node: s.Expression, report: Report, in_test: bool) -> None:
    match node:
        case s.Binary("<", left, right):
            for side in (left, right):
                _check_expression(side, report, in_test)
                _check_index(side, report)
        case s.Binary(op, _, _, _, op_span) if op in ("<=", ">", ">="):
            hint = _WITH_LESS[op]
            report.error("TILE0215", f"a constraint is written with '<', not '{op}'", op_span, help=hint)
        case _:
            hint = "'i < n' means 0 <= i < n"
            report.error("TILE0215", "a constraint has the form 'index < bound'", node.span, help=hint)


def _check_expression(root: s.Expression, report: Report, in_test: bool) -> None:
    nodes = list(walk(root))
    if (deep := _too_deep(nodes)) is not None:
        hint = "compute a part of it in a statement of its own"
        report.error("TILE0411", f"expression nests deeper than {MAX_NESTING} levels", deep, help=hint)
        return
    for node in nodes:
        match node:
            case s.Index(tensor, indices):
                _want_tensor(tensor, "the name of a tensor begins", report)
                for index in indices:
                    _check_index(index, report)
            case s.Call(function) if function.kind == "tensor":
                _wrong_case(function, "a function's name begins", "index", report)
            case s.List() if not in_test:
                report.error("TILE0013", "lists of data can stand in tests only", node.span, help=_AS_INPUT)


def _check_index(root: s.Expression, report: Report) -> None:
    """Reports float literals of an index, size or constraint; those of an inner access are reported there."""
    stack = [root]
    while stack:
        match stack.pop():
            case s.Number(float(), span):
                _float_in_index(span, report)
            case s.Binary(_, left, right):
                stack += [right, left]
            case s.Unary(_, operand):
                stack.append(operand)


def _float_in_index(span: Span, report: Report) -> None:
    text = _text(span.source, span)
    head, mark, tail = text.lower().partition("e")
    if mark and head.isdigit() and tail.isdigit():
        help = f"'{text}' is a float; {head} times the index e{tail} is written {head} * e{tail}"
    else:
        help = "a fraction is written with integers: i/2, not 0.5 * i"
    report.error("TILE0206", f"float literal '{text}' inside an index", span, help=help)


def _text(source: Source, span: Span) -> str:
    return source.text[span.start : span.end]


def _too_deep(nodes: Sequence[s.Expression]) -> Span | None:
    """Where the tree of `nodes`, as `walk` gives them, first has more than MAX_NESTING levels below; None if nowhere.

    `walk` yields parents first, so its reverse meets children before their parent.
    """
    if len(nodes) <= MAX_NESTING:
        return None
    height: dict[int, int] = {}
    beyond: list[s.Expression] = []
    for node in reversed(nodes):
        level = 1 + max((height[id(child)] for child in children(node)), default=0)
        height[id(node)] = level
        if level == MAX_NESTING + 1:
            beyond.append(node)
    return min(map(_sign, beyond), key=lambda span: span.start) if beyond else None


def _sign(node: s.Expression) -> Span:
    return node.op_span if isinstance(node, s.Binary | s.Unary) else node.span
