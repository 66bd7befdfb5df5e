"""Reads at places that depend on data, `W[Idx[i], j]`, and reads with a boundary mode, `A[clamp(i - 1)]`."""

from __future__ import annotations

from math import prod

from tests.fuzz.generate import Form, Generator, extent_for, form_text
from tilec.dtypes import DType

MODES = ("clamp", "wrap", "reflect", "pad")


MOST = 40_000  # elements of an input


def bounded(gen: Generator, forms: list[Form], ranges: dict[str, int], dtype: DType, kind: str) -> str:
    """Text of a read of a new input, some axes of which have a boundary mode; they are too short for their indices."""
    mode = gen.rng.choice(MODES)
    fill = f", {gen.rng.choice(['0', '1'])}" if mode == "pad" else ""
    shape, texts = [], []
    first = gen.rng.randrange(len(forms))
    for axis, form in enumerate(forms):
        text, extent = form_text(form), extent_for(form, ranges)
        if axis == first or gen.chance(0.3):
            text, extent = f"{mode}({text}{fill})", max(1, extent - gen.rng.choice([0, 0, 1, 2, 5]))
        texts.append(text)
        shape.append(extent)
    gen.note(f"boundary {mode}")
    return _read(gen, shape, texts, dtype, kind)


def looked_up(gen: Generator, forms: list[Form], ranges: dict[str, int], dtype: DType, kind: str) -> str:
    """Text of a read of a new input at an element of another; the mode of the axis is skip, or another."""
    chosen = gen.rng.randrange(len(forms))
    names = sorted(forms[chosen][0])
    index = gen.index(tuple(ranges[v] for v in names))
    element = f"{index.name}[{', '.join(names)}]"
    other = gen.rng.choice(list(ranges))
    place = gen.rng.choice([element] * 3 + [f"2*{element}", f"{element} + {other}", f"{element} - 1"])
    mode = gen.rng.choice(["", "", "", "clamp", "wrap", "reflect"])
    texts = [form_text(form) for form in forms]
    texts[chosen] = f"{mode}({place})" if mode else place
    shape = [extent_for(form, ranges) for form in forms]
    shape[chosen] = gen.rng.choice([1, 3, 4, 6])
    gen.note("element as index", *([f"boundary {mode}"] if mode else []))
    return _read(gen, shape, texts, dtype, kind)


def _read(gen: Generator, shape: list[int], texts: list[str], dtype: DType, kind: str) -> str:
    """Text of a read of a new input, without its last axes where it would be too large."""
    while prod(shape) > MOST:
        shape, texts = shape[:-1], texts[:-1]
    tensor = gen.input(tuple(shape), dtype, kind)
    gen.pool.append(tensor)
    return f"{tensor.name}[{', '.join(texts)}]"
