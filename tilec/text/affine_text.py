"""Floor 3: text of sizes and affine forms.

    affine ::= ["-"] term {("+" | "-") term}        term ::= factor {"*" factor | "/" natural}
    factor ::= natural | index variable | "(" size ")"                           2*i + 1/2*j - (N - 1)*k + (N)
    size   ::= the same with named sizes for variables                           2*N + 1

Parentheses divide the two kinds of names: outside are index variables, inside are sizes.
"""

from __future__ import annotations

from fractions import Fraction

from tilec.affine import Affine, Coef, Poly, Size, named_size, simplest
from tilec.text.lexer import Cursor, name_text


def print_coef(value: Coef) -> str:
    """A number or a polynomial, without outer parentheses."""
    return _sum([_product(c, m) for m, c in value.terms]) if isinstance(value, Poly) else str(value)


def print_affine(form: Affine) -> str:
    parts = [_product(c, (name,)) for name, c in form.terms]
    if form.const != 0 or not parts:
        parts.append(f"({print_coef(form.const)})" if isinstance(form.const, Poly) else str(form.const))
    return _sum(parts)


def parse_affine(text: str, name: str = "<affine>") -> Affine:
    """Inverse of `print_affine`. Raises TILE0601."""
    parser = AffineParser(text, name)
    form = parser.affine()
    parser.end()
    return form


def _product(c: Coef, names: tuple[str, ...]) -> str:
    words = [name_text(n) for n in names]
    if isinstance(c, Poly):
        return "*".join([f"({print_coef(c)})", *words])
    if words and c in (1, -1):
        return ("-" if c == -1 else "") + "*".join(words)
    return "*".join([str(c), *words])


def _sum(parts: list[str]) -> str:
    text = parts[0]
    for part in parts[1:]:
        text += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
    return text


class AffineParser(Cursor):
    """Adds sizes, coefficients and affine forms to the cursor."""

    def affine(self) -> Affine:
        with self.nested():
            total = self._affine_term(-1 if self.accept("-") else 1)
            while self.at("+") or self.at("-"):
                total = total + self._affine_term(-1 if self.advance().text == "-" else 1)
        return total

    def _affine_term(self, sign: int) -> Affine:
        value = self._affine_factor() * sign
        while self.at("*") or self.at("/"):
            if self.accept("/"):
                value = value * Fraction(1, self._divisor())
                continue
            self.expect("*")
            token, other = self.token, self._affine_factor()
            if value.terms and other.terms:
                self.fail("a product of two index variables is not affine", token)
            value = value * other.const if value.terms else other * value.const
        return value

    def _affine_factor(self) -> Affine:
        if self.accept("("):
            value = self.coef()
            self.expect(")")
            return Affine.constant(value)
        return Affine.var(self.name("an affine form")) if self.at_name() else Affine.constant(self.natural())

    def _divisor(self) -> int:
        token, value = self.token, self.natural()
        if value == 0:
            self.fail("division by zero", token)
        return value

    def coef(self) -> Coef:
        """A polynomial in named sizes."""
        with self.nested():
            total = self._coef_term(-1 if self.accept("-") else 1)
            while self.at("+") or self.at("-"):
                total = total + self._coef_term(-1 if self.advance().text == "-" else 1)
        return _simplest(total)

    def _coef_term(self, sign: int) -> Coef:
        value: Coef = self._coef_factor() * sign
        while self.at("*") or self.at("/"):
            value = value * (Fraction(1, self._divisor()) if self.accept("/") else self._next_factor())
        return value

    def _next_factor(self) -> Coef:
        self.expect("*")
        return self._coef_factor()

    def _coef_factor(self) -> Coef:
        if self.accept("("):
            value = self.coef()
            self.expect(")")
            return value
        return named_size(self.name("a size")) if self.at_name() else self.natural()

    def size(self) -> Size:
        token, value = self.token, self.coef()
        if isinstance(value, Fraction):
            self.fail("a size is an integer", token)
        return value

    def sizes(self) -> tuple[Size, ...]:
        """`"[" size {"," size} "]"`."""
        self.expect("[")
        return self.items(self.size, "]")


def _simplest(value: Coef) -> Coef:
    return value if isinstance(value, Poly) else simplest(value)
