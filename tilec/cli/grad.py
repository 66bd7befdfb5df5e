"""Floor 6: `tilec grad`: the derivative of a function as a program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tilec.graph import Graph, Param


def command(
    file: str = typer.Argument(..., help="A .tile file; '-' for standard input."),
    function: str | None = typer.Option(None, "-f", "--function", help="The function, where there are several."),
    wrt: list[str] = typer.Option([], "--wrt", metavar="NAME", help="An input; default: all that are floats."),
    of: str | None = typer.Option(None, "--of", metavar="NAME", help="The result, where there are several."),
    value: bool = typer.Option(False, "--value", metavar="", help="Compute the results, too."),
    forward: bool = typer.Option(False, "--forward", metavar="", help="Forward mode, along directions NAME_dot."),
    shapes: list[str] = typer.Option(
        [], "--shape", metavar="NAME=TYPE", help="An input: A=f32[64,64], A=64,64 (float32), A=64, or a number."
    ),
    output: Path | None = typer.Option(None, "-o", "--output", metavar="FILE", help="Write the program to a file."),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Print the gradient of a function as a Tile program.

    For example: tilec grad examples/matmul.tile -f matmul --wrt A --shape A=4,8 --shape B=8,2
    """
    from tilec import api
    from tilec.cli import sources
    from tilec.cli.declared import named_types, shapes_asked_for
    from tilec.cli.shapes import signature
    from tilec.derivative import subject, variables, written_out
    from tilec.files import write_file
    from tilec.frontends.tile.elaborate import function_table, to_write
    from tilec.frontends.tile.names import choose
    from tilec.frontends.tile.unparse import to_tile

    program = api.parse(sources.source(file))
    chosen = choose(program, function)
    given = signature(shapes)

    def of_graph(graph: Graph) -> Graph:
        return written_out(_derivative(graph, variables(graph, wrt or None), of, value, forward))

    with shapes_asked_for(chosen, given), subject(program, function).located():
        types = named_types(chosen, given, function_table(program))
        written = to_write(program, function, types, weak=True)
        derived = of_graph(written.graph)
        if not _of_any_shape(derived):
            written = to_write(program, function, types)
            derived = of_graph(written.graph)
        names = variables(written.graph, wrt or None)
        about = [_about(written.graph, names, of, forward), *_numbers(written.graph.params, types)]
        text = to_tile(derived, "\n".join(about), written.derived)
    if output is not None:
        write_file(output, text.encode())
    if as_json:
        results = list(derived.results)
        print(json.dumps({"function": derived.name, "wrt": list(names), "results": results, "program": text}))
    elif output is None:
        print(text, end="")
    return 0


def _of_any_shape(graph: Graph) -> bool:
    """Whether the text holds for tensors of any shape: it is elementwise in its only parameter, which is a number."""
    from tilec.graph import Apply, Literal, operands

    shaped = {p.name for p in graph.params}
    if len(shaped) != 1 or not graph.params[0].type.weak:
        return False
    for let in graph.lets:
        if not isinstance(let.node, Apply | Literal) or let.types[0].shape:
            return False
        if not shaped.isdisjoint(operands(let.node)):
            shaped.update(let.names)
    return shaped.issuperset(graph.results)


def _derivative(graph: Graph, wrt: Sequence[str], of: str | None, value: bool, forward: bool) -> Graph:
    from dataclasses import replace

    from tilec.passes import differentiate

    if not forward:
        return (differentiate.value_and_gradient if value else differentiate.gradient)(graph, wrt, of)
    found = differentiate.jvp(graph, wrt, of)
    return found if value else replace(found, results=found.results[len(graph.results) :])


def _numbers(params: Sequence[Param], types: Mapping[str, Any]) -> Iterator[str]:
    """A line about inputs of unknown rank that are taken for numbers."""
    if taken := [p.name for p in params if p.name not in types and not p.type.weak]:
        are = "is a number" if len(taken) == 1 else "are numbers"
        yield f"Here {', '.join(taken)} {are}; of a tensor, say --shape {taken[0]}=f32[8,8]."


def _about(graph: Graph, wrt: Sequence[str], of: str | None, forward: bool) -> str:
    """A line of documentation."""
    if forward:
        return f"The derivative of {graph.name} along {', '.join(f'{n}_dot' for n in wrt)}."
    return f"The gradient of the sum of {of or graph.results[0]} of {graph.name} with respect to {', '.join(wrt)}."
