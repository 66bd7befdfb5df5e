"""Lowered programs against the Graph evaluator, bit for bit, on seeded random programs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from tilec.affine import Affine, Size
from tilec.dtypes import BF16, BOOL, F16, F32, F64, I8, I32, I64, U8, DType
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.exact.boxes import integer
from tilec.expr import Expr, IndexValue, read
from tilec.graph import Apply, Constraint, Contraction, Graph, Let, Literal, Param, Sink, TensorType
from tilec.loops import Program
from tilec.monoid import standard
from tilec.numpy_semantics import Array
from tilec.partition import Partition
from tilec.passes import bounds, fuse, infer, lower, place
from tilec.rules import call
from tilec.text.graph_text import print_graph
from tilec.text.loops_text import parse_program, print_program
from tilec.verify.graph import verify
from tilec.verify.loops import verify_program

DTYPES: tuple[DType, ...] = (F32, F32, F64, F16, BF16, I32, I64, I8, U8, BOOL)
MONOIDS = ("sum", "sum", "prod", "max", "min", "assign")


def tensor(rng: np.random.Generator, type: TensorType) -> Array:
    shape = [integer(size) for size in type.shape]
    values = rng.integers(-9, 10, shape)
    if type.dtype.is_float:
        return np.asarray(values * rng.choice([1.0, 0.37], shape)).astype(type.dtype.numpy)
    return np.asarray(values if type.dtype.is_signed else np.abs(values)).astype(type.dtype.numpy)


def random_form(rng: random.Random, names: tuple[str, ...]) -> Affine:
    kind = rng.random()
    if kind < 0.6:
        return Affine.var(rng.choice(names))
    if kind < 0.65:
        return Affine.constant(rng.randint(0, 2))
    form = Affine.of({n: rng.choice([0, 1, 1, -1, 2]) for n in names}, rng.randint(-2, 2))
    return form * Fraction(1, rng.choice([2, 3])) if rng.random() < 0.25 else form


def random_contraction(rng: random.Random) -> Graph:
    """One contraction over one or two operands, with constraints, defaults and accumulators of all kinds."""
    names = ("i", "j", "k", "l")[: rng.randint(1, 3)]
    dtype = rng.choice(DTYPES)
    monoid = rng.choice(MONOIDS)
    acc = rng.choice((dtype, dtype, F64, I32, F32))
    params = []
    body: Expr | None = None
    for name in ("A", "B")[: rng.randint(1, 2)]:
        forms = tuple(random_form(rng, names) for _ in range(rng.randint(0, 3)))
        params.append(Param(name, TensorType(dtype, tuple(rng.randint(1, 6) for _ in forms))))
        element = read(name, forms, dtype)
        body = element if body is None else call(rng.choice(["mul", "add", "max"]), body, element)
    assert body is not None
    if rng.random() < 0.15:
        body = call("add", body, IndexValue(Affine.var(names[0]) + 1, I32))
    body = call("cast", body, dtype=acc)
    sink = tuple(random_form(rng, names) for _ in range(rng.randint(0, 2)))
    shape = tuple(rng.randint(1, 6) for _ in sink)
    constraints = [Constraint(Affine.var(n), rng.randint(1, 6)) for n in names if rng.random() < 0.5]
    if rng.random() < 0.3:
        constraints.append(Constraint(random_form(rng, names), rng.randint(1, 5)))
    default = None
    if rng.random() < 0.4:
        default = "D"
        params.append(Param("D", TensorType(dtype, shape if rng.random() < 0.7 else ())))
    node = Contraction(
        names, standard(monoid, acc), (body,), (Sink(sink, shape),), tuple(constraints), (default,)
    )
    return Graph("f", tuple(params), (Let(("O",), node, (TensorType(dtype, shape),)),), ("O",))


def random_elementwise(rng: random.Random, count: int) -> Graph:
    """Pointwise Lets, reductions and products over small matrices, with broadcasting and several results."""
    shapes: tuple[tuple[int, ...], ...] = ((3, 4), (3, 4), (1, 4), (4,), (3, 1), ())
    types = {n: TensorType(F32, rng.choice(shapes)) for n in ("A", "B", "C")}
    params = tuple(Param(n, t) for n, t in types.items())
    lets: list[Let] = []
    for number in range(count):
        let = random_let(rng, f"T{number}", types)
        types[let.names[0]] = let.types[0]
        lets.append(let)
    names = [let.names[0] for let in lets]
    results = tuple(dict.fromkeys([names[-1], *rng.sample(names, rng.randint(0, 2))]))
    return Graph("f", params, tuple(lets), results)


def compatible(a: tuple[Size, ...], b: tuple[Size, ...]) -> bool:
    return all(m == n or m == 1 or n == 1 for m, n in zip(a[::-1], b[::-1]))


def random_let(rng: random.Random, name: str, types: dict[str, TensorType]) -> Let:
    kind = rng.random()
    if kind < 0.1:
        return Let((name,), Literal(TensorType(F32), (rng.randint(-3, 3) / 2,)), (TensorType(F32),))
    a = rng.choice([*types][-6:])
    if kind < 0.65:
        b = rng.choice([n for n, t in types.items() if compatible(types[a].shape, t.shape)])
        shape = np.broadcast_shapes(types[a].shape, types[b].shape)  # type: ignore[arg-type]
        return Let((name,), Apply(rng.choice(["add", "mul", "sub", "max"]), (a, b)), (TensorType(F32, shape),))
    if kind < 0.75:
        return Let((name,), Apply(rng.choice(["neg", "abs"]), (a,)), (types[a],))
    indices = ("i", "j")[: types[a].rank]
    forms = tuple(map(Affine.var, indices))
    body = read(a, forms, F32)
    if kind < 0.85 and types[a].rank == 2:  # transposed
        sink = Sink(forms[::-1], types[a].shape[::-1])
        monoid = standard("assign", F32)
    else:
        kept = rng.randint(0, len(forms))
        sink = Sink(forms[:kept], types[a].shape[:kept])
        monoid = standard(rng.choice(["sum", "max"]), F32)
    return Let((name,), Contraction(indices, monoid, (body,), (sink,)), (TensorType(F32, sink.shape),))


def lowered(graph: Graph, partition: Partition) -> Program:
    program = place.run(lower.run(graph, partition))
    verify_program(program)
    assert parse_program(print_program(program)) == program
    return program


def check(graph: Graph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = {p.name: tensor(rng, p.type) for p in graph.params}
    want = evaluate(graph, inputs)
    bounded = bounds.run(graph)
    verify(bounded)
    assert bounds.run(bounded) is bounded
    assert_same(want, evaluate(bounded, inputs), bounded)
    for partition in (fuse.trivial(bounded), fuse.run(bounded)):
        assert_same(want, evaluate_program(lowered(bounded, partition), inputs), bounded)


def assert_same(want: dict[str, Array], got: dict[str, Array], graph: Graph) -> None:
    assert want.keys() == got.keys()
    for name, value in want.items():
        other = got[name]
        assert (value.dtype, value.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(value, other, err_msg=f"{name} of\n{print_graph(graph)}")
        if value.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(value), np.signbit(other), err_msg=f"sign of {name}")


def graphs(make: str, count: int) -> Iterator[tuple[int, Graph]]:
    for seed in range(count):
        rng = random.Random(f"{make}{seed}")
        graph = random_contraction(rng) if make == "contraction" else random_elementwise(rng, rng.randint(2, 14))
        yield seed, infer.run(graph)


def is_empty(graph: Graph) -> bool:
    return any(isinstance(let.node, Contraction) and 0 in let.node.extents for let in graph.lets)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_random_contractions() -> None:
    refused = 0
    for seed, graph in graphs("contraction", 300):
        try:
            if is_empty(bounds.run(graph)):
                graph = bounds.run(graph)  # the evaluator need not see that a system without points is also unbounded
        except TileError as e:
            assert e.code in ("TILE0401", "TILE0402"), e
            refused += 1
            with pytest.raises(TileError) as caught:
                inputs = {p.name: tensor(np.random.default_rng(0), p.type) for p in graph.params}
                evaluate(graph, inputs)
            assert caught.value.code == e.code, print_graph(graph)
            continue
        check(graph, seed)
    assert 10 < refused < 150


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_random_graphs() -> None:
    for seed, graph in graphs("elementwise", 120):
        check(graph, seed)
