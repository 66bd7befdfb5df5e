"""Functions of NumPy computed by tilec, with NumPy's promotion and NumPy's kinds of errors, each result compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tilec
import tilec.numpy as tnp

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]
_EINSUM = np.einsum


class Refused(ValueError, TypeError, RuntimeError):
    """A TileError under the names that NumPy raises: tilec has one kind of errors, with codes."""


def promoted(arrays: Sequence[Any], dtype: Any = None) -> list[Array]:
    """Arrays of the one type that NumPy computes in."""
    given = [np.asarray(a) for a in arrays]
    common = np.result_type(*given) if dtype is None else np.dtype(dtype)
    return [a.astype(common, copy=False) for a in given]


def computed(function: Function, reference: Function, *arrays: Any, **options: Any) -> Any:
    """What tilec computes; it must be what NumPy computes, but for the order of sums."""
    try:
        found = function(*arrays, **options)
    except tilec.TileError as reason:
        raise Refused(str(reason)) from reason
    wanted = np.asarray(reference(*arrays, **options))
    assert found.shape == wanted.shape, f"tilec's shape is {found.shape}, NumPy's {wanted.shape}"
    assert not differs(found, wanted), f"tilec's result differs from NumPy's: {found} {wanted}"
    return found


def differs(found: Array, wanted: Array) -> bool:
    if not np.issubdtype(wanted.dtype, np.inexact):
        return not np.array_equal(found, wanted)
    close = 1e3 * float(np.finfo(wanted.dtype).eps)
    scale = float(np.abs(wanted).max(initial=0))
    return not np.allclose(found.astype(float), wanted.astype(float), rtol=close, atol=close * max(scale, 1e-30))


def einsum(*arguments: Any, **options: Any) -> Any:
    """NumPy's arguments: `dtype` is the type computed in, `out` gets the result; `order` and `casting` are checked."""
    _EINSUM("", 0, **{name: options[name] for name in options.keys() - {"out", "optimize"}})  # NumPy refuses
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
        lambda *a: called(_EINSUM, *a),
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
