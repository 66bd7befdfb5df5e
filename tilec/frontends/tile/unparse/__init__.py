"""Graph -> Tile: a program that means the Graph, for people to read and for tilec to run.

`to_tile` writes one function. Parameters, results and named sizes keep their names; other names are made legal. What is
used once is written where it is used. Parsed and elaborated for the same inputs, the text has the Graph's meaning; sums
may be taken in another order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tilec.dtypes import F32
from tilec.fresh import FreshNames
from tilec.frontends.tile.format import format_text
from tilec.frontends.tile.unparse.forms import size_text
from tilec.frontends.tile.unparse.names import Names, function_name, names_of
from tilec.frontends.tile.unparse.sizes import is_declared, missing, write_derived
from tilec.frontends.tile.unparse.statements import Writer
from tilec.frontends.tile.values import Derived
from tilec.graph import Graph, Param


def to_tile(graph: Graph, doc: str | None = None, derived: Mapping[str, Derived] = MappingProxyType({})) -> str:
    """The text of a typed Graph as a function, formatted, with `doc` as its documentation.

    Steps and branches become functions in front of it. `derived` are sizes of the Graph that are written as operations
    on others, in an order in which they can be. Raises TILE0606 for what the language has no words for, TILE0411 and
    TILE0412 where the text would be too long.
    """
    texts: list[str] = []
    _write([graph], texts, FreshNames((), "_"), derived)
    *steps, main = texts
    comment = "".join(f"/// {line}\n" for line in doc.splitlines()) if doc else ""
    return format_text("\n".join((*steps, comment + main)), graph.name)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A function without its header. `missing`: the sizes that it has to be given."""

    graph: Graph
    names: Names
    results: list[str]
    body: str
    missing: list[str]


def _write(
    graphs: Sequence[Graph], texts: list[str], functions: FreshNames, derived: Mapping[str, Derived]
) -> tuple[list[str], list[str]]:
    """Adds the texts of functions of the same inputs, behind those that they call.

    Returns their names, and the sizes that they take behind their parameters: what they use and no axis has.
    """
    drafts = [_draft(g, texts, functions, derived) for g in graphs]
    given = list(dict.fromkeys(s for d in drafts for s in d.missing))
    found = [functions.like(function_name(g.name)) for g in graphs]
    for name, d in zip(found, drafts, strict=True):
        sizes = [d.names.sizes.get(s) or d.names.fresh.like(s) for s in given]
        inputs = ", ".join([*(_input(p, d.names) for p in d.graph.params), *sizes])
        texts.append(f"function {name}({inputs}) -> ({', '.join(d.results)}) {{\n{d.body}\n}}\n")
    return found, given


def _draft(graph: Graph, texts: list[str], functions: FreshNames, derived: Mapping[str, Derived]) -> _Draft:
    names = names_of(graph, derived)
    write_derived(names, graph.sizes, derived)
    writer = Writer(graph, names, lambda inner: _write(inner, texts, functions, derived))
    lines = [line for let in graph.lets for line in writer.let(let)]
    results, copies = _outputs(graph, names)
    body = "\n".join(f"{line};" for line in (*lines, *copies))
    return _Draft(graph, names, results, body, missing(graph, names, body))


def _input(param: Param, names: Names) -> str:
    """A number, which may be anything, has neither sizes nor type; float32 goes without saying.

    Where a size is neither a number nor a name, none is declared.
    """
    text = names.values[param.name]
    if param.type.weak:
        return text
    dtype = "" if param.type.dtype == F32 else f": {param.type.dtype}"
    if not is_declared(param, names):
        return f"{text}{dtype}"
    return f"{text}[{', '.join(size_text(s, names) for s in param.type.shape)}]{dtype}"


def _outputs(graph: Graph, names: Names) -> tuple[list[str], list[str]]:
    """Names of the outputs, and statements that copy what is an input, or an output already."""
    taken = {p.name for p in graph.params}
    found: list[str] = []
    copies: list[str] = []
    for result in graph.results:
        text = names.values[result]
        if result in taken:
            text = names.fresh.numbered(text)
            copies.append(f"{text} = {names.values[result]}")
        taken.add(result)
        found.append(text)
    return found, copies
