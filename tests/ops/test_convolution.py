"""Convolutions against NumPy's windows, SciPy and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal

import tilec
from tests.ops import sliding
from tilec.ops import conv, conv_transpose, depthwise_conv, separable_conv

Case = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]  # shapes of image and kernel, arguments

CASES: list[Case] = [
    ((2, 5, 6, 3), (3, 3, 3, 4), {}),
    ((1, 7, 7, 2), (3, 3, 2, 5), {"padding": "same"}),
    ((2, 8, 7, 3), (3, 2, 3, 4), {"strides": 2, "padding": "same"}),
    ((2, 9, 8, 3), (5, 4, 3, 2), {"strides": (3, 2), "padding": "same"}),
    ((1, 11, 5, 1), (1, 1, 1, 7), {"strides": (4, 3)}),  # strides past the window
    ((1, 11, 7, 2), (2, 3, 2, 1), {"strides": (5, 4), "padding": "same"}),
    ((2, 9, 10, 3), (3, 3, 3, 2), {"dilation": (2, 3)}),
    ((2, 9, 10, 3), (3, 3, 3, 2), {"dilation": 2, "strides": 2, "padding": "same"}),
    ((1, 4, 5, 3), (3, 3, 3, 2), {"padding": ((2, 0), (1, 4))}),
    ((1, 2, 3, 3), (5, 4, 3, 2), {"padding": "same"}),  # a kernel larger than the image
    ((1, 2, 3, 3), (5, 4, 3, 2), {"padding": 3}),
    ((1, 1, 1, 1), (3, 3, 1, 1), {"padding": 5}),  # windows of nothing but padding
    ((2, 6, 5, 4), (3, 3, 2, 6), {"groups": 2, "padding": "same"}),
    ((2, 6, 5, 6), (3, 3, 2, 3), {"groups": 3, "strides": 2}),
    ((2, 6, 5, 3), (3, 3, 1, 3), {"groups": 3, "padding": "same"}),
    ((2, 6, 5, 3), (3, 3, 1, 6), {"groups": 3, "padding": "same"}),
    ((2, 11, 3), (4, 3, 5), {"padding": "same", "strides": 3}),
    ((2, 11, 3), (4, 3, 5), {"padding": "causal", "dilation": 2}),
    ((2, 11, 4), (3, 2, 6), {"groups": 2, "padding": (2, 1)}),
    ((2, 4, 5, 6, 2), (3, 2, 3, 2, 3), {"padding": "same", "strides": (1, 2, 3)}),
    ((1, 4, 5, 6, 2), (3, 3, 3, 1, 4), {"groups": 2, "padding": ((1, 0), (0, 2), (1, 1)), "dilation": (1, 2, 1)}),
    ((0, 5, 5, 2), (3, 3, 2, 3), {}),  # nothing in the batch
    ((1, 5, 5, 0), (3, 3, 0, 3), {}),  # sums of nothing
    ((1, 5, 5, 2), (3, 3, 2, 0), {}),
    ((17, 13, 19, 5), (3, 5, 5, 11), {"padding": "same"}),
]


def numbers(given: Any, count: int) -> tuple[int, ...]:
    return (given,) * count if isinstance(given, int) else tuple(given)


def wanted(x: np.ndarray, w: np.ndarray, arguments: dict[str, Any]) -> np.ndarray:
    """By NumPy, in float64."""
    count = x.ndim - 2
    strides = numbers(arguments.get("strides", 1), count)
    spread = numbers(arguments.get("dilation", 1), count)
    padding = arguments.get("padding", "valid")
    match padding:
        case "valid":
            padding = [(0, 0)] * count
        case "same":
            padding = sliding.widths(x.shape[1:-1], w.shape[:-2], strides, spread)
        case "causal":
            padding = [((w.shape[0] - 1) * spread[0], 0)]
        case int():
            padding = [(padding, padding)] * count
        case (int(), int()):
            padding = [padding] * count
    return sliding.convolution(x, w, strides, spread, padding, arguments.get("groups", 1))


def operands(case: Case, dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    return rng.standard_normal(case[0]).astype(dtype), rng.standard_normal(case[1]).astype(dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_conv_against_numpy(case: Case) -> None:
    x, w = operands(case)
    expected = wanted(x, w, case[2])
    found = conv(x, w, **case[2])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("case", CASES[::4], ids=str)
def test_channels_first(case: Case) -> None:
    x, w = operands(case)
    found = conv(np.ascontiguousarray(sliding.first(x)), w, **case[2], channels_first=True)
    np.testing.assert_allclose(found, sliding.first(wanted(x, w, case[2])), rtol=1e-5, atol=2e-5)


def test_against_scipy() -> None:
    x, w = operands(((1, 9, 12, 1), (3, 5, 1, 1), {}), np.float64)
    found = conv(x, w, padding="same")[0, :, :, 0]
    np.testing.assert_allclose(found, scipy.signal.correlate2d(x[0, :, :, 0], w[:, :, 0, 0], mode="same"), atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_against_torch(groups: int) -> None:
    torch = pytest.importorskip("torch", reason="its values are compared: pip install torch")
    x, w = operands(((2, 10, 9, 4), (3, 4, 4 // groups, 8), {}))
    found = conv(x, w, strides=(2, 1), padding=((1, 1), (2, 2)), dilation=(1, 2), groups=groups)
    theirs = torch.nn.functional.conv2d(
        torch.tensor(sliding.first(x)),
        torch.tensor(w).permute(3, 2, 0, 1),
        stride=(2, 1),
        padding=(1, 2),
        dilation=(1, 2),
        groups=groups,
    )
    np.testing.assert_allclose(sliding.first(found), theirs.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize("arguments", [{}, {"strides": 2, "padding": "same"}, {"padding": 2, "dilation": 2}], ids=str)
def test_depthwise_conv_is_conv_of_single_channels(multiplier: int, arguments: dict[str, Any]) -> None:
    x, w = operands(((2, 8, 9, 5), (3, 2, 5, multiplier), {}))
    alike = w.reshape(3, 2, 1, 5 * multiplier)
    expected = wanted(x, alike, {**arguments, "groups": 5})
    np.testing.assert_allclose(depthwise_conv(x, w, **arguments), expected, rtol=1e-5, atol=1e-5)
    first = depthwise_conv(np.ascontiguousarray(sliding.first(x)), w, **arguments, channels_first=True)
    np.testing.assert_allclose(first, sliding.first(expected), rtol=1e-5, atol=1e-5)


def test_separable_conv() -> None:
    x, w = operands(((2, 8, 3), (3, 3, 2), {}))
    points = np.random.default_rng(1).standard_normal((1, 6, 4)).astype(np.float32)
    apart = wanted(x, w.reshape(3, 1, 6), {"groups": 3, "strides": 2, "padding": "same"})
    found = separable_conv(x, w, points, strides=2, padding="same")
    np.testing.assert_allclose(found, apart @ points[0].astype(np.float64), rtol=1e-5, atol=1e-5)


TRANSPOSED: list[Case] = [  # the kernel's last axes: features, channels
    ((2, 5, 6, 3), (3, 3, 4, 3), {}),
    ((2, 5, 6, 3), (3, 2, 4, 3), {"strides": (2, 3), "padding": 0}),  # a stride past the window
    ((1, 4, 5, 2), (4, 4, 3, 2), {"strides": 2, "padding": ((1, 1), (0, 2))}),
    ((1, 4, 5, 2), (3, 3, 3, 2), {"strides": 2, "padding": 1, "output_padding": 1}),
    ((1, 4, 5, 2), (3, 3, 3, 2), {"strides": 3, "padding": 2, "dilation": 2, "output_padding": (0, 2)}),
    ((2, 5, 6, 4), (3, 3, 3, 2), {"groups": 2, "strides": 2}),
    ((2, 5, 6, 4), (2, 2, 1, 1), {"groups": 4, "padding": 1}),
    ((2, 7, 3), (4, 5, 3), {"strides": 3}),
    ((1, 3, 2, 4, 2), (2, 3, 2, 3, 2), {"strides": (2, 1, 3)}),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((17, 7, 9, 5), (3, 5, 11, 5), {"strides": 2, "padding": 1}),
]


def spread_out(x: np.ndarray, w: np.ndarray, arguments: dict[str, Any], size: tuple[int, ...]) -> np.ndarray:
    """A transposed convolution by its definition, on a result of this size in space, in float64."""
    count, groups = x.ndim - 2, arguments.get("groups", 1)
    strides, spread = (numbers(arguments.get(n, 1), count) for n in ("strides", "dilation"))
    padding = arguments.get("padding", 0)
    lows = [padding] * count if isinstance(padding, int) else [low for low, _ in padding]
    found = np.zeros((x.shape[0], *size, w.shape[-2] * groups))
    kernels = np.split(w.astype(np.float64), groups, axis=-1)
    for y in np.ndindex(*x.shape[1:-1]):
        for k in np.ndindex(*w.shape[:-2]):
            at = tuple(a * s + b * d - low for a, s, b, d, low in zip(y, strides, k, spread, lows))
            if all(0 <= a < n for a, n in zip(at, size)):
                own = np.split(x[(slice(None), *y)], groups, axis=-1)
                added = [part @ kernel[k].T for part, kernel in zip(own, kernels, strict=True)]
                found[(slice(None), *at)] += np.concatenate(added, axis=-1)
    return found


def transposed_operands(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The kernel of a group has as many channels as the group."""
    x, w = operands(case)
    return x, np.concatenate([w] * case[2].get("groups", 1), axis=-1) if w.shape[-1] != x.shape[-1] else w


@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_conv_transpose(case: Case) -> None:
    x, w = transposed_operands(case)
    found = conv_transpose(x, w, **case[2])
    assert found.shape[-1] == w.shape[-2] * case[2].get("groups", 1)
    expected = spread_out(x, w, case[2], found.shape[1:-1])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)
    turned = conv_transpose(np.ascontiguousarray(sliding.first(x)), w, **case[2], channels_first=True)
    np.testing.assert_allclose(turned, sliding.first(expected), rtol=1e-5, atol=2e-5)


ALIKE = [c for c in TRANSPOSED if len(c[0]) == 4 and isinstance(c[2].get("padding", 0), int)]  # as torch pads


@pytest.mark.parametrize("case", ALIKE, ids=str)
def test_conv_transpose_against_torch(case: Case) -> None:
    torch = pytest.importorskip("torch", reason="its values are compared: pip install torch")
    x, w = transposed_operands(case)
    renamed = {{"strides": "stride"}.get(k, k): v for k, v in case[2].items()}
    theirs = torch.nn.functional.conv_transpose2d(
        torch.tensor(sliding.first(x)), torch.tensor(w).permute(3, 2, 0, 1), **renamed
    )
    found = sliding.first(conv_transpose(x, w, **case[2]))
    assert found.shape == tuple(theirs.shape)
    np.testing.assert_allclose(found, theirs.numpy(), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_conv_transpose_same(kernel: int, stride: int, dilation: int) -> None:
    """It is the derivative of the convolution that is padded to the same size."""
    x, w = operands(((1, 5, 2), (kernel, 3, 2), {}), np.float64)
    found = conv_transpose(x, w, stride, "same", dilation=dilation)
    assert found.shape == (1, 5 * stride, 3)
    forward = tilec.grad(lambda i: (conv(i, w, stride, "same", dilation) * x).sum())
    np.testing.assert_allclose(found, forward(np.zeros(found.shape)), atol=1e-12)


def test_sizes_of_conv_transpose() -> None:
    """Those of Keras's backends."""

    def length(kernel: int, stride: int, padding: Any, more: int | None = None) -> int:
        x, w = operands(((1, 7, 1), (kernel, 1, 1), {}))
        return int(conv_transpose(x, w, stride, padding, more).shape[1])

    assert [length(k, 2, "valid") for k in (1, 2, 3, 4)] == [14, 14, 15, 16]
    assert [length(k, 2, "same") for k in (1, 2, 3, 4)] == [14, 14, 14, 14]
    assert [length(k, 2, "same", 1) for k in (1, 2, 3, 4)] == [14, 13, 14, 13]
    assert [length(k, 2, "valid", 1) for k in (1, 2, 3, 4)] == [14, 15, 16, 17]
    assert [length(3, 2, p, 1) for p in (0, 1, 2)] == [16, 14, 12]


def test_types() -> None:
    x, w = operands(((1, 5, 5, 64), (3, 3, 64, 2), {}), np.float16)
    found = conv(x, w)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, wanted(x, w, {}), rtol=2e-3, atol=2e-2)  # rounded once
    counted = conv(np.full((1, 3, 3, 1), 2, np.int32), np.full((3, 3, 1, 1), 3, np.int32), padding="same")
    assert counted.dtype == np.int32 and counted[0, :, :, 0].tolist() == [[24, 36, 24], [36, 54, 36], [24, 36, 24]]
    assert conv(np.ones((1, 3, 1), np.int32), np.ones((3, 1, 1), np.float32)).dtype == np.float32


def test_open_batch() -> None:
    compiled = tilec.jit(lambda x, w: conv(x, w, padding="same"), open_sizes={"x": "N"})
    for batch in (1, 3):
        x, w = operands(((batch, 5, 6, 3), (3, 3, 3, 4), {}))
        np.testing.assert_allclose(compiled(x, w), wanted(x, w, {"padding": "same"}), rtol=1e-5, atol=1e-5)
    assert compiled.signatures() == 1


def wrong(value: Any) -> Any:
    return value


X, W = np.zeros((2, 5, 5, 4), np.float32), np.zeros((3, 3, 4, 6), np.float32)
WRONG: list[tuple[str, str, Any]] = [
    ("TILE0202", "at least 3 axes", lambda: conv(X[0, 0], W[0, 0])),
    ("TILE0202", "a kernel of shape", lambda: conv(X, W[0])),
    ("TILE0208", "4 channels, and the kernel is for 3", lambda: conv(X, W[:, :, :3])),
    ("TILE0208", "2 channels, and the kernel is for 4", lambda: depthwise_conv(X[..., :2], W)),
    ("TILE0208", "5 channels, and the kernel is for 4", lambda: conv(X, W, channels_first=True)),
    ("TILE0511", "4 features are not divisible by 3", lambda: conv(X[..., [0] * 12], W[..., :4], groups=3)),
    ("TILE0208", "4 channels, and the kernel is for 6", lambda: conv_transpose(X, W)),
    ("TILE0511", "6 channels are not divisible by 4", lambda: conv_transpose(X[..., [0] * 6], W, groups=4)),
    ("TILE0511", "cut the end off", lambda: conv_transpose(X, W[..., :4], padding="causal")),
    ("TILE0511", "the output padding is at least 0", lambda: conv_transpose(X, W[..., :4], output_padding=-1)),
    ("TILE0211", "result is negative", lambda: conv_transpose(X, W[..., :4], padding=7)),
    ("TILE0511", "at least one group", lambda: conv(X, W, groups=0)),
    ("TILE0511", "'SAME'", lambda: conv(X, W, padding="SAME")),
    ("TILE0511", "'causal'", lambda: conv(X, W, padding="causal")),
    ("TILE0511", "a stride is at least 1", lambda: conv(X, W, strides=0)),
    ("TILE0511", "a dilation is at least 1", lambda: conv(X, W, dilation=(1, -1))),
    ("TILE0204", "3 numbers for 2 axes", lambda: conv(X, W, strides=(1, 2, 3))),
    ("TILE0204", "3 pairs", lambda: conv(X, W, padding=((1, 1), (1, 1), (1, 1)))),
    ("TILE0211", "negative width", lambda: conv(X, W, padding=-1)),
    ("TILE0211", "a window spans 7 elements", lambda: conv(X, W, dilation=3)),
    ("TILE0210", "a stride is an integer", lambda: conv(X, W, strides=wrong(1.5))),
]


@pytest.mark.parametrize(("code", "text", "call"), WRONG, ids=[w[1] for w in WRONG])
def test_wrong_calls(code: str, text: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call()
    assert found.value.code == code and text in str(found.value)


def test_open_space() -> None:
    compiled = tilec.jit(lambda x: conv(x, W), open_sizes={"x": (None, "H")})
    with pytest.raises(tilec.TileError) as found:
        compiled(X)
    assert found.value.code == "TILE0210"
