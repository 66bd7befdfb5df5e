"""Where buffers are in OpenCL C: parameters, views, and memory that the phases of a kernel share."""

from __future__ import annotations

from dataclasses import dataclass

from tilec.affine import Coef, Size
from tilec.backends.opencl import types
from tilec.buffers import elements
from tilec.errors import error
from tilec.loops import Buffer, strides_of

_ALIGN = 64


def number(size: Coef) -> int:
    """A size that is known; raises TILE0210."""
    if not isinstance(size, int):
        raise error("TILE0210", f"the OpenCL backend needs every size; {size} is not known")
    return size


@dataclass(frozen=True, slots=True)
class Memory:
    """A buffer in C: element `pointer[offset + sum(index * stride)]`; strides are texts.

    space: of what the pointer points to. lanes: where it is not 0, the buffer is in variables instead, vectors of so
    many elements, named by the pointer and a number.
    """

    pointer: str
    buffer: Buffer
    strides: tuple[str, ...]
    offset: str
    space: str = "__global "
    lanes: int = 0

    @staticmethod
    def of(
        pointer: str, buffer: Buffer, offset: str = "0", sizes: tuple[str, ...] = (), space: str = "__global "
    ) -> Memory:
        return Memory(pointer, buffer, tuple(_stride(s, sizes) for s in strides_of(buffer)), offset, space)

    def variable(self, position: int) -> str:
        """An element of a buffer in variables."""
        name = f"{self.pointer}_{position // self.lanes}"
        return name if self.lanes == 1 else f"{name}.s{position % self.lanes:x}"

    @staticmethod
    def parameter(position: int, buffer: Buffer, sizes: tuple[str, ...]) -> Memory:
        """`sizes` are the open ones that strides depend on, in the order of the arguments s0, s1 and so on."""
        return Memory.of(f"p{position}", buffer, f"o{position}", sizes)


def _stride(stride: Size, sizes: tuple[str, ...]) -> str:
    if isinstance(stride, int):
        return f"{stride}L"
    terms = ("*".join([f"{number(c)}L", *(f"s{sizes.index(n)}" for n in names)]) for names, c in stride.terms)
    return f"({' + '.join(terms)})"


def view(buffer: Buffer, memory: dict[str, Memory]) -> Memory:
    assert buffer.base is not None
    base = memory[buffer.base]
    return Memory.of(base.pointer, buffer, f"{base.offset} + {number(buffer.offset)}", space=base.space)


def bytes_of(buffer: Buffer) -> int:
    return -(-elements(buffer) * buffer.dtype.bytes // _ALIGN) * _ALIGN


def allocate_shared(buffer: Buffer, memory: dict[str, Memory], used: int) -> tuple[Memory, int]:
    if buffer.base is not None:
        return view(buffer, memory), used
    pointer = f"((__global {types.stored(buffer.dtype)} *)(shared + {used}))"
    return Memory.of(pointer, buffer), used + bytes_of(buffer)
