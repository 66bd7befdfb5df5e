"""The networks in JAX, compiled, the parameters donated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.training_models.data import RATE, Array, Arrays


def trainer(network: str, start: Arrays) -> Callable[[Array, Array], float]:
    """A function that trains on one batch and gives its loss; the parameters live in it."""
    forward = _NETWORKS[network]

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        return -(jax.nn.log_softmax(forward(p, x)) * y).sum(1).mean()

    def update(p: Any, x: Any, y: Any) -> Any:
        loss, slope = jax.value_and_grad(loss_of)(p, x, y)
        return {n: p[n] - RATE * slope[n] for n in p}, loss

    compiled = jax.jit(update, donate_argnums=0)
    state = [{n: jnp.array(a) for n, a in start.items()}]

    def step(x: Array, y: Array) -> float:
        state[0], loss = compiled(state[0], x, y)
        return float(loss)

    return step


def _mlp(p: Any, x: Any) -> Any:
    h = jax.nn.relu(x @ p["w0"] + p["b0"])
    h = jax.nn.relu(h @ p["w1"] + p["b1"])
    return h @ p["w2"] + p["b2"]


def _conv(p: Any, x: Any) -> Any:
    h = x
    for k, c in (("k0", "c0"), ("k1", "c1")):
        h = jax.lax.conv_general_dilated(h, p[k], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")) + p[c]
        h = jax.lax.reduce_window(jax.nn.relu(h), -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    h = h.reshape(x.shape[0], -1)
    h = jax.nn.relu(h @ p["w0"] + p["b0"])
    h = jax.nn.relu(h @ p["w1"] + p["b1"])
    return h @ p["w2"] + p["b2"]


def _cell(g: Any, c: Any) -> tuple[Any, Any]:
    i, f, u, o = jnp.split(g, 4, 1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(u)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _lstm(p: Any, x: Any) -> Any:
    zero = jnp.zeros((x.shape[1], p["h0"].shape[0]))

    def body(state: Any, now: Any) -> Any:
        h0, c0, h1, c1 = state
        h0, c0 = _cell(now @ p["x0"] + h0 @ p["h0"] + p["b0"], c0)
        h1, c1 = _cell(h0 @ p["x1"] + h1 @ p["h1"] + p["b1"], c1)
        return (h0, c0, h1, c1), None

    (_, _, h1, _), _ = jax.lax.scan(body, (zero,) * 4, x)
    return h1 @ p["w"] + p["b"]


_NETWORKS = {"mlp": _mlp, "conv": _conv, "lstm": _lstm}
