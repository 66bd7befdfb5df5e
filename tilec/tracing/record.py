"""Floor 5: recording: `with tilec.record() as tape:` operations on arrays are noted down, and differentiated by replay.

Inside, functions of `tilec.numpy` and `tilec.contract` return `Array`s: traced tensors that know their elements. An
element is computed when Python asks for it (`float(a)`, `if a > 0`, `numpy.asarray(a)`), by compiling what has been
noted down since; equal stretches of a loop are compiled once. So Python's control flow is free, and what it did is on
the tape: `tape.gradient(loss, arrays)` replays the whole as one Graph and differentiates it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np

from tilec.api import compile_for
from tilec.configuration import config
from tilec.errors import error
from tilec.executable import Executable
from tilec.fresh import FreshNames
from tilec.graph import Apply, Graph, Let, Param, TensorType, operands
from tilec.numpy_semantics import Array as NumpyArray
from tilec.passes import differentiate
from tilec.passes.differentiate.activity import live_lets
from tilec.rewrite import rename_operands
from tilec.runtime import type_of
from tilec.signatures import Signatures
from tilec.text.graph_text import print_graph
from tilec.tracing import trees
from tilec.tracing.place import located, user_span
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import Trace

_programs: Signatures[Executable] = Signatures("record")


class Array(Tensor):
    """A tensor of a tape: it has all that a `Tensor` has, and elements. Usable after the `with` block, too."""

    __slots__ = ()

    def numpy(self) -> NumpyArray:
        """The elements, as a NumPy array of one's own."""
        tape: Tape = self.trace
        return tape.value(self).copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        found = self.numpy()
        return found if dtype is None else found.astype(dtype)

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __index__(self) -> int:
        return self.numpy().__index__()

    def __float__(self) -> float:
        return float(self.numpy())

    def item(self) -> Any:
        return self.numpy().item()

    def __format__(self, form: str) -> str:
        return format(self.numpy().item() if form else self.numpy(), form)

    def tolist(self) -> Any:
        return self.numpy().tolist()

    def __repr__(self) -> str:
        return f"Array({self.numpy()!r})"


@dataclass(slots=True, eq=False)
class _Leaf:
    """An array that the tape met: what it was then, and the parameter that stands for it."""

    given: Any
    kept: NumpyArray
    tensor: Array


@dataclass(slots=True, eq=False)
class Tape(Trace):
    """What `tilec.record` notes down. `values`: elements by name, as far as they have been computed."""

    values: dict[str, NumpyArray] = field(default_factory=dict)
    _leaves: dict[int, _Leaf] = field(default_factory=dict)

    def tensor(self, name: str) -> Array:
        return Array(self, name, self._builder.types[name])

    def name_of(self, tensor: Tensor) -> str:
        """Arrays of a tape stay usable after it."""
        if tensor.trace is self:
            return tensor.name
        if isinstance(tensor, Array):
            return self.constant(tensor.numpy()).name
        return Trace.name_of(self, tensor)

    def lift(self, value: Any) -> Tensor:
        """As any trace; a scalar of NumPy's can be differentiated by, as an array can."""
        if isinstance(value, np.generic):
            return self._leaf(value)
        return Trace.lift(self, value)

    def constant(self, array: NumpyArray) -> Array:
        return self._leaf(array)

    def _leaf(self, given: Any) -> Array:
        """The parameter for an array; the same for the same array. Raises TILE0511 where it has changed meanwhile."""
        leaf = self._leaves.get(id(given))
        if leaf is None:
            kept = np.array(given, order="C", copy=True)
            leaf = _Leaf(given, kept, self._parameter(kept))
            self._leaves[id(given)] = leaf
        elif not _same_bytes(leaf.kept, np.asarray(given)):
            help = "make a new array, w = w - step, instead of changing one in place; or begin another tape"
            raise error("TILE0511", "an array has changed since it was recorded", user_span(), help=help)
        return leaf.tensor

    def _parameter(self, array: NumpyArray) -> Array:
        type = type_of(array)
        if type is None:
            raise error("TILE0503", f"an operand has dtype {array.dtype}, which tilec does not have")
        name = self.param("a", type).name
        self.values[name] = array
        return self.tensor(name)

    def _constant(self, array: NumpyArray, type: TensorType) -> str:
        """An array that a sub-Graph uses."""
        return self._parameter(np.array(array, order="C", copy=True)).name

    # elements

    def value(self, tensor: Tensor) -> NumpyArray:
        """The elements of a tensor of the tape, computed from the nearest ones that are known."""
        if tensor.name not in self.values:
            lets, known = self._pending(tensor.name)
            wanted = [n for let in lets for n in let.names]  # all of them: what follows may need any
            graph = _numbered(lets, known, wanted, self._builder.types)
            arrays = _compiled(graph).run_values([self.values[n] for n in known])
            self.values.update(zip(wanted, arrays, strict=True))
        return self.values[tensor.name]

    def _pending(self, name: str) -> tuple[list[Let], list[str]]:
        """The Lets that a value still needs, and the names with known elements that they read."""
        lets = [let for let in self._builder.lets if not all(n in self.values for n in let.names)]
        params = tuple(Param(n, self._builder.types[n]) for n in self.values)
        needed = live_lets(Graph("recorded", params, tuple(lets), (name,)), (name,))
        read = dict.fromkeys(o for let in needed for o in operands(let.node) if o in self.values)
        return needed, list(read)

    # derivatives

    def gradient(self, value: Any, wrt: Any) -> Any:
        """The gradient of a recorded value (its sum) with respect to a tree of arrays that were used while recording,
        in their structure; zeros for one that does not matter. Raises TILE0309, TILE0511.
        """
        with located():
            if not isinstance(value, Array) or value.trace is not self:
                self._foreign("the value", value)
            leaves, structure = trees.flatten(wrt)
            names = [self._recorded(leaf) for leaf in leaves]
            if not value.type.dtype.is_float:
                raise error("TILE0309", f"the value is {value.type.dtype.long}: it has no gradient")
            found = self._derived(value.name, list(dict.fromkeys(names)))
            return trees.unflatten(structure, [found[n].copy() for n in names])

    def _derived(self, value: str, names: Sequence[str]) -> dict[str, NumpyArray]:
        """Gradients by name; what is differentiated by is a parameter, whatever computed it."""
        lets = [let for let in self._builder.lets if not set(let.names) & set(names)]
        types = self._builder.types
        first = [Param(n, types[n]) for n in names]
        others = [p for p in self.params if p.name not in names]
        needed = live_lets(Graph("recorded", (*first, *others), tuple(lets), (value,)), (value,))
        used = {o for let in needed for o in operands(let.node)}
        params = [*first, *(p for p in others if p.name in used)]
        given = [p.name for p in params]
        graph = _numbered(needed, given, [value], types)
        derived = differentiate.gradient(graph, [p.name for p in graph.params[: len(names)]], graph.results[0])
        arrays = _compiled(derived).run_values([self.value(self.tensor(n)) for n in given])
        return dict(zip(names, arrays, strict=True))

    def _recorded(self, leaf: Any) -> str:
        """The name of an array that the tape knows."""
        if isinstance(leaf, Array) and leaf.trace is self:
            return leaf.name
        known = self._leaves.get(id(leaf))
        if known is None:
            self._foreign("an array", leaf)
        return known.tensor.name

    def _foreign(self, what: str, value: Any) -> NoReturn:
        text = f"{what}, of type {type(value).__name__}, was not used while this tape recorded"
        raise error("TILE0511", text, help="use it inside 'with tilec.record() as tape:', by functions of tilec.numpy")


@contextmanager
def record() -> Iterator[Tape]:
    """Notes down what functions of `tilec.numpy` and `tilec.contract` do to arrays; see `Tape.gradient`.

    >>> import numpy as np, tilec
    >>> import tilec.numpy as tnp
    >>> w = np.array([1.0, 2.0])
    >>> with tilec.record() as tape:
    ...     loss = tnp.sum(tnp.square(w))
    ...     if loss > 3:
    ...         loss = loss * 10.0
    >>> float(loss), tape.gradient(loss, w).tolist()
    (50.0, [20.0, 40.0])
    """
    tape = Tape("recorded")
    with tape.open():
        yield tape


def _numbered(lets: Sequence[Let], known: Sequence[str], results: Sequence[str], types: dict[str, TensorType]) -> Graph:
    """A Graph in which names are numbered in their order, so that equal stretches of a tape have equal Graphs."""
    fresh = FreshNames()
    new = {name: fresh.numbered("p") for name in known}
    params = tuple(Param(new[n], types[n]) for n in known)
    body = []
    for let in lets:
        node = rename_operands(let.node, new)
        new.update((n, fresh.numbered("v")) for n in let.names)
        body.append(replace(let, names=tuple(new[n] for n in let.names), node=node))
    found = tuple(fresh.numbered("r") for _ in results)
    for name, result in zip(results, found, strict=True):
        body.append(Let((result,), Apply("ident", (new[name],)), (types[name],)))
    return Graph("recorded", params, tuple(body), found)


def _compiled(graph: Graph) -> Executable:
    """The program of a Graph; equal ones are compiled once."""
    key = (print_graph(graph), config.decisive())
    return _programs.find(key) or _programs.make(key, lambda: (compile_for(graph, "auto", None, {}), ()))


def _same_bytes(a: NumpyArray, b: NumpyArray) -> bool:
    return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == np.ascontiguousarray(b).tobytes()
