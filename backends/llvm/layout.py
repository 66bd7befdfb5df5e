"""What the caller of a program's machine code must know, apart from the code that emits it."""

from __future__ import annotations

from dataclasses import dataclass

INTERFACE = 2  # grows with every change of what `run` and `init` take or expect


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a program's buffers are, and how much memory a call needs.

    table: names of the caller's buffers and constants, in the order of the pointers. arena, fixed: byte offsets.
    """

    table: tuple[str, ...]
    arena: dict[str, int]
    fixed: dict[str, int]
    arena_bytes: int
    fixed_bytes: int


@dataclass(frozen=True, slots=True)
class Code:
    """Machine code of a program, ready to be kept, and all that it needs to run.

    objects: object files to be linked with one another; one exports `run`, and `init` where `init` holds. arguments:
    names of a call's arrays in their order, parameters that are no constants and then results. table: names in the
    order of the entry's pointers, constants among them. threads: what the arena has room for.
    """

    objects: tuple[bytes, ...]
    arguments: tuple[str, ...]
    table: tuple[str, ...]
    arena_bytes: int
    fixed_bytes: int
    init: bool
    threads: int
