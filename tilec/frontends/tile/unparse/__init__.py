"""Graph -> Tile: a program that means the Graph, for people to read and for tilec to run.

`to_tile` writes one function. Parameters, results and named sizes keep their names; other names are made legal. What is
used once is written where it is used. Parsed and elaborated for the same inputs, the text has the Graph's meaning; sums
may be taken in another order.
"""

from __future__ import annotations

from tilec.dtypes import F32
from tilec.frontends.tile.format import format_text
from tilec.frontends.tile.unparse.forms import size_text
from tilec.frontends.tile.unparse.names import Names, function_name, names_of
from tilec.frontends.tile.unparse.statements import Writer
from tilec.graph import Graph, Param


def to_tile(graph: Graph, doc: str | None = None) -> str:
    """The text of a typed Graph as one function, formatted, with `doc` as its documentation.

    Raises TILE0606 for what the language has no words for, TILE0411 and TILE0412 where the text would be too long.
    """
    names = names_of(graph)
    writer = Writer(graph, names)
    lines = [line for let in graph.lets for line in writer.let(let)]
    results, copies = _outputs(graph, names)
    head = f"function {function_name(graph.name)}({', '.join(_input(p, names) for p in graph.params)})"
    comment = "".join(f"/// {line}\n" for line in doc.splitlines()) if doc else ""
    body = "\n".join(f"{line};" for line in (*lines, *copies))
    return format_text(f"{comment}{head} -> ({', '.join(results)}) {{\n{body}\n}}\n", graph.name)


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
