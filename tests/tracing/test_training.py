"""Steps of training a small network, written in Python: each is one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import optree
import pytest

import tilec
import tilec.numpy as tnp
from tilec.evaluate.graph import evaluate

Params = list[dict[str, Any]]
tree_map: Any = optree.tree_map
tree_leaves: Any = optree.tree_leaves
SIZES = (5, 8, 3)


def network(dtype: str = "float32", seed: int = 0) -> Params:
    rng = np.random.default_rng(seed)
    pairs = pairwise(SIZES)
    return [{"w": (rng.normal(size=p) / 2).astype(dtype), "b": np.zeros(p[1], dtype)} for p in pairs]


def data(dtype: str = "float32") -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(16, SIZES[0])).astype(dtype), rng.integers(0, SIZES[-1], 16).astype("int32")


def predict(params: Params, x: Any) -> Any:
    for layer in params[:-1]:
        x = tnp.tanh(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def loss(params: Params, x: Any, y: Any) -> Any:
    return -tnp.take_along_axis(tnp.log_softmax(predict(params, x)), tnp.expand_dims(y, 1), axis=1).mean()


def numpy_loss(params: Params, x: Any, y: Any) -> float:
    """The same by NumPy alone, in float64."""
    for layer in params[:-1]:
        x = np.tanh(x @ layer["w"] + layer["b"])
    z = x @ params[-1]["w"] + params[-1]["b"]
    z = z - z.max(1, keepdims=True)
    return float(-(z - np.log(np.exp(z).sum(1, keepdims=True)))[np.arange(len(y)), y].mean())


def sgd(params: Params, x: Any, y: Any, rate: float) -> tuple[Any, Params]:
    value, slope = tilec.value_and_grad(loss)(params, x, y)
    return value, tree_map(lambda p, g: p - rate * g, params, slope)


def adam(state: Any, x: Any, y: Any, rate: float) -> tuple[Any, Any]:
    params, mean, square, t = state
    value, slope = tilec.value_and_grad(loss)(params, x, y)
    t = t + 1
    mean = tree_map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
    square = tree_map(lambda v, g: 0.99 * v + 0.01 * g * g, square, slope)

    def moved(p: Any, m: Any, v: Any) -> Any:
        return p - rate * (m / (1 - 0.9**t)) / (tnp.sqrt(v / (1 - 0.99**t)) + 1e-8)

    return value, (tree_map(moved, params, mean, square), mean, square, t)


def zeros_like(params: Any) -> Any:
    return tree_map(np.zeros_like, params)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_the_loss_falls(optimiser: str) -> None:
    params = network()
    x, y = data()
    state: Any = params if optimiser == "sgd" else (params, zeros_like(params), zeros_like(params), np.float32(0))
    update: Callable[..., Any] = tilec.jit(sgd if optimiser == "sgd" else adam, donate_argnums=0)
    losses = []
    for k in range(60):
        value, state = update(state, x, y, 0.3 if optimiser == "sgd" else 0.05 - 1e-4 * k)
        losses.append(float(value))
    assert losses[0] == pytest.approx(numpy_loss(network("float64"), x.astype("float64"), y), rel=1e-5)
    assert losses[-1] < 0.6 * losses[0]
    assert update.signatures() == 1  # type: ignore[attr-defined]  # the rate is passed at run time


def test_adam_is_adam() -> None:
    """Two steps of the compiled program and of the same formulas in NumPy, with the gradients given."""
    params, (x, y) = network("float64"), data("float64")
    update = tilec.jit(adam)
    slope = tilec.jit(tilec.grad(loss))
    state: Any = (params, zeros_like(params), zeros_like(params), 0.0)
    p, m, v = params, zeros_like(params), zeros_like(params)
    for t in (1, 2):
        g = slope(p, x, y)
        m = tree_map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree_map(lambda v, g: 0.99 * v + 0.01 * g * g, v, g)
        p = tree_map(
            lambda p, m, v: p - 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8),  # noqa: B023
            p, m, v,
        )  # fmt: skip
        _, state = update(state, x, y, 0.05)
    for a, b in zip(tree_leaves(state[0]), tree_leaves(p)):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_gradients_are_those_of_central_differences() -> None:
    params, (x, y) = network("float64"), data("float64")
    found = tilec.grad(loss)(params, x, y)
    step = 1e-5
    for layer, slopes in zip(params, found, strict=True):
        for name, array in layer.items():
            for place in np.ndindex(array.shape):
                kept = array[place]
                array[place] = kept + step
                above = numpy_loss(params, x, y)
                array[place] = kept - step
                below = numpy_loss(params, x, y)
                array[place] = kept
                assert slopes[name][place] == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-9)


def test_the_step_is_one_graph_that_the_evaluator_runs_alike() -> None:
    params, (x, y) = network(), data()
    lowered = tilec.jit(sgd).lower(params, x, y, 0.5)
    executable = lowered.compile()
    leaves = [*tree_leaves(params), x, y, 0.5]
    got = executable.run(tuple(leaves), {})
    names = [p.name for p in lowered.graph.params]
    wanted = evaluate(lowered.graph, dict(zip(names, leaves, strict=True)))
    for array, name in zip(got, lowered.graph.results, strict=True):
        np.testing.assert_allclose(array, wanted[name], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_parameters(dtype: str) -> None:
    from tilec.dtypes import BY_NAME

    def narrow(tree: Any) -> Any:
        return tree_map(lambda a: a.astype(BY_NAME[dtype].numpy) if a.dtype == np.float32 else a, tree)

    params, (x, y) = network(), data()
    value, updated = tilec.jit(sgd)(narrow(params), narrow(x), y, 0.5)
    assert value.dtype == BY_NAME[dtype].numpy and updated[0]["w"].dtype == BY_NAME[dtype].numpy
    exact, _ = tilec.jit(sgd)(params, x, y, 0.5)
    assert float(value) == pytest.approx(float(exact), rel=0.03)
