"""Images cut out, framed and turned, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tilec.ops import central_crop, crop, flip_left_right, flip_up_down, pad_to, rot90

Array = np.ndarray[Any, Any]


def image(*shape: int, dtype: str = "float32") -> Array:
    return np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)


@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 3, 7, 1), (1, 1, 1, 1), (0, 2, 2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_flips(shape: tuple[int, ...], dtype: str) -> None:
    x = image(*shape, dtype=dtype)
    np.testing.assert_array_equal(flip_left_right(x), np.flip(x, -2))
    np.testing.assert_array_equal(flip_up_down(x), np.flip(x, -3))
    np.testing.assert_array_equal(flip_left_right(x, channels_first=True), np.flip(x, -1))
    np.testing.assert_array_equal(flip_up_down(x, channels_first=True), np.flip(x, -2))


@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (1, 2), (-1, 0)])
def test_rot90(axes: tuple[int, int]) -> None:
    x = image(3, 4, 5)
    made = tilec.jit(lambda x: [rot90(x, k, axes) for k in range(-3, 6)])(x)
    for k, got in zip(range(-3, 6), made, strict=True):
        np.testing.assert_array_equal(got, np.rot90(x, k, axes))


def test_crop() -> None:
    x = image(2, 6, 7, 3)
    np.testing.assert_array_equal(crop(x, 1, 2, 4, 3), x[:, 1:5, 2:5])
    np.testing.assert_array_equal(crop(x, 6, 0, 0, 7), x[:, 6:6])
    np.testing.assert_array_equal(crop(x[0], 1, 2, 4, 3), x[0, 1:5, 2:5])
    y = x.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(crop(y, 1, 2, 4, 3, channels_first=True), y[:, :, 1:5, 2:5])


def test_central_crop_and_pad_to() -> None:
    x = image(2, 6, 7, 3)
    np.testing.assert_array_equal(central_crop(x, (3, 4)), x[:, 1:4, 1:5])
    np.testing.assert_array_equal(pad_to(x, (9, 8)), np.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))))
    np.testing.assert_array_equal(pad_to(x, (6, 9), value=2.5)[:, :, 0], 2.5)
    np.testing.assert_array_equal(pad_to(x, (9, 8), "reflect"), np.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), "reflect"))
    np.testing.assert_array_equal(central_crop(pad_to(x, (10, 10)), (6, 7)), x)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("TILE0202", lambda x: flip_left_right(x[0, 0])),
        ("TILE0202", lambda x: crop(x[0, 0], 0, 0, 1, 1)),
        ("TILE0225", lambda x: crop(x, 0, 0, 5, 1)),
        ("TILE0225", lambda x: crop(x, -1, 0, 2, 1)),
        ("TILE0225", lambda x: central_crop(x, (5, 4))),
        ("TILE0204", lambda x: central_crop(x, 3)),
        ("TILE0211", lambda x: pad_to(x, (3, 9))),
        ("TILE0511", lambda x: pad_to(x, (9, 9), "mirrored")),
        ("TILE0212", lambda x: rot90(x, 1, (0, 0))),
        ("TILE0212", lambda x: rot90(x, 1, (0, 7))),
        ("TILE0210", lambda x: rot90(x, 0.5)),  # type: ignore[arg-type]
    ],
)
def test_errors(code: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call(image(1, 4, 4, 3))
    assert found.value.code == code
