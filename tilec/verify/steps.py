"""Floor 3: what the steps of a Program read and write."""

from __future__ import annotations

from collections.abc import Mapping

from tilec.loops import Assign, Branch, Check, Copy, HostCall, Iterate, Kernel, Launch, Repeat, Step
from tilec.verify.expr import fail


def reads_of(step: Step, kernels: Mapping[str, Kernel]) -> tuple[str, ...]:
    """Buffers that a step itself reads. Raises TILE0602 for an unknown kernel or a wrong number of arguments."""
    match step:
        case Launch():
            return _launched(step, kernels, "out")
        case Copy(source, _):
            return (source,)
        case HostCall(_, inputs, _):
            return inputs
        case Repeat(condition) | Branch(condition) | Check(condition):
            return (condition,)
        case Iterate(count=count):
            return () if count is None else (count,)
        case Assign():
            return ()


def writes_of(step: Step, kernels: Mapping[str, Kernel]) -> tuple[str, ...]:
    """Buffers that a step itself writes."""
    match step:
        case Launch():
            return _launched(step, kernels, "in")
        case Copy(_, target):
            return (target,)
        case Assign(target, _):
            return (target,)
        case HostCall(_, _, outputs):
            return outputs
        case _:
            return ()


def _launched(step: Launch, kernels: Mapping[str, Kernel], but: str) -> tuple[str, ...]:
    kernel = kernels.get(step.kernel)
    if kernel is None:
        fail(f"launch of '{step.kernel}', which is not a kernel")
    if len(kernel.params) != len(step.args):
        fail(f"'{kernel.name}' takes {len(kernel.params)} buffers, {len(step.args)} given")
    return tuple(a for p, a in zip(kernel.params, step.args) if p.mode != but)
