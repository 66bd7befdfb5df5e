"""Affine forms over the loops being emitted: split into constant, scalar terms and lanes; hoisted sums and pointers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tilec.affine import Affine, Coef, Poly, Size
from tilec.backends.llvm.blocks import Emitter


@dataclass(frozen=True, slots=True)
class Scalar:
    """A loop index in an SSA value (i64), defined in the scope of that depth, in 0 .. extent-1."""

    ref: str
    depth: int
    extent: int


@dataclass(frozen=True, slots=True)
class Lanes:
    """The index of the vector loop: lane i stands for `base + i`, or in one lane alone (`wide` off) for `base`.

    In a vector loop too long to be written out, `step * block` is added.
    """

    base: int
    block: Scalar | None = None
    step: int = 0
    wide: bool = True


Index: TypeAlias = int | Scalar | Lanes


@dataclass(frozen=True, slots=True)
class Form:
    """`const + sum(coefficient * scalar) + lane * <lane number>`; `terms` has outer loops first."""

    const: int
    terms: tuple[tuple[Scalar, int], ...] = ()
    lane: int = 0

    @property
    def is_constant(self) -> bool:
        return not self.terms and not self.lane

    def range(self, lanes: int) -> tuple[int, int]:
        """Least and greatest value."""
        spans = [c * (s.extent - 1) for s, c in self.terms] + [self.lane * max(0, lanes - 1)]
        return self.const + sum(min(0, x) for x in spans), self.const + sum(max(0, x) for x in spans)


@dataclass(frozen=True, slots=True)
class Offset:
    """The same in memory, where coefficients may be open sizes, for strides may be."""

    const: Size
    terms: tuple[tuple[Scalar, Size], ...] = ()
    lane: Size = 0


def _ordered(terms: Mapping[Scalar, Any]) -> tuple[tuple[Scalar, Any], ...]:
    if not terms:
        return ()
    found = [(s, c) for s, c in terms.items() if c]
    return tuple(sorted(found, key=lambda t: (t[0].depth, t[0].ref)) if len(found) > 1 else found)


def split(form: Affine, indices: Mapping[str, Index]) -> Form:
    """An affine form with integer coefficients in terms of the present loops."""
    return Form(*_combined(((form, 1),), indices)) if form.terms else Form(number(form.const))


def located(form: Affine, indices: Mapping[str, Index]) -> tuple[int, int]:
    """Constant and coefficient of the lanes of a form, as `split` finds them."""
    const: Any = form.const
    lane: Any = 0
    for name, c in form.terms:
        index = indices[name]
        if isinstance(index, int):
            const += c * index
        elif isinstance(index, Lanes):
            const += c * index.base
            lane += c * index.wide
    return number(const), number(lane)


def offset(forms: Iterable[tuple[Affine, Size]], indices: Mapping[str, Index]) -> Offset:
    """The sum of affine forms with integer coefficients, each times a stride, in terms of the present loops."""
    return Offset(*_combined(forms, indices))


def _combined(
    forms: Iterable[tuple[Affine, Size]], indices: Mapping[str, Index]
) -> tuple[Any, tuple[tuple[Scalar, Any], ...], Any]:
    """Constant, terms and coefficient of the lanes of a sum of forms, each with a factor."""
    const: Any = 0
    lane: Any = 0
    terms: dict[Scalar, Any] = {}
    for form, factor in forms:
        const += number(form.const) * factor
        for name, c in form.terms:
            coefficient, index = number(c) * factor, indices[name]
            if isinstance(index, int):
                const += coefficient * index
            elif isinstance(index, Lanes):
                const += coefficient * index.base
                lane += coefficient * index.wide
                if index.block is not None:
                    terms[index.block] = terms.get(index.block, 0) + coefficient * index.step
            else:
                terms[index] = terms.get(index, 0) + coefficient
    return const, _ordered(terms), lane


def number(value: object) -> int:
    """A coefficient or size that must be an integer by now."""
    assert isinstance(value, int), f"{value} is not an integer"
    return value


def size_value(emitter: Emitter, size: Coef, named: Callable[[str], str]) -> str:
    """The i64 value of a size, computed once at the entry; `named` gives those of open ones."""
    if not isinstance(size, Poly):
        return str(number(size))
    total = ""
    for names, factor in size.terms:
        term = str(number(factor))
        for name in names:
            term = named(name) if term == "1" else emitter.hoist(f"mul i64 {term}, {named(name)}", 0)
        total = emitter.hoist(f"add i64 {total}, {term}", 0) if total else term
    return total


def pointer(emitter: Emitter, base: str, element: str, form: Offset, named: Callable[[str], str]) -> str:
    """Pointer to element `form` (its lanes apart) of an array of `element`; partial sums sit in outer scopes."""
    place = base
    for scalar, c in form.terms:
        factor = size_value(emitter, c, named)
        step = scalar.ref if c == 1 else emitter.hoist(f"mul i64 {scalar.ref}, {factor}", scalar.depth)
        place = emitter.hoist(f"getelementptr {element}, ptr {place}, i64 {step}", scalar.depth)
    if form.const == 0:
        return place
    return emitter.pure(f"getelementptr {element}, ptr {place}, i64 {size_value(emitter, form.const, named)}")


def scalar_value(emitter: Emitter, form: Form) -> str:
    """The i64 value of a form, its lanes apart."""
    if not form.terms:
        return str(form.const)
    total = ""
    for scalar, c in form.terms:
        step = scalar.ref if c == 1 else emitter.hoist(f"mul i64 {scalar.ref}, {c}", scalar.depth)
        total = emitter.hoist(f"add i64 {total}, {step}", scalar.depth) if total else step
    return total if form.const == 0 else emitter.pure(f"add i64 {total}, {form.const}")
