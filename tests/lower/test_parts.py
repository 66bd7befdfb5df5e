"""Parts in the memory of the whole where something else has a say in it: every stage computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.fuzz.control import Judge
from tilec.devices import backend, resolve_target
from tilec.errors import Report
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.graph import Graph
from tilec.memory_limit import within_limit
from tilec.options import Options
from tilec.passes import infer
from tilec.pipeline import lower_graph, optimise
from tilec.text.graph_text import parse_graph

Array = np.ndarray[Any, np.dtype[Any]]

X = np.arange(-8, 8, dtype=np.int32).reshape(4, 4)
Y = X.T[::-1].copy()


def _p(x: Any) -> Any:
    """Something with memory of its own."""
    return x @ x


def _wide(x: Any) -> Any:
    return tnp.reshape(x, (2, 8))


def _rows(x: Any, where: Any) -> Any:
    return tnp.take(x, where % 4, axis=0)


def _doubled(x: Any) -> Any:
    return tnp.concatenate((_p(x), x), 1)


def _loop(x: Any, y: Any) -> Any:
    p = _p(x)
    grown = tilec.while_loop(lambda s: tnp.sum(s) < 100, lambda s: s + 3, p[:2])
    return tnp.concatenate((p, y, grown))


def _init(x: Any, y: Any) -> Any:
    """A loop begins with a part: it changes a copy of it."""
    p = _p(x)
    return tnp.concatenate((p, y)), tilec.fori_loop(0, 3, lambda k, s: s * 2 + y, p)


def _branches(x: Any, y: Any) -> Any:
    a, b = _p(x), _p(y)
    then = lambda a, b: tnp.concatenate((_p(a), b, a), 1)  # noqa: E731
    orelse = lambda a, b: tnp.concatenate((b, _p(b), _p(a)), 1)  # noqa: E731
    found = [tilec.cond(tnp.sum(v) > 0, then, orelse, a, b) for v in (x, y)]
    return tnp.concatenate((a, *found), 1)


def _rolling(x: Any, y: Any) -> Any:
    """Carried values whose next ones are joined from the last ones."""

    def step(state: Any, row: Any) -> Any:
        fresh = tnp.reshape(row @ state, (1, 4))
        after = tnp.concatenate((state[1:], fresh))
        return after, tnp.concatenate((fresh, after[:1], _p(state)))

    return tilec.scan(step, x, y)


def _swapped(x: Any, y: Any) -> Any:
    """Two carried values, each joined from parts of both."""

    def step(state: Any, row: Any) -> Any:
        a, b = state
        return (tnp.concatenate((_p(b)[:2], a[:2])), tnp.concatenate((a[2:], _p(a)[1:3]))), row

    return tilec.scan(step, (x, y), y)


def _updated(x: Any, y: Any) -> Any:
    """A slice of a carried value is replaced; the old value is read by what replaces it."""

    def step(state: Any, row: Any) -> Any:
        return tnp.concatenate((state[:1], _p(state)[1:3], state[3:])), row

    return tilec.scan(step, x, y)


def _until(x: Any, y: Any) -> Any:
    def step(state: Any) -> Any:
        n, s = state
        return n + 1, tnp.concatenate((_p(s)[:, :1], s[:, :2], y[:, :1] + n), 1)

    return tilec.while_loop(lambda s: s[0] < 3, step, (0, x))


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "twice": lambda x, y: tnp.concatenate((p := _p(x), y, p), 1),
    "twice, and doubled": lambda x, y: tnp.concatenate((p := _p(x), p + p, p)),
    "a result, too": lambda x, y: (p := _p(x), tnp.concatenate((p, y))),
    "parameters": lambda x, y: (tnp.concatenate((x, y, x), 1), tnp.stack((x, y)), x),
    "nested": lambda x, y: tnp.concatenate((tnp.concatenate((_p(x), y), 1), tnp.concatenate((x, _p(y)), 1))),
    "nested, used": lambda x, y: (tnp.concatenate((q := tnp.concatenate((_p(x), y)), y)), q @ y),
    "two wholes": lambda x, y: (tnp.concatenate((p := _p(x), y)), tnp.concatenate((y, p), 1)),
    "empty parts": lambda x, y: tnp.concatenate((_p(x)[:0], _p(y), x[4:], y)),
    "nothing": lambda x, y: tnp.concatenate((_p(x)[:0], y[:0])),
    "no rows": lambda x, y: tnp.concatenate((_p(x)[:, :0], y[:, 4:]), 1),
    "backwards": lambda x, y: tnp.concatenate((_p(x)[::-1], _p(y)[:, ::-1], _p(x)[::2])),
    "transposed": lambda x, y: tnp.concatenate((tnp.transpose(_p(x)), tnp.transpose(_p(y))), 1),
    "along a new last axis": lambda x, y: tnp.stack((_p(x), _p(y), x), -1),
    "reshaped": lambda x, y: tnp.concatenate((_wide(p := _p(x)), _wide(_p(y))), 1) + p[0, 0],
    "rows of one": lambda x, y: tnp.concatenate((tnp.reshape(_p(x), (1, 16)), tnp.reshape(y, (1, 16)))),
    "sorted": lambda x, y: tnp.concatenate((p := _p(x), tnp.sort(p, axis=1)), 1),
    "sorted, dense": lambda x, y: tnp.concatenate((p := _p(x), tnp.sort(p))),
    "taken": lambda x, y: tnp.concatenate((_rows(_p(x), y[0]), p := _p(y), _rows(p, x[0]))),
    "a margin": lambda x, y: tnp.pad(_p(x), ((1, 2), (0, 3))) + tnp.pad(_p(y), ((0, 3), (2, 1)), constant_values=7),
    "a column": lambda x, y: tnp.concatenate((_p(x), tnp.sum(y, axis=1, keepdims=True)), 1),
    "numbers": lambda x, y: tnp.stack((tnp.sum(x), tnp.sum(y), tnp.max(_p(x)))),
    "compared": lambda x, y: tnp.concatenate((_p(x) > y, x > _p(y)), 1),
    "floats": lambda x, y: tnp.concatenate((_p(x.astype(np.float32)), tnp.sin(y.astype(np.float32))), 1),
    "sums of a part": lambda x, y: (tnp.concatenate((p := _p(x), y), 1), tnp.sum(p, 0), p * 2 + y),
    "the whole and a part": lambda x, y: (w := tnp.concatenate((p := _p(x), y))) @ p + w[0, 0],
    "a loop's": _loop,
    "where a loop begins": _init,
    "branches": _branches,
    "rolling": _rolling,
    "swapped": _swapped,
    "updated": _updated,
    "until": _until,
    "computed again": lambda x, y: tilec.checkpoint(_doubled)(x) @ tnp.concatenate((x, y)),
}  # fmt: skip

# What is stored over something else that is stored there, in the order in which it is computed.
GRAPHS = {
    "over a product": """graph f(A: i32[4, 4], B: i32[4, 4]) -> (R) {
      P = sum:i32 [i, j, k] { [i, j : 4, 4] <- mul(A[i, k], A[k, j]) }
      Q = sum:i32 [i, j, k] { [i, j : 4, 4] <- mul(B[i, k], A[k, j]) }
      R = assign:i32 [i, j] { [i + 1, j : 4, 4] <- Q[i, j] } where 0 <= i < 2 default P
    }""",
    "under what was first": """graph f(A: i32[4, 4], B: i32[2, 4]) -> (R) {
      Q = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(B[i, k], A[k, j]) }
      P = sum:i32 [i, j, k] { [i, j : 4, 4] <- mul(A[i, k], A[k, j]) }
      R = assign:i32 [i, j] { [i + 1, j : 4, 4] <- Q[i, j] } default P
    }""",
    "three, one over another": """graph f(A: i32[4, 4], B: i32[2, 4]) -> (R) {
      P = sum:i32 [i, j, k] { [i, j : 4, 4] <- mul(A[i, k], A[k, j]) }
      Q = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(B[i, k], A[k, j]) }
      U = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(B[i, k], P[k, j]) }
      S = assign:i32 [i, j] { [i, j : 4, 4] <- Q[i, j] } default A
      R = assign:i32 [i, j] { [i + 1, j : 4, 4] <- U[i, j] } default S
    }""",
    "over itself": """graph f(A: i32[4, 4], B: i32[4, 4]) -> (R) {
      P = sum:i32 [i, j, k] { [i, j : 4, 4] <- mul(A[i, k], B[k, j]) }
      R = assign:i32 [i, j] { [i + 1, j : 4, 4] <- P[i, j] } where 0 <= i < 2 default P
    }""",
    "donated": """graph f(A: i32[4, 4], B: i32[2, 4]) -> (R) aliases (A = R) {
      P = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(B[i, k], A[k, j]) }
      R = assign:i32 [i, j] { [i + 1, j : 4, 4] <- P[i, j] } default A
    }""",
    "donated, read later": """graph f(A: i32[4, 4], B: i32[2, 4]) -> (R, S) aliases (A = R) {
      P = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(B[i, k], A[k, j]) }
      R = assign:i32 [i, j] { [i + 1, j : 4, 4] <- P[i, j] } default A
      T = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(P[i, k], R[k, j]) }
      S = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(T[i, k], A[k, j]) }
    }""",
    "donated, nothing kept": """graph f(A: i32[4, 4], B: i32[2, 4]) -> (R) aliases (A = R) {
      P = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(B[i, k], B[k, j]) }
      Q = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(B[i, k], P[k, j]) }
      S = assign:i32 [i, j] { [i, j : 4, 4] <- P[i, j] }
      R = assign:i32 [i, j] { [i + 2, j : 4, 4] <- Q[i, j] } default S
    }""",
    "a copy of the whole": """graph f(A: i32[4, 4], B: i32[2, 4]) -> (R, S) {
      P = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(B[i, k], A[k, j]) }
      R = assign:i32 [i, j] { [i + 1, j : 4, 4] <- P[i, j] } default A
      S = ident(R)
    }""",
    "another type": """graph f(A: i32[4, 4], B: i32[2, 4]) -> (R) {
      P = sum:i32 [i, j, k] { [i, j : 2, 4] <- mul(B[i, k], A[k, j]) }
      D: i64[4, 4] = cast.i64(A)
      R = assign:i64 [i, j] { [i + 1, j : 4, 4] <- P[i, j] } default D
    }""",
}


SUBJECTS = [*FUNCTIONS, *GRAPHS]
CONSTANT = {
    "constants": lambda x, y: tnp.concatenate((tnp.asarray(X * 2), _p(x), tnp.zeros((2, 4), np.int32))),
    "nothing but constants": lambda x, y: tnp.concatenate((tnp.asarray(X) @ tnp.asarray(Y), tnp.asarray(X))),
    "a constant's product": lambda x, y: tnp.concatenate((_p(tnp.asarray(Y)), y, _p(x)), 1),
}


def _graph(name: str) -> Graph:
    return tilec.jit(FUNCTIONS[name]).lower(X, Y).graph if name in FUNCTIONS else infer.run(parse_graph(GRAPHS[name]))


def _inputs(graph: Graph) -> dict[str, Array]:
    """X and Y, or as many rows of them as a parameter has."""
    return {p.name: a[: p.type.shape[0]].copy() for p, a in zip(graph.params, (X, Y), strict=True)}


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_stage(name: str) -> None:
    graph = _graph(name)
    judge = Judge(graph, _inputs(graph))
    optimised = optimise(graph, judge)
    for options in (Options(), Options(fuse=False, schedule=False)):
        lower_graph(optimised, resolve_target("llvm"), options, judge)


@pytest.fixture(params=("llvm", "opencl"))
def target(request: pytest.FixtureRequest) -> str:
    if not backend(request.param).targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    return str(request.param)


@pytest.mark.parametrize("name", SUBJECTS)
def test_compiled(name: str, target: str) -> None:
    graph = _graph(name)
    want = evaluate(graph, _inputs(graph))
    arguments: dict[str, Any] = {**_inputs(graph)}
    built = tilec.compile(graph, target, donate=dict(graph.aliases), **arguments)
    for _ in range(2):  # nothing may be left over from the first call
        found = built(**_inputs(graph))
        for value, result in zip(found if isinstance(found, tuple) else (found,), graph.results, strict=True):
            np.testing.assert_array_equal(value, want[result])


@pytest.mark.parametrize("name", CONSTANT)
def test_constants_are_copied(name: str, target: str) -> None:
    x, y = np.matmul(X, X), np.matmul(Y, Y)
    want = {
        "constants": np.concatenate((X * 2, x, np.zeros((2, 4), np.int32))),
        "nothing but constants": np.concatenate((X @ Y, X)),
        "a constant's product": np.concatenate((y, Y, x), 1),
    }
    function = tilec.jit(CONSTANT[name], target=target)
    for _ in range(2):
        np.testing.assert_array_equal(function(X, Y), want[name])


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_open_sizes(rows: int, target: str) -> None:
    """A part of fixed sizes is placed; one whose size a call gives is not."""

    def function(x: Any, y: Any) -> Any:
        p = tnp.transpose(x) @ x
        return tnp.concatenate((p, y)), tnp.concatenate((x @ p, x), 1), tnp.reshape(tnp.stack((p, y), 1), (8, 4))

    x = np.arange(rows * 4, dtype=np.int32).reshape(rows, 4)
    p = x.T @ x
    want = np.concatenate((p, Y)), np.concatenate((x @ p, x), 1), np.stack((p, Y), 1).reshape(8, 4)
    found = tilec.jit(function, open_sizes={"x": ("N", None)}, target=target)(x, Y)
    for value, other in zip(found, want, strict=True):
        np.testing.assert_array_equal(value, other)


def test_within_a_budget_of_memory() -> None:
    """Values that are computed again are parts, too."""

    def loss(x: Any) -> Any:
        for _ in range(3):
            x = tnp.tanh(tnp.concatenate((x @ x, tnp.tanh(x) @ x), 1)[:, ::2])
        return tnp.sum(x * x)

    graph = optimise(tilec.jit(tilec.grad(loss)).lower(np.ones((32, 32), np.float32)).graph)
    inputs = {graph.params[0].name: np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32) / 8}
    full = lower_graph(graph, resolve_target("llvm")).arena
    found = within_limit(graph, resolve_target("llvm"), Options(remat="auto", memory_limit=full // 2), Report())
    assert found is not graph
    program = lower_graph(found, resolve_target("llvm"))
    assert program.arena < full
    (want,), got = evaluate(graph, inputs).values(), evaluate_program(program, inputs)
    np.testing.assert_allclose(got[program.results[0]], want, rtol=1e-4, atol=1e-5)
