"""Floor 1: sizes and affine index forms, exact.

A *coefficient* is an `int`, a `Fraction` or a `Poly` (a polynomial in named sizes), always in its simplest form: a
`Fraction` never has denominator 1, a `Poly` is never a plain number. A *size* is an `int` or a `Poly`.
`Affine` is a linear form in index variables plus a constant: the one kind of index that the IRs know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import TypeAlias

Monomial: TypeAlias = tuple[str, ...]  # sorted names, with repetition: N*N*M is ("M", "N", "N")


@dataclass(frozen=True)
class Poly:
    """A polynomial in named sizes with rational coefficients; `terms` is sorted and holds no zero."""

    terms: tuple[tuple[Monomial, int | Fraction], ...]

    def __add__(self, other: Coef) -> Coef:
        return _poly([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __neg__(self) -> Coef:
        return _poly((m, -c) for m, c in self.terms)

    def __sub__(self, other: Coef) -> Coef:
        return self + -other

    def __rsub__(self, other: Coef) -> Coef:
        return -self + other

    def __mul__(self, other: Coef) -> Coef:
        return _poly((tuple(sorted(m + n)), c * d) for m, c in self.terms for n, d in _terms(other))

    __rmul__ = __mul__

    def __str__(self) -> str:
        text = " + ".join(_monomial_text(m, c) for m, c in self.terms)
        return text if len(self.terms) == 1 else f"({text})"

    def names(self) -> frozenset[str]:
        return frozenset(n for m, _ in self.terms for n in m)

    def evaluate(self, sizes: Mapping[str, int]) -> int | Fraction:
        """Value with every named size given."""
        total: int | Fraction = 0
        for monomial, c in self.terms:
            for name in monomial:
                c = c * sizes[name]
            total += c
        return simplest(total)


Coef: TypeAlias = int | Fraction | Poly
Size: TypeAlias = int | Poly


def simplest(value: int | Fraction) -> int | Fraction:
    """An int where the value is integral."""
    return value.numerator if isinstance(value, Fraction) and value.denominator == 1 else value


def named_size(name: str) -> Poly:
    """The size called `name`, unknown until run time."""
    return Poly((((name,), 1),))


def size_text(size: Size) -> str:
    """A size as part of a shape in a message: `N`, `2*N + 1`, `64`."""
    return str(size).removeprefix("(").removesuffix(")")


def _terms(value: Coef) -> Iterable[tuple[Monomial, int | Fraction]]:
    if isinstance(value, Poly):
        return value.terms
    return [((), value)] if value else []


def _poly(terms: Iterable[tuple[Monomial, int | Fraction]]) -> Coef:
    total: dict[Monomial, int | Fraction] = {}
    for m, c in terms:
        total[m] = total.get(m, 0) + c
    kept = sorted((m, simplest(c)) for m, c in total.items() if c)
    if all(not m for m, _ in kept):
        return kept[0][1] if kept else 0
    return Poly(tuple(kept))


def _monomial_text(monomial: Monomial, c: int | Fraction) -> str:
    return "*".join([*([] if c == 1 and monomial else [str(c)]), *monomial])


@dataclass(frozen=True)
class Affine:
    """`const + sum(coefficient * variable)`; `terms` is sorted by variable and holds no zero coefficient."""

    terms: tuple[tuple[str, Coef], ...] = ()
    const: Coef = 0

    @staticmethod
    def of(terms: Mapping[str, Coef] | Iterable[tuple[str, Coef]], const: Coef = 0) -> Affine:
        """Normalises: like terms added, zeros dropped, sorted."""
        return _normal(terms.items() if isinstance(terms, Mapping) else terms, const)

    @staticmethod
    def var(name: str) -> Affine:
        return Affine(((name, 1),))

    @staticmethod
    def constant(value: Coef) -> Affine:
        return Affine((), _simplest_coef(value))

    def __add__(self, other: Affine | Coef) -> Affine:
        if not isinstance(other, Affine):
            return Affine(self.terms, _simplest_coef(self.const + other))
        return _normal([*self.terms, *other.terms], self.const + other.const)

    def __neg__(self) -> Affine:
        return self * -1

    def __sub__(self, other: Affine | Coef) -> Affine:
        return self + -other

    def __mul__(self, c: Coef) -> Affine:
        return _normal([(n, d * c) for n, d in self.terms], self.const * c)

    def __str__(self) -> str:
        parts = [_term_text(n, c) for n, c in self.terms]
        if self.const != 0 or not parts:
            parts.append(str(self.const))
        text = parts[0]
        for part in parts[1:]:
            text += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
        return text

    def __repr__(self) -> str:
        return f"Affine({self})"

    @cached_property
    def _by_name(self) -> dict[str, Coef]:
        return dict(self.terms)

    def coefficient(self, name: str) -> Coef:
        """Coefficient of a variable, 0 where it does not occur."""
        return self._by_name.get(name, 0)

    def variables(self) -> frozenset[str]:
        return frozenset(self._by_name)

    def sizes(self) -> frozenset[str]:
        """Named sizes that occur in coefficients or the constant."""
        coefs = [self.const, *(c for _, c in self.terms)]
        return frozenset(n for c in coefs if isinstance(c, Poly) for n in c.names())

    @property
    def is_constant(self) -> bool:
        return not self.terms

    def as_variable(self) -> str | None:
        """The variable, where the form is one bare variable."""
        return self.terms[0][0] if self.const == 0 and len(self.terms) == 1 and self.terms[0][1] == 1 else None

    def substitute(self, values: Mapping[str, Affine | Coef]) -> Affine:
        """Replaces variables by affine forms or constants, all at once."""
        if not any(n in values for n, _ in self.terms):
            return self
        terms: list[tuple[str, Coef]] = []
        const = self.const
        for name, c in self.terms:
            value = values.get(name)
            if value is None:
                terms.append((name, c))
            elif isinstance(value, Affine):
                terms += [(n, d * c) for n, d in value.terms]
                const = const + value.const * c
            else:
                const = const + value * c
        return _normal(terms, const)

    def rename(self, names: Mapping[str, str]) -> Affine:
        return _normal([(names.get(n, n), c) for n, c in self.terms], self.const)

    def resolve(self, sizes: Mapping[str, int]) -> Affine:
        """Replaces named sizes by numbers."""
        return _normal([(n, resolve(c, sizes)) for n, c in self.terms], resolve(self.const, sizes))

    def denominator(self) -> int:
        """Least common denominator of all coefficients, those of sizes included."""
        coefs = [self.const, *(c for _, c in self.terms)]
        return lcm(*(c.denominator for coef in coefs for _, c in _terms(coef)))

    def evaluate(self, values: Mapping[str, int]) -> int | Fraction:
        """Value with all variables given; named sizes are looked up in `values` too."""
        total = resolve(self.const, values)
        for name, c in self.terms:
            total = total + resolve(c, values) * values[name]
        assert not isinstance(total, Poly)
        return simplest(total)


def _normal(terms: Iterable[tuple[str, Coef]], const: Coef) -> Affine:
    total: dict[str, Coef] = {}
    for name, c in terms:
        total[name] = total[name] + c if name in total else c
    return Affine(tuple(sorted((n, _simplest_coef(c)) for n, c in total.items() if c != 0)), _simplest_coef(const))


def resolve(value: Coef, sizes: Mapping[str, int]) -> int | Fraction:
    """A coefficient or size as a number."""
    return value.evaluate(sizes) if isinstance(value, Poly) else value


def _simplest_coef(value: Coef) -> Coef:
    return simplest(value) if isinstance(value, Fraction) else value


def _term_text(name: str, c: Coef) -> str:
    return name if c == 1 else f"-{name}" if c == -1 else f"{c}*{name}"
