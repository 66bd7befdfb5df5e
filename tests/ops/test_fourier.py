"""Fourier transforms against NumPy's, of lengths with small factors, prime ones, and large primes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.ops import fft, fft2, ifft, ifft2, irfft, rfft
from tilec.ops.fourier_steps import LARGEST, RADIX, factors

Array = np.ndarray[Any, Any]
LENGTHS = [1, 2, 3, 4, 5, 8, 9, 12, 17, 30, 61, 100, 131, 144, 262, 512, 1000]
NORMS = ("backward", "ortho", "forward")


def numbers(*shape: int) -> Array:
    rng = np.random.default_rng(prod(shape))
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def pair(z: Array, dtype: str = "float64") -> tuple[Array, Array]:
    return z.real.astype(dtype), z.imag.astype(dtype)


def close(found: Any, wanted: Array, epsilon: float = 2.0**-52) -> None:
    """Within a few units in the last place of the largest element."""
    got = found[0] + 1j * found[1] if isinstance(found, tuple) else found
    assert got.shape == wanted.shape
    scale = float(np.max(np.abs(wanted), initial=0)) or 1.0
    assert np.max(np.abs(got - wanted), initial=0) <= 8 * epsilon * scale


def test_factors() -> None:
    for n in range(1, 2000):
        found = factors(n)
        assert prod(found) == n
        assert all(f <= RADIX or all(f % p for p in range(2, f)) for f in found)
    assert factors(1024) == [16, 8, 8]
    assert LARGEST > RADIX


@pytest.mark.parametrize("n", LENGTHS)
def test_lengths(n: int) -> None:
    z, half = numbers(2, n), numbers(2, n // 2 + 1)

    def all_of_them(z: Any, half: Any) -> Any:
        return fft(z), ifft(z), rfft(z[0]), irfft(half, n=n)

    found = tilec.jit(all_of_them)(pair(z), pair(half))
    close(found[0], np.fft.fft(z))
    close(found[1], np.fft.ifft(z))
    close(found[2], np.fft.rfft(z.real))
    close(found[3], np.fft.irfft(half, n=n))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_axes_and_norms(norm: Any, axis: int) -> None:
    z = numbers(6, 10, 3)

    def all_of_them(z: Any) -> Any:
        whole = [f(z, axis=axis, norm=norm) for f in (fft, ifft)]
        return [*whole, rfft(z[0], axis=axis, norm=norm), irfft(z, axis=axis, norm=norm)]

    found = tilec.jit(all_of_them)(pair(z))
    close(found[0], np.fft.fft(z, axis=axis, norm=norm))
    close(found[1], np.fft.ifft(z, axis=axis, norm=norm))
    close(found[2], np.fft.rfft(z.real, axis=axis, norm=norm))
    close(found[3], np.fft.irfft(z, axis=axis, norm=norm))


@pytest.mark.parametrize("n", [5, 7, 8, 12])
def test_cut_and_padded(n: int) -> None:
    z = numbers(3, 8)
    found = tilec.jit(lambda z: (fft(z, n), rfft(z[0], n), irfft(z, n)))(pair(z))
    close(found[0], np.fft.fft(z, n))
    close(found[1], np.fft.rfft(z.real, n))
    close(found[2], np.fft.irfft(z, n))


def test_two_axes() -> None:
    z = numbers(2, 6, 5)
    close(fft2(pair(z)), np.fft.fft2(z))
    close(ifft2(pair(z), norm="ortho"), np.fft.ifft2(z, norm="ortho"))
    close(fft2(pair(z), axes=(0, -1)), np.fft.fft2(z, axes=(0, -1)))
    close(fft2(pair(z), axes=(0, 1, 2)), np.fft.fftn(z))


def test_types() -> None:
    z = numbers(4, 96)
    found = fft(pair(z, "float32"))
    assert found[0].dtype == np.float32
    close(found, np.fft.fft(z), 2.0**-23)
    narrow = fft(pair(z, "float16"))
    assert narrow[0].dtype == np.float16
    close(narrow, np.fft.fft(z), 2.0**-10)
    whole = rfft(np.arange(6))
    assert whole[0].dtype == np.float32
    close(whole, np.fft.rfft(np.arange(6.0)), 2.0**-23)


def test_quarters_are_exact() -> None:
    real, imaginary = fft((np.array([0.0, 1, 0, 0]), np.zeros(4)))
    np.testing.assert_array_equal(real, [1, 0, -1, 0])
    np.testing.assert_array_equal(imaginary, [0, -1, 0, 1])


def test_gradient_of_the_norm() -> None:
    """By Parseval's theorem."""
    x = np.random.default_rng(0).normal(size=12)

    def energy(x: Any) -> Any:
        real, imaginary = fft((x, 0 * x))
        return (real * real + imaginary * imaginary).sum()

    np.testing.assert_allclose(tilec.grad(energy)(x), 2 * 12 * x, rtol=1e-12)


def test_open_batch() -> None:
    transform = tilec.jit(lambda x: rfft(x), open_sizes={"x": "N"})
    for count in (1, 5):
        x = numbers(count, 12).real
        close(transform(x), np.fft.rfft(x))
    assert transform.signatures() == 1


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("TILE0203", lambda x: fft((x, x[:2]))),
        ("TILE0505", lambda x: fft([x, x, x])),
        ("TILE0505", lambda x: ifft(x)),
        ("TILE0212", lambda x: fft((x, x), axis=2)),
        ("TILE0210", lambda x: rfft(x, n=2.5)),  # type: ignore[arg-type]
        ("TILE0403", lambda x: rfft(x, n=0)),
        ("TILE0403", lambda x: irfft((x[:, :1], x[:, :1]))),
        ("TILE0403", lambda x: fft((x[:0], x[:0]), axis=0)),
        ("TILE0511", lambda x: rfft(x, norm="both")),
        ("TILE0212", lambda x: fft2((x, x), axes=(0, 0))),
    ],
)
def test_errors(code: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call(np.zeros((3, 4), np.float32))
    assert found.value.code == code
