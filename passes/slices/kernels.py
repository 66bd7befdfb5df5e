"""A group of nests as a kernel over one slice: which views of buffers it is given, and its body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tilec.affine import Affine, Poly, Size
from tilec.dtypes import I64
from tilec.exact.domain import must_be_fixed
from tilec.expr import Call, Expr, IndexValue, Read, read, transform
from tilec.fresh import FreshNames
from tilec.loops import (
    Alloc,
    Block,
    Buffer,
    For,
    If,
    Kernel,
    KernelParam,
    Stmt,
    Store,
    map_exprs,
    rewrite,
    row_major,
    strides_of,
    walk,
)
from tilec.overwritten import modes_of
from tilec.rules import cast

from .nests import Group, Index, allocated


@dataclass(frozen=True, slots=True)
class View:
    """Part of a buffer: per axis where it starts, a form in outer loops, and its extent, open for indices from data."""

    buffer: str
    starts: tuple[Affine, ...]
    shape: tuple[Size, ...]


@dataclass(slots=True)
class Sliced:
    """A kernel over a slice and what it is launched on: views, and values of forms in outer loops and sizes."""

    kernel: Kernel
    arguments: list[View | Affine]


def sliced(
    name: str, group: Group, blocks: Mapping[str, int], buffers: Mapping[str, Buffer], own: list[Buffer]
) -> Sliced:
    """The kernel in which each outer loop that runs in blocks has the given extent, by the first of its names.

    `own` are buffers that only this group uses: they are allocated in it.
    """
    return _Builder(group, blocks, buffers, {b.name for b in own}).build(name)


@dataclass(slots=True)
class _Builder:
    group: Group
    blocks: Mapping[str, int]
    buffers: Mapping[str, Buffer]
    own: set[str]
    views: dict[View, str] = field(default_factory=dict)  # parameters by what they show
    values: dict[Affine, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    first: dict[str, str] = field(default_factory=dict)  # of every outer loop, the first of its names
    extents: dict[str, int] = field(default_factory=dict)  # of the loops in the kernel
    inner: set[str] = field(default_factory=set)  # buffers allocated inside of nests
    names: FreshNames = field(default_factory=FreshNames)

    def build(self, name: str) -> Sliced:
        for outer in self.group.outer:
            self.first.update(dict.fromkeys(outer.names, outer.names[0]))
        loops = {s.index: s.extent for s in walk(self.group.body) if isinstance(s, For)}
        self.extents = {n: self._extent(n, e) for n, e in loops.items()}
        self.inner = allocated(self.group.body)
        self.names = FreshNames({*loops, *self.inner, *(s.name for s in walk(self.group.body) if hasattr(s, "name"))})
        body = rewrite(map_exprs(self.group.body, self._expr), self._stmt)
        allocs = [Alloc(self._buffer(v, param)) for v, param in self.views.items() if v.buffer in self.own]
        shown = [v for v in self.views if v.buffer not in self.own]
        buffers = [self._buffer(v, self.views[v]) for v in shown]
        params = list(map(KernelParam, buffers, modes_of(body, buffers)))
        self._check(body)
        params += [KernelParam(Buffer(n, I64, (), "param"), "in") for n in self.values.values()]
        return Sliced(Kernel(name, tuple(params), (*allocs, *body)), [*shown, *self.values])

    def _extent(self, name: str, extent: Size) -> int:
        if name in self.first:
            return self.blocks.get(self.first[name], 1)
        assert isinstance(extent, int)
        return extent

    def _check(self, body: Block) -> None:
        """What is stored has one name in a kernel: nothing else shows the same memory."""
        names: dict[str, set[str]] = {}
        for view, param in self.views.items():
            names.setdefault(view.buffer, set()).add(param)
        for buffer, params in names.items():
            if len(params) > 1 and params & self.written:
                sizes = [s for s in self.buffers[buffer].shape if isinstance(s, Poly)]
                raise must_be_fixed(sizes[0], f"'{buffer}' is stored and read in different places at once")

    def _buffer(self, view: View, name: str) -> Buffer:
        old = self.buffers[view.buffer]
        if view.buffer in self.own:
            return Buffer(name, old.dtype, view.shape, "heap")
        return Buffer(name, old.dtype, view.shape, "param", strides(old, view))

    # statements and expressions

    def _stmt(self, stmt: Stmt) -> Block:
        match stmt:
            case For(index=index) if index in self.first:
                extent = self.extents[index]
                return stmt.body if extent == 1 else (For(index, extent, stmt.kind, stmt.body, stmt.depth),)
            case Store():
                name, indices = self._place(stmt.buffer, stmt.indices)
                self.written.add(name)
                return (Store(name, indices, stmt.value, stmt.monoid),)
            case If():
                return (stmt,)  # of loops inside only
            case _:
                return (stmt,)

    def _expr(self, e: Expr) -> Expr:
        return transform(e, self._leaf)

    def _leaf(self, e: Expr) -> Expr:
        match e:
            case Read():
                name, indices = self._place(e.access.tensor, e.access.indices)
                return read(name, indices, e.dtype)
            case IndexValue():
                return self._value(e)
            case _:
                return e

    def _value(self, e: IndexValue) -> Expr:
        """An index value: what the kernel knows of it, plus what it is told."""
        outside, inside = self._split(e.form)
        if isinstance(inside.const, Poly):
            outside, inside = outside + inside.const, Affine(inside.terms)
        scaled = [(n, c) for n, c in inside.terms if isinstance(c, Poly)]
        if outside == Affine() and not scaled:
            return e if inside == e.form else IndexValue(inside, e.dtype)
        plain = Affine.of(((n, c) for n, c in inside.terms if not isinstance(c, Poly)), inside.const)
        parts: list[Expr] = [self._told(outside)] if outside != Affine() else []
        parts += [IndexValue(plain, I64)] if plain != Affine() else []
        for name, size in scaled:
            value = IndexValue(Affine.var(name), I64)
            parts.append(Call("mul", (value, self._told(Affine.constant(size))), I64))
        total = parts[0]
        for part in parts[1:]:
            total = Call("add", (total, part), I64)
        return cast(total, e.dtype)

    def _told(self, form: Affine) -> Expr:
        """The value of a form in outer loops and sizes, a parameter."""
        name = self.values.get(form) or self.values.setdefault(form, self.names.like("base"))
        return read(name, (), I64)

    def _split(self, form: Affine) -> tuple[Affine, Affine]:
        """The part in outer loops, which start with the slice, and the part in the loops of the kernel."""
        outside = Affine.of((self.first[n], c) for n, c in form.terms if n in self.first)
        kept = ((n, c) for n, c in form.terms if self.extents.get(n, 1) > 1 or n not in self.first)
        inside = Affine.of(kept, form.const)
        return outside, inside

    def _place(self, buffer: str, indices: tuple[Index, ...]) -> tuple[str, tuple[Index, ...]]:
        """The parameter that shows what the access needs, and the indices into it."""
        if buffer in self.inner:
            return buffer, tuple(self._split(i)[1] if isinstance(i, Affine) else i for i in indices)
        shape = self.buffers[buffer].shape
        axes = [self._axis(i, size) for i, size in zip(indices, shape, strict=True)]
        view = View(buffer, tuple(a[0] for a in axes), tuple(a[1] for a in axes))
        if view not in self.views:
            self.views[view] = self.names.like(buffer)
        return self.views[view], tuple(a[2] for a in axes)

    def _axis(self, index: Index, size: Size) -> tuple[Affine, Size, Index]:
        """Start and extent of the part of one axis that an access needs, and the index into it."""
        if not isinstance(index, Affine):
            return Affine(), size, index
        outside, inside = self._split(index)
        if outside == Affine():
            assert isinstance(size, int)
            return Affine(), size, index
        low = high = inside.const
        assert isinstance(low, int) and isinstance(high, int)
        for name, c in inside.terms:
            assert isinstance(c, int)
            reach = c * (self.extents[name] - 1)
            low, high = low + min(0, reach), high + max(0, reach)
        if low < 0:
            raise must_be_fixed("of an axis behind it", f"the index '{index}' has to run outside of kernels")
        return outside + low, high - low + 1, inside - low


def strides(buffer: Buffer, view: View) -> tuple[Size, ...] | None:
    """Strides of a part of a buffer; None where it is dense itself. An axis of extent 1 may have any."""
    dense = row_major(view.shape)
    own = tuple(d if n == 1 else s for n, s, d in zip(view.shape, strides_of(buffer), dense, strict=True))
    return None if own == dense else own
