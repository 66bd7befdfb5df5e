"""What one update of a scatter contributes to its derivative: the weights of contractions, for cells that data name.

max, min    1 for the first update, in row-major order of the places, whose value is the cell's; else 0
prod        the product of the other updates of the cell, as in `tilec.passes.differentiate.weights`
"""

from __future__ import annotations

from math import prod

from tilec.affine import Affine, Size
from tilec.dtypes import I32, I64, U64
from tilec.expr import IndexValue, Var
from tilec.graph import Contraction, Let, Sink, Special, TensorType
from tilec.monoid import standard
from tilec.passes.differentiate.builder import Builder
from tilec.passes.differentiate.weights import product_of_others


def weighted(b: Builder, let: Let, term: str, places: str, stem: str) -> str:
    """`term`, of the updates' shape, times their weights; `places` are the indices, each on the axis."""
    node = let.node
    assert isinstance(node, Special)
    if 0 in b.types[node.args[0]].shape or 0 in let.types[0].shape:
        return b.filled(0, b.types[node.args[0]], stem)
    if node.op == "scatter_prod":
        return _times_others(b, node, term, places, stem)
    chosen = _first(b, let, places)
    return b.apply("cond", (chosen, term, b.filled(0, TensorType(b.types[term].dtype), "zero")), stem)


def _first(b: Builder, let: Let, places: str) -> str:
    """Whether an update is the first of its cell's value. One that is dropped is not: no cell has its number."""
    node, stem = let.node, f"{let.names[0]}_first"
    assert isinstance(node, Special)
    updates, index, like = node.args
    attained = b.apply("cmp_eq", (updates, b.bind(Special("gather", (let.names[0], places)), stem)), stem)
    unordered = b.apply("cmp_ne", (updates, updates), stem)
    number = _numbers(b, b.types[updates].shape, b.types[index].rank, stem)
    dtype = b.types[number].dtype
    none = b.filled(dtype.max, TensorType(dtype), "none")
    candidate = b.apply("cond", (b.apply("bit_or", (attained, unordered), stem), number, none), stem)
    first = b.bind(Special("scatter_min", (candidate, index, like)), stem)
    return b.apply("cmp_eq", (number, b.bind(Special("gather", (first, places)), stem)), stem)


def _numbers(b: Builder, shape: tuple[Size, ...], rank: int, stem: str) -> str:
    """The number of its place, which the first `rank` axes are, for each update."""
    count = prod(shape[:rank])
    dtype = I32 if isinstance(count, int) and count < I32.max else I64
    names = tuple(f"i{a}" for a in range(len(shape)))
    forms = tuple(map(Affine.var, names))
    form = Affine()
    for a in range(rank):
        form = form + forms[a] * prod(shape[a + 1 : rank])
    node = Contraction(names, standard("assign", dtype), (IndexValue(form, dtype),), (Sink(forms, shape),))
    return b.bind(node, stem, dtype)


def _times_others(b: Builder, node: Special, term: str, places: str, stem: str) -> str:
    updates, index, like = node.args
    dtype = b.types[updates].dtype
    zero, one = (b.filled(n, TensorType(dtype), stem) for n in (0, 1))
    none, single = (b.filled(n, TensorType(I32), stem) for n in (0, 1))
    is_zero = b.apply("cmp_eq", (updates, zero), stem)

    def per_cell(op: str, then: str, orelse: str) -> str:
        found = b.bind(Special(op, (b.apply("cond", (is_zero, then, orelse), stem), index, like)), stem)
        return b.bind(Special("gather", (found, places)), stem)

    values = {
        "body": updates,
        "zeros": per_cell("scatter", single, none),
        "others": per_cell("scatter_prod", one, updates),
        "vanishing": per_cell("scatter", updates, zero),
    }
    body, others, vanishing = (Var(n, dtype) for n in ("body", "others", "vanishing"))
    factor = b.expression(product_of_others(body, Var("zeros", I32), others, vanishing), values, stem)
    return b.apply("strong_mul", (term, factor), stem)


def clamped(b: Builder, index: str, size: Size) -> str:
    """The cells that gather reads: the index clamped to an axis."""
    index, stem = wide_enough(b, index, size), f"{index}_inside"
    dtype = b.types[index].dtype
    if dtype.is_signed:
        index = b.apply("max", (index, b.filled(0, TensorType(dtype), "zero")), stem)
    if not isinstance(size, int) or 0 < size <= dtype.max:
        index = b.apply("min", (index, b.size(size - 1, dtype, "last")), stem)
    return index


def wide_enough(b: Builder, index: str, size: Size) -> str:
    """The index in a type that holds an open size."""
    if isinstance(size, int) or b.types[index].dtype in (I64, U64):
        return index
    return b.apply("cast", (index,), f"{index}_wide", I64)
