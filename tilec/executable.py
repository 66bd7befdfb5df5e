"""Floor 5: what `tilec.compile` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tilec.backend import Array, Built
from tilec.errors import Diagnostic
from tilec.graph import Graph, TensorType
from tilec.loops import Program
from tilec.runtime import argument, bind, result_arrays
from tilec.target import Target


class Executable:
    """A compiled function for one set of shapes and dtypes; call it like a function, from any thread.

    Attributes: name; params and results, ordered maps from name to TensorType; target; graph (optimised) and program
    (scheduled; None for target `reference`); warnings, the compiler's remarks.
    """

    def __init__(
        self,
        graph: Graph,
        program: Program | None,
        target: Target,
        built: Built,
        warnings: tuple[Diagnostic, ...] = (),
    ) -> None:
        types = graph.types()
        self.name = graph.name
        self.params: Mapping[str, TensorType] = {p.name: p.type for p in graph.params if p.digest is None}
        self.results: Mapping[str, TensorType] = {r: types[r] for r in graph.results}
        self.graph, self.program, self.target, self.warnings = graph, program, target, warnings
        self._built = built
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
