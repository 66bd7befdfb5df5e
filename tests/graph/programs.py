"""Small Graph programs as text, with their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.evaluate.expr import Mode
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph
from tilec.passes import infer
from tilec.text.graph_text import parse_graph

Array = np.ndarray[Any, np.dtype[Any]]


def graph(params: str, results: str, body: str, sizes: str = "") -> Graph:
    """A typed Graph: `body` holds one Let a line."""
    return infer.run(parse_graph(f"graph f{sizes}({params}) -> ({results}) {{\n{body}\n}}\n"))


def run(params: str, body: str, mode: Mode = "typed", **inputs: Any) -> Array:
    """Value of the result O."""
    return evaluate(graph(params, "O", body), inputs, mode)["O"]


def data(*shape: int, seed: int = 0) -> Array:
    """Normally distributed float32 numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def whole(*shape: int, seed: int = 0) -> Array:
    """Small whole numbers in float32: sums of their products are exact in any order."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)
