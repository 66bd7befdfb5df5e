"""Floor 5: how long each kernel of an executable takes, and how much of the machine it uses.

Every kernel is built once more as a program of its own and timed on the buffers that it really works on: a first run,
whose temporary tensors are made results, has filled them. So nothing is added to the code that is measured. Times are
medians of many launches in a row: inputs that fit the caches are found there.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from tilec.backend import Array, Backend, Built
from tilec.devices import backend
from tilec.errors import Span, error
from tilec.executable import Executable
from tilec.graph import Graph, Let, operands
from tilec.loops import Buffer, Copy, Launch, Program, Step, all_steps, parts
from tilec.measure.costs import Cost, cost, number
from tilec.measure.peaks import Peaks
from tilec.runtime import argument, bind
from tilec.target import Target

_SHORT = 50e-6  # seconds below which several launches are timed together: a call costs a few microseconds itself
_TOGETHER = 200e-6
_RUNS = 5


@dataclass(frozen=True, slots=True)
class Part:
    """A kernel launch, or a copy, and what it takes. `times`: seconds of single launches.

    `in_loop`: inside a loop or a branch of the program, so that one run may launch it any number of times.
    """

    name: str
    times: tuple[float, ...]
    cost: Cost
    spans: tuple[Span, ...] = ()
    in_loop: bool = False

    @property
    def seconds(self) -> float:
        return statistics.median(self.times)

    def share(self, peaks: Peaks) -> float:
        """Of what the machine can do at best; above 1 where data come from a cache."""
        return max(self._least(peaks)) / self.seconds

    def bound(self, peaks: Peaks) -> str:
        """`compute` or `memory`: which of the two limits is nearer."""
        arithmetic, traffic = self._least(peaks)
        return "compute" if arithmetic >= traffic else "memory"

    def _least(self, peaks: Peaks) -> tuple[float, float]:
        return peaks.seconds(self.cost.operations, self.cost.bytes, self.cost.dtype)


@dataclass(frozen=True, slots=True)
class Profile:
    """Parts in the order of the program; `times` are seconds of whole calls."""

    parts: tuple[Part, ...]
    times: tuple[float, ...]
    peaks: Peaks

    @property
    def seconds(self) -> float:
        return statistics.median(self.times)


def profile(executable: Executable, arguments: Mapping[str, Any], peaks: Peaks, seconds: float = 0.2) -> Profile:
    """Times every kernel for about that long each; raises TileError TILE0508 for a device other than the CPU."""
    program, target = executable.program, executable.target
    if program is None or target.backend != "llvm":
        raise error("TILE0508", f"only the target llvm can be profiled, not {str(target)!r}")
    values = bind(tuple(executable.params), (), arguments)
    inputs = [argument(n, v, t) for (n, t), v in zip(executable.params.items(), values)]
    times = tuple(_timed(lambda: executable.run_values(values), seconds))
    bench = _Bench(backend(target.backend), exposed(program), target, executable.constants, inputs)

    def part(step: Launch | Copy, inner: bool) -> Part:
        found = spans(executable.graph, program, step)
        return Part(_name(step), bench.times(step, seconds), step_cost(program, step), found, inner)

    steps = flattened((*program.init, *program.steps))
    return Profile(tuple(part(step, inner) for step, inner in steps), times, peaks)


def exposed(program: Program) -> Program:
    """The program with all temporary tensors as results, so that they can be kept and passed to single kernels."""
    buffers = tuple(replace(b, space="param") if b.space == "heap" else b for b in program.buffers)
    known = {*program.params, *program.results, *(n for n, _ in program.constants)}
    heap = tuple(b.name for b in buffers if b.base is None and b.name not in known)
    steps = (*program.init, *program.steps)
    return replace(
        program, buffers=buffers, results=(*program.results, *heap), steps=steps, init=(), arena=0, places=()
    )


class _Bench:
    """Buffers filled by one run, and single steps timed on them."""

    def __init__(
        self,
        own: Backend,
        program: Program,
        target: Target,
        constants: Mapping[str, Array],
        inputs: Sequence[Array],
    ) -> None:
        self._own, self._program, self._target, self._constants = own, program, target, constants
        self._inputs = list(inputs)
        self._results = [_zeros(program.buffer(r)) for r in program.results]
        own.build(program, target, constants)(self._inputs, self._results)

    def times(self, step: Step, seconds: float) -> tuple[float, ...]:
        """Seconds of single launches of a step."""
        call = self._call(step, 1)
        call()
        once = min(_timed(call, 0.0))
        if once >= _SHORT:
            return tuple(_timed(call, seconds))
        together = min(256, max(2, round(_TOGETHER / max(once, 1e-6))))
        return tuple(t / together for t in _timed(self._call(step, together), seconds))

    def _call(self, step: Step, count: int) -> Callable[[], None]:
        kernels = tuple(k for k in self._program.kernels if isinstance(step, Launch) and k.name == step.kernel)
        buffers = tuple(replace(b, moves=()) for b in self._program.buffers)  # a step of a loop: as in the first round
        single = replace(self._program, kernels=kernels, steps=(step,) * count, buffers=buffers)
        built: Built = self._own.build(single, self._target, self._constants)
        if hasattr(built, "bind"):
            bound: Callable[[], None] = built.bind(self._inputs, self._results)
            return bound
        return lambda: built(self._inputs, self._results)


def _zeros(buffer: Buffer) -> Array:
    try:
        return np.zeros([number(s) for s in buffer.shape], buffer.dtype.numpy)
    except MemoryError:
        raise error("TILE0416", f"the tensor {buffer.name!r} does not fit in memory beside the others") from None


def _timed(call: Callable[[], Any], seconds: float) -> list[float]:
    """Seconds of single calls, at least five."""
    found: list[float] = []
    until = time.perf_counter() + seconds
    while len(found) < _RUNS or time.perf_counter() < until:
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return found


def flattened(steps: Sequence[Step], inner: bool = False) -> Iterator[tuple[Launch | Copy, bool]]:
    """Launches and copies in order, and whether each is inside a loop or branch."""
    for step in steps:
        if isinstance(step, Launch | Copy):  # host functions are not ours
            yield step, inner
        for part in parts(step):
            yield from flattened(part, True)


def _name(step: Launch | Copy) -> str:
    return step.kernel if isinstance(step, Launch) else f"copy to {step.target}"


def step_cost(program: Program, step: Launch | Copy) -> Cost:
    """The work of a step: of a kernel what its loops say, of a copy its bytes."""
    if isinstance(step, Launch):
        return cost(program.kernel(step.kernel))
    buffer = program.buffer(step.target)
    size = prod(number(s) for s in buffer.shape) * buffer.dtype.bytes
    return Cost({}, size, size)


def spans(graph: Graph, program: Program, step: Launch | Copy) -> tuple[Span, ...]:
    """The source of what a step computes: of the tensors that it writes, and of those that have no memory of their
    own and are computed on the way."""
    buffers = {b.name: b for b in program.buffers}
    stored = {*buffers, *(p.buffer.name for k in program.kernels for p in k.params)}  # some share a buffer
    lets = {name: let for let in graph.lets for name in let.names}
    wanted = [buffers[n].base or n if n in buffers else n for n in _made(program, step)]
    found: dict[str, Let] = {}
    while wanted:
        name = wanted.pop()
        if name in lets and name not in found:
            found[name] = lets[name]
            wanted += [o for o in operands(lets[name].node) if o not in stored]
    places = {(s.start, s.end): s for let in found.values() if (s := let.span) is not None}
    return tuple(places[k] for k in sorted(places))


def _made(program: Program, step: Launch | Copy) -> list[str]:
    """Tensors that a step computes. A kernel knows them by name; one of several launches, by the buffers it writes."""
    if isinstance(step, Launch) and [s.kernel for s in _launches(program)].count(step.kernel) == 1:
        return [p.buffer.name for p in program.kernel(step.kernel).params if p.mode != "in"]
    return _written(program, step)


def _launches(program: Program) -> Iterator[Launch]:
    return (s for s in all_steps((*program.init, *program.steps)) if isinstance(s, Launch))


def _written(program: Program, step: Launch | Copy) -> list[str]:
    if isinstance(step, Copy):
        return [step.target]
    params = program.kernel(step.kernel).params
    return [name for name, param in zip(step.args, params) if param.mode != "in"]
