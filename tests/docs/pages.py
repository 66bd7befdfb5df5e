"""The pages of the documentation, and the fenced blocks in them.

What a block's language says a test does with it:

    tile      parsed and checked; its in-file tests run. With `title="NAME"` it is also a file for what follows.
    python    run, in order, in one namespace for each page. `statement  # -> text` compares what the statement prints,
              or its value; a `text` block right below compares the rest that it prints.
    console   `$ command` lines are run, in order, in the page's folder; the lines below one are its output.
    (others)  with a title: written to a file for what follows.

Anything else needs `<!-- not run: the reason -->` on the line above; so marked, a titled program is only written. In
expected text, `...` stands for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = {p.relative_to(ROOT).as_posix(): p for p in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))}

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)
_TITLE = re.compile(r'title="([^"]+)"')
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+?) -->\s*\Z", re.S)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `follows`: nothing but blank space is between it and the block before; `start`: of its text."""

    language: str
    title: str | None
    text: str
    line: int
    start: int
    follows: bool
    not_run: str | None


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return list(_blocks(PAGES[page].read_text(encoding="utf-8")))


def _blocks(source: str) -> Iterator[Block]:
    end = 0
    for found in _FENCE.finditer(source):
        before = source[end : found.start()]
        title, marker = _TITLE.search(found["info"]), _NOT_RUN.search(before)
        yield Block(
            language=found["info"].partition(" ")[0].strip(),
            title=title[1] if title else None,
            text=found["text"],
            line=1 + source.count("\n", 0, found.start()),
            start=found.start("text"),
            follows=end > 0 and not before.strip(),
            not_run=marker["reason"] if marker else None,
        )
        end = found.end()


def agrees(expected: str, got: str) -> bool:
    """Whether two texts are equal up to blank space at the ends of lines; `...` in `expected` stands for anything."""
    want, have = (_trimmed(t) for t in (expected, got))
    pattern = ".*?".join(re.escape(part) for part in want.split("..."))
    return re.fullmatch(pattern, have, re.S) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
