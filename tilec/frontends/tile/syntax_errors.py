"""Words for syntax errors: what was found, what could stand there, and what the author probably meant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from tilec.errors import Diagnostic, Note, Span
from tilec.frontends.tile import brackets, habits
from tilec.frontends.tile.scanner import CLOSERS, END, OPENERS, Lexicon, Token

_EXPRESSION = frozenset({"NAME", "INT", "FLOAT", "LPAR", "MINUS"})
_EXPRESSION_START = _EXPRESSION | {"COEFFICIENT", "LSQB", "TILDE", "BANG"}
_COMPARISONS = (
    frozenset({"LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"}),
    frozenset({"EQUAL_EQUAL", "BANG_EQUAL"}),
)
_OPERATORS = frozenset(
    {"PLUS", "MINUS", "STAR", "SLASH", "PERCENT", "CARET", "BAR", "AMPERSAND", "SHIFT_LEFT", "SHIFT_RIGHT"}
    | {"QUESTION", "LPAR", "LSQB"}.union(*_COMPARISONS)
)
_ORDER = ("SEMICOLON", "COMMA", "RPAR", "RSQB", "RBRACE", "COLON", "EQUAL", "ARROW", "LBRACE", "LPAR", "LSQB")
_WORDS = {"NAME": "a name", "INT": "a number", "FLOAT": "a number", "STRING": 'a "string"', END: "the end"}
_STATEMENT = frozenset({"NAME", "LPAR", "LSQB"})
_STATEMENT_START = ("NAME", "FUNCTION", "RBRACE")


@dataclass(frozen=True, slots=True)
class Situation:
    """Where parsing stopped: `tokens[at]` does not fit; `accepted` would; `stack` is what is parsed but not reduced."""

    tokens: Sequence[Token]
    at: int
    accepted: Collection[str]
    stack: Sequence[object]
    lexicon: Lexicon

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    @property
    def previous(self) -> Token | None:
        return self.tokens[self.at - 1] if self.at else None

    @property
    def following(self) -> Token | None:
        return self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None

    def stacked(self, depth: int) -> str | None:
        """Type of the token that lies `depth` places below the top of the stack; None if it is no token."""
        value = self.stack[-depth] if depth <= len(self.stack) else None
        return value.type if isinstance(value, Token) else None


def diagnose(situation: Situation) -> Diagnostic:
    """The one best explanation of a syntax error."""
    explanations = (_spelled_assign, _chained, _mismatched, _no_else, _end_of_text, _missing_semicolon, _near_keyword)
    for explain in explanations:
        if (found := explain(situation)) is not None:
            return found
    message = f"unexpected {_shown(situation.token)}, expected {expectation(situation.accepted, situation.lexicon)}"
    opened = _opened(situation)
    meant = habits.unexpected(situation.tokens, situation.at, frozenset(situation.accepted))
    if opened and situation.token.type != "FUNCTION":
        return Diagnostic("TILE0019", message, situation.token.span, opened, meant)
    if (foreign := _foreign_operator(situation)) is not None:
        return Diagnostic("TILE0018", message, situation.token.span, help=foreign)
    if _follows_contraction(situation):
        help = "a contraction is a statement of its own: name its result, then compute with it"
        return Diagnostic("TILE0020", message, situation.token.span, help=help)
    if meant is not None:
        return Diagnostic("TILE0002", message, situation.token.span, opened, meant)
    closed = brackets.closed(situation.tokens, situation.at)
    return Diagnostic("TILE0002", message, situation.token.span, opened or _list_of_names(situation) or closed)


def is_missing_semicolon(situation: Situation) -> bool:
    """Whether a semicolon in front of the token makes it a new statement, as far as one can see."""
    token, previous = situation.token, situation.previous
    if "SEMICOLON" not in situation.accepted or previous is None:
        return False
    if token.type == "RBRACE":
        return True
    if token.type not in _STATEMENT_START:
        return False
    new_line = "\n" in token.span.source.text[previous.span.end : token.span.start]
    following = situation.following
    return new_line or (following is not None and following.type in ("EQUAL", "LSQB"))


def is_spelled_assign(situation: Situation) -> bool:
    """Whether `==` stands where the aggregation `= =(` belongs."""
    return situation.token.type == "EQUAL_EQUAL" and {"EQUAL", "PLUS_EQUAL"} <= set(situation.accepted)


def _spelled_assign(situation: Situation) -> Diagnostic | None:
    if not is_spelled_assign(situation):
        return None
    message = "the assign aggregation is written '= =', with a space"
    return Diagnostic("TILE0008", message, situation.token.span, help="write O[...] = =(A[...]);")


def _chained(situation: Situation) -> Diagnostic | None:
    for family in _COMPARISONS:
        if situation.token.type in family and situation.stacked(2) in family:
            hint = "combine two comparisons with '&', or use parentheses: (a < b) & (b < c)"
            return Diagnostic("TILE0009", "comparison operators do not chain", situation.token.span, help=hint)
    return None


def _mismatched(situation: Situation) -> Diagnostic | None:
    """A closing bracket of another kind than the innermost open one."""
    if situation.token.type not in CLOSERS or not (opened := _opened(situation)):
        return None
    message = f"unexpected {_shown(situation.token)}, expected {expectation(situation.accepted, situation.lexicon)}"
    return Diagnostic("TILE0019", message, situation.token.span, opened)


def _no_else(situation: Situation) -> Diagnostic | None:
    if situation.stacked(2) != "QUESTION" or "COLON" not in situation.accepted:
        return None
    if situation.token.type not in ("RPAR", "RSQB", "COMMA", "SEMICOLON"):
        return None
    message = f"unexpected {_shown(situation.token)}, expected ':' and the other value of the conditional"
    hint = "'A == B ? C' without ':' can only be the whole body of a contraction"
    return Diagnostic("TILE0011", message, situation.token.span, help=hint)


def _end_of_text(situation: Situation) -> Diagnostic | None:
    if situation.token.type != END:
        return None
    message = f"the program ends too early, expected {expectation(situation.accepted, situation.lexicon)}"
    previous = situation.previous
    span = situation.token.span if previous is None else _after(previous)
    return Diagnostic("TILE0003", message, span, _opened(situation))


def _missing_semicolon(situation: Situation) -> Diagnostic | None:
    if not is_missing_semicolon(situation) or habits.begins_statement(situation.tokens, situation.at):
        return None
    assert situation.previous is not None
    return Diagnostic("TILE0004", "missing ';' after this statement", _after(situation.previous))


def _near_keyword(situation: Situation) -> Diagnostic | None:
    """`fucntion`, `defualt`: a name where a keyword was expected."""
    token, lexicon = situation.token, situation.lexicon
    if token.type != "NAME":
        return None
    if token.text == "import" and "FUNCTION" in situation.accepted:
        return Diagnostic("TILE0015", "imports are not available in this version", token.span)
    words = [lexicon.spelling[t] for t in situation.accepted if lexicon.spelling.get(t, "") in lexicon.words]
    close = get_close_matches(token.text[:40], words, n=1, cutoff=0.6)
    if not close:
        return None
    wanted = expectation(situation.accepted, lexicon)
    return Diagnostic(
        "TILE0017",
        f"unexpected {_shown(token)}, expected {wanted}",
        token.span,
        help=f"did you mean '{close[0]}'?",
    )


def _after(token: Token) -> Span:
    return Span(token.span.source, token.span.end, token.span.end)


def _shown(token: Token) -> str:
    text = token.text if len(token.text) <= 30 else f"{token.text[:27]}..."
    return "the end" if token.type == END else f"'{text}'"


def expectation(accepted: Collection[str], lexicon: Lexicon) -> str:
    """The accepted terminals in words: `';' or ','`, `an expression`. Operators go without saying after an operand."""
    names = set(accepted)
    parts: list[str] = []
    operator: list[str] = []
    if names - {"RBRACE"} == _STATEMENT:
        parts.append("a statement")
        names -= _STATEMENT
    elif names >= _EXPRESSION:
        parts.append("an expression")
        names -= _EXPRESSION_START
    elif len(names & _OPERATORS) > 5:
        names -= _OPERATORS
        operator = ["an operator"]
    known = [t for t in _ORDER if t in names]
    others = sorted(names - set(_ORDER), key=lambda t: (t not in _WORDS, t))
    ordered = known + others if "SEMICOLON" in names else others + known
    parts += dict.fromkeys(_word(t, lexicon.spelling) for t in ordered)
    parts = parts[:5] + operator
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}" if parts else "nothing more"


def _word(terminal: str, spelling: Mapping[str, str]) -> str:
    return _WORDS.get(terminal) or f"'{spelling.get(terminal, terminal)}'"


def _opened(situation: Situation) -> tuple[Note, ...]:
    return brackets.opened(situation.tokens, situation.at, situation.accepted)


def _list_of_names(situation: Situation) -> tuple[Note, ...]:
    """A note where a statement begins with a parenthesis, as if it were a list of names: a word may be missing."""
    start = situation.at - 2
    if start < 1 or situation.token.type not in OPENERS or situation.tokens[start].type != "LPAR":
        return ()
    if situation.tokens[start - 1].type not in ("SEMICOLON", "LBRACE"):
        return ()
    span = situation.tokens[start].span
    return (Note(f"'(' at {span} begins a list of names, as in '(A, B) = f(C);'", span),)


def _follows_contraction(situation: Situation) -> bool:
    """Whether an operator follows the closed bracket of an aggregation: `O[] = +(A[i]) / N`."""
    previous = situation.previous
    after = previous is not None and previous.type == "RPAR" and situation.token.type in _OPERATORS
    return after and {"SEMICOLON", "DEFAULT"} <= set(situation.accepted)


def _foreign_operator(situation: Situation) -> str | None:
    """What to write for an operator that other languages have: `&&`, `**`, unary `+`, `=` as a comparison."""
    token, previous, accepted = situation.token, situation.previous, situation.accepted
    if previous is None:
        return None
    if token.type == "PLUS" and set(accepted) >= _EXPRESSION:
        return "there is no unary plus"
    if token.type == previous.type and token.type in ("AMPERSAND", "BAR"):
        return f"write a single '{token.text}'"
    if token.type == previous.type == "STAR":
        return "a power is written pow(x, y)"
    if token.type == "EQUAL" and {"EQUAL_EQUAL", "SEMICOLON"} <= set(accepted):
        return "a comparison is written '=='"
    return None
