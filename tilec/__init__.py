"""tilec: a compiler for Tile, a language of tensor contractions.

    >>> import numpy as np, tilec
    >>> code = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
    >>> tilec.run(code, {"A": np.ones((2, 3), "float32"), "B": np.ones((3, 2), "float32")})["C"].tolist()
    [[3.0, 3.0], [3.0, 3.0]]

Names are loaded on first use, so that importing tilec costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tilec.version import VERSION

if TYPE_CHECKING:
    from tilec.api import compile, parse, run
    from tilec.artifacts.saved import load
    from tilec.configuration import config
    from tilec.errors import Diagnostic, TileError
    from tilec.executable import Executable
    from tilec.gradient_check import GradientCheck, check_grad
    from tilec.gradients import grad, hvp, jvp, value_and_grad
    from tilec.graph import TensorType
    from tilec.numpy.elementwise import stop_gradient
    from tilec.operation import op
    from tilec.options import Options
    from tilec.resident import Buffer
    from tilec.target import Target
    from tilec.tracing.contract import contract
    from tilec.tracing.control import cond, fori_loop, scan, while_loop
    from tilec.tracing.custom import checkpoint, custom_gradient
    from tilec.tracing.index import at, index
    from tilec.tracing.jit import jit, trace
    from tilec.tracing.record import record

__version__ = VERSION

_HOMES = {
    "at": "tilec.tracing.index",
    "check_grad": "tilec.gradient_check",
    "checkpoint": "tilec.tracing.custom",
    "compile": "tilec.api",
    "cond": "tilec.tracing.control",
    "config": "tilec.configuration",
    "contract": "tilec.tracing.contract",
    "custom_gradient": "tilec.tracing.custom",
    "fori_loop": "tilec.tracing.control",
    "grad": "tilec.gradients",
    "hvp": "tilec.gradients",
    "index": "tilec.tracing.index",
    "jit": "tilec.tracing.jit",
    "jvp": "tilec.gradients",
    "load": "tilec.artifacts.saved",
    "op": "tilec.operation",
    "parse": "tilec.api",
    "record": "tilec.tracing.record",
    "run": "tilec.api",
    "scan": "tilec.tracing.control",
    "stop_gradient": "tilec.numpy.elementwise",
    "trace": "tilec.tracing.jit",
    "value_and_grad": "tilec.gradients",
    "while_loop": "tilec.tracing.control",
    "Buffer": "tilec.resident",
    "Diagnostic": "tilec.errors",
    "TileError": "tilec.errors",
    "Executable": "tilec.executable",
    "GradientCheck": "tilec.gradient_check",
    "Options": "tilec.options",
    "TensorType": "tilec.graph",
    "Target": "tilec.target",
}

__all__ = [
    "Buffer",
    "Diagnostic",
    "Executable",
    "GradientCheck",
    "Options",
    "Target",
    "TensorType",
    "TileError",
    "__version__",
    "at",
    "check_grad",
    "checkpoint",
    "compile",
    "cond",
    "config",
    "contract",
    "custom_gradient",
    "fori_loop",
    "grad",
    "hvp",
    "index",
    "jit",
    "jvp",
    "load",
    "op",
    "parse",
    "record",
    "run",
    "scan",
    "stop_gradient",
    "trace",
    "value_and_grad",
    "while_loop",
]


_MODULES = ("numpy", "random")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"tilec.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'tilec' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
