"""Floor 5: what lies beyond the edges of a tensor, by the names that SciPy has for it."""

from __future__ import annotations

from typing import Any

from tilec.errors import error
from tilec.tracing.elementwise import apply

PADDING = {  # of a filter: the mode of `tilec.numpy.pad` that continues the tensor like that
    "constant": "constant",
    "grid-constant": "constant",
    "nearest": "edge",
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "mirror": "reflect",
    "wrap": "wrap",
    "grid-wrap": "wrap",
}
MODES = tuple(PADDING)


def checked(mode: str) -> str:
    """The mode; raises TILE0511 where there is none of that name."""
    if not isinstance(mode, str) or mode not in PADDING:
        raise error("TILE0511", f"there is no boundary mode {mode!r}", help=", ".join(MODES))
    return mode


def cell(place: Any, size: int, mode: str) -> Any:
    """The cell that stands for the one at `place`, an integer, of an axis that goes on beyond its edges; -1 or `size`
    or more for none.
    """
    match mode:
        case "nearest":
            return apply("min", apply("max", place, 0), size - 1)
        case "reflect" | "grid-mirror":
            around = apply("mod", place, 2 * size)
            return apply("min", around, 2 * size - 1 - around)
        case "mirror":
            period = max(2 * size - 2, 1)
            around = apply("mod", place, period)
            return apply("min", around, period - around) if size > 1 else around
        case "grid-wrap":
            return apply("mod", place, size)
        case _:
            return place
