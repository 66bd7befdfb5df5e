"""Floor 5: ahead of time: a Graph as LLVM text, assembly or an object file that C programs can link."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tilec import pipeline
from tilec.backend import Array
from tilec.backends.llvm import jit
from tilec.backends.llvm.c_checks import CArgument
from tilec.backends.llvm.c_interface import BY_VALUE, CModule, c_module
from tilec.backends.llvm.target import host, named, triple_of
from tilec.errors import Diagnostic, Report, error
from tilec.graph import Graph, TensorType
from tilec.loops import HostCall, Program, all_steps
from tilec.memory_limit import budgeted, check_budget, within_limit
from tilec.options import Options
from tilec.pins import pins_of
from tilec.runtime import argument
from tilec.target import Target
from tilec.tune.chooser import chooser

# Processors that code can be made for anywhere: C compilers' names and those of `backends.llvm.target`.
PROCESSORS = {"x86-64": "sse2", "x86-64-v3": "avx2", "x86-64-v4": "avx512", "aarch64": "neon"}

# Keywords of C and C++, what the header's own includes define, and what compilers predefine.
_WORDS = (
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept const consteval"
    " constexpr constinit const_cast continue decltype default delete do double dynamic_cast else enum explicit export"
    " extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator"
    " or or_eq private protected public register reinterpret_cast requires restrict return short signed sizeof static"
    " static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename typeof"
    " union unsigned using virtual void volatile while xor xor_eq workspace NULL EOF offsetof linux unix"
)
_C_WORDS = frozenset(_WORDS.split())
_C_FORMS = re.compile(r"\w+_t|\w+_(MIN|MAX)|U?INT\w*_C|TILEC_(STATUS|OK|NULL|MISALIGNED|OVERLAP|FAILED|SIZE)")


def target_named(name: str) -> Target:
    """A target to make objects for: `host`, `auto`, `llvm` or `llvm:host`, or a processor; raises TILE0508, TILE0509.

    Its code runs parallel loops in the calling thread; its device is an LLVM triple.
    """
    short = name.removeprefix("llvm:")
    if short in PROCESSORS:
        return named(PROCESSORS[short])
    if short not in ("auto", "llvm", "host"):
        known = ", ".join(["llvm:host", *PROCESSORS])
        raise error("TILE0508", f"objects cannot be made for target {name!r}", help=f"known: {known}")
    try:
        found = host()
    except (RuntimeError, OSError) as reason:
        raise error("TILE0509", f"target 'llvm' is not available on this machine: {reason}") from None
    return replace(found, device=triple_of(found), threads=1)


@dataclass(frozen=True)
class Ahead:
    """A function made ready for C. `fixed` are arguments whose values are compiled in; they are no C arguments.

    sizes: names of the open sizes, in C; they come before the arguments. limit: bytes that temporary tensors may take,
    where that depends on open sizes.
    """

    graph: Graph
    program: Program
    target: Target
    symbol: str
    arguments: tuple[CArgument, ...]
    names: tuple[str, ...]  # of the arguments, in C
    constants: Mapping[str, Array]
    fixed: Mapping[str, int | float]
    warnings: tuple[Diagnostic, ...] = ()
    sizes: tuple[str, ...] = ()
    limit: int | None = None

    @cached_property
    def module(self) -> CModule:
        """Raises TILE0210 where an open size is divided."""
        return c_module(self.program, self.target, self.symbol, self.arguments, self.constants, self.limit)

    def assembly(self) -> str:
        return jit.assembly(self.module.text, self.target)

    def object_file(self) -> bytes:
        """A position-independent object that imports no symbol."""
        return jit.object_code(self.module.text, self.target)


def compile_ahead(
    graph: Graph,
    target: Target,
    constants: Mapping[str, Any],
    fixed: Mapping[str, int | float],
    symbol: str | None = None,
    options: Options = Options(),
    report: Report | None = None,
) -> Ahead:
    """Runs all passes. Constants are parameters with a digest, `constants` their values. Raises TileError.

    Schedules are those recorded for this machine with one thread, where the code is for it.

    A limit of memory holds for the workspace, scratch of the code itself apart; with open sizes the function refuses
    those that would need more.
    """
    report = report if report is not None else Report()
    options = budgeted(graph, target, options)
    pins = pins_of(graph, options.schedules, report)
    guide = pipeline.Guide(pins, report, chooser(target, options.tune) or pipeline.by_rule)
    graph = within_limit(pipeline.optimise(graph, report=report, options=options), target, options, report, guide)
    program = pipeline.lower_graph(graph, target, options, guide=guide)
    check_budget(program, options)
    _refuse_hosts(program)
    arrays = {p.name: argument(p.name, constants[p.name], p.type) for p in graph.params if p.digest is not None}
    arguments = _arguments(graph, program, fixed)
    names = _c_names((*(a.buffer for a in arguments), *program.sizes))
    return Ahead(
        graph,
        program,
        target,
        _symbol(symbol, graph.name),
        arguments,
        names[: len(arguments)],
        arrays,
        fixed,
        tuple(report.warnings()),
        names[len(arguments) :],
        options.memory_limit if program.sizes else None,
    )


def _arguments(graph: Graph, program: Program, fixed: Mapping[str, int | float]) -> tuple[CArgument, ...]:
    inputs = [p for p in graph.params if p.digest is None and p.name not in fixed]
    types, donated = graph.types(), {param for param, _ in graph.aliases}
    return (
        *(
            CArgument(p.name, p.type.dtype, p.type.shape, donated=True)
            if p.name in donated
            else CArgument(p.name, p.type.dtype, p.type.shape, by_value=_by_value(p.type))
            for p in inputs
        ),
        *(
            CArgument(buffer, types[name].dtype, types[name].shape, output=True)
            for name, buffer in zip(graph.results, program.results, strict=True)
            if buffer not in donated
        ),
    )


def _by_value(type: TensorType) -> bool:
    """Python numbers among the arguments become C numbers."""
    return type.weak and not type.shape and type.dtype.name in BY_VALUE


def _refuse_hosts(program: Program) -> None:
    """Raises TILE0513 for a program that calls NumPy."""
    for step in all_steps(program.steps):
        if isinstance(step, HostCall):
            text = f"{program.name!r} calls the host function '{step.function}', which C cannot"
            raise error("TILE0513", text, step.span, notes=["it is a function of NumPy, which Python runs"])


def _symbol(given: str | None, name: str) -> str:
    if given is None:
        return f"tilec_{_c_name(name)}"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,200}", given) or _is_taken(given):
        raise error("TILE0704", f"{given!r} is not the name of a C function")
    return given


def _c_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _is_taken(name: str) -> bool:
    """Whether C, C++ or the header itself gives the name a meaning."""
    return name in _C_WORDS or _C_FORMS.fullmatch(name) is not None


def _c_names(names: Iterable[str]) -> tuple[str, ...]:
    """Different identifiers for different names: a prime becomes `_`, reserved words get one."""
    found: list[str] = []
    for name in names:
        candidate = _c_name(name)
        while candidate in found or _is_taken(candidate) or candidate[:1].isdigit():
            candidate = f"{candidate}_" if not candidate[:1].isdigit() else f"_{candidate}"
        found.append(candidate)
    return tuple(found)
