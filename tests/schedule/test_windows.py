"""Windows: depthwise convolutions, pooling, stencils and filters of random sizes under their default schedule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.generators.targets import AVX2, AVX512, EAGER, SSE
from tilec.dtypes import BF16, F16, F32, F64, I8, I32, U8, DType
from tilec.evaluate.loops import evaluate_program
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import TensorType
from tilec.loops import Program
from tilec.passes import fuse, lower, place
from tilec.passes.schedule import apply
from tilec.passes.schedule.candidates import candidates
from tilec.passes.schedule.default import default_schedule
from tilec.passes.schedule.plan import DEFAULT, Limits
from tilec.pipeline import backend, optimise
from tilec.schedule import Schedule
from tilec.target import Target
from tilec.verify.loops import verify_program

HOST = backend("llvm").targets()
TYPES = [F32, F32, F64, I32, I8, U8, F16, BF16]


@dataclass(frozen=True)
class Window:
    """A program of one aggregation, and its inputs."""

    code: str
    inputs: dict[str, tuple[tuple[int, ...], DType]]

    def lowered(self) -> Program:
        types: dict[str, Any] = {n: TensorType(dtype, shape) for n, (shape, dtype) in self.inputs.items()}
        graph = optimise(to_graph(parse(self.code), None, types))
        return lower.run(graph, fuse.run(graph))

    def arrays(self, seed: int) -> dict[str, Any]:
        """Whole numbers and halves of them: sums in the precision of the type round nowhere."""
        rng = np.random.default_rng(seed)
        found = {}
        for name, (shape, dtype) in self.inputs.items():
            low = 0 if dtype.name.startswith("u") else -4
            found[name] = rng.integers(low, 5, shape).astype(dtype.numpy)
        return found


def index(r: Random, out: str, tap: str, axis: str, taps: str) -> tuple[str, str]:
    """An index with stride, dilation and padding, and the size of the output along it."""
    stride, dilation, pad = r.choice([1, 1, 2, 3]), r.choice([1, 1, 2]), r.choice([0, 0, 1, 2, 3])
    size = f"(({axis} + {2 * pad} - {dilation} * ({taps} - 1) + {stride - 1}) / {stride})"
    return f"{stride} * {out} + {dilation} * {tap} - {pad}", size


def window(seed: int) -> Window:
    """A random window nest: the layout, what is aggregated, strides, dilation, padding and sizes."""
    r = Random(seed)
    h, w, c, n = r.randint(7, 13), r.randint(7, 17), r.choice([1, 3, 8, 16, 17, 24, 33, 64]), r.randint(1, 2)
    p, q = r.choice([1, 2, 3, 3, 5]), r.choice([1, 2, 3, 3, 5])
    y, height = index(r, "y", "i", "H", str(p))
    x, width = index(r, "x", "j", "W", str(q))
    kind = r.choice(["depthwise", "depthwise", "pool", "nchw", "blur", "line", "filter"])
    dtype = r.choice(TYPES)
    agg = r.choice([">", "<", "+"]) if kind == "pool" else r.choice(["+", "+", ">"])
    match kind:
        case "depthwise":
            return Window(
                f"function (I[N, H, W, C], K[P, Q, C]) -> (O) {{ O[n, y, x, c : N, {height}, {width}, C] = "
                f"{agg}(I[n, {y}, {x}, c] * K[i, j, c]); }}",
                {"I": ((n, h, w, c), dtype), "K": ((p, q, c), dtype)},
            )
        case "pool":
            return Window(
                f"function (I[N, H, W, C]) -> (O) {{ O[n, y, x, c : N, {height}, {width}, C] = "
                f"{agg}(I[n, {y}, {x}, c]), i < {p}, j < {q}; }}",
                {"I": ((n, h, w, c), dtype)},
            )
        case "nchw":
            return Window(
                f"function (I[N, C, H, W], K[C, P, Q]) -> (O) {{ O[n, c, y, x : N, C, {height}, {width}] = "
                f"{agg}(I[n, c, {y}, {x}] * K[c, i, j]); }}",
                {"I": ((n, min(c, 3), h, 3 * w), dtype), "K": ((min(c, 3), p, q), dtype)},
            )
        case "blur":
            return Window(
                f"function (I[H, W], K[P, Q]) -> (O) {{ O[y, x : {height}, {width}] = "
                f"{agg}(I[{y}, {x}] * K[i, j]); }}",
                {"I": ((h, 3 * w), dtype), "K": ((p, q), dtype)},
            )
        case "line":
            return Window(
                f"function (I[N, W, C], K[Q, C]) -> (O) {{ O[n, x, c : N, {width}, C] = "
                f"{agg}(I[n, {x}, c] * K[j, c]); }}",
                {"I": ((n, w, c), dtype), "K": ((q, c), dtype)},
            )
        case _:
            return Window(
                f"function (I[W], K[Q]) -> (O) {{ O[x : {width}] = {agg}(I[{x}] * K[j]); }}",
                {"I": ((6 * w,), dtype), "K": ((q,), dtype)},
            )


def scheduled(program: Program, target: Target, limits: Limits = EAGER) -> tuple[Program, list[Schedule]]:
    schedules = [default_schedule(k, target, limits) for k in program.kernels]
    kernels = tuple(apply(k, s) for k, s in zip(program.kernels, schedules, strict=True))
    return replace(program, kernels=kernels), schedules


def equal(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


@pytest.mark.parametrize("seed", range(120))
def test_any_window(seed: int) -> None:
    check_evaluated(window(seed), seed, (AVX512, AVX2, SSE)[seed % 3])


def check_evaluated(nest: Window, seed: int, target: Target, limits: Limits = EAGER) -> None:
    """Under the default schedule, the very same values as of the plain nest."""
    program, given = nest.lowered(), nest.arrays(seed)
    changed, _ = scheduled(program, target, limits)
    verify_program(changed)
    equal(evaluate_program(changed, given), evaluate_program(program, given))


@pytest.mark.skipif(not HOST, reason="the LLVM backend is not available")
@pytest.mark.parametrize("seed", range(1000, 1080))
def test_any_window_compiled(seed: int) -> None:
    check_compiled(window(seed), seed)


def check_compiled(nest: Window, seed: int) -> None:
    """On one thread and on two, the very same values as the evaluator finds for the plain nest."""
    program, given = nest.lowered(), nest.arrays(seed)
    expected = evaluate_program(program, given)
    for threads in (1, 2):
        target = replace(HOST[0], threads=threads)
        built = backend("llvm").build(place.run(scheduled(program, target)[0]), target, {})
        results = [np.empty_like(expected[n]) for n in program.results]
        built([given[n] for n in program.params], results)
        equal(dict(zip(program.results, results)), expected)


def test_lines_that_share_sets_of_the_cache_are_fetched_side_by_side() -> None:
    """Rows of 512 channels are 2048 bytes apart, so two sets of 8 lines would hold all that a narrow tile reads."""
    for channels, vectors in ((512, 2), (480, 1)):
        _, schedules = scheduled(depthwise(14, channels).lowered(), AVX512, DEFAULT)
        assert f"tile(c, {16 * vectors}, c.0, c.1)" in [str(d) for s in schedules for d in s]


def test_candidates_are_tiles_of_other_sizes() -> None:
    nest = depthwise(5, 64)
    program, given = nest.lowered(), nest.arrays(1)
    (kernel,) = program.kernels
    found = list(candidates(kernel, AVX512))
    assert len(found) > 10
    expected = evaluate_program(program, given)
    for _, schedule in found[:: len(found) // 3]:
        equal(evaluate_program(replace(program, kernels=(apply(kernel, schedule),)), given), expected)


def depthwise(size: int, channels: int, taps: int = 3) -> Window:
    return Window(
        f"function (I[N, H, W, C], K[P, P, C]) -> (O) {{ O[n, y, x, c : N, H, W, C] = "
        f"+(I[n, y + i - {taps // 2}, x + j - {taps // 2}, c] * K[i, j, c]); }}",
        {"I": ((1, size, size, channels), F32), "K": ((taps, taps, channels), F32)},
    )


def test_rows_of_windows_share_what_they_load() -> None:
    """Four rows by two columns stay in registers, and no guard is left that depends on a loop that runs."""
    _, schedules = scheduled(depthwise(28, 128).lowered(), AVX512, DEFAULT)
    text = [str(d) for s in schedules for d in s]
    assert "tile(y, 4, y.0, y.1, guard, balanced)" in text
    assert "tile(x, 2, x.0, x.1, guard, balanced)" in text
    assert "unroll(i)" in text and "unroll(j)" in text
    assert "parallel(y.0)" in text and "interior(y.0, inside)" in text and "interior(x.0, apart)" in text


def test_large_windows_are_unrolled_in_part() -> None:
    _, schedules = scheduled(depthwise(28, 64, 11).lowered(), AVX512, DEFAULT)
    text = [str(d) for s in schedules for d in s]
    assert "unroll(j)" in text and "unroll(i)" not in text
