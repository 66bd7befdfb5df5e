"""Chains: groups that share a kernel row by row, as lowered and as scheduled, against the Graph's evaluator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.generators.targets import AVX2, AVX512, EAGER
from tests.schedule.test_compiled import TARGETS
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.graph import Graph
from tilec.loops import Alloc, For, Kernel, Program, Store, walk
from tilec.passes import fuse, in_place, lower, place
from tilec.passes.schedule.default import default_schedule, scheduled
from tilec.pipeline import backend, optimise
from tilec.schedule import print_schedule
from tilec.text.loops_text import parse_program, print_program
from tilec.verify.loops import verify_program

CHAINS = fuse.Options(chains=True, least_rows=1)
Function = Callable[..., Any]


def graph_of(function: Function, *arrays: Any) -> Graph:
    return optimise(tilec.jit(function).lower(*arrays).graph)


def lowered(graph: Graph, options: fuse.Options = CHAINS) -> Program:
    program = in_place.run(lower.run(graph, fuse.run(graph, options)))
    verify_program(place.run(program))
    assert parse_program(print_program(program)) == program
    return program


def softmax(a: Any) -> Any:
    e = tnp.exp(a - tnp.max(a, axis=-1, keepdims=True))
    return e / tnp.sum(e, axis=-1, keepdims=True)


def layer_norm(a: Any) -> Any:
    d = a - tnp.mean(a, axis=-1, keepdims=True)
    return d / tnp.sqrt(tnp.mean(d * d, axis=-1, keepdims=True) + 1e-5)


def log_softmax(a: Any) -> Any:
    d = a - tnp.max(a, axis=-1, keepdims=True)
    return d - tnp.log(tnp.sum(tnp.exp(d), axis=-1, keepdims=True))


def attention(q: Any, k: Any, v: Any) -> Any:
    return tnp.matmul(softmax(tnp.matmul(q, tnp.matrix_transpose(k)) * 0.25), v)


ONE = (layer_norm, softmax, log_softmax)


def chain(kernel: Kernel) -> list[str]:
    """Outermost loops of a kernel."""
    return [s.index for s in kernel.body if isinstance(s, For)]


@pytest.mark.parametrize("function", ONE)
@pytest.mark.parametrize("shape", [(24, 70), (2, 3, 8, 33)])
def test_one_pass_over_the_rows(function: Function, shape: tuple[int, ...]) -> None:
    """One kernel, one loop, and nothing between the nests that is larger than a few rows."""
    x = np.zeros(shape, np.float32)
    program = lowered(graph_of(function, x))
    assert len(program.kernels) == 1
    found = scheduled(program.kernels[0], AVX512, EAGER)
    assert len(chain(found)) == 1
    assert not [s for s in walk(found.body) if isinstance(s, Alloc) and s.buffer.space == "heap"]


def test_numbers_of_a_row_are_computed_once_and_stay_in_registers() -> None:
    graph = graph_of(layer_norm, np.zeros((8, 4096), np.float32))
    options = fuse.Options(chains=True)
    assert fuse.run(graph, options).groups == (("sum", "div"), ("sum_2", "sqrt"), ("result",))  # div is the mean
    (kernel,) = lowered(graph, options).kernels
    allocated = [s.buffer for s in walk(scheduled(kernel, AVX512).body) if isinstance(s, Alloc)]
    assert {b.space for b in allocated} == {"register"}


def test_large_results_of_chains_go_past_the_caches() -> None:
    for function in ONE:
        (kernel,) = lowered(graph_of(function, np.zeros((24, 640), np.float32))).kernels
        for l3, streamed in ((1 << 14, {"result"}), (1 << 20, set())):
            found = scheduled(kernel, replace(AVX512, l3=l3))
            assert {s.buffer for s in walk(found.body) if isinstance(s, Store) and s.stream} == streamed


def test_attention_is_one_kernel() -> None:
    q, k, v = (np.zeros((2, 4, n, 8), np.float32) for n in (12, 20, 20))
    program = lowered(graph_of(attention, q, k, v))
    assert len(program.kernels) == 1
    assert len(chain(scheduled(program.kernels[0], AVX512))) == 1


def test_rows_that_are_too_long_or_too_few_are_no_chain() -> None:
    wide, few = np.zeros((8, 70_000), np.float32), np.zeros((7, 70), np.float32)
    assert not fuse.run(graph_of(softmax, few), fuse.Options(chains=True)).joined
    joined = fuse.run(graph_of(softmax, wide), fuse.Options(chains=True)).joined
    assert set(joined) <= {"sum_2"}  # the second half of a long sum, whose rows are short
    assert fuse.run(graph_of(softmax, np.zeros((8, 70), np.float32)), fuse.Options(chains=True)).joined


def test_a_product_of_matrices_takes_no_rows_of_another() -> None:
    x, w = np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)
    graph = graph_of(lambda x, w: tnp.exp(x @ w) @ w, x, w)
    assert not fuse.run(graph, fuse.Options(chains=True)).joined


def test_columns_are_no_rows() -> None:
    graph = graph_of(lambda a: a - tnp.max(a, axis=0), np.zeros((64, 64), np.float32))
    assert not fuse.run(graph, CHAINS).joined


def test_the_updates_of_adam_share_a_kernel() -> None:
    """Both averages read the slope, and nothing of one another."""

    def adam(p: Any, m: Any, v: Any, g: Any) -> Any:
        m2, v2 = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        return p - 0.001 * m2 / (tnp.sqrt(v2) + 1e-7), m2, v2

    graph = graph_of(adam, *(np.zeros((24, 70), np.float32) for _ in range(4)))
    assert len(fuse.run(graph).groups) == 1


def test_what_was_read_long_ago_is_read_again() -> None:
    """A value computed early is kept for long."""

    def function(a: Any, b: Any) -> Any:
        first = tnp.exp(a)
        b = tnp.cumulative_sum(b + first, axis=0)
        for _ in range(8):
            b = tnp.exp(tnp.cumulative_sum(b, axis=0))
        return first, b, tnp.exp(-a) + b

    groups = fuse.run(graph_of(function, *(np.zeros((24, 70), np.float32) for _ in range(2)))).groups
    early = next(group for group in groups if "exp" in group)
    assert "result_2" not in early


def random_chain(seed: int) -> tuple[Function, list[Any]]:
    """A function of whole numbers, exact in any order: aggregations, and elementwise operations of what fits."""
    r, values = Random(seed), np.random.default_rng(seed)
    shape = (*(r.choice([1, 3, 7, 12]) for _ in range(r.randint(1, 2))), r.choice([5, 33, 40, 70]))
    rows = (*shape[:-1], 1)
    inputs = [values.integers(-3, 4, s).astype(np.float32) for s in (shape, rows, shape[-1:], shape)]
    length = r.randint(3, 9)

    def function(*given: Any) -> Any:
        r = Random(f"chain{seed}")
        known = list(given)
        for _ in range(length):
            a, b = r.choice(known[-2:]), r.choice(known)
            axis = r.choice([-1, -1, -1, 0])
            match r.randint(0, 6):
                case 0:
                    new = tnp.max(a, axis=axis, keepdims=r.random() < 0.8)
                case 1:
                    new = tnp.clip(tnp.sum(a, axis=axis, keepdims=r.random() < 0.8), -4.0, 4.0)
                case 2:
                    new = tnp.min(a, axis=axis, keepdims=True)
                case 3:
                    new = tnp.clip(a * b, -3.0, 3.0) if fits(a, b) else tnp.flip(a)
                case 4:
                    new = tnp.where(a > b, a, -b) if fits(a, b) else tnp.abs(a)
                case 5:
                    new = tnp.clip(a - b, -5.0, 5.0) if fits(a, b) else -a
                case _:
                    new = tnp.floor(tnp.sqrt(tnp.abs(a)))
            if new.ndim:
                known.append(new)
        made = known[len(given) :] or known
        return tuple(made[-1 - k] for k in range(min(len(made), r.randint(1, 2))))

    return function, inputs


def fits(a: Any, b: Any) -> bool:
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return False
    return True


def check(seed: int) -> bool:
    """Compares what chains compute with the evaluator; whether there were any that the schedule fuses."""
    function, inputs = random_chain(seed)
    graph = graph_of(function, *inputs)
    given = {p.name: np.asarray(a, np.float32) for p, a in zip(graph.params, inputs, strict=False)}
    want = evaluate(graph, given)
    program = lowered(graph)
    plain = evaluate_program(program, given)
    for target in (AVX512, AVX2):
        kernels = tuple(scheduled(k, target, EAGER) for k in program.kernels)
        for kernel in program.kernels:
            assert default_schedule(kernel, target, EAGER) == default_schedule(kernel, target, EAGER)
        found = replace(program, kernels=kernels)
        verify_program(found)
        got = evaluate_program(found, given)
        for name, value in want.items():
            np.testing.assert_array_equal(plain[name], value, err_msg=f"{name}, seed {seed}")
            np.testing.assert_array_equal(got[name], value, err_msg=f"{name}, seed {seed}")
    return any("fuse(" in print_schedule(default_schedule(k, AVX512, EAGER)) for k in program.kernels)


@pytest.mark.parametrize("part", range(6))
def test_random_chains(part: int) -> None:
    found = sum(check(seed) for seed in range(50 * part, 50 * part + 50))
    assert found > 1


@pytest.mark.skipif(not TARGETS, reason="the LLVM backend is not available")
@pytest.mark.parametrize("function", ONE)
@pytest.mark.parametrize("shape", [(96, 128), (64, 1000), (3, 16, 77)])
def test_compiled(function: Function, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal(shape, np.float32)
    graph = graph_of(function, x)
    want = next(iter(evaluate(graph, {graph.params[0].name: x.astype(np.float32)}).values()))
    results = []
    for target in TARGETS[:1]:
        program = lowered(graph)
        for threads in (1, 2, 5):
            at = replace(target, threads=threads)
            kernels = tuple(scheduled(k, at) for k in program.kernels)
            ready = place.run(replace(program, kernels=kernels))
            out = np.zeros(shape, np.float32)
            backend("llvm").build(ready, at, {})([x], [out])
            np.testing.assert_allclose(out, want, 1e-4, 1e-5)
            results.append(out.tobytes())
    assert len(set(results)) == 1
