"""Bodies of contractions as text of Tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tilec.affine import Affine
from tilec.dtypes import I32, DType
from tilec.errors import Span, error
from tilec.expr import Access, Call, Const, Expr, IndexValue, Read, Var, reads
from tilec.frontends.tile.unparse.forms import form_text
from tilec.frontends.tile.unparse.names import Names
from tilec.frontends.tile.unparse.terms import Term, combine, convert, known, name, number

MAX_NODES = 2000  # of a body written out: a part that occurs twice is written twice


@dataclass(slots=True)
class BodyWriter:
    """Writes one body; `element` gives the term for a tensor without axes."""

    indices: Mapping[str, str]
    names: Names
    element: Callable[[Access], Term | None]
    span: Span | None
    written: int = 0

    def term(self, expr: Expr) -> Term:
        """Raises TILE0606 for what the language has no words for."""
        self.written += 1
        if self.written > MAX_NODES:
            raise unspeakable("a body", self.span, "written out, it is too long")
        match expr:
            case Const(value):
                return number(value, expr.dtype)
            case IndexValue(form):
                return self._index(form, expr.dtype)
            case Read(access):
                return self._element(access, expr.dtype)
            case Call(op, args):
                if not known(op):
                    raise unspeakable(f"the operation '{op}'", self.span)
                return combine(op, [self.term(a) for a in args], expr.dtype)
            case Var():
                raise AssertionError("templates are instantiated")

    def _index(self, form: Affine, dtype: DType) -> Term:
        if form.is_constant and isinstance(form.const, int):
            return number(form.const, dtype)
        if form.denominator() != 1:
            raise unspeakable("a fraction of an index as an integer", self.span)
        text, level = form_text(form, self.indices, self.names)
        weak = Term(text, level, I32)
        if dtype.bits > I32.bits:  # an index alone is int32
            zero = number(0, dtype).strong
            assert zero is not None
            return Term(text, level, dtype, combine("add", [zero, weak], dtype))
        return Term(text, level, dtype, convert(weak, dtype))

    def _element(self, access: Access, dtype: DType) -> Term:
        if (found := self.element(access)) is not None:
            return found
        return name(f"{self.names.values[access.tensor]}[{', '.join(self.place(access))}]", dtype)

    def place(self, access: Access) -> list[str]:
        """The indices of an access."""
        found = []
        for index in access.indices:
            if isinstance(index, Affine):
                text = form_text(index, self.indices, self.names)[0]
            elif reads(index):
                text = self.term(index).text
            else:
                raise unspeakable("an index that is not affine, without elements", self.span)
            found.append(self._moved(access, text))
        return found

    def _moved(self, access: Access, index: str) -> str:
        """The index with the boundary mode of its access."""
        if access.fill is not None:
            return f"pad({index}, {number(access.fill.value, access.fill.dtype).text})"
        return index if access.boundary == "skip" else f"{access.boundary}({index})"


def unspeakable(what: str, span: Span | None, why: str | None = None) -> Exception:
    return error("TILE0606", f"{what} cannot be written in Tile", span, notes=[why] if why else [])
