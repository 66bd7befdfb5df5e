"""Floor 0: where OpenCL drivers keep what they compile for a process that may be killed."""

from __future__ import annotations


def driver_caches(folder: str) -> dict[str, str]:
    """Variables of such a process. What PoCL keeps there goes with it: where a compilation is ended, a part of a file
    is left, which misleads later processes. pyopencl keeps nothing."""
    return {"POCL_CACHE_DIR": folder, "PYOPENCL_NO_CACHE": "1"}
