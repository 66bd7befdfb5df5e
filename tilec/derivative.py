"""Floor 5: derivatives of programs as functions: what is differentiated, and its derivative for each signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from tilec.api import ProgramLike, compile_for, parse_text, signature_entry, source_of
from tilec.configuration import config
from tilec.errors import Source, Span, TileError, error
from tilec.executable import Executable
from tilec.frontends.tile.syntax import Program as TileProgram
from tilec.graph import Graph, TensorType
from tilec.options import Options
from tilec.passes import cse, dce, fold, infer, inline, recompute, simplify
from tilec.rules import weak_dtype
from tilec.runtime import as_array, bind
from tilec.signatures import Signatures
from tilec.target import Target

Entry: TypeAlias = TensorType | int | float
Variables: TypeAlias = str | Sequence[str] | None

_READABLE = 64  # elements of a constant that is worked out where people read it


@dataclass(frozen=True, slots=True)
class Subject:
    """A function of a program: what is differentiated."""

    program: TileProgram | Graph
    function: str | None

    def name(self) -> str:
        """Name of the function; one without is shown as `function`."""
        if isinstance(self.program, Graph):
            return self.program.name
        from tilec.frontends.tile.names import choose

        chosen = choose(self.program, self.function).name
        return chosen.text if chosen else "function"

    def names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        if isinstance(self.program, Graph):
            return tuple(p.name for p in self.program.params)
        from tilec.frontends.tile.names import choose

        return tuple(i.name.text for i in choose(self.program, self.function).inputs)

    @contextmanager
    def located(self) -> Iterator[None]:
        """Errors that have no place are about the function, or about the input or output that they name."""
        try:
            yield
        except TileError as problem:
            raise TileError([replace(d, span=d.span or self._place(d.message)) for d in problem.diagnostics]) from None

    def _place(self, message: str) -> Span | None:
        if isinstance(self.program, Graph):
            return None
        from tilec.frontends.tile.names import choose

        function = choose(self.program, self.function)
        idents = (*(i.name for i in function.inputs), *(o.name for o in function.outputs))
        named = (ident.span for ident in idents if f"'{ident.text}'" in message)
        return next(named, function.name.span if function.name else function.span)

    def graph(self, signature: Mapping[str, Entry]) -> tuple[Graph, frozenset[str]]:
        """The typed Graph for these inputs, and the numbers that became constants of it; raises TileError."""
        if isinstance(self.program, Graph):
            return infer.run(self.program), frozenset()
        from tilec.frontends.tile.elaborate import elaborate

        found = elaborate(self.program, self.function, signature)
        return found.graph, found.constants


def subject(program: ProgramLike, function: str | None) -> Subject:
    """A program in any form, read; raises TileError."""
    if isinstance(program, str | Path | Source):
        source = source_of(program)
        program = parse_text(source.text, source.name)
    if not isinstance(program, TileProgram | Graph):
        kind = type(program).__name__
        help = "tilec.trace(f)(*arguments) is the Graph of a Python function f" if callable(program) else None
        raise error("TILE0511", f"a program is text, a path, a parsed program or a Graph, not a {kind}", help=help)
    return Subject(program, function)


def listed(wrt: str | Sequence[str]) -> tuple[str, ...]:
    """One name, or names, as a tuple; raises TILE0511 for anything else, and for a name that is there twice."""
    names = (wrt,) if isinstance(wrt, str) or not isinstance(wrt, Iterable) else tuple(wrt)
    if strange := [name for name in names if not isinstance(name, str)]:
        raise error("TILE0511", f"inputs are chosen by name, not by {strange[0]!r}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise error("TILE0511", f"input '{twice[0]}' is chosen twice", help="it has one derivative: name it once")
    return names


def variables(graph: Graph, wrt: Variables) -> tuple[str, ...]:
    """The parameters to differentiate by: those asked for, or all floats."""
    return tuple(p.name for p in graph.params if p.type.dtype.is_float) if wrt is None else listed(wrt)


def simplest(graph: Graph, constants: fold.Options | None = None) -> Graph:
    """A derivative's Graph without what differentiation wrote down and nothing needs."""
    folded = fold.run(simplify.run(inline.run(graph)), constants or fold.Options())
    return dce.run(cse.run(simplify.run(folded)))


def written_out(graph: Graph) -> Graph:
    """A derivative for people to read: what would be computed again, to save memory, is there once."""
    return simplest(recompute.run(graph), fold.Options(elements=_READABLE))


@dataclass(slots=True, repr=False)
class Derivative:
    """What `grad`, `value_and_grad`, `jvp` and `hvp` return. Call it with arrays, by position or name.

    A signature is compiled once; numbers that reach a size or an index once per value. Safe to call from any threads.
    """

    _subject: Subject
    _names: tuple[str, ...]
    _transform: Callable[[Graph], Graph]
    _arrange: Callable[[Executable, Sequence[Any]], Any]
    _target: str | Target
    _options: Options
    _known: Signatures[Executable] = field(default_factory=lambda: Signatures("derivative"))

    def __repr__(self) -> str:
        return f"<tilec derivative of {self._subject.name()}({', '.join(self._names)})>"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Computes the derivative; raises TileError."""
        values = [_readable(n, v) for n, v in zip(self._names, bind(self._names, args, kwargs), strict=True)]
        found = self._compiled(dict(zip(self._names, values)))
        return self._arrange(found, found.run_values(values))

    def compile(self, /, **shapes_or_examples: Any) -> Executable:
        """The Executable for these inputs, given as to `tilec.compile`."""
        return self._compiled(dict(zip(self._names, bind(self._names, (), shapes_or_examples), strict=True)))

    def graph(self, /, **shapes_or_examples: Any) -> Graph:
        """The derivative's Graph for these inputs, given as to `tilec.compile`."""
        return self._derived({n: signature_entry(n, v) for n, v in shapes_or_examples.items()})[0]

    def _derived(self, signature: Mapping[str, Entry]) -> tuple[Graph, frozenset[str]]:
        """The derivative's Graph, and the numbers that became constants of it."""
        graph, constants = self._subject.graph(signature)
        with self._subject.located():
            return simplest(self._transform(graph)), constants

    def _compiled(self, arguments: Mapping[str, Any]) -> Executable:
        signature = {n: signature_entry(n, v) for n, v in arguments.items()}
        key = (tuple(map(_kind, signature.values())), config.decisive())
        values = tuple(None if isinstance(v, TensorType) else v for v in signature.values())

        def work() -> tuple[Executable, list[int]]:
            own = self._subject.names()
            graph, constants = self._derived({n: v for n, v in signature.items() if n in own})
            given = {n: v for n, v in arguments.items() if n not in constants and not isinstance(v, int | float)}
            found = compile_for(graph, self._target, None, given, None, self._options)
            return found, [i for i, n in enumerate(signature) if n in constants]

        return self._known.find(key, values) or self._known.make(key, work, values=values)


def _kind(entry: Entry) -> Any:
    """What decides the code: a type, or that of a number."""
    return entry if isinstance(entry, TensorType) else (type(entry), weak_dtype(entry))


def _readable(name: str, value: Any) -> Any:
    return value if isinstance(value, bool | int | float) else as_array(name, value)
