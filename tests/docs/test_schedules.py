"""docs/schedules.md shows every primitive as its docstring does."""

from __future__ import annotations

from tests.docs.schedule_page import PAGE, page


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.docs.schedule_page --write"
