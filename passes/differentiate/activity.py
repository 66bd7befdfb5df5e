"""What has to be differentiated: the Lets that a result needs, and the values that depend on given ones.

A value is active if it is a float and depends on one of the variables through floats. Integers and bool carry nothing:
what is computed from them has derivative zero, as floor has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tilec.builtins import BUILTINS
from tilec.expr import Call, Expr, Read, reads, walk
from tilec.graph import Apply, Cond, Contraction, Graph, Let, Literal, Node, Special, operands
from tilec.passes.differentiate.builder import no_derivative
from tilec.rewrite import has_effect
from tilec.specials import SCATTERS

_CARRIERS = {"gather": 1, "reshape": 1, "sort": 1, **dict.fromkeys(SCATTERS, 1)}  # the others say where, or how much


def live_lets(graph: Graph, results: Iterable[str], effects: bool = False) -> list[Let]:
    """The Lets that the results need, in order; with `effects`, those too that do something, such as assertions."""
    live = set(results)
    found: list[Let] = []
    for let in reversed(graph.lets):
        if not live.isdisjoint(let.names) or (effects and has_effect(let.node)):
            found.append(let)
            live.update(operands(let.node))
    return found[::-1]


def active_names(lets: Sequence[Let], variables: Iterable[str]) -> set[str]:
    """The active names. Raises TILE0310 where bits of an active value become a number of another kind."""
    active = set(variables)
    for let in lets:
        if _depends(let.node, active):
            _no_bits(let, active)
            active.update(n for n, t in zip(let.names, let.types, strict=True) if t.dtype.is_float)
    return active


def _depends(node: Node, active: set[str]) -> bool:
    match node:
        case Apply(op, args):
            gradient = BUILTINS[op].gradient
            return any(a in active and (gradient is None or gradient[k] is not None) for k, a in enumerate(args))
        case Contraction():
            return any(r.access.tensor in active for b in node.body for r in reads(b)) or any(
                d in active for d in node.defaults
            )
        case Special(op, args):
            return any(a in active for a in args[: _CARRIERS.get(op, len(args))])
        case Literal():
            return False
        case Cond(args=args):
            return any(a in active for a in args)
        case _:
            return any(a in active for a in operands(node))


def _no_bits(let: Let, active: set[str]) -> None:
    """A float seen as bits is neither constant nor differentiable."""
    node = let.node
    if isinstance(node, Apply) and node.op == "bitcast":
        raise no_derivative("the bits of a number have no derivative", let.span)
    if isinstance(node, Contraction):
        for body in node.body:
            flow = active_nodes(body, active)
            for e in walk(body):
                if isinstance(e, Call) and e.op == "bitcast" and id(e.args[0]) in flow:
                    raise no_derivative("the bits of a number have no derivative", let.span)


def active_nodes(body: Expr, active: set[str]) -> set[int]:
    """The ids of the nodes of an expression that depend on reads of active tensors through floats."""
    found: set[int] = set()
    for e in reversed(list(walk(body))):
        match e:
            case Read(access):
                if access.tensor in active and e.dtype.is_float:
                    found.add(id(e))
            case Call(op, args):
                gradient = BUILTINS[op].gradient
                flows = (gradient is None or gradient[k] is not None for k in range(len(args)))
                if e.dtype.is_float and any(flow and id(a) in found for flow, a in zip(flows, args)):
                    found.add(id(e))
            case _:
                pass
    return found
