"""Pass `in_place`: kernels write over what they are the last to need.

A kernel that reads a temporary for the last time, each cell only where it computes the same cell of its own result, may
store it there: the two buffers become one parameter of the kernel, so that parameters still never overlap. If it makes
a result of the program, the temporary is computed in the result's memory from the start. So it is
with donated state: a result that is copied to a parameter at the end is computed there in the first place, if nothing
needs the parameter's old value any more. The launch that computes it moves behind others that do need it, where that
changes nothing; and behind checks, host calls and loops, so that a call that fails or is interrupted leaves the state
as it was.

So it is inside of loops and branches: with carried values, which the last steps of a body copy to where the next round
reads them, and with temporaries that nothing else uses and of which no value goes round.

It runs before `slices` and `share`, when each kernel has one launch and its loops are as the lowering made them.

Before:
    program f(A, G) -> (A) {
      buffer A: param f32[4]
      buffer G: param f32[4]
      buffer B: heap f32[4]
      kernel k(in A: f32[4], in G: f32[4], out B: f32[4]) { for i in 4 { B[i] = sub(A[i], G[i]) } }
      run { launch k(A, G, B)  copy B -> A }
    }
After:
    program f(A, G) -> (A) {
      buffer A: param f32[4]
      buffer G: param f32[4]
      kernel k(in G: f32[4], inout B: f32[4]) { for i in 4 { let s.1 = B[i]  B[i] = sub(s.1, G[i]) } }
      run { launch k(G, A) }
    }
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from tilec.buffers import root
from tilec.loops import (
    Check,
    Copy,
    HostCall,
    Iterate,
    Launch,
    Program,
    Repeat,
    Step,
    all_steps,
    parts,
    rename_buffers,
    touched,
    with_parts,
)
from tilec.passes.in_place.kernels import merged
from tilec.verify.lifetimes import Flows
from tilec.verify.steps import reads_of, writes_of


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(program: Program, options: Options = Options()) -> Program:
    """The Program with fewer buffers and copies; the same object where nothing could be stored in place."""
    work = _Work(program)
    work.donations()
    work.loops()
    work.overwrite()
    return work.finish()


class _Work:
    """The Program in the making. `first` and `last` are the moments at which memory is touched, 0 being `init`."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._buffers = {b.name: b for b in program.buffers}
        self._views: dict[str, list[str]] = {}
        for b in program.buffers:
            if b.base is not None:
                self._views.setdefault(b.base, []).append(b.name)
        self._kernels = {k.name: k for k in program.kernels}
        self._memory: dict[int, tuple[Step, frozenset[str]]] = {}  # what steps touch, by identity
        self._steps = list(program.steps)
        launched = (s.kernel for s in all_steps((*program.init, *program.steps)) if isinstance(s, Launch))
        self._launches = Counter(launched)
        self._init = frozenset(n for s in program.init for n in self._touched(s))
        self._new: dict[str, str] = {}  # buffers that are now others
        self._outermost = True  # the steps are those of the program, not of a body
        self._know_moments()

    def _know_moments(self) -> None:
        """Finds the moments anew: after launches have moved."""
        self._first: dict[str, int] = dict.fromkeys(self._init, 0)
        self._last: dict[str, int] = dict.fromkeys(self._init, 0)
        self._moments: dict[str, list[int]] = {}  # of the steps that touch it
        self._ends: list[int] = []  # moments at which the call may end with an error, or be interrupted
        for moment, step in enumerate(self._steps, 1):
            if self._outermost and any(isinstance(s, Check | HostCall | Iterate | Repeat) for s in all_steps([step])):
                self._ends.append(moment)
            for name in self._touched(step):
                self._first.setdefault(name, moment)
                self._last[name] = moment
                self._moments.setdefault(name, []).append(moment)

    def _touched(self, step: Step) -> frozenset[str]:
        """Memory that a step, or one inside it, reads or writes: names of roots."""
        if id(step) not in self._memory:
            self._memory[id(step)] = step, frozenset(map(self._root, touched(step)))
        return self._memory[id(step)][1]

    def _written(self, step: Step) -> tuple[str, ...]:
        return tuple(writes_of(step, self._kernels))

    def _root(self, name: str) -> str:
        return root(self._buffers[name], self._buffers).name

    # --- donated parameters -------------------------------------------------------------------------------------------

    def donations(self) -> None:
        """Computes in a donated parameter what the last steps copy there."""
        for copy in [s for s in self._steps if isinstance(s, Copy)]:
            if copy.target in self._program.params and self._program.results.count(copy.target) == 1:
                self._donate(copy)
        kept = [s for s in self._steps if not (isinstance(s, Copy) and s.source == s.target)]
        if len(kept) < len(self._steps):
            self._steps = kept
            self._know_moments()

    def loops(self) -> None:
        """Computes carried values, and results of branches, where the last steps of the body copy them."""
        uses = Counter(n for s in all_steps(self._steps) for n in self._own(s))
        self._steps = [self._inside(s, uses) for s in self._steps]
        self._know_moments()

    def _inside(self, step: Step, uses: Counter[str]) -> Step:
        """The step with such copies inside of it gone; `uses` counts the steps of the program that use a buffer."""
        return with_parts(step, tuple(self._body([self._inside(s, uses) for s in part], uses) for part in parts(step)))

    def _body(self, steps: list[Step], uses: Counter[str]) -> tuple[Step, ...]:
        outer, outermost = self._steps, self._outermost
        self._steps, self._outermost = steps, False
        here = Counter(n for s in all_steps(steps) for n in self._own(s))
        self._know_moments()
        for copy in [s for s in steps if isinstance(s, Copy)]:
            new = copy.source
            if new not in self._buffers or new in self._new.values():  # the count is that before others became it
                continue
            if new != copy.target and here[new] == uses[new] and self._is_stored_first(new):
                self._donate(copy)
        self._steps = [s for s in self._steps if not (isinstance(s, Copy) and s.source == s.target)]
        self._know_moments()
        self.overwrite(self._local(uses, here))
        found = tuple(rename_buffers(s, self._new) for s in self._steps)
        self._steps, self._outermost = outer, outermost
        return found

    def _local(self, uses: Counter[str], here: Counter[str]) -> set[str]:
        """Temporaries that nothing but the present steps uses, and of which no value goes round with a loop."""
        flow = Flows(self._buffers, self._kernels).of_all(self._steps)
        merged = set(self._new.values())
        whole = (n for n in here if here[n] == uses[n] and n in self._buffers and n not in merged)
        return {n for n in whole if self._is_temporary(n) and n not in flow.used}

    def _own(self, step: Step) -> set[str]:
        """Memory that a step itself uses."""
        return {self._root(n) for n in (*reads_of(step, self._kernels), *self._written(step))}

    def _is_stored_first(self, name: str) -> bool:
        """Whether the first of the steps that touch a buffer does not read it: no value of another round is needed."""
        read = reads_of(self._steps[self._first[name] - 1], self._kernels) if name in self._first else (name,)
        return name not in map(self._root, read)

    def _donate(self, copy: Copy) -> None:
        result, param = copy.source, copy.target
        if not self._is_temporary(result) or self._root(param) != param:
            return
        at = self._first[result]
        launch, end = self._steps[at - 1], self._last[param]
        if self._steps[end - 1] != copy or end <= at or not isinstance(launch, Launch):
            return
        needed = max((m for m in (*self._moments[param], *self._ends) if at < m < end), default=at)
        if needed > at and not self._movable(launch, range(at + 1, needed + 1)):
            return
        if not self._alone(launch, param):
            return
        merged = self._stored_in(launch, param, result)
        if merged is None:
            return
        self._become(result, param)
        self._steps[at - 1] = merged
        moments = self._moments.pop(result)
        for m in moments:  # the copy itself remains for now, as one of the parameter to itself: no moment changes
            self._steps[m - 1] = rename_buffers(self._steps[m - 1], {result: param})
        self._moments[param] = sorted({*moments, *self._moments[param]})
        self._first[param] = min(self._first[param], at)
        if needed > at:
            self._steps[at - 1 : needed] = [*self._steps[at:needed], self._steps[at - 1]]
            self._know_moments()

    def _movable(self, launch: Launch, over: range) -> bool:
        """Whether a launch may run after the steps at these moments."""
        touched, written = self._touched(launch), {self._root(n) for n in self._written(launch)}
        for moment in over:
            step = self._steps[moment - 1]
            stored = {self._root(n) for s in all_steps([step]) for n in self._written(s)}
            if self._touched(step) & written or stored & touched:
                return False
        return True

    # --- temporaries --------------------------------------------------------------------------------------------------

    def overwrite(self, local: Collection[str] | None = None) -> None:
        """Stores temporaries over those that a launch needs for the last time; in a body, only such as are `local`."""
        for moment, step in enumerate(self._steps, 1):
            step = rename_buffers(step, self._new)
            if isinstance(step, Launch):
                for name in self._made_at(step, moment):
                    if local is None or name in local:
                        step = self._overwriting(step, name, moment, local)
                self._steps[moment - 1] = step

    def _made_at(self, launch: Launch, moment: int) -> list[str]:
        return [n for n in self._written(launch) if self._is_fresh(n) and self._first[n] == moment]

    def _is_fresh(self, name: str) -> bool:
        """Whether nobody cares what was in the memory before: it is a temporary's, or that of a result."""
        program = self._program
        return self._is_temporary(name) or (name in program.results and name not in program.params)

    def _overwriting(self, launch: Launch, name: str, moment: int, local: Collection[str] | None) -> Launch:
        kernel, own = self._kernels[launch.kernel], self._buffers[name]
        for param, other in zip(kernel.params, launch.args, strict=True):
            known = self._buffers[other]
            if param.mode != "in" or (known.dtype, known.shape) != (own.dtype, own.shape):
                continue
            if local is not None and other not in local:
                continue
            if not self._is_temporary(other) or self._last[other] != moment or not self._alone(launch, other):
                continue
            merged = self._stored_in(launch, other, name)
            if merged is not None:
                old, new = (name, other) if own.space == "heap" else (other, name)
                self._first[new], self._last[new] = self._first[other], self._last[name]
                self._become(old, new)
                return Launch(merged.kernel, tuple(new if a == old else a for a in merged.args))
        return launch

    def _is_temporary(self, name: str) -> bool:
        buffer = self._buffers[name]
        return buffer.space == "heap" and buffer.base is None and buffer.strides is None and name not in self._init

    # --- one buffer for two -------------------------------------------------------------------------------------------

    def _alone(self, launch: Launch, name: str) -> bool:
        """Whether the memory is an argument at most once, as itself."""
        return [a for a in launch.args if self._root(a) == name] in ([], [name])

    def _stored_in(self, launch: Launch, source: str, target: str) -> Launch | None:
        """The launch with `target` stored in the memory of `source`, which it may read; None where that is not safe."""
        if not any(self._root(a) == source for a in launch.args):
            return launch  # nothing is merged: the memory, or a part of it, is elsewhere
        if launch.args.count(target) != 1 or not self._alone(launch, target):
            return None
        names = [source if a == target else a for a in launch.args]
        if source not in launch.args:
            return Launch(launch.kernel, tuple(names))
        at = launch.args.index(source)
        if self._launches[launch.kernel] != 1:
            return None
        kernel = merged(self._kernels[launch.kernel], at, launch.args.index(target))
        if kernel is None:
            return None
        self._kernels[kernel.name] = kernel
        return Launch(launch.kernel, tuple(n for k, n in enumerate(names) if k != at))

    def _become(self, name: str, other: str) -> None:
        """From now on `name` is `other`."""
        self._new[name] = other
        self._memory = {k: known for k, known in self._memory.items() if name not in known[1]}
        del self._buffers[name]
        for view in self._views.pop(name, []):
            if view in self._buffers:
                space = self._buffers[other].space
                self._buffers[view] = replace(self._buffers[view], base=other, space=space)
                self._views.setdefault(other, []).append(view)

    def finish(self) -> Program:
        program = self._program
        if not self._new:
            return program
        steps = tuple(rename_buffers(s, self._new) for s in self._steps)
        kernels = tuple(self._kernels[k.name] for k in program.kernels)
        return replace(program, buffers=tuple(self._buffers.values()), kernels=kernels, steps=steps)
