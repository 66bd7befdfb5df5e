"""Floor 6: `tilec check-grad`: gradients against central differences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tilec.gradient_check import GradientCheck


def command(
    file: str = typer.Argument(..., help="A .tile file; '-' for standard input."),
    function: str | None = typer.Option(None, "-f", "--function", help="The function, where there are several."),
    wrt: list[str] = typer.Option([], "--wrt", metavar="NAME", help="An input; default: all that are floats."),
    of: str | None = typer.Option(None, "--of", metavar="NAME", help="A result; default: all that are floats."),
    inputs: list[str] = typer.Option([], "-i", "--input", metavar="NAME=VALUE", help="FILE.npy, FILE.npz:KEY, number."),
    random: list[str] = typer.Option([], "--random", metavar="NAME:TYPE", help="Random values, e.g. A:f32[64,64]."),
    seed: int = typer.Option(0, "--seed", min=0, metavar="NUMBER", help="Seed of all that is random."),
    target: str = typer.Option("auto", "--target", help="auto, llvm, opencl[:N] or reference."),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Compare the gradients of a function with central differences in float64; the exit code is 1 if one is wrong.

    Inputs that are not given are random, of small sizes. For example: tilec check-grad examples/softmax.tile
    """
    from tilec import api
    from tilec.cli import sources
    from tilec.cli.declared import made_up
    from tilec.cli.inputs import inputs_given_by, read_inputs
    from tilec.frontends.tile.names import choose
    from tilec.gradient_check import check_grad

    values = read_inputs(inputs, random, seed)
    program = api.parse(sources.source(file))
    with inputs_given_by("-i NAME=FILE.npy, -i NAME=NUMBER or --random NAME:f32[64,64]"):
        values |= made_up(choose(program, function), values, seed)
        found = check_grad(program, values, function=function, wrt=wrt or None, of=of, seed=seed, target=target)
    if as_json:
        print(json.dumps(_as_value(found, values)))
    else:
        _show(found, values)
    return 0 if found.passed else 1


def _show(found: GradientCheck, values: Mapping[str, Any]) -> None:
    import numpy as np
    from rich.console import Console

    print("at " + ", ".join(f"{n}{list(np.shape(v))}" if np.shape(v) else f"{n} = {v}" for n, v in values.items()))
    Console().print(found)
    if any(i.verdict == "unknown" for i in found.inputs):
        print("unknown: the function has no derivative where it was tried, or is not finite; try other inputs")


def _as_value(found: GradientCheck, values: Mapping[str, Any]) -> dict[str, Any]:
    import numpy as np

    rows = [
        {
            "input": i.input,
            "of": i.of,
            "verdict": i.verdict,
            "relative_error": i.error if np.isfinite(i.error) else str(i.error),
            "elements": i.size,
            "compared": i.checked,
            "no_derivative": i.rough,
            "worst": {"element": list(i.worst), "found": str(i.found), "wanted": str(i.wanted)},
        }
        for i in found.inputs
    ]
    return {"passed": found.passed, "shapes": {n: list(np.shape(v)) for n, v in values.items()}, "gradients": rows}
