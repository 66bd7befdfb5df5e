"""Floor 2: fusion as data: which Lets of a Graph share a kernel. The Graph itself stays as it is.

A Let is called by its first name. A Let in `inlined` has no kernel and no memory: its expression is put where its value
is read. Within a group the Lets are in the Graph's order; the first may be of any kind, the others are pointwise Lets
of its shape, that read its value, and one another's, at their own cell only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Partition:
    """`groups`: the Lets of each kernel, in execution order; `inlined`: Lets computed where they are read."""

    groups: tuple[tuple[str, ...], ...]
    inlined: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [", ".join(group) for group in self.groups]
        return "\n".join([*lines, f"inlined: {', '.join(self.inlined)}"]) + "\n"
