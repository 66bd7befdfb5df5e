"""The documentation site builds without a warning, holds every page, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

for _package in ("mkdocs", "material", "mkdocstrings"):
    pytest.importorskip(_package, reason=f"{_package} is not installed; pip install -e '.[docs]'")

_LOADED = re.compile(r"<(?:script|img|iframe|link(?![^>]*rel=\"canonical\"))\b[^>]*(?:src|href)=\"(?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    found = subprocess.run(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert found.returncode == 0, found.stdout
    return folder


def test_every_page_is_there(site: Path) -> None:
    for page in PAGES:
        name = Path(page).relative_to("docs").with_suffix("") if page.startswith("docs/") else None
        if name is not None:
            built = site / "index.html" if name == Path("index") else site / name / "index.html"
            assert built.is_file(), page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert pages
    assert [p.name for p in pages if _LOADED.search(p.read_text(encoding="utf-8"))] == []


def test_the_interface_is_documented(site: Path) -> None:
    import tilec

    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    missing = [name for name in tilec.__all__ if not name.startswith("_") and f'id="tilec.{name}"' not in text]
    assert missing == [], "add it to docs/api.md"
