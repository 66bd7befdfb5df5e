"""A thousand single-token typos of valid programs: the caret stands within one token of the typo.

`python -m tests.language.typos` prints those where it does not. Most of them are names that stand once where they are
bound and once where they are used, so that nothing says which of the two is misspelt.
"""

from __future__ import annotations

from tests.language.typos import KINDS, campaign, diagnostics, distance, is_located, programs

COUNT = 1000


def test_typos_are_located() -> None:
    found = campaign(COUNT, seed=11)
    assert {made.kind for made, _ in found} == KINDS
    assert len({said[0].code for _, said in found}) >= 20
    assert sum(is_located(made, said) for made, said in found) >= 0.95 * COUNT


def test_programs_are_valid() -> None:
    assert len(programs()) >= 30
    assert all(not diagnostics(text) for text in programs())


def test_distance_counts_whole_tokens() -> None:
    made, _ = campaign(1, seed=1)[0]
    assert distance(made, made.start) == 0
    assert distance(made, 0) >= distance(made, made.start)
