"""Floor 5: calls with Buffers among their arguments or in `out=`: what is used where it is, and what results are.

Buffers in, Buffers out: every result without an array in `out=` is one. A donated Buffer is overwritten and comes back
itself; a donated array is brought to the device once, and what comes back is a Buffer. One that is in `out=` and an
argument as well takes the memory of the result, so that nothing is read after it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tilec.backend import Array, DeviceMemory
from tilec.donation import refused, shared
from tilec.errors import error
from tilec.open_sizes import Slots
from tilec.resident import Buffer, is_on, memory_for
from tilec.runtime import Slot, check_type, describe, named_out, result_arrays
from tilec.target import Target

Memory: TypeAlias = Array | DeviceMemory


@dataclass(frozen=True, slots=True)
class ResidentCall:
    """What a backend is given, (from, to) copies and (Buffer, its new memory) after it has run, and what the caller
    gets."""

    inputs: list[Memory]
    results: list[Memory]
    copies: list[tuple[Array, Array]]
    moved: list[tuple[Buffer, Memory]]
    returned: list[Any]

    def end(self) -> list[Any]:
        """Does what is to be done after the run."""
        for source, destination in self.copies:
            destination[...] = source
        for buffer, memory in self.moved:
            buffer.replace(memory)
        return self.returned


def has_buffers(values: Sequence[Any], out: Any) -> bool:
    """Whether a call is one with Buffers."""
    if any([type(v) is Buffer for v in values]):
        return True
    if out is None or type(out) is Buffer:
        return out is not None
    given = out.values() if isinstance(out, Mapping) else out if isinstance(out, list | tuple) else ()
    return any(type(v) is Buffer for v in given)


def prepared(slots: Slots, values: Sequence[Any], out: Any, target: Target) -> ResidentCall:
    """Raises TileError TILE0416, TILE0503 to TILE0507, TILE0512, TILE0515, TILE0516."""
    inputs = [_input(slot, value, target) for slot, value in zip(slots.params, values)]
    pairs = slots.donation.pairs if slots.donation is not None else ()
    donated = {r: _donated(slots.params[p], values[p], inputs[p], target) for p, r in pairs}
    for p, r in pairs:
        inputs[p] = donated[r].memory()
    _check_apart(slots, inputs, [p for p, _ in pairs])
    call = ResidentCall(inputs, [], [], [], [])
    _place_results(call, slots, donated, out, target)
    return call


def _input(slot: Slot, value: Any, target: Target) -> Memory:
    if type(value) is not Buffer:
        return slot.taken(value)
    check_type(slot.name, value, slot.type)
    _check_place(f"argument {slot.name!r}", value, target)
    return value.memory()


def _check_place(what: str, buffer: Buffer, target: Target) -> None:
    if not is_on(buffer, target):
        help = f"bring it there: tilec.Buffer(buffer, {str(target)!r}), or compile for {buffer.target}"
        text = f"{what} is a Buffer on {buffer.target}, and the program is compiled for {target}"
        raise error("TILE0516", text, help=help)


def _donated(slot: Slot, value: Any, given: Memory, target: Target) -> Buffer:
    """The Buffer that is to be overwritten: the one that was passed, or a new one with the contents of an array."""
    return value if type(value) is Buffer else Buffer(given, target)


def _check_apart(slots: Slots, inputs: Sequence[Memory], donated: Sequence[int]) -> None:
    """Raises TILE0512 where a donated argument shares memory with another one."""
    first: dict[int, int] = {}
    arrays = {k: m for k, m in enumerate(inputs) if isinstance(m, np.ndarray)}
    pair = shared({p: arrays[p] for p in donated if p in arrays}, list(arrays.values())) if arrays else None
    places = list(arrays)
    found = None if pair is None else (places[pair[0]], pair[1])
    for k, memory in enumerate(inputs):
        other = first.setdefault(id(memory), k)
        if other != k and (k in donated or other in donated):
            found = (k, other) if other in donated else (other, k)
    if found is not None:
        raise refused(slots.params[found[1]].name, f"shares memory with {slots.params[found[0]].name!r}")


def _place_results(call: ResidentCall, slots: Slots, donated: Mapping[int, Buffer], out: Any, target: Target) -> None:
    names, types = [slot.name for slot in slots.results], slots.result_types
    given = named_out(names, out)
    arrays = [k for k, g in enumerate(given) if g is not None and type(g) is not Buffer and k not in donated]
    inputs = [m for m in call.inputs if isinstance(m, np.ndarray)]
    found = result_arrays([names[k] for k in arrays], [types[k] for k in arrays], [given[k] for k in arrays], inputs)
    seen: list[Memory] = []
    ready: dict[int, tuple[Memory, Any]] = {k: (a, r) for k, a, r in zip(arrays, found.arrays, found.returned)}
    call.copies.extend(found.copies)
    returned: Any
    for k, (name, type_) in enumerate(zip(names, types)):
        if k in donated:
            if given[k] is not None and given[k] is not donated[k]:
                raise error("TILE0506", f"out= for {name!r}, which is stored in a donated argument")
            memory, returned = donated[k].memory(), donated[k]
        elif k in ready:
            memory, returned = ready[k]
        elif given[k] is None:
            memory = memory_for(type_, target)
            returned = Buffer.of(type_, target, memory)
        else:
            memory, returned = _out(call, name, slots.results[k], given[k], target), given[k]
        place = returned if isinstance(returned, np.ndarray) else returned.memory()
        if any(m is place or _overlap(m, place) for m in seen):
            raise error("TILE0507", f"out= for {name!r} is the memory of another result")
        seen.append(place)
        call.results.append(memory)
        call.returned.append(returned)


def _out(call: ResidentCall, name: str, slot: Slot, buffer: Buffer, target: Target) -> Memory:
    """Where a result goes that a Buffer is to hold: its memory, or fresh one where that is an argument's."""
    if (buffer.type.dtype, buffer.shape) != (slot.type.dtype, slot.type.shape):
        text = f"out= for {name!r} is a Buffer {describe(buffer.type)}, the result is {describe(slot.type)}"
        raise error("TILE0506", text)
    _check_place(f"out= for {name!r}", buffer, target)
    memory = buffer.memory()
    if not any(m is memory or _overlap(m, memory) for m in call.inputs):
        return memory
    fresh = memory_for(buffer.type, target)
    call.moved.append((buffer, fresh))
    return fresh


def _overlap(a: Memory, b: Memory) -> bool:
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)
