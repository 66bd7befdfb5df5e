"""Tile text -> syntax tree.

The tables come from grammar/tile.lark by Lark (LALR(1)); the loop that feeds them is here, so that a keyword can be
told from a name by what the parser can accept, and parsing can go on after an error with the next statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tilec.errors import Diagnostic, Report, Source, Span, TileError, error
from tilec.frontends.tile import syntax
from tilec.frontends.tile.automaton import Automaton
from tilec.frontends.tile.forms import check_forms
from tilec.frontends.tile.limits import MAX_DIAGNOSTICS, MAX_SOURCE_BYTES
from tilec.frontends.tile.scanner import END, ERROR, Lexicon, Token, lexicon, scan
from tilec.frontends.tile.syntax_errors import Situation, diagnose, is_missing_semicolon, is_spelled_assign

if TYPE_CHECKING:
    from lark import Lark


def parse(text: str, name: str = "<string>") -> syntax.Program:
    """The syntax tree of a program.

    `name` is shown in diagnostics. Raises TileError with everything found wrong in the text, in order of position.
    """
    source = Source(name, text)
    _check_length(source)
    report = Report()
    _, words = _grammar()
    tokens = scan(source, words, report)
    scanned = not report.diagnostics
    program = _read(source, tokens, report)
    if program is not None:
        check_forms(program, report)
        if not report.diagnostics:
            return program
    found = _in_order(report)
    raise TileError(_sharpened(source, tokens, found) if scanned and program is None else found)


def _read(source: Source, tokens: Sequence[Token], report: Report) -> syntax.Program | None:
    """The tree of the tokens; None where they are no program."""
    lark, words = _grammar()
    items = _Parse(lark, words, tokens, report).run()
    if items is None or report.diagnostics:
        return None
    functions = tuple(item for item in items if isinstance(item, syntax.Function))
    return syntax.Program(source, functions, tuple(item for item in items if isinstance(item, syntax.Test)))


def _sharpened(source: Source, tokens: Sequence[Token], found: list[Diagnostic]) -> list[Diagnostic]:
    """The one typo that explains all that was found, or what was found."""
    from tilec.frontends.tile.repair import sharpen

    def read(part: Sequence[Token]) -> syntax.Program | None:
        report = Report()
        program = _read(source, part, report)
        if program is not None and (program.functions or program.tests):
            check_forms(program, report)
        return None if report.diagnostics else program

    lark, words = _grammar()
    better = sharpen(found[0], tokens, _automaton(lark, words), words, read)
    return found if better is None else [better]


def _automaton(lark: Lark, words: Lexicon) -> Automaton:
    state: Any = lark.parse_interactive().parser_state
    return Automaton(state.parse_conf.parse_table.states, state.position, words.words)


def decode(data: bytes, name: str) -> str:
    """The text of a source file; a byte order mark is dropped. Raises TILE0006 where it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        start = fault.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        before = data[:start].decode("utf-8", errors="replace")
        source = Source(name, before + "\ufffd")
        bad = data[start]
        raise error(
            "TILE0006",
            f"byte 0x{bad:02X} at offset {start} is not valid UTF-8",
            Span(source, len(before), len(before) + 1),
            help="save the file as UTF-8",
        ) from None


def _check_length(source: Source) -> None:
    limit = MAX_SOURCE_BYTES
    if len(source.text) > limit or len(source.text.encode("utf-8", errors="surrogatepass")) > limit:
        raise error("TILE0412", f"source is longer than {limit // 1024} KiB", Span(source, 0, 0))


def _in_order(report: Report) -> list[Any]:
    unique = {(d.code, d.span.start if d.span else -1): d for d in reversed(report.diagnostics)}
    return [unique[key] for key in sorted(unique, key=lambda key: key[1])][:MAX_DIAGNOSTICS]


@cache
def _grammar() -> tuple[Lark, Lexicon]:
    """The parser tables and the lexicon, built once when first needed (Lark is slow to import)."""
    from lark import Lark

    from tilec.frontends.tile.tree_builder import TreeBuilder

    text = files("tilec.grammar").joinpath("tile.lark").read_text(encoding="utf-8")
    lark = Lark(text, parser="lalr", lexer="basic", transformer=TreeBuilder())
    return lark, lexicon(lark.terminals)


@dataclass(frozen=True, slots=True)
class _Mark:
    """The parser's stacks at the start of a statement, and the number of open braces."""

    states: list[Any]
    values: list[Any]
    lengths: list[int]
    depth: int

    @staticmethod
    def of(state: Any, depth: int) -> _Mark:
        values = list(state.value_stack)
        return _Mark(list(state.state_stack), values, [len(_items(v)) for v in values], depth)

    def restore(self, state: Any) -> None:
        """Lark appends to the lists of a repetition in place, so they are cut to what they were."""
        for value, length in zip(self.values, self.lengths, strict=True):
            del _items(value)[length:]
        state.state_stack[:], state.value_stack[:] = self.states, self.values


def _items(value: Any) -> list[Any]:
    """Lark's list of the repeated parts of a rule (`x*`); nothing else on its stack can be changed."""
    return getattr(value, "children", [])


@dataclass
class _Parse:
    """One parse: the position in the tokens, and the parser state to return to after an error."""

    lark: Lark
    lexicon: Lexicon
    tokens: Sequence[Token]
    report: Report
    at: int = 0
    depth: int = 0  # open braces
    mark: _Mark = field(init=False)

    def __post_init__(self) -> None:
        # Any: Lark is typed for its own tokens only, but asks no more of one than its `type`.
        self.state: Any = self.lark.parse_interactive().parser_state
        self.automaton = _automaton(self.lark, self.lexicon)

    def run(self) -> tuple[Any, ...] | None:
        """The items of the program; None if the end was not reached."""
        from lark.exceptions import UnexpectedToken

        boundary = True
        while True:
            token = self.tokens[self.at]
            if boundary:
                self.mark = _Mark.of(self.state, self.depth)
            try:
                result = self._feed(token)
            except UnexpectedToken:
                if len(self.report.diagnostics) >= MAX_DIAGNOSTICS or not self._recover():
                    return None
                boundary = True
                continue
            if token.type == END:
                return result  # type: ignore[no-any-return]
            self.depth += (token.type == "LBRACE") - (token.type == "RBRACE")
            boundary = token.type in ("SEMICOLON", "LBRACE", "RBRACE")
            self.at += 1

    def _feed(self, token: Token) -> Any:
        word = self.lexicon.words.get(token.text) if token.type == "NAME" else None
        if word is not None and word in self.automaton.states[self.state.state_stack[-1]]:
            token = Token(word, token.text, token.span)
        return self.state.feed_token(token, token.type == END)

    def _recover(self) -> bool:
        """Reports the error at the present token and finds a place to go on; False at the end of the text."""
        accepted = self.automaton.accepted(self.state.state_stack)
        situation = Situation(self.tokens, self.at, accepted, self.state.value_stack, self.lexicon)
        token = situation.token
        if token.type != ERROR:  # the scanner has reported it
            self.report.diagnostics.append(diagnose(situation))
        if token.type == END:
            return False
        if is_spelled_assign(situation):
            self._insert("EQUAL", "EQUAL")
            self.at += 1
            return True
        if is_missing_semicolon(situation):
            self._insert("SEMICOLON")
            return True
        self.mark.restore(self.state)
        self.depth = self.mark.depth
        return self._skip_statement() if self.depth else self._skip_function()

    def _insert(self, *types: str) -> None:
        span = self.tokens[self.at].span
        for kind in types:
            self.state.feed_token(Token(kind, self.lexicon.spelling[kind], span))

    def _skip_statement(self) -> bool:
        """Continues after the next `;`, at the next `}`, or at `function` as if the `}` were there."""
        while (kind := self.tokens[self.at].type) != END:
            if kind == "SEMICOLON":
                self.at += 1
                return True
            if kind == "RBRACE":
                return True
            if kind == "FUNCTION" and self.tokens[self.at + 1].type in ("NAME", "LPAR", "LESS"):
                self._insert("RBRACE")
                self.depth -= 1
                return True
            self.at += 1
        return False

    def _skip_function(self) -> bool:
        """Continues at the next `function` or `test "..."` outside of braces."""
        depth = 0
        self.at += 1
        while (token := self.tokens[self.at]).type != END:
            if token.type == "FUNCTION":
                return True
            if depth <= 0 and token.text == "test" and self.tokens[self.at + 1].type == "STRING":
                return True
            depth += (token.type == "LBRACE") - (token.type == "RBRACE")
            self.at += 1
        return False
