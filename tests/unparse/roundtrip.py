"""A Graph written in Tile, parsed and elaborated again: it must have the same values, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import check, to_graph
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.unparse import to_tile
from tilec.graph import Contraction, Graph, Let, TensorType
from tilec.verify.graph import verify


def again(graph: Graph, inputs: Mapping[str, Any], text: str) -> Graph:
    """The Graph of the text, for the parameters' own types."""
    program = parse(text)
    assert not check(program).diagnostics, text
    signature: dict[str, Any] = {}
    for p in graph.params:
        signature[p.name] = inputs[p.name] if p.type.weak else TensorType(p.type.dtype, np.shape(inputs[p.name]))
    *_, main = program.functions
    assert main.name is not None
    return to_graph(program, main.name.text, signature)


def in_the_order_of(graph: Graph, other: Graph) -> Graph:
    """The Graph with the terms of its sums in the order of the other's, whose statements it has."""
    orders = {let.names[0]: let.node.indices for let in other.lets if isinstance(let.node, Contraction)}

    def ordered(let: Let) -> Let:
        order = orders.get(let.names[0])
        if order is None or not isinstance(let.node, Contraction) or set(order) != set(let.node.indices):
            return let
        return replace(let, node=replace(let.node, indices=order))

    return replace(graph, lets=tuple(map(ordered, graph.lets)))


def assert_same(graph: Graph, inputs: Mapping[str, Any]) -> str:
    """Writes the Graph and compares values, types and names; returns the text."""
    text = to_tile(graph)
    found = again(graph, inputs, text)
    verify(found)
    assert found.results == graph.results, text
    wanted, values = evaluate(graph, inputs), evaluate(in_the_order_of(found, graph), inputs)
    for name in graph.results:
        assert (values[name].dtype, values[name].shape) == (wanted[name].dtype, wanted[name].shape), (name, text)
        np.testing.assert_array_equal(_plain(values[name]), _plain(wanted[name]), err_msg=text)
    return text


def _plain(array: Any) -> Any:
    """NumPy does not know NaN in bfloat16."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array
