"""What is known at one place of a kernel while its code is being emitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from tilec.backends.llvm.address import Index
from tilec.backends.llvm.blocks import Emitter
from tilec.backends.llvm.ops import Ops
from tilec.backends.llvm.registers import Cell, Register
from tilec.backends.llvm.types import Value, mask_text
from tilec.dtypes import DType
from tilec.expr import Expr
from tilec.loops import Buffer
from tilec.target import Target

Mask: TypeAlias = "tuple[bool, ...] | str"  # lanes that are on: known now, or an SSA value


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a buffer's memory is: `offset` bytes from a pointer argument. `root` names what may alias."""

    buffer: Buffer
    base: str
    offset: int
    root: str


@dataclass(slots=True)
class Scratch:
    """Stack-like allocation of scratch memory at compile time; `most` is what a kernel needs."""

    used: int = 0
    most: int = 0

    def take(self, size: int) -> int:
        """Offset of `size` bytes, aligned to a cache line."""
        start = -(-self.used // 64) * 64
        self.used = start + size
        self.most = max(self.most, self.used)
        return start


@dataclass(slots=True)
class Frame:
    """State of the emission of one function."""

    emitter: Emitter
    ops: Ops
    target: Target
    plan: Mapping[int, Register]
    scratch: Scratch
    scratch_base: str  # %shared in a kernel, %private in a task
    outline: bool  # parallel loops become tasks
    indices: dict[str, Index] = field(default_factory=dict)
    storage: dict[str, Storage] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)  # SSA values of the open sizes that strides depend on
    registers: dict[str, Register] = field(default_factory=dict)
    cells: dict[Cell, Value] = field(default_factory=dict)
    lets: dict[str, Value] = field(default_factory=dict)
    in_vector: bool = False
    mask: Mask | None = None  # None: all lanes are on
    orders: dict[int, list[Expr]] = field(default_factory=dict)  # terms of expressions, by identity
    expansions: dict[tuple[str, tuple[DType, ...]], Expr] = field(default_factory=dict)  # of builtins, by types
    aligned: int = 0  # bytes to which arrays that are streamed to are aligned; 0: they are not, stores are plain

    @property
    def lanes(self) -> int:
        return self.ops.lanes

    def mask_ref(self) -> str:
        """The mask as an operand without its type."""
        mask = self.mask
        if mask is None:
            mask = (True,) * self.lanes
        return mask if isinstance(mask, str) else mask_text(mask)

    @contextmanager
    def block(self) -> Iterator[None]:
        """A statement block: what it declares ends with it."""
        lets, storage, registers, used = dict(self.lets), dict(self.storage), dict(self.registers), self.scratch.used
        yield
        for cell in [c for c in self.cells if self.registers.get(c[0]) is not registers.get(c[0])]:
            del self.cells[cell]
        self.lets, self.storage, self.registers, self.scratch.used = lets, storage, registers, used

    @contextmanager
    def index(self, name: str, value: Index) -> Iterator[None]:
        old = self.indices.get(name)
        self.indices[name] = value
        yield
        if old is None:
            del self.indices[name]
        else:
            self.indices[name] = old

    @contextmanager
    def masked(self, mask: Mask | None) -> Iterator[None]:
        old, self.mask = self.mask, mask
        yield
        self.mask = old
