"""Every example against NumPy, on LLVM and on the evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec

ROOT = Path(__file__).parents[2]
Array = np.ndarray[Any, np.dtype[Any]]
RNG = np.random.default_rng(7)


def run(name: str, inputs: dict[str, Any], function: str | None = None) -> dict[str, Array]:
    """Outputs on the CPU, after comparing them with the evaluator's."""
    path = ROOT / "examples" / f"{name}.tile"
    compiled = tilec.run(path, inputs, function=function)
    reference = tilec.run(path, inputs, function=function, target="reference")
    for key, value in compiled.items():
        np.testing.assert_allclose(value, reference[key], rtol=2e-5, atol=1e-5)
    return compiled


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def test_digits_are_classified() -> None:
    data = np.load(ROOT / "examples/data/digits.npz")
    inputs = {"TrainX": data["train_x"], "TrainY": data["train_y"], "TestX": data["test_x"], "TestY": data["test_y"]}
    found = tilec.run(ROOT / "examples/digits_knn.tile", inputs)
    a, b = data["train_x"].astype(np.float64), data["test_x"].astype(np.float64)
    distance = ((b[:, None, :] - a[None, :, :]) ** 2).sum(-1)
    last = distance.shape[1] - 1 - distance[:, ::-1].argmin(1)
    np.testing.assert_array_equal(found["Nearest"], last)
    np.testing.assert_array_equal(found["Label"], data["train_y"][last])
    assert found["Accuracy"] == np.float32((data["train_y"][last] == data["test_y"]).mean())
    assert found["Accuracy"] > 0.95


@pytest.mark.parametrize(("m", "k", "n"), [(5, 7, 3), (64, 64, 64), (33, 1, 17)])
def test_matmul(m: int, k: int, n: int) -> None:
    a, b, bias = normal(m, k), normal(k, n), normal(n)
    np.testing.assert_allclose(run("matmul", {"A": a, "B": b}, "matmul")["C"], a @ b, rtol=1e-4, atol=1e-5)
    dense = run("matmul", {"X": a, "W": b, "B": bias}, "dense")["Y"]
    np.testing.assert_allclose(dense, np.maximum(a @ b + bias, 0), rtol=1e-4, atol=1e-5)


def conv(image: Array, kernel: Array, stride: int) -> Array:
    """Valid convolution by loops over the kernel, in float64."""
    kh, kw = kernel.shape[:2]
    h, w = (image.shape[1] - kh) // stride + 1, (image.shape[2] - kw) // stride + 1
    total = np.zeros((image.shape[0], h, w, kernel.shape[3]))
    for i in range(kh):
        for j in range(kw):
            patch = image[:, i : i + h * stride : stride, j : j + w * stride : stride].astype(np.float64)
            total += patch @ kernel[i, j]
    return total


def test_convolutions() -> None:
    image, kernel = normal(2, 9, 8, 3), normal(3, 3, 3, 5)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    same = run("conv2d", {"I": image, "K": kernel}, "conv2d")["O"]
    np.testing.assert_allclose(same, conv(padded, kernel, 1), rtol=1e-4, atol=1e-5)
    strided = run("conv2d", {"I": image, "K": kernel}, "conv2d_stride2")["O"]
    np.testing.assert_allclose(strided, conv(image, kernel, 2), rtol=1e-4, atol=1e-5)
    diagonal = np.einsum("ijc,cd->ijcd", kernel[..., 0], np.eye(3))
    depthwise = run("conv2d", {"I": image, "K": np.ascontiguousarray(kernel[..., 0])}, "depthwise")["O"]
    np.testing.assert_allclose(depthwise, conv(image, diagonal, 1), rtol=1e-4, atol=1e-5)


def test_softmax() -> None:
    x = normal(7, 33) * 50
    e = np.exp(x - x.max(1, keepdims=True), dtype=np.float64)
    np.testing.assert_allclose(run("softmax", {"X": x})["Y"], e / e.sum(1, keepdims=True), rtol=1e-5, atol=1e-7)


def test_maxpool_of_an_odd_image() -> None:
    image = normal(2, 7, 9, 3) - 10
    padded = np.pad(image, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    expected = padded.reshape(2, 4, 2, 5, 2, 3).max((2, 4))
    np.testing.assert_array_equal(run("maxpool", {"I": image})["O"], expected)


def test_life() -> None:
    board = (RNG.random((13, 17)) < 0.4).astype(np.uint8)
    padded = np.pad(board, 1)
    around = sum(padded[1 + i : 14 + i, 1 + j : 18 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)) - board
    expected = (around == 3) | ((around == 2) & (board == 1))
    np.testing.assert_array_equal(run("life", {"Board": board})["Next"], expected)


def test_heat() -> None:
    u = normal(11, 14)
    p = np.pad(u, 1).astype(np.float64)
    expected = u + 0.1 * (p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * u)
    np.testing.assert_allclose(run("heat", {"U": u, "R": 0.1})["Next"], expected, rtol=1e-5, atol=1e-5)


def test_blur() -> None:
    image, weights = normal(12, 10, 3), np.array([1, 4, 6, 4, 1], np.float32) / 16
    p = np.pad(image, ((2, 2), (2, 2), (0, 0))).astype(np.float64)
    rows = sum(p[:, j : j + 10] * weights[j] for j in range(5))
    expected = sum(rows[i : i + 12] * weights[i] for i in range(5))
    np.testing.assert_allclose(run("blur", {"Image": image, "Weights": weights})["Out"], expected, rtol=1e-4, atol=1e-5)


def test_kmeans_converges_like_numpy() -> None:
    x = np.concatenate([normal(40, 2) + c for c in ([0, 0], [8, 0], [0, 8])]).astype(np.float32)
    centre = x[[0, 50, 100]].copy()
    for _ in range(5):
        nearest = ((x[:, None] - centre) ** 2).sum(-1).argmin(1)
        expected = np.stack([x[nearest == k].mean(0) for k in range(3)])
        found = run("kmeans", {"X": x, "Centre": centre})
        np.testing.assert_array_equal(found["Nearest"], nearest)
        np.testing.assert_allclose(found["Moved"], expected, rtol=1e-4, atol=1e-4)
        centre = found["Moved"]
