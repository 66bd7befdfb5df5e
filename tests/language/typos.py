"""Single-token typos of valid programs, and whether the diagnostics show the place.

python -m tests.language.typos [--count 1000] [--seed 11]      prints the misses
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from tests.language.mutate import SEEDS
from tilec.errors import Diagnostic, Note, TileError
from tilec.frontends.tile.elaborate import check
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.tests_runner import prepare

ROOT = Path(__file__).resolve().parents[2]
NAME = "typo.tile"
_COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|"[^"\n]*"', re.S)
_TOKEN = re.compile(r"[#$]?[A-Za-z_]\w*'?|\d[\w.]*|->|[=!<>]=|<<|>>|[^\w\s]")
_WORD = re.compile(r"[#$]?[A-Za-z_]")
_PUNCTUATION = "()[]{},;:=+-*/<>?&|"


@cache
def programs() -> tuple[str, ...]:
    """Valid programs: the examples, those of the language's specification, and the seeds of the mutation tests."""
    examples = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.tile"))]
    page = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    found = (*examples, *re.findall(r"^```tile\n(.*?)^```$", page, re.M | re.S), *SEEDS)
    return tuple(text for text in found if not diagnostics(text))


@dataclass(frozen=True, slots=True)
class Typo:
    """A changed program; the edit is `text[start:end]`, and `token` is what stood there."""

    kind: str
    original: str
    text: str
    start: int
    end: int
    token: str


def spans(text: str) -> list[tuple[int, int]]:
    """Places of the tokens, outside of comments and strings."""
    hidden = [m.span() for m in _COMMENT.finditer(text)]
    found = (m.span() for m in _TOKEN.finditer(text))
    return [(a, b) for a, b in found if not any(low <= a < high for low, high in hidden)]


def typo(text: str, random: Random) -> Typo:
    """`text` with one token misspelt, missing, doubled or replaced: a word as often as a sign or number."""
    word = random.random() < 0.5
    start, end = random.choice([s for s in spans(text) if word == bool(_WORD.match(text, s[0]))])
    token = text[start:end]
    kinds = _OF_WORDS if word else _OF_SIGNS
    kind, edit = random.choice(kinds)
    written = edit(token, random)
    return Typo(kind, text, text[:start] + written + text[end:], start, start + len(written), token)


def _swapped(token: str, random: Random) -> str:
    if len(token) < 2:
        return token + token
    at = random.randrange(len(token) - 1)
    return token[:at] + token[at + 1] + token[at] + token[at + 2 :]


def _dropped(token: str, random: Random) -> str:
    at = random.randrange(len(token))
    return token[:at] + token[at + 1 :]


def _doubled(token: str, random: Random) -> str:
    at = random.randrange(len(token))
    return token[:at] + token[at] + token[at:]


def _replaced(token: str, random: Random) -> str:
    at = random.randrange(len(token))
    letters = "abcdefghijklmnopqrstuvwxyz"
    return token[:at] + random.choice(letters.upper() if token[at].isupper() else letters) + token[at + 1 :]


def _other_case(token: str, random: Random) -> str:
    at = re.search(r"[A-Za-z]", token)
    return token if at is None else token[: at.start()] + at[0].swapcase() + token[at.end() :]


Edit = Callable[[str, Random], str]
_OF_WORDS: Sequence[tuple[str, Edit]] = (
    ("letters swapped", _swapped),
    ("letter missing", _dropped),
    ("letter doubled", _doubled),
    ("letter replaced", _replaced),
    ("wrong case", _other_case),
    ("word missing", lambda token, random: ""),
    ("word doubled", lambda token, random: f"{token} {token}"),
)
_OF_SIGNS: Sequence[tuple[str, Edit]] = (
    ("sign missing", lambda token, random: ""),
    ("sign doubled", lambda token, random: f"{token} {token}"),
    ("sign replaced", lambda token, random: random.choice(_PUNCTUATION)),
)


def diagnostics(text: str) -> tuple[Diagnostic, ...]:
    """What is wrong with a program: its text, its names, and the elaboration of its tests. Empty where nothing is."""
    try:
        program = parse(text, NAME)
        check(program).check()
        for test in program.tests:
            prepare(program, test)
    except TileError as problem:
        return problem.diagnostics
    return ()


def places(found: Diagnostic) -> Iterator[int]:
    """What a diagnostic underlines: its own place, and those that its notes are about."""
    if found.span is not None:
        yield found.span.start
    yield from (note.span.start for note in found.notes if isinstance(note, Note))


def distance(made: Typo, place: int) -> int:
    """Whole tokens between the typo and a place; 0 inside and beside it."""
    tokens = spans(made.text)
    before = sum(place < a and b <= made.start for a, b in tokens)
    after = sum(made.end <= a and b <= place for a, b in tokens)
    return before + after


def campaign(count: int, seed: int) -> list[tuple[Typo, tuple[Diagnostic, ...]]]:
    """`count` typos that are errors, with what is said about them; edits that leave a valid program do not count."""
    random = Random(seed)
    found: list[tuple[Typo, tuple[Diagnostic, ...]]] = []
    while len(found) < count:
        made = typo(random.choice(programs()), random)
        if made.text != made.original and (said := diagnostics(made.text)):
            found.append((made, said))
    return found


def is_located(made: Typo, said: Sequence[Diagnostic]) -> bool:
    """Whether the first diagnostic underlines something within one token of the typo."""
    return any(distance(made, place) <= 1 for place in places(said[0]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.language.typos")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    found = campaign(args.count, args.seed)
    misses = [(made, said) for made, said in found if not is_located(made, said)]
    for made, said in misses:
        line = 1 + made.text.count("\n", 0, made.start)
        print(
            f"--- {made.kind}, line {line}: {made.token!r} -> {made.text[made.start : made.end]!r}\n{said[0].render()}"
        )
    for kind, number in sorted(Counter(made.kind for made, _ in found).items()):
        print(f"{kind}: {number - sum(made.kind == kind for made, _ in misses)} of {number}")
    print(f"{len(found) - len(misses)} of {len(found)} typos located")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
