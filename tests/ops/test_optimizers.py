"""Optimizers against torch, and against plain NumPy, over 20 steps."""

from __future__ import annotations

from typing import Any, cast

import ml_dtypes
import numpy as np
import pytest

import tilec
from tests.refusals import code_of
from tilec import ops

STEPS = 20


def start(dtype: Any = "float64") -> Any:
    rng = np.random.default_rng(0)
    return {"w": rng.normal(size=(3, 4)).astype(dtype), "b": [rng.normal(size=4).astype(dtype), np.ones((), dtype)]}


def slopes(params: Any, k: int) -> Any:
    """Gradients that depend on the parameters and on the step, some of them small, some 0."""
    rng = np.random.default_rng(k)

    def of(p: Any) -> Any:
        return (np.sin(3 * p.astype("f8")) * rng.normal(size=p.shape) * 10.0 ** -(k % 4)).astype(p.dtype)

    return {"w": of(params["w"]), "b": [of(params["b"][0]), of(params["b"][1]) * 0]}


def leaves(params: Any) -> list[Any]:
    return [params["w"], *params["b"]]


def run(optimizer: Any, dtype: Any = "float64") -> Any:
    params = start(dtype)
    state = optimizer.init(params)
    for k in range(STEPS):
        params, state = optimizer.update(params, slopes(params, k), state)
    assert state.step == STEPS
    return params


TORCH: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "sgd": (ops.sgd(0.1), "SGD", {"lr": 0.1}),
    "decay": (ops.sgd(0.1, weight_decay=0.02), "SGD", {"lr": 0.1, "weight_decay": 0.02}),
    "momentum": (ops.sgd(0.1, momentum=0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": (ops.sgd(0.1, momentum=0.9, nesterov=True), "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": (ops.adam(0.05), "Adam", {"lr": 0.05}),
    "betas": (ops.adam(beta1=0.5, beta2=0.9, epsilon=0.01), "Adam", {"lr": 1e-3, "betas": (0.5, 0.9), "eps": 0.01}),
    "rmsprop": (ops.rmsprop(0.02), "RMSprop", {"lr": 0.02}),
    "centered": (
        ops.rmsprop(0.02, decay=0.9, momentum=0.8, centered=True),
        "RMSprop",
        {"lr": 0.02, "alpha": 0.9, "momentum": 0.8, "centered": True},
    ),
    "adagrad": (ops.adagrad(0.3, weight_decay=0.01), "Adagrad", {"lr": 0.3, "weight_decay": 0.01}),
    "adamw": (ops.adamw(0.05, weight_decay=0.1), "AdamW", {"lr": 0.05, "weight_decay": 0.1}),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_as_torch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="parameters are compared with torch's")
    mine, theirs, given = TORCH[name]
    params = start()
    variables = [torch.tensor(p) for p in leaves(params)]
    optimizer = getattr(torch.optim, theirs)(variables, **given)
    for k in range(STEPS):
        now = [v.numpy() for v in variables]
        found = slopes({"w": now[0], "b": now[1:]}, k)
        for variable, slope in zip(variables, leaves(found), strict=True):
            variable.grad = torch.tensor(slope)
        optimizer.step()
    for found, wanted in zip(leaves(run(mine)), variables, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("donated", [(), ("params", "state")], ids=["copied", "donated"])
@pytest.mark.parametrize("optimizer", [*(o for o, _, _ in TORCH.values()), ops.lion(0.1)], ids=[*TORCH, "lion"])
def test_each_parameter_is_one_kernel(optimizer: Any, donated: tuple[str, ...]) -> None:
    """A parameter and its slots go through memory once; the numbers that all have in common are few more kernels."""
    params = {f"w{k}": np.ones((k + 2, 3)) for k in range(12)}

    def update(params: Any, grads: Any, state: Any) -> Any:
        return optimizer.update(params, grads, state)

    lowered = tilec.jit(update, donate_argnames=donated).lower(params, params, optimizer.init(params))
    program = lowered.compile().program
    assert program is not None and len(program.kernels) <= len(params) + 3


def test_adam_by_hand() -> None:
    params = leaves(start())
    mean, variance = [0 * p for p in params], [0 * p for p in params]
    for t in range(1, STEPS + 1):
        found = leaves(slopes({"w": params[0], "b": params[1:]}, t - 1))
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, found)]
        variance = [0.999 * v + 0.001 * g * g for v, g in zip(variance, found)]
        params = [
            p - 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            for p, m, v in zip(params, mean, variance)
        ]
    for found, wanted in zip(leaves(run(ops.adam(0.05))), params, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)


def test_lion_by_hand() -> None:
    params = leaves(start())
    mean = [0 * p for p in params]
    for t in range(STEPS):
        found = leaves(slopes({"w": params[0], "b": params[1:]}, t))
        signs = [np.sign(0.8 * m + 0.2 * g) for m, g in zip(mean, found)]
        params = [p - 0.01 * (s + 0.1 * p) for p, s in zip(params, signs)]
        mean = [0.95 * m + 0.05 * g for m, g in zip(mean, found)]
    for found, wanted in zip(leaves(run(ops.lion(0.01, beta1=0.8, beta2=0.95, weight_decay=0.1))), params, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float16", ml_dtypes.bfloat16])
def test_types_stay(dtype: Any) -> None:
    for optimizer in (ops.sgd(0.1, momentum=0.9), ops.adam(0.05), ops.rmsprop(), ops.adagrad(), ops.lion()):
        params = start(dtype)
        state = optimizer.init(params)
        assert {s.dtype for tree in state.slots.values() for s in leaves(tree)} == {np.dtype("float32")}
        moved, after = optimizer.update(params, slopes(params, 0), state)
        assert {p.dtype for p in leaves(moved)} == {np.dtype(dtype)}
        assert {s.dtype for tree in after.slots.values() for s in leaves(tree)} == {np.dtype("float32")}


def test_inside_a_compiled_step() -> None:
    optimizer = ops.adam(0.1)
    target = np.array([1.0, -2.0, 3.0])

    def loss(params: Any) -> Any:
        return ((params["x"] - target) ** 2).sum()

    @tilec.jit(donate_argnames=("params", "state"))
    def step(params: Any, state: Any) -> Any:
        value, found = tilec.value_and_grad(loss)(params)
        return value, *optimizer.update(params, found, state)

    params: Any = {"x": np.zeros(3)}
    state = tilec.jit(optimizer.init)(params)
    for _ in range(300):
        value, params, state = step(params, state)
    assert value < 1e-3 and step.signatures() == 1
    np.testing.assert_allclose(params["x"], target, atol=0.02)


def test_rates() -> None:
    """A rate may be an argument of a compiled function, or depend on the step."""
    params, gradients = {"w": np.ones(2)}, {"w": np.ones(2)}
    moved = tilec.jit(lambda p, g, rate: ops.sgd(rate).update(p, g, ops.sgd(0).init(p))[0])
    assert moved(params, gradients, 0.25)["w"].tolist() == [0.75, 0.75]
    assert moved(params, gradients, 0.5)["w"].tolist() == [0.5, 0.5] and moved.signatures() == 1
    falling = ops.sgd(lambda step: 1.0 / (1 + step))
    state = falling.init(params)
    first, state = falling.update(params, gradients, state)
    second, _ = falling.update(first, gradients, state)
    assert second["w"].tolist() == [-0.5, -0.5]


def test_wrong_arguments() -> None:
    adam, params = ops.adam(), start()
    state = adam.init(params)
    assert code_of(lambda: ops.adam("fast")) == "TILE0210"
    assert code_of(lambda: ops.adam(beta1=1.0)) == "TILE0210"
    assert code_of(lambda: ops.rmsprop(decay=-0.1)) == "TILE0210"
    assert code_of(lambda: ops.lion(beta2=2)) == "TILE0210"
    assert code_of(lambda: adam.init({"n": np.arange(3)})) == "TILE0301"
    assert code_of(lambda: adam.update(params, {"w": params["w"]}, state)) == "TILE0305"
    assert code_of(lambda: adam.update(params, params, ops.adam().init(params["w"]))) == "TILE0305"
    assert code_of(lambda: adam.update(params["w"], params["w"][:1], adam.init(params["w"]))) == "TILE0504"
    assert code_of(lambda: adam.update(params, params, ops.sgd().init(params))) == "TILE0511"
    assert code_of(lambda: adam.update(params, params, cast(Any, state.slots))) == "TILE0511"


def test_centred_variance_is_not_below_zero() -> None:
    """The mean of squares less the square of the mean, of gradients that are always the same."""
    rule = ops.rmsprop(0.0, decay=0.9, centered=True)
    params = {"w": np.ones(64, np.float32)}
    gradients = {"w": np.random.default_rng(0).random(64, np.float32)}
    state = rule.init(params)
    for _ in range(300):
        params, state = rule.update(params, gradients, state)
    assert np.array_equal(params["w"], np.ones(64))
