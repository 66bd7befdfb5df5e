"""Floor 3: when the memory of a Program's buffers is needed.

A buffer's memory is needed from a store of its value to the last read of it, and whenever a step touches it. Steps are
numbered in the order in which they stand, those inside of a loop or branch after it, so that one interval holds all
moments at which a buffer is needed. What goes round a loop is needed during the whole loop: what a step inside may
read before this round has stored all of it. The two sides of a branch have different moments.

The method is the usual one of live variables (A. Aho et al., Compilers, 2nd edition, section 9.2.5). As loops and
branches are nested, what is read and stored inside of them is found once, and one walk from the last step to the first
suffices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from tilec.affine import Size
from tilec.buffers import root
from tilec.loops import Branch, Buffer, Iterate, Kernel, Program, Repeat, Step, all_steps, parts
from tilec.verify.steps import reads_of, writes_of


@dataclass(frozen=True, slots=True)
class Flow:
    """Of steps: memory that may be read before they store it, that they store in any case, that they touch at all."""

    used: frozenset[str] = frozenset()
    defined: frozenset[str] = frozenset()
    touched: frozenset[str] = frozenset()

    def then(self, other: Flow) -> Flow:
        used = self.used | (other.used - self.defined)
        return Flow(used, self.defined | other.defined, self.touched | other.touched)


@dataclass(slots=True)
class Flows:
    """What steps do with memory; names are those of roots. Raises TILE0602 for unknown kernels."""

    buffers: Mapping[str, Buffer]
    kernels: dict[str, Kernel]
    known: dict[int, Flow] = field(default_factory=dict)  # of steps, by identity

    def of_all(self, steps: Sequence[Step]) -> Flow:
        used: set[str] = set()
        defined: set[str] = set()
        touched: set[str] = set()
        for step in steps:
            flow = self.of(step)
            used |= flow.used - defined
            defined |= flow.defined
            touched |= flow.touched
        return Flow(frozenset(used), frozenset(defined), frozenset(touched))

    def of(self, step: Step) -> Flow:
        if id(step) not in self.known:
            self.known[id(step)] = self._found(step)
        return self.known[id(step)]

    def _found(self, step: Step) -> Flow:
        reads = frozenset(map(self.root, reads_of(step, self.kernels)))
        match step:
            case Iterate(extent=extent, steps=steps, count=number):
                body = self.of_all(steps)
                runs = isinstance(extent, int) and extent > 0 and number is None
                return Flow(reads | body.used, body.defined if runs else frozenset(), reads | body.touched)
            case Repeat(_, test, steps):
                once = self.of_all(test).then(Flow(reads, frozenset(), reads))
                body = self.of_all(steps)
                return Flow(once.then(body).used, once.defined, once.touched | body.touched)
            case Branch(_, then, orelse):
                one, other = self.of_all(then), self.of_all(orelse)
                used = reads | one.used | other.used
                return Flow(used, one.defined & other.defined, reads | one.touched | other.touched)
            case _:
                writes = writes_of(step, self.kernels)
                whole = frozenset(self.root(n) for n in writes if self._is_whole(n))
                return Flow(reads, whole - reads, reads.union(map(self.root, writes)))

    def root(self, name: str) -> str:
        return root(self.buffers[name], self.buffers).name

    def _is_whole(self, name: str) -> bool:
        """Whether a buffer shows all memory of its root."""
        buffer = self.buffers[name]
        if buffer.base is None:
            return True
        own, all = _elements(buffer), _elements(root(buffer, self.buffers))
        return not buffer.moves and own is not None and own == all


def _elements(buffer: Buffer) -> Size | None:
    """Of a dense buffer."""
    return prod(buffer.shape, start=1) if buffer.strides is None else None


def lifetimes(program: Program) -> dict[str, tuple[int, int]]:
    """First and last moment at which the memory of each root buffer is needed; `moments` says which steps these are.

    What `init` touches is needed from call to call, so at all moments. Raises TILE0602 for unknown kernels.
    """
    flows = Flows({b.name: b for b in program.buffers}, {k.name: k for k in program.kernels})
    end = len(moments(program.steps))
    walk = _Walk(flows)
    walk.back(program.steps, set(), end)
    found = {name: (first, walk.last[name]) for name, first in walk.first.items()}
    return found | dict.fromkeys(flows.of_all(program.init).touched, (0, end + 1))


def moments(steps: Iterable[Step]) -> list[Step]:
    """The step of every moment, counted from 1: a loop or branch, then what is inside of it."""
    return list(all_steps(steps))


@dataclass(slots=True)
class _Walk:
    """Walks backwards and finds the first and last moment of everything."""

    flows: Flows
    first: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def back(self, steps: Sequence[Step], live: set[str], end: int) -> int:
        """Goes over steps, the last of whose moments is `end`, and gives the moment before them.

        `live` is the memory whose value is needed after them, and then that before them.
        """
        for step in reversed(steps):
            end = self._step(step, live, end)
        return end

    def _step(self, step: Step, live: set[str], end: int) -> int:
        flow = self.flows.of(step)
        start = end - sum(len(moments(part)) for part in parts(step))
        match step:
            case Iterate(steps=steps):
                body = self.flows.of_all(steps)
                self._mark((body.used | (live - body.defined)) & flow.touched, start, end)
                self._mark(flow.used - body.touched, start, end)  # the count
                self.back(steps, live | body.used, end)
            case Repeat(_, test, steps):
                body = self.flows.of_all(steps)
                again = flow.used | (live - flow.defined)  # needed whenever the test begins
                self._mark(again & flow.touched, start, end)
                self._mark(map(self.flows.root, reads_of(step, self.flows.kernels)), start, end)
                middle = self.back(steps, set(again), end)
                self.back(test, live | body.used | flow.used, middle)
            case Branch(_, then, orelse):
                self._mark(map(self.flows.root, reads_of(step, self.flows.kernels)), start, start)
                middle = self.back(orelse, set(live), end)
                self.back(then, set(live), middle)
            case _:
                self._mark(flow.touched, start, start)
        live -= flow.defined
        live |= flow.used
        return start - 1

    def _mark(self, names: Iterable[str], first: int, last: int) -> None:
        for name in names:
            self.first[name] = min(first, self.first.get(name, first))
            self.last[name] = max(last, self.last.get(name, last))
