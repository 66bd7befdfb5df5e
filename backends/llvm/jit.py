"""LLVM through llvmlite: IR text -> object -> linked into this process (ORC).

llvmlite takes one lock around every library call, so nothing is gained by compiling in several threads. One LLJIT per
process, made when first needed.
"""

from __future__ import annotations

import itertools
import os
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from tilec.backends.llvm.target import triple_of
from tilec.errors import error
from tilec.target import Target

_lock = threading.RLock()
_numbers = itertools.count()

if hasattr(os, "register_at_fork"):  # a child must not inherit LLVM in the middle of another thread's work
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@dataclass(slots=True)
class Library:
    """Loaded code: entry addresses, and the tracker that keeps the code mapped."""

    addresses: dict[str, int]
    _tracker: Any


@cache
def _initialise(everything: bool) -> None:
    if everything:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    else:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()


@cache
def _lljit() -> Any:
    _initialise(False)
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        opt=2, jit=True, codemodel="jitdefault"
    )
    return llvm.create_lljit_compiler(machine, use_jit_link=False)


@cache
def machine(target: Target) -> Any:
    """LLVM's code generator for a target: for the host as a JIT, for others as position-independent code."""
    own = target.device in ("", "host")
    _initialise(not own)
    try:
        found = llvm.Target.from_triple(triple_of(target))
    except RuntimeError as failure:
        raise error("TILE0509", f"LLVM has no target {triple_of(target)}: {failure}") from None
    features = ",".join(target.features)
    if own:
        return found.create_target_machine(target.cpu, features, opt=2, jit=True, codemodel="jitdefault")
    return found.create_target_machine(target.cpu, features, opt=2, reloc="pic", codemodel="default")


def _parse(text: str, target: Target) -> Any:
    module = llvm.parse_assembly(text)
    module.triple = machine(target).triple  # on Windows a JIT's objects are ELF, and the triple says so
    module.data_layout = str(machine(target).target_data)
    return module


def assembly(text: str, target: Target) -> str:
    """Machine code of a module as assembly text."""
    with _lock:
        return str(machine(target).emit_assembly(_parse(text, target)))


def object_code(text: str, target: Target) -> bytes:
    """Machine code of a module as an object file. No middle-end passes run: the text is clean SSA already."""
    with _lock:
        return bytes(machine(target).emit_object(_parse(text, target)))


def load(object_file: bytes, names: list[str], imports: dict[str, int] | None = None) -> Library:
    """Links an object; `imports` gives the addresses of its undefined symbols."""
    with _lock:
        builder = llvm.JITLibraryBuilder().add_object_img(object_file)
        for name in names:
            builder.export_symbol(name)
        for name, address in (imports or {}).items():
            builder.import_symbol(name, address)
        tracker = builder.link(_lljit(), f"tilec{next(_numbers)}")
        return Library({name: int(tracker[name]) for name in names}, tracker)
