"""Floor 5: `tilec.op`: a Tile function called like a NumPy function, compiled for each signature that it meets.

A signature is what decides the code: dtype and shape of every array, the type of every number, the value of numbers
that reach a size or an index, and the settings in force. Executables are kept by signature for the life of the op.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import re
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any, TypeAlias, overload

import numpy as np

from tilec.api import compile_for, parse_text, signature_entry, source_of
from tilec.configuration import Changes, config
from tilec.dtypes import from_numpy
from tilec.errors import Source, error
from tilec.executable import Executable
from tilec.graph import TensorType
from tilec.options import Options
from tilec.runtime import as_array, bind, describe
from tilec.target import Target

_log = logging.getLogger("tilec")

LIMIT = 1024  # signatures kept by one op, and numbers by one signature; beyond it the oldest are forgotten

# Per argument the dtype and shape of an array, or the type of a number; then the changed settings that decide the code.
Kind: TypeAlias = tuple[np.dtype[Any], tuple[int, ...]] | type
Key: TypeAlias = tuple[tuple[Kind, ...], tuple[Changes, Changes]]

_NUMBERS = (float, int, bool)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_HEADER = re.compile(r"\bfunction\b\s*(?:[A-Za-z_]\w*)?\s*\(([^()]*)\)")
_INPUT = re.compile(r"\s*#?([A-Za-z_]\w*'?)\s*(?:\[[^\[\]]*\])?\s*(?::\s*\w+)?\s*\Z")


@dataclass(frozen=True, slots=True)
class _Known:
    """Executables of one Key with the numbers among their arguments: several where numbers shape the code.

    `fixed`: places of such numbers.
    """

    fixed: tuple[int, ...] = ()
    members: tuple[tuple[tuple[Any, ...], Executable], ...] = ()

    def find(self, values: Sequence[Any]) -> Executable | None:
        """The Executable for these arguments."""
        if not self.fixed:
            return self.members[0][1] if self.members else None
        return next((e for known, e in self.members if all(known[i] == values[i] for i in self.fixed)), None)

    def plus(self, values: Sequence[Any], found: Executable) -> _Known:
        """With one more; the oldest of too many are forgotten."""
        numbers = tuple(v if isinstance(v, _NUMBERS) else None for v in values)
        places = {i for i, name in enumerate(found.params) if name in found.fixed}
        return _Known(tuple(sorted({*self.fixed, *places})), (*self.members, (numbers, found))[-LIMIT:])


@dataclass(slots=True)
class _Family:
    """What is known of one Key. Calls read `known` once and without a lock, for it is replaced, never changed.

    `gate` is held while one is compiled.
    """

    known: _Known = _Known()
    gate: threading.Lock = field(default_factory=threading.Lock)


_ops: weakref.WeakSet[Op] = weakref.WeakSet()


def _after_fork() -> None:
    for op in list(_ops):
        op.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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
        self._families: dict[Key, _Family] = {}
        self._lock = threading.Lock()
        self.__name__ = function or "op"
        _ops.add(self)

    def forked(self) -> None:
        """To be called in a child process: no thread is left there that would release what another one holds."""
        self._lock = threading.Lock()
        for family in self._families.values():
            family.gate = threading.Lock()

    @property
    def source(self) -> str:
        return self._text.text

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the arguments, in order; raises TileError for text that is wrong."""
        return self._given_names or input_names(self._text, self._function)

    def __call__(self, /, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        """Runs the function; one array, or a tuple of them. `out`: as for an Executable. Raises TileError."""
        if kwargs or len(args) != len(self.names):
            args = tuple(bind(self.names, args, self._completed(args, kwargs)))
        kinds: list[Kind] = []
        for i, value in enumerate(args):
            if type(value) is np.ndarray:
                kinds.append((value.dtype, value.shape))
            elif type(value) in _NUMBERS:
                kinds.append(type(value))
            elif any(hasattr(v, "__tilec_type__") for v in args):
                return self._traced(args)
            else:
                return self(*self._arrays(args, i), out=out)
        key = (tuple(kinds), config.decisive())
        family = self._families.get(key)
        found = None if family is None else family.known.find(args)
        if found is None:
            found = self._compiled(key, args, args)
        arrays = found.run_values(args, out)
        return arrays[0] if len(arrays) == 1 else tuple(arrays)

    def compile(self, /, **shapes_or_examples: Any) -> Executable:
        """The Executable for these arguments, given as to `tilec.compile`; compiled unless it is there already."""
        given = {n: signature_entry(n, v) for n, v in {**self._defaults, **shapes_or_examples}.items()}
        entries = bind(self.names, (), given)
        key = (tuple(map(_kind, entries)), config.decisive())
        family = self._families.get(key)
        found = None if family is None else family.known.find(entries)
        return found if found is not None else self._compiled(key, entries, entries)

    def signatures(self) -> list[str]:
        """The signatures compiled so far, in words, oldest first."""
        with self._lock:
            return [in_words(self._described(*known)) for known in self._known()]

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

    def _compiled(self, key: Key, values: Sequence[Any], examples: Sequence[Any]) -> Executable:
        config.loaded()  # shows log records, where that is set
        with self._lock:
            while len(self._families) >= LIMIT and key not in self._families:
                del self._families[next(iter(self._families))]
            family = self._families.setdefault(key, _Family())
        with family.gate:
            found = family.known.find(values)
            if found is not None:
                return found
            if _log.isEnabledFor(logging.DEBUG):
                self._explain(key, values, family.known.fixed)
            arguments = dict(zip(self.names, examples, strict=True))
            found = compile_for(self._program, self._target, self._function, arguments, options=self._options)
            family.known = family.known.plus(values, found)
            return found

    @property
    def _program(self) -> Any:
        """What the compiler takes: the path where there is one, for its diagnostics."""
        return self.source if self._text.name == "<string>" else Path(self._text.name)

    # why something is compiled

    def _explain(self, key: Key, values: Sequence[Any], own: Collection[int]) -> None:
        """Says how the new signature differs from the nearest known one, the latest of several.

        `own`: places of numbers that shaped the code before, for this key.
        """
        with self._lock:
            pairs = [
                (self._described(*known), self._described(key, values, {*known[2], *own})) for known in self._known()
            ]
        if not pairs:
            _log.debug("%s: compiling for %s", self.__name__, in_words(self._described(key, values, ())))
            return
        nearest = min((changes(old, new) for old, new in reversed(pairs)), key=len)
        _log.debug("%s: compiling again: %s", self.__name__, "; ".join(nearest))

    def _known(self) -> list[tuple[Key, Sequence[Any], tuple[int, ...]]]:
        """Every signature: its key, its numbers, and which of them count."""
        families = [(key, family.known) for key, family in self._families.items()]
        return [(key, numbers, known.fixed) for key, known in families for numbers, _ in known.members]

    def _described(self, key: Key, numbers: Sequence[Any], fixed: Collection[int]) -> dict[str, str]:
        """A signature in words: type by argument, value by setting. A number's value is told where it counts."""
        kinds, (process, scope) = key
        told = {
            name: f"{_type_text(kind)} {numbers[i]}" if i in fixed and isinstance(kind, type) else _type_text(kind)
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
) -> Op: ...


@overload
def op(
    *, function: str | None = None, target: str | Target = "auto", options: Options = Options()
) -> Callable[[Callable[..., Any]], Op]: ...


def op(
    program: Any = None,
    /,
    function: str | None = None,
    *,
    target: str | Target = "auto",
    options: Options = Options(),
) -> Any:
    """Makes a Tile function callable like a NumPy function.

    program: Tile text or a path, of which `function` names one where there are several. As a decorator, `@tilec.op`, it
    takes the text from the docstring of a Python function, whose parameters are the Tile function's inputs and may have
    defaults. target: as for `tilec.compile`. Nothing is compiled before the first call. Raises TileError TILE0511,
    TILE0701.

    >>> import numpy as np, tilec
    >>> scale = tilec.op("function scale(X[N], f) -> (Y) { Y = X * f; }")
    >>> scale(np.arange(3, dtype="float32"), 2.0).tolist()
    [0.0, 2.0, 4.0]
    """
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
    if type(value) is np.ndarray:
        return value
    plain = next((kind for kind in (bool, int, float) if isinstance(value, kind)), None)
    return as_array(name, value) if plain is None else plain(value)


def _name_of(text: str) -> str | None:
    """The name of the one function of a program, as far as it is seen without parsing."""
    found = re.findall(r"\bfunction\s+([A-Za-z_]\w*)", _COMMENT.sub(" ", text))
    return found[0] if len(found) == 1 else None


def _kind(entry: TensorType | int | float) -> Kind:
    if isinstance(entry, TensorType):
        return entry.dtype.numpy, tuple(map(int, entry.shape))  # type: ignore[arg-type]  # sizes are ints here
    return type(entry)


def _type_text(kind: Kind) -> str:
    if isinstance(kind, type):
        return kind.__name__
    dtype = from_numpy(kind[0])
    return str(kind) if dtype is None else describe(TensorType(dtype, kind[1]))


def in_words(signature: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {text}" for name, text in signature.items())


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys((*new, *old))
    pairs = [(n, old.get(n, "not set"), new.get(n, "not set")) for n in names]
    return [f"{n}: {a} -> {b}" for n, a, b in pairs if a != b] or ["a number that shapes the code has a new value"]


__all__ = ["LIMIT", "Op", "compile_for", "input_names", "op"]
