"""Floor 5: what `tilec.compile` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tilec.backend import Array, Built
from tilec.errors import Diagnostic, error
from tilec.graph import Graph, TensorType
from tilec.loops import Program
from tilec.runtime import argument, bind, result_arrays
from tilec.target import Target


class Executable:
    """A compiled function for one set of shapes and dtypes; call it like a function, from any thread.

    Attributes: name; params and results, ordered maps from name to TensorType; target; graph (optimised) and program
    (scheduled; None for target `reference`); warnings, the compiler's remarks. `fixed` holds the numbers among the
    arguments that reached a size or an index: the code is right for these values only.
    """

    def __init__(
        self,
        graph: Graph,
        program: Program | None,
        target: Target,
        built: Built,
        warnings: tuple[Diagnostic, ...] = (),
        fixed: Mapping[str, int | float] | None = None,
    ) -> None:
        types = graph.types()
        self.name = graph.name
        self.params: Mapping[str, TensorType] = {p.name: p.type for p in graph.params if p.digest is None}
        self.results: Mapping[str, TensorType] = {r: types[r] for r in graph.results}
        self.graph, self.program, self.target, self.warnings = graph, program, target, warnings
        self._built = built
        self._fixed = dict(fixed or {})
        self._names = tuple(self.params)

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        """Runs the function on arrays given by position or name.

        Returns one array, or a tuple of them in the order of `results`. `out`: an array, a sequence or a mapping by
        result name, to be written instead of fresh arrays. Raises TileError TILE0501 to TILE0507.
        """
        arrays = self.run(args, kwargs, out)
        return arrays[0] if len(arrays) == 1 else tuple(arrays)

    def run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any = None) -> list[Array]:
        """As `__call__`, always returning a list."""
        values = bind(self._names, args, kwargs)
        for name, value in zip(self._names, values):
            if name in self._fixed:
                _check_fixed(name, value, self._fixed[name])
        inputs = [argument(n, v, t) for (n, t), v in zip(self.params.items(), values)]
        arrays, copies = result_arrays(tuple(self.results), tuple(self.results.values()), out, inputs)
        self._built(inputs, arrays)
        for source, destination in copies:
            destination[...] = source
            arrays = [destination if a is source else a for a in arrays]
        return arrays

    def __repr__(self) -> str:
        from tilec.runtime import describe

        params = ", ".join(f"{n}: {describe(t)}" for n, t in self.params.items())
        results = ", ".join(f"{n}: {describe(t)}" for n, t in self.results.items())
        return f"<tilec.Executable {self.name}({params}) -> ({results}) on {self.target}>"


def _check_fixed(name: str, value: Any, compiled: int | float) -> None:
    if not (isinstance(value, int | float) and value == compiled):
        raise error(
            "TILE0510",
            f"argument {name!r} is {value!r}, but this executable is compiled for {compiled!r}",
            notes=[f"{name} reaches a size, an index or a constraint, so that its value shapes the code"],
            help="compile again for another value",
        )
