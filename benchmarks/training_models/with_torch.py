"""The networks in PyTorch, eager or compiled.

The eager LSTM is PyTorch's own; the compiled one is a loop over cells, because torch.compile leaves the own one alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from benchmarks.training_models.data import RATE, Array, Arrays

Tensors = dict[str, torch.Tensor]


def trainer(network: str, start: Arrays, compiled: bool) -> Callable[[Array, Array], float]:
    """A function that trains on one batch and gives its loss; the parameters live in it."""
    p = {n: torch.tensor(a, requires_grad=True) for n, a in start.items()}
    forward = (_COMPILED if compiled else _EAGER)[network]

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return -(functional.log_softmax(forward(p, x), 1) * y).sum(1).mean()

    loss_function: Callable[..., Any] = torch.compile(loss_of) if compiled else loss_of

    def step(x: Array, y: Array) -> float:
        loss = loss_function(torch.from_numpy(x), torch.from_numpy(y))
        for t in p.values():
            t.grad = None
        loss.backward()
        with torch.no_grad():
            torch._foreach_add_(list(p.values()), [t.grad for t in p.values()], alpha=-RATE)
        return float(loss.detach())

    return step


def _mlp(p: Tensors, x: torch.Tensor) -> torch.Tensor:
    h = torch.relu(x @ p["w0"] + p["b0"])
    h = torch.relu(h @ p["w1"] + p["b1"])
    return h @ p["w2"] + p["b2"]


def _conv(p: Tensors, x: torch.Tensor) -> torch.Tensor:
    h = x.permute(0, 3, 1, 2)
    for k, c in (("k0", "c0"), ("k1", "c1")):
        h = functional.max_pool2d(torch.relu(functional.conv2d(h, p[k].permute(3, 2, 0, 1), p[c])), 2)
    h = h.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
    h = torch.relu(h @ p["w0"] + p["b0"])
    h = torch.relu(h @ p["w1"] + p["b1"])
    return h @ p["w2"] + p["b2"]


def _cell(g: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    i, f, u, o = g.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
    return torch.sigmoid(o) * torch.tanh(c), c


def _own_lstm(p: Tensors, x: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros(2, x.shape[1], p["h0"].shape[0])
    weights = [p["x0"].T, p["h0"].T, p["b0"], torch.zeros_like(p["b0"])]
    weights += [p["x1"].T, p["h1"].T, p["b1"], torch.zeros_like(p["b1"])]
    _, h, _ = torch.lstm(x, (zero, zero), weights, True, 2, 0.0, True, False, False)
    return h[1] @ p["w"] + p["b"]


def _lstm(p: Tensors, x: torch.Tensor) -> torch.Tensor:
    rows, hidden = x.shape[1], p["h0"].shape[0]
    h0 = c0 = h1 = c1 = torch.zeros(rows, hidden)
    for t in range(x.shape[0]):
        h0, c0 = _cell(x[t] @ p["x0"] + h0 @ p["h0"] + p["b0"], c0)
        h1, c1 = _cell(h0 @ p["x1"] + h1 @ p["h1"] + p["b1"], c1)
    return h1 @ p["w"] + p["b"]


_EAGER = {"mlp": _mlp, "conv": _conv, "lstm": _own_lstm}
_COMPILED = {"mlp": _mlp, "conv": _conv, "lstm": _lstm}
