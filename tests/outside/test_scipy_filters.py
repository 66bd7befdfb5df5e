"""Filters and boundary modes with scipy.ndimage and scipy.signal as oracles, on random shapes, windows and origins.

`python -m tests.outside.test_scipy_filters 1000` runs so many cases, and counts those of each function that agree.

Left out, for tilec.ops has no such functions: splines of order 2 and more, `generic_filter` and what else calls Python,
footprints that are no boxes, complex numbers, and morphology. Where the middle of an even kernel is, SciPy's functions
do not agree: for "same" `correlate` and `convolve` follow `scipy.signal.correlate` and `convolve`, and
`scipy.ndimage.correlate`; `scipy.signal.correlate2d` is that with origin -1, `scipy.ndimage.convolve` is not compared.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import tilec
from tilec import ops
from tilec.ops.boundary import MODES

Array = np.ndarray[Any, Any]
BATCH = 8  # cases in one program
BATCHES = 6  # in the tests


@dataclass(frozen=True, slots=True)
class Case:
    """One call of tilec's function, of some arrays, and what SciPy says."""

    name: str
    text: str
    arrays: tuple[Array, ...]
    ours: Callable[..., Any]
    wanted: Array


def case(rng: np.random.Generator) -> Case:
    """A random function on random operands."""
    makers = (_correlate, _signal, _smooth, _ordered, _coordinates)
    return makers[rng.integers(len(makers))](rng)


def _shape(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 4)))


def _beyond(rng: np.random.Generator) -> tuple[str, float]:
    return str(rng.choice(MODES)), float(np.round(rng.normal(), 2))


def _windows(rng: np.random.Generator, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes, and origins that are inside."""
    size = tuple(int(n) for n in rng.integers(1, 6, rank))
    return size, tuple(int(rng.integers(-(n // 2), (n - 1) // 2 + 1)) for n in size)


def _correlate(rng: np.random.Generator) -> Case:
    x = rng.normal(size=_shape(rng))
    size, origin = _windows(rng, x.ndim)
    kernel, (mode, value) = rng.normal(size=size), _beyond(rng)
    return Case(
        "ndimage.correlate",
        f"{x.shape} {size} {origin} {mode} {value}",
        (x, kernel),
        lambda x, k: ops.correlate(x, k, "same", boundary=mode, value=value, origin=origin),
        scipy.ndimage.correlate(x, kernel, mode=mode, cval=value, origin=origin),
    )


def _signal(rng: np.random.Generator) -> Case:
    x = rng.normal(size=_shape(rng))
    kernel = rng.normal(size=[int(rng.integers(1, n + 1)) for n in x.shape])
    mode, name = str(rng.choice(["full", "same", "valid"])), str(rng.choice(["correlate", "convolve"]))
    if x.ndim == 2 and rng.random() < 0.5:
        boundary, theirs = (("constant", "fill"), ("wrap", "wrap"), ("reflect", "symm"))[rng.integers(3)]
        even = name == "correlate" and mode == "same"
        shift = {"origin": [n % 2 - 1 for n in kernel.shape]} if even else {}
        return Case(
            f"signal.{name}2d",
            f"{x.shape} {kernel.shape} {mode} {boundary}",
            (x, kernel),
            lambda x, k: getattr(ops, name)(x, k, mode, boundary=boundary, **shift),
            getattr(scipy.signal, f"{name}2d")(x, kernel, mode, theirs),
        )
    return Case(
        f"signal.{name}",
        f"{x.shape} {kernel.shape} {mode}",
        (x, kernel),
        lambda x, k: getattr(ops, name)(x, k, mode),
        getattr(scipy.signal, name)(x, kernel, mode),
    )


def _smooth(rng: np.random.Generator) -> Case:
    x, (mode, value) = rng.normal(size=_shape(rng)), _beyond(rng)
    if rng.random() < 0.5:
        size, origin = _windows(rng, x.ndim)
        return Case(
            "ndimage.uniform_filter",
            f"{x.shape} {size} {origin} {mode} {value}",
            (x,),
            lambda x: ops.uniform_filter(x, size, mode=mode, value=value, origin=origin),
            scipy.ndimage.uniform_filter(x, size, mode=mode, cval=value, origin=origin),
        )
    sigma = tuple(float(s) for s in rng.uniform(0.3, 2, x.ndim))
    order = tuple(int(n) for n in rng.integers(0, 3, x.ndim))
    return Case(
        "ndimage.gaussian_filter",
        f"{x.shape} {sigma} {order} {mode} {value}",
        (x,),
        lambda x: ops.gaussian_filter(x, sigma, order=order, mode=mode, value=value),
        scipy.ndimage.gaussian_filter(x, sigma, order=order, mode=mode, cval=value),
    )


def _ordered(rng: np.random.Generator) -> Case:
    x, (mode, value) = rng.normal(size=_shape(rng)), _beyond(rng)
    size, origin = _windows(rng, x.ndim)
    name = str(rng.choice(["maximum", "minimum", "median", "percentile", "rank"]))
    first: tuple[Any, ...] = ()
    if name == "percentile":
        first = (int(rng.integers(0, 101)),)
    if name == "rank":
        first = (int(rng.integers(-int(np.prod(size)), int(np.prod(size)))),)
    return Case(
        f"ndimage.{name}_filter",
        f"{x.shape} {first} {size} {origin} {mode} {value}",
        (x,),
        lambda x: getattr(ops, f"{name}_filter")(x, *first, size, mode=mode, value=value, origin=origin),
        getattr(scipy.ndimage, f"{name}_filter")(x, *first, size, mode=mode, cval=value, origin=origin),
    )


def _coordinates(rng: np.random.Generator) -> Case:
    x, (mode, value) = rng.normal(size=_shape(rng)), _beyond(rng)
    places = rng.uniform(-12, 20, (x.ndim, *_shape(rng)))
    if rng.random() < 0.3:
        places = np.round(places * 2) / 2  # halves: which cell is the nearer one?
    order = int(rng.integers(2))
    return Case(
        "ndimage.map_coordinates",
        f"{x.shape} {places.shape} order {order} {mode} {value}",
        (x, places),
        lambda x, p: ops.map_coordinates(x, p, order, mode=mode, value=value),
        scipy.ndimage.map_coordinates(x, places, order=order, mode=mode, cval=value),
    )


def outcomes(seed: int, count: int) -> list[tuple[Case, str]]:
    """Random cases, compiled as one program, each with what is wrong with it, or nothing."""
    rng = np.random.default_rng(seed)
    cases = [case(rng) for _ in range(count)]
    found = tilec.jit(lambda arrays: [c.ours(*a) for c, a in zip(cases, arrays)])([c.arrays for c in cases])
    return [(c, _difference(np.asarray(got), c.wanted)) for c, got in zip(cases, found, strict=True)]


def _difference(found: Array, wanted: Array) -> str:
    if found.shape != wanted.shape:
        return f"shape {found.shape}, not {wanted.shape}"
    worst = float(np.max(np.abs(found - wanted), initial=0))
    scale = max(float(np.max(np.abs(wanted), initial=0)), 1.0)
    return "" if worst <= 1e-11 * scale else f"differs by {worst}"


@pytest.mark.parametrize("seed", range(BATCHES))
def test_against_scipy(seed: int) -> None:
    wrong = [f"{c.name} {c.text}: {what}" for c, what in outcomes(seed, BATCH) if what]
    assert not wrong, "\n".join(wrong)


def main(count: int) -> int:
    """Runs `count` cases and prints how many of each function agree; the exit status."""
    right, wrong = Counter[str](), Counter[str]()
    for seed in range(-(-count // BATCH)):
        for c, what in outcomes(seed, min(BATCH, count - seed * BATCH)):
            (wrong if what else right)[c.name] += 1
            if what:
                print(f"{c.name} {c.text}: {what}")
    for name in sorted(right | wrong):
        print(f"{name:28} {right[name]:5} of {right[name] + wrong[name]}")
    print(f"{sum(right.values())} of {count} cases agree")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 200))
