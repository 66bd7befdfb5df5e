"""A Program in the making: what the Graph and all its sub-Graphs share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import prod

from tilec.affine import Size
from tilec.fresh import FreshNames
from tilec.graph import TensorType
from tilec.loops import Buffer, Kernel, Step, rename_buffers


class Assembly:
    """Buffers, kernels and initial steps so far. `constant` are the buffers that `init` alone determines.

    `sequential`: as in `lower.Options`.
    """

    def __init__(self, reserved: Collection[str], sequential: bool = False) -> None:
        self.sequential = sequential
        self.buffers: dict[str, Buffer] = {}
        self.kernels: list[Kernel] = []
        self.init: list[Step] = []
        self.constant: set[str] = set()
        self.names = FreshNames(reserved)
        self.viewed: set[str] = set()  # bases of views

    def declare(self, name: str, type: TensorType, param: bool = False) -> str:
        """A dense buffer of this very name."""
        self.buffers[name] = Buffer(name, type.dtype, type.shape, "param" if param else "heap")
        return name

    def view(self, name: str, source: str, shape: Sequence[Size]) -> str:
        """A buffer that shows the elements of `source` in another shape."""
        base = self.buffers[source]
        root = base.base or source
        self.viewed.add(root)
        self.buffers[name] = Buffer(name, base.dtype, tuple(shape), base.space, None, root, base.offset, base.moves)
        return name

    def slice(self, source: str, index: str) -> str:
        """A view of `source[t]`, where t is the index of an Iterate."""
        whole = self.buffers[source]
        shape = whole.shape[1:]
        name = self.view(self.names.numbered(source), source, shape)
        moves = (*whole.moves, (index, prod(shape)))
        self.buffers[name] = replace(self.buffers[name], moves=moves)
        return name

    def root(self, name: str) -> str:
        """The buffer whose memory another one shows."""
        base = self.buffers[name].base
        return name if base is None else self.root(base)

    def replace(self, old: str, new: str, steps: Sequence[Step]) -> list[Step]:
        """The steps with `new` in the place of the buffer `old`, which is no more."""
        del self.buffers[old]
        return [rename_buffers(step, {old: new}) for step in steps]
