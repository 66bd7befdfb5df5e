"""Gradients of convolutions under their default schedule: sums into taps, and results that a stride spreads out."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.generators.targets import AVX2, AVX512, EAGER, SSE, with_small_caches
from tests.schedule.test_windows import HOST, Window, check_compiled, check_evaluated, scheduled
from tilec.dtypes import F32, F64, I32
from tilec.passes.schedule.plan import DEFAULT

TARGETS = [AVX512, AVX2, SSE, *map(with_small_caches, (AVX512, AVX2, SSE))]


def by_filter(seed: int) -> Window:
    """The gradient of a depthwise convolution by its filter: an image times what comes back, for each tap."""
    r = Random(seed)
    h, w, c = r.randint(3, 7), r.choice([3, 5, 8]), r.choice([16, 19, 35, 64])
    p, q, stride, low = r.randint(1, 3), r.randint(1, 5), r.choice([1, 1, 2]), r.randint(0, 2)
    y, x = (f"{stride} * {v} + {t} - {low}" for v, t in ("yi", "xj"))
    code = f"""function (I[N, H, W, C], G[N, Y, X, C]) -> (K) {{
        K[i, j, c : {p}, {q}, C] = +(I[n, {y}, {x}, c] * G[n, y, x, c]); }}"""
    rows, columns = -(-h // stride), -(-w // stride)
    dtype = r.choice([F32, F32, F64, I32])
    batch = r.randint(1, 2)
    return Window(code, {"I": ((batch, h, w, c), dtype), "G": ((batch, rows, columns, c), dtype)})


def by_image(seed: int) -> Window:
    """The gradient of a convolution with strides by its image, whose kernel moves with two loops along an axis."""
    r = Random(seed)
    h, w, c, f = r.randint(4, 7), r.choice([4, 7, 9]), r.choice([16, 19, 40]), r.choice([3, 16, 20])
    p, q, stride, low = r.randint(1, 4), r.randint(1, 4), r.choice([2, 2, 3]), r.randint(0, 2)
    y, x = (f"{stride} * {v} + {t} - {low}" for v, t in ("yi", "xj"))
    code = f"""function (G[Y, X, F], K[P, Q, C, F]) -> (O) {{
        O[{y}, {x}, c : {h}, {w}, C] = +(G[y, x, f] * K[i, j, c, f]); }}"""
    dtype = r.choice([F32, F32, F64, I32])
    return Window(code, {"G": ((-(-h // stride), -(-w // stride), f), dtype), "K": ((p, q, c, f), dtype)})


@pytest.mark.parametrize("make", [by_filter, by_image])
@pytest.mark.parametrize("seed", range(24))
def test_any_gradient(make: Callable[[int], Window], seed: int) -> None:
    check_evaluated(make(seed), seed, TARGETS[seed % len(TARGETS)], EAGER if seed % 2 else DEFAULT)


@pytest.mark.skipif(not HOST, reason="the LLVM backend is not available")
@pytest.mark.parametrize("make", [by_filter, by_image])
@pytest.mark.parametrize("seed", range(1000, 1012))
def test_any_gradient_compiled(make: Callable[[int], Window], seed: int) -> None:
    check_compiled(make(seed), seed)


def directives(nest: Window) -> list[str]:
    return [str(d) for s in scheduled(nest.lowered(), AVX512, DEFAULT)[1] for d in s]


def test_all_taps_stay_in_registers() -> None:
    """The image is read once for all nine, not once for each; no guard is left in the middle of it."""
    code = """function (I[N, H, W, C], G[N, H, W, C]) -> (K) {
        K[i, j, c : 3, 3, C] = +(I[n, y + i - 1, x + j - 1, c] * G[n, y, x, c]); }"""
    text = directives(Window(code, {n: ((8, 28, 28, 128), F32) for n in "IG"}))
    assert "unroll(i)" in text and "unroll(j)" in text and "tile(c, 32, c.0, c.1)" in text
    assert sum(t.startswith("interior(") and t.endswith(", apart)") for t in text) == 2


def test_a_kernel_read_across_is_turned_also_where_a_stride_splits_its_axes() -> None:
    code = """function (G[N, Y, X, F], K[P, Q, C, F]) -> (O) {
        O[n, 2 * y + i - 1, 2 * x + j - 1, c : N, 14, 14, C] = +(G[n, y, x, f] * K[i, j, c, f]); }"""
    text = directives(Window(code, {"G": ((8, 7, 7, 512), F32), "K": ((3, 3, 256, 512), F32)}))
    assert any(t.startswith("pack(K") for t in text) and any(t.startswith("transpose(K") for t in text)
