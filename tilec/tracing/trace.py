"""Floor 5: a Graph while Python code is run to build it.

A `Trace` is one scope: that of a compiled function, or of a sub-Graph inside one (the function being differentiated,
the body of a loop ...). Sub-Graphs are closed: a tensor of an enclosing scope that is used inside becomes a parameter,
a *capture*. The innermost open scope of this thread is `current()`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilec.affine import Affine, Poly
from tilec.api import mark_constants
from tilec.dtypes import I64, U64, DType
from tilec.errors import error
from tilec.expr import IndexValue
from tilec.fresh import FreshNames
from tilec.frontends.tile.builder import MAX_LETS, check_type
from tilec.graph import Apply, Contraction, Graph, Literal, Node, Param, Sink, Special, TensorType
from tilec.monoid import standard
from tilec.numpy_semantics import Array
from tilec.open_sizes import names_of
from tilec.passes.differentiate.builder import Builder
from tilec.promotion import Rules
from tilec.rules import apply_type, constant, is_shift, weak_dtype
from tilec.runtime import as_array, type_of
from tilec.tracing.operators import is_number
from tilec.tracing.place import user_span
from tilec.tracing.promote import promoted
from tilec.tracing.sizes import OpenSize
from tilec.tracing.tensor import Tensor

_SMALL = 16  # elements of an array that becomes a literal; a larger one is a constant parameter

_current: ContextVar[Trace | None] = ContextVar("tilec_trace", default=None)


def current() -> Trace | None:
    """The innermost scope being traced in this thread."""
    return _current.get()


def fitting(value: int | float, dtype: DType, op: str = "") -> int | float:
    """The number, as NumPy 2 has it: a Python integer takes the type beside it only where that type holds it. Raises
    TILE0511."""
    if op != "cast" and dtype.is_integer and isinstance(value, int) and not dtype.min <= value <= dtype.max:
        fits = f"{dtype} holds {dtype.min} to {dtype.max}"
        help = "convert the array first, for instance x.astype(tilec.numpy.int64)"
        raise error("TILE0511", f"the integer {value} does not fit {dtype}", user_span(), notes=(fits,), help=help)
    return value


@dataclass(slots=True, eq=False)
class Trace:
    """One scope. `captures`: names in `parent` by their names here; `constants`: values of constant parameters;
    `promotion`: the rules that types of operands go by, those of the scope around it at first.
    """

    name: str
    parent: Trace | None = None
    params: list[Param] = field(default_factory=list)
    captures: dict[str, str] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    closed: bool = False
    promotion: Rules = "tile"
    _builder: Builder = field(default_factory=lambda: Builder(FreshNames((), "_")))
    _captured: dict[str, str] = field(default_factory=dict)
    _numbers: dict[str, int | float] = field(default_factory=dict)  # weak literals by name

    def __post_init__(self) -> None:
        if self.parent is not None:
            self.promotion = self.parent.promotion

    @contextmanager
    def open(self) -> Iterator[Trace]:
        """Makes this the current scope; its tensors are of no use afterwards."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)
            self.closed = True

    # what is computed

    def bind(self, node: Node, stem: str, dtype: DType | None = None) -> Tensor:
        """The only result of a node, whose operands are names of this scope; `dtype` declares that of a contraction."""
        b = self._builder
        b.span = user_span()
        if len(b.lets) >= MAX_LETS:
            help = "a Python loop adds its body once per step; tilec.scan and tilec.fori_loop add it once"
            raise error("TILE0417", f"the function expands to more than {MAX_LETS} operations", b.span, help=help)
        tensor = self.tensor(b.bind(node, stem, dtype))
        check_type(tensor.type, b.span)
        return tensor

    def require(self, condition: Tensor, code: str, message: str) -> None:
        """A call ends with this error where an element of the condition is zero."""
        self._builder.span = user_span()
        self._builder.bind_all(Special("assert", (condition.name,), (("message", message), ("code", code))), ())

    def bind_all(self, node: Node, stems: Sequence[str]) -> list[Tensor]:
        """All results of a node."""
        self._builder.span = user_span()
        return [self.tensor(n) for n in self._builder.bind_all(node, stems)]

    def apply(self, op: str, *args: Tensor, dtype: DType | None = None) -> Tensor:
        """An elementwise builtin of tensors."""
        if self.promotion != "tile" and dtype is None:
            given, result = promoted(op, args, self.promotion, lambda x, wanted: self.apply("cast", x, dtype=wanted))
            found = self.bind(Apply(op, self._adapted(op, self.names(given), None)), op)
            return found if result is None else self.apply("cast", found, dtype=result)
        return self.bind(Apply(op, self._adapted(op, self.names(args), dtype), dtype), op)

    def _adapted(self, op: str, names: tuple[str, ...], dtype: DType | None) -> tuple[str, ...]:
        """Literals in the type that the operation wants of them: 0.1 beside float64 has all the digits of one."""
        if is_shift(op) or self._numbers.keys().isdisjoint(names):
            return names  # inference sees to counts
        types = [self._builder.types[n] for n in names]
        wanted, _ = apply_type(op, types, dtype, user_span())
        if op == "cast" and dtype is not None:
            wanted = (dtype,)
        return tuple(
            self._number(fitting(self._numbers[n], w, op), w) if n in self._numbers and w != t.dtype else n
            for n, w, t in zip(names, wanted, types, strict=True)
        )

    def _number(self, value: int | float, dtype: DType) -> str:
        type = TensorType(dtype)
        return self.bind(Literal(type, (constant(value, dtype).value,)), "number").name

    def inline(self, graph: Graph, args: Sequence[Tensor]) -> list[Tensor]:
        """The results of a typed Graph applied to arguments of its parameters' types."""
        given = [self.typed(a, p.type) for a, p in zip(args, graph.params, strict=True)]
        return [self.tensor(n) for n in self._builder.inline(graph, self.names(given))]

    def typed(self, tensor: Tensor, wanted: TensorType) -> Tensor:
        """A weak value in the type that is wanted; any other as it is."""
        return self.apply("cast", tensor, dtype=wanted.dtype) if tensor.type.dtype != wanted.dtype else tensor

    # what it is computed from

    def param(self, stem: str, type: TensorType) -> Tensor:
        """A new parameter."""
        param = Param(self._builder.fresh.like(stem), type)
        self._builder.types[param.name] = type
        self.params.append(param)
        return self.tensor(param.name)

    def tensor(self, name: str) -> Tensor:
        return Tensor(self, name, self._builder.types[name])

    def names(self, tensors: Sequence[Tensor]) -> tuple[str, ...]:
        """Names of tensors in this scope; those of enclosing scopes are captured. Raises TILE0522."""
        return tuple(map(self.name_of, tensors))

    def name_of(self, tensor: Tensor) -> str:
        if tensor.trace is self and not self.closed:
            return tensor.name
        if self.parent is None or self.closed:
            raise leaked(tensor)
        outer = self.parent.name_of(tensor)
        if outer not in self._captured:
            own = self.param(outer, tensor.type).name
            self._captured[outer], self.captures[own] = own, outer
        return self._captured[outer]

    def lift(self, value: Any) -> Tensor:
        """A value as a tensor: a number is a weak literal, an array a constant. Raises TILE0503, TILE0505."""
        if isinstance(value, Tensor):
            return value
        if is_number(value):
            return self.literal(value)
        if isinstance(value, OpenSize):
            return self.open_size(value.poly)
        return self.constant(as_array(None, value))

    def literal(self, value: int | float, dtype: DType | None = None) -> Tensor:
        """A number; weak unless a dtype is given."""
        if not isinstance(value, bool | float) and not -(1 << 63) <= value < 1 << 64:
            raise error("TILE0415", f"the integer {value} exceeds 64 bits")
        plain = bool(value) if isinstance(value, bool) else float(value) if isinstance(value, float) else int(value)
        type = TensorType(dtype or weak_dtype(plain), (), weak=dtype is None)
        if type.dtype.kind == "int" and plain > type.dtype.max:
            type = TensorType(U64, (), type.weak)
        number = float(plain) if type.dtype.is_float else int(plain)
        found = self.bind(Literal(type, (number,)), "number")
        if type.weak:
            self._numbers[found.name] = plain
        return found

    def open_size(self, size: Poly) -> Tensor:
        """The number that a size is at run time: a weak int64."""
        node = Contraction((), standard("assign", I64), (IndexValue(Affine.constant(size), I64),), (Sink((), ()),))
        (name,) = self._builder.bind_all(node, ("size",), (TensorType(I64, (), weak=True),))
        return self.tensor(name)

    def constant(self, array: Array) -> Tensor:
        """An array as it is now: what becomes of it later changes nothing."""
        type = type_of(array)
        if type is None:
            raise error("TILE0503", f"an operand has dtype {array.dtype}, which tilec does not have")
        if array.size <= _SMALL:
            flat = array.reshape(-1)
            values = flat.astype("float64").tolist() if type.dtype.is_float else [int(v) for v in flat.tolist()]
            return self.bind(Literal(type, tuple(values) if values else (0.0 if type.dtype.is_float else 0,)), "data")
        root = self.root()
        return root.tensor(root._constant(array, type))

    def root(self) -> Trace:
        return self if self.parent is None else self.parent.root()

    def _constant(self, array: Array, type: TensorType) -> str:
        kept = np.array(array, order="C", copy=True)
        head = f"{type.dtype}_{'x'.join(map(str, type.shape))}_"
        name = f"constant_{head}{hashlib.sha256(kept.tobytes()).hexdigest()[:16]}"
        if name not in self.constants:
            assert self.param(name, type).name == name
            self.constants[name] = kept
        return name

    # the Graph

    def graph(self, results: Sequence[Tensor], stems: Sequence[str], aliases: Any = ()) -> Graph:
        """The Graph that computes these results: each a value of its own, strong, named like its stem."""
        b, found = self._builder, []
        for tensor, stem in zip(results, stems, strict=True):
            name = self.name_of(tensor)
            op = Apply("cast", (name,), tensor.type.dtype) if tensor.type.weak else Apply("ident", (name,))
            found.append(b.bind(op, stem))
        sizes = names_of(p.type for p in self.root().params)
        graph = Graph(self.name, tuple(self.params), tuple(b.lets), tuple(found), sizes, tuple(aliases))
        return mark_constants(graph, self.constants)


def leaked(tensor: Tensor) -> Exception:
    return error(
        "TILE0522",
        f"{tensor!r} is used after the function that it belongs to has been traced",
        user_span(),
        help="return values from the function instead of keeping them in variables outside",
    )
