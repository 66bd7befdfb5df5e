"""The map of files in CONTRIBUTING.md names every file of the package once, and nothing else."""

from __future__ import annotations

from collections import Counter

from tests.project import filemap

REFRESH = "refresh it with: python tests/project/filemap.py --write"


def test_every_file_is_mentioned_once() -> None:
    mentioned = Counter(filemap.written())
    assert [f for f, n in mentioned.items() if n > 1] == []
    assert set(filemap.files()) - set(mentioned) == set(), REFRESH
    assert set(mentioned) - set(filemap.files()) == set(), REFRESH


def test_every_file_says_what_it_is() -> None:
    assert [f for f in filemap.files() if len(filemap.summary(f)) < 10] == [], "begin it with a docstring"


def test_lines_are_short() -> None:
    long = [f for f in filemap.files() if len(filemap.summary(f)) > 1.5 * filemap.LIMIT]
    assert long == [], "shorten the docstring's first sentence, or add a line to BRIEF"


def test_the_walk_finds_the_package() -> None:
    found = filemap.files()
    assert {"tilec/errors.py", "passes/simplify.py", "backends/llvm/jit.py"} <= set(found)
    assert not any(f.startswith(("tilec/passes/", "tilec/backends/", "tilec/grammar/")) for f in found)
