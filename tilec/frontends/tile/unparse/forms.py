"""Sizes and index forms as text of Tile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from tilec.affine import Affine, Coef, Monomial, Poly, Size
from tilec.errors import Span, error
from tilec.frontends.tile.unparse.names import Names
from tilec.frontends.tile.unparse.terms import ATOM, PREFIX, PRODUCT, SUM

Part = tuple[int | Fraction, tuple[str, ...]]  # a number times names


def size_text(size: Size, names: Names, span: Span | None = None) -> str:
    """A size, as in `2 * N + 1`."""
    parts = list(_parts(size, (), names))
    if any(isinstance(c, Fraction) for c, _ in parts):  # `/` truncates between sizes
        raise error("TILE0606", f"the size {size} cannot be written in Tile", span)
    text = _sum(parts)[0]
    return text[1:-1] if _is_enclosed(text) else text


def _is_enclosed(text: str) -> bool:
    """Whether the text is one operation in parentheses."""
    depth = 0
    for place, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return place == len(text) - 1 and text[0] == "("
    return False


def size_term(size: Size, names: Names) -> tuple[str, int]:
    """A size, and how tightly it binds."""
    return _sum(list(_parts(size, (), names)))


def form_text(form: Affine, indices: Mapping[str, str], names: Names) -> tuple[str, int]:
    """An index form, and how tightly it binds.

    A fraction of sizes is written as part of a fraction of an index, where `/` is exact.
    """
    scale = form.denominator()
    if any(isinstance(c, Poly) and _is_fractional(c) for c in (form.const, *(c for _, c in form.terms))):
        if form.is_constant:  # `/` truncates between sizes
            raise error("TILE0606", f"the fraction {form} of sizes cannot be written in Tile")
        return f"({form_text(form * scale, indices, names)[0]}) / {scale}", PRODUCT
    terms = [p for n, c in form.terms for p in _parts(c, (indices[n],), names)]
    return _sum([*terms, *_parts(form.const, (), names)])


def _is_fractional(size: Poly) -> bool:
    return any(isinstance(c, Fraction) for _, c in size.terms)


def _parts(value: Coef, factors: tuple[str, ...], names: Names) -> Iterator[Part]:
    if isinstance(value, Poly):
        for monomial, c in value.terms:
            yield c, (*_factors(monomial, names), *factors)
    elif value or factors:
        yield value, factors


def _factors(monomial: Monomial, names: Names) -> tuple[str, ...]:
    return tuple(names.sizes[n] for n in monomial)


def _sum(parts: list[Part]) -> tuple[str, int]:
    """Positive terms first."""
    ordered = [p for p in parts if p[0] > 0] + [p for p in parts if p[0] < 0]
    if not ordered:
        return "0", ATOM
    text, level = _product(ordered[0])
    for part in ordered[1:]:
        text += f" - {_product((-part[0], part[1]))[0]}" if part[0] < 0 else f" + {_product(part)[0]}"
    return text, SUM if len(ordered) > 1 else level


def _product(part: Part) -> tuple[str, int]:
    c, factors = Fraction(part[0]), part[1]
    words = [str(abs(c.numerator))] if abs(c.numerator) != 1 or not factors else []
    text = ("-" if c < 0 else "") + " * ".join((*words, *factors))
    if c.denominator != 1:
        return f"{text} / {c.denominator}", PRODUCT
    return text, PRODUCT if " * " in text else PREFIX if c < 0 else ATOM
