"""Floor 5: `tilec.op`: a Tile function called like a NumPy function, compiled for each signature that it meets.

A signature is what decides the code: dtype and shape of every array, the type of every number, the value of numbers
that reach a size or an index, and the settings in force. Executables are kept by signature for the life of the op.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, TypeAlias, overload

import numpy as np

from tilec.affine import Size
from tilec.api import compile_for, parse_text, signature_entry, source_of, with_schedules
from tilec.configuration import Changes, config
from tilec.dtypes import I32, I64, DType, from_numpy
from tilec.errors import Source, error
from tilec.executable import Executable
from tilec.graph import TensorType
from tilec.options import Options
from tilec.resident import Buffer
from tilec.runtime import as_array, bind, describe
from tilec.shortcuts import Shortcuts, shortcut
from tilec.signatures import Signatures
from tilec.target import Target

# Per argument the dtype and shape of an array, or the type of a number, and whether it is an int that needs 64 bits;
# then the changed settings that decide the code.
Kind: TypeAlias = tuple[np.dtype[Any], tuple[Size, ...]] | type | DType
Key: TypeAlias = tuple[tuple[Kind, ...], tuple[Changes, Changes]]

_NUMBERS = (float, int, bool)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_HEADER = re.compile(r"\bfunction\b\s*(?:[A-Za-z_]\w*)?\s*\(([^()]*)\)")
_INPUT = re.compile(r"\s*#?([A-Za-z_]\w*'?)\s*(?:\[[^\[\]]*\])?\s*(?::\s*\w+)?\s*\Z")


class Op:
    """What `tilec.op` returns. Call it with arrays, or anything that is read as one, and with Python numbers.

    Attributes: source, the Tile text. Safe to call from any threads; a signature is compiled once.
    """

    def __init__(
        self,
        source: Source,
        function: str | None = None,
        target: str | Target = "auto",
        options: Options = Options(),
        names: tuple[str, ...] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self._text, self._function, self._target, self._options = source, function, target, options
        self._given_names, self._defaults = names, dict(defaults or {})
        self._order: list[int] | None = None  # of the program's inputs among `names`, where it is another one
        self._known: Signatures[Executable] = Signatures(function or "op")
        self._shortcuts = Shortcuts()
        self.__name__ = function or "op"

    @property
    def source(self) -> str:
        return self._text.text

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the arguments, in order; raises TileError for text that is wrong."""
        return self._given_names or input_names(self._text, self._function)

    def __call__(self, /, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        """Runs the function; one array, or a tuple of them. `out`: as for an Executable. Raises TileError."""
        if not kwargs and self._order is None:
            result = self._shortcuts.call(args, out)
            if result is not NotImplemented:
                return result
        if kwargs or len(args) != len(self.names):
            args = tuple(bind(self.names, args, self._completed(args, kwargs)))
        kinds: list[Kind] = []
        for i, value in enumerate(args):
            if type(value) is np.ndarray or type(value) is Buffer:
                kinds.append((value.dtype, value.shape))
            elif type(value) in _NUMBERS:
                kinds.append(type(value) if type(value) is not int else _int_kind(value))
            elif any(hasattr(v, "__tilec_type__") for v in args):
                return self._traced(args)
            else:
                return self(*self._arrays(args, i), out=out)
        key = (tuple(kinds), config.decisive())
        found = self._known.find(key, args)
        if found is None:
            found = self._compiled(key, args)
        arrays = found.run_values(args if self._order is None else [args[i] for i in self._order], out)
        if self._order is None:
            self._shortcuts.add(shortcut(found))
        return arrays[0] if len(arrays) == 1 else tuple(arrays)

    def compile(self, /, **shapes_or_examples: Any) -> Executable:
        """The Executable for these arguments, given as to `tilec.compile`; compiled unless it is there already."""
        given = {n: signature_entry(n, v) for n, v in {**self._defaults, **shapes_or_examples}.items()}
        entries = bind(self.names, (), given)
        key = (tuple(map(_kind, entries)), config.decisive())
        return self._known.find(key, entries) or self._compiled(key, entries)

    def signatures(self) -> list[str]:
        """The signatures compiled so far, in words, oldest first."""
        return self._known.in_words()

    def __repr__(self) -> str:
        return f"<tilec.op {self.__name__}({', '.join(self.names)}): {len(self.signatures())} signatures>"

    def _completed(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Named arguments with the defaults of those that are not given."""
        given = {*self.names[: len(args)], *kwargs}
        return {**{n: v for n, v in self._defaults.items() if n not in given}, **kwargs}

    def _arrays(self, values: Sequence[Any], start: int) -> list[Any]:
        """The arguments with foreign arrays, subclasses and NumPy's scalars read as arrays."""
        names = self.names
        return [v if i < start else _read(names[i], v) for i, v in enumerate(values)]

    def _traced(self, args: Sequence[Any]) -> Any:
        """The results on tensors of a Python function that is being traced: the function's Graph inside its own."""
        from tilec.tracing.programs import call_program

        source = Source(self._text.name, self.source)
        found = call_program(source, self._function, dict(zip(self.names, args, strict=True)))
        return found[0] if len(found) == 1 else tuple(found)

    def _compiled(self, key: Key, values: Sequence[Any]) -> Executable:
        numbers = tuple(v if isinstance(v, _NUMBERS) else None for v in values)

        def work() -> tuple[Executable, list[int]]:
            arguments = dict(zip(self.names, values, strict=True))
            found = compile_for(self._program, self._target, self._function, arguments, options=self._options)
            return found, [i for i, name in enumerate(self.names) if name in found.fixed]

        self._known.name = self.__name__
        return self._known.make(key, work, functools.partial(self._described, key, numbers), numbers)

    @property
    def _program(self) -> Any:
        """What the compiler takes: the path where there is one, for its diagnostics."""
        return self.source if self._text.name == "<string>" else Path(self._text.name)

    def _described(self, key: Key, numbers: Sequence[Any], fixed: Collection[int]) -> dict[str, str]:
        """A signature in words: type by argument, value by setting. A number's value is told where it counts."""
        kinds, (process, scope) = key
        told = {
            name: f"{_type_text(kind)} {numbers[i]}" if i in fixed and not isinstance(kind, tuple) else _type_text(kind)
            for i, (name, kind) in enumerate(zip(self.names, kinds))
        }
        return {**told, **{f"setting {n}": repr(v) for n, v in {**dict(process), **dict(scope)}.items()}}


@overload
def op(program: Callable[..., Any], /) -> Op: ...


@overload
def op(
    program: str | Path,
    /,
    function: str | None = None,
    *,
    target: str | Target = "auto",
    options: Options = Options(),
    tune: float | str | None = None,
    schedules: Mapping[str, str] | str | Path | None = None,
    budget: int | None = None,
) -> Op: ...


@overload
def op(
    *,
    function: str | None = None,
    target: str | Target = "auto",
    options: Options = Options(),
    tune: float | str | None = None,
    schedules: Mapping[str, str] | str | Path | None = None,
    budget: int | None = None,
) -> Callable[[Callable[..., Any]], Op]: ...


def op(
    program: Any = None,
    /,
    function: str | None = None,
    *,
    target: str | Target = "auto",
    options: Options = Options(),
    tune: float | str | None = None,
    schedules: Mapping[str, str] | str | Path | None = None,
    budget: int | None = None,
) -> Any:
    """Makes a Tile function callable like a NumPy function.

    program: Tile text or a path, of which `function` names one where there are several. As a decorator, `@tilec.op`, it
    takes the text from the docstring of a Python function, whose parameters are the Tile function's inputs and may have
    defaults. target, options, tune, schedules, budget: as for `tilec.compile`. Nothing is compiled before the first
    call. Raises TileError TILE0511, TILE0701.

    >>> import numpy as np, tilec
    >>> scale = tilec.op("function scale(X[N], F) -> (Y) { Y = X * F; }")
    >>> scale(np.arange(3, dtype="float32"), 2.0).tolist()
    [0.0, 2.0, 4.0]
    """
    options = with_schedules(options, tune, schedules, budget)
    if program is None:
        return lambda decorated: _decorated(decorated, function, target, options)
    if isinstance(program, FunctionType):
        return _decorated(program, function, target, options)
    found = Op(source_of(program), function, target, options)
    found.__name__ = function or _name_of(found.source) or "op"
    return found


def _decorated(python: Any, function: str | None, target: str | Target, options: Options) -> Op:
    """An Op from a Python function whose docstring is Tile text."""
    text = inspect.getdoc(python) if isinstance(python, FunctionType) else None
    if text is None:
        raise error(
            "TILE0511",
            "@tilec.op is for a Python function whose docstring is a Tile program",
            help='or call it with the text: f = tilec.op("function f(A[N]) -> (B) { B = A; }")',
        )
    parameters = inspect.signature(python).parameters.values()
    if any(p.kind not in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY) for p in parameters):
        raise error("TILE0511", f"a parameter of {python.__name__!r} cannot be an input of a Tile function")
    names = tuple(p.name for p in parameters)
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    found = Op(Source("<string>", text), function, target, options, names, defaults)
    if set(names) != set(own := input_names(found._text, function)):
        notes = [f"parameters: {', '.join(names)}", f"inputs: {', '.join(own)}"]
        raise error("TILE0511", f"{python.__name__!r} and its Tile function have different parameters", notes=notes)
    if names != own:
        found._order = [names.index(n) for n in own]
    functools.update_wrapper(found, python)
    return found


def input_names(source: Source, function: str | None) -> tuple[str, ...]:
    """Inputs of a function in order; raises TileError.

    A program of one function is read without the parser, which takes a fifth of a second to load.
    """
    headers = _HEADER.findall(text := _COMMENT.sub(" ", source.text))
    if function is None and len(headers) == 1 and text.count("function") == 1:
        inputs = [_INPUT.match(part) for part in re.sub(r"\[[^\[\]]*\]", "", headers[0]).split(",")]
        if all(inputs):
            return tuple(m[1] for m in inputs if m)
    from tilec.frontends.tile.names import choose

    chosen = choose(parse_text(source.text, source.name), function)
    return tuple(i.name.text for i in chosen.inputs)


def _read(name: str, value: Any) -> Any:
    """A plain array or a plain number; what derives from a number, as `np.float64` and `IntEnum` do, is a number."""
    if type(value) is np.ndarray or type(value) is Buffer:
        return value
    plain = next((kind for kind in (bool, int, float) if isinstance(value, kind)), None)
    return as_array(name, value) if plain is None else plain(value)


def _name_of(text: str) -> str | None:
    """The name of the one function of a program, as far as it is seen without parsing."""
    found = re.findall(r"\bfunction\s+([A-Za-z_]\w*)", _COMMENT.sub(" ", text))
    return found[0] if len(found) == 1 else None


def _kind(entry: TensorType | int | float) -> Kind:
    if isinstance(entry, TensorType):
        return entry.dtype.numpy, entry.shape
    return _int_kind(entry) if type(entry) is int else type(entry)


def _int_kind(value: int) -> Kind:
    """A number that an int32 does not hold is passed as another type."""
    return int if I32.min <= value <= I32.max else I64


def _type_text(kind: Kind) -> str:
    if isinstance(kind, type | DType):
        return kind.__name__ if isinstance(kind, type) else kind.long
    dtype = from_numpy(kind[0])
    return str(kind) if dtype is None else describe(TensorType(dtype, kind[1]))


__all__ = ["Op", "compile_for", "input_names", "op"]
