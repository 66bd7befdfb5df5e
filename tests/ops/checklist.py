"""The checklist of the tensor library: its entries, their inputs and their calls."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, reduce
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import optree

import tilec
import tilec.numpy as tnp
import tilec.ops
import tilec.random

FOLDER = Path(__file__).with_name("checklist")
ROOT = FOLDER.parents[2]
_INPUT = re.compile(r"(?P<dtype>\w*)\[(?P<shape>[\d, ]*)\](?: in (?P<low>[-\d.]+)\.\.(?P<high>[-\d.]+))?$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One function; see README.md beside the files. `gradient` is the differentiated inputs, or why there are none."""

    name: str
    call: tuple[str, ...]
    inputs: dict[str, str]
    dtypes: tuple[str, ...]
    gradient: tuple[str, ...] | str
    tested: str
    host: str
    keras: tuple[str, ...] = ()
    file: str = field(default="")

    @property
    def word(self) -> str:
        return self.name.rpartition(".")[2]

    def point(self, dtype: str, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
        """Values of the inputs, drawn from the seed."""
        rng = np.random.default_rng(seed)
        return {name: _values(text, dtype, rng) for name, text in self.inputs.items()}

    def function(self, call: str) -> Callable[..., Any]:
        """The call as a function of the inputs, by name."""
        names = {self.word: target(self.name), "np": np, "tilec": tilec}
        made: Callable[..., Any] = eval(f"lambda {', '.join(self.inputs)}: {call}", names)
        return made

    def loss(self, call: str) -> Callable[..., Any]:
        """The sum of the floats of the call's results, each with a weight of its own, so that none cancels another."""
        function = self.function(call)

        def weighted(**point: Any) -> Any:
            leaves = optree.tree_leaves(function(**point))
            floats = [leaf for leaf in leaves if tnp.isdtype(leaf.dtype, "real floating")]
            return reduce(tnp.add, [tnp.sum(leaf * _weights(leaf)) for leaf in floats])

        return weighted

    def slopes(self, call: str) -> Callable[..., Any]:
        """The gradient of `loss`, a function of the inputs in their order."""
        loss, names = self.loss(call), list(self.inputs)
        wrt = tuple(names.index(name) for name in self.gradient)
        made: Callable[..., Any] = tilec.grad(lambda *args: loss(**dict(zip(names, args, strict=True))), argnums=wrt)
        return made


def _weights(leaf: Any) -> np.ndarray[Any, Any]:
    return np.cos(np.arange(prod(leaf.shape))).reshape(leaf.shape).astype(leaf.dtype)


def target(name: str) -> Any:
    """The function of that name below `tilec`."""
    return reduce(getattr, name.split("."), tilec)


def _values(text: str, dtype: str, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    found = _INPUT.match(text)
    assert found, f"{text!r} is no input: write [2, 3], int32[4] or [3] in 0.1..0.9"
    kind = np.dtype(getattr(ml_dtypes, found["dtype"] or dtype, found["dtype"] or dtype))
    shape = tuple(int(n) for n in found["shape"].split(",") if n.strip())
    if kind == np.bool_:
        return rng.random(shape) < 0.5
    if kind.kind in "iu":
        return rng.integers(int(found["low"] or 0), int(found["high"] or 10), shape).astype(kind)
    low, high = float(found["low"] or -1), float(found["high"] or 1)
    return rng.uniform(low, high, shape).astype(kind)


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, file by file."""
    return tuple(_entry(raw, p.name) for p in sorted(FOLDER.glob("*.toml")) for raw in _read(p))


def _read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8")).get("op", [])
    return rows


def _entry(raw: dict[str, Any], file: str) -> Entry:
    call = raw["call"]
    gradient = raw["gradient"]
    return Entry(
        raw["name"],
        (call,) if isinstance(call, str) else tuple(call),
        dict(raw["inputs"]),
        tuple(raw["dtypes"]),
        gradient if isinstance(gradient, str) else tuple(gradient),
        raw["tested"],
        raw["host"],
        tuple(raw.get("keras", ())),
        file,
    )
