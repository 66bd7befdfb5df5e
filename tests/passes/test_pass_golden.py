"""Every pass on texts: its docstring's example and its golden files (`pytest --update` rewrites what is expected)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.passes.harness import DOCUMENTED, FOLDER, GOLDEN, SEPARATOR, documented, golden_files, split, transformed


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring(name: str) -> None:
    before, after = documented(name)
    assert transformed(name, before) == after


@pytest.mark.parametrize("path", golden_files(), ids=lambda p: str(p.relative_to(FOLDER)))
def test_golden(path: Path, update: bool) -> None:
    before, after = split(path.read_text(encoding="utf-8"))
    found = transformed(path.parent.name, before)
    if update:
        path.write_text(before + SEPARATOR + found, encoding="utf-8")
        return
    assert found == after


def test_every_pass_has_golden_files() -> None:
    assert {p.parent.name for p in golden_files()} == set(GOLDEN)
