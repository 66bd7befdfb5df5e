"""Floor 2: the nodes of the Loops IR; what they mean is told in `tilec.loops`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal, TypeAlias

from tilec.affine import Affine, Poly, Size, resolve
from tilec.dtypes import DType
from tilec.errors import Span
from tilec.expr import Expr
from tilec.monoid import Monoid

LoopKind = Literal["serial", "parallel", "vector", "unroll", "group", "item", "pipelined"]
LOOP_KINDS: tuple[LoopKind, ...] = ("serial", "parallel", "vector", "unroll", "group", "item", "pipelined")
Space = Literal["param", "heap", "thread", "local", "register"]
SPACES: tuple[Space, ...] = ("param", "heap", "thread", "local", "register")
Mode = Literal["in", "out", "inout"]


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory for elements of one dtype.

    space: `param` (the caller's), `heap` (the call's arena), `thread` (private to a thread), `local` (shared by an
    OpenCL work-group), `register`. `strides` in elements, None for row-major. A view has a `base` buffer and an
    `offset` in elements into it; its data are the base's. A view of a program `moves`: it starts `stride` elements
    later with every step of each (index of an Iterate, stride), and means nothing outside of these.
    """

    name: str
    dtype: DType
    shape: tuple[Size, ...]
    space: Space = "heap"
    strides: tuple[Size, ...] | None = None
    base: str | None = None
    offset: Size = 0
    moves: tuple[tuple[str, Size], ...] = ()


@dataclass(frozen=True, slots=True)
class For:
    index: str
    extent: Size
    kind: LoopKind
    body: tuple[Stmt, ...]
    depth: int = 0  # of a pipelined loop


@dataclass(frozen=True, slots=True)
class If:
    """Runs the body where every form is >= 0."""

    conditions: tuple[Affine, ...]
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Alloc:
    """Uninitialised memory; a `register` or `thread` buffer is private to the enclosing parallel iteration."""

    buffer: Buffer


@dataclass(frozen=True, slots=True)
class Let:
    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Store:
    """`buffer[indices] = value`, or `combine(buffer[indices], value)` with a one-component monoid.

    stream: a hint, where nothing is aggregated, that the value is not needed soon: it may go past the caches.
    """

    buffer: str
    indices: tuple[Affine | Expr, ...]
    value: Expr
    monoid: Monoid | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class While:
    """Repeats the body as long as the condition, a bool, holds; it is evaluated before each round."""

    condition: Expr
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Barrier:
    """All items of the work-group reach it before any goes on; memory of `space` is then visible to all."""

    space: Space = "local"


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangular part of a buffer: per axis a start and an extent (extent None: a single index, axis dropped)."""

    buffer: str
    starts: tuple[Affine, ...]
    extents: tuple[Size | None, ...]


@dataclass(frozen=True, slots=True)
class Instr:
    """A machine instruction, declared elsewhere by its meaning in Loops, applied to operand windows."""

    name: str
    operands: tuple[Window, ...]


Stmt: TypeAlias = For | If | Alloc | Let | Store | While | Barrier | Instr
Block: TypeAlias = tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class KernelParam:
    """`out`: every cell is stored before anything reads it, so that it does not matter what was there before. A buffer
    that is stored to and is not `out` is `inout`."""

    buffer: Buffer
    mode: Mode


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function over buffers. Its parameters' buffers are of space `param`."""

    name: str
    params: tuple[KernelParam, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Launch:
    """Runs a kernel on program buffers, one per parameter, in order."""

    kernel: str
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Assign:
    """Stores the value of a form in indices of enclosing Iterates, its coefficients sizes, in a rank-0 i64 buffer."""

    target: str
    value: Affine


@dataclass(frozen=True, slots=True)
class HostCall:
    """A call of a function of `tilec.host_functions`: `inputs` are read, `outputs` written; it may end the call."""

    function: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    span: Span | None = field(default=None, compare=False)  # not part of the textual form


@dataclass(frozen=True, slots=True)
class Check:
    """Ends the call with an error of `code` where the rank-0 bool buffer `condition` does not hold."""

    condition: str
    message: str
    span: Span | None = field(default=None, compare=False)  # not part of the textual form
    code: str = "TILE0405"


@dataclass(frozen=True, slots=True)
class Iterate:
    """Runs `steps` with `index` counting from 0 to extent - 1, or down to 0 with `reverse`.

    `count`, a rank-0 i64 buffer, gives the extent at run time: itself, but not below 0 nor above `extent`.
    """

    index: str
    extent: Size
    steps: tuple[Step, ...]
    reverse: bool = False
    count: str | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """Runs `test`, then `steps` as long as the rank-0 bool buffer `condition` holds."""

    condition: str
    test: tuple[Step, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    condition: str
    then: tuple[Step, ...]
    orelse: tuple[Step, ...] = ()


Step: TypeAlias = Launch | Copy | Assign | HostCall | Check | Iterate | Repeat | Branch


@dataclass(frozen=True)  # without slots: it keeps tables of what it holds by name
class Program:
    """What a backend builds: one call runs `steps` (after `init` has run once).

    `params` and `results` name buffers of space `param`; all others live in one arena of `arena` bytes at the byte
    offsets of `places` (filled by the pass `place`). `constants` are parameters bound at compile time, by digest.
    `sizes` are named sizes given at run time, `derived` others: (name, size, divisor), the quotient rounded down. With
    named sizes there are no `places`: they are found at run time. A result that is a parameter is donated state: the
    parameter's memory holds the result after the call.
    """

    name: str
    params: tuple[str, ...]
    results: tuple[str, ...]
    buffers: tuple[Buffer, ...]
    kernels: tuple[Kernel, ...]
    steps: tuple[Step, ...]
    init: tuple[Step, ...] = ()
    constants: tuple[tuple[str, str], ...] = ()
    sizes: tuple[str, ...] = ()
    arena: int = 0
    places: tuple[tuple[str, int], ...] = ()
    derived: tuple[tuple[str, Size, int], ...] = ()

    def all_sizes(self, given: Mapping[str, int]) -> dict[str, int]:
        """The given sizes and those derived from them."""
        known = dict(given)
        for name, size, divisor in self.derived:
            known[name] = int(resolve(size, known)) // divisor
        return known

    def buffer(self, name: str) -> Buffer:
        return self._buffers[name]

    def kernel(self, name: str) -> Kernel:
        return self._kernels[name]

    @cached_property
    def _buffers(self) -> dict[str, Buffer]:
        return {b.name: b for b in self.buffers}

    @cached_property
    def _kernels(self) -> dict[str, Kernel]:
        return {k.name: k for k in self.kernels}


@lru_cache(4096)
def row_major(shape: tuple[Size, ...]) -> tuple[Size, ...]:
    """Strides in elements of a dense array."""
    strides: list[Size] = []
    step: Size = 1
    for extent in reversed(shape):
        strides.append(step)
        step = step * extent  # type: ignore[assignment]  # a product of sizes is a size
    return tuple(reversed(strides))


def stride_sizes(kernel: Kernel) -> tuple[str, ...]:
    """Names of the open sizes that a kernel is told, for strides of its parameters depend on them."""
    strides = (s for p in kernel.params for s in strides_of(p.buffer))
    return tuple(sorted({name for s in strides if isinstance(s, Poly) for name in s.names()}))


def strides_of(buffer: Buffer) -> tuple[Size, ...]:
    return buffer.strides if buffer.strides is not None else row_major(buffer.shape)
