"""Pass `forward`: what reads a part of a joined tensor reads the part itself.

An assignment of a box with a default holds two tensors side by side: what is assigned, and around it the default. Where
every access to it stays inside of the box, or outside, these are read directly, and it is no longer needed. So the
slices of a concatenation are its parts; and the derivative of a concatenation, whose cotangent is cleared where later
parts were written, and then cut into slices, neither clears nor copies anything.

Before:
    graph f(A: f32[2], B: f32[4]) -> (C, D) {
      Z: f32[6] = assign:f32 [i < 4] { [i] <- B[i] }
      R: f32[6] = assign:f32 [i < 2] { [i + 4] <- A[i] } default Z
      C: f32[2] = assign:f32 [i < 2] { [i] <- R[i + 4] }
      D: f32[3] = assign:f32 [i < 3] { [i] <- R[i + 1] }
    }
After:
    graph f(A: f32[2], B: f32[4]) -> (C, D) {
      C: f32[2] = assign:f32 [i < 2] { [i] <- A[i] }
      D: f32[3] = assign:f32 [i < 3] { [i] <- B[i + 1] }
    }

It runs after `bounds`, which says how far every index goes. A tensor that is still needed as a whole stays as it is,
with all that reads it: its parts can then be computed in its memory (see `lower`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from tilec.affine import Affine, Coef, Size
from tilec.exact.assigned import Cells, assigned, is_plain, moving
from tilec.exact.boxes import span
from tilec.exact.domain import box_of
from tilec.expr import Access, Expr, Read, substitute_indices, transform, walk
from tilec.graph import AGAIN, Contraction, Graph, Let, operands
from tilec.rewrite import map_subgraphs, with_lets


@dataclass(frozen=True, slots=True)
class Options:
    """This pass has no options."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    """The bounded Graph without tensors of which only parts are read; the same object if there are none."""
    return with_lets(graph, _Forwarding(graph).lets())


class _Forwarding:
    """The Lets in the making, and who reads what, by position."""

    def __init__(self, graph: Graph) -> None:
        self._results = frozenset(graph.results)
        self._shapes = {name: type.shape for name, type in graph.types().items()}
        self._lets = [map_subgraphs(let, run) for let in graph.lets]
        self._readers: dict[str, set[int]] = {}
        for at in range(len(self._lets)):
            self._note(at)

    def lets(self) -> list[Let]:
        gone = {at for at in reversed(range(len(self._lets))) if self._forward(at)}  # the latest assignment first
        return [let for at, let in enumerate(self._lets) if at not in gone]

    def _note(self, at: int) -> None:
        for name in operands(self._lets[at].node):
            self._readers.setdefault(name, set()).add(at)

    def _forward(self, at: int) -> bool:
        """Whether nothing needs a Let any more: all that read it now read what it is made of."""
        let = self._lets[at]
        readers = self._readers.get(let.names[0], set()) if let.names else set()
        if not readers or let.names[0] in self._results or AGAIN in let.attributes:
            return False
        cells = assigned(let, self._shapes)
        if cells is None or prod(n for _, n in cells) == prod(map(_number, self._shapes[let.names[0]])):
            return False  # what is assigned as a whole is computed where it is read
        found = {k: _forwarded(self._lets[k], let, cells, self._shapes) for k in readers}
        new = {k: other for k, other in found.items() if other is not None}
        if len(new) < len(found):
            return False
        for k, other in new.items():
            self._lets[k] = other
            self._note(k)
        for name in operands(let.node):
            self._readers[name].discard(at)
        return True


def _number(size: Size) -> int:
    assert isinstance(size, int)
    return size


def _forwarded(reader: Let, whole: Let, cells: Cells, shapes: Mapping[str, tuple[Size, ...]]) -> Let | None:
    """The reader with accesses to parts of `whole`; None where one is to more than a part, or of another kind."""
    node, name = reader.node, whole.names[0]
    if not isinstance(node, Contraction) or name in node.defaults:
        return None
    box = box_of(node)
    found: dict[Access, Access] = {}
    for access in (e.access for body in node.body for e in walk(body) if isinstance(e, Read)):
        if access.tensor == name:
            part = _part(access, whole, cells, box, shapes)
            if part is None:
                return None
            found[access] = part

    def leaf(e: Expr) -> Expr:
        return replace(e, access=found[e.access]) if isinstance(e, Read) and e.access in found else e

    return replace(reader, node=replace(node, body=tuple(transform(body, leaf) for body in node.body)))


def _part(
    access: Access,
    whole: Let,
    cells: Cells,
    box: Mapping[str, tuple[int, int]],
    shapes: Mapping[str, tuple[Size, ...]],
) -> Access | None:
    """The same elements in the memory of what is assigned, or of the default."""
    node = whole.node
    assert isinstance(node, Contraction)
    forms = [i for i in access.indices if isinstance(i, Affine) and not i.sizes()]
    if not is_plain(access) or len(forms) < len(access.indices):
        return None
    ranges = [span(form, box) for form in forms]
    if any(high < start or low >= start + n for (low, high), (start, n) in zip(ranges, cells, strict=True)):
        default = node.defaults[0]
        same = default is not None and shapes[default] == shapes[whole.names[0]]
        return replace(access, tensor=default) if default is not None and same else None
    inside = all(start <= low and high < start + n for (low, high), (start, n) in zip(ranges, cells, strict=True))
    body, dtype = node.body[0], whole.types[0].dtype
    if not inside or not isinstance(body, Read) or not body.dtype == node.accumulator[0] == dtype:
        return None
    at: dict[str, Affine | Coef] = dict.fromkeys(node.indices, 0)  # others have extent 1
    for sink, form in zip(node.sinks[0].indices, forms, strict=True):
        at.update((v, form - sink.const) for v in moving(sink, node))
    moved = substitute_indices(body, at)
    assert isinstance(moved, Read)
    return moved.access
