"""Floor 2: steps of Programs: those inside of others, and what buffers they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from .ir import Assign, Branch, Check, Copy, HostCall, Iterate, Launch, Repeat, Step


def map_launches(steps: tuple[Step, ...], change: Callable[[Launch], Launch]) -> tuple[Step, ...]:
    """Replaces every launch, those inside loops and branches too."""

    def visit(step: Step) -> Step:
        if isinstance(step, Launch):
            return change(step)
        return with_parts(step, tuple(map_launches(part, change) for part in parts(step)))

    return tuple(map(visit, steps))


def parts(step: Step) -> tuple[tuple[Step, ...], ...]:
    """The lists of steps inside one step: the one way to recurse."""
    match step:
        case Iterate(steps=steps):
            return (steps,)
        case Repeat(_, test, steps):
            return test, steps
        case Branch(_, then, orelse):
            return then, orelse
        case _:
            return ()


def with_parts(step: Step, new: tuple[tuple[Step, ...], ...]) -> Step:
    """The step with its lists of steps replaced, in the order of `parts`."""
    match step:
        case Iterate():
            return replace(step, steps=new[0])
        case Repeat():
            return replace(step, test=new[0], steps=new[1])
        case Branch():
            return replace(step, then=new[0], orelse=new[1])
        case _:
            return step


def all_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """All steps, the nested ones after the step that holds them."""
    for step in steps:
        yield step
        for part in parts(step):
            yield from all_steps(part)


def touched(step: Step) -> Iterator[str]:
    """Buffers that a step names, those inside of it included."""
    match step:
        case Launch(args=args):
            yield from args
        case Copy(source, target):
            yield from (source, target)
        case Assign(target, _):
            yield target
        case HostCall(_, inputs, outputs):
            yield from (*inputs, *outputs)
        case Iterate(count=str(name)) | Check(condition=name) | Repeat(condition=name) | Branch(condition=name):
            yield name
    for part in parts(step):
        for inner in part:
            yield from touched(inner)


def rename_buffers(step: Step, new: Mapping[str, str]) -> Step:
    """The step on other buffers, with those inside of it; a new name that is itself renamed counts as well."""

    def name(old: str) -> str:
        while old in new:
            old = new[old]
        return old

    def each(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(name, names))

    inner = with_parts(step, tuple(tuple(rename_buffers(s, new) for s in part) for part in parts(step)))
    match inner:
        case Launch(args=args):
            return replace(inner, args=each(args))
        case Copy(source, target):
            return Copy(name(source), name(target))
        case Assign(target):
            return replace(inner, target=name(target))
        case HostCall(inputs=inputs, outputs=outputs):
            return replace(inner, inputs=each(inputs), outputs=each(outputs))
        case Iterate(count=count):
            return inner if count is None else replace(inner, count=name(count))
        case Check(condition=condition) | Repeat(condition=condition) | Branch(condition=condition):
            return replace(inner, condition=name(condition))
