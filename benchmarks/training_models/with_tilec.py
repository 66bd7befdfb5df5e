"""The networks in Python traced by tilec, the parameters donated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tilec
import tilec.numpy as tnp
from benchmarks.training_models.data import RATE, Array, Arrays

_TILE = """
function convolution(I[N, H, W, D], K[KH, KW, D, C]) -> (O) {
  O[n, y, x, c : N, H - KH + 1, W - KW + 1, C] = +(I[n, y + i, x + j, d] * K[i, j, d, c]);
}

function pool(I[N, H, W, C]) -> (O) {
  O[n, y, x, c : N, H / 2, W / 2, C] = >(I[n, 2*y + i, 2*x + j, c]), i < 2, j < 2;
}
"""
convolution = tilec.op(_TILE, function="convolution")
pool = tilec.op(_TILE, function="pool")


def trainer(network: str, start: Arrays) -> Callable[[Array, Array], float]:
    """A function that trains on one batch and gives its loss; the parameters live in it."""
    forward = _NETWORKS[network]

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        return -(tnp.log_softmax(forward(p, x)) * y).sum(1).mean()

    @tilec.jit(donate_argnums=0)
    def update(p: Any, x: Any, y: Any) -> Any:
        loss, slope = tilec.value_and_grad(loss_of)(p, x, y)
        return {n: p[n] - RATE * slope[n] for n in p}, loss

    state = [{n: a.copy() for n, a in start.items()}]

    def step(x: Array, y: Array) -> float:
        state[0], loss = update(state[0], x, y)
        return float(loss)

    return step


def _mlp(p: Any, x: Any) -> Any:
    h = tnp.relu(x @ p["w0"] + p["b0"])
    h = tnp.relu(h @ p["w1"] + p["b1"])
    return h @ p["w2"] + p["b2"]


def _conv(p: Any, x: Any) -> Any:
    h = x
    for k, c in (("k0", "c0"), ("k1", "c1")):
        h = pool(tnp.relu(convolution(h, p[k]) + p[c]))
    h = h.reshape(x.shape[0], -1)
    h = tnp.relu(h @ p["w0"] + p["b0"])
    h = tnp.relu(h @ p["w1"] + p["b1"])
    return h @ p["w2"] + p["b2"]


def _cell(g: Any, c: Any) -> tuple[Any, Any]:
    n = c.shape[1]
    i, f, u, o = (g[:, k * n : (k + 1) * n] for k in range(4))
    c = tnp.sigmoid(f) * c + tnp.sigmoid(i) * tnp.tanh(u)
    return tnp.sigmoid(o) * tnp.tanh(c), c


def _lstm(p: Any, x: Any) -> Any:
    zero = tnp.zeros((x.shape[1], p["h0"].shape[0]))

    def body(state: Any, now: Any) -> Any:
        h0, c0, h1, c1 = state
        h0, c0 = _cell(now @ p["x0"] + h0 @ p["h0"] + p["b0"], c0)
        h1, c1 = _cell(h0 @ p["x1"] + h1 @ p["h1"] + p["b1"], c1)
        return (h0, c0, h1, c1), None

    (_, _, h1, _), _ = tilec.scan(body, (zero,) * 4, x)
    return h1 @ p["w"] + p["b"]


_NETWORKS = {"mlp": _mlp, "conv": _conv, "lstm": _lstm}
