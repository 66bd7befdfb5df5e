"""Graphs from Tile text, with float64 inputs."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.gradients.differences import Array
from tilec.dtypes import F64, from_numpy
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Graph, TensorType


def from_tile(text: str, inputs: Mapping[str, Any]) -> Graph:
    """The graph of a function's text (without the keyword) for arrays or shapes of float64."""
    return to_graph(parse(f"function {text}"), None, {n: _type(v) for n, v in inputs.items()})


def _type(value: Any) -> TensorType:
    if isinstance(value, tuple):
        return TensorType(F64, value)
    dtype = from_numpy(value.dtype)
    assert dtype is not None
    return TensorType(dtype, value.shape)


def random_arrays(name: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """float64 arrays of a fixed seed per name, away from zero."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return {n: rng.uniform(0.4, 1.6, s) * rng.choice([-1.0, 1.0], s) for n, s in shapes.items()}
