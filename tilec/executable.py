"""Floor 5: what `tilec.compile` and `tilec.load` return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

from tilec.backend import Array, Built, Run, StepTime
from tilec.errors import Diagnostic, TileError, error
from tilec.graph import Graph, TensorType
from tilec.loops import Program
from tilec.open_sizes import IR, Limit, OpenSlots, Slots, names_of
from tilec.options import Options
from tilec.resident_calls import has_buffers, prepared
from tilec.runtime import bind, result_arrays
from tilec.target import Target

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from tilec.measure.memory import Memory
    from tilec.measure.report import ExecutableReport


@dataclass(frozen=True, slots=True)
class Interface:
    """What a caller must know. `fixed` holds the numbers among the arguments whose value shapes the code;
    `donated` the results that are stored in arguments, by argument."""

    name: str
    params: Mapping[str, TensorType]
    results: Mapping[str, TensorType]
    fixed: Mapping[str, int | float] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    donated: Mapping[str, str] = field(default_factory=dict)


class Executable:
    """A compiled function for one set of dtypes and shapes; call it like a function, from any thread.

    Attributes: name; params and results, ordered maps from name to TensorType; sizes, the names of sizes in them that
    are open, bound anew by the arguments of each call; target; options; warnings, the compiler's remarks; fixed, the
    numbers among the arguments that reached a size or an index: the code is right for these values only; donated, from
    arguments to the results that overwrite them; constants, arrays that are compiled in; built, what the backend made;
    direct, a function of a tuple of arguments and `out`: as a call, or NotImplemented where that is left to Python, as
    the first two calls are.
    """

    def __init__(
        self,
        interface: Interface,
        target: Target,
        built: Built,
        ir: IR,
        constants: Mapping[str, Array],
        options: Options = Options(),
    ) -> None:
        self.name, self.params, self.results = interface.name, interface.params, interface.results
        self.fixed, self.warnings, self.donated = interface.fixed, interface.warnings, interface.donated
        self.target, self.options, self.constants = target, options, constants
        self.built, self.ir = built, ir
        self._released = False
        self.sizes = names_of(self.params.values())
        self._names = tuple(self.params)
        self._slots = Slots.of(built, self.params, self.results, self.donated)
        limit = None if options.memory_limit is None else Limit(self.name, options.memory_limit, ir)
        self._open = OpenSlots(built, self.params, self.results, self.donated, limit) if self.sizes else None
        self.direct: Callable[[Any, Any], Any] = never
        self._kept: list[Any] = []
        self._calls_in_python = 2 if not (self.sizes or self.donated or self.fixed) else -1  # left; -1: all

    def _take_direct(self) -> None:
        """Calls go the direct way from now on, where there is one."""
        found = self.built.direct(tuple(self.params.items()), self._slots.makers())
        if found is not None:
            self._kept.append(found.kept)  # first; two threads may be here at once
            self._description, self.direct = found.description, found.run
            self.__class__ = _directly_called(found.method)

    @cached_property
    def graph(self) -> Graph:
        """The optimised Graph."""
        return self.ir.graph()

    @cached_property
    def program(self) -> Program | None:
        """The scheduled Program; None for target `reference`."""
        return self.ir.program()

    @cached_property
    def memory(self) -> Memory:
        """What memory a call needs, and for which tensors: print it.

        Raises TileError TILE0508 for `reference`, TILE0210 where sizes are open: see `memory_for`.
        """
        return self.memory_for()

    def memory_for(self, /, **sizes: int) -> Memory:
        """As `memory`, of a call for these open sizes: `memory_for(N=64)`.

        Raises TileError TILE0210 for a size that is not given, TILE0211 where one or that of an axis is negative,
        TILE0414 for memory that cannot be counted, TILE0502 for sizes that it does not have, TILE0505, TILE0508.
        """
        from tilec.measure.memory import memory

        if self.program is None:
            raise error("TILE0508", "the target 'reference' plans no memory", help="compile for llvm or opencl")
        code = getattr(self.built, "code", None)
        return memory(self.program, self.graph, None if code is None else code.arena_bytes, sizes)

    def report(self) -> ExecutableReport:
        """What a call does, launches and host calls counted, and what compiling took: print it."""
        from tilec.measure.report import report

        return report(self, dict(self.ir.seconds) if isinstance(self.ir, Compiled) else {})

    def device_times(self, /, *args: Any, **kwargs: Any) -> tuple[StepTime, ...]:
        """Calls the function and tells what each launch took on the device, in their order, one after the other.

        A first call compiles and allocates, so call it once before. Donated arguments are overwritten. Raises TileError
        TILE0508 for a target other than OpenCL, whose kernels `tilec profile` times, and what a call raises.
        """
        timing = self.built.timing()
        if timing is None:
            help = "tilec profile times the kernels of llvm"
            raise error("TILE0508", f"the target {str(self.target)!r} does not tell times of launches", help=help)
        with timing as times:
            self.run(args, kwargs)
        return tuple(times)

    def __call__(self, /, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        """Runs the function on arrays given by position or name.

        Returns one array, or a tuple of them in the order of `results`. `out`: an array, a sequence or a mapping by
        result name, to be written instead of fresh arrays. A donated argument is overwritten and comes back as the
        result. With a `tilec.Buffer` among the arguments or in `out`, results are Buffers. Raises TileError TILE0501 to
        TILE0507, TILE0512, TILE0515, TILE0516; with open sizes TILE0211, TILE0419.
        """
        return self._call(*args, out=out, **kwargs)

    def _call(self, /, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        arrays = self.run(args, kwargs, out)
        return arrays[0] if len(arrays) == 1 else tuple(arrays)

    def run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any = None) -> list[Any]:
        """As `__call__`, always returning a list."""
        return self.run_values(bind(self._names, args, kwargs, self.fixed), out)

    def run_values(self, values: Sequence[Any], out: Any = None) -> list[Any]:
        """As `run`, for exactly one value per parameter, in their order."""
        found = self.direct(tuple(values), out)
        if found is not NotImplemented:
            return [found] if len(self.results) == 1 else list(found)
        if self._calls_in_python > 0:
            self._calls_in_python -= 1
            if self._calls_in_python == 0:  # not before the first result, for which somebody waits
                self._take_direct()
        if self.fixed:
            for name, value in zip(self._names, values):
                if name in self.fixed:
                    _check_fixed(name, value, self.fixed[name])
        slots = self._slots if self._open is None else self._open.of(values)
        if has_buffers(values, out):
            call = prepared(slots, values, out, self.target)
            self._launch(slots.run, call.inputs, call.results)
            return call.end()
        fresh, types = slots.results, slots.result_types
        inputs = [p.taken(v) for p, v in zip(slots.params, values)]
        if slots.donation is not None:
            given = slots.donation.prepare(values, inputs, out)
            self._launch(slots.run, given.inputs, given.results)
            for source, destination in given.copies:
                destination[...] = source
            return given.returned
        if out is None:
            arrays = [r.fresh() for r in fresh]
            self._launch(slots.run, inputs, arrays)
            return arrays
        if len(fresh) == 1 and fresh[0].writable(out, inputs):
            self._launch(slots.run, inputs, [out])
            return [out]
        found = result_arrays(tuple(self.results), types, out, inputs)
        self._launch(slots.run, inputs, found.arrays)
        for source, destination in found.copies:
            destination[...] = source
        return found.returned

    def _launch(self, run: Run, inputs: Sequence[Any], results: Sequence[Any]) -> None:
        try:
            run(inputs, results)
        except MemoryError as reason:
            raise no_memory(self.name, reason) from None

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the executable to a file that `tilec.load` reads, whole or not at all; raises TileError TILE0511,
        TILE0702.

        The file holds machine code, constants and the program, so that another machine can compile it again.
        """
        from tilec.artifacts.saved import save

        if self._released:
            help = "save it before release_constants(), or compile it again"
            raise error("TILE0511", f"the constants of {self.name!r} have been released", help=help)
        save(self, path)

    def release_constants(self) -> None:
        """Lets go of the constants, so that what has been packed or computed of them before the first call is not kept
        beside them. The executable runs as before; it cannot be saved any more.
        """
        self.constants, self._released = {}, bool(self.constants)

    def __repr__(self) -> str:
        from tilec.runtime import describe

        params = ", ".join(f"{n}: {describe(t)}" for n, t in self.params.items())
        results = ", ".join(f"{n}: {describe(t)}" for n, t in self.results.items())
        return f"<tilec.Executable {self.name}({params}) -> ({results}) on {self.target}>"

    def _repr_html_(self) -> str:
        """Signature, target and kernels as a table, for notebooks."""
        from tilec.display import executable_table

        return executable_table(self)._repr_html_()

    def __rich__(self) -> RichTable:
        """The same for `rich.print`."""
        from tilec.display import executable_table

        return executable_table(self).__rich__()


def never(values: Any, out: Any) -> Any:
    """The direct call of executables that have none."""
    return NotImplemented


@cache
def _directly_called(method: Callable[[type, str], Any]) -> type[Executable]:
    """The class with a `__call__` in machine code, which leaves what is unusual to `_call`."""
    signature = "__call__($self, /, *args, out=None, **kwargs)\n--\n\n"
    called = type("Executable", (Executable,), {"__doc__": Executable.__doc__, "__module__": "tilec"})
    called.__call__ = method(called, signature + (Executable.__call__.__doc__ or ""))  # type: ignore[method-assign]
    return called


@dataclass(frozen=True, slots=True)
class Compiled:
    """The IR of something compiled in this process. `choices`: schedules that it took from records of the tuner;
    `seconds`: what each stage took."""

    optimised: Graph
    scheduled: Program | None
    choices: tuple[tuple[str, str], ...] = ()
    seconds: tuple[tuple[str, float], ...] = ()

    def graph(self) -> Graph:
        return self.optimised

    def program(self) -> Program | None:
        return self.scheduled


def interface_of(
    graph: Graph, warnings: tuple[Diagnostic, ...] = (), fixed: Mapping[str, int | float] | None = None
) -> Interface:
    """The interface of a typed Graph; parameters with a digest are constants, not arguments."""
    types = graph.types()
    params = {p.name: p.type for p in graph.params if p.digest is None}
    results = {r: types[r] for r in graph.results}
    return Interface(graph.name, params, results, dict(fixed or {}), warnings, dict(graph.aliases))


def no_memory(name: str, reason: MemoryError) -> TileError:
    """TILE0416 for a MemoryError that a backend let out: its temporary tensors do not fit."""
    notes = str(reason).splitlines()[:1]
    return error("TILE0416", f"the temporary tensors of {name!r} do not fit in memory", notes=notes)


def _check_fixed(name: str, value: Any, compiled: int | float) -> None:
    if not (isinstance(value, int | float) and value == compiled):
        raise error(
            "TILE0510",
            f"argument {name!r} is {value!r}, but this executable is compiled for {compiled!r}",
            notes=[f"{name} reaches a size, an index or a constraint, so that its value shapes the code"],
            help="compile again for another value",
        )
