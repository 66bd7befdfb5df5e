"""Floor 5: schedules that people wrote: in front of a statement, in a file, or in Python; each for one kernel.

    [[schedule("tile(n, 64, n.0, n.1)", "vectorize(n.1)")]]  O[m, n : M, N] = +(A[m, k] * B[k, n]);
    [[schedule(blocked)]]                                     O[m, n : M, N] = +(A[m, k] * B[k, n]);

The second form names a schedule that whoever compiles the program gives. A schedule given under the name of a tensor
is for the kernel that computes the tensor, whatever the program says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tilec.errors import Report, Source, Span, TileError, error
from tilec.graph import Graph, Let, subgraphs
from tilec.kernel_key import kernel_key
from tilec.loops import Alloc, For, Kernel, Program, Stmt, Store, is_unsliced, walk
from tilec.schedule import Directive, Pinned
from tilec.tune.fits import applied_one
from tilec.tune.record import MOST_DIRECTIVES, renamed
from tilec.verify.loops import verify_kernel

ATTRIBUTE = "schedule"
_PREFIX = re.compile(r"k[0-9]+_")
_NUMBERED = re.compile(r"(.+)_[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class Pin:
    """A schedule for the kernel that computes `tensor`; None for the only kernel. `required`: one must be there."""

    tensor: str | None
    pieces: tuple[Pinned, ...]
    place: Span
    required: bool

    def steps(self) -> Iterator[tuple[Directive, Span]]:
        for piece in self.pieces:
            yield from piece.directives()


def pins_of(graph: Graph, given: Sequence[Pinned], report: Report | None = None) -> tuple[Pin, ...]:
    """What the statements of a Graph and those who compile it ask for; raises TileError TILE0603, TILE0604, TILE0607.

    To be called before any pass: a statement's tensor may be gone later. Where no schedule is given at all, those that
    statements name are missed in `report` only: most tools have none to give, and the default one computes the same.
    """
    named = {g.name: g for g in given}
    found: list[Pin] = []
    used: set[str] = set()
    for let in _lets(graph):
        for attribute in let.attributes:
            if attribute.name == ATTRIBUTE and let.names and let.names[0] not in named:
                if missing := [a for a in attribute.args if not a.startswith('"') and a not in named]:
                    _missed(missing[0], let, named, report or Report())
                    continue
                pieces = tuple(_piece(arg, let, named) for arg in attribute.args)
                used |= {a for a in attribute.args if not a.startswith('"')}
                found.append(Pin(let.names[0], pieces, pieces[0].place if pieces else _place(let), required=False))
    for pin in found:
        _check(pin)
    return (*found, *pins_given(g for g in given if g.name not in used))


def pins_given(given: Iterable[Pinned]) -> tuple[Pin, ...]:
    """What a file of schedules asks for; raises TileError TILE0603, TILE0604."""
    found = tuple(Pin(g.name or None, (g,), g.place, required=True) for g in given)
    for pin in found:
        _check(pin)
    return found


def _check(pin: Pin) -> None:
    """Whether directives can be read, and how many there are, does not depend on the kernel."""
    steps = tuple(pin.steps())
    if len(steps) > MOST_DIRECTIVES:
        text = f"the schedule has {len(steps):,} directives; {MOST_DIRECTIVES:,} are the limit"
        raise error("TILE0604", text, steps[MOST_DIRECTIVES][1])


def _lets(graph: Graph) -> Iterator[Let]:
    for let in graph.lets:
        yield let
        for inner in subgraphs(let.node):
            yield from _lets(inner)


def _piece(argument: str, let: Let, named: Mapping[str, Pinned]) -> Pinned:
    """A schedule in quotes, or one that is given by name."""
    place = _place(let)
    if argument.startswith('"'):
        at = place.source.text.rfind(argument, 0, place.end)
        if at >= 0:
            return Pinned(let.names[0], place.source.name, place.source.text, at + 1, at + len(argument) - 1)
        return Pinned(let.names[0], "<schedule>", argument[1:-1], 0, len(argument) - 2)
    return named[argument]


def _missed(name: str, let: Let, given: Mapping[str, Pinned], report: Report) -> None:
    text, place = f"there is no schedule '{name}'", _place(let)
    help = f"give it with schedules={{'{name}': ...}}, or in a file for --schedule: schedule {name} {{ ... }}"
    if given:
        raise error("TILE0607", text, place, notes=[f"given: {', '.join(given)}"], help=help)
    report.warning("TILE0607", text, place, notes=["the default schedule is used"], help=help)


def _place(let: Let) -> Span:
    return let.span or Span(Source("<graph>", let.names[0]), 0, len(let.names[0]))


# kernels -----------------------------------------------------------------------------------------------------------


def resolved(program: Program, pins: Iterable[Pin], report: Report) -> dict[str, Pin]:
    """Pins by the names of kernels, right after lowering; those equal to a pinned one take its pin, too.

    Raises TileError TILE0607 where no kernel computes the tensor, where it has open sizes, and where two schedules are
    for one kernel; of the first two a program is only warned, for what a statement computes may be simplified away,
    and its sizes are not its own.
    """
    found: dict[str, Pin] = {}
    for pin in pins:
        kernel = _kernel(program, pin.tensor)
        if kernel is None or is_unsliced(kernel):
            _unused(program, kernel, pin, report)
        elif found.setdefault(kernel.name, pin) is not pin:
            notes = ["statements that are computed together share a kernel"]
            raise error("TILE0607", f"there are two schedules for the kernel '{kernel.name}'", pin.place, notes=notes)
    if not found:
        return found
    keys = {kernel_key(k): found[k.name] for k in reversed(program.kernels) if k.name in found}
    equal = {k.name: keys[key] for k in program.kernels if (key := kernel_key(k)) in keys}
    return {**equal, **found}


def _kernel(program: Program, tensor: str | None) -> Kernel | None:
    if tensor is None:
        return program.kernels[0] if len(program.kernels) == 1 else None
    exact = [k for k in program.kernels if tensor in (k.name, _PREFIX.sub("", k.name, count=1))]
    return next(iter([*exact, *(k for k in program.kernels if tensor in _made(k))]), None)


def _made(kernel: Kernel) -> set[str]:
    """Tensors that a kernel computes."""
    local = {s.buffer.name for s in walk(kernel.body) if isinstance(s, Alloc)}
    return local | {p.buffer.name for p in kernel.params if p.mode != "in"}


def _unused(program: Program, kernel: Kernel | None, pin: Pin, report: Report) -> None:
    notes, help = [f"kernels: {', '.join(k.name for k in program.kernels) or 'none'}"], None
    if kernel is not None:
        text = f"the loops of kernel '{kernel.name}' have open sizes, so that its schedule is not used"
        notes = ["such loops run in blocks of several extents, each with the default schedule"]
        help = "compile it for sizes that are numbers"
    elif pin.tensor is not None:
        text = f"no kernel computes '{pin.tensor}', so that its schedule is not used"
    else:
        text = "there are several kernels, and the schedule names none"
    if pin.required:
        raise error("TILE0607", text, pin.place, notes=notes, help=help)
    report.warning("TILE0607", text, pin.place, notes=notes, help=help)


def pinned(program: Program, pins: Mapping[str, Pin]) -> Program:
    """The program with the pinned kernels scheduled; raises TileError TILE0210, TILE0603, TILE0604 at the directive.

    TILE0602 where the result does not verify: a primitive has allowed what it should not.
    """
    kernels = (_scheduled(k, pins[k.name]) if k.name in pins else k for k in program.kernels)
    return replace(program, kernels=tuple(kernels)) if pins else program


def _scheduled(kernel: Kernel, pin: Pin) -> Kernel:
    names = {} if pin.tensor in (None, kernel.name) else _own_names(kernel, pin.tensor or "")
    for directive, span in pin.steps():
        (directive,) = renamed((directive,), names)
        try:
            kernel = applied_one(kernel, directive)
        except TileError as refused:
            raise TileError(replace(d, span=d.span or span) for d in refused.diagnostics) from None
    verify_kernel(kernel)  # nobody else has tried this schedule
    return kernel


def _own_names(kernel: Kernel, tensor: str) -> dict[str, str]:
    """Loops of the nests that store a tensor, by the names that a nest before them in the kernel took first.

    Two statements over `m` share a kernel as loops `m` and `m_2`: a schedule of the second one may call its own `m`.
    """
    nests = [(s, _loops(s), tensor in {w.buffer for w in walk((s,)) if isinstance(w, Store)}) for s in kernel.body]
    own = {name for _, names, stores in nests if stores for name in names}
    others = {name for _, names, stores in nests if not stores for name in names}
    found: dict[str, list[str]] = {}
    for name in own:
        if (numbered := _NUMBERED.match(name)) and numbered[1] in others - own:
            found.setdefault(numbered[1], []).append(name)
    return {plain: names[0] for plain, names in found.items() if len(names) == 1}


def _loops(stmt: Stmt) -> set[str]:
    return {s.index for s in walk((stmt,)) if isinstance(s, For)}
