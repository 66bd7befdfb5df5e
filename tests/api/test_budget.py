"""`budget=`: what a call may take altogether, kept by computing values again, or refused."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tests.refusals import code_of
from tilec.devices import resolve_target
from tilec.errors import TileError
from tilec.options import Options
from tilec.target import Target

CHAIN = """function chain(X[N, N], W[N, N]) -> (L) {
  A = tanh(X);  B[i, j : N, N] = +(A[i, k] * W[k, j]);  C = tanh(B);  D[i, j : N, N] = +(C[i, k] * W[k, j]);
  E = tanh(D);  F[i, j : N, N] = +(E[i, k] * W[k, j]);  L[] = +(F[i, j] * (A[i, j] + C[i, j] + E[i, j]));
}"""
X = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32) / 8
HELD = 2 * X.nbytes + 4  # arguments and the result


@pytest.fixture(params=["llvm", "opencl"])
def target(request: pytest.FixtureRequest) -> Target:
    try:
        return resolve_target(request.param)
    except TileError as reason:
        pytest.skip(str(reason).splitlines()[0])


def chain(target: Any, **more: Any) -> Any:
    return tilec.compile(CHAIN, target, X=X, W=X, **more)


def test_values_are_computed_again(target: Target) -> None:
    full = chain(target)
    budget = HELD + full.memory.arena - 1
    small = chain(target, budget=budget)
    assert small.memory.arena < full.memory.arena and small.warnings == ()
    np.testing.assert_allclose(small(X, X), full(X, X), rtol=1e-5)
    assert chain(target, budget=HELD + full.memory.arena).memory.arena == full.memory.arena
    jitted = tilec.jit(lambda x: x * 2.0 + 1.0, target=target, budget=2 * X.nbytes)
    np.testing.assert_array_equal(jitted(X), X * 2 + 1)


def test_what_does_not_fit_is_refused(target: Target) -> None:
    for budget, said in ((HELD + 100, "temporary tensors take"), (HELD - 1, "arguments, results and constants take")):
        with pytest.raises(TileError) as caught:
            chain(target, budget=budget)
        assert caught.value.code == "TILE0416" and "does not keep to its budget" in str(caught.value)
        assert said in str(caught.value)
    jitted = tilec.jit(lambda x: x * 2.0, target=target, budget=X.nbytes)
    assert code_of(lambda: jitted(X)) == "TILE0416"
    op = tilec.op("function (A) -> (B) { B = A * 2.0; }", target=target, budget=X.nbytes)
    assert code_of(lambda: op(X)) == "TILE0416"
    run = "function (A) -> (B) { B = A * 2.0; }"
    assert code_of(lambda: tilec.run(run, {"A": X}, target=target, budget=X.nbytes)) == "TILE0416"


def test_donated_results_take_nothing(target: Target) -> None:
    step = "function (W[N], G[N]) -> (V) { V = W - G; }"
    count = 1000
    found = tilec.compile(step, target, donate={"W": "V"}, budget=8 * count, W=(count,), G=(count,))
    assert found.memory.results == 0
    assert code_of(lambda: tilec.compile(step, target, budget=8 * count, W=(count,), G=(count,))) == "TILE0416"


def test_a_budget_above_the_memory_of_the_device(target: Target) -> None:
    small = replace(target, memory=1 << 20)
    assert chain(small, budget=1 << 20)(X, X).shape == ()
    with pytest.raises(TileError, match="more than the 1,048,576 bytes of"):
        chain(small, budget=(1 << 20) + 1)


def test_bad_budgets() -> None:
    bad: tuple[Any, ...] = (-1, 1.5, "1G", True, 1 << 63)
    assert {code_of(partial(chain, "llvm", budget=budget)) for budget in bad} == {"TILE0511"}
    assert code_of(lambda: chain("llvm", budget=1, options=Options(memory_limit=1))) == "TILE0511"
    assert code_of(lambda: tilec.compile(CHAIN, budget=1000, X=("N", "N"), W=("N", "N"))) == "TILE0210"


def test_a_saved_executable_keeps_to_it(tmp_path: Path) -> None:
    small = chain("llvm", budget=HELD + chain("llvm").memory.arena - 1)
    small.save(tmp_path / "chain.tilec")
    loaded = tilec.load(tmp_path / "chain.tilec")
    assert loaded.memory.arena == small.memory.arena
    np.testing.assert_array_equal(loaded(X, X), small(X, X))
