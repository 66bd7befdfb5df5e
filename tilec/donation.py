"""Floor 5: donated arguments: arrays that a call overwrites with results.

The array that is passed is the array that comes back, with the new value in it, as after `W -= lr * G` in NumPy: every
other name and view of it shows the new value too. What would make a wrong value of that is found before anything runs:
a donated array that shares memory with any other argument, a read-only one, an `out=` that shares memory with one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilec.backend import Array
from tilec.errors import TileError, error
from tilec.graph import TensorType
from tilec.runtime import as_array, overlap, overlaps_itself, result_arrays


@dataclass(frozen=True, slots=True)
class Donation:
    """Who takes whose memory: (position of the argument, position of the result), and the names and types of both."""

    pairs: tuple[tuple[int, int], ...]
    params: tuple[tuple[str, TensorType], ...]
    results: tuple[tuple[str, TensorType], ...]

    @staticmethod
    def of(
        donated: Mapping[str, str], params: Mapping[str, TensorType], results: Mapping[str, TensorType]
    ) -> Donation | None:
        """From pairs parameter: result; None where there are none."""
        if not donated:
            return None
        names, into = list(params), list(results)
        pairs = tuple((names.index(p), into.index(r)) for p, r in donated.items())
        return Donation(pairs, tuple(params.items()), tuple(results.items()))

    def prepare(self, values: Sequence[Any], inputs: list[Array], out: Any) -> Call:
        """Arrays for one call. `inputs` are the arguments converted, and may be other arrays than `values`.

        Raises TileError TILE0506, TILE0507 for `out`, TILE0512 for the donated arguments.
        """
        owners = {p: _owner(self.params[p][0], values[p], inputs[p]) for p, _ in self.pairs}
        found = shared(owners, [_memory(given, own) for given, own in zip(values, inputs)])
        if found is not None:
            k, p = found
            too = ", donated too" if k in owners else ""
            raise refused(self.params[p][0], f"shares memory with {self.params[k][0]!r}{too}")
        return self._call(values, inputs, owners, out)

    def _call(self, values: Sequence[Any], inputs: list[Array], owners: Mapping[int, Array], out: Any) -> Call:
        taken = {r: p for p, r in self.pairs}
        others = [(k, n, t) for k, (n, t) in enumerate(self.results) if k not in taken]
        left = self._out(out, values, taken)
        found = result_arrays([n for _, n, _ in others], [t for _, _, t in others], left, inputs)
        for target in found.returned if out is not None else ():
            for p, owner in owners.items():
                if isinstance(target, np.ndarray) and overlap(target, owner):
                    raise error("TILE0507", f"out= overlaps the donated argument {self.params[p][0]!r}")
        own = {k: (a, r) for (k, _, _), a, r in zip(others, found.arrays, found.returned)}
        for r, p in taken.items():
            own[r] = inputs[p], values[p] if isinstance(values[p], np.ndarray) else owners[p]
        back = [
            (inputs[p], o) for p, o in owners.items() if inputs[p] is not o and not np.may_share_memory(inputs[p], o)
        ]
        ordered = [own[k] for k in range(len(self.results))]
        return Call(inputs, [a for a, _ in ordered], [*found.copies, *back], [r for _, r in ordered])

    def _out(self, out: Any, values: Sequence[Any], taken: Mapping[int, int]) -> Any:
        """`out` without the results that take an argument's memory; for these it may be that argument, or None."""
        if out is None:
            return None
        names = [n for n, _ in self.results]
        if isinstance(out, Mapping):
            given = {**dict.fromkeys(names), **out}
        else:
            listed = list(out) if isinstance(out, tuple | list) else [out]
            if len(listed) != len(names):
                raise error("TILE0506", f"out= holds {len(listed)} arrays, the function has {len(names)} results")
            given = dict(zip(names, listed))
        for r, p in taken.items():
            target = given.pop(names[r])
            if target is not None and target is not values[p]:
                param = self.params[p][0]
                raise error("TILE0506", f"out= for {names[r]!r}, which is stored in the donated argument {param!r}")
        return given


@dataclass(frozen=True, slots=True)
class Call:
    """What a backend is given, the (from, to) copies after it has run, and what the caller gets."""

    inputs: list[Array]
    results: list[Array]
    copies: list[tuple[Array, Array]]
    returned: list[Any]


def shared(owners: Mapping[int, Array], memories: Sequence[Array]) -> tuple[int, int] | None:
    """The first argument that shares memory with another one that is donated, and that one.

    In the order of their addresses few are side by side: comparing all pairs would take longer than most programs.
    """
    allocations = [_allocation(a) for a in memories]
    if None not in allocations and len(set(allocations)) == len(memories):
        return None
    found: list[tuple[int, int]] = []
    near: list[tuple[int, int, int]] = []  # those that end behind the start of the next
    for start, end, k in sorted([(*_span(a), k) for k, a in enumerate(memories)]):
        near = [place for place in near if place[1] > start]
        for _, _, other in near:
            if (k in owners or other in owners) and overlap(memories[k], memories[other]):
                found += [(a, p) for a, p in ((k, other), (other, k)) if p in owners]
        near.append((start, end, k))
    order = list(owners)
    return min(found, key=lambda pair: (pair[0], order.index(pair[1])), default=None)


def _allocation(array: Array) -> int | None:
    """What NumPy allocated for an array and for views of it; None where the memory is not NumPy's."""
    root = array if array.base is None else array.base
    return id(root) if type(root) is np.ndarray and root.flags.owndata else None


def _span(array: Array) -> tuple[int, int]:
    """Where an array's memory begins and ends."""
    address = array.__array_interface__["data"][0]
    if array.flags.c_contiguous or array.size == 0:
        return address, address + array.nbytes
    steps = [s * (n - 1) for s, n in zip(array.strides, array.shape)]
    first, last = sum(s for s in steps if s < 0), sum(s for s in steps if s > 0)
    return address + first, address + last + array.itemsize


def _memory(given: Any, converted: Array) -> Array:
    """The memory of an argument as it was passed: what has been converted may be a copy."""
    if isinstance(given, np.ndarray):
        return _plain(given)
    if isinstance(given, bool | int | float | np.generic):
        return converted
    return as_array("argument", given)


def _owner(name: str, value: Any, converted: Array) -> Array:
    """The array that is to hold the result: the caller's, or a fresh one for a number; raises TILE0512."""
    if isinstance(value, bool | int | float | np.generic):
        return converted
    if not isinstance(value, np.ndarray):
        raise refused(name, f"is an object of type {type(value).__name__}, not a NumPy array")
    array = _plain(value)
    if not array.flags.writeable:
        raise refused(name, "is read-only")
    if overlaps_itself(array):
        raise refused(name, "overlaps itself")
    return converted if converted is value else array


def _plain(array: Array) -> Array:
    """The array without the behaviour of a subclass."""
    return array if type(array) is np.ndarray else np.ndarray.view(array, np.ndarray)


def refused(name: str, why: str) -> TileError:
    return error("TILE0512", f"argument {name!r} is donated, but {why}", help="pass a copy: numpy.array(...)")


def check_donation(donate: Mapping[str, str], params: Mapping[str, Any], results: Mapping[str, TensorType]) -> None:
    """Whether parameters may give their memory to results; raises TILE0512. `params`: types, without constants."""
    for param, result in donate.items():
        if param not in params:
            raise _unfit(param, result, f"there is no argument {param!r}", f"arguments: {', '.join(params)}")
        if result not in results:
            raise _unfit(param, result, f"there is no result {result!r}", f"results: {', '.join(results)}")
        a, b = params[param], results[result]
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            raise _unfit(param, result, "their types differ", f"{param!r} is {_text(a)}, {result!r} is {_text(b)}")
    names = list(donate.values())
    for param, result in donate.items():
        if names.count(result) > 1:
            raise _unfit(param, result, f"{result!r} takes the memory of two arguments", "each takes that of one")


def _unfit(param: str, result: str, why: str, note: str) -> TileError:
    return error("TILE0512", f"{param!r} cannot be donated to {result!r}: {why}", notes=[note])


def _text(type: TensorType) -> str:
    return f"{type.dtype}[{', '.join(map(str, type.shape))}]"
