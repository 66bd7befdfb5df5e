"""The networks in PyTorch, eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from benchmarks.net_models.data import ADAM, BETAS, EPSILON, MOMENTUM, RATE, Case, Tree

HEADS = 8
Forward = Callable[[Any, torch.Tensor], torch.Tensor]


def start(threads: int) -> None:
    torch.set_num_threads(threads)


def array(result: Any) -> Any:
    return result.detach().numpy()


def network(case: Case, operands: tuple[Tree, Tree, Any, Any]) -> Callable[[], Any]:
    return runner(case, operands, NETWORKS[case.network])


def runner(
    case: Case,
    operands: tuple[Tree, Tree, Any, Any],
    forward: Forward,
    layout: torch.memory_format = torch.contiguous_format,
    compiled: bool = False,
) -> Callable[[], Any]:
    """A call of the network, or a step of its training, with images and kernels in the given layout."""
    params, state, x, y = operands
    net = Network(params, state, forward).to(memory_format=layout).train(case.training)
    images = torch.from_numpy(x).movedim(-1, 1) if x.ndim == 4 else torch.from_numpy(x)
    images = images.contiguous(memory_format=layout) if x.ndim == 4 else images
    if not case.training:
        run = torch.compile(net, dynamic=False) if compiled else net
        return torch.no_grad()(lambda: run(images))
    return _step(net, images, torch.from_numpy(y).long(), case, compiled)


def _step(net: Network, x: torch.Tensor, y: torch.Tensor, case: Case, compiled: bool) -> Callable[[], Any]:
    def loss_of() -> torch.Tensor:
        return functional.cross_entropy(net(x).flatten(0, -2), y.flatten())

    loss_function = torch.compile(loss_of, dynamic=False) if compiled else loss_of
    optimizer: torch.optim.Optimizer
    if case.network in ADAM:
        optimizer = torch.optim.Adam(net.parameters(), RATE, BETAS, EPSILON, fused=True)
    else:
        optimizer = torch.optim.SGD(net.parameters(), RATE, MOMENTUM, fused=True)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_function()
        loss.backward()
        optimizer.step()
        return loss

    return step


class Part(torch.nn.Module):
    """Parameters and state by name, laid out as PyTorch wants them."""

    def __init__(self, params: Tree, state: Tree) -> None:
        super().__init__()
        for n, value in params.items():
            if isinstance(value, dict):
                setattr(self, n, Part(value, state.get(n, {})))
            elif isinstance(value, list):
                states = state.get(n, [{}] * len(value))
                setattr(self, n, torch.nn.ModuleList(Part(p, s) for p, s in zip(value, states, strict=True)))
            else:
                self.register_parameter(n, torch.nn.Parameter(_laid_out(n, torch.tensor(value))))
        for n, value in state.items():
            if n not in params:
                self.register_buffer(n, torch.tensor(value))


class Network(Part):
    def __init__(self, params: Tree, state: Tree, forward: Forward) -> None:
        super().__init__(params, state)
        self._run = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._run(self, x)


def _laid_out(name: str, value: torch.Tensor) -> torch.Tensor:
    """Kernels have their features first."""
    if name not in ("kernel", "recurrent", "depthwise"):
        return value
    order = {2: (1, 0), 4: (2, 3, 0, 1) if name == "depthwise" else (3, 2, 0, 1)}[value.ndim]
    return value.permute(order).contiguous()


def _dense(p: Any, x: torch.Tensor) -> torch.Tensor:
    return functional.linear(x, p.kernel, p.bias)


def _norm(p: Any, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """A convolution and batch normalisation."""
    if hasattr(p, "depthwise"):
        y = functional.conv2d(x, p.depthwise, None, stride, p.depthwise.shape[-1] // 2, groups=p.depthwise.shape[0])
    else:
        y = functional.conv2d(x, p.kernel, None, stride, p.kernel.shape[-1] // 2)
    return functional.batch_norm(y, p.mean, p.variance, p.scale, p.offset, p.training, 0.1, 1e-5)


def _lenet(p: Any, x: torch.Tensor) -> torch.Tensor:
    for conv in (p.conv1, p.conv2):
        x = functional.max_pool2d(functional.relu(functional.conv2d(x, conv.kernel, conv.bias)), 2)
    x = x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
    return _dense(p.head, functional.relu(_dense(p.dense2, functional.relu(_dense(p.dense1, x)))))


def _resnet18(p: Any, x: torch.Tensor) -> torch.Tensor:
    x = functional.max_pool2d(functional.relu(_norm(p.stem, x, 2)), 3, 2, 1)
    for block in p.blocks:
        short = hasattr(block, "shortcut")
        y = _norm(block.conv2, functional.relu(_norm(block.conv1, x, 2 if short else 1)))
        x = functional.relu(y + (_norm(block.shortcut, x, 2) if short else x))
    return _dense(p.head, x.mean((2, 3)))


_STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)


def _mobilenet(p: Any, x: torch.Tensor) -> torch.Tensor:
    x = functional.relu6(_norm(p.stem, x, 2))
    for block, stride in zip(p.blocks, _STRIDES, strict=True):
        y = functional.relu6(_norm(block.expand, x)) if hasattr(block, "expand") else x
        y = _norm(block.project, functional.relu6(_norm(block.depthwise, y, stride)))
        x = x + y if x.shape == y.shape else y
    return _dense(p.head, functional.relu6(_norm(p.last, x)).mean((2, 3)))


def _attention(p: Any, x: torch.Tensor) -> torch.Tensor:
    rows, length, width = x.shape
    q, k, v = _dense(p.qkv, x).view(rows, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return _dense(p.out, seen.transpose(1, 2).reshape(rows, length, width))


def _gpt(p: Any, x: torch.Tensor) -> torch.Tensor:
    def norm(q: Any, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, (x.shape[-1],), q.scale, q.offset)

    x = functional.embedding(x, p.letters) + p.places
    for block in p.blocks:
        x = x + _attention(block, norm(block.norm1, x))
        x = x + _dense(block.down, functional.gelu(_dense(block.up, norm(block.norm2, x))))
    return _dense(p.head, norm(p.norm, x))


def _lstm(p: Any, x: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros(1, x.shape[0], p.cell.recurrent.shape[1])
    weights = [p.cell.kernel, p.cell.recurrent, p.cell.bias, torch.zeros_like(p.cell.bias)]
    _, h, _ = torch.lstm(x, (zero, zero), weights, True, 1, 0.0, p.training, False, True)
    return _dense(p.head, h[0])


NETWORKS: dict[str, Forward] = {
    "lenet": _lenet,
    "resnet18": _resnet18,
    "mobilenet": _mobilenet,
    "gpt": _gpt,
    "lstm": _lstm,
}
