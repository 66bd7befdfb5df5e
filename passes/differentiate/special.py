"""Whole-tensor builtins: gather and scatter are each other's transposes, reshape its own, sort a permutation.

Scatters by other aggregations weigh their updates as contractions do (`tilec.passes.differentiate.scattered`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from tilec.affine import Affine, Size
from tilec.dtypes import I32, I64, DType
from tilec.errors import Span
from tilec.expr import Call, Const, Expr, IndexValue, read
from tilec.graph import Contraction, Let, Sink, Special, TensorType
from tilec.monoid import standard
from tilec.passes.differentiate.builder import Builder, no_derivative
from tilec.passes.differentiate.host import pull_host, push_host
from tilec.passes.differentiate.scattered import clamped, weighted, wide_enough


def pull_special(b: Builder, let: Let, g: str, active: set[str]) -> Iterator[tuple[str, str]]:
    """Operands and their parts of the cotangent; `g` is that of the first result."""
    node = let.node
    assert isinstance(node, Special)
    if node.op == "host_call":
        yield from pull_host(b, let, g, active)
        return
    x = node.args[0]
    if x not in active:
        return
    stem = f"{x}_bar"
    match node.op:
        case "reshape":
            yield x, _reshape(b, g, b.types[x], stem)
        case "gather":
            places = clamped(b, node.args[1], b.types[x].shape[0])
            yield x, b.bind(Special("scatter", (g, places, x)), stem)
        case "scatter":
            yield x, _gathered_inside(b, g, node.args[1], b.types[x], stem)
        case "scatter_max" | "scatter_min" | "scatter_prod":
            arriving = _gathered_inside(b, g, node.args[1], b.types[x], stem)
            yield x, weighted(b, let, arriving, clamped(b, node.args[1], b.types[g].shape[0]), stem)
        case "sort":
            flat = _reshape(b, g, _flat(b.types[x]), stem)
            like = _reshape(b, x, _flat(b.types[x]), stem)
            back = b.bind(Special("scatter", (flat, _sources(b, let), like)), stem)
            yield x, _reshape(b, back, b.types[x], stem)
        case _:
            raise _none(node, let.span)


def push_special(b: Builder, let: Let, tangents: Mapping[str, str]) -> str:
    """The tangent of the first result."""
    node = let.node
    assert isinstance(node, Special)
    if node.op == "host_call":
        return push_host(b, let, tangents)
    t, stem = tangents.get(node.args[0]), f"{let.names[0]}_dot"
    assert t is not None, "operations are active in their first operands only"
    match node.op:
        case "reshape" | "gather" | "scatter":
            return b.bind(Special(node.op, (t, *node.args[1:]), node.attributes), stem)
        case "scatter_max" | "scatter_min" | "scatter_prod":
            moved = weighted(b, let, t, clamped(b, node.args[1], let.types[0].shape[0]), stem)
            return b.bind(Special("scatter", (moved, *node.args[1:])), stem)
        case "sort":
            flat = _reshape(b, t, _flat(b.types[t]), stem)
            return _reshape(b, b.bind(Special("gather", (flat, _sources(b, let))), stem), let.types[0], stem)
        case _:
            raise _none(node, let.span)


def _none(node: Special, span: Span | None) -> Exception:
    return no_derivative(f"'{node.op}' has no derivative", span)


def _reshape(b: Builder, name: str, target: TensorType, stem: str) -> str:
    if b.types[name].shape == target.shape:
        return name
    return b.bind(Special("reshape", (name,), (("shape", target.shape),)), stem)


def _flat(type_: TensorType) -> TensorType:
    return TensorType(type_.dtype, (prod(type_.shape),))


def _gathered_inside(b: Builder, g: str, index: str, target: TensorType, stem: str) -> str:
    """g[index] where the index is on the axis, 0 where scatter has dropped the update."""
    size = b.types[g].shape[0]
    if size == 0:
        return b.filled(0, target, stem)
    index = wide_enough(b, index, size)
    index_type = b.types[index]
    inside = _is_inside(b, index, size)
    if inside is None:
        return b.bind(Special("gather", (g, index)), stem)
    gathered = b.bind(Special("gather", (g, index)), stem)
    trailing = (1,) * (target.rank - index_type.rank)
    mask = _reshape(b, inside, TensorType(b.types[inside].dtype, index_type.shape + trailing), f"{index}_inside")
    return b.apply("cond", (mask, gathered, b.filled(0, TensorType(target.dtype), "zero")), stem)


def _is_inside(b: Builder, index: str, size: Size) -> str | None:
    """Whether 0 <= index < size; None where every value of the index's type is."""
    dtype = b.types[index].dtype
    stem = f"{index}_inside"
    parts = []
    if dtype.is_signed:
        parts.append(b.apply("cmp_ge", (index, b.filled(0, TensorType(dtype), "zero")), stem))
    if not isinstance(size, int) or size <= dtype.max:
        parts.append(b.apply("cmp_lt", (index, b.size(size, dtype, "size")), stem))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else b.apply("bit_and", tuple(parts), stem)


def _sources(b: Builder, let: Let) -> str:
    """Of a sort, the row-major number of the element that each place of the result came from, as a flat tensor."""
    node = let.node
    assert isinstance(node, Special)
    order, axis = let.names[1], node.attribute("axis")
    type_ = b.types[order]
    shape, count = type_.shape, prod(type_.shape)
    wide = I32 if isinstance(count, int) and count <= I32.max else I64
    indices = tuple(f"i{a}" for a in range(len(shape)))
    forms = tuple(map(Affine.var, indices))
    own = Affine()
    stride: Size = 1
    strides = [prod(shape[a + 1 :]) for a in range(len(shape))]
    for a, form in enumerate(forms):
        if a == axis:
            stride = strides[a]
        else:
            own = own + form * strides[a]
    body = _linear(own, stride, read(order, forms, type_.dtype), wide)
    number = b.bind(Contraction(indices, standard("assign", wide), (body,), (Sink(forms, shape),)), f"{order}_flat")
    return _reshape(b, number, _flat(TensorType(wide, shape)), f"{order}_flat")


def _linear(own: Affine, stride: Size, place: Expr, dtype: DType) -> Expr:
    wide = place if place.dtype == dtype else Call("cast", (place,), dtype)
    by = Const(stride, dtype) if isinstance(stride, int) else IndexValue(Affine.constant(stride), dtype)
    scaled = Call("mul", (wide, by), dtype)
    return Call("add", (IndexValue(own, dtype), scaled), dtype)
