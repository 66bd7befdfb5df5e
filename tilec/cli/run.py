"""Floor 6: `tilec run`."""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

import typer

from tilec.cli.budget import SCHEDULE
from tilec.cli.color import shown
from tilec.cli.interrupt import interruptible
from tilec.options import Options


def command(
    file: str = typer.Argument(..., help="A .tile file; '-' for standard input."),
    function: str | None = typer.Option(None, "-f", "--function", help="The function to run, where there are several."),
    inputs: list[str] = typer.Option([], "-i", "--input", metavar="NAME=VALUE", help="FILE.npy, FILE.npz:KEY, number."),
    random: list[str] = typer.Option([], "--random", metavar="NAME:TYPE", help="Random values, e.g. A:f32[64,64]."),
    outputs: list[str] = typer.Option([], "-o", "--output", metavar="NAME=FILE", help="Write a result to a .npy file."),
    seed: int = typer.Option(0, "--seed", min=0, metavar="NUMBER", help="Seed of --random."),
    target: str = typer.Option("auto", "--target", help="auto, llvm, opencl[:N] or reference."),
    schedule: str | None = SCHEDULE,
    timing: bool = typer.Option(False, "--time", metavar="", help="Also show compile and run times."),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Compile a function, run it once and show its results.

    For example: tilec run examples/softmax.tile --random X:f32[4,10] -o Y=y.npy
    """
    from tilec import api
    from tilec.cli import sources
    from tilec.cli.inputs import inputs_given_by, output_paths, read_inputs, save

    values = read_inputs(inputs, random, seed)
    paths = output_paths(outputs)
    started = time.perf_counter()
    with inputs_given_by("-i NAME=FILE.npy, -i NAME=NUMBER or --random NAME:f32[64,64]"):
        options = api.with_schedules(Options(), None, schedule)
        executable = api.compile_for(sources.source(file), target, function, values, options=options)
    compiled = time.perf_counter() - started
    arguments = {n: v for n, v in values.items() if n in executable.params}
    arrays = dict(zip(executable.results, interruptible(lambda: executable.run((), arguments))))
    save(arrays, paths)
    times = interruptible(lambda: measure(executable, arguments)) if timing else None
    for warning in executable.warnings:
        print(shown(warning, sys.stderr), file=sys.stderr)
    if as_json:
        print(json.dumps(report(executable, arrays, compiled, times)))
    else:
        show(arrays, executable, compiled, times)
    return 0


def measure(executable: Any, arguments: Mapping[str, Any], seconds: float = 0.5) -> list[float]:
    """Seconds of single calls, at least three, for about `seconds`."""
    found: list[float] = []
    until = time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < until:
        started = time.perf_counter()
        executable.run((), arguments)
        found.append(time.perf_counter() - started)
    return found


def show(arrays: Mapping[str, Any], executable: Any, compiled: float, times: list[float] | None) -> None:
    """Results as text, short arrays whole, long ones with their ends."""
    import numpy as np

    from tilec.runtime import describe

    for name, array in arrays.items():
        text = np.array2string(array, threshold=200, edgeitems=max(1, 5 - max(2, array.ndim)), precision=6)
        separator = " " if "\n" not in text and len(text) < 80 else "\n"
        print(f"{name}: {describe(executable.results[name])} ={separator}{text}")
    if times is not None:
        median = statistics.median(times) * 1e3
        print(f"compiled in {compiled * 1e3:.1f} ms; run: median {median:.4g} ms of {len(times)}")


def report(executable: Any, arrays: Mapping[str, Any], compiled: float, times: list[float] | None) -> dict[str, Any]:
    """The same as a JSON value. Arrays of up to 4096 elements carry their values; NaN and infinities are strings."""
    from tilec.runtime import describe

    results = {}
    for name, array in arrays.items():
        results[name] = {"type": describe(executable.results[name]), "shape": list(array.shape)}
        if array.size <= 4096:
            results[name]["values"] = [_json_number(x) for x in array.ravel().tolist()]
    found: dict[str, Any] = {
        "function": executable.name,
        "target": str(executable.target),
        "results": results,
        "compile_seconds": compiled,
        "warnings": [w.code for w in executable.warnings],
    }
    if times is not None:
        found["run_seconds"] = {"median": statistics.median(times), "min": min(times), "count": len(times)}
    return found


def _json_number(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
