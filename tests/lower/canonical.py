"""Kernels up to the choice of names: what `tilec.kernel_key` is checked against.

`canonical` renames everything a kernel binds, in the order in which it is met: parameters p0, p1 .., own buffers b0 ..,
loops l0 .., scalars s0 ... Two kernels compute the same thing in the same way if their canonical forms have one text,
so that their keys must be equal, too, and only then.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tilec.affine import Affine
from tilec.expr import Expr, IndexValue, Read, Var, transform
from tilec.loops import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    For,
    If,
    Instr,
    Kernel,
    Let,
    Stmt,
    Store,
    While,
    Window,
)


def canonical(kernel: Kernel) -> Kernel:
    """The kernel `k` with all names replaced."""
    names = _Names()
    params = tuple(replace(p, buffer=names.buffer(p.buffer, "p")) for p in kernel.params)
    return Kernel("k", params, names.block(kernel.body))


class _Names:
    """New names of the buffers, loops and scalars in sight; a block restores what it shadows."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._buffers: dict[str, str] = {}
        self._loops: dict[str, str] = {}
        self._scalars: dict[str, str] = {}

    def _new(self, letter: str) -> str:
        self._counts[letter] += 1
        return f"{letter}{self._counts[letter] - 1}"

    def buffer(self, buffer: Buffer, letter: str = "b") -> Buffer:
        """Binds a buffer; its base is bound already."""
        base = self._buffers[buffer.base] if buffer.base is not None else None
        self._buffers[buffer.name] = self._new(letter)
        return replace(buffer, name=self._buffers[buffer.name], base=base)

    def block(self, block: Block) -> Block:
        outer = dict(self._buffers), dict(self._loops), dict(self._scalars)
        result = tuple(map(self.statement, block))
        self._buffers, self._loops, self._scalars = outer
        return result

    def statement(self, stmt: Stmt) -> Stmt:
        match stmt:
            case For():
                return self._for(stmt)
            case If(conditions=conditions, body=body):
                return If(tuple(map(self.affine, conditions)), self.block(body))
            case Alloc(buffer=buffer):
                return Alloc(self.buffer(buffer))
            case Let(name=name, value=value):
                value = self.expr(value)
                self._scalars[name] = self._new("s")
                return Let(self._scalars[name], value)
            case Store():
                indices = tuple(map(self.index, stmt.indices))
                return replace(stmt, buffer=self._buffers[stmt.buffer], indices=indices, value=self.expr(stmt.value))
            case While(condition=condition, body=body):
                return While(self.expr(condition), self.block(body))
            case Instr(operands=operands):
                return replace(stmt, operands=tuple(map(self._window, operands)))
            case Barrier():
                return stmt

    def _for(self, loop: For) -> For:
        shadowed = self._loops.get(loop.index)
        self._loops[loop.index] = index = self._new("l")
        body = self.block(loop.body)
        if shadowed is None:
            del self._loops[loop.index]
        else:
            self._loops[loop.index] = shadowed
        return replace(loop, index=index, body=body)

    def _window(self, window: Window) -> Window:
        return replace(window, buffer=self._buffers[window.buffer], starts=tuple(map(self.affine, window.starts)))

    def index(self, index: Affine | Expr) -> Affine | Expr:
        return self.affine(index) if isinstance(index, Affine) else self.expr(index)

    def affine(self, form: Affine) -> Affine:
        return form.rename(self._loops)

    def expr(self, expr: Expr) -> Expr:
        return transform(expr, self._leaf)

    def _leaf(self, e: Expr) -> Expr:
        match e:
            case Var(name=name):
                return replace(e, name=self._scalars[name])
            case IndexValue(form=form):
                return replace(e, form=self.affine(form))
            case Read(access=access):
                # expressions among the indices have been renamed already: `transform` goes bottom-up
                indices = tuple(self.affine(i) if isinstance(i, Affine) else i for i in access.indices)
                return replace(e, access=replace(access, tensor=self._buffers[access.tensor], indices=indices))
            case _:
                return e
