"""Programs compiled by OpenCL drivers, kept on disk between processes beside the compiled programs of other backends.

A binary is known by all that decides it: text, options, device, driver and platform, and for a CPU the machine's own
features, for names of devices are no more exact than people need. Whatever is wrong with one that is kept, the text is
compiled instead. Drivers that keep what they compile themselves (PoCL, NVIDIA's) are left to it: asking PoCL for a
binary makes it compile everything once more.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import re
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tilec.artifacts.store import Store, open_store, place
from tilec.backends.opencl.devices import pyopencl, translated
from tilec.errors import error

_log = logging.getLogger("tilec")

FORMAT = 1  # of what is kept; a change makes older entries unknown
_KERNEL = re.compile(r"^__kernel void (\w+)\(", re.M)
_TRIES = 3
DAMAGED = (
    "the OpenCL driver's own cache holds a part of a program, perhaps of a process that was killed; results are right "
    "all the same, but PoCL may abort this process when it ends: delete its cache (POCL_CACHE_DIR, else ~/.cache/pocl)"
)


def built(context: Any, device: Any, text: str, options: Sequence[str]) -> Any:
    """The compiled program: kept, or compiled now and kept. Raises TileError TILE0416, TILE0710."""
    store = None if keeps_itself(device) else open_store(place())
    if store is None:
        return from_source(context, text, options)
    key = key_of(device, text, options)
    found = _kept(store, key, context, device, text, options)
    if found is not None:
        return found
    with store.compiling(key):
        found = _kept(store, key, context, device, text, options)  # another process may have been faster
        if found is None:
            found = from_source(context, text, options)
            _keep(store, key, found)
    return found


def from_source(context: Any, text: str, options: Sequence[str]) -> Any:
    """Compiles a text; raises TileError TILE0416, TILE0710.

    A process that is killed while PoCL compiles for it can leave a part of a file in PoCL's own cache, and then this
    text has no kernels any more, in any process. The same text with a comment is another one to PoCL; that PoCL aborts
    the process as it ends, because of the file that it could not read, nobody but its user can help.
    """
    for number in range(_TRIES):
        again = f"// again: {number}\n" if number else ""
        program = _compiled(context, again + text, options)
        if _is_whole(program, text):
            return program
        if not number:
            warnings.warn(DAMAGED, RuntimeWarning, stacklevel=2)
    raise error("TILE0710", "the OpenCL driver compiles a program without its kernels", help="empty its cache")


def _compiled(context: Any, text: str, options: Sequence[str]) -> Any:
    cl = pyopencl()
    with translated("compile a program"), warnings.catch_warnings():
        warnings.simplefilter("ignore", cl.CompilerWarning)
        return cl.Program(context, text).build(options=list(options))


def _is_whole(program: Any, text: str) -> bool:
    """Whether it has all kernels of its text, as far as the driver says."""
    try:
        known = program.get_info(pyopencl().program_info.KERNEL_NAMES)
    except Exception:  # it is found out later
        return True
    return set(_KERNEL.findall(text)) <= set(known.split(";"))


def _kept(store: Store, key: bytes, context: Any, device: Any, text: str, options: Sequence[str]) -> Any:
    binary = store.get(key)
    if binary is None:
        return None
    cl = pyopencl()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.CompilerWarning)
            program = cl.Program(context, [device], [binary]).build(options=list(options))  # which some drivers need
        if _is_whole(program, text):
            return program
        reason: object = "it lacks kernels"
    except Exception as problem:  # sealed by us, yet of no use to this driver
        reason = problem
    _log.info("a kept OpenCL binary is dropped: %s", reason)
    store.discard(key)
    return None


def _keep(store: Store, key: bytes, program: Any) -> None:
    try:
        (binary,) = program.get_info(pyopencl().program_info.BINARIES)
    except Exception as reason:  # what was compiled is right all the same
        _log.info("an OpenCL binary is not kept: %s", reason)
        return
    if binary:
        store.put(key, bytes(binary))


def keeps_itself(device: Any) -> bool:
    """Whether a driver has a cache of its own for what it compiles from text."""
    pyopencl()
    from pyopencl.characterize import has_src_build_cache

    return bool(has_src_build_cache(device))


def key_of(device: Any, text: str, options: Sequence[str]) -> bytes:
    """All that decides a binary."""
    host = device.platform
    content = {
        "what": "OpenCL binary",
        "format": FORMAT,
        "text": hashlib.sha256(text.encode()).hexdigest(),
        "options": list(options),
        "device": [device.name, device.vendor, device.version, device.driver_version],
        "platform": [host.name, host.vendor, host.version],
        "machine": _machine() if device.type & pyopencl().device_type.CPU else "",
    }
    return json.dumps(content, sort_keys=True).encode()


@cache
def _machine() -> str:
    """What this machine's CPU can do, by name and features where the system lists them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return hashlib.sha256("\n".join(x for x in lines if x.startswith(wanted)).encode()).hexdigest()
