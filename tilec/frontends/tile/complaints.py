"""Diagnostics that are raised from several places of the frontend, and the search for similar names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction
from types import MappingProxyType

from tilec.dtypes import BY_NAME, DType
from tilec.errors import Note, Span, TileError, error
from tilec.frontends.tile import habits
from tilec.frontends.tile.syntax import Function, Ident, Number

ELEMENT_INSIDE = "an element of a tensor, known only at run time, used as an index or size"


def plural(count: int, noun: str) -> str:
    """`1 index`, `2 indices`."""
    forms = {"index": "indices", "axis": "axes"}
    return f"{count} {noun if count == 1 else forms.get(noun, noun + 's')}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The most similar known name, or None."""
    names = sorted(set(known))
    folded = {n.lower(): n for n in reversed(names)}
    if found := get_close_matches(name, names, 1, 0.6):
        return found[0]
    found = get_close_matches(name.lower(), list(folded), 1, 0.6)
    return folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A help line that offers the most similar known name, or None."""
    found = nearest(name, known)
    return f"did you mean '{found}'?" if found else None


def bound_at(name: str, known: Iterable[str], places: Mapping[str, Span]) -> list[Note]:
    """A note on where the most similar name is bound: it may be that one that is misspelt."""
    found = nearest(name, known)
    if found is None or found not in places:
        return []
    return [Note(f"'{found}' is bound at {places[found]}", places[found])]


_LATER = "statements take effect in their order: assign a name, once, before it is used"


def never_used(unused: Mapping[str, Span], near: str | None) -> list[Note]:
    """Notes on names that nothing uses: one of them may be misspelt, unless a similar name explains it all."""
    if near in unused or len(unused) > 2:
        return []
    return [Note(f"'{name}', bound at {span}, is never used", span) for name, span in unused.items()]


def undefined(
    name: Ident, known: Mapping[str, Span], later: Span | None = None, unused: Mapping[str, Span] = MappingProxyType({})
) -> TileError:
    """TILE0101, or TILE0116 where a later statement assigns the name.

    `known` says where each name is bound, `unused` where those are that nothing uses.
    """
    if later is not None:
        note = Note(f"assigned at {later}", later)
        return error("TILE0116", f"'{name.text}' is used before it is assigned", name.span, notes=[note], help=_LATER)
    near = nearest(name.text, known)
    notes = [*bound_at(name.text, known, known), *never_used(unused, near)]
    help = f"did you mean '{near}'?" if near else None
    return error("TILE0101", f"'{name.text}' is not defined", name.span, notes=notes, help=help)


def unknown_function(name: Ident, known: Iterable[str], functions: Mapping[str, Function]) -> TileError:
    """TILE0105; `functions` are those of the program, `known` those that exist anyhow."""
    places = {n: f.name.span for n, f in functions.items() if f.name is not None}
    names = [*known, *functions]
    notes = bound_at(name.text, names, places)
    help = did_you_mean(name.text, functions) or habits.function(name.text) or _near_function(name.text, names)
    return error("TILE0105", f"there is no function '{name.text}'", name.span, notes=notes, help=help)


def _near_function(name: str, names: Sequence[str]) -> str | None:
    """The most similar function; of NumPy's, `sotfmax`, with what it is in Tile."""
    found = nearest(name, [*names, *habits.FUNCTIONS])
    if found is None or found in names:
        return did_you_mean(name, names)
    return f"did you mean '{found}'? {habits.function(found)}"


def wrong_case(name: Ident, found: str) -> TileError:
    """TILE0112: `found` says what the name is used as."""
    if found == "a tensor" and name.text in habits.TRUTH:
        notes = [f"there is no constant '{name.text}'"]
        return error(
            "TILE0112", f"'{name.text}' is used as {found}", name.span, notes=notes, help=habits.TRUTH[name.text]
        )
    other = name.text[:1].swapcase() + name.text[1:]
    return error(
        "TILE0112",
        f"'{name.text}' is used as {found}",
        name.span,
        notes=["index variables begin lower-case, tensors and sizes upper-case"],
        help=f"write '{other}'" if other != name.text else None,
    )


def not_affine(span: Span, why: str) -> TileError:
    """TILE0205, or TILE0219 for an element of a tensor."""
    code, help = "TILE0205", "an index is a sum of index variables times constants, plus a constant"
    if why == ELEMENT_INSIDE:
        code = "TILE0219"
        help = "elements are indices only where one reads: 'A[I[i]]'; 'scatter(updates, indices, like)' adds at them"
    return error(code, f"index is not affine: {why}", span, help=help)


def float_in_index(number: Number) -> TileError:
    """TILE0206, with the spelling that was meant."""
    written = number.span.source.text[number.span.start : number.span.end]
    exponent = re.fullmatch(r"(\d+)([eE]\d+)", written)
    help = f"'{written}' is one number; write '{exponent[1]}*{exponent[2]}' for a product" if exponent else None
    if help is None and abs(number.value) < 1e9:
        ratio = Fraction(number.value).limit_denominator(1000)
        if ratio.denominator == 1:
            help = f"write the integer: '{ratio}', or '{ratio}*i'"
        else:
            factor = f"{ratio.numerator}*" if ratio.numerator != 1 else ""
            help = f"write it with integers: '{factor}i/{ratio.denominator}'"
    return error("TILE0206", f"float '{written}' inside an index", number.span, help=help)


def gradients(span: Span, what: str) -> TileError:
    """TILE0114."""
    help = "take them of a function from outside: 'tilec grad FILE', or tilec.grad in Python"
    return error("TILE0114", f"'{what}': gradients are not taken inside a program", span, help=help)


def type_named(name: Ident, generics: Iterable[str] = ()) -> DType:
    """The element type called `name`; raises TILE0303."""
    found = BY_NAME.get(name.text)
    if found is None:
        help = did_you_mean(name.text, [*BY_NAME, *generics]) or f"types: {', '.join(BY_NAME)}"
        raise error("TILE0303", f"there is no type '{name.text}'", name.span, help=help)
    return found
