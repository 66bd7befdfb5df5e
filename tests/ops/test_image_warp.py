"""Tensors and images at computed places, against scipy.ndimage; random shapes and modes are in tests/outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage

import tilec
from tilec.backends.opencl.backend import OpenCLBackend
from tilec.ops import affine_transform, map_coordinates, perspective_transform
from tilec.ops.boundary import MODES

Array = np.ndarray[Any, Any]


def coordinates(rank: int, seed: int = 0) -> Array:
    """Far outside too; the first ones are halves."""
    found = np.random.default_rng(seed).uniform(-12, 18, (rank, 40))
    found[:, :16] = np.round(found[:, :16] * 2) / 2
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(6, 5), (1, 4), (3, 4, 2)])
def test_modes(shape: tuple[int, ...], mode: str) -> None:
    x, places = np.random.default_rng(1).normal(size=shape), coordinates(len(shape))
    both = tilec.jit(lambda x, p: [map_coordinates(x, p, k, mode=mode, value=2.5) for k in (0, 1)])(x, places)
    for order, got in enumerate(both):
        want = scipy.ndimage.map_coordinates(x, places, order=order, mode=mode, cval=2.5)
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


def test_shapes_and_types() -> None:
    x = np.arange(12, dtype="int32").reshape(3, 4)
    places = coordinates(2).reshape(2, 5, 8)
    found = map_coordinates(x, places, 0, mode="nearest")
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, scipy.ndimage.map_coordinates(x, places, order=0, mode="nearest"))
    assert map_coordinates(x, places).dtype == np.float32
    assert map_coordinates(x, np.zeros((2, 0))).shape == (0,)


def test_derivative_by_coordinates() -> None:
    ramp = np.arange(5.0) * 3
    slope = tilec.grad(lambda p: map_coordinates(ramp, p, mode="nearest"))(np.array([[1.5, 2.25, -3.0]]))
    np.testing.assert_allclose(slope, [[3, 3, 0]])


def warped(image: Array, matrix: Array, order: int, mode: str) -> Array:
    """Channels last, by SciPy, channel by channel."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    column, row, scale = np.tensordot(matrix, np.stack([x, y, np.ones_like(x)]), 1)
    places = [row / scale, column / scale]
    each = [scipy.ndimage.map_coordinates(c, places, order=order, mode=mode) for c in np.moveaxis(image, -1, 0)]
    return np.stack(each, axis=-1)


MATRICES = np.array(
    [[0.9, -0.3, 1.2, 0.3, 0.9, -0.7, 0.01, -0.02], [1, 0, 0, 0, 1, 0, 0, 0], [-1, 0, 6, 0, 2, 0, 0, 0]]
)


@pytest.mark.parametrize("mode", ["grid-constant", "reflect"])
def test_affine_transform(mode: str) -> None:
    images = np.random.default_rng(2).random((3, 6, 7, 2))
    rows = MATRICES + 1e-3
    for interpolation, order in (("bilinear", 1), ("nearest", 0)):
        found = affine_transform(images, rows, interpolation=interpolation, mode=mode)
        for got, image, row in zip(found, images, rows, strict=True):
            want = warped(image, np.append(row, 1).reshape(3, 3), order, mode)
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-10)


def test_forms_of_transforms_and_images() -> None:
    images = np.random.default_rng(2).random((2, 6, 7, 3))
    row = np.array([1, 0, 0.5, 0, 1, 1, 0, 0])
    whole = affine_transform(images, row)
    np.testing.assert_allclose(affine_transform(images, row[:6]), whole)
    np.testing.assert_allclose(affine_transform(images[1], row[:6]), whole[1])
    first = affine_transform(np.moveaxis(images, -1, 1), row[:6], channels_first=True)
    np.testing.assert_allclose(np.moveaxis(first, 1, -1), whole)
    np.testing.assert_allclose(affine_transform(images, MATRICES[1]), images)


def homography(old: Array, new: Array) -> Array:
    """The matrix that takes the new points to the old ones, by linear equations."""
    rows, values = [], []
    for (x, y), (u, v) in zip(new, old, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1).reshape(3, 3)


def test_perspective_transform() -> None:
    images = np.random.default_rng(2).random((2, 6, 7, 3))
    start = np.array([[0.0, 0], [6, 0], [0, 5], [6, 5]])
    end = np.array([[0.5, 0.2], [5.5, 0.4], [0.3, 4.6], [5.9, 5.2]])
    found = perspective_transform(images, start, np.stack([end, start]))
    want = warped(images[0], homography(start, end), 1, "grid-constant")
    np.testing.assert_allclose(found[0], want, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found[1], images[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("TILE0202", lambda x: map_coordinates(np.float32(3), np.zeros((0, 2)))),
        ("TILE0208", lambda x: map_coordinates(x, np.zeros((3, 2)))),
        ("TILE0511", lambda x: map_coordinates(x, np.zeros((4, 2)), 3)),
        ("TILE0511", lambda x: map_coordinates(x, np.zeros((4, 2)), mode="edge")),
        ("TILE0202", lambda x: affine_transform(x[0, 0], np.zeros(8))),
        ("TILE0203", lambda x: affine_transform(x, np.zeros((3, 8)))),
        ("TILE0208", lambda x: affine_transform(x, np.zeros(7))),
        ("TILE0511", lambda x: affine_transform(x, np.zeros(8), interpolation="bicubic")),
        ("TILE0208", lambda x: perspective_transform(x, np.zeros((3, 2)), np.zeros((4, 2)))),
    ],
)
def test_errors(code: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call(np.zeros((2, 4, 5, 3), np.float32))
    assert found.value.code == code


def test_coordinates_of_16_bits() -> None:
    """They are computed in float32, where neither sizes nor products of them overflow or are rounded."""
    line = np.arange(4000, dtype=np.float32).reshape(1, 4000, 1)
    assert np.array_equal(affine_transform(line, np.array([1, 0, 0, 0, 1, 0], np.float16)), line)
    corners = np.array([[0, 0], [300, 0], [0, 300], [300, 300]], np.float16)
    image = np.random.default_rng(0).random((8, 8, 1), np.float32)
    np.testing.assert_allclose(perspective_transform(image, corners, corners), image, atol=1e-5)


NOWHERE = np.array([[np.nan, np.inf, -np.inf, 1e30, 1.0]])
PERIODIC = ("wrap", "mirror", "reflect", "grid-wrap", "grid-mirror")


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("mode", MODES)
def test_coordinates_that_are_nowhere(mode: str, order: int) -> None:
    """NaN for NaN and for infinities that a period leaves without a place; integers cannot hold it."""
    line = np.arange(1.0, 6.0)
    found = map_coordinates(line, NOWHERE, order, mode=mode, value=9)
    wanted = [np.nan, 5, 1] if mode == "nearest" else [np.nan, 9, 9]
    np.testing.assert_array_equal(found[:3], [np.nan] * 3 if mode in PERIODIC else wanted)
    assert 1 <= found[3] <= 9 and found[4] == 2
    if order == 0:
        whole = map_coordinates(line.astype("int32"), NOWHERE, order, mode=mode, value=9)
        assert whole.tolist() == np.where(np.isnan(found), 9, found).tolist()


@pytest.mark.parametrize("target", ["reference", "opencl"])
def test_coordinates_that_are_nowhere_are_so_everywhere(target: str) -> None:
    if target == "opencl" and not OpenCLBackend().targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")

    def sampled(x: Any, places: Any) -> Any:
        return [map_coordinates(x, places, k, mode=m, value=9) for k in (0, 1) for m in MODES]

    for line in (np.arange(1.0, 6.0), np.arange(1, 6, dtype="int32")):
        found, wanted = (tilec.jit(sampled, target=t)(line, NOWHERE) for t in (target, "llvm"))
        for got, want in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(got, want)
