"""What the cells of a chain of assignments hold, the latest assignment first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from tilec.exact.assigned import assigned
from tilec.expr import Read, walk
from tilec.graph import Contraction, Let, operands

from .assignments import Axes, part
from .boxes import Box, extents, minus, moved, whole
from .context import Context

MOST = 256  # layers of one join
DEEPEST = 32  # joins as parts of joins


@dataclass(frozen=True, slots=True)
class Layer:
    """Cells of a result: those that `let` assigns, or leaves to its default; earlier layers lie over it.

    `shift`: where the tensor of `let` starts.
    """

    box: Box
    let: Let
    shift: tuple[int, ...]
    assigned: bool

    @property
    def node(self) -> Contraction:
        assert isinstance(self.let.node, Contraction)
        return self.let.node

    def reads(self) -> list[str]:
        """Tensors that its cells are computed from."""
        if self.assigned:
            return [e.access.tensor for e in walk(self.node.body[0]) if isinstance(e, Read)]
        default = self.node.defaults[0]
        return [] if default is None else [default]


@dataclass(frozen=True, slots=True)
class Piece:
    """Cells of a layer that no other lies over. `placed`: they are computed there."""

    box: Box
    layer: Layer
    placed: bool


def pieces(layers: Sequence[Layer], placed: set[int]) -> tuple[Piece, ...]:
    """The layers as boxes that have no cell in common; `placed` are positions of layers."""
    covered: list[Box] = []
    found: list[Piece] = []
    for k, layer in enumerate(layers):
        left = [layer.box]
        for other in covered:
            left = [rest for box in left for rest in minus(box, other)]
        found += [Piece(box, layer, k in placed) for box in left]
        covered.append(layer.box)
    return tuple(reversed(found))


@dataclass(slots=True)
class Layers:
    """Finds layers. `absorbed`: Lets whose layers became those of what they went into: they have no kernel."""

    context: Context
    absorbed: set[str] = field(default_factory=set)
    _boxes: dict[str, Box | None] = field(default_factory=dict)

    def box(self, name: str) -> Box | None:
        """The cells that a Let assigns, if it is one that a join is made of."""
        if name not in self._boxes:
            let = self.context.lets.get(name)
            joins = let is not None and self.context.is_placed(name)
            self._boxes[name] = assigned(let, self.context.shapes) if let is not None and joins else None
        return self._boxes[name]

    def of(self, let: Let) -> list[Layer]:
        """All layers of a Let that has a box."""
        found: list[Layer] = []
        self._collect(let, (0,) * len(self.context.shape(let)), found, 0)
        return found

    def _collect(self, let: Let | None, shift: tuple[int, ...], found: list[Layer], depth: int) -> None:
        while let is not None:
            own = self.box(let.names[0])
            assert own is not None
            box = moved(own, shift)
            inner = self._joined_part(let, own, len(found)) if depth < DEEPEST else None
            if inner is not None:
                self._collect(inner, tuple(start for start, _ in box), found, depth + 1)
            else:
                found.append(Layer(box, let, shift, True))
            shape = self.context.shape(let)
            if prod(extents(own)) == prod(shape):
                return
            below = self._joined_default(let, len(found))
            if below is None:
                found.append(Layer(moved(whole(shape), shift), let, shift, False))
            let = below

    def _joined_part(self, let: Let, box: Box, count: int) -> Let | None:
        found = part(let, box, self.context.values)
        straight = found is not None and found[1] == tuple(range(len(box)))
        return self._absorb(found[0], let, count) if found is not None and straight else None

    def _joined_default(self, let: Let, count: int) -> Let | None:
        assert isinstance(let.node, Contraction)
        default = let.node.defaults[0]
        return None if default is None else self._absorb(default, let, count)

    def _absorb(self, name: str, into: Let, count: int) -> Let | None:
        """An operand that is a join itself, made together with what it goes into; None where it stays alone."""
        context = self.context
        if count >= MOST or name in context.results or context.uses(name) != 1 or self.box(name) is None:
            return None
        let = context.lets[name]
        if context.groups[context.at[name]] != (name,) or len(context.shape(let)) != len(context.shape(into)):
            return None
        again = name in context.settled and into.names[0] not in context.settled
        computes = any(n in context.values.inlined for n in operands(let.node))
        if let.types[0].dtype != into.types[0].dtype or (again and computes):
            return None
        self.absorbed.add(name)
        return let


def source(layer: Layer, box: Box, context: Context) -> tuple[list[str], Axes] | None:
    """The tensor that all cells of a layer are, with those that it is a reshape of; its axes in the result.

    `box`: what the Let of the layer assigns.
    """
    found: tuple[str, Axes] | None
    if layer.assigned:
        found = part(layer.let, box, context.values)
    else:
        default, values = layer.node.defaults[0], context.values
        same = default is not None and values.types[default] == values.types[layer.let.names[0]]
        found = (default, tuple(range(len(box)))) if default is not None and same else None
    if found is None:
        return None
    chain = [found[0]]
    while (shown := context.reshaped(chain[-1])) is not None:
        chain.append(shown)
    return chain, found[1]
