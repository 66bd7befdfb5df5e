"""Constants of a traced function: a change of their contents is never missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tilec.tracing.contents import SMALL, Contents

LARGE = SMALL // 4 + 3  # float32 elements, not a multiple of eight bytes


@pytest.mark.parametrize("size", [1, 5, LARGE])
def test_written_between_calls(size: int) -> None:
    scaled = tilec.jit(lambda x, w: x * w, constants="w")
    w = np.ones(size, np.float32)
    assert scaled(np.float32(2), w).tolist() == [2.0] * size
    for k in {0, size // 2, size - 1}:
        w[k] = 5.0
        assert scaled(np.float32(2), w).tolist() == (2 * w).tolist()


@pytest.mark.parametrize("old, new", [(0.0, -0.0), (np.nan, 1.0), (1.0, np.nan)])
def test_bits_count(old: float, new: float) -> None:
    contents, array = Contents(), np.full(LARGE, old, np.float32)
    before = contents.digest(0, array)
    assert contents.digest(0, array) == before
    array[-1] = new
    assert contents.digest(0, array) != before


def test_strided_and_transposed() -> None:
    contents, array = Contents(), np.zeros((2 * LARGE, 2), np.float32)
    for view in (array[::2], array.T):
        before = contents.digest(0, view)
        view[..., -1] += 1
        assert contents.digest(0, view) != before


def test_read_only_views_of_what_can_be_written() -> None:
    contents, array = Contents(), np.zeros(LARGE, np.float32)
    view = array[:]
    view.flags.writeable = False
    before = contents.digest(0, view)
    array[7] = 1
    assert contents.digest(0, view) != before


def test_a_flag_that_is_taken_back_for_a_moment() -> None:
    contents, array = Contents(), np.zeros(LARGE, np.float32)
    array.flags.writeable = False
    before = contents.digest(0, array)
    array.flags.writeable = True
    array[7] = 1
    array.flags.writeable = False
    assert contents.digest(0, array) != before


def test_views_made_before_an_array_became_read_only() -> None:
    contents, array = Contents(), np.zeros(LARGE, np.float32)
    view = array[:]
    array.flags.writeable = False
    before = contents.digest(0, array)
    view[7] = 1
    assert contents.digest(0, array) != before


def test_the_copy_goes_with_the_array() -> None:
    contents, first, second = Contents(), np.zeros(LARGE, np.float32), np.ones(LARGE, np.float32)
    contents.digest(0, first)
    contents.digest(0, second)
    del first
    assert contents._seen[0].array() is second
    del second
    assert not contents._seen


def test_array_of_bytes_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from tilec.tracing import contents as module

    taken: list[Any] = []
    real = module._digest

    def counted(leaf: Any) -> str:
        taken.append(leaf)
        return real(leaf)

    monkeypatch.setattr(module, "_digest", counted)
    array = np.frombuffer(bytes(4 * LARGE), np.float32)
    found = Contents()
    assert len({found.digest(0, array) for _ in range(3)}) == 1
    assert len(taken) == 1
    found.digest(0, np.zeros(LARGE, np.float32))  # another array in its place
    assert len(taken) == 2
