"""Notes on brackets for syntax errors: which one is open, which one was closed, where rows of data differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tilec.errors import Note
from tilec.frontends.tile.scanner import CLOSERS, END, OPENERS, Token

# Tokens that often mean that a bracket in front of them was left open.
_OUTSIDERS = frozenset({END, "SEMICOLON", "FUNCTION", "EQUAL", "COMMA", "COLON", "ARROW", "LBRACE", *CLOSERS})


def opened(tokens: Sequence[Token], at: int, accepted: Collection[str]) -> tuple[Note, ...]:
    """Notes on the innermost bracket that is still open, where `tokens[at]` cannot stand inside it."""
    token, still_open = tokens[at], open_brackets(tokens[:at])
    if not still_open:
        return ()
    opener = still_open[-1]
    closable = any(CLOSERS[t] == opener.type for t in accepted if t in CLOSERS)
    declared = token.type == "LSQB" and opener.type == "LSQB" and closable  # `A[M, B[N]`
    if not declared and token.type not in _OUTSIDERS:
        return ()
    if opener.type == CLOSERS.get(token.type):
        return ()
    if opener.type == "LBRACE" and token.type not in (END, "FUNCTION"):
        return ()
    return (Note(f"'{opener.text}' opened at {opener.span} is not closed", opener.span), *_uneven(tokens, at))


def closed(tokens: Sequence[Token], at: int) -> tuple[Note, ...]:
    """A note on the bracket that the token in front closes: that one, or one before it, may be the wrong one."""
    if at == 0 or tokens[at - 1].type not in CLOSERS or tokens[at].type not in ("COMMA", *CLOSERS):
        return ()
    stack: list[Token] = []
    for token in tokens[:at]:
        if token.type in OPENERS:
            stack.append(token)
        elif stack and token.type in CLOSERS:
            opener = stack.pop()
    return (Note(f"'{tokens[at - 1].text}' closes '{opener.text}' at {opener.span}", opener.span),)


def open_brackets(tokens: Sequence[Token]) -> list[Token]:
    """The brackets that are open behind the tokens, outermost first."""
    stack: list[Token] = []
    for token in tokens:
        if token.type in OPENERS:
            stack.append(token)
        elif token.type == "FUNCTION":
            stack.clear()
        elif token.type == "SEMICOLON":  # ends every bracket but the braces
            while stack and stack[-1].type != "LBRACE":
                stack.pop()
        elif stack and CLOSERS.get(token.type) == stack[-1].type:
            stack.pop()
    return stack


def _uneven(tokens: Sequence[Token], at: int) -> tuple[Note, ...]:
    """A note on the first item of the statement's data that is nested less or deeper than the item before it."""
    start = max((i + 1 for i in range(at) if tokens[i].type in ("SEMICOLON", "LBRACE")), default=0)
    depths: list[int | None] = []  # per open bracket: how deep its first item is nested; None for no list of data
    for i in range(start, at):
        token, previous = tokens[i], tokens[i - 1].type if i else END
        if depths and depths[-1] is not None and previous in ("LSQB", "COMMA"):
            depth = _nested(tokens, i)
            if previous == "LSQB":
                depths[-1] = depth
            elif depth != depths[-1]:
                return (Note(f"rows of data are uneven from {token.span} on", token.span),)
        if token.type in OPENERS:
            depths.append(0 if token.type == "LSQB" and previous != "NAME" else None)
        elif token.type in CLOSERS and depths:
            depths.pop()
    return ()


def _nested(tokens: Sequence[Token], at: int) -> int:
    """The number of brackets `[` from `tokens[at]` on."""
    depth = 0
    while at + depth < len(tokens) and tokens[at + depth].type == "LSQB":
        depth += 1
    return depth
