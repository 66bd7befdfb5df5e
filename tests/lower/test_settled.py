"""What constants decide is computed before all else: layers keep their normalisation beside them in any order."""

from __future__ import annotations

from typing import Any

import numpy as np

import tilec
import tilec.numpy as tnp
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.options import Options
from tilec.passes import fuse, lower
from tilec.pipeline import optimise
from tilec.verify.loops import verify_program

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 20)).astype("float32")
WEIGHTS = {
    f"{name}{k}": np.abs(RNG.standard_normal(shape)).astype("float32")
    for k in range(3)
    for name, shape in {"w": (20, 20), "mean": (20,), "variance": (20,), "scale": (20,), "offset": (20,)}.items()
}


def network(x: Any, weights: dict[str, Any]) -> Any:
    """Layers of which each is normalised by numbers that are computed after its product."""
    for k in range(3):
        product = x @ weights[f"w{k}"]
        factor = weights[f"scale{k}"] / tnp.sqrt(weights[f"variance{k}"] + 1e-3)
        x = tnp.minimum(product * factor + (weights[f"offset{k}"] - weights[f"mean{k}"] * factor), 6.0)
    return x


def test_one_kernel_for_a_layer_and_its_normalisation() -> None:
    low = tilec.jit(network, constants="weights").lower(X, WEIGHTS)
    graph = optimise(low.graph)
    partition = fuse.run(graph)
    program = lower.run(graph, partition)
    verify_program(program)
    assert len(program.steps) == 3 and len(program.init) == 3
    given = {p.name: X if p.digest is None else low.constants[p.name] for p in graph.params}
    (result,) = graph.results
    wanted = evaluate(graph, given)[result]
    np.testing.assert_allclose(evaluate_program(program, given)[result], wanted, rtol=1e-5)


def test_the_same_bits_as_with_each_operation_by_itself() -> None:
    one = tilec.jit(network, constants="weights")(X, WEIGHTS)
    np.testing.assert_array_equal(one, tilec.jit(network, constants="weights", options=Options(fuse=False))(X, WEIGHTS))


def test_numbers_of_literals_that_constants_meet() -> None:
    """A tensor of literals alone goes before what constants and it decide; one that they do not meet stays in place."""

    def function(x: Any, w: Any) -> Any:
        ramp = tnp.arange(20, dtype="float32")
        product = x @ w
        return product * tnp.sqrt(tnp.exp(w[0] * 0.1) + ramp) + tnp.arange(12, dtype="float32")[:, None]

    w = WEIGHTS["w0"]
    found = tilec.jit(function, constants="w")(X, w)
    wanted = (X @ w) * np.sqrt(np.exp(w[0] * 0.1) + np.arange(20)) + np.arange(12)[:, None]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
