"""Floor 3: assignments that reach a box of cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from tilec.affine import Affine, Size
from tilec.exact.domain import box_of, conditions, guards
from tilec.expr import Access, Read, walk
from tilec.graph import Contraction, Let

Cells: TypeAlias = tuple[tuple[int, int], ...]  # per axis where they start and how many they are


def assigned(let: Let, shapes: Mapping[str, tuple[Size, ...]]) -> Cells | None:
    """The cells that an assignment of a bounded Graph reaches, if they are a box and each has its own point.

    No point of it has a condition then. None where sizes are open, or elements are not where indices alone say.
    """
    node = let.node
    if not isinstance(node, Contraction) or node.monoid.name != "assign" or len(node.sinks) != 1:
        return None
    reads = [e.access for e in walk(node.body[0]) if isinstance(e, Read)]
    used = {t: shapes[t] for t in (*(a.tensor for a in reads), *let.names)}
    sizes = (*node.extents, *(n for shape in used.values() for n in shape))
    if not all(isinstance(n, int) and n > 0 for n in sizes) or not all(map(is_plain, reads)):
        return None
    left = {i: n for i, n in zip(node.indices, node.extents, strict=True) if isinstance(n, int) and n != 1}
    found: list[tuple[int, int]] = []
    for form, size in zip(node.sinks[0].indices, used[let.names[0]], strict=True):
        start, variables = form.const, moving(form, node)
        if not isinstance(start, int) or len(variables) > 1 or any(form.coefficient(v) != 1 for v in variables):
            return None
        extent = left.pop(variables[0], 0) if variables else 1
        if not (isinstance(size, int) and start >= 0 and 0 < extent <= size - start):
            return None
        found.append((start, extent))
    box = box_of(node)
    if left or any(high < 0 for _, high in box.values()) or guards(conditions(node, used), box):
        return None
    return tuple(found)


def is_plain(access: Access) -> bool:
    """Whether all indices are affine, and there is no point where one is out of range."""
    return access.boundary == "skip" and all(isinstance(i, Affine) for i in access.indices)


def moving(form: Affine, node: Contraction) -> list[str]:
    """The variables of a form that take more than one value."""
    return [i for i, n in zip(node.indices, node.extents, strict=True) if n != 1 and i in form.variables()]
