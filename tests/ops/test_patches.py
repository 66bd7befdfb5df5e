"""Patches against NumPy's windows and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.ops import sliding
from tilec.ops import depth_to_space, extract_patches, fold, space_to_depth, unfold

Array = np.ndarray[Any, Any]
Case = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, Any]  # image, size, strides, dilation, padding
CASES: list[Case] = [
    ((2, 6, 8, 3), (2, 2), (2, 2), 1, 0),
    ((1, 7, 9, 2), (3, 2), (2, 1), 1, ((1, 0), (2, 1))),
    ((2, 9, 8, 1), (2, 3), (3, 4), 2, 0),
    ((1, 1, 1, 1), (1, 1), (1, 1), 1, 0),
    ((1, 3, 3, 2), (3, 3), (1, 1), 1, ((2, 2), (2, 2))),
]


def image(*shape: int) -> Array:
    return np.random.default_rng(6).normal(size=shape)


def seen(x: Array, case: Case) -> Array:
    """[batch, rows, columns, channels, *window]."""
    _, size, strides, dilation, padding = case
    return sliding.windows(x, size, strides, (dilation, dilation), padding or ((0, 0), (0, 0)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_windows(case: Case) -> None:
    shape, size, strides, dilation, padding = case
    x = image(*shape)
    windows = seen(x, case)
    patches = np.moveaxis(windows, 3, -1).reshape(*windows.shape[:3], -1)
    found = extract_patches(x, size, strides, dilation=dilation, padding=padding)
    np.testing.assert_array_equal(found, patches)
    first = np.moveaxis(x, -1, 1)
    turned = extract_patches(first, size, strides, dilation=dilation, padding=padding, channels_first=True)
    np.testing.assert_array_equal(turned, np.moveaxis(patches, -1, 1))
    columns = windows.transpose(0, 3, 4, 5, 1, 2).reshape(shape[0], -1, windows.shape[1] * windows.shape[2])
    arguments: dict[str, Any] = {"strides": strides, "dilation": dilation, "padding": padding}
    np.testing.assert_array_equal(unfold(first, size, **arguments), columns)
    back = fold(columns, shape[1:3], size, **arguments)
    counts = fold(unfold(np.ones_like(first), size, **arguments), shape[1:3], size, **arguments)
    np.testing.assert_allclose(back, first * counts, rtol=1e-12, atol=1e-13)


def test_against_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = image(2, 3, 7, 9)
    columns = torch.nn.functional.unfold(torch.from_numpy(x), (2, 3), (2, 1), 1, (2, 1))
    arguments: dict[str, Any] = {"strides": (2, 1), "dilation": (2, 1), "padding": 1}
    np.testing.assert_array_equal(unfold(x, (2, 3), **arguments), columns.numpy())
    back = torch.nn.functional.fold(columns, (7, 9), (2, 3), (2, 1), 1, (2, 1))
    np.testing.assert_allclose(fold(columns.numpy(), (7, 9), (2, 3), **arguments), back.numpy(), rtol=1e-12)
    want = torch.nn.functional.pixel_unshuffle(torch.from_numpy(x[:, :1, :6, :8]), 2).numpy()
    np.testing.assert_array_equal(space_to_depth(x[:, :1, :6, :8], 2, channels_first=True), want)


def test_blocks() -> None:
    x = image(2, 4, 6, 12)
    wide = depth_to_space(x, 2)
    assert wide.shape == (2, 8, 12, 3)
    np.testing.assert_array_equal(wide[:, 1::2, ::2], x[..., 6:9])  # the block's second row, first column
    np.testing.assert_array_equal(space_to_depth(wide, 2), x)
    np.testing.assert_array_equal(space_to_depth(x, 2), extract_patches(x, 2))
    first = np.moveaxis(x, -1, 1)
    np.testing.assert_array_equal(depth_to_space(first, 2, channels_first=True), np.moveaxis(wide, -1, 1))
    np.testing.assert_array_equal(depth_to_space(x, 1), x)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("TILE0202", lambda x: extract_patches(x[0, 0], 2)),
        ("TILE0211", lambda x: extract_patches(x, 9)),
        ("TILE0511", lambda x: extract_patches(x, 0)),
        ("TILE0204", lambda x: extract_patches(x, (2, 2, 2))),
        ("TILE0202", lambda x: fold(x, (4, 4), 2)),
        ("TILE0209", lambda x: fold(x[0], (4, 4), 2)),
        ("TILE0202", lambda x: depth_to_space(x[0], 2)),
        ("TILE0209", lambda x: depth_to_space(x, 2)),
        ("TILE0209", lambda x: space_to_depth(x, 3)),
        ("TILE0511", lambda x: space_to_depth(x, 0)),
        ("TILE0210", lambda x: depth_to_space(x, 0.5)),  # type: ignore[arg-type]
    ],
)
def test_errors(code: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call(np.zeros((2, 4, 4, 3), np.float32))
    assert found.value.code == code
