"""A statement or the header of a function -> a document."""

from __future__ import annotations

from collections.abc import Sequence

from tilec.frontends.tile.format_doc import EMPTY, LINE, SPACE, Doc, concat, flat_width, group, indent
from tilec.frontends.tile.format_expression import CLOSERS, OPENERS, cut, enclosed, expression, items, parts
from tilec.frontends.tile.format_tokens import Piece

_ASSIGNS = frozenset({"EQUAL", "PLUS_EQUAL", "STAR_EQUAL", "GREATER_EQUAL", "LESS_EQUAL"})
_AGGREGATIONS = frozenset({"PLUS", "STAR", "GREATER", "LESS", "EQUAL"})
_OPERAND_ENDS = frozenset({"NAME", "INT", "FLOAT", "RPAR", "RSQB"})


def statement(pieces: Sequence[Piece]) -> Doc:
    """`attributes target = value, constraints default D;`, the semicolon included."""
    start = _attributes_end(pieces)
    attributes = concat(_joined(pieces[:start]), SPACE) if start else EMPTY
    *body, semicolon = pieces[start:]
    sign = next((i for i in _outside(body) if body[i].type in _ASSIGNS), None)
    if sign is None:
        return concat(attributes, group(_joined(body)), semicolon.doc())
    target = concat(*(part.doc for part in parts(body[:sign], typed=True)))
    value = _value(body[sign + 1 :])
    return concat(attributes, target, SPACE, body[sign].doc(), SPACE, value, semicolon.doc())


def _joined(pieces: Sequence[Piece]) -> Doc:
    return concat(*(part.doc for part in parts(pieces)))


def _outside(pieces: Sequence[Piece]) -> list[int]:
    """Positions of the pieces outside of all brackets, closing ones included."""
    depth, found = 0, []
    for i, piece in enumerate(pieces):
        depth -= piece.type in CLOSERS
        if depth == 0 and piece.type not in OPENERS:
            found.append(i)
        depth += piece.type in OPENERS
    return found


def _attributes_end(pieces: Sequence[Piece]) -> int:
    """How many pieces the attributes `[[...]]` in front of a statement take."""
    end = 0
    while pieces[end].type == "LSQB":
        end += next(i for i in _outside(pieces[end:])) + 1
    return end


def _value(pieces: Sequence[Piece]) -> Doc:
    """The right side: with an aggregation `+:f64(body)`, or any expression; then what follows it."""
    end = _body_end(pieces)
    tail = _tail(pieces[end:])
    if pieces[0].type not in _AGGREGATIONS:
        return concat(group(expression(parts(pieces[:end]), indent)), tail)
    opening = next(i for i, piece in enumerate(pieces) if piece.type == "LPAR")
    return concat(*(piece.doc() for piece in pieces[:opening]), _joined(pieces[opening:end]), tail)


def _body_end(pieces: Sequence[Piece]) -> int:
    """Where the constraints and words behind the body begin."""
    outside = _outside(pieces)
    return next((i for i in outside if pieces[i].type == "COMMA" or _is_word(pieces, i)), len(pieces))


def _is_word(pieces: Sequence[Piece], i: int) -> bool:
    """Only `no_defract` and `default` are names directly behind an operand."""
    return i > 0 and pieces[i].type == "NAME" and pieces[i - 1].type in _OPERAND_ENDS


def _tail(pieces: Sequence[Piece]) -> Doc:
    """`, constraint, ... no_defract default D`: on the line of the body, or each on a line of its own."""
    if not pieces:
        return EMPTY
    words = next((i for i in _outside(pieces) if pieces[i].type == "NAME" and _is_tail_word(pieces, i)), len(pieces))
    found = parts(pieces[:words])
    commas = [part.doc for part in found if part.type == "COMMA"]
    constraints = [group(expression(item, indent)) for item in cut(found, "COMMA")[1:]]
    docs = [concat(comma, LINE, constraint) for comma, constraint in zip(commas, constraints)]
    ending = [concat(SPACE if i > words else LINE, pieces[i].doc()) for i in range(words, len(pieces))]
    return group(indent(*docs, *ending))


def _is_tail_word(pieces: Sequence[Piece], i: int) -> bool:
    return i == 0 or _is_word(pieces, i)


def header(pieces: Sequence[Piece], width: int) -> Doc:
    """`function name<T>(inputs) -> (outputs) {` or `test "name" {`; the inputs are broken before the outputs."""
    if pieces[0].type != "FUNCTION":
        return concat(pieces[0].doc(), *(concat(_gap(piece), piece.doc()) for piece in pieces[1:]))
    flat = _header(pieces, broken=False)
    return _header(pieces, broken=True) if flat_width(flat) > width else flat


def _gap(piece: Piece) -> Doc:
    return EMPTY if piece.type == "RBRACE" else SPACE


def _header(pieces: Sequence[Piece], broken: bool) -> Doc:
    docs: list[Doc] = []
    at = 0
    while at < len(pieces):
        if at == 1:
            docs.append(SPACE)
        if pieces[at].type in ("LESS", "LPAR"):
            end = _list_end(pieces, at)
            inside = pieces[at + 1 : end]
            docs.append(_list(pieces[at], inside, pieces[end], broken and pieces[at].type == "LPAR"))
            broken = broken and (pieces[at].type == "LESS" or not inside)
            at = end + 1
        else:
            spaced = pieces[at].type in ("ARROW", "LBRACE")
            docs.append(concat(SPACE if spaced else EMPTY, pieces[at].doc()))
            docs.append(SPACE if pieces[at].type == "ARROW" else EMPTY)
            at += 1
    return concat(*docs)


def _list_end(pieces: Sequence[Piece], at: int) -> int:
    closer = "GREATER" if pieces[at].type == "LESS" else "RPAR"
    return next(i for i in range(at, len(pieces)) if pieces[i].type == closer)


def _list(opener: Piece, inside: Sequence[Piece], closer: Piece, broken: bool) -> Doc:
    if not inside:
        return concat(opener.doc(), closer.doc())
    listed = _one_each(inside) if broken else items(parts(inside, typed=True))
    return enclosed(opener, listed, closer, broken)


def _one_each(inside: Sequence[Piece]) -> Doc:
    """Inputs on a line each, names without sizes among them."""
    found = parts(inside, typed=True)
    commas = [part.doc for part in found if part.type == "COMMA"]
    docs = [concat(*(part.doc for part in item)) for item in cut(found, "COMMA")]
    return concat(docs[0], *(concat(comma, LINE, doc) for comma, doc in zip(commas, docs[1:])))
