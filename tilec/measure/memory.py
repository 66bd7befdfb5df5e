"""Floor 5: what memory a compiled program needs: its temporary tensors, when they are alive, and where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from tilec.affine import Poly, resolve
from tilec.arena import Life, largest_live_set
from tilec.buffers import root
from tilec.errors import Span, error
from tilec.graph import Graph
from tilec.loops import Buffer, Launch, Program, Step, all_steps, touched
from tilec.measure.costs import number
from tilec.open_arena import assign_at, lives_at, open_lives
from tilec.open_sizes import negative
from tilec.passes.place import size_of
from tilec.verify.lifetimes import moments

LINE = 64  # bytes: every buffer begins at a cache line


@dataclass(frozen=True, slots=True)
class Held:
    """A temporary tensor: its type as text, bytes in whole cache lines, offset, first and last step (from 1) that needs
    it, the kernel that makes it, and the source line it comes from."""

    name: str
    type: str
    bytes: int
    offset: int
    first: int
    last: int
    maker: str
    span: Span | None = None

    @property
    def line(self) -> str:
        """FILE:LINE, or nothing where it is not known."""
        return f"{self.span.source.name}:{self.span.source.position(self.span.start)[0]}" if self.span else ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a call needs.

    live: the largest sum of the temporary tensors that are needed at the same time, which no placement can do without.
    step: where that is. peak: how far up the arena tensors lie at most. arena: what a call takes for temporary tensors.
    scratch: what it takes besides, for threads. kept: results of what is computed before the first call. constants,
    arguments, results: of the caller's arrays; a donated argument is not counted again as a result. buffers: the
    temporary tensors, largest first.
    """

    live: int
    step: int
    steps: int
    peak: int
    arena: int
    scratch: int
    kept: int
    constants: int
    arguments: int
    results: int
    buffers: tuple[Held, ...]

    @property
    def ratio(self) -> float:
        """Arena over largest live set: 1 is perfect."""
        return self.arena / self.live if self.live else 1.0

    def as_value(self) -> dict[str, Any]:
        """As a JSON value; sizes in bytes."""
        names = ("live", "step", "steps", "peak", "arena", "scratch", "kept", "constants", "arguments", "results")
        tensors = [
            {"name": b.name, "type": b.type, "bytes": b.bytes, "offset": b.offset, "first": b.first, "last": b.last,
             "kernel": b.maker, "source": b.line} for b in self.buffers
        ]  # fmt: skip
        return {**{n: getattr(self, n) for n in names}, "ratio": self.ratio, "tensors": tensors}

    def __str__(self) -> str:
        return "\n".join([*self._totals(), *self._table(10)])

    def _totals(self) -> list[str]:
        rows = [
            ("largest live set", self.live, f"at step {self.step} of {self.steps}" if self.live else ""),
            ("planner's peak", self.peak, ""),
            ("arena", self.arena, f"{self.ratio:.2f} of the largest live set" if self.live else ""),
            ("scratch of threads", self.scratch, ""),
            ("kept between calls", self.kept, ""),
            ("constants", self.constants, ""),
            ("arguments", self.arguments, ""),
            ("results", self.results, ""),
        ]
        width = max(len(f"{size:,}") for _, size, _ in rows)
        return [f"{name:<19} {size:>{width},} bytes  {note}".rstrip() for name, size, note in rows]

    def _table(self, count: int) -> list[str]:
        if not self.buffers:
            return []
        head = ("tensor", "type", "bytes", "steps", "kernel", "source")
        rows = [
            (b.name, b.type, f"{b.bytes:,}", f"{b.first}-{b.last}", b.maker, b.line) for b in self.buffers[:count]
        ]
        widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in (head, *rows)]
        more = len(self.buffers) - count
        return ["", *lines, *([f"and {more} smaller ones"] if more > 0 else [])]


def memory(
    program: Program, graph: Graph | None = None, called: int | None = None, sizes: Mapping[str, int] | None = None
) -> Memory:
    """The memory of a placed Program, or of a call of one with open sizes.

    `graph`: where its tensors come from. `called`: bytes of a call's whole arena, as far as it is known without sizes.
    Raises TileError TILE0210 where a size is not given, TILE0211 for one that is negative, TILE0414, TILE0502.
    """
    known = _known(program, sizes or {})
    lives = lives_at(open_lives(program), known)
    if program.sizes:
        program = _at(program, known)
    live, step = largest_live_set(lives, LINE)
    steps = moments(program.steps)
    places = dict(program.places)
    ends = [places[b.name] + _lines(b.size) for b in lives]
    buffers = {b.name: b for b in program.buffers}
    kept = {root(buffers[n], buffers).name for s in program.init for n in touched(s)}
    constants = {n for n, _ in program.constants}
    inputs = [n for n in program.params if n not in constants]
    arena = _lines(program.arena)
    return Memory(
        live=live,
        step=step,
        steps=len(steps),
        peak=max(ends, default=0),
        arena=arena,
        scratch=0 if called is None else called if known else max(0, called - arena),
        kept=sum(_lines(size_of(buffers[n])) for n in kept if buffers[n].space != "param"),
        constants=_bytes(buffers[n] for n in constants),
        arguments=_bytes(buffers[n] for n in inputs),
        results=_bytes(buffers[n] for n in program.results if n not in inputs),
        buffers=_held(program, lives, places, graph),
    )


def _known(program: Program, sizes: Mapping[str, int]) -> dict[str, int]:
    """The value of each open size."""
    known = {name: _number(name, value) for name, value in sizes.items()}
    if unknown := [n for n in known if n not in program.sizes]:
        open = f"open sizes: {', '.join(program.sizes)}" if program.sizes else "all of its sizes are numbers"
        raise error("TILE0502", f"{program.name!r} has no open size {unknown[0]!r}", notes=[open])
    if missing := [n for n in program.sizes if n not in known]:
        text = f"how much memory is needed depends on {', '.join(missing)}"
        given = [f"{n}=64" for n in missing]
        help = f"give a number: memory_for({', '.join(given)}), on the command line --size {' --size '.join(given)}"
        raise error("TILE0210", text, help=help)
    for size in dict.fromkeys(s for b in program.buffers for s in b.shape if isinstance(s, Poly)):
        if (number := int(resolve(size, known))) < 0:
            raise negative(size, number, known)
    return known


def _number(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise error("TILE0505", f"the size {name} is a number, not {value!r}")
    return int(value)


def _at(program: Program, sizes: Mapping[str, int]) -> Program:
    """The Program with all that is asked of it here as numbers: shapes, and the places that a call finds."""
    places, arena = assign_at(open_lives(program), sizes)
    buffers = tuple(replace(b, shape=tuple(int(resolve(s, sizes)) for s in b.shape)) for b in program.buffers)
    return replace(program, buffers=buffers, places=tuple(places.items()), arena=arena)


def _held(program: Program, lives: Sequence[Life], places: dict[str, int], graph: Graph | None) -> tuple[Held, ...]:
    buffers = {b.name: b for b in program.buffers}
    steps = moments(program.steps)
    spans = {n: let.span for let in (graph.lets if graph else ()) for n in let.names}
    found = [
        Held(
            b.name,
            _type(buffers[b.name]),
            _lines(b.size),
            places[b.name],
            b.first,
            b.last,
            _maker(steps[b.first - 1], b.name, buffers),
            next((spans[n] for n in (b.name, b.name.rpartition(".")[0]) if spans.get(n)), None),
        )
        for b in lives
    ]
    return tuple(sorted(found, key=lambda b: (-b.bytes, b.first, b.name)))


def _maker(step: Step, name: str, buffers: Mapping[str, Buffer]) -> str:
    """The kernel that a step launches on a buffer first, itself or inside of a loop."""
    launches = (s for s in all_steps((step,)) if isinstance(s, Launch))
    found = (s.kernel for s in launches if any(root(buffers[a], buffers).name == name for a in s.args))
    return next(found, type(step).__name__.lower())


def _type(buffer: Buffer) -> str:
    return f"{buffer.dtype}[{', '.join(map(str, buffer.shape))}]"


def _bytes(buffers: Iterable[Buffer]) -> int:
    return sum(prod(number(s) for s in b.shape) * b.dtype.bytes for b in buffers)


def _lines(size: int) -> int:
    return -(-size // LINE) * LINE
