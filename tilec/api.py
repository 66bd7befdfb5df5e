"""Floor 5: `parse`, `compile`, `run`: from text to an Executable."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tilec import pipeline
from tilec.backend import Array, Built
from tilec.dtypes import BY_NAME, F32
from tilec.errors import Report, error
from tilec.evaluate_graph import evaluate
from tilec.executable import Executable, no_memory
from tilec.frontends.tile.elaborate import elaborate
from tilec.frontends.tile.parser import decode
from tilec.frontends.tile.parser import parse as parse_text
from tilec.frontends.tile.syntax import Program as TileProgram
from tilec.graph import Graph, Param, TensorType
from tilec.pipeline import Options, Watcher
from tilec.runtime import argument, as_array, dense, describe, type_of
from tilec.target import Target
from tilec.verify_graph import verify

_SIZE = re.compile(r"[0-9]{1,19}\Z")

ProgramLike: TypeAlias = str | Path | TileProgram | Graph


def parse(program: str | Path) -> TileProgram:
    """Parses Tile text, or the file that a path names; raises TileError.

    A string with a brace or a line break, and a blank one, is text; any other string is a path.
    """
    if isinstance(program, str) and ("{" in program or "\n" in program or not program.strip()):
        return parse_text(program)
    if not isinstance(program, str | os.PathLike):
        raise error("TILE0511", f"a program is text, a path, a parsed program or a Graph, not {_kind(program)}")
    return parse_file(program)


def parse_file(path: str | Path) -> TileProgram:
    """Parses a .tile file; raises TileError."""
    return parse_text(read_text(path), os.fspath(path))


def read_text(path: str | Path) -> str:
    """Text of a UTF-8 file; raises TileError TILE0006, TILE0701."""
    name = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as reason:
        raise error("TILE0701", f"cannot read {name!r}: {getattr(reason, 'strerror', None) or reason}") from None
    return decode(data, name)


def compile(
    program: ProgramLike,
    /,
    target: str | Target = "auto",
    constants: Mapping[str, Any] | None = None,
    *,
    function: str | None = None,
    options: Options = Options(),
    watch: Watcher = pipeline.ignore,
    **shapes_or_examples: Any,
) -> Executable:
    """Compiles one function for given argument types.

    program: Tile text, a path, a parsed program or a Graph. function: which one, where there are several.
    shapes_or_examples: per input an array (its type is taken), a shape (float32), a type such as "f32[64, 64]", a
    TensorType, or a number. constants: inputs whose values are compiled in. Raises TileError.
    """
    return compile_for(program, target, function, shapes_or_examples, constants, options, watch)


def compile_for(
    program: ProgramLike,
    target: str | Target,
    function: str | None,
    arguments: Mapping[str, Any],
    constants: Mapping[str, Any] | None = None,
    options: Options = Options(),
    watch: Watcher = pipeline.ignore,
) -> Executable:
    """As `compile`, with shapes or examples in a mapping."""
    _check_call(function, arguments, constants)
    fixed = {name: _constant(name, value) for name, value in (constants or {}).items()}
    signature = {name: signature_entry(name, v) for name, v in {**arguments, **fixed}.items()}
    if isinstance(program, Graph):
        verify(program)  # it need not come from one of our own frontends
        _check_graph_call(program, function, signature)
        return compile_graph(mark_constants(program, fixed), target, fixed, options, watch)
    found = elaborate(_program(program), function, signature)
    scalars = {n: signature[n] for n in found.constants if n not in fixed}
    graph = mark_constants(found.graph, fixed)
    return compile_graph(graph, target, fixed, options, watch, scalars, found.warnings)


def compile_graph(
    graph: Graph,
    target: str | Target,
    constants: Mapping[str, Any],
    options: Options = Options(),
    watch: Watcher = pipeline.ignore,
    scalars: Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> Executable:
    """Compiles a Graph whose constant parameters carry a digest; `constants` holds their values.

    `scalars` are arguments whose value is compiled in although they stay arguments; `report` holds earlier warnings.
    """
    device = pipeline.resolve_target(target)
    report = report if report is not None else Report()
    watch("graph", graph)
    graph = pipeline.optimise(graph, watch, report)
    warnings = tuple(report.warnings())
    arrays = {p.name: argument(p.name, constants[p.name], p.type) for p in graph.params if p.digest is not None}
    if device.backend == "reference":
        return Executable(graph, None, device, _Reference(graph, arrays), warnings, scalars)
    program = pipeline.lower_graph(graph, device, options, watch)
    try:
        built = pipeline.backend(device.backend).build(program, device, arrays)
    except MemoryError as reason:
        raise no_memory(graph.name, reason) from None
    return Executable(graph, program, device, built, warnings, scalars)


def run(
    program: ProgramLike, inputs: Mapping[str, Any], function: str | None = None, target: str | Target = "auto"
) -> dict[str, Array]:
    """Compiles for the given inputs and runs once: result arrays by name. Raises TileError."""
    _check_call(function, inputs, None)
    arrays = {n: v if isinstance(v, bool | int | float) else as_array(n, v) for n, v in inputs.items()}
    executable = compile_for(program, target, function, arrays)
    return dict(zip(executable.results, executable.run((), arrays)))


def _check_call(function: Any, arguments: Any, constants: Any) -> None:
    """Raises TILE0511 for what only an untyped caller gets wrong."""
    if function is not None and not isinstance(function, str):
        raise error("TILE0511", f"the name of a function is a string, not {_kind(function)}")
    for mapping in (arguments, {} if constants is None else constants):
        if not isinstance(mapping, Mapping):
            raise error("TILE0511", f"arguments are given as a mapping from name to value, not {_kind(mapping)}")
        if wrong := [name for name in mapping if not isinstance(name, str)]:
            raise error("TILE0511", f"the name of an argument is a string, not {_kind(wrong[0])}")


def _check_graph_call(graph: Graph, function: str | None, signature: Mapping[str, TensorType | int | float]) -> None:
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


def _kind(value: Any) -> str:
    return f"an object of type {type(value).__name__}"


def _program(program: str | Path | TileProgram) -> TileProgram:
    return program if isinstance(program, TileProgram) else parse(program)


def signature_entry(name: str, value: Any) -> TensorType | int | float:
    """What `value` says of an input: a type, or a Python number. Raises TileError TILE0505."""
    if isinstance(value, TensorType):
        return value
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return parse_type(name, value)
    if isinstance(value, tuple | list) and all(isinstance(s, int | np.integer) for s in value):
        return TensorType(F32, tuple(map(int, value)))
    array = as_array(name, value)
    found = type_of(array)
    if found is None:
        raise error("TILE0503", f"argument {name!r} has dtype {array.dtype}, which tilec does not have")
    return found


def parse_type(name: str, text: str) -> TensorType:
    """`f32[64, 64]` as a TensorType; raises TileError TILE0303 or TILE0704."""
    head, bracket, tail = text.partition("[")
    dtype = BY_NAME.get(head.strip())
    if dtype is None:
        raise error("TILE0303", f"unknown type name {head.strip()!r} for {name!r}", help=f"known: {', '.join(BY_NAME)}")
    body = tail.strip().removesuffix("]").strip()
    sizes = [s.strip() for s in body.split(",")] if body else []
    if (bracket and not tail.strip().endswith("]")) or not all(_SIZE.match(s) for s in sizes):
        raise error("TILE0704", f"bad type {text!r} for {name!r}", help="write it like f32[64, 64]")
    return TensorType(dtype, tuple(map(int, sizes)))


def _constant(name: str, value: Any) -> Any:
    """A number, or a copy: what the caller does to the array later must not reach compiled code."""
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


class _Reference(Built):
    """Target `reference`: the evaluator itself."""

    def __init__(self, graph: Graph, constants: Mapping[str, Array]) -> None:
        self._graph, self._constants = graph, constants

    def __call__(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        names = [p.name for p in self._graph.params if p.digest is None]
        values = evaluate(self._graph, {**self._constants, **dict(zip(names, params))})
        for name, array in zip(self._graph.results, results):
            array[...] = values[name]
