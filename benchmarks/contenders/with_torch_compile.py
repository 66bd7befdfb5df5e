"""torch.compile of the definitions, weights frozen (constant, and packed where it does that)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._inductor import config

from benchmarks import definitions
from benchmarks.contenders import with_torch
from benchmarks.contenders.with_torch import MODULE, array

__all__ = ["array", "chain", "layer", "product", "start"]


def start(threads: int) -> None:
    with_torch.start(threads)
    config.freezing = True


class _Frozen(torch.nn.Module):
    """A function whose later arguments are weights."""

    def __init__(self, function: Callable[..., Any], weights: Sequence[Any]) -> None:
        super().__init__()
        self.function = function
        for k, w in enumerate(weights):
            self.register_parameter(f"w{k}", torch.nn.Parameter(w, requires_grad=False))

    def forward(self, x: Any) -> Any:
        return self.function(x, *self.parameters())


def _compiled(function: Callable[..., Any], operands: Sequence[Any], data: int) -> Callable[[], Any]:
    torch._dynamo.reset()
    tensors = [torch.from_numpy(a) for a in operands]
    if data == len(tensors):
        run = torch.compile(function, dynamic=False)
        return lambda: run(*tensors)
    frozen = torch.compile(_Frozen(function, tensors[data:]).eval(), dynamic=False)
    return lambda: frozen(tensors[0])


def product(a: Any, b: Any) -> Callable[[], Any]:
    return _compiled(torch.matmul, (a, b), 1 if a.ndim == 2 else 2)


def chain(name: str, operands: Sequence[Any]) -> Callable[[], Any]:
    function = definitions.chains(MODULE)[name]
    if name == "transpose":
        return _compiled(lambda x: (x.T + 0.0).contiguous(), operands, 1)
    return _compiled(function, operands, len(operands))


def layer(name: str, operands: Sequence[Any]) -> Callable[[], Any]:
    return _compiled(definitions.layers(MODULE)[name], operands, 3 if name == "attention" else 1)
