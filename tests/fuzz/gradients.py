"""Judges the gradients of random programs.

* Where a result is smooth at the inputs, along a random direction: both modes agree with central differences.
* Where it is not, at a tie or a corner, and both modes give a number: they agree with each other.
* Compiled, every statement of the gradient is right by its own error bound, as in `tests.fuzz.judge`, and the gradient
  is the same to the last bit when its intermediate values are not results. Where a maximum is attained cannot be judged
  so, because the evaluator's terms are not the last digit of the compiled ones: the place must be the evaluated one.

A result is not smooth where it, or one of its neighbours, is NaN or infinite; no tolerance depends on what was found.
Where a value on the way is infinite or NaN, or has an infinite slope, as sqrt has at 0, the chain rule says nothing,
though the whole may be smooth: there the gradient may be NaN, but not a number that is wrong, and where reverse mode
gives the right number, forward mode must. Such points are counted as singular.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from tests.fuzz.generate import generate
from tests.fuzz.judge import Mismatch, mismatches, same, visible
from tests.fuzz.run import Executor, Summary, Verdict, compiled
from tests.gradients.differences import Verdict as Comparison
from tests.gradients.differences import both_modes
from tests.gradients.random_programs import Subject, subject
from tilec.derivative import simplest
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph, Param
from tilec.passes.differentiate import gradient
from tilec.passes.differentiate.activity import live_lets

TOLERANCE = 1e-6
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def run_gradients(seeds: Iterable[int], execute: Executor, stop: int = 20) -> Summary:
    """Judges the programs of `seeds`; ends early after `stop` failures."""
    summary = Summary()
    for seed in seeds:
        case = generate(seed)
        summary.count(case)
        try:
            found = subject(seed)
            if found is None:
                summary.notes["nothing to differentiate"] += 1
                continue
            summary.record(case, Verdict(wrong(found, execute, summary), False))
        except TileError as refusal:
            summary.record(case, Verdict(summary.refuse(refusal), False))
        except Exception as crash:
            summary.record(case, Verdict(f"{type(crash).__name__}: {crash}", False))
        if len(summary.failures) >= stop:
            break
    return summary


def run_batch(task: tuple[int, int, str]) -> Summary:
    """`run_gradients` for a worker process: first seed, number of programs, target."""
    start, count, target = task
    return run_gradients(range(start, start + count), compiled(target))


def wrong(found: Subject, execute: Executor, summary: Summary) -> str | None:
    """What is wrong with the gradients of a program; None where nothing is."""
    for result in found.results:
        reverse, forward = both_modes(found.graph, found.inputs, found.wrt, result, found.case.seed)
        summary.notes["smooth" if reverse.smooth else "not smooth"] += 1
        if reason := disagreement(reverse, forward):
            number = np.isfinite(reverse.found) or (forward.smooth and np.isfinite(forward.found) and not forward.right)
            if number or not singular(found, result):
                return f"{result}: {reason}"
            summary.notes["singular"] += 1
    derived = simplest(gradient(found.graph, found.wrt, found.results[-1]))
    return miscompiled(derived, found.inputs, execute)


def disagreement(reverse: Comparison, forward: Comparison) -> str | None:
    for mode, verdict in (("reverse", reverse), ("forward", forward)):
        if verdict.smooth and not verdict.right:
            return f"{mode} mode disagrees with differences: {verdict}"
    a, b = reverse.found, forward.found
    if np.isfinite([a, b]).all() and abs(a - b) > TOLERANCE * max(reverse.scale, forward.scale):
        return f"reverse mode gives {a}, forward mode {b}"
    return None


def singular(found: Subject, result: str) -> bool:
    """Whether a value that the result is computed from is not finite, or the derivative with respect to it is not."""
    graph, values = found.graph, evaluate(visible(found.graph), found.inputs, "float64")
    for let in live_lets(graph, (result,)):
        (name,), (type_,) = let.names[:1], let.types[:1]
        if len(let.names) > 1 or name == result or not type_.dtype.is_float:
            continue
        if not np.isfinite(values[name]).all() or not np.isfinite(slope(found, result, name, values)).all():
            return True
    return False


def slope(found: Subject, result: str, name: str, values: Mapping[str, Array]) -> Array:
    """The derivative of a result with respect to a value on the way."""
    graph = found.graph
    lets = tuple(let for let in graph.lets if name not in let.names)
    cut = replace(graph, params=(*graph.params, Param(name, graph.types()[name])), lets=lets)
    derived = simplest(gradient(cut, (name,), result))
    return evaluate(derived, {**found.inputs, name: values[name]}, "float64")[derived.results[0]]


def miscompiled(derived: Graph, inputs: Mapping[str, Any], execute: Executor) -> str | None:
    """The first statement of a gradient that is wrong as machine code."""
    whole = visible(derived)
    arguments = {p.name: np.asarray(inputs[p.name], p.type.dtype.numpy) for p in whole.params}
    found = execute(whole, arguments)
    if reason := misjudged(whole, arguments, found):
        return reason
    for name, value in execute(derived, arguments).items():
        if name in found and not same(value, found[name]).all():
            return f"compiled: {name} differs from what it is when the intermediate values are results too"
    return None


def misjudged(whole: Graph, arguments: Mapping[str, Any], found: Mapping[str, Array]) -> str | None:
    """The first statement that is wrong, given what was found for all of them."""
    evaluated = evaluate(whole, arguments)
    for mismatch in mismatches(whole, arguments, found):
        if not (_is_integer(mismatch) and same(found[mismatch.name], evaluated[mismatch.name]).all()):
            return f"compiled: {mismatch}"
    return None


def _is_integer(mismatch: Mismatch) -> bool:
    return mismatch.let.types[mismatch.let.names.index(mismatch.name)].dtype.is_integer
