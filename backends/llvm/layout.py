"""What the caller of a program's machine code must know, apart from the code that emits it."""

from __future__ import annotations

from dataclasses import dataclass

from tilec.errors import Span

INTERFACE = 3  # grows with every change of what `run` and `init` take or expect


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a program's buffers are, and how much memory a call needs.

    table: names of the caller's buffers and constants, in the order of the pointers. arena, fixed: byte offsets.
    status: offset in the arena of an i64 that says after a call which Check failed (from 1 on; 0: none); None where
    the program has no Check.
    """

    table: tuple[str, ...]
    arena: dict[str, int]
    fixed: dict[str, int]
    arena_bytes: int
    fixed_bytes: int
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """Machine code of a program, ready to be kept, and all that it needs to run.

    objects: object files to be linked with one another; one exports `run`, and `init` where `init` holds. arguments:
    names of a call's arrays in their order, parameters that are no constants and then results. table: names in the
    order of the entry's pointers, constants among them. threads: what the arena has room for. checks: message and
    place of every Check, in the order of their numbers; status: where a call leaves that of the one that failed.
    """

    objects: tuple[bytes, ...]
    arguments: tuple[str, ...]
    table: tuple[str, ...]
    arena_bytes: int
    fixed_bytes: int
    init: bool
    threads: int
    checks: tuple[tuple[str, Span | None], ...] = ()
    status: int = 0
