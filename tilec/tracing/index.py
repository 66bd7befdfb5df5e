"""Floor 5: index objects, and elements: tensors indexed by them, with elementwise arithmetic.

    m, n, k = tilec.index("m n k")
    tilec.contract(a[m, k] * b[k, n], out=(m, n))

An index expression is affine with rational coefficients: `2 * i + k - 1`, `i / 2`. Beside an element it is a number:
`i * a[i]`. An `Element` is the expression of a contraction's body with the tensors and arrays that it reads.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tilec.affine import Affine
from tilec.dtypes import DType
from tilec.errors import error
from tilec.expr import read
from tilec.graph import Constraint, TensorType
from tilec.rules import Typed, call_typed, index_value, literal, shape_text
from tilec.runtime import as_array, type_of
from tilec.tracing.operators import is_number
from tilec.tracing.place import located, user_span
from tilec.tracing.tensor import Tensor

_NAME = re.compile(r"[a-z_]\w*\Z")


class _Operators:
    """Elementwise arithmetic of elements and index expressions, by the names of builtins."""

    __slots__ = ()
    __array_ufunc__ = None  # number of NumPy + element asks the element

    def __add__(self, other: Any) -> Any:
        return builtin("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return builtin("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return builtin("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return builtin("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return builtin("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return builtin("mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return _functions().divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _functions().divide(other, self)

    def __pow__(self, other: Any) -> Any:
        return _functions().power(self, other)

    def __mod__(self, other: Any) -> Any:
        return builtin("mod", self, other)

    def __and__(self, other: Any) -> Any:
        return builtin("bit_and", self, other)

    def __or__(self, other: Any) -> Any:
        return builtin("bit_or", self, other)

    def __xor__(self, other: Any) -> Any:
        return builtin("bit_xor", self, other)

    def __neg__(self) -> Any:
        return builtin("neg", self)

    def __abs__(self) -> Any:
        return builtin("abs", self)

    def __lt__(self, other: Any) -> Any:
        return builtin("cmp_lt", self, other)

    def __le__(self, other: Any) -> Any:
        return builtin("cmp_le", self, other)

    def __gt__(self, other: Any) -> Any:
        return builtin("cmp_gt", self, other)

    def __ge__(self, other: Any) -> Any:
        return builtin("cmp_ge", self, other)

    def __eq__(self, other: Any) -> Any:
        return builtin("cmp_eq", self, other)

    def __ne__(self, other: Any) -> Any:
        return builtin("cmp_ne", self, other)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        help = "tilec.numpy.where chooses between elements; conditions on indices are given as where= of tilec.contract"
        raise error("TILE0521", "an element of a contraction's body has no truth of its own", user_span(), help=help)

    def apply_builtin(self, op: str, args: Sequence[Any], dtype: DType | None) -> Element:
        """What `tilec.numpy` does with this among its operands."""
        return builtin(op, *args, dtype=dtype)


def _functions() -> Any:
    import tilec.numpy

    return tilec.numpy


@dataclass(frozen=True, slots=True, eq=False)
class Element(_Operators):
    """A typed expression over reads; `operands` are the tensors and arrays, by the names that it reads them by."""

    typed: Typed
    operands: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"an expression of {self.body_dtype.long} elements"

    @property
    def body_dtype(self) -> DType:
        return self.typed.expr.dtype


@dataclass(frozen=True, slots=True, eq=False)
class Index(_Operators):
    """An affine expression of index variables. `i - j < 3` is a condition for `where=`: 0 <= i - j < 3."""

    form: Affine

    @property
    def body_dtype(self) -> DType:
        return index_value(self.form).expr.dtype

    def __add__(self, other: Any) -> Any:
        form = as_form(other)
        return builtin("add", self, other) if form is None else Index(self.form + form)

    def __radd__(self, other: Any) -> Any:
        return self + other

    def __sub__(self, other: Any) -> Any:
        form = as_form(other)
        return builtin("sub", self, other) if form is None else Index(self.form - form)

    def __rsub__(self, other: Any) -> Any:
        form = as_form(other)
        return builtin("sub", other, self) if form is None else Index(form - self.form)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Index):
            raise error("TILE0205", f"the product of {self} and {other} is not affine", user_span())
        form = as_form(other)
        return builtin("mul", self, other) if form is None else Index(self.form * form.const)

    def __rmul__(self, other: Any) -> Any:
        return self * other

    def __truediv__(self, other: Any) -> Any:
        form = as_form(other)
        if form is None or not form.is_constant or form.const == 0:
            raise error("TILE0205", f"{self} can be divided by a number other than 0 only", user_span())
        return Index(self.form * (Fraction(1) / Fraction(str(form.const))))

    def __neg__(self) -> Index:
        return Index(-self.form)

    def __lt__(self, other: Any) -> Any:
        if isinstance(other, int) and not isinstance(other, bool):
            return Condition(Constraint(self.form, other))
        return builtin("cmp_lt", self, other)

    def __str__(self) -> str:
        return str(self.form)

    def element_of(self, tensor: Any, items: Sequence[Any]) -> Element:
        """`tensor[items]`, where one of them is this index."""
        return at(tensor)[tuple(items)]


@dataclass(frozen=True, slots=True)
class Condition:
    """Restricts a contraction to the points where 0 <= form < bound and the form is integral."""

    constraint: Constraint


@dataclass(frozen=True, slots=True)
class At:
    """What `tilec.at` returns: index it with index objects."""

    operand: Any
    type: TensorType

    def __getitem__(self, items: Any) -> Element:
        given = items if isinstance(items, tuple) else (items,)
        if len(given) != self.type.rank:
            shape = shape_text(self.type.shape)
            raise error("TILE0202", f"a tensor of shape {shape} is read with {len(given)} indices", user_span())
        forms = []
        for item in given:
            form = as_form(item)
            if form is None:
                text = f"an index of an element is affine in index objects, not {item!r}"
                raise error("TILE0205", text, user_span())
            forms.append(form)
        name = f"t{id(self.operand)}"
        return Element(Typed(read(name, tuple(forms), self.type.dtype), self.type.weak), {name: self.operand})


def index(names: str) -> Any:
    """Index objects of these names, separated by blanks or commas: one, or a tuple of several.

    >>> import tilec
    >>> i, j = tilec.index("i j")
    >>> print(2 * i + j - 1)
    2*i + j - 1
    """
    found = re.split(r"[\s,]+", names.strip()) if isinstance(names, str) else [str(names)]
    if wrong := [n for n in found if not _NAME.match(n)]:
        raise error("TILE0112", f"an index has a lower-case name, not {wrong[0]!r}", user_span())
    made = tuple(Index(Affine.var(n)) for n in found)
    return made[0] if len(made) == 1 else made


def at(operand: Any, /) -> At:
    """A tensor, array or number to be indexed with index objects; a traced tensor can be indexed itself."""
    if isinstance(operand, Tensor):
        return At(operand, operand.type)
    with located():
        array = as_array(None, operand)
        type = type_of(array)
        if type is None:
            raise error("TILE0503", f"an operand has dtype {array.dtype}, which tilec does not have")
        return At(array, type)


def as_form(value: Any) -> Affine | None:
    """An index expression or whole number as an affine form; None for anything else."""
    if isinstance(value, Index):
        return value.form
    if isinstance(value, Fraction) or (isinstance(value, int) and not isinstance(value, bool)):
        return Affine.constant(value)
    if type(value).__module__ != "numpy":
        return None
    try:
        return Affine.constant(operator.index(value))
    except TypeError:  # an array with axes, or of floats
        return None


def builtin(op: str, *args: Any, dtype: DType | None = None) -> Element:
    """An elementwise builtin of elements, index expressions, numbers and scalars."""
    elements = [_element(a) for a in args]
    operands = {n: t for e in elements for n, t in e.operands.items()}
    with located():
        return Element(call_typed(op, [e.typed for e in elements], dtype=dtype), operands)


def _element(value: Any) -> Element:
    if isinstance(value, Element):
        return value
    if isinstance(value, Index):
        return Element(index_value(value.form))
    if is_number(value):
        return Element(literal(value))
    if isinstance(value, Condition):
        return builtin("cmp_lt", Index(value.constraint.form), int(str(value.constraint.bound)))
    return at(value)[()]
