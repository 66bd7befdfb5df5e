"""Short-time Fourier transforms against scipy.signal and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal

import tilec
from tilec.ops import istft, stft

Array = np.ndarray[Any, Any]
CASES = [
    (16, 4, 16, "hann"),
    (15, 5, 20, "hamming"),
    (8, 8, 8, "rectangular"),
    (1, 1, 1, "rectangular"),
    (6, 3, 7, "hann"),
]


def signal(*shape: int) -> Array:
    return np.random.default_rng(8).normal(size=shape)


def pieces(x: Array, length: int, stride: int, count: int, window: Array, center: bool) -> Array:
    """By NumPy, piece by piece."""
    if center:
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(count // 2, count // 2)], "reflect")
    before = (count - length) // 2
    weights = np.pad(window, (before, count - length - before))
    starts = range(0, x.shape[-1] - count + 1, stride)
    return np.stack([np.fft.rfft(x[..., s : s + count] * weights) for s in starts], axis=-2)


def named(window: str, length: int) -> Array:
    made: Array = scipy.signal.get_window({"rectangular": "boxcar"}.get(window, window), length)
    return made


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_numpy(case: tuple[int, int, int, str], center: bool) -> None:
    length, stride, count, window = case
    x = signal(2, 50)
    real, imaginary = stft(x, length, stride, count, window=window, center=center)
    want = pieces(x, length, stride, count, named(window, length), center)
    np.testing.assert_allclose(real + 1j * imaginary, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[2]], ids=str)
def test_there_and_back(case: tuple[int, int, int, str]) -> None:
    length, stride, count, window = case
    x = signal(3, 64)
    both = tilec.jit(
        lambda x: istft(stft(x, length, stride, count, window=window), length, stride, count, length=60, window=window)
    )
    np.testing.assert_allclose(both(x), x[:, :60], rtol=1e-10, atol=1e-11)


def test_against_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, window = signal(2, 100), scipy.signal.get_window("hamming", 15)
    want = torch.stft(torch.from_numpy(x), 20, 5, 15, torch.from_numpy(window), return_complex=True)
    found = stft(x, 15, 5, 20, window=window)
    np.testing.assert_allclose(found[0] + 1j * found[1], want.numpy().transpose(0, 2, 1), rtol=1e-10, atol=1e-11)
    back = torch.istft(want, 20, 5, 15, torch.from_numpy(window), length=90).numpy()
    np.testing.assert_allclose(istft(found, 15, 5, 20, window=window, length=90), back, rtol=1e-9, atol=1e-10)


def test_lengths_and_types() -> None:
    found = stft(signal(40).astype("float32"), 8, 4)
    assert found[0].shape == (11, 5) and found[0].dtype == np.float32
    assert istft(found, 8, 4).shape == (40,)
    assert istft(found, 8, 4, center=False).shape == (48,)
    assert istft(found, 8, 4, length=70).shape == (70,)
    np.testing.assert_array_equal(istft(found, 8, 4, length=70)[48:], 0)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("TILE0202", lambda x: stft(np.float32(1), 4, 2)),
        ("TILE0208", lambda x: stft(x, 4, 2, window=np.ones(5))),
        ("TILE0210", lambda x: stft(x, 4.5, 2)),  # type: ignore[arg-type]
        ("TILE0211", lambda x: stft(x, 40, 2, center=False)),
        ("TILE0211", lambda x: istft(stft(x, 4, 2), 4, 2, length=-1)),
        ("TILE0511", lambda x: stft(x, 0, 2)),
        ("TILE0511", lambda x: stft(x, 4, 2, 3)),
        ("TILE0511", lambda x: stft(x, 4, 2, window="blackman")),
        ("TILE0505", lambda x: istft(x, 4, 2)),
        ("TILE0202", lambda x: istft((x, x), 4, 2)),
    ],
)
def test_errors(code: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call(np.zeros(20, np.float32))
    assert found.value.code == code
