"""Contractions with guards on the rows: padded convolutions, bands and triangles, under their default schedule."""

from __future__ import annotations

from random import Random

import pytest

from tests.generators.targets import AVX2, AVX512, EAGER, SSE, with_small_caches
from tests.schedule.test_windows import HOST, Window, check_compiled, check_evaluated, index, scheduled
from tilec.dtypes import F32, F64, I32, DType
from tilec.loops import For, If, walk
from tilec.passes.schedule.plan import DEFAULT

TARGETS = [AVX512, AVX2, SSE, *map(with_small_caches, (AVX512, AVX2, SSE))]


def padded(seed: int) -> Window:
    """A dense convolution of random layout, taps, stride and padding; or a product with a band or triangle."""
    r = Random(seed)
    h, w = r.randint(5, 9), r.choice([3, 5, 7, 8, 14, 15, 29])
    ci, co = r.choice([1, 3, 5, 16]), r.choice([4, 16, 19, 40])
    p, q = r.choice([1, 2, 3]), r.choice([n for n in (1, 2, 3, 5, 7) if 2 * n - 2 < w])
    y, height = index(r, "y", "i", "H", str(p))
    x, width = index(r, "x", "j", "W", str(q))
    dtype = r.choice([F32, F32, F64, I32])
    kind = r.choice(["nhwc", "nhwc", "taps inside", "batch", "line", "band", "triangle"])
    channels = f"I[n, {y}, {x}, ci]"
    head = f"O[n, y, x, co : N, {height}, {width}, CO] = +"
    image: dict[str, tuple[tuple[int, ...], DType]] = {"I": ((r.randint(1, 2), h, w, ci), dtype)}
    match kind:
        case "nhwc" | "batch":
            code = f"function (I[N, H, W, CI], K[P, Q, CI, CO]) -> (O) {{ {head}({channels} * K[i, j, ci, co]); }}"
            return Window(code, {**image, "K": ((p, q, ci, co), dtype)})
        case "taps inside":
            code = f"function (I[N, H, W, CI], K[CI, P, Q, CO]) -> (O) {{ {head}({channels} * K[ci, i, j, co]); }}"
            return Window(code, {**image, "K": ((ci, p, q, co), dtype)})
        case "line":
            code = f"""function (I[W, CI], K[Q, CI, CO]) -> (O) {{
                O[x, co : {width}, CO] = +(I[{x}, ci] * K[j, ci, co]); }}"""
            return Window(code, {"I": ((w, ci), dtype), "K": ((q, ci, co), dtype)})
        case _:
            bound = "m - k + 1 < 3" if kind == "band" else r.choice(["m - k < M", "k - m < K"])
            code = f"function (A[M, K], B[K, N]) -> (C) {{ C[m, n : M, N] = +(A[m, k] * B[k, n]), {bound}; }}"
            return Window(code, {"A": ((w, h), dtype), "B": ((h, co), dtype)})


@pytest.mark.parametrize("seed", range(90))
def test_any_edge(seed: int) -> None:
    check_evaluated(padded(seed), seed, TARGETS[seed % len(TARGETS)], EAGER if seed % 2 else DEFAULT)


@pytest.mark.skipif(not HOST, reason="the LLVM backend is not available")
@pytest.mark.parametrize("seed", range(1000, 1060))
def test_any_edge_compiled(seed: int) -> None:
    check_compiled(padded(seed), seed)


def convolution(size: int, taps: int) -> Window:
    half = taps // 2
    code = f"""function (I[H, W, CI], K[P, Q, CI, CO]) -> (O) {{
        O[y, x, co : H, W, CO] = +(I[y + i - {half}, x + j - {half}, ci] * K[i, j, ci, co]); }}"""
    return Window(code, {"I": ((size, size, 32), F32), "K": ((taps, taps, 32, 64), F32)})


@pytest.mark.parametrize("size, taps", [(7, 3), (14, 3), (30, 5), (28, 7)])
def test_no_guard_is_left_inside_of_a_tile(size: int, taps: int) -> None:
    """What decides about a position of a tile is known when the tile is written out."""
    (kernel,) = scheduled(convolution(size, taps).lowered(), AVX512, DEFAULT)[0].kernels
    kinds = {s.index: s.kind for s in walk(kernel.body) if isinstance(s, For)}
    guards = [c for s in walk(kernel.body) if isinstance(s, If) for c in s.conditions]
    rows = [g.variables() for g in guards if any(n.startswith("x") for n in g.variables())]
    assert rows and all(kinds[n] == "unroll" for names in rows for n in names)


def by_filter(seed: int) -> Window:
    """The gradient of a padded convolution of few channels by its filter: a sum slides over taps."""
    r = Random(seed)
    taps, stride, width = r.choice([3, 4, 5, 7, 11]), r.choice([1, 1, 2, 3]), r.choice([17, 23, 40])
    half, across = r.randint(0, taps - 1), stride * (width - 1) + r.randint(1, taps)
    channels, outputs, dtype = r.choice([1, 2, 3]), r.choice([5, 16, 33, 64]), r.choice([F32, F32, F64, I32])
    code = f"""function (I[N, H, W, CI], D[N, P, Q, CO]) -> (K) {{
        K[i, j, ci, co : 3, {taps}, CI, CO] = +(I[n, y + i - 1, {stride} * x + j - {half}, ci] * D[n, y, x, co]); }}"""
    return Window(code, {"I": ((2, 6, across, channels), dtype), "D": ((2, 6, width, outputs), dtype)})


@pytest.mark.parametrize("seed", range(30))
def test_any_gradient_by_a_filter(seed: int) -> None:
    check_evaluated(by_filter(seed), seed, TARGETS[seed % len(TARGETS)], EAGER if seed % 2 else DEFAULT)


@pytest.mark.skipif(not HOST, reason="the LLVM backend is not available")
@pytest.mark.parametrize("seed", range(2000, 2040))
def test_any_gradient_by_a_filter_compiled(seed: int) -> None:
    check_compiled(by_filter(seed), seed)


def test_all_taps_of_a_row_are_one_tile() -> None:
    """The first and the last terms are written out; the long loop between them decides nothing."""
    code = """function (I[H, W, CI], D[P, Q, CO]) -> (K) {
        K[i, j, ci, co : 7, 7, CI, CO] = +(I[2 * y + i - 3, 2 * x + j - 3, ci] * D[y, x, co]); }"""
    work = Window(code, {"I": ((64, 64, 3), F32), "D": ((32, 32, 64), F32)})
    (kernel,) = scheduled(work.lowered(), AVX512, DEFAULT)[0].kernels
    loops = [s for s in walk(kernel.body) if isinstance(s, For)]
    (long,) = [s for s in loops if s.index.startswith("x") and isinstance(s.extent, int) and s.extent > 8]
    inside = list(walk(long.body))
    assert not any(isinstance(s, If) for s in inside)
    assert [s.extent for s in inside if isinstance(s, For) and s.index.startswith("j")] == [7]


def test_triangles_have_rows_without_guards() -> None:
    """The terms of a row are many: they are not written out."""
    (kernel,) = scheduled(triangle(64).lowered(), AVX512, DEFAULT)[0].kernels
    assert not any(s.kind == "unroll" and s.index == "k" for s in walk(kernel.body) if isinstance(s, For))


def triangle(size: int) -> Window:
    code = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]), m - k < M; }"
    return Window(code, {"A": ((size, size), F32), "B": ((size, size), F32)})
