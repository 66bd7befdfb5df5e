"""Random IR of any shape, from a seed: every node and field, well formed for the printer, not for the verifier."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from random import Random
from typing import TypeVar, get_args

from tilec.affine import Affine, Coef, Size, named_size
from tilec.dtypes import ALL, DType
from tilec.expr import Access, Boundary, Call, Const, Expr, IndexValue, Read, Var
from tilec.graph import (
    Apply,
    Attribute,
    AttributeValue,
    Cond,
    Constraint,
    Contraction,
    Custom,
    Graph,
    Let,
    Literal,
    Node,
    Param,
    Remat,
    Scan,
    Sink,
    Special,
    TensorType,
    While,
)
from tilec.loops import (
    LOOP_KINDS,
    SPACES,
    Alloc,
    Barrier,
    Branch,
    Buffer,
    Check,
    Copy,
    For,
    HostCall,
    If,
    Instr,
    Iterate,
    Kernel,
    KernelParam,
    Launch,
    Program,
    Repeat,
    Step,
    Stmt,
    Store,
    Window,
)
from tilec.loops import Let as ScalarLet
from tilec.loops import While as WhileLoop
from tilec.monoid import STANDARD, Monoid, standard

T = TypeVar("T")
PLAIN = ("A", "B2", "x", "m.0", "m.1", "Y'", "_t", "sum", "f32", "a.f32")
NAMES = (*PLAIN, "if", "nan", "for", "_", "3d", "a b", 'q"\\', "é")  # the rest is written quoted
OPS = ("add", "mul", "cmp_lt", "cond", "select", "cast", "bitcast", "neg", "while", "max")
FLOATS = (0.0, -0.0, 1.0, 0.1, -2.5, 1e-45, 1.7976931348623157e308, 1e22, math.inf, -math.inf, math.nan)


class Generator:
    """One random stream; every method makes one piece of IR."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def many(self, item: Callable[[], T], low: int = 0, high: int = 3) -> tuple[T, ...]:
        return tuple(item() for _ in range(self.random.randint(low, high)))

    def name(self) -> str:
        return self.random.choice(NAMES)

    def names(self, low: int = 0) -> tuple[str, ...]:
        return self.many(self.name, low)

    def dtype(self) -> DType:
        return self.random.choice(ALL)

    def rational(self) -> int | Fraction:
        value = Fraction(self.random.randint(-9, 9), self.random.choice((1, 1, 1, 2, 3, 7)))
        return value.numerator if value.denominator == 1 else value

    def coef(self) -> Coef:
        value: Coef = self.rational()
        for name in ("N", "for", "M"):
            if self.chance(0.15):
                power: Coef = named_size(name) * self.rational()
                value = value + (power * named_size("N") if self.chance(0.5) else power)
        return value

    def size(self) -> Size:
        value: Coef = self.random.choice((0, 1, 2, 7, 64, 10**20))
        if self.chance(0.2):
            value = value + named_size(self.random.choice(("N", "M", "a b"))) * self.random.randint(-3, 3)
        assert not isinstance(value, Fraction)
        return value

    def sizes(self) -> tuple[Size, ...]:
        return self.many(self.size)

    def affine(self) -> Affine:
        return Affine.of([(self.name(), self.coef()) for _ in range(self.random.randint(0, 3))], self.coef())

    def number(self, dtype: DType) -> int | float:
        if dtype.is_float:
            return self.random.choice(FLOATS) if self.chance(0.7) else self.random.uniform(-1e3, 1e3)
        low, high = int(dtype.min), int(dtype.max)
        return self.random.choice((low, high, 0, 1, self.random.randint(low, high)))

    def const(self) -> Const:
        dtype = self.dtype()
        return Const(self.number(dtype), dtype)

    def index(self, depth: int) -> Affine | Expr:
        return self.expr(depth - 1) if depth and self.chance(0.2) else self.affine()

    def access(self, depth: int) -> Access:
        boundary: Boundary = self.random.choice(get_args(Boundary)) if self.chance(0.3) else "skip"
        fill = self.const() if boundary == "value" else None
        return Access(self.name(), self.many(lambda: self.index(depth)), boundary, fill)

    def expr(self, depth: int = 3) -> Expr:
        match self.random.randrange(4 + 3 * (depth > 0)):
            case 0:
                return self.const()
            case 1:
                return Var(self.name(), self.dtype())
            case 2:
                return IndexValue(self.affine(), self.dtype())
            case 3:
                return Read(self.access(depth), self.dtype())
            case _:
                return Call(self.random.choice(OPS), self.many(lambda: self.expr(depth - 1)), self.dtype())

    def monoid(self, arity: int = 1) -> Monoid:
        if arity == 1 and self.chance(0.7):
            return standard(self.random.choice(STANDARD), self.dtype())
        identity = self.many(self.const, arity, arity)
        return Monoid(self.random.choice((*NAMES, "max")), identity, self.many(lambda: self.expr(2), arity, arity))

    # --- Graph ---

    def type(self) -> TensorType:
        return TensorType(self.dtype(), self.sizes(), self.chance(0.2))

    def attribute_value(self, depth: int = 2) -> AttributeValue:
        match self.random.randrange(4 + (depth > 0)):
            case 0:
                return self.random.randint(-5, 10**12)
            case 1:
                return self.random.choice(FLOATS)
            case 2:
                return self.random.choice(("", "text", 'with "quotes"\n', "f32"))
            case 3:
                return self.dtype()
            case _:
                return self.many(lambda: self.attribute_value(depth - 1))

    def contraction(self, types: tuple[TensorType, ...], arity: int) -> Contraction:
        indices = self.names()
        shapes = [types[i].shape if types and self.chance(0.7) else self.sizes() for i in range(arity)]
        return Contraction(
            indices,
            self.monoid(arity),
            self.many(self.expr, arity, arity),
            tuple(Sink(self.many(self.affine), s) for s in shapes),
            self.many(lambda: Constraint(self.affine(), self.size()), 0, 2),
            self.many(lambda: self.name() if self.chance(0.3) else None, arity, arity),
            tuple(self.size() for _ in indices) if self.chance(0.3) else (),
        )

    def literal(self, types: tuple[TensorType, ...]) -> Literal:
        type = types[0] if len(types) == 1 and self.chance(0.7) else self.type()
        return Literal(type, self.many(lambda: self.number(type.dtype), 0, 4))

    def node(self, types: tuple[TensorType, ...], arity: int, depth: int) -> Node:
        def graph() -> Graph:
            return self.graph(depth - 1)

        match self.random.randrange(9 if depth else 4):
            case 0 if arity:
                return self.contraction(types, arity)
            case 1:
                return self.literal(types)
            case 2:
                attributes = self.many(lambda: (self.name(), self.attribute_value()))
                return Special(self.name().partition(".")[0], self.names(), attributes)
            case 4:
                return Cond(self.name(), graph(), graph(), self.names())
            case 5:
                return While(graph(), graph(), self.names(), self.names())
            case 6:
                operands = self.names(), self.names(), self.names()
                return Scan(graph(), *operands, self.size(), self.chance(0.5), self.count())
            case 7:
                return Custom(graph(), graph(), self.names())
            case 8:
                return Remat(graph(), self.names())
            case _:
                return Apply(self.random.choice(OPS), self.names(), self.dtype() if self.chance(0.3) else None)

    def count(self) -> str | None:
        return self.name() if self.chance(0.5) else None

    def let(self, depth: int) -> Let:
        names = self.names(low=self.random.choice((0, 1, 1)))
        types = tuple(self.type() for _ in names) if self.chance(0.7) else ()
        attributes = self.many(lambda: Attribute(self.name(), self.names()), 0, 1)
        return Let(names, self.node(types, len(names), depth), types, attributes)

    def graph(self, depth: int = 2) -> Graph:
        params = self.many(lambda: Param(self.name(), self.type(), "d:1" if self.chance(0.2) else None))
        lets = self.many(lambda: self.let(depth), 0, 5 if depth == 2 else 2)
        aliases = self.many(lambda: (self.name(), self.name()), 0, 1)
        return Graph(self.name(), params, lets, self.names(), self.names(), aliases)

    # --- Loops ---

    def buffer(self) -> Buffer:
        strides = self.sizes() if self.chance(0.3) else None
        base, offset = (self.name(), self.size()) if self.chance(0.2) else (None, 0)
        moves = self.moves() if base is not None and self.chance(0.5) else ()
        return Buffer(
            self.name(), self.dtype(), self.sizes(), self.random.choice(SPACES), strides, base, offset, moves
        )

    def moves(self) -> tuple[tuple[str, Size], ...]:
        return tuple((n, c) for n, c in self.affine().terms if not isinstance(c, Fraction))

    def window(self) -> Window:
        starts = self.many(self.affine)
        return Window(self.name(), starts, tuple(self.size() if self.chance(0.5) else None for _ in starts))

    def block(self, depth: int) -> tuple[Stmt, ...]:
        return self.many(lambda: self.stmt(depth))

    def stmt(self, depth: int) -> Stmt:
        match self.random.randrange(8 if depth else 5):
            case 0:
                return Alloc(self.buffer())
            case 1:
                return ScalarLet(self.name(), self.expr())
            case 2:
                return Barrier(self.random.choice(SPACES))
            case 3:
                return Instr(self.name(), self.many(self.window))
            case 4:
                monoid = self.monoid() if self.chance(0.5) else None
                return Store(self.name(), self.many(lambda: self.index(1)), self.expr(), monoid)
            case 5:
                kind = self.random.choice(LOOP_KINDS)
                depth_of = self.random.randint(1, 4) if kind == "pipelined" else 0
                return For(self.name(), self.size(), kind, self.block(depth - 1), depth_of)
            case 6:
                return If(self.many(self.affine, 1), self.block(depth - 1))
            case _:
                return WhileLoop(self.expr(2), self.block(depth - 1))

    def kernel(self) -> Kernel:
        params = self.many(lambda: KernelParam(self.buffer(), self.random.choice(("in", "out", "inout"))))
        return Kernel(self.name(), params, self.block(3))

    def steps(self, depth: int = 2) -> tuple[Step, ...]:
        return self.many(lambda: self.step(depth))

    def step(self, depth: int) -> Step:
        match self.random.choice((0, 1, 2, 6, 3, 4, 5) if depth else (0, 1, 2, 6)):
            case 0:
                return Launch(self.name(), self.names())
            case 1:
                return Copy(self.name(), self.name())
            case 2:
                return HostCall(self.name(), self.names(), self.names())
            case 6:
                return Check(self.name(), self.name(), code=self.random.choice(("TILE0405", "TILE0403")))
            case 5:
                return Iterate(self.name(), self.size(), self.steps(depth - 1), self.chance(0.5), self.count())
            case 3:
                return Repeat(self.name(), self.steps(depth - 1), self.steps(depth - 1))
            case _:
                return Branch(self.name(), self.steps(depth - 1), self.steps(depth - 1))

    def program(self) -> Program:
        return Program(
            self.name(),
            self.names(),
            self.names(),
            self.many(self.buffer),
            self.many(self.kernel, 0, 2),
            self.steps(),
            self.steps(),
            self.many(lambda: (self.name(), "sha:0")),
            self.names(),
            self.random.choice((0, 64, 1 << 40)),
            self.many(lambda: (self.name(), self.random.randrange(1 << 20))),
        )
