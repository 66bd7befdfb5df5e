"""Floor 5: `check_grad`: gradients against central differences in float64.

Every element of an input is moved by itself, or, of a large input, some of them. The function is the sum of a result's
elements, each times a random weight, so that no two mistakes cancel. The difference quotient is extrapolated from
steps h, h/2 and h/4 (Richardson), for several h. Where it does not settle for any h, or the function bends as it does
at a corner, there is no derivative to compare with: such an element is counted as rough, neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilec.api import ProgramLike, compile_for, signature_entry
from tilec.backend import Array
from tilec.derivative import Variables, simplest, subject, variables
from tilec.errors import error
from tilec.executable import Executable
from tilec.float64 import in_float64
from tilec.graph import Graph, TensorType
from tilec.passes import differentiate
from tilec.runtime import as_array
from tilec.target import Target

if TYPE_CHECKING:
    from rich.table import Table

TOLERANCE = 1e-6
ELEMENTS = 64  # of an input; of a larger one so many are chosen at random
_STEPS = (1e-4, 1e-3, 1e-5, 1e-6, 1e-7)  # relative to the largest element of the input, then to the one that moves
_RESOLUTION = 1e-3  # what a difference says of a derivative is compared with this much of the function's own terms


@dataclass(frozen=True, slots=True)
class InputCheck:
    """One input's gradient of one result.

    error: the greatest relative error, at the element `worst`, where `found` is the gradient's value and `wanted` the
    difference quotient's. checked: how many elements were compared, rough: how many could not be, of `size` in all.
    """

    input: str
    of: str
    size: int
    checked: int
    rough: int
    error: float
    worst: tuple[int, ...]
    found: float
    wanted: float
    tolerance: float

    @property
    def verdict(self) -> str:
        """`right`, `wrong`, or `unknown`, where nothing could be compared."""
        if not self.error <= self.tolerance:
            return "wrong"
        return "right" if self.checked or not self.size else "unknown"


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """What `check_grad` finds, input by input; printed, it is a table."""

    inputs: tuple[InputCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every gradient is right; one of which nothing could be compared is not."""
        return all(i.verdict == "right" for i in self.inputs)

    def __str__(self) -> str:
        lines = (
            f"d{i.of}/d{i.input}: {i.verdict}, relative error {i.error:.1e}, {i.checked} of {i.size} elements compared"
            + (f", {i.rough} where there is no derivative" if i.rough else "")
            for i in self.inputs
        )
        return "\n".join(lines)

    def __rich__(self) -> Table:
        """The table, for `rich.print`."""
        from rich.table import Table

        table = Table("gradient", "verdict", "relative error", "compared", "no derivative", "worst element")
        for i in self.inputs:
            worst = f"[{', '.join(map(str, i.worst))}]: {i.found:.9g}, not {i.wanted:.9g}" * (i.verdict == "wrong")
            compared = f"{i.checked} of {i.size}"
            table.add_row(f"d{i.of}/d{i.input}", i.verdict, f"{i.error:.1e}", compared, str(i.rough or ""), worst)
        return table


def check_grad(
    program: ProgramLike,
    inputs: Mapping[str, Any],
    *,
    function: str | None = None,
    wrt: Variables = None,
    of: str | None = None,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    target: str | Target = "auto",
) -> GradientCheck:
    """Compares the gradients of a program, at the point `inputs`, with central differences, all in float64.

    wrt: the inputs to check, all that are floats where None. of: the result; all that are floats where None. seed: of
    the weights, and of the elements chosen from large inputs. Raises TileError, where there is no derivative too.
    """
    values = {n: v if isinstance(v, bool | int | float) else as_array(n, v) for n, v in inputs.items()}
    asked = subject(program, function)
    graph, constants = asked.graph({n: signature_entry(n, v) for n, v in values.items()})
    graph = in_float64(graph)
    types = {p.name: p.type for p in graph.params}
    point = {n: np.array(v, np.float64) if n in types and types[n].dtype.is_float else v for n, v in values.items()}
    names = tuple(n for n in variables(graph, wrt) if n not in constants)
    rows: list[InputCheck] = []
    with asked.located():
        if not names:
            raise error("TILE0309", f"'{graph.name}' has no input that is a float")
        for result in _results(graph, of):
            rows += _check(graph, names, result, point, np.random.default_rng(seed), tolerance, target)
    return GradientCheck(tuple(rows))


def wrong_gradients(
    graph: Graph, inputs: Mapping[str, Any], tolerance: float = TOLERANCE, target: str | Target = "auto"
) -> list[str]:
    """What `check_grad` has against the gradients of a Graph, a line per input; in-file tests ask so."""
    found = check_grad(graph, inputs, tolerance=tolerance, target=target).inputs
    return [_said(i) for i in found if i.verdict != "right"]


def _said(check: InputCheck) -> str:
    where = f" at {list(check.worst)}" if check.worst else ""
    if check.verdict == "unknown":
        return f"d{check.of}/d{check.input}: no element could be compared: differences do not settle at this point"
    return f"d{check.of}/d{check.input}{where}: the gradient is {check.found:.9g}, differences say {check.wanted:.9g}"


def _results(graph: Graph, of: str | None) -> tuple[str, ...]:
    """The results to differentiate; raises TILE0309 where none is a float."""
    if of is not None:
        return (of,)
    types = graph.types()
    if found := tuple(n for n in dict.fromkeys(graph.results) if types[n].dtype.is_float):
        return found
    notes = [f"results: {', '.join(graph.results)}"]
    raise error("TILE0309", f"'{graph.name}' has no result that is a float", notes=notes)


def _check(
    graph: Graph,
    names: Sequence[str],
    of: str,
    point: Mapping[str, Any],
    rng: np.random.Generator,
    tolerance: float,
    target: str | Target,
) -> Iterator[InputCheck]:
    """One result with respect to all inputs."""
    derived = simplest(differentiate.gradient(graph, names, of, seed=True))
    gradient, value = _run(derived, target), _run(_only(graph, of), target)
    weights = rng.uniform(0.5, 1.5, _shape(graph.types()[of]))
    gradients = gradient({**point, derived.params[-1].name: weights})
    terms = np.abs(weights * value(point)[0])
    noise = _RESOLUTION * float(np.sum(terms[np.isfinite(terms)]))

    def moved(name: str, at: tuple[int, ...], step: float) -> float:
        array = point[name].copy()
        with np.errstate(all="ignore"):
            array[at] += step
            return float(np.sum(value({**point, name: array})[0] * weights))

    for name, found in zip(names, gradients, strict=True):
        yield _check_input(name, of, point[name], found, moved, noise, rng, tolerance)


def _run(graph: Graph, target: str | Target) -> Callable[[Mapping[str, Any]], list[Array]]:
    executable: Executable = compile_for(graph, target, None, {})
    return lambda values: executable.run((), values)


def _only(graph: Graph, result: str) -> Graph:
    return Graph(graph.name, graph.params, graph.lets, (result,), graph.sizes)


def _shape(type_: TensorType) -> tuple[int, ...]:
    return tuple(int(str(s)) for s in type_.shape)


def _check_input(
    name: str,
    of: str,
    at: Array,
    found: Array,
    moved: Callable[[str, tuple[int, ...], float], float],
    noise: float,
    rng: np.random.Generator,
    tolerance: float,
) -> InputCheck:
    size = at.size
    chosen = range(size) if size <= ELEMENTS else sorted(rng.choice(size, ELEMENTS, replace=False).tolist())
    unit = float(np.max(np.abs(at[np.isfinite(at)]), initial=0.0)) or 1.0
    rough = 0
    worst: tuple[float, tuple[int, ...], float, float] = (0.0, (), 0.0, 0.0)
    for flat in chosen:
        element = tuple(int(i) for i in np.unravel_index(flat, at.shape))
        units = {unit: None, abs(float(at[element])) or unit: None}
        wanted = derivative(lambda h: moved(name, element, h), units, noise)  # noqa: B023  # used at once
        if wanted is None:
            rough += 1
            continue
        off = relative_error(float(found[element]), wanted, noise)
        if not off <= worst[0]:  # of a NaN too
            worst = (off, element, float(found[element]), wanted)
    return InputCheck(name, of, size, len(chosen) - rough, rough, *worst, tolerance)


def relative_error(found: float, wanted: float, noise: float) -> float:
    """NaN counts as infinitely wrong."""
    scale = max(abs(found), abs(wanted), noise)
    off = abs(found - wanted) / scale if scale else 0.0
    return off if off == off else float("inf")


def derivative(along: Callable[[float], float], units: Iterable[float], noise: float) -> float | None:
    """The derivative of `along` at 0 by differences, None where there seems to be none.

    units: sizes of what is moved. noise: derivatives are told apart as far as they differ by this, times TOLERANCE.
    """
    tries = (_settled(along, step * unit, noise) for unit in units for step in _STEPS)
    return next((found for found in tries if found is not None), None)


def _settled(along: Callable[[float], float], step: float, noise: float) -> float | None:
    """The extrapolated quotient, if those of the steps h, h/2, h/4 agree and there is no corner."""
    steps = (step, step / 2, step / 4)
    middle = along(0.0)
    ends = [(along(h), along(-h)) for h in steps]
    if not np.isfinite([middle, *(v for pair in ends for v in pair)]).all():
        return None
    quotients = [(above - below) / (2 * h) for h, (above, below) in zip(steps, ends)]
    coarse, fine = ((4 * quotients[k + 1] - quotients[k]) / 3 for k in (0, 1))
    bends = [(above + below - 2 * middle) / h for h, (above, below) in zip(steps, ends)]
    corner = max(abs(2 * bends[1] - bends[0]), abs(2 * bends[2] - bends[1]))  # nothing of a parabola's, all of a kink's
    settled = max(abs(fine - coarse), corner) <= 0.3 * TOLERANCE * max(abs(fine), noise)
    return fine if settled else None
