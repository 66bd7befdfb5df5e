"""Floor 5: `parse`, `compile`, `run`: from text to an Executable."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tilec.affine import Poly, Size, named_size
from tilec.artifacts.cached import Request, cached
from tilec.backend import Array
from tilec.devices import resolve_target
from tilec.dtypes import BY_NAME, F32
from tilec.errors import Report, Source, error
from tilec.executable import Executable
from tilec.files import path_name, read_file
from tilec.frames import roomy
from tilec.frontends.tile.syntax import Program as TileProgram
from tilec.graph import Graph, Param, TensorType
from tilec.options import Options, Watcher, ignore, schedules_of
from tilec.resident import Buffer
from tilec.runtime import argument, as_array, dense, describe, type_of
from tilec.schedule import parse_file as parse_schedules
from tilec.settings import MAX_TUNE
from tilec.target import Target

_SIZE = re.compile(r"[0-9]{1,19}\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")

ProgramLike: TypeAlias = str | Path | Source | TileProgram | Graph


def parse(program: str | Path | Source) -> TileProgram:
    """Parses Tile text, or the file that a path names; raises TileError.

    A string with a brace or a line break, and a blank one, is text; any other string is a path.
    """
    source = source_of(program)
    return parse_text(source.text, source.name)


def parse_file(path: str | Path) -> TileProgram:
    """Parses a .tile file; raises TileError."""
    return parse_text(read_text(path), path_name(path))


def parse_text(text: str, name: str) -> TileProgram:
    """Parses Tile text; `name` is shown in diagnostics. Raises TileError."""
    from tilec.frontends.tile.parser import parse

    return parse(text, name)


def source_of(program: str | Path | Source) -> Source:
    """The text that a program stands for, read from a file where it is a path; raises TileError."""
    if isinstance(program, Source):
        return program
    if isinstance(program, str) and ("{" in program or "\n" in program or not program.strip()):
        return Source("<string>", program)
    if not isinstance(program, str | os.PathLike):
        raise error("TILE0511", f"a program is text, a path, a parsed program or a Graph, not {_kind(program)}")
    return Source(path_name(program), read_text(program))


def read_text(path: str | Path) -> str:
    """Text of a UTF-8 file; raises TileError TILE0006, TILE0701."""
    name = path_name(path)
    help = "the text of a program begins with 'function'" if ";" in name or "=" in name else None
    data = read_file(name, help)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        from tilec.frontends.tile.parser import decode

        return decode(data, name)  # which says where it is wrong


def compile(
    program: ProgramLike,
    /,
    target: str | Target = "auto",
    constants: Mapping[str, Any] | None = None,
    *,
    donate: Mapping[str, str] | None = None,
    function: str | None = None,
    options: Options = Options(),
    watch: Watcher = ignore,
    tune: float | str | None = None,
    schedules: Mapping[str, str] | str | Path | None = None,
    budget: int | None = None,
    **shapes_or_examples: Any,
) -> Executable:
    """Compiles one function for given argument types.

    program: Tile text, a path, a parsed program or a Graph. function: which one, where there are several.
    shapes_or_examples: per input an array (its type is taken), a shape (float32), a type such as "f32[64, 64]", a
    TensorType, or a number. constants: inputs whose values are compiled in. donate: from inputs to results of the same
    type: a call overwrites the array passed as the input with the result, and returns it. tune: seconds to look for
    faster schedules; 0 for the default ones; without it, as the setting says. schedules: those of kernels, by a tensor
    that they compute, or a file of them. budget: bytes that a call may take altogether (`Options`).
    Raises TileError.
    """
    options = with_schedules(options, tune, schedules, budget)
    return compile_for(program, target, function, shapes_or_examples, constants, options, watch, donate)


@roomy
def compile_for(
    program: ProgramLike,
    target: str | Target,
    function: str | None,
    arguments: Mapping[str, Any],
    constants: Mapping[str, Any] | None = None,
    options: Options = Options(),
    watch: Watcher = ignore,
    donate: Mapping[str, str] | None = None,
) -> Executable:
    """As `compile`, with shapes or examples in a mapping."""
    _check_call(function, arguments, constants, donate)
    if not isinstance(options, Options):
        raise error("TILE0511", f"options are an Options object, not {_kind(options)}")
    check_options(options)
    fixed = {name: _constant(name, value) for name, value in (constants or {}).items()}
    if both := [name for name in arguments if name in fixed]:
        raise error("TILE0502", f"input {both[0]!r} is given twice: as a constant and as an argument")
    signature = {name: signature_entry(name, v) for name, v in {**arguments, **fixed}.items()}
    work = _Work(resolve_target(target), fixed, options, watch, dict(donate or {}))
    if isinstance(program, Graph):
        from tilec.verify.graph import verify

        verify(program)  # it need not come from one of our own frontends
        _check_results(program)
        check_graph_call(program, function, signature)
        check_constants(program, fixed)
        return _from_graph(mark_donated(mark_constants(program, fixed), work.donate), work)
    if isinstance(program, TileProgram):
        return _from_tile(program, function, signature, work)
    source = source_of(program)

    def compile_source() -> Executable:
        parsed = parse_text(source.text, source.name)
        return _from_tile(parsed, function, signature, replace(work, kept=False))

    if watch is not ignore:
        return compile_source()
    remarks = (repr(sorted(work.donate.items())),)
    request = Request("tile", source.text, work.device, options, function, signature, fixed, remarks)
    return cached(request, compile_source, source)


@dataclass(frozen=True, slots=True)
class _Work:
    """What is asked for, apart from the program; `kept`: look among kept programs first."""

    device: Target
    constants: Mapping[str, Any]
    options: Options
    watch: Watcher
    donate: Mapping[str, str]
    kept: bool = True


def _from_tile(
    program: TileProgram, function: str | None, signature: Mapping[str, TensorType | int | float], work: _Work
) -> Executable:
    from tilec.frontends.tile.elaborate import elaborate

    found = elaborate(program, function, signature)
    scalars = {n: signature[n] for n in found.constants if n not in work.constants}
    graph = mark_donated(mark_constants(found.graph, work.constants), work.donate)
    return _from_graph(graph, work, scalars, found.warnings)


def _from_graph(
    graph: Graph, work: _Work, scalars: Mapping[str, Any] | None = None, report: Report | None = None
) -> Executable:
    def compile_graph() -> Executable:
        from tilec.build import compile_graph

        return compile_graph(graph, work.device, work.constants, work.options, work.watch, scalars, report)

    if not work.kept or work.watch is not ignore:
        return compile_graph()
    from tilec.text.graph_text import print_graph

    remarks = (repr(sorted((scalars or {}).items())), *(w.render() for w in (report or Report()).warnings()))
    text = print_graph(graph)
    return cached(Request("graph", text, work.device, work.options, None, {}, work.constants, remarks), compile_graph)


def run(
    program: ProgramLike,
    inputs: Mapping[str, Any],
    function: str | None = None,
    target: str | Target = "auto",
    *,
    options: Options = Options(),
    tune: float | str | None = None,
    schedules: Mapping[str, str] | str | Path | None = None,
    budget: int | None = None,
) -> dict[str, Array]:
    """Compiles for the given inputs and runs once: result arrays by name. Raises TileError.

    options, tune, schedules, budget: as for `compile`.
    """
    _check_call(function, inputs, None)
    arrays = {n: v if isinstance(v, bool | int | float) else as_array(n, v) for n, v in inputs.items()}
    options = with_schedules(options, tune, schedules, budget)
    executable = compile_for(program, target, function, arrays, options=options)
    return dict(zip(executable.results, executable.run((), arrays)))


def _check_call(function: Any, arguments: Any, constants: Any, donate: Any = None) -> None:
    """Raises TILE0511 for what only an untyped caller gets wrong."""
    if function is not None and not isinstance(function, str):
        raise error("TILE0511", f"the name of a function is a string, not {_kind(function)}")
    for mapping in (arguments, {} if constants is None else constants, {} if donate is None else donate):
        if not isinstance(mapping, Mapping):
            raise error("TILE0511", f"arguments are given as a mapping from name to value, not {_kind(mapping)}")
        if wrong := [name for name in mapping if not isinstance(name, str)]:
            raise error("TILE0511", f"the name of an argument is a string, not {_kind(wrong[0])}")
    if wrong := [name for name in (donate or {}).values() if not isinstance(name, str)]:
        raise error("TILE0511", f"the name of a result is a string, not {_kind(wrong[0])}")


def check_graph_call(graph: Graph, function: str | None, signature: Mapping[str, TensorType | int | float]) -> None:
    """What is said of a Graph's inputs must agree with it; raises TILE0110, TILE0502, TILE0503, TILE0504."""
    if function not in (None, graph.name):
        raise error("TILE0110", f"the Graph is called {graph.name!r}, not {function!r}")
    types = {p.name: p.type for p in graph.params}
    for name, given in signature.items():
        if name not in types:
            raise error("TILE0502", f"the Graph has no input {name!r}", notes=[f"inputs: {', '.join(types)}"])
        if isinstance(given, TensorType) and (given.dtype, given.shape) != (types[name].dtype, types[name].shape):
            code = "TILE0504" if given.dtype == types[name].dtype else "TILE0503"
            raise error(code, f"input {name!r} of the Graph is {describe(types[name])}, not {describe(given)}")


def _check_results(graph: Graph) -> None:
    """Results of an executable have different names; raises TILE0602."""
    if twice := [r for k, r in enumerate(graph.results) if r in graph.results[:k]]:
        help = f"name a copy of it: other = ident({twice[0]})"
        raise error("TILE0602", f"the Graph {graph.name!r} has the result {twice[0]!r} twice", help=help)


def check_constants(graph: Graph, given: Mapping[str, Any]) -> None:
    """Every constant of a Graph must have its value; raises TILE0501."""
    if missing := [p.name for p in graph.params if p.digest is not None and p.name not in given]:
        notes = ["a Graph holds no arrays: it names those that a Python function took from outside"]
        help = "give them in constants=, or compile the function itself: tilec.jit(f).lower(...).compile()"
        raise error("TILE0501", f"the constant {missing[0]!r} of the Graph is not given", notes=notes, help=help)


def _kind(value: Any) -> str:
    return f"an object of type {type(value).__name__}"


def signature_entry(name: str, value: Any) -> TensorType | int | float:
    """What `value` says of an input: a type, or a Python number. Raises TileError TILE0505."""
    if isinstance(value, TensorType):
        return value
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return parse_type(name, value)
    if isinstance(value, tuple | list):
        return TensorType(F32, tuple(_size(name, s) for s in value))
    if isinstance(value, Buffer):
        return value.type
    array = as_array(name, value)
    found = type_of(array)
    if found is None:
        raise error("TILE0503", f"argument {name!r} has dtype {array.dtype}, which tilec does not have")
    return found


def _size(name: str, value: Any) -> Size:
    if isinstance(value, Poly):
        return value
    if isinstance(value, str) and _NAME.match(value):
        return named_size(value)
    if not isinstance(value, int | np.integer):
        help = "a tuple is a shape; pass data as a NumPy array, and a type as text such as 'f32[64, 64]'"
        raise error("TILE0505", f"argument {name!r} is a shape, but {value!r} is no size", help=help)
    return int(value)


def parse_type(name: str, text: str) -> TensorType:
    """`f32[64, 64]` as a TensorType, `f32[N, 64]` as one with an open size; raises TileError TILE0303 or TILE0704."""
    head, bracket, tail = text.partition("[")
    dtype = BY_NAME.get(head.strip())
    if dtype is None:
        help = f"input {name!r} is described by a type such as f32[64, 64]; known: {', '.join(BY_NAME)}"
        raise error("TILE0303", f"unknown type name {head.strip()!r} for {name!r}", help=help)
    body = tail.strip().removesuffix("]").strip()
    sizes = [s.strip() for s in body.split(",")] if body else []
    if (bracket and not tail.strip().endswith("]")) or not all(_SIZE.match(s) or _NAME.match(s) for s in sizes):
        raise error("TILE0704", f"bad type {text!r} for {name!r}", help="write it like f32[64, 64] or f32[N, 64]")
    return TensorType(dtype, tuple(int(s) if _SIZE.match(s) else named_size(s) for s in sizes))


def _constant(name: str, value: Any) -> Any:
    """A number, or a copy: what the caller does to the array later must not reach compiled code.

    A NumPy integer counts as a number, so that it may shape the code.
    """
    if isinstance(value, np.integer):
        return int(value)
    return value if isinstance(value, bool | int | float) else dense(as_array(name, value)).copy()


def mark_constants(graph: Graph, constants: Mapping[str, Any]) -> Graph:
    """The Graph with the named parameters turned into constants, known by the digest of their type and content."""

    def mark(param: Param) -> Param:
        if param.name not in constants:
            return param
        array = argument(param.name, constants[param.name], param.type)
        head = f"{param.type.dtype}{list(array.shape)}".encode()
        return replace(param, digest=hashlib.sha256(head + array.tobytes()).hexdigest())

    return replace(graph, params=tuple(map(mark, graph.params))) if constants else graph


def mark_donated(graph: Graph, donate: Mapping[str, str]) -> Graph:
    """The Graph with results that overwrite parameters, beside those that do so already; raises TILE0512."""
    merged = {**dict(graph.aliases), **donate}
    if not merged:
        return graph
    from tilec.donation import check_donation
    from tilec.evaluate.graph import typed

    types = typed(graph).types()
    free = {p.name: p.type for p in graph.params if p.digest is None}
    if fixed := [p.name for p in graph.params if p.digest is not None and p.name in merged]:
        text = f"{fixed[0]!r} cannot be donated to {merged[fixed[0]]!r}: its value is compiled in"
        raise error("TILE0512", text, help="what is a constant has no memory to give away")
    check_donation(merged, free, {r: types[r] for r in graph.results})
    return replace(graph, aliases=tuple(merged.items())) if donate else graph


def with_schedules(
    options: Options,
    tune: float | str | None,
    schedules: Mapping[str, str] | str | Path | None,
    budget: int | None = None,
) -> Options:
    """The options with what `tune`, `schedules` and `budget` say; raises TILE0511, TILE0603, TILE0701."""
    if not isinstance(options, Options):
        return options  # which is told elsewhere
    if budget is not None:
        options = replace(options, budget=budget)
    if tune is not None:
        options = replace(options, tune=tune)
    if schedules is None:
        return options
    if isinstance(schedules, str | os.PathLike):
        found = parse_schedules(read_text(schedules), path_name(schedules))
    else:
        found = schedules_of(schedules)
    return replace(options, schedules=(*options.schedules, *found))


def check_options(options: Options) -> None:
    """Raises TILE0511 for a memory budget that is none, a time that is none."""
    tune = options.tune
    is_number = isinstance(tune, int | float) and not isinstance(tune, bool)
    if tune not in (None, "records") and not (is_number and 0 <= float(tune or 0) <= MAX_TUNE):
        raise error("TILE0511", f"tune is a number of seconds up to {MAX_TUNE:,.0f}, or 'records', not {tune!r}")
    if options.remat not in ("none", "auto"):
        raise error("TILE0511", f"remat is 'none' or 'auto', not {options.remat!r}")
    limit = options.memory_limit
    if options.budget is not None and (limit is not None or options.remat != "none"):
        raise error("TILE0511", "a budget says all of memory_limit and remat", help="give one or the other")
    for name, value in (("budget", options.budget), ("memory_limit", limit)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63):
            raise error("TILE0511", f"{name} is a number of bytes, not {value!r}")
    if limit is None and options.remat == "auto":
        raise error("TILE0511", "remat='auto' needs a budget", help="Options(remat='auto', memory_limit=BYTES)")
