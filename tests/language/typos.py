"""Single-token typos of valid programs, and whether the diagnostics show the place.

python -m tests.language.typos [--count 1000] [--seed 11]      prints the misses
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from tests.language.mutate import SEEDS
from tilec.errors import Diagnostic, TileError
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
    """`text` with one token misspelt, missing, doubled, replaced, swapped with the next one, or a sign too many.

    A word as often as a sign or number.
    """
    word = random.random() < 0.5
    tokens = spans(text)
    start, end = random.choice([s for s in tokens if word == bool(_WORD.match(text, s[0]))])
    kind, edit = random.choice(_OF_WORDS if word else _OF_SIGNS)
    if kind in _SWAPPED:
        following = [s for s in tokens if s[0] >= end][:1]
        end = following[0][1] if following else end
    token = text[start:end]
    written = edit(token, random) if kind != "word replaced" else random.choice(_words(text))
    return Typo(kind, text, text[:start] + written + text[end:], start, start + len(written), token)


def _words(text: str) -> list[str]:
    """The different words of a program."""
    return sorted({text[a:b] for a, b in spans(text) if _WORD.match(text, a)})


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


def _exchanged(tokens: str, random: Random) -> str:
    """Two tokens and what is between them, in the other order."""
    places = spans(tokens)
    if len(places) != 2:
        return tokens
    (_, first), (second, _) = places
    return tokens[second:] + tokens[first:second] + tokens[:first]


Edit = Callable[[str, Random], str]
_OF_WORDS: Sequence[tuple[str, Edit]] = (
    ("letters swapped", _swapped),
    ("letter missing", _dropped),
    ("letter doubled", _doubled),
    ("letter replaced", _replaced),
    ("wrong case", _other_case),
    ("word missing", lambda token, random: ""),
    ("word doubled", lambda token, random: f"{token} {token}"),
    ("word replaced", lambda token, random: token),  # by another word of the program
    ("word swapped", _exchanged),
)
_OF_SIGNS: Sequence[tuple[str, Edit]] = (
    ("sign missing", lambda token, random: ""),
    ("sign doubled", lambda token, random: f"{token} {token}"),
    ("sign replaced", lambda token, random: random.choice(_PUNCTUATION)),
    ("sign inserted", lambda token, random: f"{random.choice(_PUNCTUATION)} {token}"),
    ("sign swapped", _exchanged),
)
KINDS = {kind for kind, _ in (*_OF_WORDS, *_OF_SIGNS)}
_SWAPPED = ("word swapped", "sign swapped")  # with the token behind it


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
    """Whether the caret of the first diagnostic stands within one token of the typo; places of notes do not count."""
    span = said[0].span
    return span is not None and distance(made, span.start) <= 1


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
