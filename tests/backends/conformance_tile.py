"""Conformance cases from Tile text, by the whole pipeline, against the evaluator of Graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tests.backends.conformance import Array, Case
from tests.language.test_conformance import make_input
from tilec import dtypes, pipeline
from tilec.dtypes import BOOL, F32, I32, DType
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Graph, TensorType
from tilec.pipeline import Options
from tilec.target import Target

MATRICES: dict[str, tuple[int, ...]] = {"A": (37, 21), "B": (21, 34)}
PROGRAMS: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {  # on whole numbers, so that every sum is exact
    "product": ("(A[M, K], B[K, N]) -> (C) { C[m, n: M, N] = +(A[m, k] * B[k, n]); }", MATRICES),
    "maxima and minima": ("(A[M, N]) -> (X, Y) { X[m: M] = >(A[m, n]); Y[n: N] = <(A[m, n]); }", {"A": (37, 21)}),
    "product of terms": ("(A[N]) -> (P) { P[] = *(A[n]); }", {"A": (6,)}),
    "assignment": ("(A[M, N]) -> (T) { T[n, m: N, M] = =(A[m, n]); }", {"A": (9, 14)}),
    "convolution of stride 2": (
        "(I[N, H, W, C], K[R, S, C, D]) -> (O) "
        "{ O[n, x, y, d: N, (H + 1) / 2, (W + 1) / 2, D] = +(I[n, 2*x + i - 1, 2*y + j - 1, c] * K[i, j, c, d]); }",
        {"I": (2, 9, 8, 3), "K": (3, 3, 3, 5)},
    ),
    "transposed convolution": (
        "(I[W], K[R]) -> (O) { O[x: 2 * W + R - 2] = +(I[w] * K[x - 2*w]); }",
        {"I": (9,), "K": (3,)},
    ),
    "max pooling": (
        "(I[H, W]) -> (O) { O[x, y: (H + 1) / 2, (W + 1) / 2] = >(I[2*x + i, 2*y + j]), i < 2, j < 2; }",
        {"I": (9, 12)},
    ),
    "fractions": ("(I[N]) -> (O) { O[n: 3 * N] = +(I[(n + 1) / 3]); }", {"I": (8,)}),
    "constraint": ("(I[N]) -> (O) { O[n: N] = +(I[k]), n - k < N; }", {"I": (19,)}),
    "default": ("(I[N], D[M]) -> (O) { O[2*n: M] = =(I[n]) default D; }", {"I": (5,), "D": (13,)}),
    "elementwise": (
        "(A[M, N], B[N]) -> (O, P) { S = A + B * 2; O = S < 3 ? S : -S; P = max(S, 1) - min(A, B); }",
        {"A": (13, 22), "B": (22,)},
    ),
    "a chain": (
        "(A[M, K], B[K, N]) -> (O) { C[m, n: M, N] = +(A[m, k] * B[k, n]); R = relu(C); "
        "S[m: M] = +(R[m, n]); O[m, n: M, N] = =(S[m]); }",
        MATRICES,
    ),
    "reshape and gather": (
        "(A[M, N], I[K]) -> (R, G) { R = reshape(A, N, M); G = gather(A, as_int(I, 32)); }",
        {"A": (6, 9), "I": (5,)},
    ),
    "nothing": ("(A[M, N]) -> (O) { O[m: M] = +(A[m, n]); }", {"A": (4, 0)}),
}
DTYPES_OF = {"product": dtypes.ALL, "maxima and minima": dtypes.ALL, "assignment": dtypes.ALL}


def whole_numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
    low = 0 if not dtype.is_signed else -3
    return rng.integers(low, 4, shape).astype(np.int64).astype(dtype.numpy)


def graph(text: str, inputs: Mapping[str, Array]) -> Graph:
    types = {}
    for name, array in inputs.items():
        dtype = dtypes.from_numpy(array.dtype)
        assert dtype is not None
        types[name] = TensorType(dtype, array.shape)
    return to_graph(parse(f"function {text}"), None, types)


def tile_cases(target: Target, options: Options) -> Iterator[Case]:
    rng = np.random.default_rng(3)
    for name, (text, shapes) in PROGRAMS.items():
        for dtype in DTYPES_OF.get(name, (F32, I32)):
            if dtype == BOOL and name == "product":
                continue  # a sum of bools is an integer
            inputs = {n: whole_numbers(rng, s, dtype) for n, s in shapes.items()}
            built = graph(text, inputs)
            program = pipeline.lower_graph(pipeline.optimise(built), target, options)
            yield Case(f"{name} ({dtype})", program, inputs, evaluate(built, inputs))


def rounded_cases(target: Target) -> Iterator[Case]:
    """Sums that round, within 4 n eps sum|terms|."""
    rng = np.random.default_rng(4)
    for dtype in (dtypes.F32, dtypes.F64):
        a, b = (rng.standard_normal(s).astype(dtype.numpy) for s in MATRICES.values())
        program = pipeline.lower_graph(pipeline.optimise(graph(PROGRAMS["product"][0], {"A": a, "B": b})), target)
        wide = a.astype(np.longdouble), b.astype(np.longdouble)
        bound = 4 * a.shape[1] * np.finfo(a.dtype).eps * (np.abs(a) @ np.abs(b)).astype(np.float64)
        expected = {"C": (wide[0] @ wide[1]).astype(dtype.numpy)}
        yield Case(f"rounded product ({dtype})", program, {"A": a, "B": b}, expected, bound={"C": bound})


def shared_cases(rows: Sequence[Mapping[str, Any]], target: Target) -> Iterator[tuple[Mapping[str, Any], Case]]:
    """Programs of the shared conformance data that have values, with their rows; what they expect is in the row."""
    for row in rows:
        if row["expect"]["kind"] != "values":
            continue
        arrays = {spec["name"]: make_input(spec) for spec in row["inputs"]}
        types: dict[str, Any] = {n: TensorType(dtypes.BY_NAME[a.dtype.name], a.shape) for n, a in arrays.items()}
        built = to_graph(parse(row["code"]), None, {**types, **row["consts"]})
        program = pipeline.lower_graph(pipeline.optimise(built), target)
        params = {p.name: p.type.dtype.numpy for p in built.params}
        scalars = {n: np.asarray(v, params[n]) for n, v in row["consts"].items() if n in params}
        yield row, Case(row["id"], program, {**arrays, **scalars}, {})
