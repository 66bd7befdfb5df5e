"""Objects for several processors: they compile, import nothing, and use the instructions they should."""

from __future__ import annotations

import re

import pytest

from tests.backends.llvm_support import elementwise, operands, program_of, serial_host, undefined_symbols
from tests.generators.kernels import generate
from tilec import dtypes, rules
from tilec.affine import Affine
from tilec.backends.llvm import jit, pool
from tilec.backends.llvm.module import emit_module
from tilec.backends.llvm.target import named
from tilec.builtins import BUILTINS
from tilec.dtypes import BOOL, DType
from tilec.errors import TileError
from tilec.expr import Call, Expr, read
from tilec.graph import TensorType
from tilec.loops import Buffer, For, Kernel, KernelParam, Store
from tilec.monoid import standard
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.schedule import parse_schedule

TARGETS = ["sse2", "avx2", "avx512", "neon"]
_RAW = ("div_raw", "rem_raw", "shl_raw", "shr_raw", "scale2", "rarely")


def everything(dtype: DType) -> Kernel:
    """Every builtin and cast of a dtype in one kernel."""
    columns = operands([dtype, dtype, dtype, BOOL])
    values: dict[str, Expr] = {f"cast.{t.name}": Call("cast", columns[:1], t) for t in dtypes.ALL}
    for name, entry in BUILTINS.items():
        try:
            wanted, result = rules.apply_type(name, [TensorType(dtype, (1,))] * entry.arity)
        except TileError:
            continue
        raw = name in _RAW or (name == "fma" and not dtype.is_float)
        if not raw and name not in ("cast", "bitcast") and all(w in (dtype, BOOL) for w in wanted):
            args = tuple(columns[3] if w != dtype else c for w, c in zip(wanted, columns))
            values[name] = Call(name, args, result.dtype)
    return elementwise(values, [dtype, dtype, dtype, BOOL], 37)


_HARD = (dtypes.I64, dtypes.U8, dtypes.U64, dtypes.F16, dtypes.BF16, dtypes.F64)
_CASES = [("sse2", d) for d in dtypes.ALL] + [(name, d) for name in ("avx2", "avx512", "neon") for d in _HARD]


@pytest.mark.parametrize(("name", "dtype"), _CASES, ids=str)
def test_no_object_calls_a_library(name: str, dtype: DType) -> None:
    target = named(name)
    code = jit.object_code(emit_module(program_of(everything(dtype)), target).text, target)
    if code[:4] == b"\x7fELF":
        assert undefined_symbols(code) == set()


def test_pool_imports_only_thread_locks() -> None:
    code = jit.object_code(pool.pool_text(), serial_host())
    if code[:4] == b"\x7fELF":
        assert undefined_symbols(code) == {"PyThread_acquire_lock", "PyThread_release_lock"}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("seed", range(8))
def test_scheduled_kernels_compile_for_every_processor(name: str, seed: int) -> None:
    target = named(name, threads=1 + seed % 2)
    kernel = generate(seed)
    kernel = apply(kernel, default_schedule(kernel, target))
    text = emit_module(program_of(kernel), target).text
    assert undefined_symbols(jit.object_code(text, target)) == set()
    assert emit_module(program_of(kernel), target).text == text


def matmul(size: int) -> Kernel:
    """C = A B, a plain nest, float32."""
    m, n, k, i, j = (Affine.var(v) for v in ("m", "n", "k", "i", "j"))
    a, b, c = (Buffer(name, dtypes.F32, (size, size), "param") for name in "ABC")
    product = Call("mul", (read("A", (m, k), dtypes.F32), read("B", (k, n), dtypes.F32)), dtypes.F32)
    zero = rules.constant(0, dtypes.F32)
    start = For("i", size, "serial", (For("j", size, "serial", (Store("C", (i, j), zero),)),))
    step = Store("C", (m, n), product, standard("sum", dtypes.F32))
    nest = For("m", size, "serial", (For("n", size, "serial", (For("k", size, "serial", (step,)),)),))
    return Kernel("matmul", (KernelParam(a, "in"), KernelParam(b, "in"), KernelParam(c, "out")), (start, nest))


SCHEDULE = """
tile(n, {columns}, n.0, n.1) tile(m, {rows}, m.0, m.1) tile(k, 4, k.0, k.1)
reorder(n.0, m.0, k.0, k.1, m.1, n.1) unroll(k.1) unroll(m.1) vectorize(n.1) stage(C, m.0, c, register, init)
"""


@pytest.mark.parametrize(
    ("name", "rows", "columns", "fma", "register"),
    [("avx512", 8, 32, "vfmadd", "%zmm"), ("avx2", 4, 16, "vfmadd", "%ymm"), ("neon", 4, 16, "fmla", "v")],
)
def test_register_tiles_stay_in_registers(name: str, rows: int, columns: int, fma: str, register: str) -> None:
    target = named(name)
    kernel = apply(matmul(64), parse_schedule(SCHEDULE.format(rows=rows, columns=columns)))
    lines = jit.assembly(emit_module(program_of(kernel), target).text, target).splitlines()
    steps = [line for line in lines if fma in line]
    assert len(steps) == 4 * rows * columns // target.lanes(32)
    assert all(register in line for line in steps)
    stack = ("(%rsp)", "(%rbp)", "[sp")
    vectors = ("%zmm", "%ymm", "%xmm", "\tq")
    assert not [line for line in lines if any(s in line for s in stack) and any(v in line for v in vectors)]


_VECTORS = {"avx512": "zmm", "avx2": "ymm", "neon": ".4s"}
_MOST = {"exp": 36, "tanh": 60, "erf": 66}  # instructions for one vector


@pytest.mark.parametrize("name", _VECTORS)
@pytest.mark.parametrize("function", _MOST)
def test_functions_stay_in_vector_registers(function: str, name: str) -> None:
    kernel = elementwise({"out": Call(function, operands([dtypes.F32]), dtypes.F32)}, [dtypes.F32], 4096)
    target = named(name)
    lines = jit.assembly(emit_module(program_of(kernel), target).text, target).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(".LBB"))
    body = [line.split("\t")[1:] for line in lines[start + 1 :]]
    loop = body[: next(i for i, words in enumerate(body) if words and words[0] in ("jl", "jne", "b.lt", "b.ne"))]
    assert 10 < sum(_VECTORS[name] in " ".join(words) for words in loop) <= len(loop) <= _MOST[function]
    assert not any(re.search(r"(mul|add|sub|div|max|min|\d)ss$|insrd|extrd", words[0]) for words in loop)
