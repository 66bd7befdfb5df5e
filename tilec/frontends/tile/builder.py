"""Collects the Lets of a Graph while a function is elaborated, and keeps the limits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeAlias

from tilec.affine import Affine, Poly, Size, named_size
from tilec.dtypes import I64, U64, DType
from tilec.errors import Diagnostic, Report, Span, TileError, error
from tilec.exact.domain import must_be_fixed
from tilec.expr import IndexValue
from tilec.frontends.tile.functions import DERIVED, derived_text
from tilec.frontends.tile.scalars import fold
from tilec.frontends.tile.syntax import Function
from tilec.frontends.tile.values import (
    Constant,
    Derived,
    Known,
    Number,
    Poison,
    Poisoned,
    Scalar,
    Tensor,
    Tuple,
    Value,
    describe,
)
from tilec.graph import Attribute, Contraction, Let, Literal, Node, Param, Sink, TensorType
from tilec.monoid import standard
from tilec.rules import shape_text, weak_dtype

MAX_RANK = 16
MAX_LETS = 20_000
MAX_STEPS = 100_000
MAX_DEPTH = 220
MAX_SIZE_TEXT = 1000
_HUGE = 1 << 63

Inline: TypeAlias = Callable[["Builder", Function, Sequence[Value], Span, Sequence[str | None]], tuple[Value, ...]]


@dataclass(slots=True)
class Builder:
    """The state of one elaboration.

    demanded: scalar inputs whose value was needed for a size, index or constraint. calls: where the functions now being
    inlined were called. data: values of the parameters that a test makes up. closed: functions elaborated as Graphs of
    their own, by what they are given. inside: how many Lets the Graphs inside of the Lets hold. derived: where sizes
    are only written down, not computed with, those that are no polynomials, by name; else None. weak: whether a number
    of which nothing is known is weak.
    """

    functions: Mapping[str, Function]
    inline: Inline
    testing: bool = False
    report: Report = field(default_factory=Report)
    lets: list[Let] = field(default_factory=list)
    params: list[Param] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    demanded: set[str] = field(default_factory=set)
    sizes: tuple[str, ...] = ()  # that stay open
    used: set[str] = field(default_factory=set)
    calls: list[Span] = field(default_factory=list)
    attributes: tuple[Attribute, ...] = ()
    closed: dict[Hashable, Any] = field(default_factory=dict)
    inside: int = 0
    derived: dict[str, Derived] | None = None
    weak: bool = True
    _literals: dict[tuple[TensorType, str], Tensor] = field(default_factory=dict)
    _counters: dict[str, int] = field(default_factory=dict)
    _depth: int = 0
    _deepest: int = 0
    _steps: int = 0

    def emit(
        self, node: Node, type: TensorType, span: Span, name: str | None = None, known: Known | None = None
    ) -> Tensor:
        """Adds a Let of one value. `name` is taken as it is; without one a fresh name is made."""
        check_type(type, span)
        self.grow(0, span)
        attributes = self.attributes if name else ()  # they belong to what the statement binds
        name = name or self.fresh("t")
        self.lets.append(Let((name,), node, (type,), attributes, span))
        return Tensor(name, type, known)

    def grow(self, inside: int, span: Span) -> None:
        """Room for one more Let, whose Graphs hold `inside`; raises TILE0417."""
        self.inside += inside
        if len(self.lets) + self.inside >= MAX_LETS:
            raise error("TILE0417", f"the program expands to more than {MAX_LETS} operations", span)

    def fresh(self, hint: str) -> str:
        """A name that nothing else has, like `hint`."""
        stem = hint.rstrip("'")
        while True:
            self._counters[stem] = count = self._counters.get(stem, 0) + 1
            name = f"{stem}_{count}"
            if name not in self.used:
                self.used.add(name)
                return name

    def literal(self, value: Number, span: Span, dtype: DType | None = None, name: str | None = None) -> Tensor:
        """A rank-0 constant; weak unless a dtype is given."""
        type = TensorType(dtype or weak_dtype(value), (), weak=dtype is None)
        if type.dtype.is_integer and not type.dtype.min <= value <= type.dtype.max:
            type = replace(type, dtype=U64)
        number = float(value) if type.dtype.is_float else int(value)
        key = (type, repr(number))
        if name is None and key in self._literals:
            return self._literals[key]
        made = self.emit(Literal(type, (number,)), type, span, name, Known(value))
        self._literals.setdefault(key, made)
        return made

    @contextmanager
    def scratch(self) -> Iterator[None]:
        """Drops the Lets emitted inside: only the compile-time value of an expression is wanted."""
        count, literals, attributes = len(self.lets), dict(self._literals), self.attributes
        try:
            yield
        finally:
            del self.lets[count:]
            self._literals, self.attributes = literals, attributes

    @contextmanager
    def deeper(self, span: Span) -> Iterator[None]:
        """One level of recursion; raises TILE0411 and TILE0417 before Python's stack or patience ends."""
        self._depth += 1
        self._steps += 1
        try:
            self.reach(0, span)
            if self._steps > MAX_STEPS:
                raise error("TILE0417", f"inlining all calls takes more than {MAX_STEPS} steps", span)
            yield
        finally:
            self._depth -= 1

    def reach(self, height: int, span: Span) -> None:
        """Notes so many levels more; raises TILE0411."""
        if self._depth + height > MAX_DEPTH:
            raise error("TILE0411", "functions and expressions are nested too deep", span)
        self._deepest = max(self._deepest, self._depth + height)

    @property
    def height(self) -> int:
        """The levels reached inside of where this Builder began or stands."""
        return self._deepest - self._depth

    @contextmanager
    def called(self, function: Function, span: Span) -> Iterator[None]:
        """Notes on errors inside say that the function is called at `span`, unless it is the one compiled."""
        before = len(self.calls)
        if span != function.span:
            self.calls.append(span)
        try:
            yield
        finally:
            del self.calls[before:]

    def nested(self, names: Iterable[str]) -> Builder:
        """A Builder for a Graph inside this one, in which `names` are taken; errors, calls and limits are shared.

        `settle` is to be called when it is done.
        """
        inner = Builder(self.functions, self.inline, False, self.report, used=set(names))
        inner.demanded, inner.calls, inner.sizes, inner.closed = self.demanded, self.calls, self.sizes, self.closed
        inner.derived = self.derived
        inner._depth, inner._deepest, inner._steps = self._depth, self._depth, self._steps
        return inner

    def settle(self, inner: Builder) -> None:
        self._steps = inner._steps
        self._deepest = max(self._deepest, inner._deepest)

    def complain(self, found: TileError) -> None:
        """Reports an error once, with the calls that led to it; a limit that is reached is so for all that follows."""

        def key(d: Diagnostic) -> tuple[str, str, Span | None]:
            return d.code, d.message, None if d.code == "TILE0417" else d.span

        notes = tuple(f"in the function called at {span}" for span in reversed(self.calls[-3:]))
        seen = set(map(key, self.report.diagnostics))
        for diagnostic in found.diagnostics:
            if key(diagnostic) not in seen:
                self.report.diagnostics.append(_with_notes(diagnostic, notes))

    # values

    def tensor(self, value: Value, span: Span, what: str = "an operand") -> Tensor:
        """The value as a tensor of the Graph; a compile-time constant becomes a weak literal."""
        match value:
            case Tensor():
                return value
            case Scalar(value=constant):
                return self.open_size(constant, span) if isinstance(constant, Poly) else self.literal(constant, span)
            case Tuple():
                help = "take one of its values with element(T, 0)"
                raise error("TILE0301", f"a tuple is used as {what}", span, help=help)
            case Poison():
                raise Poisoned

    @property
    def all_sizes(self) -> tuple[str, ...]:
        """Names of the sizes that stay open."""
        return (*self.sizes, *(self.derived or ()))

    def folded(self, op: str, values: Sequence[Constant], span: Span) -> Constant | None:
        """An elementwise builtin applied to constants; None where an open size leaves it to run time."""
        found = fold(op, values, span)
        whole = tuple(v for v in values if isinstance(v, int | Poly) and not isinstance(v, bool))
        if found is not None or self.derived is None or op not in DERIVED or len(whole) < len(values):
            return found
        if op in ("div", "mod") and whole[1] == 0:
            raise error("TILE0216", "division by zero in a constant expression", span)
        name = derived_text(op, [str(v) for v in whole])
        if len(name) > MAX_SIZE_TEXT:
            raise error("TILE0606", "a size cannot be written in Tile", span, notes=["written out, it is too long"])
        self.derived[name] = Derived(op, whole)
        return named_size(name)

    def open_size(self, size: Poly, span: Span, name: str | None = None) -> Tensor:
        """The value that a size has at run time: a weak int64."""
        type = TensorType(I64, (), weak=name is None)
        body = IndexValue(Affine.constant(size), I64)
        node = Contraction((), standard("assign", I64), (body,), (Sink((), ()),))
        return self.emit(node, type, span, name, Known(size))

    def size(self, value: Value, span: Span, what: str) -> Size:
        """An integer known at compile time, or a size that stays open; raises TILE0210, TILE0510."""
        found = value.known if isinstance(value, Tensor) else value
        if isinstance(found, Scalar | Known) and isinstance(found.value, Poly):
            if isinstance(found, Known):
                self.demanded |= found.origins
            return found.value
        return self.integer(value, span, what)

    def constant(self, value: Value, span: Span, what: str) -> Number:
        """The compile-time value; a scalar input is made a constant by this. Raises TILE0510."""
        match value:
            case Scalar(value=constant):
                if isinstance(constant, Poly):
                    raise must_be_fixed(constant, f"it is {what}", span)
                return constant
            case Tensor(known=Known() as known):
                if isinstance(known.value, Poly):
                    raise must_be_fixed(known.value, f"it is {what}", span)
                self.demanded |= known.origins
                return known.value
            case Poison():
                raise Poisoned
        help = "sizes, literals and Python numbers given for inputs are constants; of a NumPy scalar pass .item()"
        raise error("TILE0510", f"{what} must be a compile-time constant, not {describe(value)}", span, help=help)

    def integer(self, value: Value, span: Span, what: str) -> int:
        """The compile-time integer; raises TILE0210 for a float, TILE0510."""
        number = self.constant(value, span, what)
        if isinstance(number, float):
            raise error("TILE0210", f"{what} must be an integer, found {number}", span)
        return int(number)


def check_type(type: TensorType, span: Span | None) -> None:
    """The limits on rank and size; raises TILE0211, TILE0413, TILE0414."""
    if type.rank > MAX_RANK:
        raise error("TILE0413", f"a tensor of rank {type.rank}; the limit is {MAX_RANK}", span)
    sizes = [s for s in type.shape if isinstance(s, int)]
    if any(s < 0 for s in sizes):
        raise error("TILE0211", f"negative size in shape {shape_text(type.shape)}", span)
    if any(s >= _HUGE for s in sizes) or prod(max(s, 1) for s in sizes) * type.dtype.bytes >= _HUGE:
        raise error("TILE0414", f"a {type.dtype.long} tensor of shape {shape_text(type.shape)} is too large", span)


def strong(type: TensorType) -> TensorType:
    """The type with weakness dropped: what is stored."""
    return replace(type, weak=False) if type.weak else type


def _with_notes(diagnostic: Diagnostic, notes: tuple[str, ...]) -> Diagnostic:
    return replace(diagnostic, notes=diagnostic.notes + notes) if notes else diagnostic
