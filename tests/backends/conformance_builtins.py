"""Conformance cases made from the builtin table: every builtin, cast and bitcast on every dtype, at edge values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tests.backends.conformance import Array, Arrays, Case, program_of
from tests.graph.expression_values import fused
from tilec import dtypes, rules
from tilec.affine import Affine
from tilec.builtins import BUILTINS
from tilec.dtypes import BOOL, F32, F64, DType, from_numpy
from tilec.errors import TileError
from tilec.evaluate.expr import evaluate_call
from tilec.expr import Call, Expr, read, reads
from tilec.graph import TensorType
from tilec.loops import Block, Buffer, For, Kernel, KernelParam, Store

LANES = 8
PER_KERNEL = 12  # results of one kernel: devices limit the number of arguments
RAW = ("div_raw", "rem_raw", "shl_raw", "shr_raw", "scale2", "rarely", "fma")  # partly undefined, or tested apart
_PLACE = (Affine.of({"i": LANES, "l": 1}),)
_FLOATS = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.5, 7.0, -0.1, 1e-3, 88.0, -105.0, 1234.5, 65519.0, 65520.0, 1e-40, 1e30),
    *(-1e30, 2.0**31, -(2.0**63), 1e308, 5e-324, 254.9, -0.9, float("inf"), float("-inf"), float("nan")),
)


def edges(dtype: DType) -> Array:
    """Values at which operations go wrong."""
    if dtype == BOOL:
        return np.array([False, True])
    if dtype.is_float:
        with np.errstate(all="ignore"):
            return np.array(_FLOATS).astype(dtype.numpy)
    low, high = int(dtype.min), int(dtype.max)
    values = {low, low + 1, -7, -2, -1, 0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, high // 2, high - 1, high}
    return np.array(sorted(v for v in values if low <= v <= high), dtype.numpy)


def columns(dtype: DType) -> dict[str, Array]:
    """Operands x0, x1, x2 of `dtype` and c of bool: all pairs of edge values, filled up to whole vectors."""
    values = edges(dtype)
    pairs = np.array(list(itertools.product(range(len(values)), repeat=2)))
    pairs = np.resize(pairs, (-(-len(pairs) // LANES) * LANES, 2))
    first, second = values[pairs[:, 0]], values[pairs[:, 1]]
    return {"x0": first, "x1": second, "x2": np.roll(first, 3), "c": np.arange(len(first)) % 3 == 0}


def column(name: str, dtype: DType) -> Expr:
    return read(name, _PLACE, dtype)


def kernel(inputs: Arrays, values: Mapping[str, Expr]) -> Kernel:
    """Stores each value, computed in a vector loop from the columns it reads, in a result of its name."""
    count = len(next(iter(inputs.values())))
    used = {r.access.tensor: r.dtype for e in values.values() for r in reads(e)}
    params = [KernelParam(Buffer(n, d, (count,), "param"), "in") for n, d in used.items()]
    params += [KernelParam(Buffer(n, e.dtype, (count,), "param"), "out") for n, e in values.items()]
    body: Block = tuple(Store(n, _PLACE, e) for n, e in values.items())
    nest = For("i", count // LANES, "parallel", (For("l", LANES, "vector", body),))
    return Kernel("elementwise", tuple(params), (nest,))


def cases(name: str, inputs: Arrays, values: Mapping[str, Expr], expected: Arrays, ulp: float) -> Iterator[Case]:
    """The values, some at a time."""
    names = list(values)
    for start in range(0, len(names), PER_KERNEL):
        part = names[start : start + PER_KERNEL]
        program = program_of(kernel(inputs, {n: values[n] for n in part}))
        yield Case(name, program, inputs, {n: expected[n] for n in part}, ulp)


def builtin(op: str, dtype: DType) -> tuple[Expr, Sequence[str]] | None:
    """A call on columns of a dtype, and their names; None where the rules refuse or convert the dtype."""
    arity = BUILTINS[op].arity
    try:
        wanted, result = rules.apply_type(op, [TensorType(dtype, (1,))] * arity)
    except TileError:
        return None
    names = ["c" if w == BOOL != dtype else f"x{n}" for n, w in enumerate(wanted)]
    if any(w != dtype for w, n in zip(wanted, names, strict=True) if n != "c"):
        return None
    return Call(op, tuple(column(n, w) for n, w in zip(names, wanted, strict=True)), result.dtype), names


def builtin_cases() -> Iterator[Case]:
    """All builtins of equal accuracy on one dtype share kernels."""
    for dtype in dtypes.ALL:
        inputs = columns(dtype)
        groups: dict[float, dict[str, Expr]] = {}
        expected: dict[str, Array] = {}
        for op, entry in BUILTINS.items():
            found = None if op in (*RAW, "cast", "bitcast") else builtin(op, dtype)
            if found is None:
                continue
            call, names = found
            ulp = entry.ulp if dtype.bits >= 32 else min(entry.ulp, 1.0)
            groups.setdefault(ulp, {})[op] = call
            sources = [BOOL if n == "c" else dtype for n in names]
            values = [inputs[n] for n in names]
            expected[op] = np.asarray(evaluate_call(op, values, sources, call.dtype, "typed"))
        for ulp, calls in groups.items():
            yield from cases(f"{dtype} builtins", inputs, calls, expected, ulp)


def conversion_cases() -> Iterator[Case]:
    """cast from each dtype to each, bitcast to those of the same width."""
    for source in dtypes.ALL:
        inputs = columns(source)
        x = column("x0", source)
        calls: dict[str, Expr] = {f"as_{d}": Call("cast", (x,), d) for d in dtypes.ALL}
        same = [d for d in dtypes.ALL if d.bits == source.bits and BOOL not in (source, d)]
        calls |= {f"bits_{d}": Call("bitcast", (x,), d) for d in same}
        expected = {}
        for name, call in calls.items():
            assert isinstance(call, Call)
            expected[name] = np.asarray(evaluate_call(call.op, [inputs["x0"]], [source], call.dtype, "typed"))
        yield from cases(f"from {source}", inputs, calls, expected, 0.0)


def fused_cases() -> Iterator[Case]:
    """fma on numbers whose product does not fit: rounded once, or pairs of words lose their meaning."""
    rng = np.random.default_rng(11)
    for dtype in (F32, F64):
        a, b = (rng.uniform(-2, 2, 512).astype(dtype.numpy) for _ in "ab")
        inputs = {"x0": a, "x1": b, "x2": -a * b}
        assert from_numpy(a.dtype) == dtype
        call = Call("fma", tuple(column(n, dtype) for n in inputs), dtype)
        yield from cases(f"{dtype} fma", inputs, {"fma": call}, {"fma": fused(a, b, inputs["x2"])}, 0.0)
