"""Resized images against weights written out one by one, and against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tilec.ops import resize, scale_and_translate
from tilec.ops.image_resize import band_of

Array = np.ndarray[Any, Any]
METHODS = ["bilinear", "bicubic", "lanczos3", "lanczos5"]
SIZES = [
    ((8, 6), (4, 3)),  # two become one
    ((4, 5), (8, 15)),  # one becomes two, and three
    ((7, 5), (3, 9)),
    ((5, 7), (9, 2)),
    ((1, 1), (3, 2)),
    ((6, 4), (1, 1)),
    ((9, 4), (9, 6)),  # rows stay
    ((13, 29), (11, 17)),
    ((6, 9), (4, 6)),
]


def value(method: str, x: float) -> float:
    """The kernel of a method."""
    x = abs(x)
    match method:
        case "bilinear":
            return max(1 - x, 0)
        case "bicubic":
            return 1.5 * x**3 - 2.5 * x**2 + 1 if x < 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0
    radius = int(method[-1])
    return float(np.sinc(x) * np.sinc(x / radius)) if x < radius else 0


def matrix(size: int, out: int, method: str, antialias: bool) -> Array:
    """Row o holds the weights of the old pixels in the new pixel o."""
    found = np.zeros((out, size))
    wide = max(size / out, 1) if antialias else 1
    for o in range(out):
        centre = (o + 0.5) * size / out - 0.5
        if method == "nearest":
            found[o, (2 * o + 1) * size // (2 * out)] = 1
            continue
        found[o] = [value(method, (i - centre) / wide) for i in range(size)]
        found[o] /= found[o].sum()
    return found


def resized(x: Array, size: tuple[int, int], method: str, antialias: bool) -> Array:
    """Channels last, in float64."""
    rows, columns = (matrix(x.shape[k + 1], size[k], method, antialias) for k in (0, 1))
    made: Array = np.einsum("nyxc,oy,px->nopc", x.astype(np.float64), rows, columns)
    return made


def pixels(*shape: int) -> Array:
    return np.random.default_rng(5).random(shape)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_weights(method: str, antialias: bool) -> None:
    for size in range(1, 12):
        for out in range(1, 12):
            found = band_of(size, out, method, antialias).dense()
            np.testing.assert_allclose(found, matrix(size, out, method, antialias), atol=1e-13)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_resize_against_weights(old: tuple[int, int], new: tuple[int, int]) -> None:
    x = pixels(2, *old, 3)
    cases = [("nearest", False), ("bilinear", False), ("bicubic", True), ("lanczos3", False)]
    found = tilec.jit(lambda x: [resize(x, new, interpolation=m, antialias=a) for m, a in cases])(x)
    for got, (method, antialias) in zip(found, cases, strict=True):
        np.testing.assert_allclose(got, resized(x, new, method, antialias), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_resize_against_torch(old: tuple[int, int], new: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = pixels(2, 3, *old).astype(np.float32)
    cases = [("nearest", False), ("bilinear", False), ("bilinear", True), ("bicubic", True)]

    def ours(x: Any) -> list[Any]:
        return [resize(x, new, interpolation=m, antialias=a, channels_first=True) for m, a in cases]

    for got, (method, antialias) in zip(tilec.jit(ours)(x), cases, strict=True):
        mode = "nearest-exact" if method == "nearest" else method
        extra = {} if method == "nearest" else {"antialias": antialias, "align_corners": False}
        want = torch.nn.functional.interpolate(torch.from_numpy(x), new, mode=mode, **extra).numpy()
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("method", "antialias"), [("bilinear", False), ("bicubic", True), ("lanczos3", True)])
def test_scale_and_translate(method: str, antialias: bool) -> None:
    x, scale, shift = pixels(6, 2, 7), np.array([0.7, 1.9]), np.array([1.3, -0.4])
    found = scale_and_translate(x, (5, 2, 9), scale, shift, (0, -1), method, antialias=antialias)
    rows = moved(6, 5, scale[0], shift[0], method, antialias)
    columns = moved(7, 9, scale[1], shift[1], method, antialias)
    np.testing.assert_allclose(found, np.einsum("ycx,oy,px->ocp", x, rows, columns), rtol=1e-11, atol=1e-12)


def moved(size: int, out: int, scale: float, shift: float, method: str, antialias: bool) -> Array:
    """The weights of a scaled and moved axis: 0 where the centre of a new pixel is outside of the old ones."""
    found, wide = np.zeros((out, size)), max(1 / scale, 1) if antialias else 1
    for o in range(out):
        centre = (o + 0.5 - shift) / scale - 0.5
        if -0.5 <= centre <= size - 0.5:
            found[o] = [value(method, (i - centre) / wide) for i in range(size)]
            found[o] /= found[o].sum()
    return found


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float64"])
def test_types(dtype: str) -> None:
    x = (pixels(4, 6, 2) * 200).astype(dtype)
    made = resize(x, (2, 3))
    assert made.dtype == (np.dtype(dtype) if dtype.startswith("float") else np.float32)
    np.testing.assert_allclose(made, resized(x[None], (2, 3), "bilinear", False)[0], rtol=1e-3)
    kept = resize(x, (5, 3), interpolation="nearest")
    assert kept.dtype == x.dtype
    np.testing.assert_array_equal(kept, resized(x[None], (5, 3), "nearest", False)[0].astype(dtype))


def test_same_size_is_the_image() -> None:
    x = pixels(2, 4, 5, 3)
    np.testing.assert_array_equal(resize(x, (4, 5), interpolation="bicubic"), x)


def test_no_images_and_no_pixels() -> None:
    assert resize(np.zeros((0, 4, 4, 3)), (2, 2)).shape == (0, 2, 2, 3)
    assert resize(np.zeros((1, 4, 4, 3)), (0, 2)).shape == (1, 0, 2, 3)
    assert resize(np.zeros((1, 4, 4, 0)), (2, 2)).shape == (1, 2, 2, 0)


def test_open_batch() -> None:
    halved = tilec.jit(lambda x: resize(x, (3, 2)), open_sizes={"x": "N"})
    for count in (1, 3):
        x = pixels(count, 6, 5, 3)
        np.testing.assert_allclose(halved(x), resized(x, (3, 2), "bilinear", False), rtol=1e-12)
    assert halved.signatures() == 1


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("TILE0202", lambda x: resize(x[0, 0], (2, 2))),
        ("TILE0204", lambda x: resize(x, (2, 2, 2))),
        ("TILE0210", lambda x: resize(x, (2.5, 2))),  # type: ignore[arg-type]
        ("TILE0211", lambda x: resize(x, (-1, 2))),
        ("TILE0403", lambda x: resize(x[:, :0], (2, 2))),
        ("TILE0511", lambda x: resize(x, (2, 2), interpolation="cubic")),
        ("TILE0204", lambda x: scale_and_translate(x, (1, 2), np.ones(1), np.zeros(1), (1,))),
        ("TILE0208", lambda x: scale_and_translate(x, (1, 2, 4, 3), np.ones(2), np.zeros(1), (1,))),
        ("TILE0208", lambda x: scale_and_translate(x, (1, 2, 5, 3), np.ones(1), np.zeros(1), (1,))),
        ("TILE0212", lambda x: scale_and_translate(x, (1, 2, 4, 3), np.ones(1), np.zeros(1), (4,))),
        ("TILE0511", lambda x: scale_and_translate(x, (1, 2, 4, 3), np.ones(1), np.zeros(1), (1,), "nearest")),
    ],
)
def test_errors(code: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call(np.zeros((1, 4, 4, 3), np.float32))
    assert found.value.code == code


def test_scales_of_16_bits() -> None:
    line = np.arange(3000, dtype=np.float32)
    one, none = np.ones(1, np.float16), np.zeros(1, np.float16)
    assert np.array_equal(scale_and_translate(line, (3000,), one, none, (0,)), line)
    assert scale_and_translate(line.astype(np.float16), (3000,), one, none, (0,)).dtype == np.float16
