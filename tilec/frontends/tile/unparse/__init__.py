"""Graph -> Tile: a program that means the Graph, for people to read and for tilec to run.

`to_tile` writes one function. Parameters, results and named sizes keep their names; other names are made legal. What is
used once is written where it is used. Parsed and elaborated for the same inputs, the text has the Graph's meaning; sums
may be taken in another order.
"""

from __future__ import annotations

from tilec.dtypes import F32
from tilec.fresh import FreshNames
from tilec.frontends.tile.format import format_text
from tilec.frontends.tile.unparse.forms import size_text
from tilec.frontends.tile.unparse.names import Names, function_name, names_of
from tilec.frontends.tile.unparse.statements import Writer
from tilec.graph import Graph, Param


def to_tile(graph: Graph, doc: str | None = None) -> str:
    """The text of a typed Graph as a function, formatted, with `doc` as its documentation.

    Steps and branches become functions in front of it. Raises TILE0606 for what the language has no words for, TILE0411
    and TILE0412 where the text would be too long.
    """
    texts: list[str] = []
    _write(graph, texts, FreshNames((), "_"))
    *steps, main = texts
    comment = "".join(f"/// {line}\n" for line in doc.splitlines()) if doc else ""
    return format_text("\n".join((*steps, comment + main)), graph.name)


def _write(graph: Graph, texts: list[str], functions: FreshNames) -> str:
    """Adds the text of a function, behind those that it calls; returns its name."""
    own = functions.like(function_name(graph.name))
    names = names_of(graph)
    writer = Writer(graph, names, lambda inner: _write(inner, texts, functions))
    lines = [line for let in graph.lets for line in writer.let(let)]
    results, copies = _outputs(graph, names)
    inputs = ", ".join(_input(p, names) for p in graph.params)
    body = "\n".join(f"{line};" for line in (*lines, *copies))
    texts.append(f"function {own}({inputs}) -> ({', '.join(results)}) {{\n{body}\n}}\n")
    return own


def _input(param: Param, names: Names) -> str:
    """A number, which may be anything, has neither sizes nor type; float32 goes without saying."""
    text = names.values[param.name]
    if param.type.weak:
        return text
    dtype = "" if param.type.dtype == F32 else f": {param.type.dtype}"
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
