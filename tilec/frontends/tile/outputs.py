"""The outputs of the elaborated function: each a Let of its own name."""

from __future__ import annotations

from dataclasses import replace

from tilec.affine import Poly
from tilec.errors import TileError
from tilec.frontends.tile.binding import Binder
from tilec.frontends.tile.builder import Builder, strong
from tilec.frontends.tile.syntax import Ident
from tilec.frontends.tile.values import Poisoned, Scalar, Value
from tilec.graph import Apply, Let
from tilec.rewrite import rename_uses


def bind_outputs(b: Builder, binder: Binder) -> tuple[str, ...]:
    """Makes every output a Let called like it, and returns their names; faulty ones are reported."""
    names = []
    copies: dict[str, str] = {}
    for output in binder.function.outputs:
        try:
            names.append(_named(b, binder.result(output), output.name, copies))
        except Poisoned:
            names.append(output.name.text)
        except TileError as problem:
            b.complain(problem)
    b.lets = _without_copies(b.lets, copies, set(names))
    return tuple(names)


def _named(b: Builder, found: Value, name: Ident, copies: dict[str, str]) -> str:
    """A literal or copy under the output's name, where the value has another; notes a copy in `copies`."""
    if isinstance(found, Scalar):
        if isinstance(found.value, Poly):
            return b.open_size(found.value, name.span, name.text).name
        return b.literal(found.value, name.span, name=name.text).name
    tensor = b.tensor(found, name.span, "an output")
    if tensor.name != name.text:
        b.emit(Apply("ident", (tensor.name,)), strong(tensor.type), name.span, name.text)
        if not tensor.type.weak:
            copies.setdefault(tensor.name, name.text)
    return name.text


def _without_copies(lets: list[Let], copies: dict[str, str], results: set[str]) -> list[Let]:
    """Gives the value of a Let the name of the output that copies it; parameters and other outputs are copied."""
    bound = {n for let in lets for n in let.names}
    renamed = {old: new for old, new in copies.items() if old in bound and old not in results}
    dropped = set(renamed.values())
    kept = [let for let in lets if dropped.isdisjoint(let.names)]
    return [replace(rename_uses(x, renamed), names=tuple(renamed.get(n, n) for n in x.names)) for x in kept]
