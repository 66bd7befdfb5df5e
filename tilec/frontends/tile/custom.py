"""Functions with a gradient of their own, and statements that are computed again instead of kept (`[[checkpoint]]`).

The `gradient` of a function sees its inputs and results, and for every result Y the gradient of it, `Y_grad`; for an
input X it assigns `X_grad`. Inputs that are no floats have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from tilec.errors import Span, error
from tilec.frontends.tile.binding import Binder
from tilec.frontends.tile.builder import Builder, strong
from tilec.frontends.tile.calls import cast
from tilec.frontends.tile.closed import Closed, close, finished, parameter, tensors
from tilec.frontends.tile.control import bind
from tilec.frontends.tile.syntax import Function, Ident, Statement
from tilec.frontends.tile.trees import gradient_name, read_names, targets
from tilec.frontends.tile.values import Poison, Poisoned, Scalar, Scope, Tensor, Tuple, Value
from tilec.graph import Attribute, Custom, Literal, Remat, TensorType
from tilec.rules import shape_text

CHECKPOINT = "checkpoint"
Run: TypeAlias = Callable[[Builder, Scope, Statement], None]


def custom(
    b: Builder, function: Function, args: Sequence[Value], span: Span, names: Sequence[str | None], run: Run
) -> tuple[Value, ...]:
    """A call of a function that has a gradient; `run` elaborates a statement."""
    for item, arg in zip(function.inputs, args, strict=True):
        if isinstance(arg, Tuple):
            text = f"input '{item.name.text}' of a function with a gradient is a tensor, a tuple is given"
            raise error("TILE0301", text, item.span)
    forward = close(b, replace(function, gradient=None), args, span)
    backward = _backward(b, function, args, forward, span, run)
    node = Custom(forward.graph, backward.graph, tensors(args))
    if any(n is None for n in names):
        names = [b.fresh(o.name.text) for o in function.outputs]
    return bind(b, node, (forward, backward), forward.types, names, span)


def _backward(b: Builder, function: Function, args: Sequence[Value], forward: Closed, span: Span, run: Run) -> Closed:
    """The `gradient` block as a Graph: (arguments, results, gradients of results) -> gradients of arguments."""
    assert function.gradient is not None
    outputs = [o.name.text for o in function.outputs]
    names = [*(i.name.text for i in function.inputs), *outputs, *map(gradient_name, outputs)]
    inner = b.nested(names)
    with b.called(function, span), inner.deeper(span):
        binder = Binder(inner, function)
        binder.inputs([parameter(inner, i.name.text, a) for i, a in zip(function.inputs, args, strict=True)])
        for given in (outputs, list(map(gradient_name, outputs))):
            for name, type, output in zip(given, forward.types, function.outputs, strict=True):
                binder.scope.bind(name, parameter(inner, name, Tensor(name, type)), output.span)
        for statement in function.gradient.body:
            run(inner, binder.scope, statement)
        pairs = [(i.name, a) for i, a in zip(function.inputs, args, strict=True) if isinstance(a, Tensor)]
        results = [_gradient(inner, binder.scope, function, name, arg) for name, arg in pairs]
    return finished(b, inner, f"{function.name.text if function.name else 'main'}_gradient", results)


def _gradient(b: Builder, scope: Scope, function: Function, name: Ident, arg: Tensor) -> Tensor:
    """The gradient that the block assigns to an input, of the input's type; zeros where it is no float."""
    assert function.gradient is not None
    if not arg.type.dtype.is_float:
        return _filled(b, 0, strong(arg.type), function.gradient.span)
    wanted = gradient_name(name.text)
    found = scope.values.get(wanted)
    match found:
        case None:
            text = f"the gradient of '{name.text}' is never assigned"
            help = f"assign '{wanted}'; '{wanted} = 0;' says that nothing flows to it"
            raise error("TILE0121", text, function.gradient.span, help=help)
        case Poison():
            raise Poisoned
        case Scalar(int() | float() as value):
            return _filled(b, value, strong(arg.type), scope.where[wanted])
    tensor = b.tensor(found, scope.where[wanted], "a gradient")
    if tensor.type.weak and tensor.type.dtype != arg.type.dtype:
        tensor = cast(b, tensor, arg.type.dtype, scope.where[wanted])
    if strong(tensor.type) != strong(arg.type):
        text = f"'{wanted}' is {_text(tensor.type)}, but '{name.text}' is {_text(arg.type)}"
        help = "the gradient of an input has its shape and type: what was broadcast to more elements is summed"
        raise error("TILE0313", text, scope.where[wanted], help=help)
    return tensor


def _filled(b: Builder, value: int | float, type: TensorType, span: Span) -> Tensor:
    number = float(value) if type.dtype.is_float else int(value)
    return b.emit(Literal(type, (number,)), type, span)


def _text(type: TensorType) -> str:
    return f"{type.dtype.long}{shape_text(type.shape)}" if type.shape else f"a scalar of {type.dtype.long}"


# checkpoints


def is_checkpoint(attribute: Attribute) -> bool:
    return attribute.name == CHECKPOINT


def checkpoint(
    b: Builder,
    scope: Scope,
    statement: Statement,
    names: Sequence[str],
    elaborate: Callable[[Builder, Scope, Statement, Sequence[str]], tuple[Value, ...]],
) -> tuple[Value, ...]:
    """The statement as a Graph of its own, which the gradient runs again instead of keeping what it computes."""
    read = [n for n in scope.values if n in read_names(statement)]
    values = [scope.values[n] for n in read]
    if any(isinstance(v, Poison) for v in values):
        raise Poisoned
    inner = b.nested(read)
    bound = {n: parameter(inner, n, v) for n, v in zip(read, values)}
    local = Scope({**scope.values, **bound}, scope.where, scope.generics)
    results = elaborate(inner, local, statement, [inner.fresh(t.text) for t in targets(statement)])
    closed = finished(b, inner, CHECKPOINT, [inner.tensor(r, statement.span, "a result") for r in results])
    return bind(b, Remat(closed.graph, tensors(values)), (closed,), closed.types, names, statement.span)
