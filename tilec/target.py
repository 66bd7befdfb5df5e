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

    The rest is of devices that have groups of items. kind: `cpu`, `gpu`, `accelerator`, `simulator` or `other`. group:
    most items of a group; 0: there are no groups. local: bytes of fast memory of a group, 0 where that is a part of
    main memory. simd: items that run in step. memory, largest: bytes of the device's memory and of its largest
    allocation, 0 where they are not known. driver: its version. unified: whether the device works in the host's memory.
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
    kind: str = "cpu"
    group: int = 0
    local: int = 0
    simd: int = 1
    memory: int = 0
    largest: int = 0
    driver: str = ""
    unified: bool = True

    def __str__(self) -> str:
        return f"{self.backend}:{self.device}" if self.device else self.backend

    def lanes(self, bits: int) -> int:
        """How many elements of `bits` bits one vector register holds."""
        return max(1, self.vector_bytes * 8 // bits)
