"""Pass `prepack`: what a kernel packs of a constant operand is packed once, before the first call.

The schedule of a product copies a large operand into panels, block by block, inside the kernel. Where the operand is
the same in every call, a constant or what `init` makes of constants, a kernel of `init` does all these copies: its
panels have the indices of the surrounding loops as further axes, and the kernel reads them there.

It runs after the kernels are scheduled and before `place`: what `init` touches is kept from call to call.

Before:
    program f(X) -> (Y) {
      buffer X: param f32[4]
      buffer W: param f32[4, 4]
      buffer Y: param f32[4]
      constant W "00"
      kernel k(in X: f32[4], in W: f32[4, 4], out Y: f32[4]) {
        for j in 2 {
          alloc p: heap f32[4, 2]
          for a in 4 { for b in 2 { p[a, b] = W[a, 2*j + b] } }
          for n in 2 { Y[2*j + n] = 0.0 }
          for k in 4 { for n in 2 { Y[2*j + n] sum= mul(X[k], p[k, n]) } }
        }
      }
      run { launch k(X, W, Y) }
    }
After:
    program f(X) -> (Y) {
      buffer X: param f32[4]
      buffer W: param f32[4, 4]
      buffer Y: param f32[4]
      buffer p.2: heap f32[2, 4, 2]
      constant W "00"
      kernel k(in X: f32[4], out Y: f32[4], in p.2: f32[2, 4, 2]) {
        for j in 2 {
          for n in 2 { Y[2*j + n] = 0.0 }
          for k in 4 { for n in 2 { Y[2*j + n] sum= mul(X[k], p.2[j, k, n]) } }
        }
      }
      kernel k_pack(in W: f32[4, 4], inout p.2: f32[2, 4, 2]) {
        for j in 2 { for a in 4 { for b in 2 { p.2[j, a, b] = W[a, 2*j + b] } } }
      }
      init { launch k_pack(W, p.2) }
      run { launch k(X, Y, p.2) }
    }
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilec.affine import Affine
from tilec.buffers import root
from tilec.expr import Expr, Read, transform
from tilec.fresh import FreshNames
from tilec.instructions import stored
from tilec.loops import (
    Alloc,
    Block,
    Buffer,
    For,
    If,
    Instr,
    Kernel,
    KernelParam,
    Launch,
    Program,
    Step,
    Stmt,
    Store,
    Window,
    accesses,
    all_steps,
    map_exprs,
    map_launches,
    rewrite,
    walk,
)
from tilec.verify.steps import writes_of


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(program: Program, options: Options = Options()) -> Program:
    """The Program that packs constants in `init`; the same object where it packs none."""
    fixed = fixed_buffers(program)
    if not fixed:
        return program
    work = _Work(program, fixed)
    steps = map_launches(program.steps, work.launch)
    if not work.launches:
        return program
    init = (*program.init, *work.launches)
    used = {s.kernel for s in all_steps((*init, *steps)) if isinstance(s, Launch)}
    names = {new: old for old, new in work.first.items() if old not in used}  # a kernel that is not needed as it was

    def named(step: Launch) -> Launch:
        return replace(step, kernel=names.get(step.kernel, step.kernel))

    kernels = [k for k in (*program.kernels, *work.kernels) if k.name in used]
    return replace(
        program,
        buffers=(*program.buffers, *work.buffers),
        kernels=tuple(replace(k, name=names.get(k.name, k.name)) for k in kernels),
        init=map_launches(init, named),
        steps=map_launches(steps, named),
    )


def fixed_params(program: Program) -> dict[str, frozenset[str]]:
    """By kernel, parameters that every launch gives something that is the same in every call."""
    fixed = fixed_buffers(program)
    kernels = {k.name: k for k in program.kernels}
    found: dict[str, frozenset[str]] = {}
    for step in all_steps(program.steps) if fixed else ():
        if isinstance(step, Launch):
            params = kernels[step.kernel].params
            given = frozenset(p.buffer.name for p, a in zip(params, step.args, strict=True) if a in fixed)
            found[step.kernel] = found.get(step.kernel, given) & given
    return found


def fixed_buffers(program: Program) -> frozenset[str]:
    """Buffers that hold the same in every call, whole, at one place."""
    buffers = {b.name: b for b in program.buffers}
    kernels = {k.name: k for k in program.kernels}

    def written(steps: Sequence[Step]) -> set[str]:
        found = (n for s in all_steps(steps) for n in writes_of(s, kernels))
        return {root(buffers[n], buffers).name for n in found}

    roots = {name for name, _ in program.constants} | written(program.init)
    roots -= written(program.steps)
    return frozenset(
        b.name for b in program.buffers if not b.moves and isinstance(b.offset, int) and root(b, buffers).name in roots
    )


@dataclass(frozen=True, slots=True)
class _Pack:
    """A copy taken out of a kernel: the operand it reads, what it fills, and the kernel that does it."""

    operand: str
    target: Buffer
    kernel: Kernel


class _Work:
    """Kernels, buffers and launches in the making."""

    def __init__(self, program: Program, fixed: frozenset[str]) -> None:
        self.kernels: list[Kernel] = []
        self.buffers: list[Buffer] = []
        self.launches: list[Launch] = []
        self.first: dict[str, str] = {}  # changed kernels, by the name of the old one
        self._old = {k.name: k for k in program.kernels}
        self._fixed = fixed
        self._kernel_names = FreshNames(frozenset(self._old))
        self._buffer_names = FreshNames(frozenset(b.name for b in program.buffers))
        self._variants: dict[tuple[str, frozenset[str]], tuple[Kernel, list[_Pack]]] = {}
        self._filled: dict[tuple[str, str], str] = {}

    def launch(self, step: Launch) -> Launch:
        kernel = self._old[step.kernel]
        given = {p.buffer.name: a for p, a in zip(kernel.params, step.args, strict=True)}
        constant = frozenset(n for n, a in given.items() if a in self._fixed)
        if (kernel.name, constant) not in self._variants:
            self._variants[kernel.name, constant] = self._variant(kernel, constant)
        changed, packs = self._variants[kernel.name, constant]
        given |= {p.target.name: self._fill(p, given[p.operand]) for p in packs}
        return Launch(changed.name, tuple(given[p.buffer.name] for p in changed.params))

    def _variant(self, kernel: Kernel, constant: frozenset[str]) -> tuple[Kernel, list[_Pack]]:
        """The kernel without its packs of constant operands, and these."""
        extraction = _Extraction(kernel, constant)
        without = extraction.block(kernel.body, ())
        if not extraction.packs:
            return kernel, []
        stem = f"{kernel.name}_pack"
        packs = [
            _Pack(operand, target, _filler(self._kernel_names.like(stem), kernel, operand, target, body))
            for operand, target, body in extraction.packs
        ]
        used = {a.tensor for s in walk(without) for a in accesses(s)}
        used |= {w.buffer for s in walk(without) if isinstance(s, Instr) for w in s.operands}
        used |= {s.buffer.base for s in walk(without) if isinstance(s, Alloc) and s.buffer.base}
        kept = tuple(p for p in kernel.params if p.buffer.name in used or p.buffer.name not in constant)
        added = tuple(KernelParam(replace(p.target, space="param"), "in") for p in packs)
        changed = Kernel(self._kernel_names.like(kernel.name), (*kept, *added), without)
        self.first.setdefault(kernel.name, changed.name)
        self.kernels += [changed, *(p.kernel for p in packs)]
        return changed, packs

    def _fill(self, pack: _Pack, operand: str) -> str:
        """The buffer that a pack of this operand fills; what is launched twice on one operand packs it once."""
        key = pack.kernel.name, operand
        if key not in self._filled:
            name = self._buffer_names.like(pack.target.name)
            self._filled[key] = name
            self.buffers.append(replace(pack.target, name=name))
            self.launches.append(Launch(pack.kernel.name, (operand, name)))
        return self._filled[key]


def _filler(name: str, kernel: Kernel, operand: str, target: Buffer, body: Block) -> Kernel:
    source = next(p.buffer for p in kernel.params if p.buffer.name == operand)
    params = KernelParam(source, "in"), KernelParam(replace(target, space="param"), "inout")
    return Kernel(name, params, body)


class _Extraction:
    """Takes the packs of constant operands out of a kernel's body."""

    def __init__(self, kernel: Kernel, constant: frozenset[str]) -> None:
        self.packs: list[tuple[str, Buffer, Block]] = []
        self._views: dict[str, tuple[str, Block]] = {  # of a constant operand: which, and what makes them
            p.buffer.name: (p.buffer.name, ()) for p in kernel.params if p.buffer.name in constant and p.mode == "in"
        }
        self._names = FreshNames(_names(kernel))

    def block(self, block: Block, loops: tuple[For, ...]) -> Block:
        """The block, which stands in these loops, without packs; nothing that is under a condition is looked at."""
        found: list[Stmt] = []
        for at, stmt in enumerate(block):
            if isinstance(stmt, Alloc) and stmt.buffer.base in self._views:
                operand, views = self._views[stmt.buffer.base]
                self._views[stmt.buffer.name] = operand, (*views, stmt)
            elif isinstance(stmt, Alloc) and at + 1 < len(block):
                source, rest = _copied(block[at + 1], stmt.buffer), block[at + 2 :]
                if source in self._views and not _stores(rest, stmt.buffer.name):
                    return (*found, *self.block(self._taken(source, stmt.buffer, block[at + 1], rest, loops), loops))
            if isinstance(stmt, For):
                stmt = replace(stmt, body=self.block(stmt.body, (*loops, stmt)))
            found.append(stmt)
        return tuple(found)

    def _taken(self, source: str, buffer: Buffer, nest: Stmt, rest: Block, loops: tuple[For, ...]) -> Block:
        """Notes down the pack; `rest` with its reads redirected."""
        moving = {n for s in walk((nest,)) for form in _forms(s) for n in form.variables()}
        around = [loop for loop in loops if loop.index in moving]
        shape = (*(loop.extent for loop in around), *buffer.shape)
        target = Buffer(self._names.like(buffer.name), buffer.dtype, shape)
        prefix = tuple(Affine.var(loop.index) for loop in around)
        (filling,) = _redirected((nest,), buffer.name, target.name, prefix)
        for loop in reversed(around):
            filling = For(loop.index, loop.extent, "serial", (filling,))
        operand, views = self._views[source]
        self.packs.append((operand, target, (*views, filling)))
        return _redirected(rest, buffer.name, target.name, prefix)


def _names(kernel: Kernel) -> frozenset[str]:
    allocated = {s.buffer.name for s in walk(kernel.body) if isinstance(s, Alloc)}
    bound = {s.index for s in walk(kernel.body) if isinstance(s, For)}
    return frozenset(allocated | bound | {p.buffer.name for p in kernel.params})


def _copied(stmt: Stmt, buffer: Buffer) -> str | None:
    """What a nest copies from, cell by cell and unchanged, to a dense buffer in memory."""
    if buffer.space == "register" or buffer.strides is not None or buffer.base is not None:
        return None
    inner: Stmt = stmt
    while isinstance(inner, For | If) and len(inner.body) == 1:
        inner = inner.body[0]
    match inner:
        case Store(target, _, Read(access), None) if target == buffer.name and isinstance(stmt, For):
            plain = all(isinstance(i, Affine) for i in (*inner.indices, *access.indices))
            return access.tensor if plain else None
        case _:
            return None


def _stores(block: Block, buffer: str) -> bool:
    return any(
        (isinstance(s, Instr) and buffer in stored(s))
        or (isinstance(s, Store) and s.buffer == buffer)
        or _allocates(s, buffer)
        for s in walk(block)
    )


def _allocates(stmt: Stmt, buffer: str) -> bool:
    """Whether it makes a buffer of this name, or a view of it."""
    return isinstance(stmt, Alloc) and buffer in (stmt.buffer.name, stmt.buffer.base)


def _forms(stmt: Stmt) -> list[Affine]:
    """The affine forms that a statement of a copy nest evaluates."""
    match stmt:
        case If(conditions):
            return list(conditions)
        case Store(_, indices, Read(access)):
            return [i for i in (*indices, *access.indices) if isinstance(i, Affine)]
        case _:
            return []


def _redirected(block: Block, old: str, new: str, prefix: tuple[Affine, ...]) -> Block:
    """Accesses to `old` go to `new`, whose first axes are the surrounding loops."""

    def leaf(e: Expr) -> Expr:
        if isinstance(e, Read) and e.access.tensor == old:
            return replace(e, access=replace(e.access, tensor=new, indices=(*prefix, *e.access.indices)))
        return e

    def window(w: Window) -> Window:
        return Window(new, (*prefix, *w.starts), (*[None] * len(prefix), *w.extents)) if w.buffer == old else w

    def visit(stmt: Stmt) -> Block:
        if isinstance(stmt, Store) and stmt.buffer == old:
            return (replace(stmt, buffer=new, indices=(*prefix, *stmt.indices)),)
        if isinstance(stmt, Instr):
            return (replace(stmt, operands=tuple(map(window, stmt.operands))),)
        return (stmt,)

    return rewrite(map_exprs(block, lambda e: transform(e, leaf)), visit)
