"""Functions of NumPy computed by tilec, with NumPy's promotion and NumPy's kinds of errors, each result compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tilec

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


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
