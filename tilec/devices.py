"""Floor 5: backends and devices by name. No backend is imported before it is asked for."""

from __future__ import annotations

from importlib import import_module

from tilec.backend import Backend
from tilec.errors import error
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


def resolve_target(name: str | Target) -> Target:
    """The Target that a name such as `auto`, `llvm`, `opencl` or `opencl:1` stands for; raises TILE0508, TILE0509."""
    if isinstance(name, Target):
        return name
    if not isinstance(name, str):
        raise error("TILE0508", f"a target is a name or a Target, not an object of type {type(name).__name__}")
    if name == "reference":
        return Target("reference")
    kind, _, device = ("llvm" if name == "auto" else name).partition(":")
    targets = backend(kind).targets()
    if not targets:
        raise error("TILE0509", f"target {kind!r} is not available on this machine", help=_recipe(kind))
    for target in targets:
        if device in ("", target.device):
            return target
    raise error("TILE0509", f"no device {device!r} of {kind!r}", notes=[f"found: {', '.join(map(str, targets))}"])


def _recipe(kind: str) -> str | None:
    recipes = {"opencl": "install pyopencl and an OpenCL driver: pip install 'tilec[opencl]' pocl-binary-distribution"}
    return recipes.get(kind)
