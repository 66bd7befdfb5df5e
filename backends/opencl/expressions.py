"""Expressions as OpenCL C: one temporary per node, and one function per builtin that the table expands.

Transcendental functions are expanded too, although OpenCL has its own: so results are those of the other backends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tilec.affine import Affine
from tilec.backends.opencl import types
from tilec.builtins import BUILTINS
from tilec.dtypes import F32, F64, I64, DType
from tilec.errors import error
from tilec.expr import Access, Call, Const, Expr, IndexValue, Read, Var, operands, postorder

_WRAPPING = ("add", "sub", "mul", "shl_raw")


@dataclass(slots=True)
class Functions:
    """The helper functions of one source text, each after those it calls."""

    texts: dict[str, str] = field(default_factory=dict)
    fp64: bool = False

    def name_of(self, op: str, sources: tuple[DType, ...], dtype: DType) -> str | None:
        """The function of a builtin, made on first use; None where the builtin has no expansion for the dtype."""
        name = "_".join(["tilec", op, *map(str, sources)])
        if name in self.texts:
            return name
        parameters, expr = expansion(op, sources)
        if expr is None:
            return None
        writer = ExprWriter(self, {p.name: p.name for p in parameters}, no_access, no_index)
        result = writer.value(expr)
        self.define(name, types.carried, parameters, dtype, writer.lines, result)
        return name

    def define(
        self,
        name: str,
        kind: Callable[[DType], str],
        parameters: Sequence[Var],
        dtype: DType,
        lines: list[str],
        result: str,
    ) -> None:
        """A function of some lines and a result; `kind` is the C type that a dtype has in it."""
        head = f"{kind(dtype)} {name}({', '.join(f'{kind(p.dtype)} {p.name}' for p in parameters)})"
        body = "".join(f"  {line}\n" for line in lines)
        self.texts[name] = f"{head} {{\n{body}  return {result};\n}}\n"

    def note(self, dtype: DType) -> None:
        self.fp64 = self.fp64 or dtype == F64

    def pointee(self, stored: str, count: int, size: int) -> str:
        """A vector type that is aligned as its elements of `size` bytes are."""
        name = f"tilec_{stored}{count}"
        self.texts.setdefault(name, f"typedef {stored}{count} {name} __attribute__((aligned({size})));\n")
        return name

    def conversion(self, source: str, target: str, count: int) -> str:
        """A function of vectors: wider or narrower integers, integers to floats, floats to floats."""
        name = f"tilec_{target}_of_{source}"
        if name not in self.texts:
            element = target.rstrip("0123456789")
            lanes = ", ".join(f"({element})x.s{k:x}" for k in range(count))
            builtin = f"__builtin_convertvector(x, {target})"
            self.texts[name] = (
                f"{target} {name}({source} x) {{\n{_choice('CONVERTS', builtin, f'({target})({lanes})')}}}\n"
            )
        return name

    def fused(self, kind: Literal["fma", "sum"], dtype: DType, count: int = 1) -> str:
        """A function of a, b and c that gives a * b + c, rounded once where the device's compiler makes that one
        operation: TILEC_FUSES is defined where it is proved (`trials`). Elsewhere `fma` calls for it, and `sum` rounds
        twice."""
        self.note(dtype)
        type_ = types.carried(dtype) if count == 1 else types.vector(dtype, count)
        name = f"tilec_{kind}_{type_}"
        if name not in self.texts:
            lanes = ", ".join(f"fma(a.s{k:x}, b.s{k:x}, c.s{k:x})" for k in range(count))
            called = "fma(a, b, c)" if count == 1 else f"({type_})({lanes})"
            other = called if kind == "fma" else "a * b + c"
            body = _choice("FUSES", "a * b + c", other, "  #pragma OPENCL FP_CONTRACT ON\n")
            self.texts[name] = f"{type_} {name}({type_} a, {type_} b, {type_} c) {{\n{body}}}\n"
        return name

    def text(self) -> str:
        return "\n".join(self.texts.values())


def _choice(name: str, value: str, other: str, before: str = "") -> str:
    """The body of a function that depends on what is defined."""
    return f"#ifdef TILEC_{name}\n{before}  return {value};\n#else\n  return {other};\n#endif\n"


def expansion(op: str, sources: tuple[DType, ...]) -> tuple[tuple[Var, ...], Expr | None]:
    """Parameters for operands of these types, and a builtin in terms of simpler ones and of them, where it has that."""
    parameters = tuple(Var(f"x{i}", d) for i, d in enumerate(sources))
    expand = BUILTINS[op].expand
    return parameters, expand(parameters, value_dtype(op, sources)) if expand is not None else None


def value_dtype(op: str, sources: tuple[DType, ...]) -> DType:
    """Dtype of the first value operand: not that of a select's condition."""
    return sources[1] if BUILTINS[op].rule == "select" else sources[0]


def no_access(access: Access) -> str:
    raise AssertionError("an expansion reads no memory")


def no_index(form: Affine) -> str:
    raise AssertionError("an expansion uses no index")


@dataclass(slots=True)
class ExprWriter:
    """Writes the expressions of one statement: `lines` are the temporaries, to stand before the statement.

    scalars: C names by Var. element: the C lvalue of an access. index: the C text of an affine form. A node object that
    occurs several times gets one temporary.
    """

    functions: Functions
    scalars: Mapping[str, str]
    element: Callable[[Access], str]
    index: Callable[[Affine], str]
    prefix: str = "t"
    lines: list[str] = field(default_factory=list)
    done: dict[int, str] = field(default_factory=dict)
    kept: list[Expr] = field(default_factory=list)  # keeps ids alive

    def value(self, expr: Expr) -> str:
        """C text of a value: a name or a literal."""
        if isinstance(expr, Const):
            self.functions.note(expr.dtype)
            return types.constant(expr.value, expr.dtype)
        if isinstance(expr, Var):
            return self.scalars[expr.name]
        if id(expr) not in self.done:
            for part in postorder(expr, operands):
                if not isinstance(part, Const | Var) and id(part) not in self.done:
                    self._define(part)
        return self.done[id(expr)]

    def _define(self, expr: Expr) -> None:
        """A temporary for a node whose operands have theirs."""
        self.functions.note(expr.dtype)
        text = self._compute(expr)  # may add lines first
        name = f"{self.prefix}{len(self.done)}"
        self.lines.append(f"const {types.carried(expr.dtype)} {name} = {text};")
        self.done[id(expr)] = name
        self.kept.append(expr)

    def converted(self, expr: Expr, dtype: DType) -> str:
        """The value as another dtype."""
        return types.cast(self.value(expr), expr.dtype, dtype)

    def _compute(self, expr: Expr) -> str:
        match expr:
            case Read():
                return types.load(expr.dtype, self.element(expr.access))
            case IndexValue():
                return types.cast(f"({self.index(expr.form)})", I64, expr.dtype)
            case Call():
                return self._call(expr)
        raise AssertionError(expr)

    def _call(self, call: Call) -> str:
        args = [self.value(a) for a in call.args]
        sources = tuple(a.dtype for a in call.args)
        for source in sources:
            self.functions.note(source)
        if call.op == "cast":
            return types.cast(args[0], sources[0], call.dtype)
        if call.op == "bitcast":
            return types.bitcast(args[0], sources[0], call.dtype)
        if call.op == "fma" and call.dtype in (F32, F64):
            return f"{self.functions.fused('fma', call.dtype)}({', '.join(args)})"
        kind = value_dtype(call.op, sources).kind
        spelling = BUILTINS[call.op].opencl.get(kind)
        if spelling is None:
            return self._expanded(call, args, sources)
        if call.op in _WRAPPING and kind in ("int", "uint"):
            wide = types.wrapping(call.dtype)
            return f"({types.carried(call.dtype)}){spelling.format(*(f'({wide}){a}' for a in args))}"
        text = spelling.format(*args)
        return types.rounded(call.dtype, text) if _rounds(call) else _narrowed(call.dtype, text)

    def _expanded(self, call: Call, args: list[str], sources: tuple[DType, ...]) -> str:
        name = self.functions.name_of(call.op, sources, call.dtype)
        if name is None:
            raise error("TILE0301", f"the OpenCL backend cannot compute '{call.op}' of {', '.join(map(str, sources))}")
        return f"{name}({', '.join(args)})"


def _rounds(call: Call) -> bool:
    """Whether the result of an operation on 16-bit floats is not yet one of them."""
    return types.is_narrow(call.dtype) and BUILTINS[call.op].rule not in ("select", "order")


def _narrowed(dtype: DType, text: str) -> str:
    """C computes in int what is narrower."""
    return f"({types.carried(dtype)}){text}" if dtype.is_integer and dtype.bits < 32 else text
