"""Where temporary tensors are while a program runs: in one block of memory, or several where a device allocates none so
large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilec.arena import Life, assign
from tilec.loops import Program
from tilec.open_arena import LINE, OpenLife, lives_at


@dataclass(frozen=True, slots=True)
class Arena:
    """places: by tensor, the number of its block and the byte of it at which it begins. blocks: bytes of each."""

    places: Mapping[str, tuple[int, int]]
    blocks: tuple[int, ...]


def arena(program: Program, lives: Sequence[OpenLife], sizes: Mapping[str, int], largest: int) -> Arena:
    """As the pass `place` found it, unless sizes are open or a block would have more than `largest` bytes."""
    if program.places and program.arena <= largest:
        return Arena({name: (0, at) for name, at in program.places}, (program.arena,))
    return split(lives_at(lives, sizes), largest)


def split(lives: Sequence[Life], largest: int) -> Arena:
    """Places in blocks of at most `largest` bytes; no tensor may be larger. Raises TileError TILE0414.

    All are placed in one block that is as large as needed; what reaches beyond `largest` makes up the next one.
    """
    places: dict[str, tuple[int, int]] = {}
    blocks: list[int] = []
    left = [life for life in lives if life.size]
    places |= {life.name: (0, 0) for life in lives if not life.size}
    while left:
        found, _ = assign(left, LINE, tries=4)
        inside = {life.name: found[life.name] for life in left if found[life.name] + life.size <= largest}
        places |= {name: (len(blocks), at) for name, at in inside.items()}
        blocks.append(max(found[life.name] + life.size for life in left if life.name in inside))
        left = [life for life in left if life.name not in inside]
    return Arena(places, tuple(blocks) or (1,))
