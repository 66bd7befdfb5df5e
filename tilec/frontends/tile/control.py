"""Branches and loops: `cond`, `while`, `scan` and `fold` apply functions of the program to values.

    cond(P, f, g, A ...)                                    f(A ...) where P holds, else g(A ...)
    while(test, body, carried, captures)                    as long as test(carried, captures)
    scan(step, carried, inputs, captures, length)           (carried, outputs) = step(carried, slices, captures)
    fold(step, carried, inputs, captures, length)           a scan without outputs

Functions are closed: what a step reads besides what it carries is passed to it, as `captures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tilec.affine import Poly, Size
from tilec.dtypes import BOOL, I64, DType, promote
from tilec.errors import Span, error
from tilec.frontends.tile.builder import Builder, strong
from tilec.frontends.tile.calls import cast, size, value
from tilec.frontends.tile.closed import Closed, close, tensors
from tilec.frontends.tile.syntax import Call, Expression, Function, Name
from tilec.frontends.tile.trees import members
from tilec.frontends.tile.values import Scalar, Scope, Tensor, Value, describe
from tilec.graph import Cond, Let, Node, Scan, TensorType, While
from tilec.rules import shape_text

Names = Sequence[str | None]


def control(b: Builder, scope: Scope, call: Call, names: Names) -> tuple[Value, ...]:
    """The results of a branch or loop; the statement's checks have been made (`static_control`)."""
    return _FORMS[call.function.text](b, scope, call, names)


def _function(b: Builder, expression: Expression) -> Function:
    assert isinstance(expression, Name)
    return b.functions[expression.ident.text]


def _values(b: Builder, scope: Scope, call: Call, position: int) -> list[Value]:
    group = members(call.args[position]) if position < len(call.args) else ()
    return [value(b, scope, e) for e in group]


def bind(
    b: Builder, node: Node, parts: Sequence[Closed], types: Sequence[TensorType], names: Names, span: Span
) -> tuple[Tensor, ...]:
    """A Let of several results, a node of the Graphs `parts`; raises TILE0417 where there are too many Lets."""
    b.grow(sum(p.size for p in parts), span)
    bound = tuple(n or b.fresh("t") for n in names)
    b.lets.append(Let(bound, node, tuple(types), b.attributes, span))
    return tuple(Tensor(n, t) for n, t in zip(bound, types, strict=True))


# branches


def _cond(b: Builder, scope: Scope, call: Call, names: Names) -> tuple[Value, ...]:
    """A constant chooses at compile time: the other branch need not be possible then."""
    chosen = value(b, scope, call.args[0])
    args = [value(b, scope, a) for a in call.args[3:]]
    then, orelse = (_function(b, a) for a in call.args[1:3])
    if isinstance(chosen, Scalar) and not isinstance(chosen.value, Poly):
        return b.inline(b, then if chosen.value else orelse, args, call.span, names)
    predicate = b.tensor(chosen, call.args[0].span, "a condition")
    if predicate.type.rank:
        help = "to choose element by element write 'C ? A : B'"
        raise error("TILE0202", f"the condition is a tensor {predicate}, not a scalar", call.args[0].span, help=help)
    first, second = (close(b, f, args, call.span) for f in (then, orelse))
    wanted = [_common(x.type, y.type) for x, y in zip(first.results, second.results)]
    if any(wanted):
        first, second = (close(b, f, args, call.span, wanted) for f in (then, orelse))
    for k, (x, y) in enumerate(zip(first.types, second.types)):
        if x != y:
            where = f"'{then.outputs[k].name.text}' at {then.outputs[k].span} is {_text(x)}"
            notes = [where, f"'{orelse.outputs[k].name.text}' at {orelse.outputs[k].span} is {_text(y)}"]
            raise error("TILE0312", "the branches differ in type", call.span, notes=notes)
    node = Cond(predicate.name, first.graph, second.graph, tensors(args))
    return bind(b, node, (first, second), first.types, names, call.span)


def _common(x: TensorType, y: TensorType) -> DType | None:
    """The type that a weak result takes beside a strong one."""
    return None if x.weak == y.weak else y.dtype if x.weak else x.dtype


# loops


def _while(b: Builder, scope: Scope, call: Call, names: Names) -> tuple[Value, ...]:
    test, body = (_function(b, a) for a in call.args[:2])
    captures = _values(b, scope, call, 3)
    init, step = _steady(b, body, _values(b, scope, call, 2), captures, call)
    args = [*init, *captures]
    condition = _truth(b, test, args, call.span)
    node = While(condition.graph, step.graph, tensors(init), tensors(captures))
    return bind(b, node, (condition, step), step.types, names, call.span)


def _truth(b: Builder, test: Function, args: Sequence[Value], span: Span) -> Closed:
    found = close(b, test, args, span, [BOOL])
    (type,) = found.types
    if type != TensorType(BOOL):
        help = "compare: its result says whether the loop goes on"
        text = f"'{test.outputs[0].name.text}' is {_text(type)}; the test of a loop is a bool of rank 0"
        raise error("TILE0301", text, test.outputs[0].span, notes=[f"the loop is at {span}"], help=help)
    return found


def _scan(reverse: bool) -> Callable[[Builder, Scope, Call, Names], tuple[Value, ...]]:
    def scan(b: Builder, scope: Scope, call: Call, names: Names) -> tuple[Value, ...]:
        step = _function(b, call.args[0])
        start, inputs, captures = (_values(b, scope, call, k) for k in (1, 2, 3))
        sequences = [b.tensor(v, e.span, "an input") for v, e in zip(inputs, members(call.args[2]))]
        length, count = _steps(b, scope, call, _length(call, sequences))
        init, body = _steady(b, step, start, [*map(_row, sequences), *captures], call)
        carried = len(init)
        stacked = [TensorType(t.dtype, (length, *t.shape)) for t in body.types[carried:]]
        along = tuple(s.name for s in sequences)
        node = Scan(body.graph, tensors(init), along, tensors(captures), length, reverse, count)
        return bind(b, node, (body,), (*body.types[:carried], *stacked), names, call.span)

    return scan


def _row(sequence: Tensor) -> Tensor:
    """A slice along axis 0, as the step sees it."""
    return Tensor(sequence.name, TensorType(sequence.type.dtype, sequence.type.shape[1:]))


def _length(call: Call, sequences: Sequence[Tensor]) -> Size | None:
    """The size of axis 0, which all inputs share; None without inputs."""
    spans = [e.span for e in members(call.args[2])]
    for sequence, span in zip(sequences, spans):
        if not sequence.type.rank:
            help = "what every step reads whole is passed behind the inputs"
            raise error("TILE0202", f"{describe(sequence)} has no axis to go along", span, help=help)
    lengths = [s.type.shape[0] for s in sequences]
    for length, span in zip(lengths, spans):
        if length != lengths[0]:
            notes = [f"{lengths[0]} by the input at {spans[0]}"]
            raise error("TILE0222", f"inputs of {lengths[0]} and of {length} slices in one loop", span, notes=notes)
    return lengths[0] if lengths else None


def _steps(b: Builder, scope: Scope, call: Call, length: Size | None) -> tuple[Size, str | None]:
    """The length of the loop, and the name of the number of steps where that is given beside inputs, not above it."""
    if len(call.args) < 5:
        assert length is not None
        return length, None
    span = call.args[4].span
    if length is None:
        return _constant_steps(b, scope, call.args[4]), None
    given = value(b, scope, call.args[4])
    count = b.tensor(given, span, "a number of steps")
    if count.type.rank or not count.type.dtype.is_integer:
        raise error("TILE0304", f"the number of steps is {_text(count.type)}, not an integer", span)
    return length, (count if count.type.dtype == I64 else cast(b, count, I64, span)).name


def _constant_steps(b: Builder, scope: Scope, expression: Expression) -> Size:
    steps = size(b, scope, expression, "the number of steps of a loop without inputs")
    if isinstance(steps, int) and steps < 0:
        raise error("TILE0211", f"a loop of {steps} steps", expression.span)
    return steps


def _steady(
    b: Builder, step: Function, init: Sequence[Value], rest: Sequence[Value], call: Call
) -> tuple[list[Tensor], Closed]:
    """The carried values and the step, of one type before and after; weak ones take the type that the step gives."""
    fixed = [_changing(b.tensor(v, call.span, "a carried value")) for v in init]
    if any(f.type.weak for f in fixed):
        trial = close(b, step, [*fixed, *rest], call.span)
        fixed = [_stronger(b, f, r.type, call.span) for f, r in zip(fixed, trial.results)]
    found = close(b, step, [*fixed, *rest], call.span, [f.type.dtype for f in fixed])
    for k, (before, after) in enumerate(zip(fixed, found.types)):
        if strong(before.type) != after:
            raise _unsteady(step, k, before.type, after, call)
    return fixed, found


def _changing(tensor: Tensor) -> Tensor:
    """Without the value that it has in front of the loop."""
    return replace(tensor, known=None)


def _stronger(b: Builder, start: Tensor, result: TensorType, span: Span) -> Tensor:
    if not start.type.weak:
        return start
    found = promote(start.type.dtype, result.dtype) if result.weak else result.dtype
    return _changing(cast(b, start, found, span))


def _unsteady(step: Function, k: int, before: TensorType, after: TensorType, call: Call) -> Exception:
    given, gives = step.inputs[k], step.outputs[k]
    text = f"'{gives.name.text}' is {_text(after)}, but what it carries on, '{given.name.text}', is {_text(before)}"
    if before.dtype == after.dtype:
        help = f"start from a value of the shape {shape_text(after.shape)}, or let the step keep the shape"
    else:
        help = f"convert the result in the step, or start from a value of {after.dtype.long}"
    return error("TILE0311", text, gives.span, notes=[f"the loop is at {call.span}"], help=help)


def _text(type: TensorType) -> str:
    return f"{type.dtype.long}{shape_text(type.shape)}" if type.shape else f"a scalar of {type.dtype.long}"


_FORMS: Mapping[str, Callable[[Builder, Scope, Call, Names], tuple[Value, ...]]] = {
    "cond": _cond,
    "while": _while,
    "scan": _scan(reverse=False),
    "reverse_scan": _scan(reverse=True),
    "fold": _scan(reverse=False),
    "reverse_fold": _scan(reverse=True),
}
