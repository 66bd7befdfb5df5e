"""Floor 5: what memory a compiled program needs: its temporary tensors, when they are alive, and where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from tilec.arena import Life, largest_live_set
from tilec.buffers import root
from tilec.errors import Span, error
from tilec.graph import Graph
from tilec.loops import Buffer, Launch, Program, Step, touched
from tilec.measure.costs import number
from tilec.passes.place import lives_of, size_of
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


def memory(program: Program, graph: Graph | None = None, called: int | None = None) -> Memory:
    """The memory of a placed Program. `graph`: where its tensors come from. `called`: bytes of a call's whole arena.
    Raises TileError TILE0210 where sizes are open."""
    if program.sizes:
        names = ", ".join(program.sizes)
        help = "compile for sizes that are numbers"
        raise error("TILE0210", f"how much memory is needed depends on {names}", help=help)
    lives = lives_of(program)
    live, step = largest_live_set(lives, LINE)
    steps = moments(program.steps)
    places = dict(program.places)
    ends = [places[b.name] + _lines(b.size) for b in lives]
    buffers = {b.name: b for b in program.buffers}
    kept = {root(buffers[n], buffers).name for s in program.init for n in touched(s)}
    known = {n for n, _ in program.constants}
    inputs = [n for n in program.params if n not in known]
    arena = _lines(program.arena)
    return Memory(
        live=live,
        step=step,
        steps=len(steps),
        peak=max(ends, default=0),
        arena=arena,
        scratch=max(0, called - arena) if called is not None else 0,
        kept=sum(_lines(size_of(buffers[n])) for n in kept if buffers[n].space != "param"),
        constants=_bytes(buffers[n] for n in known),
        arguments=_bytes(buffers[n] for n in inputs),
        results=_bytes(buffers[n] for n in program.results if n not in inputs),
        buffers=_held(program, lives, places, graph),
    )


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
            _maker(steps[b.first - 1]),
            next((spans[n] for n in (b.name, b.name.rpartition(".")[0]) if spans.get(n)), None),
        )
        for b in lives
    ]
    return tuple(sorted(found, key=lambda b: (-b.bytes, b.first, b.name)))


def _maker(step: Step) -> str:
    return step.kernel if isinstance(step, Launch) else type(step).__name__.lower()


def _type(buffer: Buffer) -> str:
    return f"{buffer.dtype}[{', '.join(map(str, buffer.shape))}]"


def _bytes(buffers: Iterable[Buffer]) -> int:
    return sum(prod(number(s) for s in b.shape) * b.dtype.bytes for b in buffers)


def _lines(size: int) -> int:
    return -(-size // LINE) * LINE
