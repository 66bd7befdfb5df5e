"""Floor 5: from a program to an Executable by way of all passes. Imported only when something has to be compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from tilec import pipeline
from tilec.backend import Array, Built
from tilec.errors import Report
from tilec.evaluate.graph import evaluate
from tilec.executable import Compiled, Executable, interface_of, no_memory
from tilec.frames import roomy
from tilec.graph import Graph
from tilec.memory_limit import budgeted, check_budget, within_limit
from tilec.options import Options, Watcher, ignore
from tilec.pins import pins_of
from tilec.runtime import argument
from tilec.target import Target
from tilec.tune.chooser import chooser
from tilec.tune.tuner import preparation


@roomy
def compile_graph(
    graph: Graph,
    device: Target,
    constants: Mapping[str, Any],
    options: Options = Options(),
    watch: Watcher = ignore,
    scalars: Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> Executable:
    """Compiles a Graph whose constant parameters carry a digest; `constants` holds their values.

    `scalars` are arguments whose value is compiled in although they stay arguments; `report` holds earlier warnings.
    """
    report = report if report is not None else Report()
    stages = _Stages(watch)
    watch = stages.watch
    watch("graph", graph)
    if device.backend != "reference":
        options = budgeted(graph, device, options)
    pins = pins_of(graph, options.schedules, report)
    graph = pipeline.optimise(graph, watch, report, options)
    choose = chooser(device, options.tune)
    guide = pipeline.Guide(pins, report, choose or pipeline.by_rule, preparation(choose, options.tune))
    if options.memory_limit is not None and device.backend != "reference":
        graph = within_limit(graph, device, options, report, guide)
        watch("remat", graph)
    arrays = {p.name: argument(p.name, constants[p.name], p.type) for p in graph.params if p.digest is not None}
    if device.backend == "reference":
        interface = interface_of(graph, tuple(report.warnings()), scalars)
        built: Built = _Reference(graph, arrays)
        return Executable(interface, device, built, Compiled(graph, None), arrays, options)
    program = pipeline.lower_graph(graph, device, options, watch, guide)
    check_budget(program, options)
    interface = interface_of(graph, tuple(report.warnings()), scalars)
    try:
        built = pipeline.backend(device.backend).build(program, device, arrays)
    except MemoryError as reason:
        raise no_memory(graph.name, reason) from None
    stages.end("backend")
    ir = Compiled(graph, program, choose.choices if choose else (), tuple(stages.seconds.items()))
    return Executable(interface, device, built, ir, arrays, options)


class _Stages:
    """A watcher that notes what each stage takes, and tells another one."""

    def __init__(self, watch: Watcher) -> None:
        self._told, self._since = watch, perf_counter()
        self.seconds: dict[str, float] = {}

    def watch(self, stage: str, ir: Any) -> None:
        self.end(stage)
        self._told(stage, ir)
        self._since = perf_counter()

    def end(self, stage: str) -> None:
        """A stage may come several times."""
        now = perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


class _Reference(Built):
    """Target `reference`: the evaluator itself."""

    def __init__(self, graph: Graph, constants: Mapping[str, Array]) -> None:
        self._graph, self._constants = graph, constants

    def __call__(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        names = [p.name for p in self._graph.params if p.digest is None]
        values = evaluate(self._graph, {**self._constants, **dict(zip(names, params))})
        for name, array in zip(self._graph.results, results):
            array[...] = values[name]
