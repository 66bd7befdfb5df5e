"""Floor 3: a Graph with every float of it in float64, where differences of values mean more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from tilec.dtypes import F64, DType
from tilec.errors import error
from tilec.expr import Call, postorder
from tilec.fresh import FreshNames
from tilec.graph import Apply, Contraction, Graph, Let, Param, Special, TensorType, subgraphs, with_subgraphs
from tilec.rewrite import names


def in_float64(graph: Graph) -> Graph:
    """The typed Graph with float64 for every float type, of parameters and accumulators too.

    Raises TILE0310 where a program looks at the bits of a float, which have another width then.
    """
    fresh = FreshNames(names(graph)).numbered
    params = tuple(Param(p.name, _wide(p.type), p.digest) for p in graph.params)
    lets = tuple(new for let in graph.lets for new in _widened(let, fresh))
    return replace(graph, params=params, lets=lets)


def _widened(let: Let, fresh: Callable[[str], str]) -> tuple[Let, ...]:
    if graphs := subgraphs(let.node):
        node = with_subgraphs(let.node, tuple(map(in_float64, graphs)))
        return (replace(let, node=node, types=tuple(map(_wide, let.types))),)
    if isinstance(let.node, Special) and let.node.op == "prng_step":
        return _random(let, fresh)
    done: dict[int, Any] = {}
    for body in let.node.body if isinstance(let.node, Contraction) else ():
        for part in postorder(body):  # parts first, for expressions may be deeper than Python's stack
            _converted(part, done, let)
    return (replace(let, node=_converted(let.node, done, let), types=tuple(map(_wide, let.types))),)


def _random(let: Let, fresh: Callable[[str], str]) -> tuple[Let, ...]:
    """Random numbers are float32 by definition: they are converted."""
    state, value = let.names
    narrow = fresh(value)
    wide = TensorType(F64, let.types[1].shape)
    return replace(let, names=(state, narrow)), Let((value,), Apply("cast", (narrow,), F64), (wide,), (), let.span)


def _wide(type_: TensorType) -> TensorType:
    return replace(type_, dtype=F64) if type_.dtype.is_float else type_


def _narrow(dtype: DType | None) -> bool:
    """Whether a float with as many bits becomes a wider one."""
    return dtype is not None and dtype.bits < F64.bits


def _converted(value: Any, done: dict[int, Any], let: Let) -> Any:
    """The value with float64 for every float dtype inside it; what is shared stays shared."""
    if isinstance(value, DType):
        return F64 if value.is_float else value
    if isinstance(value, tuple):
        return tuple(_converted(v, done, let) for v in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    if isinstance(value, Apply | Call) and value.op == "bitcast" and _narrow(value.dtype):
        raise error("TILE0310", "the bits of a number have no derivative", let.span)
    if id(value) not in done:
        parts = {f.name: getattr(value, f.name) for f in fields(value)}
        new = {name: _converted(part, done, let) for name, part in parts.items()}
        done[id(value)] = replace(value, **new) if any(new[n] is not parts[n] for n in parts) else value
    return done[id(value)]
