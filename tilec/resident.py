"""Floor 5: `tilec.Buffer`: a tensor that stays on a device between calls."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tilec.backend import Array, DeviceMemory
from tilec.devices import backend, resolve_target
from tilec.errors import TileError, error
from tilec.graph import TensorType
from tilec.runtime import argument, as_array, dense, describe, empty, type_of
from tilec.target import Target

_HOST, _OPENCL = 1, 4  # kDLCPU, kDLOpenCL: kinds of devices in DLPack


class Buffer:
    """A tensor in a device's memory: an argument and a result of programs on that device, without copies.

    `tilec.Buffer(array, target="auto")` brings an array, or what is read as one, to a device. A call that is given a
    Buffer, as an argument or in `out=`, returns Buffers; one that is donated is overwritten where it is, and comes back
    itself. Attributes: shape, dtype (NumPy's), ndim, size, nbytes, type, target.
    Raises TileError TILE0416, TILE0503, TILE0505, TILE0508, TILE0509.

    >>> import numpy as np, tilec
    >>> double = tilec.compile("function (A) -> (B) { B = A + A; }", "llvm", A=(3,))
    >>> once = double(tilec.Buffer(np.ones(3, "float32"), "llvm"))
    >>> double(once).numpy().tolist()
    [4.0, 4.0, 4.0]
    """

    __slots__ = ("__weakref__", "_memory", "_target", "_type")

    def __init__(self, value: Any, target: str | Target = "auto") -> None:
        array = dense(_array(value))
        found = type_of(array)
        if found is None:
            raise error("TILE0503", f"the array has dtype {array.dtype}, which tilec does not have")
        self._type, self._target = found, resolve_target(target)
        self._memory: Array | DeviceMemory | None = memory_for(found, self._target)
        self.write(array)

    @staticmethod
    def of(type: TensorType, target: Target, memory: Array | DeviceMemory) -> Buffer:
        """A Buffer in memory that nothing else uses."""
        made = object.__new__(Buffer)
        made._type, made._target, made._memory = type, target, memory
        return made

    @property
    def type(self) -> TensorType:
        return self._type

    @property
    def target(self) -> Target:
        return self._target

    @property
    def shape(self) -> tuple[int, ...]:
        return self._type.shape  # type: ignore[return-value]  # sizes are ints here

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._type.dtype.numpy

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self._type.dtype.bytes

    def numpy(self) -> Array:
        """A copy of the tensor as an array. Raises TileError TILE0416, TILE0515, TILE0710."""
        memory = self.memory()
        if isinstance(memory, np.ndarray):
            return memory.copy()
        array = empty("a copy of the Buffer", self._type)
        memory.read(array)
        return array

    def write(self, value: Any) -> None:
        """Gives it the values of an array of the same shape and dtype. Raises TileError TILE0503 to TILE0505, TILE0515.

        A Buffer whose value was lost in a call that failed has one again.
        """
        array = argument("value", value.numpy() if isinstance(value, Buffer) else value, self._type)
        memory = self._held()
        if isinstance(memory, np.ndarray):
            memory[...] = array
        else:
            memory.write(array)

    def release(self) -> None:
        """Lets go of the memory now, not when the last reference is gone. It cannot be used any more."""
        self._memory = None

    def item(self) -> bool | int | float:
        """The value of a tensor of one element as a Python number; raises ValueError for other ones."""
        found: bool | int | float = self.numpy().item()
        return found

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __eq__(self, other: object) -> Any:
        """As for arrays: an array of truth values, of what is read."""
        return self.numpy() == (other.numpy() if isinstance(other, Buffer) else other)

    def __ne__(self, other: object) -> Any:
        return self.numpy() != (other.numpy() if isinstance(other, Buffer) else other)

    __hash__ = None  # type: ignore[assignment]  # as arrays have none

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, deep ones and pickled ones are Buffers of the same value and target in memory of their own."""
        return Buffer, (self.numpy(), str(self._target))

    def __init_subclass__(cls, **how: Any) -> None:
        raise TypeError("tilec.Buffer has no subclasses: calls take its memory")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """For NumPy: always a copy; raises ValueError where none may be made."""
        if copy is False:
            raise ValueError("the memory of a tilec.Buffer is read by copying it")
        return self.numpy().astype(self.dtype if dtype is None else dtype, copy=False)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (_HOST, 0) if isinstance(self.memory(), np.ndarray) else (_OPENCL, 0)

    def __dlpack__(self, **how: Any) -> Any:
        """The memory itself, where it is the host's; raises BufferError elsewhere."""
        memory = self.memory()
        if not isinstance(memory, np.ndarray):
            raise BufferError(f"the memory of a tilec.Buffer on {self._target} is not the host's: use numpy()")
        return memory.__dlpack__(**how)

    def __repr__(self) -> str:
        state = "" if self._memory is not None else ", released"
        return f"<tilec.Buffer {describe(self._type)} on {self._target}{state}>"

    # for calls

    def memory(self) -> Array | DeviceMemory:
        """Where it is, to be read; raises TileError TILE0515."""
        memory = self._held()
        if not isinstance(memory, np.ndarray) and memory.lost:
            raise self._gone("was to be overwritten by a call that failed amid its work", "give it a value: write(...)")
        return memory

    def replace(self, memory: Array | DeviceMemory) -> None:
        """Takes other memory, of the same size, for its own."""
        self._memory = memory

    def _held(self) -> Array | DeviceMemory:
        memory = self._memory
        if memory is None:
            raise self._gone("has been released", "make another one: tilec.Buffer(array)")
        if not isinstance(memory, np.ndarray) and memory.foreign:
            raise self._gone("belongs to the process that this one was forked from", "start processes by spawn instead")
        return memory

    def _gone(self, why: str, help: str) -> TileError:
        return error("TILE0515", f"the Buffer {describe(self._type)} on {self._target} {why}", help=help)


def memory_for(type: TensorType, target: Target) -> Array | DeviceMemory:
    """Fresh memory for a tensor; raises TileError TILE0416, TILE0509."""
    shape = tuple(int(s) for s in type.shape)  # type: ignore[arg-type]  # ints here
    if target.backend != "reference":
        found = backend(target.backend).memory(target, prod(shape) * type.dtype.bytes)
        if found is not None:
            return found
    return empty("a Buffer", type)


def is_on(buffer: Buffer, target: Target) -> bool:
    """Whether programs for a target can use a Buffer."""
    own = buffer.target
    return (own.backend, own.device) == (target.backend, target.device)


def _array(value: Any) -> Array:
    if isinstance(value, bool | int | float) and not isinstance(value, np.generic):
        from tilec.rules import weak_dtype

        try:
            return np.asarray(value, weak_dtype(value).numpy)
        except OverflowError:
            raise error("TILE0503", f"the number is outside the range of {weak_dtype(value).long}") from None
    return value.numpy() if isinstance(value, Buffer) else as_array("value", value)
