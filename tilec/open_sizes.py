"""Floor 5: calls of programs with open sizes: what the arguments say of them, and the types that follow.

A size is open where a type names it: `f32[N, 784]`. Each call binds it anew, from the shapes of its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from tilec.affine import Poly, Size, named_size, resolve, size_text
from tilec.backend import Array, Built, Run
from tilec.donation import Donation
from tilec.errors import TileError, error
from tilec.graph import Graph, TensorType
from tilec.loops import Program
from tilec.resident import Buffer
from tilec.runtime import Slot, as_array, describe

if TYPE_CHECKING:
    from tilec.open_arena import OpenLife

_KEPT = 64  # size vectors whose slots are kept


def names_of(types: Iterable[TensorType]) -> tuple[str, ...]:
    """The open sizes of some types, in the order of their first use."""
    sizes = [s for t in types for s in t.shape if isinstance(s, Poly)]
    return tuple(dict.fromkeys(n for s in sizes for n in sorted(s.names())))


def fixed(type: TensorType, sizes: Mapping[str, int]) -> TensorType:
    """The type with numbers for its open sizes; raises TileError TILE0211 where one is negative."""
    shape = tuple(int(resolve(s, sizes)) for s in type.shape)
    for size, number in zip(type.shape, shape):
        if number < 0:
            raise negative(size, number, sizes)
    return replace(type, shape=shape)


def negative(size: Size, number: int, sizes: Mapping[str, int]) -> TileError:
    """TILE0211 for a size that the arguments of a call make negative."""
    given = ", ".join(f"{n} = {v}" for n, v in sizes.items())
    return error("TILE0211", f"the size {size_text(size)} is {number} where {given}")


def bind_sizes(params: Mapping[str, TensorType], shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    """What the shapes of arguments say of the open sizes; raises TileError TILE0504 where they disagree."""
    found: dict[str, int] = {}
    owners: dict[str, str] = {}
    for (name, type), shape in zip(params.items(), shapes, strict=True):
        if len(shape) != type.rank:
            raise _misshapen(name, type, shape)
        for size, actual in zip(type.shape, shape):
            own = size_text(size)
            if size == named_size(own):
                if found.setdefault(own, actual) != actual:
                    text = f"the size {own} is {found[own]} in {owners[own]!r} and {actual} in {name!r}"
                    raise error("TILE0504", text, help="one call has one value for each size")
                owners.setdefault(own, name)
    for (name, type), shape in zip(params.items(), shapes):
        if any(resolve(s, found) != actual for s, actual in zip(type.shape, shape)):
            raise _misshapen(name, type, shape)
    return found


def _misshapen(name: str, type: TensorType, shape: tuple[int, ...]) -> TileError:
    return error("TILE0504", f"argument {name!r} has shape {list(shape)}, expected {describe(type)}")


class IR(Protocol):
    """Where an executable's programs come from when someone asks for them: memory, or text that is kept."""

    def graph(self) -> Graph: ...

    def program(self) -> Program | None: ...


class Limit:
    """A limit of memory, to which each call is held. It knows the program, not the executable that knows it."""

    def __init__(self, name: str, bytes: int, ir: IR) -> None:
        self._name, self._bytes, self._ir = name, bytes, ir

    @cached_property
    def _lives(self) -> list[OpenLife]:
        from tilec.open_arena import open_lives

        program = self._ir.program()
        return [] if program is None else open_lives(program)

    def check(self, sizes: Mapping[str, int]) -> None:
        """Raises TileError TILE0419 where the temporary tensors of a call for these sizes take more."""
        from tilec.open_arena import assign_at

        _, needed = assign_at(self._lives, sizes)
        if needed > self._bytes:
            given = ", ".join(f"{n} = {v}" for n, v in sizes.items())
            text = f"the temporary tensors of {self._name!r} need {needed:,} bytes where {given}"
            notes = [f"memory_limit is {self._bytes:,} bytes, {needed - self._bytes:,} less"]
            raise error("TILE0419", text, notes=notes, help="call it for smaller sizes: for parts of the batch")


@dataclass(frozen=True, slots=True)
class Slots:
    """Parameters and results of one call, all sizes known; `run` is what it runs."""

    run: Run
    params: list[Slot]
    results: list[Slot]
    result_types: tuple[TensorType, ...]
    donation: Donation | None

    @staticmethod
    def of(
        run: Run, params: Mapping[str, TensorType], results: Mapping[str, TensorType], donated: Mapping[str, str]
    ) -> Slots:
        return Slots(
            run,
            [Slot(n, t) for n, t in params.items()],
            [Slot(n, t) for n, t in results.items()],
            tuple(results.values()),
            Donation.of(donated, params, results),
        )

    def makers(self) -> tuple[tuple[TensorType, Callable[[], Array]], ...]:
        """Per result its type, and what makes a fresh array for it."""
        return tuple((t, slot.maker) for t, slot in zip(self.result_types, self.results))


class OpenSlots:
    """Finds the Slots for the arguments of a call. Threads may share it: at worst a vector of sizes is made twice."""

    def __init__(
        self,
        built: Built,
        params: Mapping[str, TensorType],
        results: Mapping[str, TensorType],
        donated: Mapping[str, str],
        limit: Limit | None = None,
    ) -> None:
        self._built, self._limit = built, limit
        self._params, self._results, self._donated = params, results, donated
        self._telling = tuple(k for k, t in enumerate(params.values()) if names_of([t]))
        self._alone = self._telling[0] if len(self._telling) == 1 else None
        self._kept: dict[Any, Slots] = {}  # by the shapes that tell the sizes: of one argument, or a list of several

    def of(self, values: Sequence[Any]) -> Slots:
        """Raises TileError TILE0211, TILE0414, TILE0419, TILE0504, TILE0505."""
        try:  # what is no array, or lies about its shape, is found out when it is taken as an argument
            if self._alone is not None:
                return self._kept[values[self._alone].shape]
            return self._kept[tuple([values[k].shape for k in self._telling])]
        except Exception:  # a shape may be any code: `_shape` says what is wrong
            return self._found(values)

    def _found(self, values: Sequence[Any]) -> Slots:
        shapes = tuple(self._shape(k, v) for k, v in enumerate(values))
        telling = tuple(shapes[k] for k in self._telling) if self._alone is None else shapes[self._alone]
        return self._kept.get(telling) or self._made(bind_sizes(self._params, shapes), telling)

    def _made(self, sizes: Mapping[str, int], telling: tuple[Any, ...]) -> Slots:
        params, results = ({n: fixed(t, sizes) for n, t in ts.items()} for ts in (self._params, self._results))
        made = Slots.of(self._built.at(sizes), params, results, self._donated)
        if self._limit is not None:
            self._limit.check(sizes)
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[telling] = made
        return made

    def _shape(self, position: int, value: Any) -> tuple[int, ...]:
        name, type_ = list(self._params.items())[position]
        if isinstance(value, Buffer):
            return value.shape
        return () if type_.weak and isinstance(value, bool | int | float) else tuple(as_array(name, value).shape)
