"""Parts that are computed in the memory of the whole.

A part has memory of its own where somebody else decides on it (parameters, results, what constants decide), where a
reader needs it dense and its box is not, where its rows would not be contiguous, or where the kernel that completes the
whole reads it in another place too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tilec.graph import Apply, Contraction, Special, operands
from tilec.loops import row_major
from tilec.specials import SCATTERS

from .assignments import Axes
from .boxes import is_dense, meets
from .context import Context
from .layers import Layer, Layers, source


@dataclass(frozen=True, slots=True)
class Place:
    """The memory of a part: where it starts in another tensor, and per axis the axis of that tensor that it follows,
    None for one of extent 1 or of a dense part."""

    tensor: str
    start: tuple[int, ...]
    axes: Axes

    def strides(self, shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...] | None:
        """Strides of a tensor of this shape here, in one with these strides; None where they are dense ones."""
        own = [int(s) for s in row_major(tuple(shape)) if isinstance(s, int)]
        found = tuple(d if a is None else strides[a] for a, d in zip(self.axes, own, strict=True))
        same = all(n == 1 or s == d for n, s, d in zip(shape, found, own, strict=True))
        return None if same else found


@dataclass(slots=True)
class Places:
    """Finds places. `of`: by part."""

    context: Context
    layers: Layers
    of: dict[str, Place] = field(default_factory=dict)

    def find(self, home: str, group: tuple[str, ...], layers: Sequence[Layer]) -> set[int]:
        """Positions of the layers that are computed in the memory of `home`; their places are noted."""
        context = self.context
        rest = set(context.memory([n for label in group[1:] for n in operands(context.lets[label].node)]))
        reads = [set(context.memory(layer.reads())) for layer in layers]
        readers = Counter(n for names in reads for n in names)
        placed: set[int] = set()
        earliest = -1  # what may be placed stands behind it: it fills more than remains of it
        for k in reversed(range(len(layers))):
            found = self._source(layers[k])
            if found is None:
                continue
            chain, axes = found
            covered = any(meets(layers[k].box, other.box) for other in layers[:k])
            at = context.at.get(chain[-1], -1)
            if at <= earliest or (covered and (context.uses(chain[0]) != 1 or len(chain) > 1)):
                continue
            if any(n in rest or readers[n] > (n in reads[k]) for n in chain):
                continue
            if self._may_move(home, chain, layers[k], axes):
                self._note(home, chain, layers[k], axes)
                earliest = max(earliest, at) if covered else earliest
                placed.add(k)
        return placed

    def _source(self, layer: Layer) -> tuple[list[str], Axes] | None:
        box = self.layers.box(layer.let.names[0])
        return None if box is None else source(layer, box, self.context)

    def _may_move(self, home: str, chain: list[str], layer: Layer, axes: Axes) -> bool:
        """Whether the memory of all of these may be the box of a tensor."""
        context = self.context
        if not self._is_free(chain[-1]) or any(n in context.settled or n in context.results for n in chain):
            return False
        if not self.of.keys().isdisjoint(chain):
            return False
        shape = context.values.fixed_shape(home)
        if is_dense(layer.box, shape):
            return True
        along = self._along(chain, axes)[-1]
        if along is None or not _keeps_rows(along, shape):
            return False
        uses = zip([layer.let, *(context.lets[n] for n in chain)], chain)
        readers = [let for own, name in uses for let in context.readers.get(name, ()) if let is not own]
        return all(isinstance(let.node, Apply | Contraction) for let in readers)

    def _is_free(self, name: str) -> bool:
        """Whether a kernel computes it, and its memory may lie anywhere."""
        let = self.context.lets.get(name)
        if let is None or not self.context.is_placed(name):
            return False
        if name in self.layers.absorbed or name not in self.context.stored:
            return False
        match let.node:
            case Apply() | Contraction():
                return True
            case Special(op=op):
                return op == "gather" or op in SCATTERS
            case _:
                return False

    def _along(self, chain: list[str], axes: Axes) -> list[Axes | None]:
        """The axes of each of a chain of reshapes; None behind one that does more than add or drop axes of extent 1."""
        found: list[Axes | None] = [axes]
        for view, shown in pairwise(chain):
            before, after = (self.context.values.fixed_shape(n) for n in (view, shown))
            last = found[-1]
            if last is None or [n for n in before if n != 1] != [n for n in after if n != 1]:
                found.append(None)
                continue
            left = iter([a for a, n in zip(last, before, strict=True) if n != 1])
            found.append(tuple(next(left) if n != 1 else None for n in after))
        return found

    def _note(self, home: str, chain: list[str], layer: Layer, axes: Axes) -> None:
        start = tuple(s for s, _ in layer.box)
        for name, along in zip(chain, self._along(chain, axes), strict=True):
            self.of[name] = Place(home, start, along or (None,) * len(self.context.values.shape(name)))


def _keeps_rows(along: Axes, shape: Sequence[int]) -> bool:
    """Whether neighbours along the last axis of a part are neighbours in the whole: stores of vectors stay such."""
    last = max((k for k, n in enumerate(shape) if n != 1), default=0)
    return next((a for a in reversed(along) if a is not None), last) == last
