"""Floor 2: what code is made for. Passes and backends take a `Target` as an argument; there is no global one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A device of a backend.

    backend: `llvm`, `opencl` or `reference`. device: a backend's own name of the device (`host`, `0`).
    vector_bytes: width of a vector register. registers: how many of them. threads: workers of parallel loops.
    l1, l2: bytes of cache of one core; l3: of the last cache, which cores share, 0 where it is not known. features: CPU
    or device features, sorted.
    """

    backend: str
    device: str = ""
    vector_bytes: int = 16
    registers: int = 16
    threads: int = 1
    l1: int = 32 << 10
    l2: int = 1 << 20
    cpu: str = ""
    features: tuple[str, ...] = ()
    l3: int = 0

    def __str__(self) -> str:
        return f"{self.backend}:{self.device}" if self.device else self.backend

    def lanes(self, bits: int) -> int:
        """How many elements of `bits` bits one vector register holds."""
        return max(1, self.vector_bytes * 8 // bits)
