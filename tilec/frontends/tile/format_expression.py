"""Tokens of a statement or a header -> a document: brackets, lists, operators by their precedence.

The text has been parsed before, so nothing is checked here. Brackets are kept on a stack instead of being recursed
into; what recurses is the splitting of one expression at its operators, one level for each precedence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tilec.frontends.tile.format_doc import (
    EMPTY,
    LINE,
    SOFT,
    SPACE,
    Doc,
    Text,
    concat,
    group,
    indent,
)
from tilec.frontends.tile.format_tokens import Piece

# Precedence of binary operators, loosest first; `?` and `:` of a conditional share the first row.
LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"QUESTION", "ELSE"}),
    frozenset({"CARET"}),
    frozenset({"BAR"}),
    frozenset({"AMPERSAND"}),
    frozenset({"EQUAL_EQUAL", "BANG_EQUAL"}),
    frozenset({"LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"}),
    frozenset({"SHIFT_LEFT", "SHIFT_RIGHT"}),
    frozenset({"PLUS", "MINUS"}),
    frozenset({"STAR", "SLASH", "PERCENT"}),
)
OPERATORS = frozenset().union(*LEVELS)
OPENERS = frozenset({"LPAR", "LSQB"})
CLOSERS = frozenset({"RPAR", "RSQB"})


@dataclass(frozen=True, slots=True)
class Part:
    """An operand (`type` OPERAND), or a binary operator, comma or colon between operands.

    atom: a number or a name, perhaps with a sign. bracket: an operand that is one bracket and nothing else.
    waits: what follows belongs to this operand: a sign, or the 2 of `2i`.
    """

    type: str
    doc: Doc
    text: str = ""
    atom: bool = False
    bracket: bool = False
    waits: bool = False


@dataclass(slots=True)
class Frame:
    """The content of a bracket that is still open; the outermost is the statement's.

    typed: a colon gives a type, `A: f32`, and sizes nowhere.
    """

    opener: Piece | None
    typed: bool = False
    parts: list[Part] = field(default_factory=list)
    questions: int = 0  # `?` that wait for their `:`


def parts(pieces: Sequence[Piece], typed: bool = False) -> list[Part]:
    """The tokens of one or several expressions with what separates them, every bracket made part of an operand."""
    frames = [Frame(None, typed)]
    for piece in pieces:
        if piece.type in OPENERS:
            frames.append(Frame(piece))
        elif piece.type in CLOSERS:
            closed = frames.pop()
            _add(frames[-1], Part("OPERAND", bracket(closed, piece), piece.text, bracket=True))
        else:
            _token(frames[-1], piece)
    return frames[0].parts


def _token(frame: Frame, piece: Piece) -> None:
    kind = _kind(frame, piece)
    last = frame.parts[-1] if frame.parts else None
    after_operand = last is not None and last.type == "OPERAND" and not last.waits
    if kind == "COLON" and frame.typed:
        _add(frame, Part("OPERAND", piece.doc(": "), piece.text, waits=True))
    elif kind in ("COMMA", "COLON") or (kind in OPERATORS and after_operand):
        frame.parts.append(Part(kind, piece.doc(), piece.text))
    else:
        waits = kind in ("MINUS", "TILDE", "BANG", "COEFFICIENT")
        _add(frame, Part("OPERAND", piece.doc(), piece.text, atom=True, waits=waits))


def _kind(frame: Frame, piece: Piece) -> str:
    """The terminal, with the colon of a conditional told from the others."""
    if piece.type == "COLON" and frame.questions:
        frame.questions -= 1
        return "ELSE"
    if piece.type == "COMMA":
        frame.questions = 0
    frame.questions += piece.type == "QUESTION"
    return piece.type


def _add(frame: Frame, part: Part) -> None:
    """Adds an operand, or puts it behind the one it belongs to: `f` and `(...)`, `-` and `A`, `2` and `i`."""
    last = frame.parts[-1] if frame.parts else None
    if last is None or last.type != "OPERAND":
        frame.parts.append(part)
        return
    glued = concat(last.doc, part.doc)
    frame.parts[-1] = Part("OPERAND", glued, last.text + part.text, last.atom and part.atom, waits=part.waits)


def bracket(frame: Frame, closer: Piece) -> Doc:
    """`( ... )` or `[ ... ]`: on one line, or its content indented on lines of its own."""
    opener = frame.opener
    assert opener is not None
    if not frame.parts:
        return concat(opener.doc(), closer.doc())
    if len(frame.parts) == 1 and frame.parts[0].bracket and not (opener.after or closer.before):
        return concat(opener.doc(), frame.parts[0].doc, closer.doc())
    return enclosed(opener, content(frame.parts), closer)


def enclosed(opener: Piece, inside: Doc, closer: Piece, broken: bool = False) -> Doc:
    """`inside` between two brackets; comments in front of them and behind them do not break the group."""
    text = concat(Text(opener.text), *opener.after)
    filled = indent(SOFT, inside, *closer.before)
    return concat(*opener.before, group(text, filled, SOFT, Text(closer.text), broken=broken), *closer.after)


def content(found: Sequence[Part]) -> Doc:
    """What stands between brackets: a list, and behind a colon a second one, as in `i, j : M, N`."""
    sides = cut(found, "COLON")
    if len(sides) == 1:
        return items(sides[0])
    colon = next(part for part in found if part.type == "COLON")
    left, right = (group(indent(items(side))) if side else EMPTY for side in sides[:2])
    return concat(left, LINE if sides[0] else EMPTY, colon.doc, SPACE if sides[1] else EMPTY, right)


def items(found: Sequence[Part]) -> Doc:
    """Expressions with commas; numbers and names fill the lines, others have one each where they do not fit in one."""
    listed = cut(found, "COMMA")
    commas = [part.doc for part in found if part.type == "COMMA"]
    if len(listed) == 1:
        return group(expression(listed[0]))
    docs = [concat(group(expression(item, indent)), comma) for item, comma in zip(listed, [*commas, EMPTY])]
    if all(len(item) == 1 and item[0].atom for item in listed):
        return concat(docs[0], *(group(LINE, doc) for doc in docs[1:]))
    return concat(docs[0], *(concat(LINE, doc) for doc in docs[1:]))


def cut(found: Sequence[Part], kind: str) -> list[list[Part]]:
    """Runs of parts between those of a type."""
    runs: list[list[Part]] = [[]]
    for part in found:
        if part.type == kind:
            runs.append([])
        else:
            runs[-1].append(part)
    return runs


def expression(found: Sequence[Part], rest: Callable[..., Doc] = concat, level: int = 0) -> Doc:
    """An expression that breaks in front of its loosest operators first; `rest` wraps what follows the first."""
    while level < len(LEVELS) and not any(part.type in LEVELS[level] for part in found):
        level += 1
    if level == len(LEVELS):
        return concat(*(part.doc for part in found))
    operands: list[list[Part]] = [[]]
    signs: list[Part] = []
    for part in found:
        if part.type in LEVELS[level]:
            signs.append(part)
            operands.append([])
        else:
            operands[-1].append(part)
    docs = [group(expression(operand, indent, level + 1)) for operand in operands]
    tail = [_operation(operands, signs, docs, i) for i in range(len(signs))]
    return concat(docs[0], rest(*tail))


def _operation(operands: list[list[Part]], signs: list[Part], docs: Sequence[Doc], i: int) -> Doc:
    """Operator i and its right operand, with a breakable space in front unless it is the `*` of `2*i`."""
    if i == 0 and is_coefficient(operands[0], signs[0], operands[1]):
        return concat(signs[0].doc, docs[1])
    return concat(LINE, signs[i].doc, SPACE, docs[i + 1])


def is_coefficient(left: list[Part], sign: Part, right: list[Part]) -> bool:
    """Whether this is an integer times an index variable."""
    if sign.type != "STAR" or len(left) != 1 or len(right) != 1:
        return False
    factor, index = left[0].text.lstrip("-"), right[0].text
    first = index.lstrip("_")[:1]
    return factor.isdigit() and right[0].atom and (first.islower() or first == "$")
