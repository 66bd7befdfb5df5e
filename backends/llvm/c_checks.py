"""What the function for C looks at before it runs: pointers that are null, misaligned, or to what overlaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

from tilec.affine import Size
from tilec.dtypes import DType

OK, NULL, MISALIGNED, OVERLAP, FAILED, SIZE = range(6)  # what the function returns


@dataclass(frozen=True, slots=True)
class CArgument:
    """One argument: a buffer of the program, read or written through a pointer, or a scalar passed by value.

    An input that is `donated` is overwritten with a result.
    """

    buffer: str
    dtype: DType
    shape: tuple[Size, ...]
    output: bool = False
    by_value: bool = False
    donated: bool = False

    @property
    def written(self) -> bool:
        return self.output or self.donated

    @property
    def elements(self) -> Size:
        return prod(self.shape, start=1)

    @property
    def bytes(self) -> Size:
        return prod(self.shape, start=self.dtype.bytes)


@dataclass(frozen=True, slots=True)
class Pointer:
    """A pointer of a call: its value and that of its bytes, and whether it has any, an i1; "true" where it must."""

    value: str
    bytes: str
    used: str
    argument: CArgument


def checks(checked: Iterable[Pointer], workspace: str) -> Iterator[str]:
    """One early return after the other. `workspace`: an i1 that says whether one is needed."""
    pointers = list(checked)
    for name, used in [*((p.value, p.used) for p in pointers), ("%workspace", workspace)]:
        if used != "false":
            label = name[1:]
            yield f"%null.{label} = icmp eq ptr {name}, null"
            yield from _leave_if(f"%null.{label}", [used], NULL)
    for p in pointers:
        size, label = p.argument.dtype.bytes, p.value[1:]
        if size > 1:
            yield f"%bits.{label} = ptrtoint ptr {p.value} to i64"
            yield f"%low.{label} = and i64 %bits.{label}, {size - 1}"
            yield f"%odd.{label} = icmp ne i64 %low.{label}, 0"
            yield from _leave_if(f"%odd.{label}", [p.used], MISALIGNED)
    for i, p in enumerate(pointers):
        for other in pointers[:i]:
            if p.argument.written or other.argument.written:
                label = f"{p.value[1:]}.{other.value[1:]}"
                yield from _overlap(label, p, other)
                yield from _leave_if(f"%both.{label}", [p.used, other.used], OVERLAP)


def _overlap(label: str, a: Pointer, b: Pointer) -> Iterator[str]:
    yield f"%x.{label} = ptrtoint ptr {a.value} to i64"
    yield f"%y.{label} = ptrtoint ptr {b.value} to i64"
    yield f"%xe.{label} = add i64 %x.{label}, {a.bytes}"
    yield f"%ye.{label} = add i64 %y.{label}, {b.bytes}"
    yield f"%l.{label} = icmp ult i64 %x.{label}, %ye.{label}"
    yield f"%r.{label} = icmp ult i64 %y.{label}, %xe.{label}"
    yield f"%both.{label} = and i1 %l.{label}, %r.{label}"


def _leave_if(condition: str, used: Sequence[str], status: int) -> Iterator[str]:
    """An early return where the condition and all of the others hold."""
    for k, other in enumerate(u for u in used if u != "true"):
        yield f"{condition}.{k} = and i1 {condition if not k else f'{condition}.{k - 1}'}, {other}"
    last = sum(u != "true" for u in used)
    yield from leave(f"{condition}.{last - 1}" if last else condition, status, condition[1:])


def leave(condition: str, status: int, label: str) -> Iterator[str]:
    yield f"br i1 {condition}, label %{label}.bad, label %{label}.good"
    yield f"{label}.bad:"
    yield f"ret i32 {status}"
    yield f"{label}.good:"
