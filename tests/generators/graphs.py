"""Random Graphs that verify, from a seed: elementwise operations and contractions over small typed tensors.

They are made to give the passes something to do: constants that are neutral elements, repeated subexpressions, dead
values, chains of casts and reshapes. `arguments` gives inputs with NaN, infinities, -0.0 and extreme integers.
"""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np

from tilec.affine import Affine
from tilec.builtins import BUILTINS
from tilec.dtypes import BOOL, F16, F32, F64, I8, I32, U8, DType
from tilec.expr import Call, Expr, IndexValue, Read, read
from tilec.graph import Apply, Constraint, Contraction, Graph, Let, Literal, Param, Sink, Special, TensorType
from tilec.monoid import standard
from tilec.type_graph import infer_graph

DTYPES = (F32, F32, F64, F16, I32, I32, I8, U8, BOOL)
SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (2, 3), (1,), (2, 1), (0, 3))
_NUMERIC = ("add", "sub", "mul", "div", "mod", "max", "min", "neg", "abs", "floor", "round", "relu", "ident")
_ORDER = ("cmp_eq", "cmp_ne", "cmp_lt", "cmp_le", "cmp_gt", "cmp_ge", "logical_not", "max", "min", "ident", "relu")
_BITS = ("bit_and", "bit_or", "bit_xor", "bit_not", "bit_left", "bit_right")
_NUMBERS = (0, 1, -1, 2, 0.0, -0.0, 1.0, 0.5, math.nan, math.inf)
Array = np.ndarray[Any, np.dtype[Any]]


def random_graph(seed: int, size: int = 12) -> Graph:
    """A Graph of about `size` Lets, after inference."""
    return infer_graph(_Builder(Random(seed)).graph(size))


def arguments(graph: Graph, seed: int) -> dict[str, Array]:
    """Values for the parameters, corner cases among them."""
    random = Random(seed)
    return {p.name: _argument(p, random) for p in graph.params}


def _argument(param: Param, random: Random) -> Array:
    dtype = param.type.dtype
    corners: list[int | float] = [0, 1, 2, dtype.min, dtype.max, *([math.nan, -0.0, -1.5] if dtype.is_float else [])]
    shape = tuple(s for s in param.type.shape if isinstance(s, int))
    values = [
        random.choice(corners) if random.random() < 0.3 else random.uniform(0, 5) for _ in range(math.prod(shape))
    ]
    return np.array([v if dtype.is_float else int(v) for v in values], dtype.numpy).reshape(shape)


class _Builder:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.types: dict[str, TensorType] = {}
        self.lets: list[Let] = []

    def graph(self, size: int) -> Graph:
        params = tuple(Param(f"P{i}", self._type()) for i in range(3))
        self.types.update((p.name, p.type) for p in params)
        while len(self.lets) < size:
            self._step()
        found = [n for let in self.lets for n in let.names]
        results = tuple(dict.fromkeys([found[-1], *self.random.choices(found, k=2)]))
        return Graph("random", params, tuple(self.lets), results)

    def _type(self) -> TensorType:
        return TensorType(self.random.choice(DTYPES), self.random.choice(SHAPES))

    def _step(self) -> None:
        match self.random.randrange(10):
            case 0 | 1:
                self._literal()
            case 2:
                self._contraction()
            case 3:
                self._cast()
            case 4:
                self._reshape()
            case 5:
                self._again()
            case _:
                self._apply()

    def _bind(self, node: Any, type: TensorType) -> None:
        """Adds a Let with its type as declared; inference puts casts before it."""
        name = f"v{len(self.lets)}"
        self.lets.append(Let((name,), node))
        graph = infer_graph(Graph("g", tuple(Param(n, t) for n, t in self.types.items()), (self.lets[-1],), (name,)))
        self.types[name] = graph.types()[name]

    def _name(self) -> str:
        return self.random.choice(list(self.types))

    def _like(self, shape: tuple[Any, ...]) -> str | None:
        """A value of rank 0 or of this shape, if there is one."""
        fits = [n for n, t in self.types.items() if t.shape in ((), shape)]
        return self.random.choice(fits) if fits else None

    def _literal(self) -> None:
        dtype = self.random.choice(DTYPES)
        shape = self.random.choice(SHAPES[:3])
        count = 1 if self.random.random() < 0.6 else math.prod(shape)
        values = tuple(_value(self.random.choice(_NUMBERS), dtype) for _ in range(count))
        type = TensorType(dtype, shape, not shape and self.random.random() < 0.5)
        self._bind(Literal(type, values), type)

    def _apply(self) -> None:
        first = self._name()
        type = self.types[first]
        choices = _ORDER if type.dtype == BOOL else (*_NUMERIC, *_ORDER, "cond")
        op = self.random.choice(choices if type.dtype.is_float else (*choices, *_BITS))
        args = [first, *(self._operand(first, op) for _ in range(BUILTINS[op].arity - 1))]
        self._bind(Apply(op, tuple(args)), type)

    def _operand(self, first: str, op: str) -> str:
        if self.random.random() < 0.2:
            return first
        shape = self.types[first].shape
        fits = [n for n, t in self.types.items() if t.shape in ((), shape)]
        if op in _BITS:
            fits = [n for n in fits if not self.types[n].dtype.is_float]
        return self.random.choice(fits)

    def _cast(self) -> None:
        name, dtype = self._name(), self.random.choice(DTYPES)
        self._bind(Apply("cast", (name,), dtype), TensorType(dtype, self.types[name].shape))

    def _reshape(self) -> None:
        name = self._name()
        own = tuple(s for s in self.types[name].shape if isinstance(s, int))
        count = math.prod(own)
        shape = self.random.choice([(count,), (1, count), (count, 1), own])
        self._bind(Special("reshape", (name,), (("shape", shape),)), TensorType(self.types[name].dtype, shape))

    def _again(self) -> None:
        """The same computation once more."""
        again = [let for let in self.lets if len(let.names) == 1]
        if again:
            let = self.random.choice(again)
            self._bind(let.node, self.types[let.names[0]])

    def _contraction(self) -> None:
        """An aggregation over some axes of a tensor, with other index names each time."""
        name = self._name()
        type = self.types[name]
        prefix = self.random.choice("ijk")
        indices = tuple(f"{prefix}{a}" for a in range(type.rank))
        access = read(name, tuple(map(Affine.var, indices)), type.dtype)
        body = self._body(access, indices)
        kept = [a for a in range(type.rank) if self.random.random() < 0.5]
        sink = Sink(tuple(Affine.var(indices[a]) for a in kept), tuple(type.shape[a] for a in kept))
        monoid = standard(self.random.choice(("sum", "prod", "max", "min")), body.dtype)
        constraints = (Constraint(Affine.var(indices[0]), 2),) if indices and self.random.random() < 0.3 else ()
        default = self._like(sink.shape) if self.random.random() < 0.3 else None
        node = Contraction(indices, monoid, (body,), (sink,), constraints, (default,))
        self._bind(node, TensorType(body.dtype, sink.shape))

    def _body(self, access: Read, indices: tuple[str, ...]) -> Expr:
        dtype = access.dtype
        if dtype == BOOL:
            return access
        body: Expr = access
        if self.random.random() < 0.3:
            body = Call("neg", (Call("neg", (body,), dtype),), dtype)
        if self.random.random() < 0.3:
            body = Call(self.random.choice(("add", "max", "mul", "sub")), (body, access), dtype)
        if indices and self.random.random() < 0.3:
            body = Call("add", (body, IndexValue(Affine.var(indices[0]), dtype)), dtype)
        return body


def _value(value: int | float, dtype: DType) -> int | float:
    if dtype.is_float:
        return float(value)
    if isinstance(value, float):
        return 1
    return int(min(max(value, dtype.min), dtype.max))
