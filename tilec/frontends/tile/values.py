"""What names stand for while a function is elaborated at concrete shapes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from tilec.affine import Poly
from tilec.dtypes import DType
from tilec.errors import Span
from tilec.graph import TensorType
from tilec.rules import shape_text

Number: TypeAlias = int | float
Constant: TypeAlias = int | float | Poly  # a Poly is a size that stays open


@dataclass(frozen=True, slots=True)
class Scalar:
    """A compile-time constant: a size, a literal or what was folded from them. Weak; a bool is a Python bool."""

    value: Constant


@dataclass(frozen=True, slots=True)
class Derived:
    """A size that no polynomial is: an operation on sizes. It has a name like any other size."""

    op: str
    args: tuple[int | Poly, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """The value that a run-time scalar has in this call, and the scalar inputs it was computed from.

    An input that nothing is known of has a size of its own name as its value.
    """

    value: Constant
    origins: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the Graph. `known` is set for rank-0 values computed from Python numbers and constants only."""

    name: str
    type: TensorType
    known: Known | None = None

    def __str__(self) -> str:
        return f"{self.type.dtype.long}{shape_text(self.type.shape)}"


@dataclass(frozen=True, slots=True)
class Tuple:
    """Several values under one name: `tuple(A, B)`, `prng_step(...)`."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Poison:
    """The value of a statement that had an error: whatever uses it stays silent."""


Value: TypeAlias = Scalar | Tensor | Tuple | Poison


class Poisoned(Exception):
    """A poisoned name was used: the error has been reported where it arose."""


@dataclass(slots=True)
class Scope:
    """Names of one function body: its values, where each was bound, and the types its generics stand for."""

    values: dict[str, Value] = field(default_factory=dict)
    where: dict[str, Span] = field(default_factory=dict)
    generics: dict[str, DType] = field(default_factory=dict)

    def bind(self, name: str, value: Value, span: Span) -> None:
        self.values[name] = value
        self.where[name] = span


def describe(value: Value) -> str:
    """A value in the words of a diagnostic."""
    match value:
        case Scalar():
            return f"the constant {value.value}"
        case Tensor():
            return f"a tensor {value}" if value.type.shape else f"a run-time scalar of {value.type.dtype.long}"
        case Tuple():
            return f"a tuple of {len(value.items)}"
        case Poison():
            return "an erroneous value"
