"""Positions of extrema: the first of equal ones, or the first NaN, as NumPy has it, in vector lanes and in threads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.generators.targets import AVX512
from tilec.loops import For, Store, walk
from tilec.pipeline import Options, lower_graph, optimise, resolve_target

DTYPES = ["int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64"]
SHAPES = [(1, 1), (7, 67), (40, 200)]  # one element, no multiple of any vector, several vectors


def positions(x: Any) -> tuple[Any, ...]:
    both = tnp.argmax, tnp.argmin
    return tuple(f(x, axis=axis) for f in both for axis in (0, 1, None))


def expected(x: Any) -> list[Any]:
    return [f(x, axis=axis) for f in (np.argmax, np.argmin) for axis in (0, 1, None)]


def images(dtype: str, shape: tuple[int, int]) -> list[Any]:
    """Few different values, hence ties; extremes; for floats zeros of both signs, infinities, NaN in some rows."""
    r = np.random.default_rng(DTYPES.index(dtype))
    x = r.integers(0 if dtype == "uint8" else -3, 4, shape).astype(dtype)
    found = [x, np.zeros_like(x), r.integers(0, 100, shape).astype(dtype)]
    if x.dtype.kind == "f":
        zeros, infinite, nans = np.where(x > 0, 0.0, -0.0).astype(dtype), x.copy(), x.copy()
        infinite[...] = -np.inf
        infinite[shape[0] // 2, shape[1] // 2] = x.dtype.type(-1)
        nans[r.random(shape) < 0.02] = np.nan
        nans[-1, -1] = -np.nan
        return [*found, zeros, infinite, nans, *(np.full_like(x, v) for v in (-np.inf, np.inf, np.nan))]
    info = np.iinfo(dtype)
    return [*found, np.full_like(x, info.min), np.where(x > 0, info.max, info.min).astype(dtype)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_positions(dtype: str, shape: tuple[int, int]) -> None:
    function = tilec.jit(positions)
    for x in images(dtype, shape):
        for got, want in zip(function(x), expected(x), strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32"])
@pytest.mark.parametrize("shape", [(512, 512), (4096, 64), (2, 1 << 17), (4099, 64)])
def test_long_axes_in_blocks(dtype: str, shape: tuple[int, int]) -> None:
    """Ties between blocks and in them; NaN in several blocks; the last size has no block that divides it."""
    function = tilec.jit(positions)
    for x in images(dtype, shape):
        for got, want in zip(function(x), expected(x), strict=True):
            np.testing.assert_array_equal(got, want)


def test_positions_along_long_axes_have_no_slope() -> None:
    x = np.random.default_rng(3).standard_normal(1 << 18).astype(np.float32)
    slope = tilec.grad(lambda x: tnp.sum(x * tnp.astype(tnp.argmax(x), tnp.float32)))(x)
    np.testing.assert_array_equal(slope, np.full_like(x, x.argmax()))


def test_threads_change_nothing() -> None:
    r = np.random.default_rng(5)
    x = r.integers(-40, 40, (600, 1000)).astype(np.float32)
    x[r.random(x.shape) < 1e-5] = np.nan
    target = resolve_target("llvm")
    for threads in (1, 2):
        got = tilec.jit(positions, target=replace(target, threads=threads))(x)
        for a, b in zip(got, expected(x), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("axis", [0, 1])
def test_positions_are_found_in_vector_lanes(axis: int) -> None:
    """Both of the maximum and of the least index where it is, along the rows and across them."""
    graph = optimise(tilec.jit(lambda x: tnp.argmax(x, axis=axis)).lower(np.zeros((64, 512), np.float32)).graph)
    program = lower_graph(graph, AVX512, Options())
    lanes = [s for k in program.kernels for s in walk(k.body) if isinstance(s, For) and s.kind == "vector"]
    found = {s.monoid.name for f in lanes for s in walk(f.body) if isinstance(s, Store) and s.monoid}
    assert found == {"max", "min"}
