"""Every builtin and cast on every dtype, on edge values, vector and scalar code, against the table's NumPy meaning."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.backends.llvm_support import KINDS, Array, compute, older, operands, ulp_distance
from tests.graph.function_accuracy import CASES, exact, published, ulp_error
from tests.graph.worst_arguments import WORST
from tilec import dtypes, rules
from tilec.builtins import BUILTINS
from tilec.dtypes import BOOL, DType
from tilec.errors import TileError
from tilec.evaluate.expr import evaluate_call
from tilec.expr import Call, Const, Expr
from tilec.graph import TensorType
from tilec.numpy_semantics import fused

_RAW = (
    "div_raw",
    "rem_raw",
    "shl_raw",
    "shr_raw",
    "scale2",
    "rarely",
    "fma",
)  # undefined on some operands, or tested below
_FLOATS = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 7.0, -7.0, 0.1, 1e-3, 100.0, -1234.5, 65519.0, 65520.0),
    *(float("inf"), float("-inf"), float("nan"), 1e-8, 6e-8, -3e-5, 1e-40, 1e30, -1e30, 2.0**31, 2.0**63, -(2.0**63)),
    *(1e308, 5e-324, 8388607.5, 2147483647.0, 4294967296.0, 254.9, 255.5, -0.9, 127.5, 32768.0, 1.0009765625),
)


def edge_values(dtype: DType) -> Array:
    """Values at which operations go wrong."""
    if dtype == BOOL:
        return np.array([False, True])
    if dtype.is_float:
        with np.errstate(all="ignore"):
            return np.array(_FLOATS).astype(dtype.numpy)
    low, high = int(dtype.min), int(dtype.max)
    values = {low, low + 1, -7, -3, -2, -1, 0, 1, 2, 3, 5, 7, 8, 15, 31, 32, 63, 64, high // 2, high - 1, high}
    return np.array(sorted(v for v in values if low <= v <= high), dtype.numpy)


def grid(operands: list[DType]) -> list[Array]:
    """All combinations of edge values, thinned for three operands, an odd number of them."""
    axes = [edge_values(d)[:: 1 if len(operands) < 3 else 3] for d in operands]
    columns = [np.array(c, a.dtype) for c, a in zip(zip(*itertools.product(*axes)), axes)]
    return [c if len(c) % 2 else np.concatenate([c, c[:1]]) for c in columns]


def compare(result: Array, expected: Array, dtype: DType, ulp: float) -> None:
    if not dtype.is_float:
        assert (result == expected).all(), np.flatnonzero(result != expected)[:5]
        return
    assert ulp_distance(result, expected) <= ulp
    if ulp == 0:
        numbers = ~np.isnan(expected.astype(np.float64))
        assert (np.signbit(result) == np.signbit(expected))[numbers].all()


def cases() -> list[tuple[str, DType]]:
    return [(op, d) for op in BUILTINS if op not in (*_RAW, "cast", "bitcast") for d in dtypes.ALL]


@pytest.mark.parametrize(("op", "dtype"), cases(), ids=str)
def test_builtin(op: str, dtype: DType) -> None:
    entry = BUILTINS[op]
    try:
        wanted, result = rules.apply_type(op, [TensorType(dtype, (1,))] * entry.arity)
    except TileError:
        return  # the rules refuse this type
    if any(w != dtype for w in wanted if w != BOOL):
        return  # converted first: the case of another dtype
    arrays = grid(list(wanted))
    with np.errstate(all="ignore"):
        expected = evaluate_call(op, arrays, list(wanted), result.dtype, "typed")
    found = compute({"out": Call(op, operands(wanted), result.dtype)}, arrays, wanted)
    bound = entry.ulp if dtype.bits >= 32 or not entry.ulp else 1
    for kind in KINDS:
        compare(found[f"out.{kind}"], np.asarray(expected), result.dtype, bound)


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if d.is_float], ids=str)
@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize("name", ["sse2", "avx2", "host"])
def test_extreme_beside_a_number(op: str, dtype: DType, name: str) -> None:
    """As in relu and clip: zeros of both signs, infinities and NaN, on either side."""
    (values,) = grid([dtype])
    (x,) = operands([dtype])
    numbers = [Const(v, dtype) for v in (0.0, -0.0, 6.0, -1.5, float("inf"), float("-inf"), float("nan"))]
    pairs = {f"{k}{side}": (x, c)[::side] for k, c in enumerate(numbers) for side in (1, -1)}
    calls: dict[str, Expr] = {n: Call(op, pair, dtype) for n, pair in pairs.items()}
    found = compute(calls, [values], [dtype], None if name == "host" else older(name))
    for key, pair in pairs.items():
        columns = [np.full_like(values, e.value) if isinstance(e, Const) else values for e in pair]
        expected = np.asarray(evaluate_call(op, columns, [dtype, dtype], dtype, "typed"))
        for kind in KINDS:
            compare(found[f"{key}.{kind}"], expected, dtype, 0)


@pytest.mark.parametrize("source", dtypes.ALL, ids=str)
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_cast(source: DType, bits: int) -> None:
    (values,) = grid([source])
    targets = [d for d in dtypes.ALL if d.bits == bits]
    found = compute({t.name: Call("cast", operands([source]), t) for t in targets}, [values], [source])
    for target in targets:
        expected = evaluate_call("cast", [values], [source], target, "typed")
        for kind in KINDS:
            compare(found[f"{target.name}.{kind}"], expected, target, 0)


@pytest.mark.parametrize("source", dtypes.ALL, ids=str)
@pytest.mark.parametrize("name", ["sse2", "avx2"])
def test_cast_on_older_processors(source: DType, name: str) -> None:
    (values,) = grid([source])
    casts: dict[str, Expr] = {t.name: Call("cast", operands([source]), t) for t in dtypes.ALL}
    found = compute(casts, [values], [source], older(name))
    for target in dtypes.ALL:
        expected = evaluate_call("cast", [values], [source], target, "typed")
        for kind in KINDS:
            compare(found[f"{target.name}.{kind}"], expected, target, 0)


_OFTEN = ("add", "div", "mod", "max", "floor", "ceil", "trunc", "round", "sqrt", "exp", "bit_left")


@pytest.mark.parametrize("op", _OFTEN)
@pytest.mark.parametrize("name", ["sse2", "avx2"])
def test_builtin_on_older_processors(op: str, name: str) -> None:
    entry = BUILTINS[op]
    for dtype in (dtypes.F16, dtypes.BF16, dtypes.F32, dtypes.F64, dtypes.I8, dtypes.I64, dtypes.U32):
        if dtype.is_float == (op == "bit_left") or (entry.rule == "float" and not dtype.is_float):
            continue
        kinds = [dtype] * entry.arity
        arrays = grid(kinds)
        expected = evaluate_call(op, arrays, kinds, dtype, "typed")
        found = compute({"out": Call(op, operands(kinds), dtype)}, arrays, kinds, older(name))
        bound = entry.ulp if dtype.bits >= 32 or not entry.ulp else 1
        for kind in KINDS:
            compare(found[f"out.{kind}"], np.asarray(expected), dtype, bound)


@pytest.mark.parametrize("dtype", [dtypes.F16, dtypes.BF16], ids=str)
def test_every_16_bit_float_survives(dtype: DType) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    wide = bits.view(dtype.numpy).astype(np.float32)
    found = compute({"out": Call("cast", operands([dtypes.F32]), dtype)}, [wide], [dtypes.F32])
    numbers = ~np.isnan(wide)
    for kind in KINDS:
        assert (found[f"out.{kind}"].view(np.uint16)[numbers] == bits[numbers]).all()


def _hard_sums(dtype: DType) -> list[Array]:
    """Products near a tie or near the addend, of ordinary size; and all the edge values."""
    r = np.random.default_rng(4)
    a, b = (r.standard_normal(3000).astype(dtype.numpy) for _ in range(2))
    size = a.astype(np.float64) * b.astype(np.float64)
    near = -size * (1 + r.choice([0, 2.0**-9, 2.0**-24, 2.0**-53], 3000))
    with np.errstate(over="ignore"):
        c = np.where(r.random(3000) < 0.5, near, size * 2.0 ** r.integers(-60, 60, 3000)).astype(dtype.numpy)
    return [np.concatenate([x, e]) for x, e in zip((a, b, c), grid([dtype] * 3))]


@pytest.mark.parametrize("machine", ["host", "avx2", "sse2"])
@pytest.mark.parametrize("dtype", [dtypes.F16, dtypes.BF16, dtypes.F32, dtypes.F64], ids=str)
def test_fused_multiply_add_rounds_once(dtype: DType, machine: str) -> None:
    """Also where the processor has no instruction for it; then not at the ends of the range of the wide exponents."""
    columns = _hard_sums(dtype)
    target = None if machine == "host" else older(machine)
    with np.errstate(all="ignore"):
        product = np.abs(columns[0].astype(np.float64) * columns[1].astype(np.float64))
    low, high = {"bf16": (1e-30, 1e38), "f64": (1e-280, 1e290)}.get(dtype.name, (0.0, np.inf))
    kept = (product == 0) | ((product > low) & (product < high))
    for column in columns:
        kept &= (np.abs(column.astype(np.float64)) < high) | (dtype.name == "bf16")
    columns = [c[kept] for c in columns]
    expected = np.asarray(fused(*columns))
    found = compute({"out": Call("fma", operands([dtype] * 3), dtype)}, columns, [dtype] * 3, target)
    for kind in KINDS:
        compare(found[f"out.{kind}"], expected, dtype, 0)


@pytest.mark.parametrize("machine", ["host", "avx2", "sse2"])
def test_errors_at_the_worst_arguments_are_those_of_the_documentation(machine: str) -> None:
    target = None if machine == "host" else older(machine)
    for case in CASES:
        if case.name in WORST:
            column = np.array([float.fromhex(a) for a in WORST[case.name]] * 17, np.float32)
            value = Call(case.name, operands([dtypes.F32]), dtypes.F32)
            found = compute({"out": value}, [column], [dtypes.F32], target)
            for kind in KINDS:
                for x, y in zip(column.tolist(), found[f"out.{kind}"].tolist()):
                    want = exact(case, (x,))
                    assert want is not None
                    assert ulp_error(y, want, dtypes.F32) <= published()[case.name, "f32"], (case.name, x)


@pytest.mark.parametrize("dtype", [dtypes.F32, dtypes.F64], ids=str)
def test_functions_are_the_same_without_a_fused_instruction(dtype: DType) -> None:
    r = np.random.default_rng(6)
    x, y = (r.uniform(-1, 1, 999) * 10.0 ** r.integers(-3, 5, 999) for _ in range(2))
    columns = [x.astype(dtype.numpy), y.astype(dtype.numpy)]
    a, b = operands([dtype] * 2)
    values = {n: Call(n, (a,), dtype) for n in ("sin", "cos", "tan", "exp", "tanh", "erf", "atan")}
    values["pow"] = Call("pow", (Call("abs", (a,), dtype), b), dtype)
    here, there = (compute(values, columns, [dtype] * 2, t) for t in (None, older("sse2")))
    for name, result in here.items():
        np.testing.assert_array_equal(there[name], result, err_msg=name)
