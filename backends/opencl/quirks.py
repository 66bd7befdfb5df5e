"""Known troubles of OpenCL drivers, with what helps: shown by `tilec doctor` for the devices that are there.

What the backend itself guards against is told in docs/devices.md. Takes what drivers say, and asks none.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """names: a pattern of `platform, vendor, device, driver` in small letters. system: as in `sys.platform`; any if
    empty. cure: what a user can do."""

    names: str
    what: str
    cure: str
    system: str = ""


TROUBLES = (
    Trouble(
        "portable computing language.*driver (1|3\\.0)",
        "a compilation that is killed leaves a broken entry in PoCL's cache: tilec gets past it, but PoCL may abort "
        "when such a program has ended",
        "delete the directory ~/.cache/pocl",
    ),
    Trouble(
        "nvidia",
        "in containers the driver's library is often there, but not the file that names it",
        "mount /etc/OpenCL/vendors/nvidia.icd, or set OCL_ICD_VENDORS to libnvidia-opencl.so.1",
        "linux",
    ),
    Trouble(
        "nvidia|amd|advanced micro|intel.*graphics|arc",
        "Windows ends kernels that take more than 2 seconds on a GPU with a display",
        "a larger TdrDelay in the registry",
        "win32",
    ),
    Trouble(
        "^apple",
        "Apple's OpenCL has computed wrong results in training, and is no longer developed",
        "use llvm where `tilec doctor` finds anything wrong",
    ),
    Trouble(
        "intel.*(hd graphics (3|4)\\d{3}|iris.*6\\d\\d)",
        "networks came to NaN on this GPU with older drivers",
        "update the driver; use llvm where `tilec doctor` finds anything wrong",
    ),
    Trouble("clover", "Mesa's clover is no longer developed and compiles little", "use Mesa's rusticl"),
    Trouble(
        "rusticl",
        "rusticl shows no device, and no time of events in older versions, until it is told which to use",
        "set RUSTICL_ENABLE, such as RUSTICL_ENABLE=radeonsi, iris or llvmpipe",
    ),
    Trouble("adreno", "float16 is no faster than float32, and was wrong on the Adreno 530", "use float32"),
    Trouble(
        "oclgrind",
        "it simulates a device, slowly, and computes wrongly with vectors that its optimiser makes",
        "use it to find errors, with PYOPENCL_BUILD_OPTIONS=-cl-opt-disable",
    ),
)


def misled_by_groups(platform: str) -> bool:
    """Whether a driver's optimiser makes kernels wrong that stand in one text with a kernel for groups of items.

    Intel's for CPUs (2026.2) does; that for graphics has a longer name.
    """
    return platform == "Intel(R) OpenCL"


def troubles(platform: str, vendor: str, device: str, driver: str) -> list[Trouble]:
    """Those known of a device, or of a platform that shows none."""
    names = f"{platform}, {vendor}, {device}, driver {driver}".lower()
    return [t for t in TROUBLES if re.search(t.names, names) and t.system in ("", sys.platform)]
