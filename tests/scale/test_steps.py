"""The steps of every stage of the compiler, counted in the interpreter's instructions: linear in the program's size."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest

from tests.backends.llvm_support import serial_host
from tilec import TensorType, parse, pipeline
from tilec.affine import Affine
from tilec.backends.llvm.module import emit_module
from tilec.dtypes import F32
from tilec.errors import TileError
from tilec.expr import Call, Const, Expr, IndexValue, Var, read
from tilec.frontends.tile.elaborate import to_graph
from tilec.graph import Apply, Contraction, Graph, Let, Literal, Param, Sink
from tilec.monoid import standard
from tilec.numbering import Numbering
from tilec.options import Options
from tilec.passes import differentiate
from tilec.text.graph_text import print_graph
from tilec.text.loops_text import print_program
from tilec.verify.graph import verify
from tilec.verify.program import verify_program

TIMES = 4  # how much larger the larger program is
MOST = 1.12  # growth per growth: a quadratic part of a few per cent at the larger size is seen


def steps(work: Callable[[], Any]) -> tuple[int, Any]:
    """How many instructions of Python a call takes, and its result."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = work()
    finally:
        sys.settrace(before)
    return count, result


def network(layers: int) -> Graph:
    """Loss and gradients of dense layers of one width."""
    inputs = ", ".join(f"W{k}[8, 8], B{k}[8]" for k in range(layers))
    lines = [f"H{k + 1} = tanh(P{k} + B{k});" for k in range(layers)]
    lines = [f"P{k}[m, n : 4, 8] = +(H{k}[m, k] * W{k}[k, n]); {line}" for k, line in enumerate(lines)]
    text = f"function net(X[4, 8], {inputs}) -> (Loss) {{ H0 = X; {' '.join(lines)} Loss[] = +(H{layers}[m, n]); }}"
    shapes = {"X": (4, 8)} | {f"W{k}": (8, 8) for k in range(layers)} | {f"B{k}": (8,) for k in range(layers)}
    graph = to_graph(parse(text), None, {n: TensorType(F32, s) for n, s in shapes.items()})
    return differentiate.value_and_gradient(graph, [n for n in shapes if n != "X"])


def counted(graph: Graph) -> dict[str, int]:
    """Steps by stage."""
    found: dict[str, int] = {}

    def stage(name: str, work: Callable[[], Any]) -> Any:
        count, result = steps(work)
        found[name] = found.get(name, 0) + count
        return result

    stage("verify Graph", lambda: verify(graph))
    stage("print Graph", lambda: print_graph(graph))
    stage("differentiate", lambda: differentiate.gradient(graph, [graph.params[0].name], graph.results[0]))
    for name, run in pipeline.GRAPH_PASSES:
        graph = stage(name, lambda run=run, graph=graph: run(graph))  # type: ignore[misc]
    graph = stage("bounds", lambda: pipeline.passes_by_name()["bounds"](graph))
    program = stage("fuse, lower, share, place", lambda: pipeline.lower_graph(graph, serial_host(), PLAIN))
    stage("verify Program", lambda: verify_program(program))
    stage("print Program", lambda: print_program(program))
    stage("LLVM text", lambda: emit_module(program, serial_host()))
    return found


PLAIN = Options(schedule=False)


def test_steps_of_every_stage_grow_with_the_program() -> None:
    counted(network(2))  # what is found once and kept
    small, large = counted(network(5)), counted(network(5 * TIMES))
    grown = {name: large[name] / small[name] for name in small}
    assert {name: growth for name, growth in grown.items() if growth > TIMES * MOST} == {}
    assert grown["simplify"] > TIMES / 2  # the count does count


def chain(op: str, length: int) -> Graph:
    """A op B op B ..., with its gradients."""
    names = ["A", *(f"V{k}" for k in range(length))]
    type_ = TensorType(F32, (8,))
    lets = [Let((new,), Apply(op, (old, "B")), (type_,)) for old, new in pairwise(names)]
    graph = Graph("chain", (Param("A", type_), Param("B", type_)), tuple(lets), (names[-1],))
    return differentiate.value_and_gradient(graph, ["A", "B"])


def fan(width: int) -> Graph:
    """One value used many times, in a sum of as many terms; with its gradients."""
    type_, one = TensorType(F32, (8,)), TensorType(F32)
    lets = [Let(("E",), Apply("exp", ("A",)), (type_,)), Let(("S0",), Apply("neg", ("A",)), (type_,))]
    for k in range(width):
        lets += [
            Let((f"C{k}",), Literal(one, (k + 1.5,)), (one,)),
            Let((f"P{k}",), Apply("mul", ("E", f"C{k}")), (type_,)),
            Let((f"S{k + 1}",), Apply("add", (f"S{k}", f"P{k}")), (type_,)),
        ]
    graph = Graph("fan", (Param("A", type_),), tuple(lets), (f"S{width}",))
    return differentiate.value_and_gradient(graph, ["A"])


@pytest.mark.parametrize("make", [partial(chain, "mul"), partial(chain, "add"), fan], ids=["mul", "add", "fan"])
def test_steps_of_chains_and_fans_grow_with_them(make: Callable[[int], Graph]) -> None:
    counted(make(5))
    (small, before), (large, after) = (steps(partial(make, n)) for n in (50, 50 * TIMES))
    assert large < small * TIMES * MOST
    found, grown = counted(before), counted(after)
    assert {name: grown[name] / found[name] for name in found if grown[name] > found[name] * TIMES * MOST} == {}


def test_kernels_of_equal_layers_are_one() -> None:
    few, many = (
        pipeline.lower_graph(pipeline.optimise(network(layers)), serial_host(), PLAIN) for layers in (4, 16)
    )
    assert len(many.kernels) == len(few.kernels)
    assert len(many.steps) > 3 * len(few.steps)


# shared terms ------------------------------------------------------------------------------------------------------


def powers(depth: int) -> Expr:
    """A[i] to the power of 2^depth: as many terms as steps, and a tree of twice as many for every step."""
    result: Expr = read("A", (Affine.var("i"),), F32)
    for _ in range(depth):
        result = Call("mul", (result, result), F32)
    return result


def power_graph(depth: int) -> Graph:
    node = Contraction(("i",), standard("sum", F32), (powers(depth),), (Sink((), ()),))
    return Graph(
        "f", (Param("A", TensorType(F32, (8,))),), (Let(("S",), node, (TensorType(F32),)),), ("S",)
    )


def compiled(graph: Graph) -> None:
    program = pipeline.lower_graph(pipeline.optimise(graph), serial_host())
    emit_module(program, serial_host())


def test_shared_terms_count_once() -> None:
    compiled(power_graph(2))
    small, _ = steps(lambda: compiled(power_graph(30)))
    large, _ = steps(lambda: compiled(power_graph(30 * TIMES)))
    assert large < small * TIMES * MOST


def test_what_cannot_be_written_down_is_refused() -> None:
    verify(power_graph(18))
    with pytest.raises(TileError) as caught:
        verify(power_graph(120))
    assert caught.value.code == "TILE0602"
    assert "more than 1000000 terms" in str(caught.value)


def test_numbers_tell_expressions_apart() -> None:
    i, j = Affine.var("i"), Affine.var("j")
    a = read("A", (i,), F32)
    different: list[Expr] = [
        Const(0.0, F32), Const(-0.0, F32), Const(float("nan"), F32), Const(1.0, F32), Var("A", F32), a,
        read("A", (j,), F32), read("B", (i,), F32), IndexValue(i, F32), Call("add", (a, a), F32),
        Call("mul", (a, a), F32), Call("add", (a, Const(0.0, F32)), F32), Call("add", (a, Const(-0.0, F32)), F32),
    ]  # fmt: skip
    numbering = Numbering()
    numbers = [numbering.number(e) for e in different]
    assert len(set(numbers)) == len(different)
    again: list[Expr] = [Const(float("nan"), F32), read("A", (i,), F32), Call("add", (a, read("A", (i,), F32)), F32)]
    assert [numbering.number(e) for e in again] == [numbers[2], numbers[5], numbers[9]]
