"""Sizes of a function: which of them are operations on others, and which it has to be given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tilec.affine import Poly, Size
from tilec.frontends.tile.functions import derived_text
from tilec.frontends.tile.unparse.forms import size_term
from tilec.frontends.tile.unparse.names import Names
from tilec.frontends.tile.unparse.terms import PREFIX
from tilec.frontends.tile.values import Derived
from tilec.graph import Graph, Param

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*'?")


def write_derived(names: Names, sizes: Iterable[str], derived: Mapping[str, Derived]) -> None:
    """Adds the texts of those of `sizes` that are operations on others: of numbers that are no sizes there are none."""
    used = frozenset(sizes)
    for size, made in derived.items():
        if size in used and all(a.names() <= names.sizes.keys() for a in made.args if isinstance(a, Poly)):
            args = [size_term(a, names) for a in made.args]
            infix = made.op in ("div", "mod")
            texts = [f"({text})" if infix and level < PREFIX else text for text, level in args]
            names.sizes[size] = derived_text(made.op, texts)


def is_declared(param: Param, names: Names) -> bool:
    """Whether the header says the shape: every size is a number or a name alone."""
    return not param.type.weak and all(isinstance(s, int) or _alone(s) in names.declared for s in param.type.shape)


def _alone(size: Size) -> str | None:
    """The name, where a size is one."""
    match size:
        case Poly(((((name,), 1)),)):
            return name
        case _:
            return None


def missing(graph: Graph, names: Names, body: str) -> list[str]:
    """The sizes that a function's text uses and that no input brings along: neither as an axis nor as a number."""
    shapes = [p.type.shape for p in graph.params if is_declared(p, names)]
    brought = {_alone(s) for shape in shapes for s in shape} | {p.name for p in graph.params}
    words = frozenset(_WORD.findall(body))
    return [s for s in graph.sizes if s in names.declared and s not in brought and names.sizes[s] in words]
