"""PyTorch, eager, as its users write it: channels last, and the functions of torch.nn where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks import definitions


def start(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)


def _reduce(function: Any) -> Any:
    def reduce(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return function(x) if axis is None else function(x, dim=axis, keepdim=keepdims)

    return reduce


def convolve(x: Any, w: Any, stride: int = 1, groups: int = 1) -> Any:
    """NHWC by way of channels-last tensors."""
    image, kernel = x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1)
    return functional.conv2d(image, kernel, None, stride, w.shape[0] // 2, 1, groups).permute(0, 2, 3, 1)


MODULE = SimpleNamespace(
    exp=torch.exp,
    tanh=torch.tanh,
    sqrt=torch.sqrt,
    abs=torch.abs,
    maximum=lambda a, b: torch.maximum(a, b) if torch.is_tensor(b) else torch.clamp_min(a, b),
    minimum=torch.clamp_max,
    max=_reduce(torch.amax),
    sum=_reduce(torch.sum),
    mean=_reduce(torch.mean),
    matmul=torch.matmul,
    reshape=torch.reshape,
    transpose=lambda x, axes=None: x.T if axes is None else x.permute(*axes),
    convolve=convolve,
)
OWN: dict[str, Any] = {
    "gelu": lambda x: functional.gelu(x, approximate="tanh"),
    "softmax": lambda x: torch.softmax(x, -1),
    "layer norm": lambda x, scale, shift: functional.layer_norm(x, x.shape[-1:], scale, shift),
    "transpose": lambda x: x.T.contiguous(),
}


def product(a: Any, b: Any) -> Callable[[], Any]:
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    out = torch.empty(*x.shape[:-1], y.shape[-1])
    return lambda: torch.matmul(x, y, out=out)


def convolution(x: Any, w: Any, stride: int, groups: int) -> Callable[[], Any]:
    image = torch.from_numpy(x)
    kernel = torch.from_numpy(w).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last).permute(2, 3, 1, 0)
    return lambda: convolve(image, kernel, stride, groups)


def chain(name: str, operands: Sequence[Any]) -> Callable[[], Any]:
    function = OWN.get(name) or definitions.chains(MODULE)[name]
    tensors = [torch.from_numpy(a) for a in operands]
    return lambda: function(*tensors)


def layer(name: str, operands: Sequence[Any]) -> Callable[[], Any]:
    tensors = [torch.from_numpy(a) for a in operands]
    if name == "attention":
        return lambda: functional.scaled_dot_product_attention(*tensors)
    function = definitions.layers(MODULE)[name]
    return lambda: function(*tensors)


def array(result: Any) -> Any:
    return np.asarray(result)
