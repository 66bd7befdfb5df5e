"""Where a syntax error probably is: the one token whose change makes the function or test valid.

A parser notices a missing or doubled bracket where the text can no longer go on, often at the end of the statement. So
all changes of one token between the start of the statement and that place are tried: first on the tables of the parser
alone, then, the most plausible first, by parsing and checking the program with the change; in a test the shapes of data
are checked, too. This is minimum-cost repair, L. Diekmann and L. Tratt, "Don't Panic! Better, Fewer, Syntax Errors for
LR Parsers", ECOOP 2020, with the meaning of the program to choose among equal costs. The work is bounded, by counts and
not by a clock: the same text always has the same diagnostics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tilec.errors import Diagnostic, Note, Span, TileError
from tilec.frontends.tile.automaton import Automaton
from tilec.frontends.tile.edits import BRACKETS, Edit, balance, edits, superfluous
from tilec.frontends.tile.elaborate import check
from tilec.frontends.tile.functions import TEST_CHECKS
from tilec.frontends.tile.scanner import END, ERROR, OPENERS, Lexicon, Token
from tilec.frontends.tile.syntax import Function, Program, Test
from tilec.frontends.tile.tests_runner import prepare

Read = Callable[[Sequence[Token]], Program | None]
MAX_TOKENS = 6_000  # of sources that are looked at
MAX_WINDOW = 200  # tokens in front of the error
MAX_FED = 40_000  # tokens given to the automaton
MAX_WORK = 4_000  # tokens parsed, and an eighth of those checked
MAX_LETS = 2_000  # results of elaborated tests
MAX_TESTS = 3  # tests of a function that is changed
_LIMITS = ("TILE0411", "TILE0416", "TILE0417")
# The errors that may be consequences of another place; the other ones know what was meant. A conditional without its
# other value lacks two tokens, so only a likelier typo than that explains it.
_COST = {"TILE0002": 9.0, "TILE0003": 9.0, "TILE0004": 9.0, "TILE0019": 9.0, "TILE0011": 2.0}


def sharpen(
    found: Diagnostic, tokens: Sequence[Token], automaton: Automaton, lexicon: Lexicon, read: Read
) -> Diagnostic | None:
    """A diagnostic at the likely place of the typo that `found` is a consequence of; None where `found` is as good.

    `read` gives the program of some of the tokens, None where they are none.
    """
    if found.code not in _COST or len(tokens) > MAX_TOKENS or any(t.type == ERROR for t in tokens):
        return None
    item, others = _split(tokens, found)
    stacks = automaton.stacks(item)
    at = len(stacks) - 1
    if at == len(item) or (rest := read(others)) is None:
        return None
    names = [*TEST_CHECKS, *(f.name.text for f in rest.functions if f.name is not None)]
    judge = _Judge(rest, read)
    tries = 1 + MAX_WORK // (len(item) + len(tokens) // 8)
    for edit in islice(_ranked(item, stacks, automaton, lexicon, names), tries):
        if edit.cost < _COST[found.code] and judge.valid(edit.apply(item)):
            place = _middle(edit, item)
            return None if abs(place - at) <= 1 else _diagnostic(edit, place, item, found)
    return None


def _split(tokens: Sequence[Token], found: Diagnostic) -> tuple[Sequence[Token], Sequence[Token]]:
    """The tokens of the function or test with the error, and those of all others; each ends with END."""
    place = found.span.start if found.span else 0
    starts = [i for i in range(len(tokens)) if _begins_item(tokens, i)]
    low = max((i for i in starts if tokens[i].span.start < place), default=0)
    high = next((i for i in starts if i > low), len(tokens) - 1)
    behind = tokens[high].span
    end = Token(END, "", Span(behind.source, behind.start, behind.start))
    return [*tokens[low:high], end], [*tokens[:low], *tokens[high:]]


def _begins_item(tokens: Sequence[Token], at: int) -> bool:
    if tokens[at].type == "FUNCTION":
        return True
    return tokens[at].text == "test" and at + 1 < len(tokens) and tokens[at + 1].type == "STRING"


# which changes the parser accepts


def _ranked(
    tokens: Sequence[Token], stacks: Sequence[list[Any]], automaton: Automaton, lexicon: Lexicon, names: Sequence[str]
) -> Iterator[Edit]:
    """Changes with which the statement can be parsed: the most plausible first, then those nearest the error."""
    at, budget = len(stacks) - 1, MAX_FED
    low, high = _start(tokens, at), _end(tokens, at)
    wrong = balance(tokens[low : high + 1])
    found: list[tuple[float, int, Edit]] = []
    for edit in (e for i in range(at, low - 1, -1) for e in edits(tokens, i, lexicon, names)):
        if edit.at + edit.dropped > at + 1 or not _balances(edit, tokens, wrong):
            continue
        fed = _feed(tokens, edit, high, list(stacks[edit.at]), automaton)
        if fed > 0:
            cost = edit.cost + superfluous(edit.apply(tokens[: high + 1])[low:])
            found.append((cost, at - edit.at, edit))
        if (budget := budget - abs(fed)) < 0:
            break
    found.sort(key=lambda f: f[:2])
    yield from (edit for _, _, edit in found)


def _start(tokens: Sequence[Token], at: int) -> int:
    """The first token of the statement, or of the function or test, that the one at `at` belongs to."""
    low = max(0, at - MAX_WINDOW)
    return next((i for i in range(at - 1, low, -1) if tokens[i - 1].type in ("SEMICOLON", "LBRACE")), low)


def _end(tokens: Sequence[Token], at: int) -> int:
    """The last token of it."""
    ends = ("SEMICOLON", "LBRACE", "RBRACE", END)
    return next(i for i in range(at, len(tokens)) if tokens[i].type in ends)


def _balances(edit: Edit, tokens: Sequence[Token], wrong: tuple[int, int]) -> bool:
    removed, added = balance(edit.removed(tokens)), balance(edit.inserted)
    return all(w - r + a == 0 for w, r, a in zip(wrong, removed, added))


def _feed(tokens: Sequence[Token], edit: Edit, high: int, stack: list[Any], automaton: Automaton) -> int:
    """How many tokens were fed up to the end of the statement; negative where one did not fit."""
    fed = 0
    for token in (*edit.inserted, *tokens[edit.at + edit.dropped : high + 1]):
        fed += 1
        if not automaton.feed(stack, token):
            return -fed
    return fed


# whether the program is valid then


@dataclass(slots=True)
class _Judge:
    """Says whether tokens and the `rest` of a program are a valid one, as long as that is no great work."""

    rest: Program
    read: Read
    lets: int = MAX_LETS

    def valid(self, tokens: Sequence[Token]) -> bool:
        changed, rest = self.read(tokens), self.rest
        if changed is None or not (changed.functions or changed.tests):
            return False
        program = Program(rest.source, (*rest.functions, *changed.functions), (*rest.tests, *changed.tests))
        if check(program).errors():
            return False
        return all(self._passes(program, test) for test in changed.tests or _tests_of(changed.functions, rest.tests))

    def _passes(self, program: Program, test: Test) -> bool:
        """Whether a test can be elaborated; not asked of one that makes random data, which may be large."""
        if self.lets < 0 or "random" in _text(test):
            return self.lets >= 0
        try:
            self.lets -= len(prepare(program, test).graph.lets)
        except TileError as found:
            self.lets -= MAX_LETS if found.code in _LIMITS else 0
            return False
        return True


def _tests_of(functions: Sequence[Function], tests: Sequence[Test]) -> list[Test]:
    """Some tests that name one of the functions."""
    names = [f.name.text for f in functions if f.name is not None]
    return [t for t in tests if any(name in _text(t) for name in names)][:MAX_TESTS]


def _text(test: Test) -> str:
    return test.span.source.text[test.span.start : test.span.end]


# words


def _middle(edit: Edit, tokens: Sequence[Token]) -> int:
    """The middle of a run of equal signs: which of them is missing, or too many, nobody can tell."""
    if edit.dropped + len(edit.inserted) != 1:
        return edit.at
    sign = edit.inserted[0].text if edit.inserted else tokens[edit.at].text
    low = high = edit.at
    while low > 0 and tokens[low - 1].text == sign:
        low -= 1
    while high < len(tokens) and tokens[high].text == sign:
        high += 1
    return max(low, (low + high - 1) // 2)


def _diagnostic(edit: Edit, at: int, tokens: Sequence[Token], found: Diagnostic) -> Diagnostic:
    """What is said of the change, with the caret at the token `at`."""
    token, shown = tokens[at], found.message
    if found.span is not None:
        shown = Note(f"it shows at {found.span}: {found.message}", found.span)
    kinds = {t.type for t in (*edit.inserted, *edit.removed(tokens))}
    code = "TILE0019" if kinds & BRACKETS else "TILE0004" if "SEMICOLON" in kinds else "TILE0002"
    if not edit.dropped:
        place = _behind(tokens, at) if edit.inserted[0].type not in ("NAME", *OPENERS) else token.span
        message = f"{_described(edit.inserted[0])} is missing here"
        return Diagnostic(code, message, place, (shown,), "with it the program is valid")
    if not edit.inserted:
        help = f"without this '{token.text}' the program is valid"
    elif edit.dropped == len(edit.inserted) == 1:
        help = f"the program is valid with {_described(edit.inserted[0])} in its place"
    else:
        joint = " " if edit.dropped == 2 else ""
        help = f"did you mean '{joint.join(t.text for t in edit.inserted)}'?"
    return Diagnostic(code, f"unexpected '{token.text}'", token.span, (shown,), help)


def _described(token: Token) -> str:
    words = {"NAME": f"a name such as '{token.text}'", "PLUS": "an operator", "INT": "a number"}
    return words.get(token.type, f"'{token.text}'")


def _behind(tokens: Sequence[Token], at: int) -> Span:
    """The place behind the token in front of `at`."""
    end = tokens[at - 1].span.end if at else tokens[at].span.start
    return Span(tokens[at].span.source, end, end)
