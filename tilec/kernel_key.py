"""Floor 3: keys of kernels: equal for those that are equal up to the choice of names.

A key is a flat tuple of what a walk through the kernel meets, names replaced by numbers in the order in which they are
bound, and every expression by the number of the first one equal to it. No renamed kernel is built, and none printed.
A digest is made of a key for what outlives a process: the same kernel has the same one in every process and version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable

from tilec.affine import Affine, Poly
from tilec.expr import Call, Const, Expr, IndexValue, Read, Var, walk
from tilec.loops import Alloc, Barrier, Block, Buffer, For, If, Instr, Kernel, Let, Stmt, Store, While, Window
from tilec.text.expr_text import print_expr, print_monoid

Key = tuple[Hashable, ...]
Names = dict[str, int]


def kernel_key(kernel: Kernel) -> Key:
    """Equal for kernels that are equal up to names; constants are told apart as their text is: 0.0 from -0.0."""
    return tuple(_walked(kernel).met)


def _walked(kernel: Kernel) -> _Walker:
    walker = _Walker()
    for param in kernel.params:
        walker.met.append(param.mode)
        walker.bind(param.buffer)
    walker.block(kernel.body)
    return walker


def kernel_names(kernel: Kernel) -> tuple[str, ...]:
    """Names of buffers and loops in the order in which they are bound, each once."""
    return tuple(dict.fromkeys(_walked(kernel).names))


def kernel_digest(kernel: Kernel, constant: frozenset[str] = frozenset()) -> str:
    """64 hexadecimal digits, equal for kernels of equal `kernel_key` in which the same bindings share a name, as a
    schedule sees them; `constant` are parameters that hold the same in every call.
    """
    walker = _walked(kernel)
    first = {name: at for at, name in reversed(list(enumerate(walker.names)))}
    fixed = tuple(p.buffer.name in constant for p in kernel.params)
    found = _text((_SCHEMA, tuple(walker.met), tuple(first[n] for n in walker.names), fixed))
    return hashlib.sha256(found.encode()).hexdigest()


_SCHEMA = 1  # of digests: another one where keys come to mean something else


def _text(value: Hashable) -> str:
    """A value as text that no other value has, the same in every process."""
    match value:
        case tuple():
            return f"({','.join(map(_text, value))})"
        case Poly():
            return f"size {value}"
        case bool() | int() | None:
            return str(value)
        case str():
            return repr(value)
        case _:
            raise TypeError(f"a key of kernels holds {value!r}")


class _Walker:
    """What has been met so far, and the numbers of the names in sight; a block restores what it shadows."""

    def __init__(self) -> None:
        self.met: list[Hashable] = []
        self.names: list[str] = []
        self._bound = 0
        self._terms: dict[Key, int] = {}
        self._buffers: Names = {}
        self._loops: Names = {}
        self._scalars: Names = {}

    def _number(self) -> int:
        self._bound += 1
        return self._bound

    def bind(self, buffer: Buffer) -> None:
        """A buffer; its base is bound already."""
        base = self._buffers[buffer.base] if buffer.base is not None else None
        self.met += (buffer.dtype.name, buffer.shape, buffer.space, buffer.strides, base, buffer.offset, buffer.moves)
        self._buffers[buffer.name] = self._number()
        self.names.append(buffer.name)

    def block(self, block: Block) -> None:
        outer = self._buffers, self._scalars
        self._buffers, self._scalars = dict(self._buffers), dict(self._scalars)
        self.met.append("{")
        for stmt in block:
            self._statement(stmt)
        self.met.append("}")
        self._buffers, self._scalars = outer

    def _statement(self, stmt: Stmt) -> None:
        match stmt:
            case For(index, extent, kind, body, depth):
                self.met += ("for", extent, kind, depth)
                self.names.append(index)
                outer = self._loops
                self._loops = {**outer, index: self._number()}
                self.block(body)
                self._loops = outer
            case If(conditions, body):
                self.met += ("if", *map(self._affine, conditions))
                self.block(body)
            case Alloc(buffer):
                self.met.append("alloc")
                self.bind(buffer)
            case Let(name, value):
                self.met += ("let", self._expr(value), value.dtype.name)
                self._scalars[name] = self._number()
            case Store(buffer, indices, value, monoid, stream):
                how = None if monoid is None else print_monoid(monoid)
                word = "stream" if stream else "store"
                self.met += (word, self._buffers[buffer], self._expr(value), how, *map(self._index, indices))
            case While(condition, body):
                self.met += ("while", self._expr(condition))
                self.block(body)
            case Instr(name, operands):
                self.met += ("instr", name, *map(self._window, operands))
            case Barrier(space):
                self.met += ("barrier", space)

    def _window(self, window: Window) -> Key:
        return self._buffers[window.buffer], tuple(map(self._affine, window.starts)), window.extents

    def _index(self, index: Affine | Expr) -> Hashable:
        return self._affine(index) if isinstance(index, Affine) else self._expr(index)

    def _affine(self, form: Affine) -> Key:
        if len(form.terms) == 1:
            ((name, c),) = form.terms
            return self._loops[name], c, form.const
        return tuple(sorted((self._loops[n], c) for n, c in form.terms)), form.const

    def _expr(self, expr: Expr) -> int:
        """The number of an expression; what it says is noted where it is new."""
        known: dict[int, int] = {}
        for term in reversed(list(walk(expr))):  # parts before wholes
            key = self._term(term, known)
            found = self._terms.get(key)
            if found is None:
                self._terms[key] = found = len(self._terms)
                self.met.append(key)
            known[id(term)] = found
        return known[id(expr)]

    def _term(self, term: Expr, known: dict[int, int]) -> Key:
        match term:
            case Call(op, args, dtype):
                return op, dtype.name, *(known[id(a)] for a in args)
            case Read(access, dtype):
                fill = None if access.fill is None else print_expr(access.fill)
                indices = (self._affine(i) if isinstance(i, Affine) else known[id(i)] for i in access.indices)
                return "read", self._buffers[access.tensor], dtype.name, access.boundary, fill, *indices
            case Var(name, dtype):
                return "scalar", self._scalars[name], dtype.name
            case IndexValue(form, dtype):
                return "index", self._affine(form), dtype.name
            case Const(value, dtype):
                return "number", repr(value), dtype.name
