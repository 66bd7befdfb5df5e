"""What the CPU of this process can do, as a `Target`, and a few named CPUs to cross-compile for.

`get_host_cpu_name` is not trusted: under a hypervisor it may name a model that lacks what the CPU has (or the reverse).
The CPU name, which only selects a scheduling model, is chosen from the feature flags.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping
from functools import cache

import llvmlite.binding as llvm

from tilec.caches import caches
from tilec.settings import MAX_THREADS
from tilec.target import Target

_AVX2 = (
    "+avx",
    "+avx2",
    "+bmi",
    "+bmi2",
    "+f16c",
    "+fma",
    "+lzcnt",
    "+movbe",
    "+popcnt",
    "+sse3",
    "+sse4.1",
    "+sse4.2",
)
_AVX512 = (*_AVX2, "+avx512bw", "+avx512cd", "+avx512dq", "+avx512f", "+avx512vl")

# name: (triple, cpu, features, bytes of a vector register, vector registers)
_NAMED: Mapping[str, tuple[str, str, tuple[str, ...], int, int]] = {
    "sse2": ("x86_64-unknown-linux-gnu", "x86-64", ("+sse2",), 16, 16),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", tuple(sorted(_AVX2)), 32, 16),
    "avx512": ("x86_64-unknown-linux-gnu", "skylake-avx512", tuple(sorted(_AVX512)), 64, 32),
    "neon": ("aarch64-unknown-linux-gnu", "generic", ("+fp-armv8", "+neon"), 16, 32),
}


def named(name: str, threads: int = 1) -> Target:
    """A Target for cross compilation: `sse2`, `avx2`, `avx512`, `neon`; its device is the LLVM triple."""
    triple, cpu, features, vector_bytes, registers = _NAMED[name]
    return Target("llvm", triple, vector_bytes, registers, threads, cpu=cpu, features=features)


def host() -> Target:
    """The machine that this process runs on; `threads` is what the scheduler grants the process."""
    features = _own_features()
    l1, l2, l3 = caches()
    return Target("llvm", "host", *_registers(features), threads(), l1, l2, _cpu(features), features, l3)


@cache
def _own_features() -> tuple[str, ...]:
    present = {n for n, has in llvm.get_host_cpu_features().items() if has}
    if "amx-tile" in present and not tiles_permitted():
        present = {n for n in present if not n.startswith("amx")}
    return tuple(sorted(f"+{n}" for n in present))


def tiles_permitted() -> bool:
    """Asks the system to let this process, all its threads, use matrix registers (AMX). Known for Linux only."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return int(ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data)) == 0


def threads() -> int:
    """Threads the process may run at once, at most `MAX_THREADS`: each needs a slice of scratch memory.

    What the user sets instead is the matter of `tilec.devices`.
    """
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(1, granted), MAX_THREADS)


def triple_of(target: Target) -> str:
    return _own_triple() if target.device in ("", "host") else target.device


@cache
def _own_triple() -> str:
    return str(llvm.get_process_triple())


def has(target: Target, feature: str) -> bool:
    return f"+{feature}" in target.features


def half_arithmetic(target: Target) -> bool:
    """Whether it computes with float16, and need not go to float32 and back."""
    return has(target, "avx512fp16") or has(target, "fullfp16")


def is_x86(target: Target) -> bool:
    return triple_of(target).split("-")[0] in ("x86_64", "i386", "i686", "AMD64")


def _registers(features: tuple[str, ...]) -> tuple[int, int]:
    """Bytes of a vector register and how many there are."""
    if "+avx512f" in features:
        return 64, 32
    if "+avx2" in features:
        return 32, 16
    arm = platform.machine().lower() in ("aarch64", "arm64")
    return 16, 32 if arm else 16


def _cpu(features: tuple[str, ...]) -> str:
    for feature, name in (("amx-tile", "sapphirerapids"), ("avx512bw", "skylake-avx512"), ("avx2", "haswell")):
        if f"+{feature}" in features:
            return name
    return "x86-64" if platform.machine().lower() in ("x86_64", "amd64") else "generic"
