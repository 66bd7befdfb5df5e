"""Machine code of the small functions that every program needs, kept on disk: compiling them takes longer than loading
a kept program."""

from __future__ import annotations

import json

import llvmlite.binding as llvm

from tilec.artifacts.store import open_store, place
from tilec.backends.llvm import jit
from tilec.backends.llvm.target import triple_of
from tilec.target import Target
from tilec.version import VERSION


def support_code(text: str, target: Target) -> bytes:
    """As `jit.object_code`, looked up first in the disk cache."""
    store = open_store(place())
    if store is None:
        return jit.object_code(text, target)
    version = list(llvm.llvm_version_info)
    key = json.dumps(["support", VERSION, text, version, triple_of(target), target.cpu, *target.features]).encode()
    code = store.get(key)
    if code is None:
        code = jit.object_code(text, target)
        store.put(key, code)
    return code
