"""What OpenCL drivers say of their devices, in the order in which they are named, and how one is chosen by name.

Takes pyopencl's platforms as they are and imports nothing of it. Every query is guarded: a driver that refuses one, or
a device that is broken, hides no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tilec.errors import TileError, error

T = TypeVar("T")

# What to install where there is no device, by operating system.
INSTALL = {
    "Linux": "pip install 'tilec[opencl]', and the GPU's driver with its OpenCL part (NVIDIA: the driver itself; AMD: "
    "ROCm's OpenCL runtime; Intel: intel-opencl-icd), or for the CPU (x86-64) pip install pocl-binary-distribution; "
    "OCL_ICD_DEBUG=7 in the environment shows why a driver is left out",
    "Windows": "pip install 'tilec[opencl]', and the GPU's driver from its vendor, which has OpenCL in it",
    "macOS": "conda install -c conda-forge pyopencl ocl_icd_wrapper_apple",
}
ADVICE = [f"{system}: {what}" for system, what in INSTALL.items()]

# Kinds of devices, the best first. A simulator computes what a device would, thousands of times slower.
KINDS = ("gpu", "accelerator", "cpu", "other", "simulator")
_TYPES = {4: "gpu", 8: "accelerator", 2: "cpu"}  # bits of CL_DEVICE_TYPE
_GLOBAL = 2  # of CL_DEVICE_LOCAL_MEM_TYPE
_SIMULATORS = ("oclgrind", "fpga emulation")


@dataclass(frozen=True, slots=True)
class Found:
    """A device as its driver describes it, or a platform without any.

    position: number among those that can be used, the N of `opencl:N`. problem: why it is not usable, or which queries
    failed. memory, largest: bytes of global memory and of the largest allocation; 0 where the driver does not say.
    group: most items of a group. local: bytes of memory that a group has for itself, 0 where that is a part of global
    memory. simd: items that run in step, 1 where the driver does not say. unified: whether it works in the host's
    memory. lanes: float32 numbers in a vector register, as far as the driver knows. handle: pyopencl's device.
    """

    platform: str
    platform_vendor: str
    name: str = ""
    vendor: str = ""
    kind: str = "other"
    driver: str = ""
    units: int = 0
    memory: int = 0
    largest: int = 0
    fp16: bool = False
    fp64: bool = False
    extensions: tuple[str, ...] = ()
    problem: str | None = None
    usable: bool = False
    position: int | None = None
    group: int = 1
    local: int = 0
    simd: int = 1
    unified: bool = False
    lanes: int = 1
    handle: Any = field(default=None, repr=False, compare=False)

    @property
    def key(self) -> str:
        """What `tilec.trust` knows it by: the device with its driver, wherever it stands in the list."""
        return f"{self.platform}, {self.name}, driver {self.driver}"


class _Queries:
    """Asks a platform or a device, and keeps what went wrong."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing
        self.problems: list[str] = []

    def ask(self, name: str, read: Callable[[Any], T], default: T) -> T:
        try:
            return read(getattr(self._thing, name))
        except Exception as reason:  # a broken driver can raise anything
            self.problems.append(f"cannot read {name}: {_line(reason)}")
            return default


def _line(value: object) -> str:
    return " ".join(str(value).replace("\0", " ").split())


def _words(value: object) -> tuple[str, ...]:
    return tuple(sorted(str(value).split()))


def listed(platforms: Iterable[Any]) -> list[Found]:
    """All devices of pyopencl's platforms: usable ones numbered, by kind and then as they came; then the others."""
    found = [device for platform in platforms for device in _of_platform(platform)]
    usable = sorted((f for f in found if f.usable), key=lambda f: KINDS.index(f.kind))
    return [*(replace(f, position=i) for i, f in enumerate(usable)), *(f for f in found if not f.usable)]


def _of_platform(platform: Any) -> list[Found]:
    queries = _Queries(platform)
    name, vendor = queries.ask("name", _line, "unknown"), queries.ask("vendor", _line, "unknown")
    try:
        devices = list(platform.get_devices())
    except Exception as reason:
        return [Found(name, vendor, problem=f"cannot list its devices: {_line(reason)}")]
    if not devices:
        return [Found(name, vendor, problem="the platform has no device that this process may use")]
    return [_device(name, vendor, device) for device in devices]


def _device(platform: str, platform_vendor: str, device: Any) -> Found:
    queries = _Queries(device)
    name = queries.ask("name", _line, "unknown")
    none: tuple[str, ...] = ()
    extensions = queries.ask("extensions", _words, none)
    usable, why = _usable(queries)
    found = Found(
        platform,
        platform_vendor,
        name,
        queries.ask("vendor", _line, "unknown"),
        _kind(f"{platform} {name}", queries.ask("type", int, 0)),
        queries.ask("driver_version", _line, "unknown"),
        queries.ask("max_compute_units", int, 0),
        queries.ask("global_mem_size", int, 0),
        queries.ask("max_mem_alloc_size", int, 0),
        "cl_khr_fp16" in extensions,
        bool(_Queries(device).ask("double_fp_config", int, 0)),  # where there is no float64, some refuse to say so
        extensions,
        usable=usable,
        group=queries.ask("max_work_group_size", int, 1),
        local=_local(queries),
        simd=_simd(_Queries(device)),
        unified=_Queries(device).ask("host_unified_memory", bool, False),
        lanes=_Queries(device).ask("native_vector_width_float", int, 1),
        handle=device,
    )
    return replace(found, problem="; ".join([*why, *queries.problems]) or None)


def _usable(queries: _Queries) -> tuple[bool, list[str]]:
    """Whether a device can be used, and why not where its driver says so; `queries` keep those that fail."""
    available = queries.ask("available", bool, None)
    compiler = queries.ask("compiler_available", bool, None)
    why = ["the driver says that it is not available"] if available is False else []
    if compiler is False:
        why.append("the driver has no compiler")
    version = queries.ask("version", _line, "")
    if old := _is_old(version):
        why.append(f"it has {version}, and tilec needs OpenCL 1.2")
    return bool(available and compiler and not old), why


def _is_old(version: str) -> bool:
    """Whether a device's version, `OpenCL 3.0 and more`, is below 1.2; one that says nothing is not."""
    found = re.match(r"OpenCL (\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < (1, 2)


def _local(queries: _Queries) -> int:
    size = queries.ask("local_mem_size", int, 0)
    return size if queries.ask("local_mem_type", int, _GLOBAL) != _GLOBAL else 0


def _simd(queries: _Queries) -> int:
    """What NVIDIA calls a warp and AMD a wavefront; other drivers have no such query, which is no problem of theirs."""
    return queries.ask("warp_size_nv", int, 0) or queries.ask("wavefront_width_amd", int, 0) or 1


def _kind(names: str, bits: int) -> str:
    if any(word in names.lower() for word in _SIMULATORS):  # which call themselves all kinds at once
        return "simulator"
    return next((kind for bit, kind in _TYPES.items() if bits & bit), "other")


def chosen(device: str, found: Sequence[Found]) -> Found:
    """The usable device that is named: nothing for the best, a position, or a word that only one's names have.

    A word is looked for in the names of platforms and of their vendors first, as a CPU's name may have another vendor's
    word in it. Raises TileError TILE0509 where there is none or more than one; a simulator is not taken unless named.
    """
    usable = [f for f in found if f.usable]
    if not usable:
        raise error("TILE0509", "no OpenCL device was found", notes=[*map(_described, found), *ADVICE])
    if not device:
        if usable[0].kind != "simulator":
            return usable[0]
        raise _refused("there is no OpenCL device but a simulator, which has to be named", usable)
    if device.isdecimal():
        matches = [f for f in usable if device == str(f.position)]
    else:
        matches = _with_word(device.lower(), usable)
    if len(matches) > 1:
        raise _refused(f"the OpenCL device {device!r} may be any of {len(matches)}", matches)
    if not matches:
        raise _refused(f"there is no OpenCL device {device!r}", found)
    return matches[0]


def _with_word(word: str, usable: Sequence[Found]) -> list[Found]:
    first = [f for f in usable if word in f"{f.platform}\n{f.platform_vendor}".lower()]
    return first or [f for f in usable if word in f"{f.name}\n{f.vendor}".lower()]


def _refused(message: str, found: Sequence[Found]) -> TileError:
    return error("TILE0509", message, notes=[_described(f) for f in found])


def _described(found: Found) -> str:
    name = f"{found.name} of {found.platform!r}" if found.name else f"platform {found.platform!r}"
    return f"opencl:{found.position} is {name}" if found.usable else f"not usable: {name}: {found.problem}"
