"""Machine instructions on the LLVM backend: as their meanings where the CPU has them, by their meanings elsewhere."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

import tilec
from tests.backends import llvm_support
from tests.generators.kernels import arrays
from tests.schedule.test_map_to import nest
from tilec.backends.llvm import jit
from tilec.backends.llvm.module import emit_module
from tilec.backends.llvm.target import named
from tilec.dtypes import BF16
from tilec.evaluate.loops import evaluate_kernel
from tilec.instructions import NAMES, instruction
from tilec.loops import Instr, Program, walk
from tilec.passes.schedule import apply
from tilec.schedule import parse_schedule
from tilec.target import Target
from tilec.text.loops_text import parse_kernel

Array = np.ndarray[Any, np.dtype[Any]]
MATRICES = [n for n in NAMES if n.startswith("tdp")]


def without_instructions() -> Target:
    own = llvm_support.serial_host()
    return replace(own, features=tuple(f for f in own.features if "vnni" not in f and "bf16" not in f))


def filled(kernel: object, seed: int) -> dict[str, Array]:
    """Integers of all bits; floats of ordinary size."""
    r = np.random.default_rng(seed)
    found = arrays(kernel, seed)  # type: ignore[arg-type]
    for name, value in found.items():
        if value.dtype.kind in "iu":
            found[name] = r.integers(0, 256, value.nbytes, np.uint8).view(value.dtype).reshape(value.shape)
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("plain", [False, True], ids=["own", "plain"])
def test_as_the_meaning(name: str, seed: int, plain: bool) -> None:
    found = instruction(name)
    assert found is not None
    target = without_instructions() if plain else llvm_support.serial_host()
    if not plain and not found.runs_on(target.features):
        pytest.skip(f"this CPU does not have {name}")
    kernel = apply(parse_kernel(nest(name, Random(f"{name} {seed}"))), parse_schedule(f"map_to(j, {name})"))
    given = filled(kernel, seed)
    expected = {n: a.copy() for n, a in given.items()}
    evaluate_kernel(kernel, expected)
    actual = llvm_support.run(kernel, given, target)
    np.testing.assert_array_equal(actual["C"], expected["C"])


REPACKED = """kernel f(in A: i8[4, 8], inout B: i8[2, 16, 4], out C: i32[4, 16]) {
  alloc c: register i32[4, 16]
  for m in 4 unroll { for n in 16 vector { c[m, n] = 0 } }
  for k in 2 { for m in 4 unroll { instr vpdpbusd.i8.i8(c[m, 0 : 16], A[m, 4*k : 4], B[k, 0 : 16, 0 : 4]) } }
  for h in 2 { for i in 16 { for j in 4 { B[h, i, j] = 1 } } }
  for k in 2 { for m in 4 unroll { instr vpdpbusd.i8.i8(c[m, 0 : 16], A[m, 4*k : 4], B[k, 0 : 16, 0 : 4]) } }
  for m in 4 unroll { for n in 16 vector { C[m, n] = c[m, n] } }
}
"""


def test_what_moving_adds_is_summed_up_anew_where_the_factor_changes() -> None:
    kernel = parse_kernel(REPACKED)
    given = filled(kernel, 0)
    expected = {n: a.copy() for n, a in given.items()}
    evaluate_kernel(kernel, expected)
    np.testing.assert_array_equal(llvm_support.run(kernel, given, llvm_support.serial_host())["C"], expected["C"])


def cpu(name: str, *features: str) -> Target:
    """A named target with further features, to make assembly for."""
    target = named(name)
    return replace(target, features=tuple(sorted({*target.features, *features})))


MNEMONICS = [
    ("vpdpbusd.u8.i8", "avx512", "+avx512vnni", "vpdpbusd"),
    ("vpdpbusd.i8.i8", "avx512", "+avx512vnni", "vpdpbusd"),
    ("vpdpbusd.u8.u8", "avx512", "+avx512vnni", "vpdpbusd"),
    ("vpdpbusd.i8.u8", "avx2", "+avxvnni", "{vex} vpdpbusd"),
    ("vpdpwssd", "avx512", "+avx512vnni", "vpdpwssd"),
    ("vpdpwssd", "avx2", "+avxvnni", "{vex} vpdpwssd"),
    ("vdpbf16ps", "avx512", "+avx512bf16", "vdpbf16ps"),
    *((name, "avx512", f"+amx-{kind}", name) for name, kind in (("tdpbf16ps", "bf16"), ("tdpbssd", "int8"))),
]


@pytest.mark.parametrize("name, base, feature, mnemonic", MNEMONICS)
def test_mnemonics(name: str, base: str, feature: str, mnemonic: str) -> None:
    """Machine code for CPUs that this machine need not be has the instruction where it is said to, and only there."""
    kernel = apply(parse_kernel(nest(name, Random(name), full=name in MATRICES)), parse_schedule(f"map_to(j, {name})"))
    texts = {}
    for features in ((), (feature,)):
        target = cpu(base, "+amx-tile", *features)
        module = emit_module(llvm_support.program_of(kernel), target).text
        texts[features] = jit.assembly(module, target).replace("\t", " ")
    assert mnemonic in texts[feature,]
    assert mnemonic.split()[-1] not in texts[()]


def whole(dtype: str, shape: tuple[int, ...], r: np.random.Generator) -> Array:
    """Any bits; bfloat16: numbers of ordinary size."""
    if dtype == "bfloat16":
        return r.standard_normal(shape).astype(BF16.numpy)
    return r.integers(0, 256, (*shape[:-1], shape[-1] * np.dtype(dtype).itemsize), np.uint8).view(dtype)


def wrapped(a: Array, b: Array, pattern: str) -> Array:
    """Sums of products modulo 2^32."""
    return np.asarray(np.einsum(pattern, a.astype(np.int64), b.astype(np.int64))).astype(np.int32)


PAIRS = [("int8", "int8"), ("uint8", "int8"), ("int8", "uint8"), ("uint8", "uint8"), ("int16", "int16")]
PROGRAMS = {
    "product": ("A[M, K], B[K, N]", "C[m, n : M, N]", "A[m, k]", "B[k, n]", "mk,kn->mn"),
    "transposed": ("A[M, K], B[N, K]", "C[m, n : M, N]", "A[m, k]", "B[n, k]", "mk,nk->mn"),
    "batched": ("A[E, M, K], B[E, K, N]", "C[e, m, n : E, M, N]", "A[e, m, k]", "B[e, k, n]", "emk,ekn->emn"),
}


def program(form: str) -> str:
    inputs, sink, a, b, _ = PROGRAMS[form]
    return f"function ({inputs}) -> (C) {{ {sink}: i32 = +(as_int({a}, 32) * as_int({b}, 32)); }}"


@pytest.mark.parametrize("form", PROGRAMS)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threads", [1, 2])
def test_integer_products(form: str, seed: int, threads: int) -> None:
    """The default schedule of integer products of any size and type, beside NumPy's; wrap-around included."""
    r = np.random.default_rng(seed)
    m, n, k = (int(x) for x in r.integers(1, 80, 3))
    if seed == 0:
        m, n, k = 64, 96, 128
    a, b = PAIRS[seed % len(PAIRS)]
    e = (3,) if form == "batched" else ()
    x, y = whole(a, (*e, m, k), r), whole(b, (*e, n, k) if form == "transposed" else (*e, k, n), r)
    target = replace(llvm_support.serial_host(), threads=threads)
    compiled = tilec.compile(program(form), target=target, A=x, B=y)
    np.testing.assert_array_equal(compiled(x, y), wrapped(x, y, PROGRAMS[form][4]))
    if form == "product":
        fixed = tilec.compile(program(form), target=target, A=x, constants={"B": y})
        np.testing.assert_array_equal(fixed(x), compiled(x, y))


CONVOLUTION = """function (I[N, H, W, C], F[R, S, C, O]) -> (Y) {
  Y[n, y, x, o : N, H, W, O] = +(I[n, y + i - 1, x + j - 1, c] * F[i, j, c, o]);
}"""


@pytest.mark.parametrize("channels", [3, 8, 17])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "bfloat16"])
def test_convolutions(channels: int, dtype: str) -> None:
    """With and without instructions to the bit, for integers and for ordinary bfloat16: edges, odd channels."""
    r = np.random.default_rng(channels)
    image, filters = whole(dtype, (2, 9, 10, channels), r), whole(dtype, (3, 3, channels, 24), r)
    results = [
        tilec.compile(CONVOLUTION, target=target, I=image, F=filters)(image, filters)
        for target in (llvm_support.serial_host(), without_instructions())
    ]
    np.testing.assert_array_equal(results[0].view(np.uint8), results[1].view(np.uint8))


@pytest.mark.parametrize("shape", [(64, 64, 64), (70, 33, 51), (40, 100, 2), (96, 17, 96)])
def test_bfloat_products(shape: tuple[int, int, int]) -> None:
    """The terms of a cell are added in the same order, with the same rounding, as without the instruction."""
    m, n, k = shape
    r = np.random.default_rng(k)
    x, y = whole("bfloat16", (m, k), r), whole("bfloat16", (k, n), r)
    text = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N]: f32 = +(A[m, k] * B[k, n]); }"
    results = [
        tilec.compile(text, target=target, A=x, B=y)(x, y)
        for target in (llvm_support.serial_host(), without_instructions())
    ]
    np.testing.assert_array_equal(results[0].view(np.uint32), results[1].view(np.uint32))


@pytest.mark.parametrize("dtypes", PAIRS)
def test_the_default_schedule_uses_them(dtypes: tuple[str, str]) -> None:
    """By features and types: with the features every product of these types has an instruction, without them none."""
    x, y = (np.zeros((64, 64), d) for d in dtypes)
    for features, there in ((("+avx512vnni",), True), ((), False)):
        programs: dict[str, object] = {}
        tilec.compile(program("product"), target=cpu("avx512", *features), A=x, B=y, watch=programs.__setitem__)
        kernels = programs["schedule"].kernels  # type: ignore[attr-defined]
        assert any(isinstance(s, Instr) for k in kernels for s in walk(k.body)) == there


# matrix registers, played by NumPy ----------------------------------------------------------------------------------


class Tiles:
    """The matrix instructions as functions in Python, called by machine code that has them in the place of AMX."""

    def __init__(self, name: str) -> None:
        found = instruction(name)
        assert found is not None
        self.name, self.found, self.tiles, self.products = name, found, list[Array](), 0
        word, place = ctypes.c_int16, ctypes.c_void_p
        self.functions = {
            "soft_load": ctypes.CFUNCTYPE(place, word, word, place, ctypes.c_int64)(self.load),
            "soft_store": ctypes.CFUNCTYPE(None, word, word, place, ctypes.c_int64, place)(self.store),
            "soft_dot": ctypes.CFUNCTYPE(place, word, word, word, place, place, place)(self.dot),
        }

    def addresses(self) -> dict[str, int]:
        return {n: int(ctypes.cast(f, ctypes.c_void_p).value or 0) for n, f in self.functions.items()}

    def new(self, rows: int, columns: int) -> Array:
        assert 1 <= rows <= 16 and 1 <= columns <= 64
        self.tiles.append(np.zeros((rows, columns), np.uint8))
        return self.tiles[-1]

    def load(self, rows: int, columns: int, place: int, pitch: int) -> int:
        tile = self.new(rows, columns)
        for i in range(rows):
            ctypes.memmove(tile[i].ctypes.data, place + i * pitch, columns)
        return int(tile.ctypes.data)

    def tile(self, place: int, rows: int, columns: int) -> Array:
        (found,) = (t for t in self.tiles if t.ctypes.data == place)
        assert found.shape == (rows, columns)
        return found

    def store(self, rows: int, columns: int, place: int, pitch: int, tile: int) -> None:
        for i, row in enumerate(self.tile(tile, rows, columns)):
            ctypes.memmove(place + i * pitch, row.ctypes.data, columns)

    def dot(self, m: int, n: int, k: int, c: int, a: int, b: int) -> int:
        """By the evaluator, from the meaning."""
        of, group = self.found.operands, self.found.group
        parts = self.tile(c, m, n), self.tile(a, m, k), self.tile(b, k // 4, n)
        x, y, z = (p.view(o.dtype.numpy) for p, o in zip(parts, of))
        depth, columns = k // 4, n // 4
        text = (
            f"kernel f(inout c: {of[0].dtype}[{m}, {columns}], in a: {of[1].dtype}[{m}, {k // of[1].dtype.bytes}], "
            f"in b: {of[2].dtype}[{depth}, {columns}, {group}]) {{ instr {self.name}(c[0 : {m}, 0 : {columns}], "
            f"a[0 : {m}, 0 : {depth * group}], b[0 : {depth}, 0 : {columns}, 0 : {group}]) }}"
        )
        result = {"c": x.copy(), "a": y, "b": z.reshape(depth, columns, group)}
        evaluate_kernel(parse_kernel(text), result)
        tile = self.new(m, n)
        tile[...] = result["c"].view(np.uint8)
        self.products += 1
        return int(tile.ctypes.data)


def run_on_tiles(program: Program, target: Target, name: str, given: dict[str, Array]) -> int:
    """Runs a program with calls of `Tiles` in the place of AMX; how many products there were."""
    module, tiles = emit_module(program, target, signals=False), Tiles(name)
    text = module.text.replace("x86_amx", "ptr").replace(f"@llvm.x86.{name}.internal", "@soft_dot")
    for what, soft in (("tileloadd64", "soft_load"), ("tilestored64", "soft_store")):
        text = text.replace(f"@llvm.x86.{what}.internal", f"@{soft}")
    library = jit.load([jit.object_code(text, llvm_support.serial_host())], ["run"], tiles.addresses())
    table = (ctypes.c_void_p * len(module.layout.table))(*(given[n].ctypes.data for n in module.layout.table))
    arena = np.zeros(module.layout.arena_bytes + 64, np.uint8)
    start = arena.ctypes.data + -arena.ctypes.data % 64
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(library.addresses["run"])
    run(ctypes.cast(table, ctypes.c_void_p), start, None, None)
    return tiles.products


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("shape", [(64, 64, 128), (48, 16, 64), (16, 80, 192), (112, 96, 128)])
def test_matrices(name: str, shape: tuple[int, int, int]) -> None:
    """Products by the default schedule, with AMX played by NumPy: tiles and their loops, to the bit."""
    found = instruction(name)
    assert found is not None
    types = [o.dtype.numpy.name for o in found.operands]
    (m, n, k), r = shape, np.random.default_rng(shape[0])
    a, b = whole(types[1], (m, k), r), whole(types[2], (k, n), r)
    factors = ("A[m, k]", "B[k, n]") if name == "tdpbf16ps" else ("as_int(A[m, k], 32)", "as_int(B[k, n], 32)")
    sums = f"C[m, n : M, N]: {found.operands[0].dtype} = +({' * '.join(factors)});"
    text = f"function (A[M, K], B[K, N]) -> (C) {{ {sums} }}"
    own = llvm_support.serial_host()
    target = replace(own, features=tuple(sorted({*own.features, *found.features[0]})))
    programs: dict[str, Any] = {}
    tilec.compile(text, target=target, A=a, B=b, watch=programs.__setitem__)
    given = {"A": a, "B": b, "C": np.zeros((m, n), types[0])}
    assert run_on_tiles(programs["place"], target, name, given) > 0
    plain = tilec.compile(text, target=without_instructions(), A=a, B=b)
    np.testing.assert_array_equal(given["C"], plain(a, b))


@pytest.mark.parametrize("rows, used", [(64, {"tdpbf16ps"}), (70, set())])
def test_no_slow_instruction_beside_matrices(rows: int, used: set[str]) -> None:
    """CPUs with AMX take two cycles for vdpbf16ps: where tiles are not filled, float32 is as fast."""
    x, y = np.zeros((rows, 64), BF16.numpy), np.zeros((64, 64), BF16.numpy)
    target = cpu("avx512", "+avx512bf16", "+amx-tile", "+amx-bf16")
    programs: dict[str, Any] = {}
    text = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
    tilec.compile(text, target=target, A=x, B=y, watch=programs.__setitem__)
    kernels = programs["schedule"].kernels
    assert {s.name for k in kernels for s in walk(k.body) if isinstance(s, Instr)} == used
