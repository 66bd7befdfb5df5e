"""Targets of three widths, and limits under which small kernels go the ways of large ones."""

from __future__ import annotations

from dataclasses import replace

from tilec.passes.schedule.plan import Limits
from tilec.target import Target

AVX512 = Target("llvm", vector_bytes=64, registers=32, threads=2)
AVX2 = Target("llvm", vector_bytes=32, registers=16, threads=4)
SSE = Target("llvm")
EAGER = Limits(1, 1, 1, 2)  # whatever can be done is worth its trouble


def with_small_caches(target: Target) -> Target:
    """Caches under which small kernels are cut as large ones are."""
    return replace(target, l1=256, l2=1024)
