"""Normalisation against NumPy in float64, and against torch."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tilec
from tilec.ops import (
    batch_norm,
    batch_norm_training,
    group_norm,
    instance_norm,
    l2_normalize,
    layer_norm,
    moments,
    rms_norm,
)

SHAPES = [(2, 3, 5, 4), (7, 3), (1, 1), (3, 1, 2), (2, 3, 2, 2, 3), (33, 17), (64, 9, 7, 13)]
TYPES = [(np.float32, 2e-5), (np.float64, 1e-12), (np.float16, 4e-3), (ml_dtypes.bfloat16, 3e-2)]


def drawn(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 2, shape).astype(dtype)


def normalized(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axes, keepdims=True)
    return np.asarray(centred / np.sqrt(wide.var(axes, keepdims=True) + epsilon))


def close(found: Any, wanted: np.ndarray, dtype: Any, tolerance: float) -> None:
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES, ids=[np.dtype(t[0]).name for t in TYPES])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm(shape: tuple[int, ...], dtype: Any, tolerance: float) -> None:
    x, mean, scale, offset = (drawn(s, dtype, i) for i, s in enumerate((shape, *(shape[-1:],) * 3)))
    variance = (drawn(shape[-1:], dtype) ** 2).astype(dtype)
    m, v, s, o = (a.astype(np.float64) for a in (mean, variance, scale, offset))
    wanted = (x.astype(np.float64) - m) / np.sqrt(v + 1e-3)
    close(batch_norm(x, mean, variance), wanted, dtype, 4 * tolerance)
    close(batch_norm(x, mean, variance, scale, offset), wanted * s + o, dtype, 8 * tolerance)
    turned = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    found = batch_norm(turned, mean, variance, scale, channels_first=True)
    close(found, np.moveaxis(wanted * s, -1, 1), dtype, 8 * tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES, ids=[np.dtype(t[0]).name for t in TYPES])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_training(shape: tuple[int, ...], dtype: Any, tolerance: float) -> None:
    x, mean, scale, offset = (drawn(s, dtype, i) for i, s in enumerate((shape, *(shape[-1:],) * 3)))
    variance = (drawn(shape[-1:], dtype) ** 2).astype(dtype)
    axes = tuple(range(x.ndim - 1))
    wide = x.astype(np.float64)
    result, new_mean, new_variance = batch_norm_training(x, mean, variance, scale, offset, momentum=0.75)
    m, v, s, o = (a.astype(np.float64) for a in (mean, variance, scale, offset))
    close(result, normalized(x, axes, 1e-3) * s + o, dtype, 4 * tolerance)
    close(new_mean, 0.75 * m + 0.25 * wide.mean(axes), dtype, tolerance)
    close(new_variance, 0.75 * v + 0.25 * wide.var(axes), dtype, tolerance)


def test_batch_norm_training_channels_first() -> None:
    x, ones = drawn((4, 5, 6, 3)), np.ones(3, np.float32)
    wanted = batch_norm_training(x, ones, ones, ones, ones)
    turned = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    found = batch_norm_training(turned, ones, ones, ones, ones, channels_first=True)
    np.testing.assert_allclose(np.moveaxis(found[0], 1, -1), wanted[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=1e-5)


@pytest.mark.parametrize("size", [64, 768, 5000])
def test_a_large_mean_costs_as_many_digits_as_it_has_more(size: int) -> None:
    """The mean is rounded, and nothing cancels beside."""
    for k in (1.0, 1e2, 1e4):
        x = (k + np.random.default_rng(0).standard_normal((4, size))).astype(np.float32)
        wide = x.astype(np.float64)
        wanted = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
        assert np.abs(layer_norm(x) - wanted).max() < 1e-6 * (k + 1)


def test_a_large_mean_costs_the_variance_no_digits() -> None:
    x = (1e4 + np.random.default_rng(0).standard_normal((512, 3))).astype(np.float32)
    wanted = normalized(x, (0,), 1e-3)
    ones = np.ones(3, np.float32)
    np.testing.assert_allclose(batch_norm_training(x, ones, ones)[0], wanted, atol=2e-3)
    np.testing.assert_allclose(layer_norm(x.T.copy()), normalized(x.T, (1,), 1e-5), atol=2e-3)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES, ids=[np.dtype(t[0]).name for t in TYPES])
@pytest.mark.parametrize("axes", [-1, (1, 2), (0,), (2, 0), None], ids=str)
def test_layer_norm_and_moments(axes: Any, dtype: Any, tolerance: float) -> None:
    x = drawn((4, 7, 9), dtype)
    along = tuple(range(3)) if axes is None else tuple(a % 3 for a in np.atleast_1d(axes))
    given = along if axes is None else axes
    shape = tuple(x.shape[a] for a in sorted(along))
    scale, offset = drawn(shape, dtype, 1), drawn(shape, dtype, 2)
    spread = tuple(x.shape[a] if a in along else 1 for a in range(3))
    s, o = (a.astype(np.float64).reshape(spread) for a in (scale, offset))
    close(layer_norm(x, axes=given), normalized(x, along, 1e-5), dtype, 4 * tolerance)
    close(layer_norm(x, scale, offset, axes=given), normalized(x, along, 1e-5) * s + o, dtype, 8 * tolerance)
    wide = x.astype(np.float64)
    for keep in (True, False):
        mean, variance = moments(x, axes, keepdims=keep)
        close(mean, wide.mean(along, keepdims=keep), dtype, tolerance)
        close(variance, wide.var(along, keepdims=keep), dtype, 2 * tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES, ids=[np.dtype(t[0]).name for t in TYPES])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(2, 5, 3, 6), (1, 1, 6), (3, 6)], ids=str)
def test_group_norm(shape: tuple[int, ...], groups: int, dtype: Any, tolerance: float) -> None:
    x, scale, offset = (drawn(s, dtype, i) for i, s in enumerate((shape, (6,), (6,))))
    apart = x.reshape(*shape[:-1], groups, 6 // groups)
    axes = (*range(1, x.ndim - 1), x.ndim)
    wanted = normalized(apart, axes, 1e-5).reshape(shape) * scale.astype(np.float64) + offset.astype(np.float64)
    close(group_norm(x, scale, offset, groups=groups), wanted, dtype, 8 * tolerance)
    turned = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    found = group_norm(turned, scale, offset, groups=groups, channels_first=True)
    close(found, np.moveaxis(wanted, -1, 1), dtype, 8 * tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES, ids=[np.dtype(t[0]).name for t in TYPES])
@pytest.mark.parametrize("shape", [(2, 5, 3, 6), (1, 7, 6), (33, 9, 6)], ids=str)
def test_instance_norm(shape: tuple[int, ...], dtype: Any, tolerance: float) -> None:
    x, scale, offset = (drawn(s, dtype, i) for i, s in enumerate((shape, (6,), (6,))))
    wanted = normalized(x, tuple(range(1, x.ndim - 1)), 1e-5) * scale.astype(np.float64) + offset.astype(np.float64)
    close(instance_norm(x, scale, offset), wanted, dtype, 8 * tolerance)
    turned = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    found = instance_norm(turned, scale, offset, channels_first=True)
    close(found, np.moveaxis(wanted, -1, 1), dtype, 8 * tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES, ids=[np.dtype(t[0]).name for t in TYPES])
@pytest.mark.parametrize("axes", [(2,), (1, 2), (0,)], ids=str)
def test_rms_norm_and_l2_normalize(axes: tuple[int, ...], dtype: Any, tolerance: float) -> None:
    x = drawn((4, 7, 9), dtype)
    scale = drawn(tuple(x.shape[a] for a in axes), dtype, 1)
    wide, spread = x.astype(np.float64), tuple(x.shape[a] if a in axes else 1 for a in range(3))
    square = (wide**2).sum(axes, keepdims=True)
    count = int(np.prod([x.shape[a] for a in axes]))
    wanted = wide / np.sqrt(square / count + 1e-6) * scale.astype(np.float64).reshape(spread)
    close(rms_norm(x, scale, axes=axes), wanted, dtype, 4 * tolerance)
    close(l2_normalize(x, axes), wide / np.sqrt(square), dtype, 4 * tolerance)


def test_l2_normalize_of_nothing_but_zeros() -> None:
    zeros = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(l2_normalize(zeros), zeros)
    slope = tilec.grad(lambda x: l2_normalize(x, epsilon=0.5).sum())(zeros)
    np.testing.assert_allclose(slope, np.full((2, 3), 2.0))


def test_against_torch() -> None:
    torch = pytest.importorskip("torch", reason="its values are compared: pip install torch")
    x, scale, offset, mean = drawn((6, 5, 4, 3)), drawn((3,)), drawn((3,), seed=1), drawn((3,), seed=2)
    variance = drawn((3,), seed=3) ** 2
    theirs = torch.tensor(np.moveaxis(x, -1, 1))
    weights = [torch.tensor(a) for a in (scale, offset)]
    running = [torch.tensor(a) for a in (mean, variance)]
    f = torch.nn.functional
    inference = f.batch_norm(theirs, *running, *weights, eps=1e-3)
    found = batch_norm(x, mean, variance, scale, offset)
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), inference.numpy(), rtol=1e-4, atol=1e-4)
    training = f.batch_norm(theirs, *running, *weights, training=True, momentum=0.1, eps=1e-3)
    found, new_mean, _ = batch_norm_training(x, mean, variance, scale, offset, momentum=0.9)
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), training.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(new_mean, running[0].numpy(), rtol=1e-5)
    wide = np.tile(x, 2)
    both = np.tile(scale, 2)
    grouped = f.group_norm(torch.tensor(np.moveaxis(wide, -1, 1)), 3, torch.tensor(both), eps=1e-5)
    found = group_norm(wide, both, groups=3)
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), grouped.numpy(), rtol=1e-4, atol=1e-4)
    root = f.rms_norm(torch.tensor(x), (3,), weights[0], 1e-6)
    np.testing.assert_allclose(rms_norm(x, scale), root.numpy(), rtol=1e-4, atol=1e-5)
    last = f.layer_norm(torch.tensor(x), (3,), *weights)
    np.testing.assert_allclose(layer_norm(x, scale, offset), last.numpy(), rtol=1e-4, atol=1e-4)


X, V = np.zeros((2, 5, 4), np.float32), np.ones(4, np.float32)
WRONG: list[tuple[str, str, Any]] = [
    ("TILE0202", "at least 2 axes", lambda: batch_norm(V, V, V)),
    ("TILE0203", "the shape [5] where the normalised axes have [4]", lambda: batch_norm(X, np.ones(5, "f4"), V)),
    ("TILE0203", "the shape [1] where the normalised axes have [4]", lambda: layer_norm(X, V[:1])),
    ("TILE0203", "statistics of shape [4]", lambda: batch_norm_training(X, V, V, channels_first=True)),
    ("TILE0202", "at least 3 axes", lambda: instance_norm(X[0])),
    ("TILE0511", "4 channels are not divisible by 3 groups", lambda: group_norm(X, groups=3)),
    ("TILE0511", "4 channels are not divisible by 0 groups", lambda: group_norm(X, groups=0)),
    ("TILE0212", "rank 3 has no axis -4", lambda: rms_norm(X, axes=-4)),
    ("TILE0212", "rank 3 has no axis 5", lambda: l2_normalize(X, axes=5)),
    ("TILE0212", "rank 3 has no axis 3", lambda: layer_norm(X, axes=3)),
    ("TILE0210", "epsilon is a number", lambda: l2_normalize(X, epsilon="small")),  # type: ignore[arg-type]
    ("TILE0212", "named twice", lambda: moments(X, (0, -3))),
]


@pytest.mark.parametrize(("code", "text", "call"), WRONG, ids=range(len(WRONG)))
def test_wrong_calls(code: str, text: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call()
    assert found.value.code == code and text in str(found.value)


def test_scale_and_offset_by_name() -> None:
    x = drawn((2, 3, 4))
    mean, variance, scale, offset = np.abs(drawn((4, 4)))
    by_name: dict[str, Any] = {"offset": offset, "scale": scale}
    np.testing.assert_array_equal(layer_norm(x, **by_name), layer_norm(x, scale, offset))
    np.testing.assert_array_equal(instance_norm(x, **by_name), instance_norm(x, scale, offset))
    np.testing.assert_array_equal(group_norm(x, **by_name, groups=2), group_norm(x, scale, offset, 2))
    np.testing.assert_array_equal(
        batch_norm(x, mean, variance, offset=offset), batch_norm(x, mean, variance, None, offset)
    )
    for found, wanted in zip(
        batch_norm_training(x, mean, variance, **by_name), batch_norm_training(x, mean, variance, scale, offset)
    ):
        np.testing.assert_array_equal(found, wanted)
    slope = tilec.grad(lambda scale: rms_norm(x, scale=scale).sum())(scale)
    np.testing.assert_allclose(slope, rms_norm(x).sum((0, 1)), rtol=1e-5)
