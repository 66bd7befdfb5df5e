"""LLVM through llvmlite: IR text -> object -> linked into this process (ORC).

One LLJIT per process, made when first needed.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, TypeVar

import llvmlite.binding as llvm

from tilec.backends.llvm import codegen
from tilec.backends.llvm.codegen import Machine
from tilec.backends.llvm.target import triple_of
from tilec.errors import error
from tilec.target import Target

_lock = threading.RLock()
_numbers = itertools.count()

if hasattr(os, "register_at_fork"):  # a child must not inherit LLVM in the middle of another thread's work
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """A function that makes its result when first called, and only then, whatever threads call it.

    Machine code refers to such a result by address. `functools.cache` lets threads that come at once make one each, and
    frees all but the last.
    """
    made: list[T] = []

    @wraps(make)
    def found() -> T:
        if not made:
            with _lock:
                if not made:
                    made.append(make())
        return made[0]

    return found


@dataclass(slots=True)
class Library:
    """Loaded code: entry addresses, and the tracker that keeps the code mapped."""

    addresses: dict[str, int]
    _tracker: Any


@cache
def _lljit() -> Any:
    codegen.initialise(False)
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        opt=2, jit=True, codemodel="jitdefault"
    )
    return llvm.create_lljit_compiler(machine, use_jit_link=False)


@cache
def machine_of(target: Target) -> Machine:
    """A target in LLVM's words; raises TileError TILE0509 for one that LLVM does not know."""
    own = target.device in ("", "host")
    machine = Machine(triple_of(target), target.cpu, ",".join(target.features), own)
    try:
        codegen.generator(machine)
    except RuntimeError as failure:
        raise error("TILE0509", f"LLVM has no target {machine.triple}: {failure}") from None
    return machine


def assembly(text: str, target: Target) -> str:
    """Machine code of a module as assembly text."""
    with _lock:
        machine = machine_of(target)
        return str(codegen.generator(machine).emit_assembly(codegen.parsed(text, machine)))


def object_code(text: str, target: Target) -> bytes:
    """Machine code of a module as an object file."""
    with _lock:
        return codegen.object_code(text, machine_of(target))


def load(objects: Sequence[bytes], names: Sequence[str], imports: Mapping[str, int] | None = None) -> Library:
    """Links objects with one another; `imports` gives the addresses of what none of them defines."""
    with _lock:
        builder = llvm.JITLibraryBuilder()
        for code in objects:
            builder.add_object_img(code)
        for name in names:
            builder.export_symbol(name)
        for name, address in (imports or {}).items():
            builder.import_symbol(name, address)
        tracker = builder.link(_lljit(), f"tilec{next(_numbers)}")
        return Library({name: int(tracker[name]) for name in names}, tracker)
