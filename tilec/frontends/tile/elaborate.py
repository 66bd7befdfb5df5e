"""Tile syntax -> Graph, at concrete shapes.

A function is elaborated statement by statement: sizes and literals become numbers, calls of the program's own functions
are inlined, tensors become Lets with their types filled. Every statement with an error poisons what it binds, so that
one run finds several errors and no consequence of them.

A scalar input given as a Python number is a weak run-time parameter, unless its value reaches a size, an index or a
constraint: then it is a compile-time constant in all its uses (elaboration starts again with that known), and its
parameter stays in the Graph, unused, so that the call's signature does not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilec.affine import Poly, named_size
from tilec.dtypes import BOOL, F32, F64, I64
from tilec.errors import Report, Span, TileError, error
from tilec.frontends.tile import names as static
from tilec.frontends.tile.binding import Binder
from tilec.frontends.tile.builder import Builder, check_type
from tilec.frontends.tile.calls import call_function, has_results, value
from tilec.frontends.tile.complaints import did_you_mean, plural
from tilec.frontends.tile.contraction import contraction
from tilec.frontends.tile.custom import checkpoint, custom, is_checkpoint
from tilec.frontends.tile.limits import MAX_DIAGNOSTICS
from tilec.frontends.tile.outputs import bind_outputs
from tilec.frontends.tile.syntax import Assign, Call, Check, Contract, Function, Ident, Program, Statement
from tilec.frontends.tile.trees import targets
from tilec.frontends.tile.values import Derived, Known, Poison, Poisoned, Scalar, Scope, Tensor, Value
from tilec.graph import Attribute, Graph, Param, TensorType
from tilec.rules import weak_dtype
from tilec.type_graph import infer_graph

Signature = Mapping[str, TensorType | int | float]


@dataclass(frozen=True, slots=True)
class Elaboration:
    """A Graph, the scalar inputs that became compile-time constants of it, and the warnings."""

    graph: Graph
    constants: frozenset[str]
    warnings: Report


@dataclass(frozen=True, slots=True)
class Written:
    """A Graph to be written down, and its sizes that are no polynomials of others."""

    graph: Graph
    derived: Mapping[str, Derived]


def check(program: Program) -> Report:
    """Everything that can be said without shapes: all errors and warnings of the program."""
    return static.check(program)


def to_graph(program: Program, function: str | None, signature: Signature) -> Graph:
    """The Graph of one function for the given input types; raises TileError with all errors found."""
    return elaborate(program, function, signature).graph


def elaborate(program: Program, function: str | None, signature: Signature) -> Elaboration:
    """As `to_graph`, with what else is known. `function` may be None where there is only one."""
    report = check(program)
    _raise(report)
    chosen = static.choose(program, function)
    _check_signature(chosen, signature)
    constants: frozenset[str] = frozenset()
    while True:
        builder = Builder(function_table(program), inline)
        graph = _function(builder, chosen, signature, constants)
        _raise(builder.report)
        if builder.demanded <= constants:
            return Elaboration(infer_graph(graph), constants, report)
        constants |= builder.demanded


def to_write(program: Program, function: str | None, signature: Signature, weak: bool = False) -> Written:
    """As `to_graph`, of a Graph that is written down, not compiled: its sizes may be anything and stand anywhere.

    An input that `signature` does not have is a number: one of its own name where a size or an index needs it, else a
    float32, `weak` or not.
    """
    _raise(check(program))
    chosen = static.choose(program, function)
    _check_signature(chosen, {i.name.text: 0 for i in chosen.inputs} | dict(signature))
    constants: frozenset[str] = frozenset()
    is_weak = True  # else it would not be seen which numbers are sizes
    while True:
        derived: dict[str, Derived] = {}
        builder = Builder(function_table(program), inline, derived=derived, weak=is_weak)
        graph = _function(builder, chosen, signature, constants)
        _raise(builder.report)
        if builder.demanded <= constants and is_weak == weak:
            return Written(infer_graph(graph), derived)
        is_weak = is_weak and (weak or not builder.demanded <= constants)
        constants |= builder.demanded


def function_table(program: Program) -> dict[str, Function]:
    """The named functions."""
    return {f.name.text: f for f in program.functions if f.name is not None}


def _raise(report: Report) -> None:
    if found := report.errors():
        raise TileError(found[:MAX_DIAGNOSTICS])


# the chosen function


def _check_signature(function: Function, signature: Signature) -> None:
    """TILE0501, TILE0502: the arguments are those that the function declares."""
    report = Report()
    declared = [i.name.text for i in function.inputs]
    for item in function.inputs:
        if item.name.text not in signature:
            report.error("TILE0501", f"input '{item.name.text}' is not given", item.span)
    for name in signature:
        if name not in declared:
            help = did_you_mean(name, declared) or f"inputs: {', '.join(declared) or 'none'}"
            report.error("TILE0502", f"the function has no input '{name}'", function.span, help=help)
    report.check()


def _function(b: Builder, function: Function, signature: Signature, constants: frozenset[str]) -> Graph:
    b.used |= {i.name.text for i in function.inputs} | {t.text for s in function.body for t in targets(s)}
    wide = any(isinstance(t, TensorType) and t.dtype == F64 for t in signature.values())
    unknown = (i.name.text for i in function.inputs if i.name.text in constants - signature.keys())
    b.sizes = (*_open_sizes(signature), *unknown)
    arguments = [_argument(b, i.name, signature.get(i.name.text), constants, wide) for i in function.inputs]
    binder = Binder(b, function)
    if function.gradient is not None:
        _whole(b, binder.scope, function, arguments)
    else:
        _body(b, binder, arguments)
    results = bind_outputs(b, binder)
    name = function.name.text if function.name else "main"
    return Graph(name, tuple(b.params), tuple(b.lets), results, b.all_sizes)


def _body(b: Builder, binder: Binder, arguments: Sequence[Value]) -> None:
    """Elaborates the statements; the Lets have the names that they bind."""
    function = binder.function
    binder.inputs(arguments)
    wanted = {t.text: t.text for s in function.body for t in targets(s)}
    for output in function.outputs:
        if output.dtype is not None:  # the value may be converted: then the conversion has the name
            wanted.pop(output.name.text, None)
    for statement in function.body:
        run(b, binder.scope, statement, wanted)


def _whole(b: Builder, scope: Scope, function: Function, arguments: Sequence[Value]) -> None:
    """A function with a gradient of its own is one node, which binds the outputs."""
    names = [o.name.text for o in function.outputs]
    values: Sequence[Value] = [Poison()] * len(names)
    try:
        values = inline(b, function, arguments, function.span, names)
    except Poisoned:
        pass
    except TileError as found:
        b.complain(found)
    for output, value_ in zip(function.outputs, values, strict=True):
        scope.bind(output.name.text, value_, output.span)


def _open_sizes(signature: Signature) -> tuple[str, ...]:
    """Names of the sizes that stay open, in the order of the inputs."""
    sizes = [s for t in signature.values() if isinstance(t, TensorType) for s in t.shape if isinstance(s, Poly)]
    return tuple(dict.fromkeys(n for s in sizes for n in sorted(s.names())))


def _argument(
    b: Builder, name: Ident, given: TensorType | int | float | None, constants: frozenset[str], wide: bool
) -> Value:
    """The parameter of an input; a Python number keeps its value in mind."""
    try:
        if given is None:
            return _unknown(b, name.text, constants)
        if isinstance(given, TensorType):
            return _tensor_argument(b, name, given)
        return _number(b, name, given, constants, wide)
    except TileError as found:
        b.complain(found)
        return Poison()


def _number(b: Builder, name: Ident, number: int | float, constants: frozenset[str], wide: bool) -> Value:
    """A weak scalar; a float is passed in float64 where there is an array of it, which float32 would rob of digits."""
    if isinstance(number, int) and not I64.min <= number <= I64.max:
        raise error("TILE0415", f"the argument of '{name.text}', {number}, exceeds 64 bits", name.span)
    dtype = BOOL if isinstance(number, bool) else weak_dtype(number)
    type = TensorType(F64 if wide and dtype.is_float else dtype, (), weak=True)
    b.params.append(Param(name.text, type))
    if name.text in constants:
        return Scalar(number)
    return Tensor(name.text, type, Known(number, frozenset({name.text})))


def _unknown(b: Builder, name: str, constants: frozenset[str]) -> Value:
    """A number of which nothing is known but its name."""
    demanded = name in constants
    type = TensorType(F32, (), weak=b.weak or demanded)
    b.params.append(Param(name, type))
    return Scalar(named_size(name)) if demanded else Tensor(name, type, Known(named_size(name), frozenset({name})))


def _tensor_argument(b: Builder, name: Ident, type: TensorType) -> Tensor:
    check_type(type, name.span)
    b.params.append(Param(name.text, type))
    return Tensor(name.text, type)


# statements


def run(b: Builder, scope: Scope, statement: Statement, wanted: Mapping[str, str]) -> None:
    """Elaborates one statement into `scope`; reports its error, if any, and goes on.

    `wanted` gives the Lets' names of some targets; the others get fresh ones.
    """
    given = tuple(Attribute(a.name.text, a.args) for a in getattr(statement, "attributes", ()))
    b.attributes = tuple(a for a in given if not is_checkpoint(a))
    try:
        with b.deeper(statement.span):
            if len(b.attributes) < len(given):
                values = checkpoint(b, scope, statement, _names(b, statement, wanted), _statement)
            else:
                values = _statement(b, scope, statement, _names(b, statement, wanted))
    except Poisoned:
        values = ()
    except TileError as found:
        b.complain(found)
        values = ()
    finally:
        b.attributes = ()
    for position, target in enumerate(targets(statement)):
        scope.bind(target.text, values[position] if values else Poison(), target.span)


def _names(b: Builder, statement: Statement, wanted: Mapping[str, str]) -> list[str]:
    """Names of the Lets that bind the targets."""
    return [wanted.get(t.text) or b.fresh(t.text) for t in targets(statement)]


def _statement(b: Builder, scope: Scope, statement: Statement, names: Sequence[str]) -> tuple[Value, ...]:
    match statement:
        case Contract():
            return (contraction(b, scope, statement, names[0]),)
        case Assign(value=Call(function=called) as call) if has_results(b, call):
            values = call_function(b, scope, call, names)
            if len(values) != len(names):
                text = f"'{called.text}' has {plural(len(values), 'result')}, {plural(len(names), 'name')} given"
                raise error("TILE0113", text, statement.span)
            return values
        case Assign():
            return (value(b, scope, statement.value, names[0]),)
        case Check():
            raise error("TILE0014", "a call is a statement of its own only in a test", statement.span)


def inline(
    b: Builder, function: Function, args: Sequence[Value], span: Span, names: Sequence[str | None]
) -> tuple[Value, ...]:
    """The results of a call: the function's body with fresh names. Raises Poisoned where the body had errors.

    `names` are those that the caller wants for the results; a declared type may need a conversion, so not with one.
    """
    if function.gradient is not None:
        return custom(b, function, args, span, names, _run)
    wanted = {o.name.text: n for o, n in zip(function.outputs, names) if n is not None and o.dtype is None}
    with b.deeper(span):
        attributes = b.attributes
        try:
            with b.called(function, span):
                binder = Binder(b, function)
                binder.inputs(args)
                for statement in function.body:
                    run(b, binder.scope, statement, wanted)
                results = tuple(binder.result(o) for o in function.outputs)
        finally:
            b.attributes = attributes
    if any(isinstance(r, Poison) for r in results):
        raise Poisoned
    return results


def _run(b: Builder, scope: Scope, statement: Statement) -> None:
    run(b, scope, statement, {})
