"""A plug-in of pytest: `numpy.einsum` is tilec's. Every result is compared with NumPy's, besides the test itself."""

from __future__ import annotations

from typing import Any

import numpy as np

import tilec.numpy as tnp
from tests.outside.arrays import Refused, computed, promoted

_NUMPY = np.einsum


def einsum(*arguments: Any, **options: Any) -> Any:
    """NumPy's arguments: `dtype` is the type computed in, `out` gets the result; `order` and `casting` are checked."""
    _NUMPY("", 0, **{name: options[name] for name in options.keys() - {"out", "optimize"}})  # NumPy refuses
    given = list(arguments)
    places = range(1, len(given)) if given and isinstance(given[0], str) else range(0, len(given) - 1, 2)
    try:
        numbers = promoted([given[k] for k in places], options.get("dtype"))
    except ValueError as reason:
        raise Refused(str(reason)) from reason
    optimize = options.get("optimize", False)

    def called(function: Any, *values: Any, **how: Any) -> Any:
        whole = given.copy()
        for k, value in zip(places, values):
            whole[k] = value
        return function(*whole, **how)

    found = computed(
        lambda *a: _as_bool(called(tnp.einsum, *a, optimize=optimize), a),
        lambda *a: called(_NUMPY, *a),
        *numbers,
    )
    return _into(found, options.get("out"))


def _as_bool(found: Any, operands: Any) -> Any:
    """tilec counts bools, NumPy asks whether there is one."""
    return found.astype(bool) if operands and operands[0].dtype == bool else found


def _into(found: Any, out: Any) -> Any:
    if out is None:
        return found if found.ndim else found[()]
    if not isinstance(out, np.ndarray):
        raise Refused("out is not an array")
    if out.shape != found.shape:
        raise Refused("the result does not have the shape of out")
    out[...] = found.astype(out.dtype)
    return out


def pytest_configure() -> None:
    np.einsum = einsum
