"""The networks in JAX, compiled; in training the parameters are donated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.net_models.data import ADAM, BETAS, EPSILON, MOMENTUM, RATE, Case, Tree

HEADS = 8


def start(threads: int) -> None:
    """Its thread pool follows the process's processors."""


def array(result: Any) -> Any:
    return np.asarray(result)


def network(case: Case, operands: tuple[Tree, Tree, Any, Any]) -> Callable[[], Any]:
    params, state, x, y = jax.tree.map(jnp.asarray, operands)
    forward = _NETWORKS[case.network]
    if not case.training:
        run = jax.jit(lambda params, state, x: forward(params, state, x, False)[0])
        return lambda: jax.block_until_ready(run(params, state, x))
    update = _adam if case.network in ADAM else _sgd

    def loss_of(params: Tree, state: Tree) -> Any:
        scores, state = forward(params, state, x, True)
        chances = jnp.take_along_axis(jax.nn.log_softmax(scores), y[..., None], -1)
        return -chances.mean(), state

    def step(params: Tree, state: Tree, memory: Tree) -> Any:
        (loss, state), slope = jax.value_and_grad(loss_of, has_aux=True)(params, state)
        return *update(params, slope, memory), state, loss

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    zeros = jax.tree.map(jnp.zeros_like, params)
    memory = (jnp.zeros(()), zeros, jax.tree.map(jnp.zeros_like, params)) if case.network in ADAM else zeros
    kept = [params, memory, state]

    def train() -> Any:
        params, memory, state = kept
        *kept[:], loss = compiled(params, state, memory)
        return jax.block_until_ready(loss)

    return train


def _sgd(params: Tree, slope: Tree, velocity: Tree) -> tuple[Tree, Tree]:
    velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, slope)
    return jax.tree.map(lambda p, v: p - RATE * v, params, velocity), velocity


def _adam(params: Tree, slope: Tree, memory: Tree) -> tuple[Tree, Tree]:
    (t, m, v), (a, b) = memory, BETAS
    t = t + 1
    m = jax.tree.map(lambda m, g: a * m + (1 - a) * g, m, slope)
    v = jax.tree.map(lambda v, g: b * v + (1 - b) * g * g, v, slope)
    change = lambda p, m, v: p - RATE * (m / (1 - a**t)) / (jnp.sqrt(v / (1 - b**t)) + EPSILON)  # noqa: E731
    return jax.tree.map(change, params, m, v), (t, m, v)


def _convolve(x: Any, kernel: Any, stride: int, pad: int, groups: int = 1) -> Any:
    layout = ("NHWC", "HWIO", "NHWC")
    padding = [(pad, pad)] * 2
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=layout, feature_group_count=groups
    )


def _pool(x: Any, size: int, stride: int, pad: int) -> Any:
    ends = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), ends)


def _norm(p: Tree, s: Tree, x: Any, stride: int, training: bool) -> tuple[Any, Tree]:
    """A convolution and batch normalisation."""
    if "depthwise" in p:
        kernel = p["depthwise"]
        y = _convolve(x, jnp.swapaxes(kernel, 2, 3), stride, kernel.shape[0] // 2, groups=kernel.shape[2])
    else:
        y = _convolve(x, p["kernel"], stride, p["kernel"].shape[0] // 2)
    mean, variance = (y.mean((0, 1, 2)), y.var((0, 1, 2))) if training else (s["mean"], s["variance"])
    found = (y - mean) * lax.rsqrt(variance + 1e-5) * p["scale"] + p["offset"]
    return found, {n: 0.9 * s[n] + 0.1 * v for n, v in (("mean", mean), ("variance", variance))}


def _dense(p: Tree, x: Any) -> Any:
    return x @ p["kernel"] + p["bias"]


def _lenet(p: Tree, s: Tree, x: Any, training: bool) -> tuple[Any, Tree]:
    for n in ("conv1", "conv2"):
        x = _pool(jax.nn.relu(_convolve(x, p[n]["kernel"], 1, 0) + p[n]["bias"]), 2, 2, 0)
    x = x.reshape(x.shape[0], -1)
    for n in ("dense1", "dense2"):
        x = jax.nn.relu(_dense(p[n], x))
    return _dense(p["head"], x), s


def _resnet18(p: Tree, s: Tree, x: Any, training: bool) -> tuple[Any, Tree]:
    x, stem = _norm(p["stem"], s["stem"], x, 2, training)
    x, blocks = _pool(jax.nn.relu(x), 3, 2, 1), []
    for a, b in zip(p["blocks"], s["blocks"], strict=True):
        new, stride = {}, 2 if "shortcut" in a else 1
        y, new["conv1"] = _norm(a["conv1"], b["conv1"], x, stride, training)
        y, new["conv2"] = _norm(a["conv2"], b["conv2"], jax.nn.relu(y), 1, training)
        if "shortcut" in a:
            x, new["shortcut"] = _norm(a["shortcut"], b["shortcut"], x, stride, training)
        x = jax.nn.relu(x + y)
        blocks.append(new)
    return _dense(p["head"], x.mean((1, 2))), {"stem": stem, "blocks": blocks, "head": {}}


_STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)


def _mobilenet(p: Tree, s: Tree, x: Any, training: bool) -> tuple[Any, Tree]:
    x, stem = _norm(p["stem"], s["stem"], x, 2, training)
    x, blocks = jax.nn.relu6(x), []
    for a, b, stride in zip(p["blocks"], s["blocks"], _STRIDES, strict=True):
        new, y = {}, x
        if "expand" in a:
            y, new["expand"] = _norm(a["expand"], b["expand"], y, 1, training)
            y = jax.nn.relu6(y)
        y, new["depthwise"] = _norm(a["depthwise"], b["depthwise"], y, stride, training)
        y, new["project"] = _norm(a["project"], b["project"], jax.nn.relu6(y), 1, training)
        x = x + y if x.shape == y.shape else y
        blocks.append(new)
    x, last = _norm(p["last"], s["last"], x, 1, training)
    x = _dense(p["head"], jax.nn.relu6(x).mean((1, 2)))
    return x, {"stem": stem, "last": last, "blocks": blocks, "head": {}}


def _layer_norm(p: Tree, x: Any) -> Any:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p["scale"] + p["offset"]


def _attention(p: Tree, x: Any) -> Any:
    rows, length, width = x.shape
    heads = _dense(p["qkv"], x).reshape(rows, length, 3, HEADS, width // HEADS)
    seen = jax.nn.dot_product_attention(heads[:, :, 0], heads[:, :, 1], heads[:, :, 2], is_causal=True)
    return _dense(p["out"], seen.reshape(rows, length, width))


def _gpt(p: Tree, s: Tree, x: Any, training: bool) -> tuple[Any, Tree]:
    x = p["letters"][x] + p["places"]
    for a in p["blocks"]:
        x = x + _attention(a, _layer_norm(a["norm1"], x))
        x = x + _dense(a["down"], jax.nn.gelu(_dense(a["up"], _layer_norm(a["norm2"], x)), approximate=False))
    return _dense(p["head"], _layer_norm(p["norm"], x)), s


def _lstm(p: Tree, s: Tree, x: Any, training: bool) -> tuple[Any, Tree]:
    inputs = jnp.swapaxes(_dense(p["cell"], x), 0, 1)

    def cell(state: Any, now: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(now + h @ p["cell"]["recurrent"], 4, 1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zero = jnp.zeros((x.shape[0], p["cell"]["recurrent"].shape[0]))
    (h, _), _ = lax.scan(cell, (zero, zero), inputs)
    return _dense(p["head"], h), s


_NETWORKS = {"lenet": _lenet, "resnet18": _resnet18, "mobilenet": _mobilenet, "gpt": _gpt, "lstm": _lstm}
