"""Binding the arguments of a function: ranks, sizes, types, generics; and checking the types of its outputs.

Used for the arguments of the program (from the signature) and for those of an inlined call alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tilec.affine import Size
from tilec.dtypes import DType
from tilec.errors import Span, TileError, error
from tilec.frontends.tile.builder import Builder
from tilec.frontends.tile.calls import cast, type_of
from tilec.frontends.tile.complaints import plural, type_named
from tilec.frontends.tile.syntax import Function, Generic, Ident, Input, Number, Output
from tilec.frontends.tile.values import Poison, Scalar, Scope, Tensor, Tuple, Value
from tilec.rules import shape_text


@dataclass(slots=True)
class Binder:
    """Binds one function's inputs into `scope`; all that is wrong with them is reported, not only the first."""

    builder: Builder
    function: Function
    scope: Scope = field(default_factory=Scope)
    _owners: dict[str, str] = field(default_factory=dict)
    _declared: dict[str, tuple[DType, Span]] = field(default_factory=dict)

    def inputs(self, values: Sequence[Value]) -> None:
        """Binds the values in the order of the inputs; a faulty one is poisoned."""
        for item, value in zip(self.function.inputs, values, strict=True):
            try:
                bound = self._typed(item, value)
                self._sizes(item, bound)
            except TileError as found:
                self.builder.complain(found)
                bound = Poison()
            self.scope.bind(item.name.text, bound, item.span)
        for item in self.function.inputs:  # sizes of faulty inputs: known by name, so that nothing else complains
            for dim in item.dims or ():
                if isinstance(dim, Ident) and dim.text not in self.scope.values:
                    self.scope.bind(dim.text, Poison(), dim.span)

    def _sizes(self, item: Input, value: Value) -> None:
        if item.dims is None or isinstance(value, Poison):
            return
        if isinstance(value, Tuple):
            raise error("TILE0301", f"input '{item.name.text}' is a tensor, a tuple is given", item.span)
        shape = value.type.shape if isinstance(value, Tensor) else ()
        if len(shape) != len(item.dims):
            text = f"input '{item.name.text}' is declared with {plural(len(item.dims), 'axis')}, given {len(shape)}"
            raise error("TILE0202", text, item.span, notes=[f"the argument's shape is {shape_text(shape)}"])
        for axis, (dim, size) in enumerate(zip(item.dims, shape)):
            self._size(item, axis, dim, size)

    def _size(self, item: Input, axis: int, dim: Ident | Number, size: Size) -> None:
        owner = f"axis {axis} of '{item.name.text}', at {dim.span}"
        if isinstance(dim, Number):
            if dim.value != size:
                text = f"axis {axis} of '{item.name.text}' has size {size}, declared {dim.value}"
                raise error("TILE0201", text, dim.span)
            return
        bound = self.scope.values.get(dim.text)
        if bound is None:
            self._owners[dim.text] = owner
            self.scope.bind(dim.text, Scalar(size), dim.span)
        elif isinstance(bound, Scalar) and bound.value != size:
            notes = [f"{bound.value} by {self._owners[dim.text]}", f"{size} by {owner}"]
            text = f"size '{dim.text}' is bound to {bound.value} and to {size}"
            raise error("TILE0201", text, dim.span, notes=notes)

    # types

    def _typed(self, item: Input, value: Value) -> Value:
        """The value in the declared type: a weak one is converted, any other must have it."""
        if item.dtype is None or isinstance(value, Poison):
            return value
        if isinstance(value, Tuple):
            raise error("TILE0301", f"input '{item.name.text}' is a tensor, a tuple is given", item.span)
        generic = next((g for g in self.function.generics if g.name.text == item.dtype.text), None)
        if generic is None:
            return self._as_declared(item, value, type_named(item.dtype))
        return self._generic(item, item.dtype, generic, value)

    def _as_declared(self, item: Input, value: Scalar | Tensor, wanted: DType) -> Value:
        if isinstance(value, Scalar) or value.type.weak:
            return cast(self.builder, value, wanted, item.span)
        if value.type.dtype != wanted:
            raise error(
                "TILE0305" if self.builder.calls else "TILE0503",
                f"input '{item.name.text}' is declared {wanted.long}, the argument is {value.type.dtype.long}",
                item.span,
                help=f"convert the argument, or declare '{item.name.text}' without a type",
            )
        return value

    def _generic(self, item: Input, name: Ident, generic: Generic, value: Scalar | Tensor) -> Value:
        weak = isinstance(value, Scalar) or value.type.weak
        bound = self._declared.get(name.text)
        if bound is not None and weak:
            return cast(self.builder, value, bound[0], item.span)
        dtype = type_of(value).dtype
        _check_category(item, generic, dtype)
        if bound is None:
            self._declared[name.text] = dtype, item.span
            self.scope.generics[name.text] = dtype
        elif bound[0] != dtype:
            text = f"type '{name.text}' is {bound[0].long} and {dtype.long}"
            note = f"{bound[0].long} by the input at {bound[1]}"
            raise error("TILE0306", text, item.span, notes=[note])
        return value

    # results

    def result(self, output: Output) -> Value:
        """An output's value in its declared type; raises TILE0305."""
        value = self.scope.values.get(output.name.text, Poison())
        if output.dtype is None or isinstance(value, Poison | Tuple):
            return value
        wanted = self.scope.generics.get(output.dtype.text) or type_named(output.dtype, self.scope.generics)
        if isinstance(value, Scalar) or value.type.weak:
            return cast(self.builder, value, wanted, output.span)
        if value.type.dtype != wanted:
            raise error(
                "TILE0305",
                f"output '{output.name.text}' is declared {wanted.long}, its value is {value.type.dtype.long}",
                output.span,
                help="convert it with as_float, as_int or as_uint, or change the declaration",
            )
        return value


def _check_category(item: Input, generic: Generic, dtype: DType) -> None:
    category = generic.category.text if generic.category else "any"
    allowed = {
        "any": True,
        "number": dtype.is_float or dtype.is_integer,
        "integer": dtype.is_integer,
        "int": dtype.kind == "int",
        "uint": dtype.kind == "uint",
        "float": dtype.is_float,
        "bool": dtype.kind == "bool",
    }
    if not allowed.get(category, True):
        text = f"type '{generic.name.text}' is any {category}, input '{item.name.text}' is {dtype.long}"
        raise error("TILE0307", text, item.span, help="convert the argument, or allow another category")
