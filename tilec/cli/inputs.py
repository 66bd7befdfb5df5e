"""Floor 6: arrays from and to the command line: `-i A=a.npy`, `--random A:f32[64,64]`, `-o C=c.npy`.

Files are read without pickle; whatever is wrong with one is a TileError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tilec.affine import size_text
from tilec.api import parse_type
from tilec.backend import Array
from tilec.dtypes import BF16
from tilec.errors import Diagnostic, TileError, error
from tilec.files import write_file
from tilec.graph import TensorType

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*'?\Z")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")
_MAX_RANK = 16
_FLOAT = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?|inf|nan)\Z")


def read_inputs(assignments: Iterable[str], random: Iterable[str], seed: int) -> dict[str, Any]:
    """Values of all `-i` and `--random` options by input name; raises TileError TILE0701, 0703, 0704."""
    values: dict[str, Any] = {}
    for text in assignments:
        name, value = split_option(text, "=", "-i NAME=FILE.npy, NAME=FILE.npz:KEY or NAME=NUMBER")
        _once(name, values)
        values[name] = option_value(value)
    generator = np.random.default_rng(seed)
    for text in random:
        name, value = split_option(text, ":", "--random NAME:f32[64,64]")
        _once(name, values)
        values[name] = random_array(parse_type(name, value), generator)
    return values


_VECTOR = ("a vector is an array, or a type such as f32[4]", "a vector is f32[4], or '4,' (float32)")


@contextmanager
def inputs_given_by(option: str) -> Iterator[None]:
    """Adds to errors about inputs, and about a function that was not chosen, how the command line gives them."""
    try:
        yield
    except TileError as problem:
        raise TileError(_with_option(d, option) for d in problem.diagnostics) from None


def _with_option(problem: Diagnostic, option: str) -> Diagnostic:
    if problem.code == "TILE0501" and problem.help is None:
        return replace(problem, help=f"give it with {option}")
    if problem.code == "TILE0111" and problem.help is not None:
        return replace(problem, help=f"{problem.help}, with -f NAME")
    if problem.code == "TILE0202" and problem.help is None and "the argument's shape is []" in problem.notes:
        return replace(problem, help=f"a number has no axes; {_VECTOR[option.startswith('--shape')]}")
    return problem


def _once(name: str, given: Mapping[str, Any]) -> None:
    if name in given:
        raise error("TILE0704", f"{name!r} is given twice")


def split_option(text: str, separator: str, form: str) -> tuple[str, str]:
    """Name and value of an option; raises TileError TILE0704 with the `form` to write."""
    name, found, value = text.partition(separator)
    if not found or not value or not _NAME.match(name):
        raise error("TILE0704", f"cannot read {text!r}", help=f"write it like {form}")
    return name, value


def option_value(text: str) -> Any:
    """A number, or the array of a file; raises TileError TILE0701, TILE0703."""
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    path, colon, key = text.rpartition(":")
    if colon and path.endswith(".npz"):
        return load(path, key)
    return load(text, None)


def load(path: str, key: str | None) -> Array:
    """An array of a .npy file, or of a .npz file by key; raises TileError TILE0701, TILE0703."""
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            return _bfloat16(np.asarray(found))
        with found:
            return _bfloat16(_member(path, found, key))
    except TileError:
        raise
    except OSError as reason:
        help = None if Path(path).suffix else "a value is FILE.npy, FILE.npz:KEY or a number"
        raise error("TILE0701", f"cannot read {path!r}: {reason.strerror or reason}", help=help) from None
    except Exception as reason:  # NumPy's reader lets out whatever a hostile header makes it stumble over
        detail = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        if "pickle" in detail:  # NumPy's advice, to load it unsafely, is none to pass on
            detail = "it is no .npy or .npz file, or one of Python objects"
        raise error("TILE0703", f"{path!r} does not hold a readable array: {detail}", help=_SAVE) from None


_SAVE = "write it with numpy.save, from an array of numbers"


def _member(path: str, found: Any, key: str | None) -> Array:
    keys = list(found.keys())
    if key is None and len(keys) == 1:
        key = keys[0]
    if key not in keys:
        wanted = f"no array {key!r}" if key else "several arrays" if keys else "no array"
        notes = [f"keys: {', '.join(keys)}"]
        raise error("TILE0703", f"{path!r} holds {wanted}", notes=notes, help="write FILE.npz:KEY")
    return np.asarray(found[key])


def _bfloat16(array: Array) -> Array:
    """NumPy stores bfloat16 as two opaque bytes: read them back as what they are."""
    return array.view(BF16.numpy) if array.dtype == np.dtype("V2") else array


def random_array(type: TensorType, generator: np.random.Generator) -> Array:
    """Floats uniform in [-1, 1), integers of a small range, bools, of the given type."""
    shape = tuple(s for s in type.shape if isinstance(s, int))
    if len(shape) != type.rank:
        text = f"random values of the open shape [{', '.join(map(size_text, type.shape))}]"
        raise error("TILE0704", text, help="give a number for each size")
    if len(shape) > _MAX_RANK:
        raise error("TILE0413", f"an array of {len(shape)} axes; the limit is {_MAX_RANK}")
    try:
        if type.dtype.is_float:
            return (generator.random(shape, np.float32) * 2 - 1).astype(type.dtype.numpy)
        if type.dtype.kind == "bool":
            return generator.random(shape, np.float32) < 0.5
        low = -8 if type.dtype.is_signed else 0
        return generator.integers(low, 9, shape).astype(type.dtype.numpy)
    except (MemoryError, ValueError):
        raise error("TILE0416", f"an array of {list(shape)} {type.dtype.long} does not fit in memory") from None


def output_paths(assignments: Iterable[str]) -> dict[str, str]:
    """`-o NAME=FILE.npy` options as a map."""
    found: dict[str, str] = {}
    for text in assignments:
        name, path = split_option(text, "=", "-o NAME=FILE.npy")
        _once(name, found)
        found[name] = path
    return found


def save(arrays: Mapping[str, Array], paths: Mapping[str, str]) -> None:
    """Writes each array to its .npy file, whole or not at all; raises TileError TILE0702, TILE0704."""
    for name in paths:
        if name not in arrays:
            raise error("TILE0704", f"there is no result {name!r} to write", notes=[f"results: {', '.join(arrays)}"])
    for name, path in paths.items():
        write_file(path, partial(np.save, arr=arrays[name], allow_pickle=False))
