"""Floor 3: checks of scalar expressions, shared by the verifiers of both IRs.

All errors are TILE0602, but TILE0411 for expressions that nest too deep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from tilec.affine import Affine, Coef, Poly
from tilec.builtins import BUILTINS
from tilec.dtypes import DType
from tilec.errors import TileError, error
from tilec.expr import Access, Call, Const, Expr, IndexValue, Read, Var, levels, walk, written_size
from tilec.graph import TensorType
from tilec.monoid import STANDARD, Monoid, standard
from tilec.rules import apply_type

MOST_TERMS = 1_000_000
MOST_LEVELS = 400  # the gradient of an expression as deep as the Tile language allows; printers and backends recurse
AccessCheck = Callable[[Access, DType], None]


def fail(message: str) -> NoReturn:
    raise error("TILE0602", message)


@dataclass(frozen=True, slots=True)
class ExprChecker:
    """What an expression may mention: index variables, scalars and named sizes (None: any). `access` checks reads."""

    indices: frozenset[str]
    access: AccessCheck
    scalars: Mapping[str, DType] = field(default_factory=dict)
    sizes: frozenset[str] | None = None

    def expr(self, expr: Expr) -> None:
        """Names are in scope, constants in range, every call homogeneous, and the whole can be written down."""
        if levels(expr) > MOST_LEVELS:
            help = "give names to parts of it"
            raise error("TILE0411", f"an expression nests deeper than {MOST_LEVELS} levels", help=help)
        if written_size(expr) > MOST_TERMS:
            fail(f"an expression of more than {MOST_TERMS} terms, written out: give names to what is used repeatedly")
        for node in walk(expr):
            self._node(node)

    def _node(self, node: Expr) -> None:
        match node:
            case Const():
                check_const(node)
            case Var(name, dtype):
                if self.scalars.get(name) != dtype:
                    known = self.scalars.get(name)
                    fail(f"scalar '{name}' is {'not defined' if known is None else known}, used as {dtype}")
            case IndexValue(form, _):
                self.affine(form)
            case Read(access, dtype):
                self._read(access, dtype)
            case Call():
                check_call(node)

    def _read(self, access: Access, dtype: DType) -> None:
        self._indices(access)
        if (access.boundary == "value") != (access.fill is not None):
            fail(f"a read of '{access.tensor}': a fill value goes with boundary 'value' and with no other")
        if access.fill is not None:
            check_const(access.fill)
            if access.fill.dtype != dtype:
                fail(f"the fill of '{access.tensor}' is {access.fill.dtype}, the read {dtype}")
        self.access(access, dtype)

    def indices_of(self, access: Access) -> None:
        """Indices of an access that is no part of an expression."""
        for index in access.indices:
            if not isinstance(index, Affine):
                self.expr(index)
        self._indices(access)

    def _indices(self, access: Access) -> None:
        for index in access.indices:
            if isinstance(index, Affine):
                self.affine(index)
            elif not index.dtype.is_integer:
                fail(f"an index of '{access.tensor}' is of type {index.dtype}")

    def affine(self, form: Affine) -> None:
        for name, coefficient in form.terms:
            if name not in self.indices:
                fail(f"index '{name}' of '{form}' is not in scope")
            self.coef(coefficient)
        self.coef(form.const)

    def coef(self, value: Coef) -> None:
        if isinstance(value, Poly) and self.sizes is not None and not value.names() <= self.sizes:
            fail(f"size '{min(value.names() - self.sizes)}' is not declared")

    def size(self, value: Coef) -> None:
        self.coef(value)
        if not isinstance(value, Poly) and (not isinstance(value, int) or value < 0):
            fail(f"{value} is not a size")


def check_const(const: Const) -> None:
    value, dtype = const.value, const.dtype
    if dtype.is_float:
        return
    if isinstance(value, float) or not dtype.min <= value <= dtype.max:
        fail(f"{value!r} is not a value of {dtype}")


def check_monoid(monoid: Monoid) -> None:
    """Identities are constants, combine functions expressions over the state and the new element.

    Passes know the monoids of the language by name, so no other may have one of these names.
    """
    scalars = {f"{v}{i}": c.dtype for i, c in enumerate(monoid.identity) for v in "ab"}
    checker = ExprChecker(frozenset(), _no_read, scalars, frozenset())
    for combine, identity in zip(monoid.combine, monoid.identity, strict=True):
        check_const(identity)
        checker.expr(combine)
        if combine.dtype != identity.dtype:
            fail(f"aggregation '{monoid.name}': identity of {identity.dtype}, combine function of {combine.dtype}")
    if monoid.name in STANDARD and repr(monoid) != repr(standard(monoid.name, monoid.identity[0].dtype)):
        fail(f"an aggregation is called '{monoid.name}' and is not that of the language")


def _no_read(access: Access, dtype: DType) -> None:
    fail(f"a read of '{access.tensor}' is not allowed here")


def check_call(call: Call) -> None:
    """The operation exists and its operands have the dtypes it asks for."""
    entry = BUILTINS.get(call.op)
    if entry is None or len(call.args) != entry.arity:
        fail(f"there is no operation '{call.op}' of {len(call.args)} operands")
    types = [TensorType(a.dtype) for a in call.args]
    target = call.dtype if entry.rule in ("cast", "bitcast") else None
    try:
        wanted, result = apply_type(call.op, types, target)
    except TileError as e:
        fail(f"'{call.op}': {e.diagnostics[0].message}")
    if wanted != tuple(t.dtype for t in types) or result.dtype != call.dtype:
        found = ", ".join(str(t.dtype) for t in types)
        fail(f"'{call.op}' of ({found}) giving {call.dtype} asks for {wanted} and gives {result.dtype}")
