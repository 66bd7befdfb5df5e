"""Floor 3: what the pipeline asks of a backend. One module per backend implements `Backend`; one table lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from tilec.graph import TensorType
from tilec.loops import Program
from tilec.target import Target

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Run: TypeAlias = Callable[[Sequence[Array], Sequence[Array]], None]  # of parameters and results


@dataclass(frozen=True, slots=True)
class Direct:
    """A way into a program for the usual call, past Python.

    run: a function of a tuple of values and `out`, which returns what an Executable does, or NotImplemented where it
    leaves the call to Python. description: a number that stands for the program. method: makes of a class and its
    documentation a `__call__` whose instances hold that number as `_description`, and a method `_call` that does all
    that it leaves. kept: what has to live as long as the number is used.
    """

    run: Callable[[Any, Any], Any]
    description: int
    method: Callable[[type, str], Any]
    kept: Any


class DeviceMemory(Protocol):
    """Memory of one tensor on a device, dense; let go of with the last reference.

    nbytes: of the tensor. lost: whether a call that was to overwrite it failed amid its work, until it is written
    again. foreign: whether it was made in a process that this one was forked from.
    """

    nbytes: int
    lost: bool

    @property
    def foreign(self) -> bool: ...

    def read(self, into: Array) -> None:
        """Fills a dense array of so many bytes; raises TileError TILE0416, TILE0710."""

    def write(self, data: Array) -> None:
        """Copies a dense array of so many bytes; raises TileError TILE0416, TILE0710."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """What one launch of a kernel took, or a copy: seconds by the device's clock, or by the host's from enqueueing to
    the end where the device's says nothing that can be true."""

    name: str
    seconds: float
    by_device: bool


class Built(Protocol):
    """A program made executable. Safe to call from several threads at once."""

    def __call__(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        """Runs the whole program.

        `params` and `results` follow `Program.params` and `Program.results`: C-contiguous arrays of the buffers' shapes
        and dtypes, aligned to their element size; results overlap neither one another nor a param. Constants are bound.
        A backend with memory of its own takes that in place of an array (`Backend.memory`).
        """

    def at(self, sizes: Mapping[str, int]) -> Run:
        """What to call instead where the open sizes have these values, so that there is less to find out.

        Raises TileError TILE0211 where a size is negative, TILE0414 for more memory than can be counted.
        """
        return self

    def timing(self) -> AbstractContextManager[list[StepTime]] | None:
        """Inside of it, calls of this thread note what each launch takes; None where a backend cannot tell."""
        return None

    def direct(
        self, params: Sequence[tuple[str, TensorType]], results: Sequence[tuple[TensorType, Callable[[], Array]]]
    ) -> Direct | None:
        """A shorter way to call it, where there is one; `results` come with what makes a fresh array for each."""
        return None


class Backend(Protocol):
    name: str

    def targets(self) -> list[Target]:
        """The devices of this machine, best first; empty where the backend cannot run. Never raises."""

    def emit(self, program: Program, target: Target) -> str:
        """Source text of all kernels (LLVM IR, OpenCL C): deterministic, for people and for caches."""

    def build(self, program: Program, target: Target, constants: Mapping[str, Array]) -> Built:
        """Compiles and loads. `constants` by parameter name; `Program.init` has run when this returns."""

    def memory(self, target: Target, nbytes: int) -> DeviceMemory | None:
        """Memory for a tensor that stays on a device, None where that is an array; raises TILE0416, TILE0509."""
