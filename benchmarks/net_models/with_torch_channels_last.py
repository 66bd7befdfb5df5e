"""The networks of images in PyTorch, eager, channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.net_models.data import Case, Tree
from benchmarks.net_models.with_torch import NETWORKS, array, runner, start

__all__ = ["array", "network", "start"]


def network(case: Case, operands: tuple[Tree, Tree, Any, Any]) -> Callable[[], Any]:
    """Raises KeyError where there are no images."""
    forward = {n: NETWORKS[n] for n in ("lenet", "resnet18", "mobilenet")}[case.network]
    return runner(case, operands, forward, torch.channels_last)
