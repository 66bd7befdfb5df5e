"""The networks in PyTorch, compiled, channels last; the weights frozen in inference.

The LSTM is a loop over cells, because torch.compile leaves PyTorch's own alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._inductor import config
from torch.nn import functional

from benchmarks.net_models import with_torch
from benchmarks.net_models.data import Case, Tree
from benchmarks.net_models.with_torch import NETWORKS, array

__all__ = ["array", "network", "start"]


def start(threads: int) -> None:
    with_torch.start(threads)
    config.freezing = True
    config.force_disable_caches = True


def network(case: Case, operands: tuple[Tree, Tree, Any, Any]) -> Callable[[], Any]:
    forward = {**NETWORKS, "lstm": _lstm}[case.network]
    return with_torch.runner(case, operands, forward, torch.channels_last, compiled=True)


def _lstm(p: Any, x: torch.Tensor) -> torch.Tensor:
    h = c = torch.zeros(x.shape[0], p.cell.recurrent.shape[1])
    inputs = functional.linear(x, p.cell.kernel, p.cell.bias)
    for t in range(x.shape[1]):
        i, f, g, o = (inputs[:, t] + functional.linear(h, p.cell.recurrent)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return functional.linear(h, p.head.kernel, p.head.bias)
