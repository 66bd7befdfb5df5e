"""What the rules of the default schedule share: a plan under construction, and facts about one nest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod

from tilec.affine import Affine
from tilec.errors import TileError
from tilec.loops import Buffer, For, If, Kernel, Stmt, strides_of, walk
from tilec.passes.schedule import apply_one
from tilec.passes.schedule.analysis import Use, buffers, carried, names, static, uses
from tilec.schedule import Argument, Directive, directive
from tilec.target import Target


@dataclass(frozen=True, slots=True)
class Limits:
    """When a transformation pays; measured on x86 with AVX-512.

    small: points below which a nest keeps its plain loops. many: points of an elementwise nest from which on threads
    pay; many_terms: the same for a contraction. pack_reuse: how often an operand is used for a transposed copy to pay.
    """

    small: int = 512
    many: int = 1 << 16
    many_terms: int = 1 << 19
    pack_reuse: int = 8


DEFAULT = Limits()


@dataclass(slots=True)
class Plan:
    """Directives so far, and the kernel they make.

    constant: buffers that hold the same in every call. rank: which of the choices for an aggregation to take, 0 is the
    best by estimate. chosen: what was taken, in words; more: whether there are choices after these.
    """

    kernel: Kernel
    limits: Limits = DEFAULT
    constant: frozenset[str] = frozenset()
    rank: int = 0
    directives: list[Directive] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    more: bool = False

    def attempt(self, *steps: Directive) -> bool:
        """Adds all the steps, or none where one of them is refused."""
        kernel = self.kernel
        try:
            for step in steps:
                kernel = apply_one(kernel, step)
        except TileError:
            return False
        self.kernel = kernel
        self.directives += steps
        return True

    def trial(self, rule: Callable[[Plan, Nest, Target], bool], nest: Nest, target: Target) -> bool:
        """Whether a rule schedules a nest; what it has done is taken back where it does not."""
        before = self.kernel, list(self.directives), len(self.chosen)
        if rule(self, nest, target):
            return True
        self.kernel, self.directives = before[:2]
        del self.chosen[before[2] :]
        return False

    def separate(self, loop: str, edges: str = "apart") -> None:
        """Separates iterations that need no guard from those that do; no step is added where there is nothing to do."""
        guarded = self.kernel
        if self.attempt(step("interior", loop, edges)) and self.kernel is guarded:
            self.directives.pop()

    def extent(self, loop: str) -> int:
        """The most iterations of the loops of that name; 0 where there is none."""
        found = (static(s.extent) for s in walk(self.kernel.body) if isinstance(s, For) and s.index == loop)
        return max(found, default=0)


@dataclass(frozen=True, slots=True)
class Nest:
    """A perfect nest as it comes from the lowering."""

    extents: dict[str, int]  # loops, outermost first
    uses: tuple[Use, ...]
    free: frozenset[str]  # loops whose iterations share no written cell
    buffers: dict[str, Buffer]
    bits: int  # of the widest element
    guards: tuple[Affine, ...]

    @staticmethod
    def of(kernel: Kernel, stmt: For) -> Nest:
        extents: dict[str, int] = {}
        guards: list[Affine] = []
        inner: Stmt = stmt
        while isinstance(inner, For | If):
            if isinstance(inner, For):
                extents[inner.index] = static(inner.extent)
            else:
                guards += inner.conditions
            if len(inner.body) != 1:
                break
            inner = inner.body[0]
        found = tuple(uses((stmt,)))
        known = buffers(kernel)
        free = frozenset(n for n in extents if not carried(found, n))
        bits = max((known[u.buffer].dtype.bits for u in found if u.store), default=32)
        return Nest(extents, found, free, known, bits, tuple(guards))

    @property
    def guarded(self) -> frozenset[str]:
        return frozenset(n for g in self.guards for n in g.variables())

    @property
    def points(self) -> int:
        return prod(self.extents.values())

    @property
    def reductions(self) -> list[str]:
        return [n for n in self.extents if n not in self.free]

    def stores(self) -> list[Use]:
        return [u for u in self.uses if u.store is not None]

    def reads(self) -> list[Use]:
        return [u for u in self.uses if u.store is None]

    def stride(self, use: Use, loop: str) -> int | None:
        """How many elements one iteration of the loop moves the access; None where that depends on data."""
        total = 0
        for form, step in zip(use.indices or (), strides_of(self.buffers[use.buffer])):
            if not isinstance(form, Affine):
                return None
            total += static(form.coefficient(loop)) * (step if isinstance(step, int) else _FAR)
        return total

    def reuse(self, use: Use) -> int:
        """How often one element of the operand is used."""
        return prod(e for n, e in self.extents.items() if self.stride(use, n) == 0)


_FAR = 1 << 30  # in the place of a stride that is an open size


def threads(plan: Plan, nest: Nest, loops: Iterable[str], target: Target) -> None:
    """Runs the outermost suitable loop in threads, where there is much to do."""
    if nest.points < (plan.limits.many_terms if nest.reductions else plan.limits.many) or target.threads < 2:
        return
    found = [(min(busy(plan.extent(loop), target.threads), 0.8), loop) for loop in loops]
    for _, loop in sorted((x for x in found if x[0]), key=lambda x: -x[0]):
        if plan.attempt(step("parallel", loop)):
            return


def in_registers(plan: Plan, store: str, loop: str) -> bool:
    """Keeps a tile in registers; where that is safe it starts there, and the nest that uses it runs there."""
    return staged(plan, store, loop, "register") is not None


def staged(plan: Plan, store: str, loop: str, space: str) -> str | None:
    """Keeps a tile in a buffer of its own; its name, or None where that is refused."""
    new = fresh(plan.kernel, f"{store}.r")
    hows = (("init", 0, "finish"), ("init",), ("copy",))
    return new if any(plan.attempt(step("stage", store, loop, new, space, *how)) for how in hows) else None


def busy(iterations: int, threads: int) -> float:
    """Share of the time that threads work, of which each takes whole iterations; 0 for one iteration."""
    return iterations / (-(-iterations // threads) * threads) if iterations > 1 else 0.0


def fresh(kernel: Kernel, name: str) -> str:
    taken = names(kernel)
    found, n = name, 1
    while found in taken or any(t.startswith(found + ".") for t in taken):
        n += 1
        found = f"{name}{n}"
    return found


def step(name: str, *args: Argument) -> Directive:
    return directive(name, *args)
