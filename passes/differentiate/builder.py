"""Lets in the making: typed as they are added, with fresh names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tilec.affine import Affine, Coef, Size
from tilec.dtypes import DType, accumulator
from tilec.errors import Span, TileError, error
from tilec.expr import Call, Const, Expr, IndexValue, Var, read, reads
from tilec.fresh import FreshNames
from tilec.graph import Apply, Contraction, Graph, Let, Literal, Node, Param, Sink, TensorType
from tilec.monoid import standard
from tilec.rewrite import names, rename_operands
from tilec.type_graph import infer_let


@dataclass(slots=True)
class Builder:
    """The Lets so far and the types of all names in sight; `span` is the place that new Lets stand for.

    `uniform` has the value of names whose elements are all equal and known.
    """

    fresh: FreshNames
    types: dict[str, TensorType] = field(default_factory=dict)
    lets: list[Let] = field(default_factory=list)
    uniform: dict[str, int | float] = field(default_factory=dict)
    span: Span | None = None

    def keep(self, let: Let) -> None:
        """Adds a Let as it is."""
        self.lets.append(let)
        self.types.update(zip(let.names, let.types, strict=True))

    def bind(self, node: Node, stem: str, dtype: DType | None = None) -> str:
        """Name of the only result of a node; `dtype` declares that of a contraction."""
        types: tuple[TensorType, ...] = ()
        if dtype is not None:
            assert isinstance(node, Contraction)
            types = (TensorType(dtype, node.sinks[0].shape),)
        (name,) = self.bind_all(node, (stem,), types)
        return name

    def bind_all(self, node: Node, stems: Iterable[str], types: tuple[TensorType, ...] = ()) -> tuple[str, ...]:
        """Names of all results of a node."""
        found = tuple(map(self.fresh.like, stems))
        bound = Let(found, node, types, (), self.span)
        for let in infer_let(bound, self.types, self.fresh.numbered, trusted=True):
            self.keep(let)
        return found

    def shapes(self, *bodies: Expr) -> dict[str, tuple[Size, ...]]:
        """Shapes of the tensors that expressions read."""
        return {r.access.tensor: self.types[r.access.tensor].shape for body in bodies for r in reads(body)}

    def apply(self, op: str, args: Sequence[str], stem: str, dtype: DType | None = None) -> str:
        return self.bind(Apply(op, tuple(args), dtype), stem)

    def filled(self, value: int | float, like: TensorType, stem: str) -> str:
        """A tensor of one value, strong."""
        number = float(value) if like.dtype.is_float else int(value)
        name = self.bind(Literal(TensorType(like.dtype, like.shape), (number,)), stem)
        self.uniform[name] = number
        return name

    def size(self, size: Coef, dtype: DType, stem: str) -> str:
        """A size as a scalar, of its value at run time where it is open."""
        if isinstance(size, int):
            return self.filled(size, TensorType(dtype), stem)
        body = IndexValue(Affine.constant(size), dtype)
        return self.bind(Contraction((), standard("assign", dtype), (body,), (Sink((), ()),)), stem, dtype)

    def element(self, name: str, indices: tuple[Affine, ...]) -> Expr:
        """An element of a tensor, as the number that it is where that is known."""
        dtype = self.types[name].dtype
        return Const(self.uniform[name], dtype) if name in self.uniform else read(name, indices, dtype)

    def total(self, parts: Sequence[str], stem: str) -> str:
        """The sum of values of one type, from the first on."""
        result = parts[0]
        for part in parts[1:]:
            result = self.apply("add", (result, part), stem)
        return result

    def expression(self, template: Expr, values: Mapping[str, str], stem: str) -> str:
        """Elementwise Lets for an expression over tensors; a shared node is computed once."""
        done: dict[int, str] = {}

        def visit(e: Expr) -> str:
            if id(e) not in done:
                done[id(e)] = compute(e)
            return done[id(e)]

        def compute(e: Expr) -> str:
            match e:
                case Var(name):
                    return values[name]
                case Const(value):
                    return self.filled(value, TensorType(e.dtype), stem)
                case Call(op, args):
                    return self.apply(op, [visit(a) for a in args], stem, e.dtype if op == "cast" else None)
                case _:
                    raise AssertionError("a template holds constants, variables and calls only")

        return visit(template)

    def narrowed(self, name: str, target: TensorType, stem: str) -> str:
        """The sum over the axes along which a value of `target`'s shape was repeated: broadcasting's transpose."""
        source = self.types[name]
        if source.shape == target.shape:
            return name
        indices = tuple(f"i{a}" for a in range(source.rank))
        forms = tuple(map(Affine.var, indices))
        skipped = source.rank - target.rank
        sink = tuple(
            Affine() if size == 1 and source.shape[skipped + a] != 1 else forms[skipped + a]
            for a, size in enumerate(target.shape)
        )
        monoid = standard("sum", accumulator(source.dtype, "sum"))
        body = (read(name, forms, source.dtype),)
        return self.bind(Contraction(indices, monoid, body, (Sink(sink, target.shape),)), stem, source.dtype)

    def widened(self, name: str, target: TensorType, stem: str) -> str:
        """The value repeated to `target`'s shape."""
        if self.types[name].shape == target.shape:
            return name
        return self.apply("add", (name, self.filled(0, target, stem)), stem)

    def inline(self, graph: Graph, args: Sequence[str]) -> tuple[str, ...]:
        """The results of a typed Graph applied to arguments, as Lets of its own."""
        new = {p.name: a for p, a in zip(graph.params, args, strict=True)}
        for let in graph.lets:
            node = rename_operands(let.node, new)
            found = tuple(map(self.fresh.like, let.names))
            new.update(zip(let.names, found))
            self.keep(Let(found, node, let.types, let.attributes, let.span))
        return tuple(new[r] for r in graph.results)

    def param(self, stem: str, like: TensorType) -> Param:
        """A new parameter of a value's type."""
        param = Param(self.fresh.like(stem), TensorType(like.dtype, like.shape))
        self.types[param.name] = param.type
        return param


def start(graph: Graph) -> Builder:
    """A Builder that knows the parameters of a Graph and stays clear of its names."""
    return Builder(FreshNames(names(graph), "_"), {p.name: p.type for p in graph.params})


def no_derivative(message: str, span: Span | None, help: str | None = None) -> TileError:
    return error("TILE0310", message, span, help=help)
