"""In which order `fuse` comes upon the Lets. Any order is right in which operands come first; this one keeps values
short-lived, and what belongs together near each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from tilec.affine import Poly
from tilec.expr import IndexValue, walk
from tilec.graph import Apply, Contraction, Graph, Let, Special, operands
from tilec.partition import labelled
from tilec.specials import SPECIALS


def ordered(graph: Graph, settled: frozenset[str]) -> dict[str, Let]:
    """The Lets by their labels: what constants decide first, the others as they stand, copies into results as soon as
    their values are known."""
    return _results_early(_settled_first(labelled(graph), settled), frozenset(graph.results))


def _results_early(lets: Mapping[str, Let], results: frozenset[str]) -> dict[str, Let]:
    """The Lets, with copies into results right behind what they copy.

    At the end of the Graph, where traces return them, they would be far from the other readers of the same tensors, and
    their operands would be kept until then. Which memory they go to does not matter here: a parameter whose old value
    is needed later is overwritten later (pass `in_place`).
    """
    copies: dict[str, list[str]] = {}
    for label, let in lets.items():
        if label in results and isinstance(let.node, Apply) and let.node.op == "ident":
            copies.setdefault(let.node.args[0], []).append(label)
    found: dict[str, Let] = {}
    for label in lets:
        following = [] if label in found else [label]
        for at in following:  # it grows: a copy of a copy follows the first one
            found[at] = lets[at]
            following += [c for name in lets[at].names for c in copies.get(name, ())]
    return found


def settled(graph: Graph) -> frozenset[str]:
    """Values that constant parameters decide, alone or with literals."""
    found = {p.name for p in graph.params if p.digest is not None}
    literal: set[str] = set()
    for let in graph.lets:
        if (isinstance(let.node, Special) and SPECIALS[let.node.op].effect) or _is_open(let):
            continue
        used = set(operands(let.node))
        if used <= found | literal:
            (found if used & found else literal).update(let.names)
    return frozenset(found)


def _settled_first(lets: Mapping[str, Let], settled: frozenset[str]) -> dict[str, Let]:
    """The Lets, beginning with those of `settled` and what these read: scales and shifts made of constants are there
    before the sums that they are applied to, and keep nothing from joining these."""
    early = set(settled)
    for let in reversed(list(lets.values())):
        if not early.isdisjoint(let.names):
            early.update(operands(let.node))
    return dict(sorted(lets.items(), key=lambda item: early.isdisjoint(item[1].names)))


def _is_open(let: Let) -> bool:
    """Whether a value differs from call to call by a size alone."""
    bodies = let.node.body if isinstance(let.node, Contraction) else ()
    values = [e.form for b in bodies for e in walk(b) if isinstance(e, IndexValue)]
    return any(f.sizes() for f in values) or any(isinstance(s, Poly) for t in let.types for s in t.shape)
