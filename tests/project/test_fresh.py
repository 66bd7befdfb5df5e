"""Fresh names: none taken, none twice, and no search from the start."""

from __future__ import annotations

import time

from tilec.fresh import FreshNames


def test_numbered() -> None:
    names = FreshNames({"x", "x.2"})
    assert [names.numbered("x") for _ in range(3)] == ["x.1", "x.3", "x.4"]
    assert names.numbered("x.1") == "x.1.1"


def test_like() -> None:
    names = FreshNames({"m_2"}, "_")
    assert [names.like("m") for _ in range(3)] == ["m", "m_3", "m_4"]


def test_stems_that_look_like_names() -> None:
    names = FreshNames()
    found = [names.like(stem) for stem in ("a", "a.2", "a", "a", "a.2")]
    assert len(set(found)) == len(found)


def test_many_names_take_linear_time() -> None:
    names = FreshNames()
    start = time.perf_counter()
    for _ in range(50_000):
        names.numbered("x")
    assert time.perf_counter() - start < 5  # a search from 1 would take minutes
