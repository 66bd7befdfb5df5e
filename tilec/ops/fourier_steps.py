"""Floor 5: discrete Fourier transforms of any length along one axis, without scale.

A transform of length n is a contraction with a small matrix for each factor of n, and products with constants between
them (J. W. Cooley and J. W. Tukey, 1965), in the order in which no results have to be sorted afterwards (T. G.
Stockham, 1966). A large prime factor is a convolution of a length that has small factors (L. I. Bluestein, 1970).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from tilec.numpy.elementwise import add, multiply, subtract
from tilec.numpy.indexing import getitem_of
from tilec.numpy.padding import pad
from tilec.numpy.shapes import moveaxis, reshape
from tilec.numpy_semantics import Array
from tilec.tracing.contract import contract
from tilec.tracing.index import at, index
from tilec.tracing.tensor import Tensor

RADIX = 16  # the most elements of one small transform, if n has such factors
LARGEST = 128  # primes beyond which a convolution takes fewer products than a matrix

Pair: TypeAlias = tuple[Tensor, Tensor]


def turns(numerators: Array, n: int, sign: int, like: Tensor) -> tuple[Array, Array]:
    """The real and imaginary parts of exp(sign * 2 pi i * numerators / n): quarters of a turn are exact, as is what is
    left of the angle, at most an eighth of a turn.
    """
    quarters, rest = np.divmod(4 * (numerators % n), n)
    near = np.minimum(rest, n - rest) * (np.pi / 2 / n)
    swapped = 2 * rest > n
    cosine, sine = np.where(swapped, np.sin(near), np.cos(near)), np.where(swapped, np.cos(near), np.sin(near))
    real = np.choose(quarters, [cosine, -sine, -cosine, sine])
    imaginary = sign * np.choose(quarters, [sine, cosine, -sine, -cosine])
    dtype = like.type.dtype.numpy
    return real.astype(dtype), imaginary.astype(dtype)


def times(x: Pair, factor: tuple[Array, Array]) -> Pair:
    (a, b), (c, d) = x, factor
    return subtract(multiply(a, c), multiply(b, d)), add(multiply(a, d), multiply(b, c))


def transform(x: tuple[Tensor, Tensor | None], sign: int) -> Pair:
    """Along the middle one of three axes. A real tensor has no imaginary part.

    Step by step the middle axis is taken as (q, j, d): d is a number of the transforms done so far, of length D, of
    every n/D-th element; q says which of them go together now, into one of length r * D, and j which of these it is.
    """
    before, n, after = x[0].type.shape
    assert isinstance(n, int)
    done, (real, imaginary) = 1, x
    for r in factors(n):
        shape = (before, r, n // (r * done), done, after)
        real = reshape(real, shape)
        imaginary = None if imaginary is None else reshape(imaginary, shape)
        if imaginary is not None and done > 1:
            real, imaginary = times((real, imaginary), _twiddles(r, done, sign, real))
        step = _small if r <= LARGEST else _by_convolution
        real, imaginary = step((real, imaginary), r, sign)
        done *= r
    imaginary = multiply(real, 0) if imaginary is None else imaginary
    return reshape(real, (before, n, after)), reshape(imaginary, (before, n, after))


def _twiddles(r: int, done: int, sign: int, like: Tensor) -> tuple[Array, Array]:
    real, imaginary = turns(np.arange(r)[:, None] * np.arange(done), r * done, sign, like)
    return real.reshape(r, 1, done, 1), imaginary.reshape(r, 1, done, 1)


def _small(x: tuple[Tensor, Tensor | None], r: int, sign: int) -> Pair:
    """[b, q, j, d, p] -> [b, j, k, d, p], a matrix product over q."""
    cosines, sines = (at(t) for t in turns(np.outer(np.arange(r), np.arange(r)), r, sign, x[0]))
    b, q, j, d, p, k = index("b q j d p k")
    real, out = x[0][b, q, j, d, p], (b, j, k, d, p)
    if x[1] is None:
        return contract(cosines[k, q] * real, out=out), contract(sines[k, q] * real, out=out)
    imaginary = x[1][b, q, j, d, p]
    return (
        contract(cosines[k, q] * real - sines[k, q] * imaginary, out=out),
        contract(sines[k, q] * real + cosines[k, q] * imaginary, out=out),
    )


def _by_convolution(x: tuple[Tensor, Tensor | None], r: int, sign: int) -> Pair:
    """As `_small`: qk = (q^2 + k^2 - (k - q)^2) / 2, so that the sum over q is a convolution."""
    length = _smooth(2 * r - 1)
    squares = np.arange(r) ** 2
    chirp = turns(squares, 2 * r, sign, x[0])
    real = x[0]
    parts = (real, multiply(real, 0) if x[1] is None else x[1])
    b, _, j, d, p = real.type.shape
    rows = [reshape(moveaxis(part, 1, -1), (-1, r)) for part in parts]
    rows = [pad(part, ((0, 0), (0, length - r))) for part in times((rows[0], rows[1]), chirp)]
    angles = -sign * np.pi * (squares % (2 * r)) / r
    kernel = np.zeros(length, np.complex128)
    kernel[:r] = np.exp(1j * angles)
    kernel[length - r + 1 :] = kernel[1:r][::-1]
    spectrum = np.fft.fft(kernel) / length
    dtype = real.type.dtype.numpy
    lines = tuple(reshape(part, (-1, length, 1)) for part in rows)
    image = transform((lines[0], lines[1]), -1)
    image = times(image, (spectrum.real.astype(dtype)[:, None], spectrum.imag.astype(dtype)[:, None]))
    back = [getitem_of(part, [slice(None), slice(r), 0]) for part in transform(image, 1)]
    found = times((back[0], back[1]), chirp)
    moved = [moveaxis(reshape(part, (b, j, d, p, r)), -1, 2) for part in found]
    return moved[0], moved[1]


def factors(n: int) -> list[int]:
    """Factors of n, each at most RADIX or a prime: primes in groups of up to half of it, then small groups together."""
    groups: list[int] = []
    for prime in sorted(_primes(n), reverse=True):
        fits = [k for k, g in enumerate(groups) if g * prime <= RADIX // 2]
        if fits:
            groups[fits[0]] *= prime
        else:
            groups.append(prime)
    groups.sort()
    while len(groups) > 1 and groups[0] * groups[1] <= RADIX:
        groups = sorted([groups[0] * groups[1], *groups[2:]])
    return groups[::-1]


def _primes(n: int) -> list[int]:
    found, divisor = [], 2
    while divisor * divisor <= n:
        while n % divisor == 0:
            found.append(divisor)
            n //= divisor
        divisor += 1
    return found + [n] * (n > 1)


def _smooth(least: int) -> int:
    """The next length that is a power of two, but for a factor of 3, 5, 9 or 15."""
    return min(odd << max(-(-least // odd) - 1, 0).bit_length() for odd in (1, 3, 5, 9, 15))
