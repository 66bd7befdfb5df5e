"""Schedule primitives: pure, checked functions Kernel -> Kernel, and the table from directive names to them.

A directive `name(arguments)` calls the primitive of that name with the kernel and its arguments. `rfactor`
is the only primitive that may change the order of a float sum.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal, get_args, get_origin, get_type_hints

from tilec.loops import Kernel
from tilec.passes.schedule.analysis import check_one_name, malformed
from tilec.passes.schedule.bind import bind
from tilec.passes.schedule.compute_at import compute_at, inline
from tilec.passes.schedule.fusion import fuse, shrink
from tilec.passes.schedule.interior import interior
from tilec.passes.schedule.kinds import parallel, unroll, vectorize
from tilec.passes.schedule.map_to import map_to
from tilec.passes.schedule.merge import merge
from tilec.passes.schedule.reorder import reorder
from tilec.passes.schedule.rfactor import rfactor
from tilec.passes.schedule.spread import spread
from tilec.passes.schedule.stage import pack, stage
from tilec.passes.schedule.stream import stream
from tilec.passes.schedule.tile import peel, tile
from tilec.passes.schedule.transpose import transpose
from tilec.schedule import Directive, Schedule

Primitive = Callable[..., Kernel]

PRIMITIVES: Mapping[str, Primitive] = {
    "tile": tile,
    "peel": peel,
    "merge": merge,
    "interior": interior,
    "reorder": reorder,
    "vectorize": vectorize,
    "unroll": unroll,
    "parallel": parallel,
    "bind": bind,
    "stage": stage,
    "spread": spread,
    "pack": pack,
    "transpose": transpose,
    "stream": stream,
    "compute_at": compute_at,
    "inline": inline,
    "fuse": fuse,
    "shrink": shrink,
    "rfactor": rfactor,
    "map_to": map_to,
}


def apply(kernel: Kernel, schedule: Schedule) -> Kernel:
    """Applies the directives in order. Raises TILE0603 for a malformed one, TILE0604 for one that is not safe."""
    for directive in schedule:
        kernel = apply_one(kernel, directive)
    return kernel


_signature = cache(inspect.signature)


@cache
def _words(primitive: Primitive) -> Mapping[str, tuple[str, ...]]:
    """By parameter, the words that may be there; apart from spaces, of which each primitive takes its own."""
    hints = get_type_hints(primitive)
    return {n: get_args(t) for n, t in hints.items() if get_origin(t) is Literal and n != "space"}


def apply_one(kernel: Kernel, directive: Directive) -> Kernel:
    """Applies one directive; the arguments' number and types are checked against the primitive's signature."""
    primitive = PRIMITIVES.get(directive.name)
    if primitive is None:
        raise malformed(f"there is no schedule primitive '{directive.name}'", f"primitives: {', '.join(PRIMITIVES)}")
    signature = _signature(primitive)
    try:
        bound = signature.bind(kernel, *directive.args)
    except TypeError as mismatch:
        raise malformed(f"{directive}: {mismatch}") from None
    for name, value in list(bound.arguments.items())[1:]:
        wanted = int if signature.parameters[name].annotation == "int" else str
        for item in value if isinstance(value, tuple) else (value,):
            if not isinstance(item, wanted):
                raise malformed(f"{directive}: '{name}' must be {'an integer' if wanted is int else 'a word'}")
        if (words := _words(primitive).get(name)) and value not in words:
            raise malformed(f"{directive}: '{name}' must be {' or '.join(words)}, not '{value}'")
    check_one_name(kernel)
    return primitive(kernel, *directive.args)
