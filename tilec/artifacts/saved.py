"""Floor 5: executables in files: `Executable.save` and `tilec.load`.

Machine code is run only if the file is whole, belongs to this user, cannot be written by others, and was made by this
version of the compiler for a CPU whose features this one has. Otherwise the kept Graph is verified and compiled again:
that takes longer. Where the system has no owners and permissions in the manner of POSIX
(Windows), the second is what always happens. To load a file is to trust whoever this user got it from; where that is
not wanted, `machine_code=False` never runs code from the file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace

from tilec.artifacts.identity import versions
from tilec.artifacts.image import Image, decode, encode
from tilec.backend import Array, Built
from tilec.backends.llvm.backend import LLVMBackend
from tilec.backends.llvm.layout import Code
from tilec.devices import resolve_target
from tilec.errors import Diagnostic, TileError, error
from tilec.executable import Executable, Interface, no_memory
from tilec.files import distrust, path_name, read_with_status, write_file
from tilec.graph import TensorType
from tilec.target import Target

_log = logging.getLogger("tilec")
_LARGEST = 1 << 40


def save(executable: Executable, path: str | os.PathLike[str]) -> None:
    """Writes a file, whole or not at all; raises TileError TILE0511, TILE0702."""
    name = path_name(path)  # before the work
    write_file(name, encode(image_of(executable, with_constants=True)), 0o644)  # code that others can write is not run


def load(path: str | os.PathLike[str], *, machine_code: bool = True, target: str | Target = "auto") -> Executable:
    """The executable that `Executable.save` wrote.

    Its machine code is used where it may be trusted and suits this CPU; otherwise, and for `machine_code=False` or
    another `target`, the program is compiled again, and a warning of the executable (TILE0708) says why. Raises
    TileError TILE0416, TILE0511, TILE0701, TILE0707, and those of compilation.
    """
    name = path_name(path)
    try:
        data, status = read_with_status(name, _LARGEST)
    except (OSError, ValueError, MemoryError) as reason:
        raise error("TILE0701", f"cannot read {name!r}: {getattr(reason, 'strerror', None) or reason}") from None
    image = decode(data, name)
    device = resolve_target(target)
    why = "it was not asked for" if not machine_code else distrust(status) or _unfit(image, device)
    if image.code is not None and why is None:
        try:
            built = LLVMBackend().load(image.code, image.constants, device.threads)
            return revive(image, built, image.target, image.constants)
        except (RuntimeError, KeyError, ValueError) as reason:
            why = str(reason)
        except MemoryError as reason:
            raise no_memory(image.name, reason) from None
    return _compiled_again(image, device, name, why or "the file holds none")


def image_of(executable: Executable, with_constants: bool) -> Image:
    """An executable as data; constants may be left out where whoever loads it has them."""
    constants = executable.constants if with_constants else {}
    if isinstance(executable.ir, Image):
        return replace(executable.ir, constants=constants)
    from tilec.text.graph_text import print_graph
    from tilec.text.loops_text import print_program

    graph, program = executable.graph, executable.program
    return Image(
        name=executable.name,
        params=executable.params,
        results=executable.results,
        constant_types={p.name: p.type for p in graph.params if p.digest is not None},
        target=executable.target,
        options=executable.options,
        versions=versions(),
        graph_text=print_graph(graph),
        program_text=None if program is None else print_program(program),
        code=_code(executable.built),
        fixed=executable.fixed,
        warnings=executable.warnings,
        donated=executable.donated,
        spans=tuple(let.span for let in graph.lets),
        constants=constants,
        choices=getattr(executable.ir, "choices", ()),
    )


def revive(image: Image, built: Built, target: Target, constants: Mapping[str, Array]) -> Executable:
    """An executable of an image whose code is loaded; its IR is parsed when someone asks for it."""
    interface = Interface(image.name, image.params, image.results, image.fixed, image.warnings, image.donated)
    return Executable(interface, target, built, image, constants, image.options)


def _code(built: Built) -> Code | None:
    code = getattr(built, "code", None)
    return code if isinstance(code, Code) else None


def _unfit(image: Image, device: Target) -> str | None:
    """Why this process cannot run the image's code."""
    if dict(image.versions) != dict(versions()):
        return "it was made by another version"
    if (device.backend, device.device) != (image.target.backend, image.target.device):
        return f"it was made for {image.target}"
    if missing := [f for f in image.target.features if f not in device.features]:
        return f"this CPU lacks {', '.join(f.lstrip('+') for f in missing)}"
    return None


def _compiled_again(image: Image, device: Target, name: str, why: str) -> Executable:
    from tilec.build import compile_graph

    _log.info("%s is compiled again: its machine code is not used, for %s", name, why)
    graph = image.graph()
    wanted = {p.name: p.type for p in graph.params if p.digest is not None}
    if {n: _plain(t) for n, t in wanted.items()} != {n: _plain(t) for n, t in image.constant_types.items()}:
        raise error("TILE0707", f"{name!r} does not hold a saved executable: its constants do not fit its program")
    if missing := [n for n in wanted if n not in image.constants]:
        raise error("TILE0707", f"{name!r} does not hold a saved executable: constant {missing[0]!r} is missing")
    found = compile_graph(graph, device, image.constants, image.options, scalars=image.fixed)
    note = Diagnostic("TILE0708", f"the machine code in {name!r} is not used: {why}", severity="warning")
    interface = Interface(found.name, found.params, found.results, found.fixed, (*image.warnings, note), found.donated)
    return Executable(interface, found.target, found.built, found.ir, found.constants, found.options)


def _plain(type: TensorType) -> tuple[object, ...]:
    return type.dtype, type.shape


__all__ = ["TileError", "image_of", "load", "revive", "save"]
