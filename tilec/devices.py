"""Floor 5: backends and devices by name. No backend is imported before it is asked for."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from tilec.backend import Backend
from tilec.configuration import Loaded, config
from tilec.errors import TileError, error
from tilec.target import Target

# Every backend by name: module and class.
BACKENDS: dict[str, tuple[str, str]] = {
    "llvm": ("tilec.backends.llvm.backend", "LLVMBackend"),
    "opencl": ("tilec.backends.opencl.backend", "OpenCLBackend"),
}


def backend(name: str) -> Backend:
    """A backend by name; raises TileError TILE0508."""
    if name not in BACKENDS:
        raise error("TILE0508", f"unknown target {name!r}", help=f"known: auto, {', '.join(BACKENDS)}, reference")
    module, attribute = BACKENDS[name]
    found: Backend = getattr(import_module(module), attribute)()
    return found


def resolve_target(name: str | Target, force: bool = False) -> Target:
    """The Target that a name such as `auto`, `llvm`, `opencl:1` or `opencl:nvidia` stands for.

    Raises TileError TILE0508, TILE0509, and TILE0514 for a device that did not pass its tests, unless it is forced or
    the name ends in `!`. `auto` is the target that is set (`tilec.config`), else `llvm`. A Target is taken as it is, a
    name gets the number of threads that is set.
    """
    if isinstance(name, Target):
        return name
    if not isinstance(name, str):
        raise error("TILE0508", f"a target is a name or a Target, not an object of type {type(name).__name__}")
    loaded = config.loaded()
    found = _named(name, force) if name != "auto" else _configured(loaded, force)
    threads = loaded.settings.threads
    return replace(found, threads=threads) if threads and found.backend == "llvm" else found


def _configured(loaded: Loaded, force: bool) -> Target:
    name = loaded.settings.target
    try:
        return _named("llvm" if name == "auto" else name, force)
    except TileError as problem:
        if name == "auto":
            raise
        note = f"the setting 'target' is {name!r}, from {loaded.origins['target']}"
        raise TileError([replace(d, notes=(*d.notes, note)) for d in problem.diagnostics]) from None


def _named(name: str, force: bool) -> Target:
    if name == "reference":
        return Target("reference")
    kind, _, device = name.removesuffix("!").partition(":")
    if kind == "opencl":
        from tilec.backends.opencl.devices import named

        return named(device, force or name.endswith("!"))
    targets = backend(kind).targets()
    if not targets:
        raise error("TILE0509", f"target {kind!r} is not available on this machine")
    for target in targets:
        if device in ("", target.device):
            return target
    raise error("TILE0509", f"no device {device!r} of {kind!r}", notes=[f"found: {', '.join(map(str, targets))}"])
