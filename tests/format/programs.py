"""Programs for the formatter's tests, trees without positions, and texts with white space and comments thrown in."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from random import Random
from typing import Any

from tests.language.mutate import SEEDS, mutate
from tilec.errors import Report, Source, Span, TileError
from tilec.frontends.tile.parser import _grammar, parse
from tilec.frontends.tile.scanner import scan

ROOT = Path(__file__).resolve().parents[2]
CONFORMANCE = ROOT.parent / "shared" / "conformance" / "tile_programs.jsonl"
COMMENT = re.compile(r"//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/")


def examples() -> dict[str, str]:
    """The example programs by the names of their files."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.tile"))}


def blocks() -> dict[str, str]:
    """Programs of the documentation, by page and number."""
    return {
        f"{page.name}-{number}": match.group(1)
        for page in sorted((ROOT / "docs").rglob("*.md"))
        for number, match in enumerate(re.finditer(r"^```tile\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S))
        if parses(match.group(1))
    }


def items() -> list[str]:
    """Every function and test of the programs of the project, each as a program of its own."""
    found = []
    for text in (*examples().values(), *blocks().values(), *SEEDS):
        program = parse(text)
        spans = [f.span for f in program.functions] + [t.span for t in program.tests]
        found += [text[span.start : span.end] for span in spans]
    return found


def conformance() -> list[str]:
    """The programs of the shared conformance data that parse; none where it is absent."""
    if not CONFORMANCE.exists():
        return []
    rows = [json.loads(line)["code"] for line in CONFORMANCE.read_text("utf-8").splitlines()]
    return [code for code in rows if parses(code)]


def parses(text: str) -> bool:
    try:
        parse(text)
    except TileError:
        return False
    return True


def tree(text: str) -> Any:
    """The syntax tree of `text` as nested tuples, without positions."""
    program = parse(text)
    return plain((program.functions, program.tests))


def plain(node: Any) -> Any:
    if isinstance(node, tuple):
        return tuple(map(plain, node))
    if dataclasses.is_dataclass(node):
        values = (getattr(node, f.name) for f in dataclasses.fields(node))
        return (type(node).__name__, *(plain(v) for v in values if not isinstance(v, Span)))
    return node


def comments(text: str) -> list[str]:
    """The comments of a program, in order, each without white space at the ends of its lines."""
    _, lexicon = _grammar()
    found, at = [], 0
    for token in scan(Source("", text), lexicon, Report()):
        found += COMMENT.findall(text[at : token.span.start])
        at = token.span.end
    return ["\n".join(line.strip() for line in comment.splitlines()) for comment in found]


SPACES = ["", "", "", "", " ", " ", "  ", "\n", "\n\n", "\n\n\n", "\t", " \r\n"]
COMMENTS = ["// one\n", "  // two   \n", "\n// three\n", "\n\n/// four\n", "/* five */", "/* six */\n"]
COMMENTS += ["\n/* seven */\n", "\n  /* eight\n   * nine\n     ten */\n\n", "/* a\nb */", "/**/", "//\n"]


def shaken(text: str, random: Random, share: float) -> str:
    """The tokens of `text` with other white space between them, and comments in a `share` of the gaps."""
    _, lexicon = _grammar()
    out = []
    previous, coefficient = "", False
    for token in scan(Source("", text), lexicon, Report()):
        word = text[token.span.start : token.span.end]
        gap = "" if coefficient else random.choice(SPACES)
        while random.random() < share and not coefficient:
            gap += " " * (previous == "/")
            gap += random.choice(COMMENTS) + random.choice(SPACES)
        coefficient = token.type == "COEFFICIENT"
        out += [gap if gap or not _join(previous, word) or _is_factor(previous, text, token.span.start) else " ", word]
        previous = word
    return "".join(out)


def _is_factor(previous: str, text: str, at: int) -> bool:
    """Whether the token at `at` is the name of `2i`."""
    return previous.isdigit() and text[at - 1].isdigit()


def _join(left: str, right: str) -> bool:
    """Whether two tokens, written without a space, could become one."""
    return bool(left and right) and (bool(re.match(r"[\w.'#$\"]", right)) or left[-1] + right[0] in _PAIRS)


_PAIRS = {"==", "->", "+=", "*=", ">=", "<=", "!=", "<<", ">>", "//", "/*"}


def generated(count: int, seed: int) -> list[str]:
    """`count` mutated programs that parse."""
    random, found = Random(seed), list[str]()
    while len(found) < count:
        text = mutate(random.choice(SEEDS), random)
        if parses(text):
            found.append(text)
    return found
