"""What the caller of a program's machine code must know, apart from the code that emits it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tilec.errors import Span

INTERFACE = 7  # grows with every change of what `run` and `init` take or expect


@dataclass(frozen=True, slots=True)
class Open:
    """What a call of a program with open sizes must find out. Sizes are texts (`tilec.text.affine_text`).

    sizes: each with the argument and the axis that say what it is. derived: (name, size, divisor), the quotient rounded
    down. slots: all of these by name, each with the place of its value in the table. lives: per buffer of the arena its
    place in the table, its size in bytes, the first and last moment at which it is needed. axes: sizes of buffers'
    axes, which must not be negative.
    """

    sizes: tuple[tuple[str, int, int], ...]
    derived: tuple[tuple[str, str, int], ...]
    slots: tuple[tuple[str, int], ...]
    lives: tuple[tuple[int, str, int, int], ...]
    axes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a program's buffers are, and how much memory a call needs.

    table: names of the caller's buffers and constants, in the order of the pointers; with open sizes also of those in
    the arena, whose places are not known yet. arena, fixed: byte offsets. sizes: where in the table, behind the
    pointers, the values of open sizes are. status: offset in the arena of an i64 that says after a call which Check
    failed (from 1 on; 0: none); None where the program has no Check. interrupts: offset in the arena of the words with
    which a call looks for signals (`tilec.backends.llvm.interrupts`); None where no loop may run for long. hosts: that
    of the words with which it calls host functions (`tilec.backends.llvm.hosts`); None where it calls none.
    """

    table: tuple[str, ...]
    arena: dict[str, int]
    fixed: dict[str, int]
    arena_bytes: int
    fixed_bytes: int
    status: int | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    interrupts: int | None = None
    hosts: int | None = None


@dataclass(frozen=True, slots=True)
class HostArray:
    """An operand or result of a host function: where its elements are, from an address; strides count elements."""

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """A call of a host function, and its place in the user's program."""

    function: str
    inputs: tuple[HostArray, ...]
    outputs: tuple[HostArray, ...]
    span: Span | None


@dataclass(frozen=True, slots=True)
class Code:
    """Machine code of a program, ready to be kept, and all that it needs to run.

    objects: object files to be linked with one another; one exports `run`, and `init` where `init` holds. arguments:
    names of a call's arrays in their order, parameters that are no constants and then results. table: names in the
    order of the entry's pointers, constants among them. threads: what the arena has room for. checks: code, message and
    place of every Check, in the order of their numbers; status: where a call leaves that of the one that failed.
    open: None where all sizes are numbers; else `arena_bytes` is the part of the arena whose size is known, the first.
    interrupts, hosts: as in `Layout`. packed: constants that only `init` reads. brief: a call is over before another
    thread would get the interpreter's lock. calls: of host functions, in the order of their numbers.
    """

    objects: tuple[bytes, ...]
    arguments: tuple[str, ...]
    table: tuple[str, ...]
    arena_bytes: int
    fixed_bytes: int
    init: bool
    threads: int
    checks: tuple[tuple[str, str, Span | None], ...] = ()
    status: int = 0
    open: Open | None = None
    interrupts: int | None = None
    packed: tuple[str, ...] = ()
    brief: bool = False
    hosts: int | None = None
    calls: tuple[Host, ...] = ()
