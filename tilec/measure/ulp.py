"""Floor 5: how far the mathematical functions of a device are from the exact results, in units in the last place.

`python -m tilec.measure.ulp TARGET` prints it as JSON. The reference is NumPy in the next wider type, so float64 is
measured where the system has a wider one. Subnormal arguments and results are left out: not every device has them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tilec.backend import Array
from tilec.builtins import BUILTINS
from tilec.configuration import config
from tilec.devices import resolve_target
from tilec.dtypes import F32, F64, DType
from tilec.errors import TileError
from tilec.graph import TensorType
from tilec.measure.answers import answered
from tilec.measure.programs import Case
from tilec.measure.selftest import Check, built_alone, lowered, packs_of, results_of
from tilec.target import Target

SAMPLES = 1500  # arguments of each function
_DIVISION = 3.0  # ulp that OpenCL allows a square root, and more than it allows a division

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """The largest error of a function and the argument that has it. bound: what it may be."""

    name: str
    dtype: str
    ulp: float
    bound: float
    argument: float


def _erf(x: Any) -> Any:
    return np.array([math.erf(float(v)) for v in x])


# Each function with its reference, and the interval of its arguments.
_FUNCTIONS: Mapping[str, tuple[Function, float, float]] = {
    "exp": (np.exp, -87, 88),
    "expm1": (np.expm1, -20, 88),
    "log": (np.log, 0, 3),
    "log1p": (np.log1p, -1, 3),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -80, 30),
    "sqrt": (np.sqrt, 0, 1e6),
    "sin": (np.sin, -1e5, 1e5),
    "cos": (np.cos, -1e5, 1e5),
    "tan": (np.tan, -1e5, 1e5),
    "asin": (np.arcsin, -1, 1),
    "acos": (np.arccos, -1, 1),
    "atan": (np.arctan, -10, 10),
    "sinh": (np.sinh, -80, 80),
    "cosh": (np.cosh, -80, 80),
    "tanh": (np.tanh, -10, 10),
    "asinh": (np.arcsinh, -10, 10),
    "acosh": (np.arccosh, 1, 10),
    "atanh": (np.arctanh, -1, 1),
    "erf": (_erf, -4, 4),
}
_WIDER: Mapping[DType, Any] = {F32: np.float64, F64: np.longdouble}


def measure(target: Target) -> list[Measured]:
    """Every function in float32, and in float64 where the device and the reference have it. Raises TileError."""
    found = _of_dtype(target, F32)
    if np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant:
        try:
            found += _of_dtype(target, F64)
        except TileError as problem:
            if problem.code != "TILE0509":  # the device has no float64
                raise
    return found


def _of_dtype(target: Target, dtype: DType) -> list[Measured]:
    names = [n for n in _FUNCTIONS if n != "erf" or dtype == F32]  # Python's own has 53 bits
    checks = [lowered(target, _case(name, dtype)) for name in names]
    arguments = {name: _arguments(name, dtype) for name in names}
    found: list[Measured] = []
    for pack in packs_of(checks):
        given = [{"X": arguments[c.case.name]} for c in pack.checks]
        results = results_of(pack, built_alone(target, pack), given)
        for check, before in zip(pack.checks, pack.prefixes, strict=True):
            found.append(_worst(check, target, arguments[check.case.name], results[before + "Y"]))
    return found


def _case(name: str, dtype: DType) -> Case:
    return Case(name, f"function (X) -> (Y) {{ Y = {name}(X); }}", {"X": TensorType(dtype, (SAMPLES,))})


def _arguments(name: str, dtype: DType) -> Array:
    """Two thirds over the whole interval, the others near 0 and 1, where they are in it."""
    _, low, high = _FUNCTIONS[name]
    rng = np.random.default_rng(len(name))
    wide = rng.uniform(low, high, SAMPLES * 2 // 3)
    near = rng.uniform(max(low, -2), min(high, 2), SAMPLES - len(wide))
    return np.concatenate([wide, near]).astype(dtype.numpy)


def _worst(check: Check, target: Target, arguments: Array, found: Array) -> Measured:
    name, dtype = check.case.name, check.case.inputs["X"].dtype
    with np.errstate(all="ignore"):
        exact = _FUNCTIONS[name][0](arguments.astype(_WIDER[dtype]))
        errors = ulps(found, exact)
    place = int(np.argmax(errors))
    bound = BUILTINS[name].ulp or 0.5
    bound = max(bound, _DIVISION) if target.backend == "opencl" else bound
    return Measured(name, dtype.name, float(errors[place]), bound, float(arguments[place]))


def ulps(found: Array, exact: Any) -> Any:
    """Distances in units in the last place; 0 where the exact result is no normal number, infinite for NaN."""
    info = np.finfo(found.dtype)
    _, exponent = np.frexp(exact)
    unit = np.ldexp(np.ones_like(exact), exponent - 1 - info.nmant)
    normal = np.isfinite(exact) & (np.abs(exact) >= info.tiny) & (np.abs(exact) <= info.max)
    errors = np.abs(found.astype(exact.dtype) - exact) / unit
    return np.where(normal, np.where(np.isnan(errors), np.inf, errors), 0)


def main(arguments: Sequence[str]) -> int:
    """Prints what is measured on the named target, or the error that there was; null is an infinite error."""

    def compute() -> dict[str, Any]:
        target = resolve_target(arguments[0], force=True)
        with config(cache=False):
            rows = measure(target)
        return {"functions": [{**asdict(m), "ulp": m.ulp if math.isfinite(m.ulp) else None} for m in rows]}

    return answered(compute)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
