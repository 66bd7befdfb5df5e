"""Random programs under random schedules, and a primitive with a planted bug, which is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import tilec.passes.schedule
from tests.fuzz.schedules import run
from tilec.loops import For, Kernel, Stmt, rewrite
from tilec.passes.schedule import PRIMITIVES
from tilec.passes.schedule.tile import tile


def test_programs_under_random_schedules() -> None:
    summary = run(range(50), 2)
    assert not summary.failures, summary.report()
    assert {"tile", "reorder", "stage", "vectorize", "unroll", "parallel", "rfactor"} <= set(summary.notes)


def without_rest(kernel: Kernel, loop: str, factor: int, outer: str, inner: str, *how: Any) -> Kernel:
    """`tile` that forgets the last, shorter tile."""
    done = tile(kernel, loop, factor, outer, inner, *how)

    def shorter(stmt: Stmt) -> tuple[Stmt, ...]:
        if isinstance(stmt, For) and stmt.index == outer and isinstance(stmt.extent, int) and stmt.extent > 1:
            return (replace(stmt, extent=stmt.extent - 1),)
        return (stmt,)

    return replace(done, body=rewrite(done.body, shorter))


def test_a_wrong_primitive_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tilec.passes.schedule, "PRIMITIVES", {**PRIMITIVES, "tile": without_rest})
    assert run(range(50), 1, stop=1).failures
