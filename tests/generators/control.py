"""Random Graphs with control flow: branches, loops and scans, nested, with bodies of every other kind.

All floats are small integers and every value is kept within -9 .. 9, so that no order of summation and no fused
multiplication rounds: whatever computes a Graph must give the very same numbers. Sub-Graphs use the same names as what
surrounds them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL, F64, I32, I64
from tilec.expr import Call, read
from tilec.graph import (
    Apply,
    Cond,
    Contraction,
    Graph,
    Let,
    Literal,
    Node,
    Param,
    Scan,
    Sink,
    Special,
    TensorType,
    While,
)
from tilec.monoid import standard

Array = np.ndarray[Any, np.dtype[Any]]
SHAPES: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3), (3, 2), (1, 3))
LENGTHS = (0, 1, 2, 3, 5)
FLAG, NUMBER = TensorType(BOOL), TensorType(I32)


def control_graph(seed: int) -> Graph:
    """The graph of a seed, not yet inferred."""
    rng = random.Random(seed)
    params = [TensorType(F64, rng.choice(SHAPES)) for _ in range(rng.randint(1, 3))]
    wanted = [TensorType(F64, rng.choice(SHAPES)) for _ in range(rng.randint(1, 3))]
    return Maker(rng, 0).graph("f", [*params, NUMBER, FLAG], wanted, control=True)


def arguments(graph: Graph, seed: int) -> dict[str, Array]:
    """Small integers for every parameter."""
    rng = np.random.default_rng(seed)
    return {p.name: _argument(rng, p.type) for p in graph.params}


def _argument(rng: np.random.Generator, type: TensorType) -> Array:
    low, high = (0, 2) if type.dtype == BOOL else (-2, 7) if type.dtype == I32 else (-9, 10)
    return np.asarray(rng.integers(low, high, tuple(map(number, type.shape)))).astype(type.dtype.numpy)


def number(size: Size) -> int:
    assert isinstance(size, int)
    return size


@dataclass(slots=True)
class Maker:
    """One Graph in the making; `depth` counts the Graphs around it."""

    rng: random.Random
    depth: int
    types: dict[str, TensorType] = field(default_factory=dict)
    lets: list[Let] = field(default_factory=list)

    def graph(self, name: str, params: Sequence[TensorType], wanted: Sequence[TensorType], control: bool) -> Graph:
        """A Graph of some statements; with `control`, one at least has sub-Graphs."""
        given = tuple(Param(self.name(t), t) for t in params)
        for _ in range(self.rng.randint(0, 3)):
            self.statement()
        if control or (self.depth < 3 and self.rng.random() < 0.4):
            self.rng.choice([self.cond, self.loop, self.scan])()
        for _ in range(self.rng.randint(0, 2)):
            self.statement()
        results = tuple(map(self.value, wanted))
        return Graph(name, given, tuple(self.lets), results)

    def name(self, type: TensorType) -> str:
        found = f"v{len(self.types)}"
        self.types[found] = type
        return found

    def bind(self, node: Node, *types: TensorType) -> tuple[str, ...]:
        names = tuple(map(self.name, types))
        self.lets.append(Let(names, node, types if isinstance(node, Contraction) else ()))
        return names

    def one(self, node: Node, type: TensorType) -> str:
        return self.bind(node, type)[0]

    # values of a wanted type

    def value(self, type: TensorType, fresh: float = 0.3) -> str:
        """A value of this type, with luck one that is there already."""
        known = [n for n, t in self.types.items() if t == type]
        if known and self.rng.random() > fresh:
            return self.rng.choice(known)
        if type.dtype == BOOL:
            return self.one(Apply("cmp_lt", (self.value(NUMBER), self.value(NUMBER, 0.5))), FLAG)
        if type.dtype != F64 or self.rng.random() < 0.3:
            return self.literal(type)
        total = self.one(Apply("add", (self.scalar(), self.literal(type))), type)
        return self.kept(total)

    def literal(self, type: TensorType) -> str:
        count = prod(map(number, type.shape)) if self.rng.random() < 0.5 else 1
        numbers = [self.rng.randint(-3, 5) for _ in range(count if type.shape else 1)] or [0]
        values = tuple(map(float, numbers)) if type.dtype.is_float else tuple(numbers)
        return self.one(Literal(replace(type, weak=False), values), type)

    def scalar(self) -> str:
        """The sum of some tensor of floats, kept small."""
        known = [n for n, t in self.types.items() if t.dtype == F64]
        if not known:
            return self.literal(TensorType(F64))
        source = self.rng.choice(known)
        indices = ("i", "j", "k")[: self.types[source].rank]
        body = read(source, tuple(map(Affine.var, indices)), F64)
        node = Contraction(indices, standard("sum", F64), (body,), (Sink((), ()),))
        return self.kept(self.one(node, TensorType(F64)))

    def kept(self, name: str) -> str:
        """The value limited to -9 .. 9."""
        type, scalar = self.types[name], TensorType(self.types[name].dtype)
        for op, bound in (("min", 9), ("max", -9)):
            limit = self.one(Literal(scalar, (float(bound) if scalar.dtype.is_float else bound,)), scalar)
            name = self.one(Apply(op, (name, limit)), type)
        return name

    # statements

    def statement(self) -> None:
        self.rng.choice([self.elementwise, self.elementwise, self.product, self.reshape, self.number])()

    def tensor(self) -> str:
        """Some tensor of floats."""
        known = [n for n, t in self.types.items() if t.dtype == F64]
        return self.rng.choice(known) if known else self.literal(TensorType(F64, self.rng.choice(SHAPES)))

    def elementwise(self) -> None:
        a = self.tensor()
        b = self.value(self.types[a], 0.5)
        self.kept(self.one(Apply(self.rng.choice(["add", "sub", "mul", "max"]), (a, b)), self.types[a]))

    def number(self) -> None:
        a, b = self.value(NUMBER), self.value(NUMBER, 0.5)
        self.kept(self.one(Apply(self.rng.choice(["add", "sub"]), (a, b)), NUMBER))

    def product(self) -> None:
        """A row times a column, or a transposition."""
        a = self.tensor()
        if self.types[a].rank != 2:
            return
        rows, columns = self.types[a].shape
        i, j = Affine.var("i"), Affine.var("j")
        if self.rng.random() < 0.4:
            body, sink = read(a, (i, j), F64), Sink((j, i), (columns, rows))
            self.one(Contraction(("i", "j"), standard("assign", F64), (body,), (sink,)), TensorType(F64, sink.shape))
            return
        b = self.value(TensorType(F64, (columns,)))
        term = Call("mul", (read(a, (i, j), F64), read(b, (j,), F64)), F64)
        monoid, sink = standard(self.rng.choice(["sum", "max"]), F64), Sink((i,), (rows,))
        self.kept(self.one(Contraction(("i", "j"), monoid, (term,), (sink,)), TensorType(F64, sink.shape)))

    def reshape(self) -> None:
        a = self.tensor()
        shape = (prod(map(number, self.types[a].shape)),)
        self.one(Special("reshape", (a,), (("shape", shape),)), TensorType(F64, shape))

    # control

    def inner(self, name: str, params: Sequence[TensorType], wanted: Sequence[TensorType]) -> Graph:
        return Maker(self.rng, self.depth + 1).graph(name, params, wanted, control=False)

    def some(self, most: int) -> list[str]:
        return [self.tensor() for _ in range(self.rng.randint(0, most))]

    def signature(self, least: int) -> list[TensorType]:
        return [TensorType(F64, self.rng.choice(SHAPES)) for _ in range(self.rng.randint(least, 3))]

    def cond(self) -> None:
        args = [*self.some(3), self.value(NUMBER)]
        types, results = [self.types[a] for a in args], self.signature(1)
        then, orelse = self.inner("t", types, results), self.inner("e", types, results)
        self.bind(Cond(self.value(FLAG), then, orelse, tuple(args)), *results)

    def loop(self) -> None:
        """At most some rounds: the first carried value counts them."""
        carried = [NUMBER, *self.signature(0)]
        init, captures = [self.literal(NUMBER), *(self.value(t) for t in carried[1:])], self.some(2)
        types = [*carried, *(self.types[c] for c in captures)]
        test = Maker(self.rng, 9)
        params = [test.name(t) for t in types]
        limit = test.literal(NUMBER)
        holds = test.one(Apply("cmp_lt", (params[0], limit)), FLAG)
        if self.rng.random() < 0.5:
            small = test.one(Apply("cmp_lt", (test.scalar(), test.literal(TensorType(F64)))), FLAG)
            holds = test.one(Apply("bit_and", (holds, small)), FLAG)
        condition = Graph("c", tuple(map(Param, params, types)), tuple(test.lets), (holds,))
        self.bind(While(condition, self.counting(types, carried), tuple(init), tuple(captures)), *carried)

    def counting(self, types: Sequence[TensorType], carried: Sequence[TensorType]) -> Graph:
        """A body that adds one to its first value."""
        maker = Maker(self.rng, self.depth + 1)
        body = maker.graph("d", types, carried[1:], control=False)
        one = maker.one(Literal(NUMBER, (1,)), NUMBER)
        after = maker.one(Apply("add", (body.params[0].name, one)), NUMBER)
        return replace(body, lets=tuple(maker.lets), results=(after, *body.results))

    def scan(self) -> None:
        length = self.rng.choice(LENGTHS)
        carried, slices, outputs = self.signature(0), self.signature(0), self.signature(0)
        init, captures = [self.value(t) for t in carried], self.some(2)
        inputs = [self.value(TensorType(F64, (length, *t.shape)), 0.8) for t in slices]
        body = self.inner("s", [*carried, *slices, *(self.types[c] for c in captures)], [*carried, *outputs])
        count = None
        if self.rng.random() < 0.4:
            count = self.value(NUMBER) if self.rng.random() < 0.7 else self.literal(TensorType(I64))
        node = Scan(
            body, tuple(init), tuple(inputs), tuple(captures), length, self.rng.random() < 0.4, count
        )
        stacked = [TensorType(F64, (length, *t.shape)) for t in outputs]
        if carried or stacked:
            self.bind(node, *carried, *stacked)


