"""Places that are multiples of open sizes: right for every size, and little larger than those found for it alone."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest

from tilec.affine import Poly, named_size, resolve
from tilec.arena import Life, assign, largest_live_set
from tilec.errors import TileError
from tilec.open_arena import LINE, OpenLife, Part, parts

N, M = named_size("N"), named_size("M")
UNITS: tuple[Any, ...] = (1, N, M, N * M, N * N, N - 3, 2 * N + 3 * M)
VALUES = (3, 4, 7, 16, 33, 1000)


def random_lives(rng: random.Random, count: int) -> list[OpenLife]:
    found = []
    for k in range(count):
        first, factor = rng.randrange(20), rng.choice((1, 2, 4, 12, 40, 64, 3136))
        size = rng.choice(UNITS) * factor
        found.append(OpenLife(f"b{k}", size, first, first + rng.randrange(8)))
    return found


def placed(found: list[Part], sizes: dict[str, int]) -> tuple[dict[str, int], int]:
    """Offsets of all buffers, as a call works them out, and the end of the arena."""
    offsets: dict[str, int] = {}
    end = 0
    for part in found:
        unit = -(-int(resolve(part.unit, sizes)) // part.step) * part.step
        offsets |= {name: end + place * unit for name, place in part.places}
        end += part.extent * unit
    return offsets, end


@pytest.mark.parametrize("seed", range(60))
def test_buffers_that_live_together_lie_apart(seed: int) -> None:
    rng = random.Random(seed)
    lives = random_lives(rng, rng.randint(1, 25))
    found = parts(lives)
    for _ in range(4):
        sizes = {"N": rng.choice(VALUES), "M": rng.choice(VALUES)}
        offsets, end = placed(found, sizes)
        bytes = {b.name: int(resolve(b.size, sizes)) for b in lives}
        assert end % LINE == 0 and set(offsets) == set(bytes)
        for b in lives:
            assert offsets[b.name] % LINE == 0 and offsets[b.name] + bytes[b.name] <= end
            for other in lives:
                together = b is not other and b.first <= other.last and other.first <= b.last
                if together and offsets[b.name] <= offsets[other.name]:
                    assert offsets[b.name] + bytes[b.name] <= offsets[other.name] or not bytes[other.name]


@pytest.mark.parametrize("factors", [(3136, 40, 40, 2048, 4), (4, 4, 4), (256, 256, 4)])
@pytest.mark.parametrize("value", [1, 5, 64, 1000])
def test_one_open_size_costs_little(factors: tuple[int, ...], value: int) -> None:
    """Activations of a network, as multiples of the batch: little more than if the batch were known."""
    sizes: list[Any] = [N * f for f in (*factors, *reversed(factors))]
    lives = [OpenLife(f"{k}", size, k, k + 1) for k, size in enumerate(sizes)]
    _, end = placed(parts(lives), {"N": value})
    known = [Life(b.name, int(resolve(b.size, {"N": value})), b.first, b.last) for b in lives]
    least, _ = largest_live_set(known, LINE)
    assert end <= 1.1 * least + LINE // 4 * 2 * max(factors)  # units are rounded up to 16, at most


def test_known_sizes_are_placed_as_ever() -> None:
    lives = [Life("a", 100, 0, 2), Life("b", 30, 1, 3), Life("c", 90, 3, 4)]
    (part,) = parts([OpenLife(b.name, b.size, b.first, b.last) for b in lives])
    places, end = assign(lives, LINE)
    assert dict(part.places) == places and part.unit == part.step == 1 and 0 <= part.extent - end < LINE


def test_sizes_with_fractions_are_refused() -> None:
    half = Poly(((("N",), Fraction(1, 2)),))
    with pytest.raises(TileError, match="must be fixed") as refused:
        parts([OpenLife("a", half, 0, 1)])
    assert refused.value.code == "TILE0210"
