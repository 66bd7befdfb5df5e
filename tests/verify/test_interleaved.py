"""Views of one buffer that a launch is given: told apart where they have no element in common."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy as np
import pytest

from tilec.errors import TileError
from tilec.text.loops_text import parse_program
from tilec.verify.loops import verify_program

PROGRAM = """program f(A) -> (R) {{
  buffer A: param f32[{n}]
  buffer R: param f32[{n}]
  buffer x: param f32{x} strides {xs} base R offset {xo}
  buffer y: param f32{y} strides {ys} base R offset {yo}
  kernel k(in x: f32{x} strides {xs}, out y: f32{y} strides {ys}) {{
    for i in {y[0]} {{ for j in {y[1]} {{ y[i, j] = x[0, 0] }} }}
  }}
  run {{ copy A -> R  launch k(x, y) }}
}}"""


def accepted(**view: Any) -> bool:
    try:
        verify_program(parse_program(PROGRAM.format(**view)))
    except TileError as e:
        assert "share memory" in str(e)
        return False
    return True


def cells(shape: list[int], strides: list[int], offset: int) -> set[int]:
    return {int(offset + np.dot(i, strides)) for i in product(*map(range, shape))}


@pytest.mark.parametrize("seed", range(200))
def test_views_of_the_same_strides_share_memory_exactly_where_they_meet(seed: int) -> None:
    rng = random.Random(seed)
    width = rng.randint(2, 6)
    x, y = ([rng.randint(2, 3), rng.randint(2, width)] for _ in range(2))
    starts = [rng.randint(0, 3) * width + rng.randint(0, width - s[1]) for s in (x, y)]
    strides = [width, 1]
    apart = cells(x, strides, starts[0]).isdisjoint(cells(y, strides, starts[1]))
    view = {"n": 7 * width, "x": x, "xs": strides, "xo": starts[0], "y": y, "ys": strides, "yo": starts[1]}
    assert accepted(**view) == apart
