"""Machine instructions on the LLVM backend: as their meanings where the CPU has them, by their meanings elsewhere."""

from __future__ import annotations

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
from tilec.loops import Instr, walk
from tilec.passes.schedule import apply
from tilec.schedule import parse_schedule
from tilec.target import Target
from tilec.text.loops_text import parse_kernel

Array = np.ndarray[Any, np.dtype[Any]]


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
]


@pytest.mark.parametrize("name, base, feature, mnemonic", MNEMONICS)
def test_mnemonics(name: str, base: str, feature: str, mnemonic: str) -> None:
    """Machine code for CPUs that this machine need not be has the instruction where it is said to, and only there."""
    kernel = apply(parse_kernel(nest(name, Random(name))), parse_schedule(f"map_to(j, {name})"))
    texts = {}
    for features in ((), (feature,)):
        target = cpu(base, *features)
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
