"""Helpers of the language tests: run a program through the frontend and the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.dtypes import BY_NAME
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import Elaboration, elaborate
from tilec.frontends.tile.parser import parse
from tilec.graph import TensorType


def signature(inputs: dict[str, Any]) -> dict[str, TensorType | int | float]:
    return {
        name: value if isinstance(value, bool | int | float) else TensorType(BY_NAME[value.dtype.name], value.shape)
        for name, value in inputs.items()
    }


def elaborated(text: str, function: str | None = None, **inputs: Any) -> Elaboration:
    return elaborate(parse(text), function, signature(inputs))


def results(text: str, function: str | None = None, **inputs: Any) -> dict[str, Any]:
    """All results of a function by name."""
    return evaluate(elaborated(text, function, **inputs).graph, inputs)


def result(text: str, function: str | None = None, **inputs: Any) -> Any:
    """The only result."""
    (found,) = results(text, function, **inputs).values()
    return found


def codes(text: str, function: str | None = None, **inputs: Any) -> list[str]:
    """Codes of the diagnostics of a bad program; [] where it is a good one."""
    try:
        elaborated(text, function, **inputs)
    except TileError as found:
        assert all(d.span is not None or d.code in ("TILE0110", "TILE0111") for d in found.diagnostics)
        return [d.code for d in found.diagnostics]
    return []


def f32(*shape: int, seed: int = 0) -> Any:
    return (np.random.default_rng(seed).random(shape, np.float32) * 4 - 2).astype(np.float32)
