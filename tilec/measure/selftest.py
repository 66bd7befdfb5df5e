"""Floor 5: a hundred small programs, run on a device and compared with the evaluator: is this machine's code right?

`python -m tilec.measure.selftest TARGET` prints the outcome as JSON. `tilec doctor` runs it that way, in a process of
its own: a driver that hangs or crashes is then a finding, too.

The programs are the same in every run. They are made from a seed by a few families, each with sizes that do not fit
vector registers, and with every kind of element.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import numpy as np

from tilec.backend import Array, Backend, Built
from tilec.configuration import config
from tilec.devices import backend, resolve_target
from tilec.dtypes import BF16, BOOL, F16, F32, F64, I8, I32, I64, U8, DType
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Graph, TensorType
from tilec.loops import Program
from tilec.passes import infer
from tilec.pipeline import lower_graph, optimise
from tilec.target import Target

COUNT = 100
_FLOATS = (F32, F32, F64, F16)
_NUMBERS = (F32, F32, F64, F16, BF16, I32, I64, I8, U8)
# How far a result may be from the evaluator's, relative to the largest value: other order of rounding, other exp.
_TOLERANCE = {F16: 2e-2, BF16: 6e-2, F32: 1e-4, F64: 1e-9}


@dataclass(frozen=True, slots=True)
class Case:
    """A program and the types of its inputs."""

    name: str
    text: str
    inputs: Mapping[str, TensorType]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: `passed`, `wrong`, `failed` (an error) or `skipped` (the device lacks a type)."""

    name: str
    state: str
    detail: str = ""


# programs ----------------------------------------------------------------------------------------------------------

_Family = Callable[[Random], tuple[str, dict[str, TensorType]]]


def _type(dtype: DType, *shape: int) -> TensorType:
    return TensorType(dtype, shape)


def _matmul(rng: Random) -> tuple[str, dict[str, TensorType]]:
    dtype, m, n, k = rng.choice(_NUMBERS), *rng.choices((1, 3, 8, 17, 33), k=3)
    text = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
    return text, {"A": _type(dtype, m, k), "B": _type(dtype, k, n)}


def _convolution(rng: Random) -> tuple[str, dict[str, TensorType]]:
    dtype, stride, dilation, taps = rng.choice(_NUMBERS), rng.randint(1, 3), rng.randint(1, 2), rng.randint(1, 4)
    text = (
        f"function (I[H, W, C], K[R, C, D]) -> (O) {{ O[y, x, d : H, (W + {stride - 1}) / {stride}, D] = "
        f"+(I[y, {stride}*x + {dilation}*r - 1, c] * K[r, c, d]); }}"
    )
    return text, {"I": _type(dtype, 5, rng.randint(7, 20), 3), "K": _type(dtype, taps, 3, rng.choice((1, 6, 16)))}


def _reduction(rng: Random) -> tuple[str, dict[str, TensorType]]:
    dtype, aggregation, axis = rng.choice(_NUMBERS), rng.choice("+><"), rng.choice(("m", "n"))
    text = f"function (A[M, N]) -> (R) {{ R[{axis} : {axis.upper()}] = {aggregation}(A[m, n]); }}"
    return text, {"A": _type(dtype, rng.randint(1, 20), rng.randint(1, 40))}


def _pooling(rng: Random) -> tuple[str, dict[str, TensorType]]:
    window, aggregation = rng.randint(2, 4), rng.choice(">+<")
    text = (
        f"function (I[N, C]) -> (O) {{ O[i, c : (N + {window - 1}) / {window}, C] = "
        f"{aggregation}(I[{window}*i + j, c]), j < {window}; }}"
    )
    return text, {"I": _type(rng.choice(_NUMBERS), rng.randint(4, 30), rng.choice((1, 5, 16)))}


def _rearrangement(rng: Random) -> tuple[str, dict[str, TensorType]]:
    body = rng.choice(("A[j, i]", "A[j, N - 1 - i]", "A[j, i + 1]", "A[j, (N - 1) - i] + 1"))
    text = f"function (A[M, N]) -> (B) {{ B[i, j : N, M] = =({body}); }}"
    return text, {"A": _type(rng.choice((*_NUMBERS, BOOL)), rng.randint(1, 20), rng.randint(1, 20))}


def _scan(rng: Random) -> tuple[str, dict[str, TensorType]]:
    text = "function (A[N, C]) -> (S) { S[i, c : N, C] = +(A[i - k, c]), k < N; }"
    return text, {"A": _type(rng.choice((F32, F64, I32)), rng.randint(1, 30), rng.randint(1, 9))}


def _elementwise(rng: Random) -> tuple[str, dict[str, TensorType]]:
    dtype, rows, columns = rng.choice(_FLOATS), rng.randint(1, 9), rng.randint(1, 40)
    text = f"function (A[M, N], B[N], C[M, 1]) -> (R) {{ R = {_float_expression(rng, 3)} + 0.0 * (A + B + C); }}"
    return text, {"A": _type(dtype, rows, columns), "B": _type(dtype, columns), "C": _type(dtype, rows, 1)}


def _float_expression(rng: Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(("A", "B", "C", "0.5", "2"))
    a, b = _float_expression(rng, depth - 1), _float_expression(rng, depth - 1)
    unary = ("abs", "exp", "tanh", "sigmoid", "sin", "cos", "erf", "relu", "-")
    pick = rng.randrange(4)
    if pick == 0:
        return f"{rng.choice(unary)}({a})" if depth < 3 else f"tanh({a})"
    if pick == 1:
        return f"select({a} < {b}, {b}, {a})"
    return f"({a} {rng.choice('+-*')} {b})"


def _integers(rng: Random) -> tuple[str, dict[str, TensorType]]:
    dtype, n = rng.choice((I8, U8, I32, I64)), rng.randint(1, 70)
    body = rng.choice(("A * B - A", "(A & B) | (A ^ 3)", "max(A, B) - min(A, B)", "A / (B * B + 1)", "A % (B * B + 1)"))
    return f"function (A, B) -> (C) {{ C = {body}; }}", {"A": _type(dtype, n), "B": _type(dtype, n)}


def _conversion(rng: Random) -> tuple[str, dict[str, TensorType]]:
    source, target = rng.choice(_NUMBERS), rng.choice((F32, F64, F16, I32, I64))
    kind = "float" if target.is_float else "int"
    return f"function (A) -> (B) {{ B = as_{kind}(A, {target.bits}); }}", {"A": _type(source, rng.randint(1, 50))}


def _softmax(rng: Random) -> tuple[str, dict[str, TensorType]]:
    text = (
        "function (X[M, N]) -> (Y) { T[m : M] = >(X[m, n]); E[m, n : M, N] = exp(X[m, n] - T[m]); "
        "S[m : M] = +(E[m, n]); Y[m, n : M, N] = E[m, n] / S[m]; }"
    )
    return text, {"X": _type(rng.choice((F32, F64)), rng.randint(1, 9), rng.randint(1, 70))}


def _layer(rng: Random) -> tuple[str, dict[str, TensorType]]:
    text = "function (X[M, K], W[K, N], B[N]) -> (Y) { H[m, n : M, N] = +(X[m, k] * W[k, n]); Y = relu(H + B) * 0.5; }"
    dtype, m, n, k = rng.choice((F32, F64)), *rng.choices((1, 5, 16, 40), k=3)
    return text, {"X": _type(dtype, m, k), "W": _type(dtype, k, n), "B": _type(dtype, n)}


_FAMILIES: tuple[_Family, ...] = (
    _matmul,
    _convolution,
    _reduction,
    _pooling,
    _rearrangement,
    _scan,
    _elementwise,
    _integers,
    _conversion,
    _softmax,
    _layer,
)


def cases(count: int = COUNT) -> list[Case]:
    """The first `count` programs."""
    rng, found = Random(7), dict[str, Case]()
    while len(found) < count:  # a family that gives what there is already tries again
        family = _FAMILIES[len(found) % len(_FAMILIES)]
        text, inputs = family(rng)
        case = Case(f"{len(found):02} {family.__name__.strip('_')}", text, inputs)
        found.setdefault(f"{text} {inputs}", case)
    return list(found.values())


def values(case: Case) -> dict[str, Array]:
    """Small inputs, the same in every run: floats in [-1, 1), integers in [-4, 4] or [0, 8]."""
    rng = np.random.default_rng(len(case.text))
    return {name: _array(type, rng) for name, type in case.inputs.items()}


def _array(type: TensorType, rng: np.random.Generator) -> Array:
    shape, dtype = tuple(map(int, type.shape)), type.dtype  # type: ignore[arg-type]  # sizes are ints here
    if dtype.is_float:
        return rng.uniform(-1, 1, shape).astype(dtype.numpy)
    low = -4 if dtype.is_signed else 0
    return rng.integers(low, low + 9, shape).astype(dtype.numpy)


# running -----------------------------------------------------------------------------------------------------------


def run(target: Target, programs: Sequence[Case]) -> Iterator[Outcome]:
    """The outcome of every program on a device; compilers and drivers may fail, this does not."""
    builds = _built(target, programs)
    for case, (graph, built) in zip(programs, builds):
        if isinstance(built, Exception):
            yield _failure(case, built)
            continue
        try:
            yield _compared(case, graph, built)
        except Exception as problem:  # a driver's own exceptions
            yield _failure(case, problem)


def _failure(case: Case, problem: Exception) -> Outcome:
    text = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
    lacks = isinstance(problem, TileError) and problem.code == "TILE0509"
    return Outcome(case.name, "skipped" if lacks else "failed", f"{text}; {case.text}")


def _compared(case: Case, graph: Graph, built: Built) -> Outcome:
    inputs = values(case)
    expected = evaluate(graph, inputs)
    results = [np.empty(expected[r].shape, expected[r].dtype) for r in graph.results]
    built([inputs[p.name] for p in graph.params], results)
    for name, found in zip(graph.results, results):
        if difference := _difference(found, expected[name], graph.types()[name].dtype):
            return Outcome(case.name, "wrong", f"{name}: {difference}; {case.text}")
    return Outcome(case.name, "passed")


def _difference(found: Array, expected: Array, dtype: DType) -> str:
    """Where two results differ too much; empty where they do not."""
    if not dtype.is_float:
        wrong = found != expected
    else:
        exact, got = expected.astype(np.float64), found.astype(np.float64)
        scale = np.max(np.abs(exact), initial=1.0)
        wrong = ~(np.abs(got - exact) <= _TOLERANCE[dtype] * scale) & ~(np.isnan(got) & np.isnan(exact))
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {wrong.size} values differ, at {place} {found[place]} instead of {expected[place]}"


def _built(target: Target, programs: Sequence[Case]) -> list[tuple[Any, Any]]:
    """(typed Graph, callable or exception) for each program; in one compilation where the backend offers that."""
    lowered = [_lowered(target, case) for case in programs]
    if target.backend == "reference":
        return [(graph, _Evaluated(graph)) for graph, _ in lowered]
    own = backend(target.backend)
    good = [program for _, program in lowered if isinstance(program, Program)]
    together: dict[int, Any] = {}
    if hasattr(own, "build_many"):
        with suppress(Exception):  # then one by one, to see whose fault it is
            together = {id(p): b for p, b in zip(good, own.build_many(good, target, [{}] * len(good)))}
    return [(graph, together.get(id(p)) or _build(own, p, target)) for graph, p in lowered]


def _lowered(target: Target, case: Case) -> tuple[Any, Any]:
    """The typed Graph, and its Program or what was raised."""
    try:
        graph = infer.run(to_graph(parse(case.text, case.name), None, case.inputs))
        return graph, None if target.backend == "reference" else lower_graph(optimise(graph), target)
    except Exception as problem:
        return None, problem


def _build(own: Backend, program: Any, target: Target) -> Any:
    if not isinstance(program, Program):
        return program
    try:
        return own.build(program, target, {})
    except Exception as problem:
        return problem


class _Evaluated(Built):
    """The evaluator as a device: for trying the test itself."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __call__(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        found = evaluate(self._graph, {p.name: a for p, a in zip(self._graph.params, params)})
        for name, array in zip(self._graph.results, results):
            array[...] = found[name]


def main(arguments: Sequence[str]) -> int:
    """Runs the programs on the named target; prints outcomes as JSON, or the error that kept it from starting."""
    try:
        device = resolve_target(arguments[0] if arguments else "auto", force=True)
        with config(cache=False):  # the compiler is tested, not what it made some other day
            outcomes = [asdict(o) for o in run(device, cases())]
        print(json.dumps({"target": str(device), "outcomes": outcomes}))
    except TileError as problem:
        print(json.dumps({"error": str(problem)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
