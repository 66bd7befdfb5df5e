"""Names of a Graph as legal names of Tile: tensors and sizes begin upper-case, index variables lower-case."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tilec.fresh import FreshNames
from tilec.frontends.tile.functions import is_builtin
from tilec.graph import Graph

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*'?\Z")
_RESERVED = frozenset({"function", "default", "no_defract", "test"})


@dataclass(frozen=True, slots=True)
class Names:
    """How values and sizes are written; `fresh` makes further names. `declared` are sizes that are a name each."""

    values: dict[str, str]
    sizes: dict[str, str]
    declared: frozenset[str]
    fresh: FreshNames


def names_of(graph: Graph, derived: Collection[str] = ()) -> Names:
    """Parameters and results keep their names, with the sigil `#` if they begin small; other names are made legal.

    A size with the name of a parameter is that number. Those of `derived` have no name of their own.
    """
    interface = dict.fromkeys((*(p.name for p in graph.params), *graph.results))
    values = {name: _kept(name) for name in interface}
    fresh = FreshNames({n.lstrip("#") for n in values.values()}, "_")
    numbers = {p.name for p in graph.params if not p.type.shape}
    named = [s for s in graph.sizes if s not in derived]
    sizes = {s: values[s] if s in numbers else fresh.like(_legal(s, capital=True)) for s in named}
    declared = frozenset(sizes)
    for name in (n for let in graph.lets for n in let.names):
        if name not in values:
            values[name] = fresh.like(_legal(name, capital=True))
    return Names(values, sizes, declared, fresh)


def index_names(indices: Iterable[str]) -> dict[str, str]:
    """How the index variables of one contraction are written."""
    fresh = FreshNames(_RESERVED, "_")
    return {index: fresh.like(_legal(index, capital=False)) for index in indices}


def function_name(name: str) -> str:
    """A function's name, which must hide no builtin that the function may use."""
    found = _legal(name, capital=False)
    return f"{found}_" if is_builtin(found) or found in _RESERVED else found


def _kept(name: str) -> str:
    legal = name if _NAME.match(name) else _legal(name, capital=True)
    return legal if legal.lstrip("_")[:1].isupper() else f"#{legal}"


def _legal(name: str, capital: bool) -> str:
    """Letters, digits and `_`, with the first letter large or small."""
    body = re.sub(r"[^A-Za-z0-9_]", "_", name[:-1]) + re.sub(r"[^A-Za-z0-9_']", "_", name[-1:])
    bare = body.lstrip("_")
    if not bare[:1].isalpha():
        bare = f"t{bare}" if capital else f"i{bare}"
    first = bare[0].upper() if capital else bare[0].lower()
    return body[: len(body) - len(body.lstrip("_"))] + first + bare[1:]
