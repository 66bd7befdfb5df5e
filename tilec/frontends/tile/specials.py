"""Functions of whole tensors: shape, index, reshape, gather, tuples, softmax ... by name in `SPECIALS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from tilec.affine import Affine, Poly
from tilec.dtypes import I32, I64, U64
from tilec.errors import error
from tilec.expr import IndexValue
from tilec.frontends.tile import library
from tilec.frontends.tile.builder import Builder, check_type, strong
from tilec.frontends.tile.emit import emit_contraction
from tilec.frontends.tile.syntax import Binary, Call
from tilec.frontends.tile.values import Scalar, Tensor, Tuple, Value, describe
from tilec.graph import Let, Literal, Special, TensorType
from tilec.rules import shape_text
from tilec.specials import SCATTERS, special_type

Handler = Callable[[Builder, Sequence[Value], Call, str | None], Value]


def _shape(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    """shape(x): the sizes as an int32 vector."""
    what = "an element of a constant vector"
    sizes = [b.integer(Scalar(s), at.span, what) for s in b.tensor(args[0], at.span).type.shape]
    dtype = I64 if any(s > I32.max for s in sizes) else I32
    type = TensorType(dtype, (len(sizes),))
    return b.emit(Literal(type, tuple(sizes)), type, at.span, name)


def _index(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    """index(x, axis): an int32 tensor of x's shape that holds each element's coordinate along the axis."""
    x = b.tensor(args[0], at.span)
    axis = b.integer(args[1], at.args[1].span, "an axis")
    if not 0 <= axis < x.type.rank:
        raise error("TILE0212", f"{x} has no axis {axis}", at.args[1].span, help="axes are counted from 0")
    names = tuple(f"i{n}" for n in range(x.type.rank))
    forms = tuple(map(Affine.var, names))
    body = IndexValue(forms[axis], I32)
    return emit_contraction(b, "assign", names, body, forms, TensorType(I32, x.type.shape), at.span, name)


def _reshape(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    """reshape(x, d0, ...)."""
    x = b.tensor(args[0], at.span)
    shape = tuple(b.size(a, e.span, "a size") for a, e in zip(args[1:], at.args[1:]))
    type = TensorType(x.type.dtype, shape)
    check_type(type, at.span)
    count = prod(x.type.shape)
    if count != prod(shape):
        text = f"reshape of {shape_text(x.type.shape)} to {shape_text(shape)}"
        are = "are not for every size" if isinstance(count, Poly) or isinstance(prod(shape), Poly) else "are not"
        raise error("TILE0209", text, at.span, notes=[f"{count} elements {are} {prod(shape)}"])
    return b.emit(Special("reshape", (x.name,), (("shape", shape),)), type, at.span, name)


def _special(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    """gather and the scatters, typed by the table of specials."""
    tensors = [b.tensor(a, e.span) for a, e in zip(args, at.args)]
    node = Special(at.function.text, tuple(t.name for t in tensors))
    (type,) = special_type(node, [strong(t.type) for t in tensors], at.span)
    return b.emit(node, type, at.span, name)


def _sorted(position: int) -> Handler:
    """sort(x, axis): ascending, stable, NaN last; argsort(x, axis): where the elements were, as int32."""

    def handler(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
        x = b.tensor(args[0], at.args[0].span)
        axis = b.integer(args[1], at.args[1].span, "an axis")
        if not 0 <= axis < x.type.rank:
            raise error("TILE0212", f"{x} has no axis {axis}", at.args[1].span, help="axes are counted from 0")
        node = Special("sort", (x.name,), (("axis", axis),))
        types = special_type(node, [strong(x.type)], at.span)
        names = [b.fresh("t"), b.fresh("t")]
        names[position] = name or names[position]
        b.grow(0, at.span)
        b.lets.append(Let(tuple(names), node, types, b.attributes if name else (), at.span))
        return Tensor(names[position], types[position])

    return handler


def _tuple(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    return Tuple(tuple(args))


def _element(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    """element(T, n): the n-th value of a tuple, from 0."""
    if not isinstance(args[0], Tuple):
        raise error("TILE0301", f"'element' takes a tuple, found {describe(args[0])}", at.args[0].span)
    n = b.integer(args[1], at.args[1].span, "the position in a tuple")
    if not 0 <= n < len(args[0].items):
        text = f"a tuple of {len(args[0].items)} has no element {n}"
        raise error("TILE0221", text, at.args[1].span, help="elements are counted from 0")
    return args[0].items[n]


def _prng_step(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    """prng_step(state: u32[3, n], d0, ...): a tuple of the new state and float32 values in [0, 1)."""
    state = b.tensor(args[0], at.span)
    shape = tuple(b.integer(a, e.span, "a size") for a, e in zip(args[1:], at.args[1:]))
    check_type(TensorType(state.type.dtype, shape), at.span)
    node = Special("prng_step", (state.name,), (("shape", shape),))
    types = special_type(node, [strong(state.type)], at.span)
    names = (b.fresh("t"), b.fresh("t"))
    b.lets.append(Let(names, node, types, b.attributes, at.span))
    return Tuple(tuple(Tensor(n, t) for n, t in zip(names, types)))


def _prng_part(position: int) -> Handler:
    def part(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
        found = args[0]
        if not isinstance(found, Tuple) or len(found.items) != 2:
            text = f"'{at.function.text}' takes the result of prng_step, found {describe(found)}"
            raise error("TILE0301", text, at.args[0].span)
        return found.items[position]

    return part


def _random_bits(b: Builder, args: Sequence[Value], at: Call, name: str | None) -> Value:
    """random_bits(key: u32[2], offset, d0, ...): uint32; random_bits64: uint64."""
    key, offset = (b.tensor(a, e.span) for a, e in zip(args[:2], at.args[:2]))
    shape = tuple(b.integer(a, e.span, "a size") for a, e in zip(args[2:], at.args[2:]))
    check_type(TensorType(U64, shape), at.span)
    node = Special(at.function.text, (key.name, offset.name), (("shape", shape),))
    (type,) = special_type(node, [strong(key.type), strong(offset.type)], at.span)
    return b.emit(node, type, at.span, name)


def check_assertion(b: Builder, value: Value, at: Call) -> Value:
    """assert_*(condition): TILE0405 where a compile-time condition does not hold; any other is checked at run time."""
    if isinstance(value, Tensor) and not (value.known and isinstance(value.known.value, int | float)):
        message = at.function.text.removeprefix("assert_").replace("_", " ") or "assertion"
        b.grow(0, at.span)
        node = Special("assert", (value.name,), (("message", message),))
        b.lets.append(Let((), node, (), b.attributes, at.span))
        return Scalar(1)
    if b.constant(value, at.args[0].span, "an asserted condition"):
        return Scalar(1)
    raise error("TILE0405", f"assertion '{at.function.text}' does not hold", at.span, notes=_sides(at))


def _sides(at: Call) -> list[str]:
    condition = at.args[0]
    if not isinstance(condition, Binary):
        return []
    text = condition.span.source.text[condition.span.start : condition.span.end]
    return [f"{text} is false here"]


SPECIALS: Mapping[str, Handler] = {
    "shape": _shape,
    "index": _index,
    "reshape": _reshape,
    "gather": _special,
    **dict.fromkeys(SCATTERS, _special),
    "sort": _sorted(0),
    "argsort": _sorted(1),
    "tuple": _tuple,
    "element": _element,
    "prng_step": _prng_step,
    "prng_state": _prng_part(0),
    "prng_value": _prng_part(1),
    "random_bits": _random_bits,
    "random_bits64": _random_bits,
    "builtin_softmax": library.softmax,
    "builtin_logsoftmax": library.logsoftmax,
    "builtin_binary_crossentropy": library.binary_crossentropy,
}
