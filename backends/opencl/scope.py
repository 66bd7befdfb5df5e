"""What names of the Loops IR stand for at one place of OpenCL C, and the texts of indices and addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tilec.affine import Affine
from tilec.backends.opencl.memory import Memory
from tilec.errors import error
from tilec.expr import Access, Expr
from tilec.loops import strides_of


@dataclass(frozen=True, slots=True)
class Vector:
    """A value per lane: a C vector. Where it is of bools, `mask` is the bits of a lane of integers, each 0 or -1."""

    text: str
    mask: int = 0

    def lane(self, k: int) -> str:
        """One of the values."""
        element = f"{self.text}.s{k:x}"
        return f"({element} != 0)" if self.mask else element


@dataclass(frozen=True, slots=True)
class Lanes:
    """Iterations of the vector loop over `index` that run at once: `count` of them from `first` on."""

    index: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Scope:
    """`numbers`: values of the indices of loops that are written out. `once`: outside of `item` loops, where only the
    first item may act. `lanes`: the vector loop around, where its iterations run at once; `vectors` are its scalars.
    `small`: indices and all that adds up to them are ints."""

    memory: dict[str, Memory]
    indices: dict[str, str]
    scalars: dict[str, str]
    once: bool = False
    numbers: Mapping[str, int] = field(default_factory=dict)
    lanes: Lanes | None = None
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    small: bool = False

    @property
    def integer(self) -> str:
        """C type of indices."""
        return "int" if self.small else "long"

    def number(self, value: int) -> str:
        """A literal of that type."""
        return f"{value}" if self.small else f"{value}L"

    def copy(self) -> Scope:
        """For a block, whose names end with it."""
        return replace(self, memory=dict(self.memory), scalars=dict(self.scalars), vectors=dict(self.vectors))

    def at(self, index: str, value: int) -> Scope:
        """An iteration of a loop that is written out."""
        return replace(self, numbers={**self.numbers, index: value})

    def lane(self, k: int) -> Scope:
        """A single iteration of the vector loop around."""
        assert self.lanes is not None
        scalars = {**self.scalars, **{name: v.lane(k) for name, v in self.vectors.items()}}
        return replace(self.at(self.lanes.index, self.lanes.first + k), scalars=scalars, lanes=None, vectors={})

    def step(self, form: Affine) -> int:
        """How much a form grows from lane to lane."""
        c = form.coefficient(self.lanes.index) if self.lanes is not None else 0
        assert isinstance(c, int)
        return c


def affine(form: Affine, scope: Scope) -> str:
    """C text of the type of indices; of the first lane."""
    return " + ".join(_terms(_known(form, scope), scope))


def _known(form: Affine, scope: Scope) -> Affine:
    numbers = dict(scope.numbers)
    if scope.lanes is not None:
        numbers[scope.lanes.index] = scope.lanes.first
    return form.substitute(numbers)


def _terms(form: Affine, scope: Scope) -> Iterator[str]:
    for name, coefficient in form.terms:
        if not isinstance(coefficient, int):
            raise error("TILE0210", f"index '{form}' has a coefficient that is not a known integer")
        yield scope.indices[name] if coefficient == 1 else f"{scope.number(coefficient)} * {scope.indices[name]}"
    if not isinstance(form.const, int):
        raise error("TILE0210", f"index '{form}' has a constant that is not a known integer")
    if form.const != 0 or not form.terms:
        yield scope.number(form.const)


def position(access: Access, scope: Scope, data: Callable[[Expr], str]) -> str:
    """Where an element is behind its memory's pointer. data: the text of a data-dependent index."""
    memory = scope.memory[access.tensor]
    form, parts = Affine.constant(0), [memory.offset]
    for index, stride, text in zip(access.indices, strides_of(memory.buffer), memory.strides, strict=True):
        if isinstance(index, Affine) and isinstance(stride, int):
            form = form + index * stride
        else:
            factor = affine(index, scope) if isinstance(index, Affine) else f"(long){data(index)}"
            parts.append(f"({factor}) * {text}")
    return " + ".join(p for p in (*parts, affine(form, scope)) if p not in ("0", "0L")) or "0"


def number_of(access: Access, scope: Scope) -> int:
    """The position where it is known: an element of a buffer that is kept in variables."""
    strides = strides_of(scope.memory[access.tensor].buffer)
    form = Affine.constant(0)
    for index, stride in zip(access.indices, strides, strict=True):
        assert isinstance(index, Affine)
        form = form + index * stride
    found = _known(form, scope)
    assert not found.terms and isinstance(found.const, int)
    return found.const


def stride(access: Access, scope: Scope) -> int | None:
    """Elements from one lane's cell to the next one's; None where they may lie anyhow."""
    total = 0
    for index, size in zip(access.indices, strides_of(scope.memory[access.tensor].buffer), strict=True):
        if not isinstance(index, Affine):
            return None
        if step := scope.step(index):
            if not isinstance(size, int):
                return None
            total += step * size
    return total
