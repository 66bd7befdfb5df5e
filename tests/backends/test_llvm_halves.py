"""CPUs that compute with float16 do so, and give the bits that others give by way of float32.

Few machines of developers are such ones. The text that is emitted for them is run here all the same: LLVM writes its
float16 instructions out where the CPU has none.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from tests.backends.llvm_support import compute, elementwise, operands, program_of, run, serial_host
from tests.generators.kernels import arrays, contraction, var
from tests.generators.schedules import random_schedule
from tilec.backends.llvm import jit
from tilec.backends.llvm.module import emit_module
from tilec.backends.llvm.ops import HALF
from tilec.backends.llvm.target import has, is_x86, named
from tilec.dtypes import F16
from tilec.expr import Call, Const, Expr
from tilec.target import Target

SAPPHIRE = replace(named("avx512"), cpu="sapphirerapids", features=(*named("avx512").features, "+avx512fp16"))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Target:
    """This one, said to compute with float16; to LLVM the truth is told."""
    own = serial_host()
    if is_x86(own) and not has(own, "f16c") and not has(own, "avx512f"):
        pytest.skip("this CPU does not even convert float16 numbers")
    known = jit.machine_of
    monkeypatch.setattr(jit, "machine_of", lambda target: known(own))
    return replace(own, features=tuple(sorted({*own.features, "+avx512fp16"})))


ARITY = {"sqrt": 1, "neg": 1, "abs": 1}


@pytest.mark.parametrize("op", sorted(HALF - {"div_raw"}))
def test_as_by_float32(op: str, machine: Target) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    other = np.random.default_rng(0).permutation(every)
    special = np.array([0.0, -0.0, 1, -1, 6e-8, -6e-8, 6.1e-5, 65504, -65504, np.inf, -np.inf, np.nan], np.float16)
    pairs = np.array(list(itertools.product(special, repeat=2)), np.float16)
    columns = [np.concatenate([every, pairs[:, 0]]), np.concatenate([other, pairs[:, 1]])][: ARITY.get(op, 2)]
    dtypes = [F16] * len(columns)
    value = {"out": Call(op, operands(dtypes), F16)}
    found = compute(value, columns, dtypes, machine)
    wanted = compute(value, columns, dtypes)
    for name in ("out.vector", "out.serial"):
        np.testing.assert_array_equal(found[name], wanted[name])  # NaN is NaN here, of whatever bits
        number = ~np.isnan(wanted[name])
        np.testing.assert_array_equal(found[name][number].view("u2"), wanted[name][number].view("u2"))


@pytest.mark.parametrize("monoid", ["sum", "prod", "max"])
@pytest.mark.parametrize("seed", range(6))
def test_aggregations_under_schedules(monoid: str, seed: int, machine: Target) -> None:
    r = Random(seed)
    m, n, k = (r.choice([1, 3, 8, 17, 40]) for _ in range(3))
    pair = [("A", var("m", "k"), (m, k)), ("B", var("k", "n"), (k, n))]
    kernel = contraction("matmul", monoid, F16, {"m": m, "n": n, "k": k}, var("m", "n"), (m, n), pair)
    scheduled, _ = random_schedule(kernel, r, 14, reorder=False)
    given = arrays(kernel, seed)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run(scheduled, given, machine)["O"], run(kernel, given)["O"])


def loop_of(expr: Expr, target: Target) -> str:
    """Machine code of a vector loop over the values of an expression of `in0` and `in1`."""
    kernel = elementwise({"out": expr}, [F16, F16], 4096)
    return jit.assembly(emit_module(program_of(kernel), target).text, target)


def test_whole_registers_of_halves_without_conversions() -> None:
    x, y = operands([F16, F16])
    expr = Call("div", (Call("add", (Call("mul", (x, y), F16), Const(0.5, F16)), F16), Call("sqrt", (y,), F16)), F16)
    text = loop_of(expr, SAPPHIRE)
    for mnemonic in ("vmulph", "vaddph", "vdivph", "vsqrtph"):
        assert re.search(rf"{mnemonic}\s.*%zmm", text), mnemonic
    assert not re.search(r"vcvt\w*ph", text)
    assert "vmulph" not in loop_of(expr, named("avx512"))


def test_half_a_register_where_something_needs_float32() -> None:
    x, y = operands([F16, F16])
    text = loop_of(Call("max", (Call("mul", (x, y), F16), y), F16), SAPPHIRE)
    assert re.search(r"vmulph\s.*%ymm", text) and "vrangeps" in text
