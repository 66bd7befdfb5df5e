"""Accesses, ranges and dependences of a loop nest, as the schedule primitives need them.

Everything here is conservative: an index that is no affine form may be any cell, and iterations count as independent
only where one axis proves it. The test per axis is the classic one (Banerjee's bounds on the difference of two affine
forms), joined by the injectivity of a mixed-radix form, which settles tiled indices such as `64*n.0 + n.1`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import is_

from tilec.affine import Affine, Coef, Size
from tilec.dtypes import BOOL
from tilec.errors import TileError, error
from tilec.expr import Const, Expr, Read, substitute_indices, transform
from tilec.instructions import expand
from tilec.loops import (
    Alloc,
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
    accesses,
    children,
    map_exprs,
    rewrite,
    walk,
    with_children,
)
from tilec.monoid import Monoid

Index = Affine | Expr
Redirect = Callable[[tuple[Index, ...]], tuple[str, tuple[Index, ...]]]


def refuse(message: str, *notes: str) -> TileError:
    """TILE0604: the directive is well formed, but not safe here."""
    return error("TILE0604", message, notes=notes)


def malformed(message: str, *notes: str) -> TileError:
    """TILE0603: a name or an argument is wrong."""
    return error("TILE0603", message, notes=notes)


def check_space(primitive: str, space: str, *allowed: str) -> None:
    """Raises TILE0603 for a space in which the primitive cannot put a buffer."""
    if space not in allowed:
        raise malformed(f"{primitive}: bad space '{space}'", f"spaces: {', '.join(allowed)}")


def static(size: Size | Coef) -> int:
    """A size as an int; raises TILE0210 for a symbolic one."""
    if isinstance(size, int):
        return size
    raise error("TILE0210", f"schedules need static sizes, found {size}")


# --- names and places ----------------------------------------------------------------------------------------------


def names(kernel: Kernel) -> set[str]:
    """Every name of a loop, buffer or scalar."""
    found = {p.buffer.name for p in kernel.params}
    for stmt in walk(kernel.body):
        if isinstance(stmt, For):
            found.add(stmt.index)
        elif isinstance(stmt, Alloc):
            found.add(stmt.buffer.name)
        elif isinstance(stmt, Let):
            found.add(stmt.name)
    return found


def check_fresh(kernel: Kernel, *new: str) -> None:
    """Raises TILE0603 where a new name is taken or given twice."""
    taken = names(kernel)
    for i, name in enumerate(new):
        if name in taken or name in new[:i]:
            raise malformed(f"the name '{name}' is already taken")


def check_prefix(kernel: Kernel, new: str) -> None:
    """Raises TILE0603 where a new name is taken, or one of the loops `new.0` ... that come with it may be."""
    check_fresh(kernel, new)
    if any(n.startswith(new + ".") for n in names(kernel)):
        raise malformed(f"names that start with '{new}.' are already taken")


def buffers(kernel: Kernel) -> dict[str, Buffer]:
    """Parameters and allocations by name."""
    found = {p.buffer.name: p.buffer for p in kernel.params}
    found.update((s.buffer.name, s.buffer) for s in walk(kernel.body) if isinstance(s, Alloc))
    return found


def check_one_name(kernel: Kernel) -> None:
    """Raises TILE0604 where memory that is stored to is accessed under two names: a buffer and a view, or two views.

    Dependences are told apart by name, so every primitive relies on this.
    """
    known = buffers(kernel)
    if all(b.base is None for b in known.values()):
        return
    read, stored = _named(kernel.body)
    names: dict[str, set[str]] = {}
    for name in read | stored:
        names.setdefault(_root(known, name), set()).add(name)
    for root in sorted({_root(known, name) for name in stored}):
        if len(names[root]) > 1:
            raise refuse(f"'{root}' is stored to and has several names: {', '.join(sorted(names[root]))}")


def _named(block: Block) -> tuple[set[str], set[str]]:
    """Buffers that are read and stored to, by the names that accesses have for them."""
    read: set[str] = set()
    stored: set[str] = set()
    for stmt in walk(block):
        read.update(a.tensor for a in accesses(stmt))
        if isinstance(stmt, Store):
            stored.add(stmt.buffer)
        elif isinstance(stmt, Instr):
            inner = _named(expand(stmt))
            read, stored = read | inner[0], stored | inner[1]
    return read, stored


def _root(known: Mapping[str, Buffer], name: str) -> str:
    while name in known and (base := known[name].base) is not None:
        name = base
    return name


def loops_named(block: Block, name: str) -> list[For]:
    return [s for s in walk(block) if isinstance(s, For) and s.index == name]


@dataclass(frozen=True, slots=True)
class Scope:
    """What encloses a statement, outermost first."""

    loops: tuple[For, ...] = ()
    certain: bool = True  # no `If` and no `While` around it
    buffers: tuple[Buffer, ...] = ()  # in sight; copies of a nest hold buffers of one name and different shapes

    def enter(self, stmt: Stmt) -> Scope:
        match stmt:
            case For():
                return Scope((*self.loops, stmt), self.certain, self.buffers)
            case If() | While():
                return Scope(self.loops, False, self.buffers)
            case Alloc():
                return Scope(self.loops, self.certain, (*self.buffers, stmt.buffer))
            case _:
                return self

    def buffer(self, name: str) -> Buffer | None:
        """The innermost buffer of that name."""
        return next((b for b in reversed(self.buffers) if b.name == name), None)

    def ranges(self) -> dict[str, int]:
        return {loop.index: static(loop.extent) for loop in self.loops}


def rewrite_loops(kernel: Kernel, names: str | Sequence[str], change: Callable[[For, Scope], Block]) -> Kernel:
    """Replaces every loop of that name, or the outermost of each nest of loops of these names.

    Raises TILE0603 where there is none. Identity-preserving.
    """
    wanted = {names} if isinstance(names, str) else set(names)
    found = 0

    outermost = Scope(buffers=tuple(p.buffer for p in kernel.params))

    def block(stmts: Block, around: tuple[Stmt, ...]) -> Block:
        """`around`: what encloses the block, and allocations before it; a Scope is made of it where one is needed."""
        nonlocal found
        result: list[Stmt] = []
        for stmt in stmts:
            if isinstance(stmt, For) and stmt.index in wanted:
                found += 1
                result.extend(change(stmt, reduce(Scope.enter, around, outermost)))
            elif isinstance(stmt, Alloc):
                around = (*around, stmt)
                result.append(stmt)
            else:
                inner = children(stmt)
                new = block(inner, (*around, stmt)) if inner else inner
                result.append(stmt if new is inner else with_children(stmt, new))
        return stmts if len(result) == len(stmts) and all(map(is_, result, stmts)) else tuple(result)

    body = block(kernel.body, ())
    if not found:
        loops = dict.fromkeys(s.index for s in walk(kernel.body) if isinstance(s, For))
        text = f"there is no loop '{', '.join(wanted)}' in kernel '{kernel.name}'"
        raise malformed(text, f"loops: {', '.join(loops) or 'none'}")
    return kernel if body is kernel.body else replace(kernel, body=body)


def substitute(block: Block, values: Mapping[str, Affine | Coef]) -> Block:
    """Replaces loop indices by affine forms in all indices, conditions and values."""

    def index(i: Index) -> Index:
        return i.substitute(values) if isinstance(i, Affine) else substitute_indices(i, values)

    def visit(stmt: Stmt) -> Block:
        match stmt:
            case Store():
                value, indices = substitute_indices(stmt.value, values), tuple(map(index, stmt.indices))
                same = value is stmt.value and all(map(is_, indices, stmt.indices))
                return (stmt if same else replace(stmt, indices=indices, value=value),)
            case If():
                return (replace(stmt, conditions=tuple(c.substitute(values) for c in stmt.conditions)),)
            case Instr():
                windows = tuple(
                    replace(w, starts=tuple(s.substitute(values) for s in w.starts)) for w in stmt.operands
                )
                return (replace(stmt, operands=windows),)
            case Let():
                value = substitute_indices(stmt.value, values)
                return (stmt if value is stmt.value else replace(stmt, value=value),)
            case While():
                return (replace(stmt, condition=substitute_indices(stmt.condition, values)),)
            case _:
                return (stmt,)

    return rewrite(block, visit)


def map_accesses(block: Block, buffer: str, change: Redirect, *, keep_streams: bool = False) -> Block:
    """Redirects every access to `buffer`: `change` maps its indices to another buffer and indices.

    Stores past the caches become plain ones, unless `keep_streams`: memory of one thread stays in its cache.
    Raises TILE0604 where a machine instruction uses the buffer: its operands stay where they are.
    """

    def leaf(e: Expr) -> Expr:
        if isinstance(e, Read) and e.access.tensor == buffer:
            tensor, indices = change(e.access.indices)
            return Read(replace(e.access, tensor=tensor, indices=indices), e.dtype)
        return e

    def visit(stmt: Stmt) -> Block:
        if isinstance(stmt, Store) and stmt.buffer == buffer:
            target, indices = change(stmt.indices)
            stream = stmt.stream and keep_streams
            return (replace(stmt, buffer=target, indices=indices, stream=stream),)
        if isinstance(stmt, Instr) and any(w.buffer == buffer for w in stmt.operands):
            raise refuse(f"'{buffer}' is an operand of the instruction '{stmt.name}'", "map to instructions last")
        return (stmt,)

    return rewrite(map_exprs(block, lambda e: transform(e, leaf)), visit)



# --- ranges --------------------------------------------------------------------------------------------------------


def interval(form: Affine, ranges: Mapping[str, int]) -> tuple[int, int]:
    """Least and greatest value over the box `0 <= variable < ranges[variable]`; raises KeyError for other variables."""
    low = high = static(form.const)
    for name, coef in form.terms:
        reach = static(coef) * (ranges[name] - 1)
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high


def part(form: Affine, inside: Callable[[str], bool]) -> Affine:
    """The terms of the chosen variables, without the constant."""
    return Affine(tuple((n, c) for n, c in form.terms if inside(n)))


def injective(form: Affine, ranges: Mapping[str, int]) -> bool:
    """Whether the form's value determines all its variables (a mixed-radix form).

    >>> injective(Affine.of({"i": 64, "j": 1}), {"i": 3, "j": 64})
    True
    """
    span = 0
    for coef, extent in sorted((abs(static(c)), ranges[n]) for n, c in form.terms):
        if extent > 1 and coef <= span:
            return False
        span += coef * (extent - 1)
    return True


def holds(condition: Affine, ranges: Mapping[str, int]) -> bool:
    """Whether `condition >= 0` at every point of the box."""
    return condition.variables() <= ranges.keys() and interval(condition, ranges)[0] >= 0


def index_by_index(
    indices: Sequence[Index], shape: Sequence[int], ranges: Mapping[str, int]
) -> tuple[str | None, ...] | None:
    """Per axis the loop that runs over it, whole and alone, None on an axis of extent 1; None where it is not so."""
    found: list[str | None] = []
    for form, size in zip(indices, shape, strict=True):
        name = form.as_variable() if isinstance(form, Affine) else None
        if size == 1 and form == Affine():
            found.append(None)
        elif name is None or ranges.get(name) != size or name in found:
            return None
        else:
            found.append(name)
    return tuple(found)


# --- dependences ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """A read (`store` None) or a store of a buffer, with the extents of the loops between the block and it."""

    buffer: str
    indices: tuple[Index, ...] | None  # None: any cell (a view)
    store: Store | None
    ranges: Mapping[str, int] = field(default_factory=dict)
    certain: bool = True  # no `If`, `While` or loop without iterations between the block and it


def uses(block: Block, ranges: Mapping[str, int] | None = None, *, private: bool = False) -> list[Use]:
    """Every access in a block to a buffer that is not allocated inside it (or also to those, with `private`)."""
    found: list[Use] = []
    own: set[str] = set()
    _collect_uses(block, dict(ranges or {}), True, found, own)
    return found if private else [u for u in found if u.buffer not in own]


def _collect_uses(block: Block, ranges: dict[str, int], certain: bool, found: list[Use], own: set[str]) -> None:
    """Adds the accesses of a block to `found`, in order, and the names that it allocates to `own`."""
    for stmt in block:
        found += [Use(a.tensor, a.indices, None, ranges, certain) for a in accesses(stmt)]
        match stmt:
            case Store():
                found.append(Use(stmt.buffer, stmt.indices, stmt, ranges, certain))
            case For():
                extent = static(stmt.extent)
                inner = {**ranges, stmt.index: extent}
                _collect_uses(stmt.body, inner, certain and extent > 0, found, own)
            case If() | While():
                _collect_uses(stmt.body, ranges, False, found, own)
            case Alloc():
                own.add(stmt.buffer.name)
                if (base := stmt.buffer.base) is not None:
                    found.append(Use(base, None, Store(base, (), VIEW), ranges, certain))
            case Instr():
                _collect_uses(expand(stmt), ranges, certain, found, own)
            case _:
                pass


VIEW = Const(0, BOOL)  # the unknown value that may be stored through a view; told from others by its identity


def order_free(monoid: Monoid | None) -> bool:
    """Whether aggregation gives the same result in any order: integers wrap, max and min are exact."""
    if monoid is None or monoid.name not in ("sum", "prod", "max", "min"):
        return False
    return monoid.name in ("max", "min") or not any(d.is_float for d in monoid.dtypes)


def carried(found: Sequence[Use], index: str, *, commute: bool = False) -> str | None:
    """Why two iterations of the loop `index` may touch one cell, one of them writing; None where they cannot.

    The ranges of the uses say what varies between the two iterations (`index` among them); all other variables are the
    same in both. With `commute`, aggregations of one order-free monoid do not conflict with one another.
    """
    for store in found:
        if store.store is None or store.ranges.get(index, 1) == 1:
            continue
        for other in found:
            if other.buffer != store.buffer or _separated(store, other, index):
                continue
            if commute and _commute(store, other):
                continue
            kind = "read" if other.store is None else "stored"
            return f"a cell of '{store.buffer}' may be stored by one iteration of '{index}' and {kind} by another"
    return None


def crossing(first: Sequence[Use], second: Sequence[Use], index: str) -> str | None:
    """Why an iteration of the loop `index` may touch in `first` what another touches in `second`, one of them writing;
    None where it cannot. The ranges are those of `carried`."""
    for a in first:
        for b in second:
            stored = a.store is not None or b.store is not None
            if a.buffer != b.buffer or not stored or a.ranges.get(index, 1) == 1 or _separated(a, b, index):
                continue
            return f"a cell of '{a.buffer}' may be stored by one iteration of '{index}' and used by another"
    return None


def _commute(a: Use, b: Use) -> bool:
    if a.store is None or b.store is None or a.store.monoid is None or b.store.monoid is None:
        return False
    return order_free(a.store.monoid) and a.store.monoid == b.store.monoid


def _separated(a: Use, b: Use, index: str) -> bool:
    if a.indices is None or b.indices is None or len(a.indices) != len(b.indices):
        return False
    return any(
        isinstance(f, Affine) and isinstance(g, Affine) and _apart(f, a.ranges, g, b.ranges, index)
        for f, g in zip(a.indices, b.indices)
    )


def _apart(f: Affine, f_ranges: Mapping[str, int], g: Affine, g_ranges: Mapping[str, int], index: str) -> bool:
    coef = static(f.coefficient(index))
    if coef == 0 or g.coefficient(index) != coef:
        return False
    if f == g and injective(part(f, f_ranges.__contains__), _larger(f_ranges, g_ranges)):
        return f.variables() & f_ranges.keys() == g.variables() & g_ranges.keys()
    if part(f, lambda n: n not in f_ranges) != part(g, lambda n: n not in g_ranges):
        return False
    f_low, f_high = interval(part(f, lambda n: n in f_ranges and n != index) + f.const, f_ranges)
    g_low, g_high = interval(part(g, lambda n: n in g_ranges and n != index) + g.const, g_ranges)
    low, high = f_low - g_high, f_high - g_low
    furthest = max(f_ranges[index], g_ranges.get(index, 1)) - 1
    return not (_multiple(low, high, abs(coef), furthest) or _multiple(-high, -low, abs(coef), furthest))


def _multiple(low: int, high: int, step: int, furthest: int) -> bool:
    """Whether step, 2*step, .. furthest*step has a member in low .. high."""
    first = max(1, -(-low // step))
    return first <= furthest and first * step <= high


def _larger(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {n: max(a.get(n, 1), b.get(n, 1)) for n in a.keys() | b.keys()}
