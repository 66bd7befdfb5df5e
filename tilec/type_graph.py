"""Floor 3: types of Graph nodes: which casts a Let needs and what types it binds.

`infer_let` gives a Let its types and puts before it the casts that make it homogeneous; `infer_graph` does so for a
whole Graph and the closed Graphs inside it. Errors raised, besides those of `tilec.rules` and `tilec.specials`:
TILE0106 wrong number of arguments of a sub-Graph, TILE0202 wrong rank, TILE0204 indices and sizes differ in number,
TILE0213 shape of a default, TILE0304 index not an integer, TILE0305 types differ, TILE0602 undefined name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from tilec.affine import Size
from tilec.dtypes import BOOL, I64, DType
from tilec.errors import Span, error
from tilec.fresh import FreshNames
from tilec.graph import (
    Apply,
    Cond,
    Contraction,
    Custom,
    Graph,
    Let,
    Literal,
    Node,
    Remat,
    Scan,
    Special,
    TensorType,
    While,
    operands,
)
from tilec.monoid import STANDARD
from tilec.rules import apply_type, builtin, cast, is_shift, narrows, shape_text
from tilec.specials import special_type
from tilec.type_expr import Types, retype, type_of

Fresh: TypeAlias = Callable[[str], str]
Convert: TypeAlias = Callable[[str, DType], str]


def fresh_names(graph: Graph) -> Fresh:
    """A maker of names that the graph does not use: `x.1`, `x.2` ... for x."""
    return FreshNames({p.name for p in graph.params} | {n for let in graph.lets for n in let.names}).numbered


def infer_graph(graph: Graph) -> Graph:
    """The graph with all types and casts; the same object where it has them already."""
    types = {p.name: p.type for p in graph.params}
    fresh = fresh_names(graph)
    lets: list[Let] = []
    for let in graph.lets:
        for new in infer_let(let, types, fresh):
            types.update(zip(new.names, new.types))
            lets.append(new)
    for name in graph.results:
        type_of(types, name, None)
    if len(lets) == len(graph.lets) and all(a is b for a, b in zip(lets, graph.lets)):
        return graph
    return replace(graph, lets=tuple(lets))


def is_typed(graph: Graph) -> bool:
    """Whether every Let has all its types, those in Graphs inside aside."""
    return all(len(let.types) == len(let.names) for let in graph.lets)


def infer_let(let: Let, types: Types, fresh: Fresh, trusted: bool = False) -> tuple[Let, ...]:
    """The casts that a Let needs, and the Let itself with its types; the same Let where nothing changes.

    `types` are those of the names in scope; `fresh` makes a new name from an old one. The dtype that a contraction's
    Let already has is kept: it is the declared one. With `trusted`, Graphs inside that have types have been inferred
    and are not looked through again: where Graphs are nested, that would be once for every level.
    """
    for name in operands(let.node):
        type_of(types, name, let.span)
    convert = _Casts(types, fresh, let.span, trusted)
    node, found = _infer_node(let, types, convert)
    if len(found) != len(let.names):
        raise error("TILE0106", f"{len(found)} results are bound to {len(let.names)} names", let.span)
    found = _declared(let, found)
    if node is let.node and found == let.types:
        return (let,)
    return (*convert.lets, replace(let, node=node, types=found))


class _Casts:
    """Makes the Lets that give one node operands of the right types; `lets` are those made so far."""

    def __init__(self, types: Types, fresh: Fresh, span: Span | None, trusted: bool) -> None:
        self._types = types
        self._trusted = trusted
        self._fresh = fresh
        self._span = span
        self.lets: list[Let] = []

    def __call__(self, name: str, dtype: DType) -> str:
        """Name of a value of this dtype, after a cast if one is needed."""
        type_ = self._types[name]
        return name if type_.dtype == dtype else self._cast(name, name, dtype, type_.shape)

    def count(self, name: str, dtype: DType) -> str:
        """The same for a weak shift count, which is clamped where it could wrap (`tilec.rules`)."""
        type_ = self._types[name]
        if not type_.weak or not narrows(type_.dtype, dtype):
            return self(name, dtype)
        clamped = self._limited("max", name, name, -1, type_) if type_.dtype.is_signed else name
        clamped = self._limited("min", clamped, name, dtype.bits, type_)
        return self._cast(clamped, name, dtype, type_.shape)

    def graph(self, inside: Graph) -> Graph:
        """A Graph inside the node, with types."""
        return inside if self._trusted and is_typed(inside) else infer_graph(inside)

    def _limited(self, op: str, name: str, stem: str, limit: int, type_: TensorType) -> str:
        scalar = TensorType(type_.dtype, weak=True)
        bound = self._bind(stem, Literal(scalar, (limit,)), scalar)
        return self._bind(stem, Apply(op, (name, bound)), type_)

    def _cast(self, name: str, stem: str, dtype: DType, shape: tuple[Size, ...]) -> str:
        return self._bind(stem, Apply("cast", (name,), dtype), TensorType(dtype, shape))

    def _bind(self, stem: str, node: Node, type_: TensorType) -> str:
        new = self._fresh(stem)
        self.lets.append(Let((new,), node, (type_,), (), self._span))
        return new


def _declared(let: Let, found: tuple[TensorType, ...]) -> tuple[TensorType, ...]:
    """The types that the Let already had, where they agree with those found."""
    if not let.types:
        return found
    if len(let.types) != len(found):
        raise error("TILE0602", f"{len(found)} results are declared with {len(let.types)} types", let.span)
    for old, new in zip(let.types, found, strict=True):
        if (old.dtype, old.shape) != (new.dtype, new.shape):
            raise error("TILE0305", f"declared {type_text(old)}, found {type_text(new)}", let.span)
    return let.types


def type_text(type_: TensorType) -> str:
    return f"{type_.dtype}{shape_text(type_.shape) if type_.shape else ''}"


def _infer_node(let: Let, types: Types, convert: _Casts) -> tuple[Node, tuple[TensorType, ...]]:
    node, span = let.node, let.span
    match node:
        case Contraction():
            _well_formed(let, node)
            return _contraction(let, node, types, convert)
        case Apply():
            return _apply(node, types, convert, span)
        case Special():
            return node, special_type(node, [types[a] for a in node.args], span)
        case Literal():
            return node, (node.type,)
        case Cond():
            return _cond(node, types, convert, span)
        case While():
            return _while(node, types, convert, span)
        case Scan():
            return _scan(node, types, convert, span)
        case Custom():
            forward, backward = convert.graph(node.forward), convert.graph(node.backward)
            args = _arguments(forward, node.args, types, convert, span)
            same = forward is node.forward and backward is node.backward and args == node.args
            return node if same else Custom(forward, backward, args), result_types(forward)
        case Remat():
            body = convert.graph(node.body)
            args = _arguments(body, node.args, types, convert, span)
            same = body is node.body and args == node.args
            return node if same else Remat(body, args), result_types(body)


def _apply(node: Apply, types: Types, convert: _Casts, span: Span | None) -> tuple[Apply, tuple[TensorType, ...]]:
    wanted, result = apply_type(node.op, [types[a] for a in node.args], node.dtype, span)
    entry = builtin(node.op, len(node.args), span)
    if is_shift(entry.name):
        args: tuple[str, ...] = (convert(node.args[0], wanted[0]), convert.count(node.args[1], wanted[1]))
    else:
        args = tuple(convert(a, d) for a, d in zip(node.args, wanted))
    same = args == node.args and entry.name == node.op
    return node if same else Apply(entry.name, args, node.dtype), (result,)


def _well_formed(let: Let, node: Contraction) -> None:
    """One body, sink and default per component of the monoid, and a declared type or none."""
    counts = {len(node.body), len(node.sinks), len(node.defaults), node.monoid.arity, len(node.monoid.combine)}
    if counts != {node.monoid.arity} or len(let.types) not in (0, node.monoid.arity):
        raise error("TILE0602", "bodies, sinks, defaults and components of a contraction differ in number", let.span)


def _contraction(
    let: Let, node: Contraction, types: Types, convert: _Casts
) -> tuple[Contraction, tuple[TensorType, ...]]:
    plain = [retype(b, types, let.span).expr for b in node.body]
    body = tuple(cast(b, d) for b, d in zip(plain, node.accumulator, strict=True))
    declared: Sequence[DType | None] = [t.dtype for t in let.types] or [None] * len(body)
    results = []
    for b, sink, dtype, accumulator in zip(plain, node.sinks, declared, node.accumulator, strict=True):
        if len(sink.indices) != len(sink.shape):
            raise error("TILE0204", f"{len(sink.indices)} indices and {len(sink.shape)} sizes", let.span)
        results.append(TensorType(dtype or _result_dtype(node, b.dtype, accumulator), sink.shape))
    for default, result in zip(node.defaults, results, strict=True):
        if default is not None and types[default].shape not in ((), result.shape):
            shapes = f"{shape_text(types[default].shape)}, the result {shape_text(result.shape)}"
            raise error("TILE0213", f"the default has the shape {shapes}", let.span)
    defaults = tuple(d and convert(d, r.dtype) for d, r in zip(node.defaults, results))
    same = all(a is b for a, b in zip(body, node.body)) and defaults == node.defaults
    return node if same else replace(node, body=body, defaults=defaults), tuple(results)


def _result_dtype(node: Contraction, body: DType, accumulator: DType) -> DType:
    """An aggregation of the language keeps its operand's type, but a sum or product of bool that counts does not."""
    if node.monoid.name not in STANDARD or node.monoid.arity > 1:
        return accumulator
    return accumulator if body == BOOL else body


def result_types(graph: Graph) -> tuple[TensorType, ...]:
    """Types of a typed graph's results."""
    types = graph.types()
    return tuple(types[r] for r in graph.results)


def _arguments(
    graph: Graph, args: Sequence[str], types: Types, convert: Convert, span: Span | None, drop: int = 0
) -> tuple[str, ...]:
    """Arguments for a sub-Graph's parameters; only weak ones are converted. `drop` leaves out the first parameters."""
    params = graph.params[drop:]
    if len(params) != len(args):
        raise error("TILE0106", f"'{graph.name}' takes {len(params)} arguments, {len(args)} given", span)
    for p, a in zip(params, args):
        if types[a].dtype != p.type.dtype and not types[a].weak:
            raise error("TILE0305", _mismatch(graph, p.name, p.type, types[a]), span)
        _same_shape(graph, p.name, p.type, types[a], span)
    return tuple(convert(a, p.type.dtype) for p, a in zip(params, args))


def _mismatch(graph: Graph, name: str, wanted: TensorType, actual: TensorType) -> str:
    return f"'{name}' of '{graph.name}' is {type_text(wanted)}, not {type_text(actual)}"


def _same_shape(graph: Graph, name: str, wanted: TensorType, actual: TensorType, span: Span | None) -> None:
    """Sizes agree; a named size of the sub-Graph takes any value here and is checked when it is bound."""
    same = len(wanted.shape) == len(actual.shape)
    if not same or any(isinstance(w, int) and w != a for w, a in zip(wanted.shape, actual.shape)):
        raise error("TILE0305", _mismatch(graph, name, wanted, actual), span)


def _same_types(graph: Graph, wanted: Sequence[TensorType], actual: Sequence[TensorType], span: Span | None) -> None:
    if len(wanted) != len(actual):
        raise error("TILE0106", f"'{graph.name}' has {len(actual)} results, not {len(wanted)}", span)
    for w, a in zip(wanted, actual):
        if (w.dtype, w.shape) != (a.dtype, a.shape):
            raise error("TILE0305", f"a result of '{graph.name}' is {type_text(a)}, not {type_text(w)}", span)


def _scalar(name: str, type_: TensorType, span: Span | None) -> None:
    if type_.rank != 0:
        raise error("TILE0202", f"the condition '{name}' has rank {type_.rank}, not 0", span)


def _cond(node: Cond, types: Types, convert: _Casts, span: Span | None) -> tuple[Cond, tuple[TensorType, ...]]:
    _scalar(node.predicate, types[node.predicate], span)
    then, orelse = convert.graph(node.then), convert.graph(node.orelse)
    predicate = convert(node.predicate, BOOL)
    args = _arguments(then, node.args, types, convert, span)
    _same_types(orelse, [p.type for p in then.params], [p.type for p in orelse.params], span)
    _same_types(orelse, result_types(then), result_types(orelse), span)
    new = Cond(predicate, then, orelse, args)
    return node if new == node else new, result_types(then)


def _while(node: While, types: Types, convert: _Casts, span: Span | None) -> tuple[While, tuple[TensorType, ...]]:
    condition, body = convert.graph(node.condition), convert.graph(node.body)
    args = _arguments(body, node.init + node.captures, types, convert, span)
    carried = tuple(p.type for p in body.params[: len(node.init)])
    _same_types(condition, [p.type for p in body.params], [p.type for p in condition.params], span)
    _same_types(condition, [TensorType(BOOL)], result_types(condition), span)
    _same_types(body, carried, result_types(body), span)
    new = While(condition, body, args[: len(node.init)], args[len(node.init) :])
    return node if new == node else new, carried


def _scan(node: Scan, types: Types, convert: _Casts, span: Span | None) -> tuple[Scan, tuple[TensorType, ...]]:
    body = convert.graph(node.body)
    slices = {}
    for name in node.inputs:
        if types[name].rank == 0 or types[name].shape[0] != node.length:
            raise error("TILE0202", f"scan of {node.length} steps over '{name}': {type_text(types[name])}", span)
        slices[name] = replace(types[name], shape=types[name].shape[1:], weak=False)
    first, last = len(node.init), len(node.init) + len(node.inputs)
    if len(body.params) != last + len(node.captures):
        raise error("TILE0106", f"'{body.name}' takes {len(body.params)} arguments", span)
    init = _arguments(replace(body, params=body.params[:first]), node.init, types, convert, span)
    _arguments(replace(body, params=body.params[first:last]), node.inputs, slices, _no_convert, span)
    captures = _arguments(body, node.captures, types, convert, span, drop=last)
    results = result_types(body)
    carried = tuple(p.type for p in body.params[:first])
    _same_types(body, carried, results[:first], span)
    count = node.count and _count(node.count, types, convert, span)
    new = Scan(body, init, node.inputs, captures, node.length, node.reverse, count)
    stacked = tuple(TensorType(t.dtype, (node.length, *t.shape)) for t in results[first:])
    return node if new == node else new, carried + stacked


def _count(name: str, types: Types, convert: _Casts, span: Span | None) -> str:
    """The number of steps of a scan, as an i64."""
    if types[name].rank != 0:
        raise error("TILE0202", f"the count '{name}' of a scan has rank {types[name].rank}, not 0", span)
    if types[name].dtype.kind not in ("int", "uint"):
        raise error("TILE0304", f"the count '{name}' of a scan is {types[name].dtype}, not an integer", span)
    return convert(name, I64)


def _no_convert(name: str, dtype: DType) -> str:
    return name  # strong operands never need one
