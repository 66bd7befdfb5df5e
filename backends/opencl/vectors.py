"""Expressions of all lanes of a vector loop as OpenCL C, over its vector types.

Only operators, `?:`, `as_` and pointers to vectors that are aligned as their elements are: what a driver's library
makes of vectors is not to be relied on (16 lanes abort, hang or are wrong on PoCL where its library was compiled for
another width than its kernels). What has no operator is computed lane by lane, by the scalar text. A value that is the
same in all lanes is a scalar.

Bools are masks: integers of 0 or -1, as wide as what was compared, made wider or narrower where they meet other widths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tilec.affine import Affine
from tilec.backends.opencl import types
from tilec.backends.opencl.expressions import ExprWriter, Functions, expansion, no_access, no_index, value_dtype
from tilec.backends.opencl.scope import Vector
from tilec.builtins import BUILTINS
from tilec.dtypes import BOOL, DType
from tilec.expr import Access, Call, Const, Expr, IndexValue, Read, Var, children, postorder

_EQUAL = {"cmp_eq": "==", "cmp_ne": "!="}
_COMPARE = {**_EQUAL, "cmp_lt": "<", "cmp_gt": ">", "cmp_le": "<=", "cmp_ge": ">="}
_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "shl_raw": "<<"}
_BITS = {"bit_and": "&", "bit_or": "|", "bit_xor": "^"}
_ORDER = {"max": ">", "min": "<"}
_FUNCTION_MASK = 32  # bits of the masks that functions take and give


@dataclass(slots=True)
class VectorWriter:
    """Writes the expressions of one statement for all lanes; `lines` stand before the statement.

    scalar: writes what is the same in all lanes. vectors: by Var, those that are not. step: of a form, from lane to
    lane. load: the vector of an access that is not the same in all lanes.
    """

    functions: Functions
    count: int
    scalar: ExprWriter
    vectors: Mapping[str, Vector]
    step: Callable[[Affine], int]
    index: Callable[[Affine], str]
    load: Callable[[VectorWriter, Access, DType], Vector]
    prefix: str
    done: dict[int, Vector] = field(default_factory=dict)
    varying: dict[int, bool] = field(default_factory=dict)
    kept: list[Expr] = field(default_factory=list)  # keeps ids alive

    @property
    def lines(self) -> list[str]:
        return self.scalar.lines

    def varies(self, expr: Expr) -> bool:
        """Whether lanes may differ in a value."""
        if id(expr) not in self.varying:
            self.kept.append(expr)
            for part in postorder(expr):
                if id(part) not in self.varying:
                    self.varying[id(part)] = self._varies(part)
        return self.varying[id(expr)]

    def _varies(self, expr: Expr) -> bool:
        match expr:
            case Var():
                return expr.name in self.vectors
            case IndexValue():
                return self.step(expr.form) != 0
            case Read():
                forms = [i for i in expr.access.indices if isinstance(i, Affine)]
                if any(self.step(form) for form in forms):
                    return True
        return any(self.varying[id(part)] for part in children(expr))

    def value(self, expr: Expr) -> Vector:
        """A vector, named or short."""
        if not self.varies(expr):
            return self.spread(self.scalar.value(expr), expr.dtype)
        if isinstance(expr, Var):
            return self.vectors[expr.name]
        if id(expr) not in self.done:
            for part in postorder(expr, _operands):
                if self.varies(part) and not isinstance(part, Var) and id(part) not in self.done:
                    self.done[id(part)] = self._named(part)
        return self.done[id(expr)]

    def spread(self, text: str, dtype: DType) -> Vector:
        """A scalar in all lanes."""
        if dtype == BOOL:
            return Vector(f"(({types.integers(_FUNCTION_MASK, self.count)})(-(int){text}))", _FUNCTION_MASK)
        return Vector(f"(({types.vector(dtype, self.count)})({text}))")

    def lane(self, expr: Expr, k: int) -> str:
        """The value of one lane."""
        return self.value(expr).lane(k) if self.varies(expr) else self.scalar.value(expr)

    def pack(self, texts: Sequence[str], dtype: DType) -> Vector:
        """The vector of the values of the lanes."""
        if dtype == BOOL:
            lanes = ", ".join(f"-(int){text}" for text in texts)
            return Vector(f"({types.integers(_FUNCTION_MASK, self.count)})({lanes})", _FUNCTION_MASK)
        return Vector(f"({types.vector(dtype, self.count)})({', '.join(texts)})")

    def masked(self, value: Vector, bits: int) -> str:
        """A vector of bools as integers of so many bits."""
        if value.mask == bits:
            return value.text
        source, target = types.integers(value.mask, self.count), types.integers(bits, self.count)
        return f"{self.functions.conversion(source, target, self.count)}({value.text})"

    def keep(self, value: Vector, dtype: DType) -> Vector:
        """The vector under a name of its own."""
        name = f"{self.prefix}v{len(self.kept)}"
        self.kept.append(Const(0, dtype))
        kind = types.integers(value.mask, self.count) if value.mask else types.vector(dtype, self.count)
        self.lines.append(f"const {kind} {name} = {value.text};")
        return Vector(name, value.mask)

    def _named(self, expr: Expr) -> Vector:
        self.functions.note(expr.dtype)
        self.kept.append(expr)
        return self.keep(self._compute(expr), expr.dtype)

    def _compute(self, expr: Expr) -> Vector:
        match expr:
            case Read():
                return self.load(self, expr.access, expr.dtype)
            case IndexValue():
                step, text = self.step(expr.form), self.index(expr.form)
                source = DType("i64", "int64", "int", 64)
                lanes = [types.cast(f"({text} + {k * step}L)", source, expr.dtype) for k in range(self.count)]
                return self.pack(lanes, expr.dtype)
            case Call():
                for a in expr.args:
                    self.functions.note(a.dtype)
                return self._operation(expr) or self._function(expr) or self._by_lane(expr)
        raise AssertionError(expr)

    def _operation(self, call: Call) -> Vector | None:
        """By operators; None where there are none for it."""
        if call.op == "cast":
            return self._cast(call)
        source = value_dtype(call.op, tuple(a.dtype for a in call.args))
        if call.op in ("cond", "rarely"):
            return self._choice(call)
        if call.op == "bitcast":
            return self._bitcast(call)
        if source == BOOL:
            return self._of_bools(call)
        a, *others = (self.value(x).text for x in call.args)
        b = others[0] if others else ""
        if call.op in _COMPARE:
            return Vector(f"({a} {_COMPARE[call.op]} {b})", types.width(source))
        if types.is_narrow(source):
            return None
        if source.is_float:
            return self._of_floats(call, a, others)
        if call.op in _ARITHMETIC:
            return Vector(self._wrapped(call.dtype, _ARITHMETIC[call.op], a, b))
        if call.op in _ORDER:
            return Vector(f"({a} {_ORDER[call.op]} {b} ? {a} : {b})")
        operators = {**_BITS, "shr_raw": ">>"}
        return Vector(f"({a} {operators[call.op]} {b})") if call.op in operators else None

    def _of_floats(self, call: Call, a: str, others: Sequence[str]) -> Vector | None:
        operators = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
        if call.op in operators:
            return Vector(f"({a} {operators[call.op]} {others[0]})")
        match call.op:
            case "neg":
                return Vector(f"(-{a})")
            case "abs":
                kind, sign = types.integers(call.dtype.bits, self.count), types.sign_bit(call.dtype)
                return Vector(f"as_{types.vector(call.dtype, self.count)}(as_{kind}({a}) & ({kind})(~{sign}))")
            case "fma":
                return Vector(f"{self.functions.fused('fma', call.dtype, self.count)}({', '.join((a, *others))})")
        return None

    def _of_bools(self, call: Call) -> Vector | None:
        operator = {**_BITS, **_EQUAL}.get(call.op)
        if operator is None:
            return None
        a, b = (self.value(x) for x in call.args)
        bits = max(a.mask, b.mask)
        return Vector(f"({self.masked(a, bits)} {operator} {self.masked(b, bits)})", bits)

    def _wrapped(self, dtype: DType, operator: str, a: str, b: str) -> str:
        """Signed overflow is undefined: computed unsigned."""
        kind = types.vector(dtype, self.count)
        wide = kind if kind.startswith("u") else f"u{kind}"
        return f"as_{kind}(as_{wide}({a}) {operator} as_{wide}({b}))"

    def _choice(self, call: Call) -> Vector:
        condition, a, b = (self.value(x) for x in call.args)
        if call.dtype == BOOL:
            bits = max(a.mask, b.mask)
            return Vector(f"({self.masked(condition, bits)} ? {self.masked(a, bits)} : {self.masked(b, bits)})", bits)
        return Vector(f"({self.masked(condition, types.width(call.dtype))} ? {a.text} : {b.text})")

    def _cast(self, call: Call) -> Vector | None:
        """Floats to integers saturate, and to 16 bits round: lane by lane."""
        (argument,) = call.args
        value, source, target = self.value(argument), argument.dtype, call.dtype
        if source == target:
            return value
        a, b = types.vector(source, self.count), types.vector(target, self.count)
        if target == BOOL:
            return Vector(f"({value.text} != ({a})(0))", types.width(source))
        if source == BOOL:
            return Vector(f"({self.masked(value, types.width(target))} ? ({b})(1) : ({b})(0))")
        if types.is_narrow(target) or (source.is_float and not target.is_float):
            return None
        if a == b:
            return value
        if target.is_integer and source.bits == target.bits:
            return Vector(f"as_{b}({value.text})")
        return Vector(f"{self.functions.conversion(a, b, self.count)}({value.text})")

    def _bitcast(self, call: Call) -> Vector | None:
        (argument,) = call.args
        if any(d == BOOL or types.is_narrow(d) for d in (argument.dtype, call.dtype)):
            return None
        return Vector(f"as_{types.vector(call.dtype, self.count)}({self.value(argument).text})")

    def _function(self, call: Call) -> Vector | None:
        """By a function of vectors, where the table expands the builtin; 16-bit floats have scalar ones only."""
        sources = tuple(a.dtype for a in call.args)
        if BUILTINS[call.op].opencl.get(value_dtype(call.op, sources).kind) is not None:
            return None
        if any(types.is_narrow(d) for d in (*sources, call.dtype)):
            return None
        name = vector_function(self.functions, call.op, sources, call.dtype, self.count)
        if name is None:
            return None
        values = [self.value(a) for a in call.args]
        texts = [self.masked(v, _FUNCTION_MASK) if v.mask else v.text for v in values]
        return Vector(f"{name}({', '.join(texts)})", _FUNCTION_MASK if call.dtype == BOOL else 0)

    def _by_lane(self, call: Call) -> Vector:
        parameters = tuple(Var(f"x{i}", a.dtype) for i, a in enumerate(call.args))
        one = Call(call.op, parameters, call.dtype)
        texts = []
        for k in range(self.count):
            scalars = {p.name: self.lane(a, k) for p, a in zip(parameters, call.args, strict=True)}
            writer = ExprWriter(self.functions, scalars, no_access, self.index, f"{self.prefix}l{len(self.kept)}_{k}_")
            texts.append(writer.value(one))
            self.lines.extend(writer.lines)
        return self.pack(texts, call.dtype)


def vector_function(functions: Functions, op: str, sources: tuple[DType, ...], dtype: DType, count: int) -> str | None:
    """The function of a builtin on vectors, made on first use; None where the builtin has no expansion."""
    name = "_".join(["tilec", op, *map(str, sources), f"x{count}"])
    if name in functions.texts:
        return name
    parameters, expr = expansion(op, sources)
    if expr is None:
        return None
    vectors = {p.name: Vector(p.name, _FUNCTION_MASK if p.dtype == BOOL else 0) for p in parameters}
    scalar = ExprWriter(functions, {}, no_access, no_index)
    writer = VectorWriter(functions, count, scalar, vectors, _no_step, no_index, _no_load, "t")
    value = writer.value(expr)
    result = writer.masked(value, _FUNCTION_MASK) if value.mask else value.text

    def kind(d: DType) -> str:
        return types.integers(_FUNCTION_MASK, count) if d == BOOL else types.vector(d, count)

    functions.define(name, kind, parameters, dtype, writer.lines, result)
    return name


def _operands(expr: Expr) -> Sequence[Expr]:
    return expr.args if isinstance(expr, Call) else ()


def _no_step(form: Affine) -> int:
    raise AssertionError("an expansion uses no index")


def _no_load(writer: VectorWriter, access: Access, dtype: DType) -> Vector:
    raise AssertionError("an expansion reads no memory")
