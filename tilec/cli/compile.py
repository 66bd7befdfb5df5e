"""Floor 6: `tilec compile`: what the compiler makes of a function, for people, for C programs and for other tools."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tilec.cli.budget import LIMIT, REMAT, SCHEDULE, budget
from tilec.cli.color import shown
from tilec.errors import Report
from tilec.options import Options

if TYPE_CHECKING:
    from tilec.ahead import Ahead
    from tilec.graph import Graph

KINDS = ("graph", "loops", "llvm", "asm", "obj", "header", "lib")
_BINARY = ("obj", "lib")
_SUFFIXES = {"graph": ".graph", "loops": ".loops", "llvm": ".ll", "asm": ".s", "obj": ".o", "header": ".h"}


def kinds(start: str) -> list[str]:
    """Lists of kinds that begin so, for the shell."""
    before, comma, last = start.rpartition(",")
    return [before + comma + kind for kind in KINDS if kind.startswith(last)]


def command(
    file: str = typer.Argument(..., help="A .tile or .graph file; '-' for standard input."),
    function: str | None = typer.Option(None, "-f", "--function", help="The function, where there are several."),
    emit: str = typer.Option("llvm", "--emit", metavar="KIND,...", help=f"{', '.join(KINDS)}.", autocompletion=kinds),
    shapes: list[str] = typer.Option(
        [], "--shape", metavar="NAME=TYPE", help="An input: A=f32[64,64], A=64,64 (float32), A=64, or a number."
    ),
    constants: list[str] = typer.Option(
        [], "--constant", metavar="NAME=VALUE", help="An input to compile in: a .npy, .npz:KEY or number."
    ),
    donated: list[str] = typer.Option(
        [], "--donate", metavar="NAME=RESULT", help="An input whose memory a result takes, as the weights of a step."
    ),
    output: str | None = typer.Option(None, "-o", "--output", help="File to write; '-' for standard output."),
    target: str = typer.Option("auto", "--target", help="llvm:host, x86-64, x86-64-v3, x86-64-v4 or aarch64."),
    symbol: str | None = typer.Option(None, "--symbol", help="Name of the C function; default: tilec_FUNCTION."),
    schedule: str | None = SCHEDULE,
    limit: int | None = LIMIT,
    remat: str = REMAT,
) -> int:
    """Compile a function for given shapes and write IR, assembly, an object, its C header or a library."""
    from tilec.api import with_schedules
    from tilec.files import write_file

    chosen = _kinds(emit)
    options = with_schedules(budget(limit, remat), None, schedule)
    made = compile_file(file, function, shapes, constants, target, symbol, donated, options)
    for warning in made.warnings:
        print(shown(warning, sys.stderr), file=sys.stderr)
    written = {kind: make(made, kind) for kind in chosen}
    for kind, data in written.items():
        path = _path(made, kind, output, len(chosen))
        if path is None and kind in _BINARY:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
        elif path is None:
            print(data.decode(), end="")
        else:
            write_file(path, data)
            print(f"{kind}: {path}", file=sys.stderr)
    return 0


def _kinds(emit: str) -> list[str]:
    from tilec.errors import error

    kinds = list(dict.fromkeys(k.strip() for k in emit.split(",") if k.strip()))
    if not kinds or any(k not in KINDS for k in kinds):
        raise error("TILE0704", f"cannot emit {emit!r}", help=f"kinds: {', '.join(KINDS)}")
    return kinds


def compile_file(
    file: str,
    function: str | None,
    shapes: list[str],
    constants: list[str],
    target: str,
    symbol: str | None,
    donated: Sequence[str] = (),
    options: Options = Options(),
) -> Ahead:
    """One function of a file, compiled ahead of time; raises TileError."""
    from tilec import api
    from tilec.ahead import compile_ahead, target_named
    from tilec.cli.inputs import read_inputs

    device = target_named(target)
    fixed = read_inputs(constants, [], 0)
    graph, scalars, warnings = graph_of(file, function, shapes, fixed)
    return compile_ahead(
        api.mark_donated(graph, pairs(donated)), device, fixed, scalars, symbol, options, warnings
    )


def graph_of(
    file: str, function: str | None, shapes: list[str], fixed: Mapping[str, Any]
) -> tuple[Graph, dict[str, Any], Report]:
    """The Graph of a function, with `fixed` inputs as constants; numbers that are compiled in, and warnings. Raises
    TileError."""
    from tilec import api
    from tilec.cli import sources
    from tilec.cli.inputs import inputs_given_by
    from tilec.cli.shapes import signature
    from tilec.frontends.tile.elaborate import elaborate

    if file.endswith(".graph"):
        return api.mark_constants(_read_graph(file, function, shapes, fixed), fixed), {}, Report()
    given: Mapping[str, Any] = signature(shapes)
    given = {**given, **{n: api.signature_entry(n, v) for n, v in fixed.items()}}
    with inputs_given_by("--shape NAME=f32[64,64], --shape NAME=64,64 (float32) or --constant NAME=FILE.npy"):
        found = elaborate(api.parse(sources.source(file)), function, given)
    scalars = {n: given[n] for n in found.constants if n not in fixed}
    return api.mark_constants(found.graph, fixed), scalars, found.warnings


def _read_graph(file: str, function: str | None, shapes: list[str], fixed: Mapping[str, Any]) -> Graph:
    """A printed Graph, which has its types already; raises TileError."""
    from tilec import api
    from tilec.cli.shapes import signature
    from tilec.passes import infer
    from tilec.text.graph_text import parse_graph
    from tilec.verify.graph import verify

    graph = parse_graph(api.read_text(file), file)
    given = {n: api.signature_entry(n, v) for n, v in fixed.items()}
    api.check_graph_call(graph, function, {**signature(shapes), **given})
    api.check_constants(graph, fixed)
    verify(graph)
    return infer.run(graph)


def pairs(donated: Sequence[str]) -> dict[str, str]:
    """`NAME=RESULT` as a mapping; raises TileError TILE0704."""
    from tilec.errors import error

    pairs = dict(text.partition("=")[::2] for text in donated)
    if len(pairs) != len(donated) or not all(pairs.values()):
        help = "write it as --donate W=W_new, once per input"
        raise error("TILE0704", f"bad --donate {' '.join(donated)!r}", help=help)
    return pairs


def make(made: Ahead, kind: str) -> bytes:
    """The bytes of one kind of output."""
    from tilec.c_header import header
    from tilec.text.graph_text import print_graph
    from tilec.text.loops_text import print_program

    texts: dict[str, Callable[[], str]] = {
        "graph": lambda: print_graph(made.graph),
        "loops": lambda: print_program(made.program),
        "llvm": lambda: made.module.text,
        "asm": made.assembly,
        "header": lambda: header(made),
    }
    if kind in texts:
        return texts[kind]().encode()
    return made.object_file() if kind == "obj" else library(made)


def _path(made: Ahead, kind: str, output: str | None, count: int) -> Path | None:
    """Where an output goes; None for standard output.

    With several kinds, `-o` gives the name that each gets its own suffix to. Without it, a single text is shown, and
    everything else is named after the function.
    """
    if output == "-" or (output is None and count == 1 and kind not in _BINARY):
        return None
    suffix = _library_suffix() if kind == "lib" else _SUFFIXES[kind]
    if output is None:
        prefix = "lib" if kind == "lib" and os.name == "posix" else ""
        return Path(f"{prefix}{made.symbol}{suffix}")
    path = Path(output)
    if kind == "lib" and not path.suffix and not path.is_dir():
        path = path.with_name(path.name + suffix) if path.name else path  # what loads libraries wants one
    return path.with_suffix(suffix) if count > 1 and path.name else path  # a directory is refused when it is written


def _library_suffix() -> str:
    return {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")


def library(made: Ahead) -> bytes:
    """A shared library, linked by this system's C compiler; raises TileError TILE0709."""
    from tilec.ahead import target_named
    from tilec.errors import error

    if made.target.device != target_named("host").device:
        raise error(
            "TILE0709",
            f"a library for {made.target.device} cannot be linked here",
            help="emit obj and header, and link them with the other system's compiler",
        )
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "code.o"), Path(directory, "library")
        source.write_bytes(made.object_file())
        run = [*c_compiler(), "-shared", "-o", str(target), str(source)]
        try:
            done = subprocess.run(run, capture_output=True, text=True, errors="replace", check=False)
        except OSError as reason:  # not a program of this system
            raise error("TILE0709", f"the C compiler {run[0]!r} does not start: {reason.strerror}") from None
        if done.returncode:
            notes = done.stderr.splitlines()[:5]
            raise error("TILE0709", f"the C compiler failed: {shlex.join(run[:1])}", notes=notes)
        return target.read_bytes()


def c_compiler() -> list[str]:
    """The command of a C compiler: that of the variable CC, or the first one found; raises TileError TILE0709."""
    from tilec.errors import error

    try:
        chosen = shlex.split(os.environ.get("CC", ""))
    except ValueError as reason:
        raise error("TILE0709", f"the variable CC is no command: {reason}") from None
    for words in [chosen] if chosen else [["cc"], ["gcc"], ["clang"]]:
        if found := shutil.which(words[0]):
            return [found, *words[1:]]
    raise error(
        "TILE0709",
        "there is no C compiler to link a library with",
        notes=[f"looked for: {chosen[0] if chosen else 'cc, gcc, clang'}"],
        help="install one, set CC, or emit obj and link it yourself",
    )
