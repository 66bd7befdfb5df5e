"""Floor 5: what `tilec explain` shows: one page per diagnostic code, in `pages/CODE.md`.

A page is Markdown of one form, so that its programs can be run and its message compared by the tests:

    # TILE0101: undefined name
    what went wrong, in a paragraph or two
    ## Why
    ## Wrong        one fenced block
    ## Message      one fenced block: exactly what is said about it
    ## Mended       one fenced block

A block is `tile` (a program; after `inputs`, the types of its inputs), `python` or `console` (lines of the shell).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

from tilec.codes import CODES
from tilec.errors import error

_BLOCK = re.compile(r"^```(\w+)(?: inputs ([^\n]*))?\n(.*?)^```$", re.M | re.S)
_SECTIONS = ("Why", "Wrong", "Message", "Mended")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its kind, the input types after `inputs` (None without), and the text between the fences."""

    kind: str
    inputs: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `text` is the Markdown as a whole."""

    code: str
    title: str
    what: str
    why: str
    wrong: Block
    message: str
    mended: Block
    text: str


def normalise(code: str) -> str:
    """`tile101`, `101` and `[TILE0101]` as TILE0101; raises TileError TILE0706 for a code that does not exist."""
    digits = re.fullmatch(r"\W*(?:tile)?(\d{1,4})\W*", code.strip(), re.I)
    found = f"TILE{int(digits[1]):04}" if digits else code.strip().upper()
    if found not in CODES:
        near = f"; the nearest is {_nearest(int(digits[1]))}" if digits else ""
        raise error("TILE0706", f"there is no diagnostic code {code!r}", help=f"'tilec explain' lists all codes{near}")
    return found


def _nearest(number: int) -> str:
    found = min(CODES, key=lambda code: abs(int(code[4:]) - number))
    return f"{found}, {CODES[found]}"


def read(code: str) -> str:
    """The Markdown of a code's page; raises TileError TILE0706 for a code that does not exist."""
    return (files("tilec.explain") / "pages" / f"{normalise(code)}.md").read_text(encoding="utf-8")


def page(code: str) -> Page:
    """A page taken apart; raises TileError TILE0706 for a code that does not exist."""
    return parse_page(read(code))


def parse_page(text: str) -> Page:
    """The parts of a page; raises ValueError where it has another form (the tests hold every page to it)."""
    head, *rest = re.split(r"^## (\w+)\n", text, flags=re.M)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    heading = re.match(r"# (TILE\d{4}): (.+)\n", head)
    if heading is None or tuple(sections) != _SECTIONS:
        raise ValueError(f"a page has a heading and the sections {', '.join(_SECTIONS)}; found {', '.join(sections)}")
    wrong, message, mended = (_block(sections[name]) for name in _SECTIONS[1:])
    what, why = head[heading.end() :].strip(), sections["Why"].strip()
    return Page(heading[1], heading[2], what, why, wrong, message.text.rstrip("\n"), mended, text)


def _block(section: str) -> Block:
    found = _BLOCK.findall(section)
    if len(found) != 1:
        raise ValueError(f"a section holds one fenced block, found {len(found)}")
    kind, inputs, text = found[0]
    return Block(kind, inputs or None, text)


def markdown(page: Page) -> str:
    """The page with the types of inputs in front of their block, for whoever shows Markdown."""
    return re.sub(r"^```tile inputs (.*)$", r"with `\1`\n\n```tile", page.text, flags=re.M)


def plain(page: Page) -> str:
    """The page as text without marks: blocks are indented, and code in a sentence is in quotes."""

    def block(found: Block) -> str:
        inputs = "" if found.inputs is None else f"with {found.inputs}\n\n"
        return inputs + "".join(f"    {line}\n" if line else "\n" for line in found.text.splitlines())

    def prose(text: str) -> str:
        return f"{text.replace('`', chr(39))}\n"

    heading = f"{page.code}: {page.title}"
    parts = [
        f"{heading}\n{'=' * len(heading)}\n",
        prose(page.what),
        f"Why\n---\n{prose(page.why)}",
        f"Wrong\n-----\n{block(page.wrong)}",
        f"Message\n-------\n{block(Block('text', None, page.message))}",
        f"Mended\n------\n{block(page.mended)}",
    ]
    return "\n".join(parts)
