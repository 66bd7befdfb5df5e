"""What tilec is compared with: one module a library, each with functions that prepare one case.

`product`, `convolution`, `chain` and `layer` take the operands as NumPy arrays and return a function without arguments
that is timed; what it returns `array` turns into NumPy's. A module that lacks one of them does not take part in it.
"""

from __future__ import annotations

import importlib.util

# contender: (module, what has to be installed)
CONTENDERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "tilec": ("with_tilec", ("tilec",)),
    "numpy": ("with_numpy", ("numpy",)),
    "torch": ("with_torch", ("torch",)),
    "torch.compile": ("with_torch_compile", ("torch",)),
    "jax": ("with_jax", ("jax",)),
    "numba": ("with_numba", ("numba",)),
    "onnxruntime": ("with_onnxruntime", ("onnxruntime", "onnx")),
    "openvino": ("with_openvino", ("openvino",)),
}


def installed(name: str) -> bool:
    return all(importlib.util.find_spec(m) is not None for m in CONTENDERS[name][1])


def module_of(name: str) -> str:
    """The module of a contender. `start(threads)` is called before anything else."""
    return f"benchmarks.contenders.{CONTENDERS[name][0]}"
