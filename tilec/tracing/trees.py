"""Floor 5: nested tuples, lists, dicts and registered classes of arrays, by `optree`. No other file imports it.

`None` is an empty tree, not a leaf.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import optree

from tilec.errors import error

Structure: TypeAlias = Hashable  # an optree.PyTreeSpec


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a tree and its structure, which is equal and hashes equal for equal structures."""
    try:
        return optree.tree_flatten(tree, namespace="tilec")
    except (ValueError, TypeError, RecursionError) as reason:
        raise error("TILE0505", f"not a tree of arrays: {_first_line(reason)}") from None


def unflatten(structure: Any, leaves: Sequence[Any]) -> Any:
    """Inverse of `flatten`."""
    return optree.tree_unflatten(structure, leaves)


def paths(structure: Any) -> list[tuple[Any, ...]]:
    """Where each leaf is: keys, positions and names of attributes from the root."""
    return list(structure.paths())


def path_text(path: Sequence[Any]) -> str:
    """`params.layers.0.w`, as shown in messages."""
    return ".".join(map(str, path))


def is_leaf(structure: Any) -> bool:
    """Whether a structure is that of a single leaf."""
    return bool(structure.is_leaf())


def structure_text(structure: Any) -> str:
    """A structure as the tree that it is, with `*` for leaves."""
    return str(structure).removeprefix("PyTreeSpec(").removesuffix(")").partition(", namespace=")[0]


def _first_line(reason: Exception) -> str:
    return (str(reason).splitlines() or [type(reason).__name__])[0]
