"""A thousand single-token typos of valid programs: diagnostics point to within one token of the typo.

`python -m tests.language.typos` prints those that do not. Most of them are brackets that are missing or doubled inside
of a test's data, where any of several places could be meant.
"""

from __future__ import annotations

from tests.language.typos import campaign, diagnostics, distance, is_located, programs

COUNT = 1000


def test_typos_are_located() -> None:
    found = campaign(COUNT, seed=11)
    assert len({made.kind for made, _ in found}) == 10
    assert len({said[0].code for _, said in found}) >= 20
    located = [is_located(made, said) for made, said in found]  # by the caret, or by what a note underlines
    assert sum(located) >= 0.95 * COUNT
    carets = [said[0].span is not None and distance(made, said[0].span.start) <= 1 for made, said in found]
    assert sum(carets) >= 0.8 * COUNT  # by the caret alone


def test_programs_are_valid() -> None:
    assert len(programs()) >= 30
    assert all(not diagnostics(text) for text in programs())


def test_distance_counts_whole_tokens() -> None:
    made, _ = campaign(1, seed=1)[0]
    assert distance(made, made.start) == 0
    assert distance(made, 0) >= distance(made, made.start)
