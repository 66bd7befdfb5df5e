"""Floor 5: trees of gradients kept within bounds."""

from __future__ import annotations

from typing import Any

from tilec.numpy.axes import positive
from tilec.numpy.elementwise import clip, maximum, sqrt, square, where
from tilec.numpy.precision import widened
from tilec.numpy.reductions import sum
from tilec.tracing import trees
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype


@operation
def global_norm(tree: Any, /) -> Any:
    """The root of the sum of the squares of all elements of a tree, in float32 at least; 0 of an empty tree."""
    leaves, _ = trees.flatten(tree)
    total: Any = lift(0.0)
    for leaf in leaves:
        total = total + sum(square(widened(leaf)[0]))
    return where(total > 0, sqrt(total), total)  # of NaN NaN, and the slope at 0 is 0


@operation
def clip_by_global_norm(tree: Any, /, limit: float) -> Any:
    """The tree, scaled down to a `global_norm` of `limit` where it has a larger one. Raises TILE0210 of 0 or less."""
    bound = positive(limit, "a limit")
    scale = bound / maximum(global_norm(tree), bound)
    leaves, structure = trees.flatten(tree)
    return trees.unflatten(structure, [as_dtype(lift(x) * scale, lift(x).type.dtype) for x in leaves])


@operation
def clip_by_value(tree: Any, /, limit: float) -> Any:
    """The tree, each element kept between -limit and limit. Raises TILE0210 of a limit of 0 or less."""
    bound = positive(limit, "a limit")
    leaves, structure = trees.flatten(tree)
    return trees.unflatten(structure, [clip(x, -bound, bound) for x in leaves])
