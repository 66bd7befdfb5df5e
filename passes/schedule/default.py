"""The default schedule: directives by rule, for any kernel that the lowering makes.

Each top-level nest is scheduled by itself. A directive is kept only when it applies, so the result always does; where a
step is refused, the nest keeps the loops it has.

Contractions follow the classic plan (Goto, van de Geijn: Anatomy of high-performance matrix multiplication, 2008): the
output axis of stride 1 lies in vector lanes, a tile of `rows` by `vectors` accumulators stays in registers during the
innermost reduction, such that rows*vectors + vectors + 1 registers are enough; a large right operand is packed in
panels of the tile's width, block by block.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

from tilec.affine import Affine
from tilec.errors import TileError
from tilec.loops import Buffer, For, If, Kernel, Stmt, strides_of, walk
from tilec.passes.schedule import apply_one
from tilec.passes.schedule.analysis import Use, buffers, carried, names, static, uses
from tilec.schedule import Argument, Directive, Schedule, directive
from tilec.target import Target

SMALL = 512  # points: below, a nest keeps its plain loops
MANY = 1 << 16  # points of an elementwise nest: from here on it pays to use threads
MANY_TERMS = 1 << 19  # the same for a contraction in registers
REDUCTION_BLOCK = 384
COLUMN_BLOCK = 1024
ROW_BLOCK = 168
PACK_BYTES = 1 << 20
PACK_PITCH = 2048
PACK_REUSE = 24


def default_schedule(kernel: Kernel, target: Target) -> Schedule:
    """Directives that make the kernel fast on `target`; applying them never fails. Deterministic."""
    plan = _Plan(kernel)
    try:
        _merge_loops(plan)
        for nest in [_Nest.of(plan.kernel, s) for s in reversed(plan.kernel.body) if isinstance(s, For)]:
            _schedule_nest(plan, nest, target)
    except TileError:  # symbolic sizes: what was planned so far applies
        pass
    return tuple(plan.directives)


def _merge_loops(plan: _Plan) -> None:
    """Merges loops that walk through memory as one: those of aggregations first, then others that fit these."""
    nests = [s for s in plan.kernel.body if isinstance(s, For)]
    found = [_Nest.of(plan.kernel, s) for s in nests]
    aggregations = [n for n in found if n.reductions]
    for nest in [*aggregations, *(n for n in found if not n.reductions)]:
        if nest.points >= SMALL:
            _merge_nest(plan, nest, alone=not aggregations or bool(nest.reductions))


def _merge_nest(plan: _Plan, nest: _Nest, alone: bool) -> None:
    """Pairs of neighbouring loops, innermost first. Unless `alone`, the buffers' axes stay as others want them."""
    loops = list(nest.extents)
    for at in range(len(loops) - 2, -1, -1):
        outer, inner = loops[at : at + 2]
        if (outer in nest.free) != (inner in nest.free):
            continue
        before = plan.kernel, list(plan.directives)
        new = _fresh(plan.kernel, f"{outer}.{inner}")
        if not plan.attempt(_step("merge", outer, inner, new)):
            continue
        if not alone and _shapes(plan.kernel) != _shapes(before[0]):
            plan.kernel, plan.directives = before
            continue
        loops[at : at + 2] = [new]


def _shapes(kernel: Kernel) -> dict[str, tuple[object, ...]]:
    return {name: buffer.shape for name, buffer in buffers(kernel).items()}


@dataclass(slots=True)
class _Plan:
    """Directives so far, and the kernel they make."""

    kernel: Kernel
    directives: list[Directive] = field(default_factory=list)

    def attempt(self, *steps: Directive) -> bool:
        """Adds all the steps, or none where one of them is refused."""
        kernel = self.kernel
        try:
            for step in steps:
                kernel = apply_one(kernel, step)
        except TileError:
            return False
        self.kernel = kernel
        self.directives += steps
        return True

    def has(self, loop: str) -> bool:
        return any(isinstance(s, For) and s.index == loop for s in walk(self.kernel.body))


@dataclass(frozen=True, slots=True)
class _Nest:
    """A perfect nest as it comes from the lowering."""

    extents: dict[str, int]  # loops, outermost first
    uses: tuple[Use, ...]
    free: frozenset[str]  # loops whose iterations share no written cell
    buffers: dict[str, Buffer]
    bits: int  # of the widest element
    guarded: frozenset[str]

    @staticmethod
    def of(kernel: Kernel, stmt: For) -> _Nest:
        extents: dict[str, int] = {}
        guarded: set[str] = set()
        inner: Stmt = stmt
        while isinstance(inner, For | If):
            if isinstance(inner, For):
                extents[inner.index] = static(inner.extent)
            else:
                guarded |= {n for c in inner.conditions for n in c.variables()}
            if len(inner.body) != 1:
                break
            inner = inner.body[0]
        found = tuple(uses((stmt,)))
        known = buffers(kernel)
        free = frozenset(n for n in extents if not carried(found, n))
        bits = max((known[u.buffer].dtype.bits for u in found if u.store), default=32)
        return _Nest(extents, found, free, known, bits, frozenset(guarded))

    @property
    def points(self) -> int:
        return prod(self.extents.values())

    @property
    def reductions(self) -> list[str]:
        return [n for n in self.extents if n not in self.free]

    def stores(self) -> list[Use]:
        return [u for u in self.uses if u.store is not None]

    def reads(self) -> list[Use]:
        return [u for u in self.uses if u.store is None]

    def stride(self, use: Use, loop: str) -> int | None:
        """How many elements one iteration of the loop moves the access; None where that depends on data."""
        total = 0
        for form, step in zip(use.indices or (), strides_of(self.buffers[use.buffer])):
            if not isinstance(form, Affine):
                return None
            total += static(form.coefficient(loop)) * static(step)
        return total

    def reuse(self, use: Use) -> int:
        """How often one element of the operand is used."""
        return prod(e for n, e in self.extents.items() if self.stride(use, n) == 0)


def _schedule_nest(plan: _Plan, nest: _Nest, target: Target) -> None:
    if nest.points < SMALL or not nest.free:
        return
    lane = _vector_loop(nest, target)
    if lane is None:
        _threads(plan, nest, [n for n in nest.extents if n in nest.free], target)
    elif nest.reductions and _is_contraction(nest):
        _contraction(plan, nest, lane, target)
    else:
        _elementwise(plan, nest, lane, target)


def _is_contraction(nest: _Nest) -> bool:
    stores = nest.stores()
    return len(stores) == 1 and stores[0].store is not None and stores[0].store.monoid is not None


def _vector_loop(nest: _Nest, target: Target) -> str | None:
    """The free loop along which the stores, and as many reads as can be, are contiguous."""
    best: tuple[int, int, str] | None = None
    for loop in nest.extents:
        if loop not in nest.free or nest.extents[loop] < 2:
            continue
        if any(nest.stride(u, loop) != 1 for u in nest.stores()):
            continue
        good = sum(nest.stride(u, loop) in (0, 1) for u in nest.reads())
        wide = min(nest.extents[loop], 4 * target.lanes(nest.bits))
        if best is None or (good, wide) > best[:2]:
            best = good, wide, loop
    return best[2] if best else None


# --- elementwise ---------------------------------------------------------------------------------------------------


def _elementwise(plan: _Plan, nest: _Nest, lane: str, target: Target) -> None:
    others = [n for n in nest.extents if n != lane]
    if list(nest.extents)[-1] != lane and not plan.attempt(_step("reorder", *others, lane)):
        return
    if not others and nest.points >= MANY and target.threads > 1:
        chunk = -(-nest.points // (4 * target.threads))
        chunk = -(-chunk // target.lanes(nest.bits)) * target.lanes(nest.bits)
        if plan.attempt(_step("tile", lane, chunk, f"{lane}.p", f"{lane}.c"), _step("parallel", f"{lane}.p")):
            _lanes(plan, f"{lane}.c", lane, min(chunk, nest.points), nest, target)
            return
    _lanes(plan, lane, lane, nest.extents[lane], nest, target)
    _threads(plan, nest, [n for n in others if n in nest.free], target)


def _lanes(plan: _Plan, loop: str, name: str, extent: int, nest: _Nest, target: Target) -> None:
    width = target.lanes(nest.bits)
    if extent <= width:
        plan.attempt(_step("vectorize", loop))
    else:
        plan.attempt(_step("tile", loop, width, f"{name}.0", f"{name}.l"), _step("vectorize", f"{name}.l"))


def _threads(plan: _Plan, nest: _Nest, loops: Iterable[str], target: Target) -> None:
    """Runs the outermost suitable loop in threads, where there is much to do."""
    if nest.points < (MANY_TERMS if nest.reductions else MANY) or target.threads < 2:
        return
    for loop in loops:
        if nest.extents.get(loop, 2) >= 2 and plan.has(loop) and plan.attempt(_step("parallel", loop)):
            return


# --- contractions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tiling:
    """Sizes chosen for one contraction."""

    lanes: int
    vectors: int
    rows: int
    packed: Use | None  # operand to pack, moved by the lane loop


def _tiling(nest: _Nest, lane: str, row: str | None, target: Target) -> _Tiling:
    lanes = target.lanes(nest.bits)
    extent = nest.extents[lane]
    if extent < lanes:
        lanes = 1 << (extent - 1).bit_length()  # the narrowest power of two that holds all
    packed = _operand_to_pack(nest, lane)
    wide = 4 if target.registers >= 32 else 2
    vectors = min(wide if packed else 2, -(-extent // lanes))
    rows = max(1, min((target.registers - vectors - 1) // vectors, 14))
    return _Tiling(lanes, vectors, min(rows, nest.extents[row]) if row else 1, packed)


def _operand_to_pack(nest: _Nest, lane: str) -> Use | None:
    """The large operand along the lanes, where packing it is repaid by its reuse and no other operand is like it."""
    moved = [u for u in nest.reads() if nest.stride(u, lane) not in (0, None)]
    if len(moved) != 1 or any(u.buffer == moved[0].buffer for u in nest.reads() if u is not moved[0]):
        return None
    use = moved[0]
    size = nest.buffers[use.buffer].dtype.bytes
    span = size * prod(e for n, e in nest.extents.items() if nest.stride(use, n) != 0)
    pitches = [abs(nest.stride(use, n) or 0) * size for n in nest.reductions]
    far = nest.stride(use, lane) != 1
    if nest.reuse(use) < PACK_REUSE or not all(_bare(form) for form in use.indices or ()):
        return None
    return use if far or span > PACK_BYTES or max(pitches, default=0) >= PACK_PITCH else None


def _bare(form: object) -> bool:
    """Whether an index is one loop variable or constant, so that a region of it is a simple rectangle."""
    return isinstance(form, Affine) and len(form.terms) <= 1


def _row_loop(nest: _Nest, lane: str) -> str | None:
    """The loop tiled against the lanes: a long one, along which the lanes' operands are reused."""
    along = [u for u in nest.reads() if nest.stride(u, lane) not in (0, None)]

    def worth(loop: str) -> tuple[int, int, int]:
        shared = sum(nest.stride(u, loop) == 0 for u in along)
        return shared, min(nest.extents[loop], 56), list(nest.extents).index(loop)

    candidates = [n for n in nest.extents if n in nest.free and n != lane and nest.extents[n] > 1]
    return max(candidates, key=worth, default=None)


def _contraction(plan: _Plan, nest: _Nest, lane: str, target: Target) -> None:
    row = _row_loop(nest, lane)
    tiling = _tiling(nest, lane, row, target)
    before = plan.kernel, list(plan.directives)
    if tiling.packed is not None and _blocked(plan, nest, lane, row, tiling, target):
        return
    plan.kernel, plan.directives = before[0], before[1]
    if not _register_tiled(plan, nest, lane, row, tiling, target):
        plan.kernel, plan.directives = before[0], before[1]
        _elementwise(plan, nest, lane, target)


def _register_tiled(
    plan: _Plan, nest: _Nest, lane: str, row: str | None, tiling: _Tiling, target: Target
) -> bool:
    """Whole reductions in registers: outer loops, column tiles, row tiles, reductions, the tile."""
    reductions = nest.reductions
    outer = [n for n in nest.extents if n in nest.free and n not in (lane, row)]
    rows = [row] if row else []
    done = plan.attempt(
        _step("reorder", *outer, lane, *rows, *reductions),
        _step("tile", lane, tiling.lanes * tiling.vectors, f"{lane}.0", f"{lane}.1"),
    )
    done = done and _micro_kernel(plan, nest, lane, row, reductions, tiling, "init")
    if done:
        _threads(plan, nest, [*outer, f"{lane}.0", *([f"{row}.0"] if row else [])], target)
    return done


def _micro_kernel(
    plan: _Plan, nest: _Nest, lane: str, row: str | None, inner: list[str], tiling: _Tiling, start: str
) -> bool:
    """Under `lane.0`: tiles the rows, brings the reductions outside of the tile, and keeps the tile in registers."""
    tile = [f"{row}.1", f"{lane}.1"] if row else [f"{lane}.1"]
    at = f"{row}.0" if row else f"{lane}.0"
    if row and not plan.attempt(
        _step("reorder", row, f"{lane}.1", *inner),
        *_interior(nest, row),
        _step("tile", row, tiling.rows, f"{row}.0", f"{row}.1", "cut", "balanced"),
    ):
        return False
    steps = [
        _step("reorder", *inner, *tile),
        _step("tile", f"{lane}.1", tiling.lanes, f"{lane}.v", f"{lane}.l", "guard"),
        _step("vectorize", f"{lane}.l"),
        _step("unroll", f"{lane}.v"),
        *([_step("unroll", f"{row}.1")] if row else []),
    ]
    if not plan.attempt(*steps):
        return False
    store = nest.stores()[0].buffer
    new = _fresh(plan.kernel, f"{store}.r")
    return plan.attempt(_step("stage", store, at, new, "register", start)) or plan.attempt(
        _step("stage", store, at, new, "register")
    )


def _blocked(plan: _Plan, nest: _Nest, lane: str, row: str | None, tiling: _Tiling, target: Target) -> bool:
    """Blocks of columns and of the reduction, the lanes' operand packed per block; threads share blocks of rows."""
    use = tiling.packed
    if use is None or row is None:
        return False
    free = [n for n in nest.extents if n in nest.free and n not in (lane, row)]
    batch = [n for n in free if nest.stride(use, n) != 0]
    shared = [n for n in free if n not in batch]
    far, cut, block, near = _split_reductions(nest)
    middle, near = ([f"{cut}.0"], [f"{cut}.1", *near]) if cut else ([], near)
    split = [cut] if cut else []
    after = [n for n in near if n != f"{cut}.1"]
    column = tiling.lanes * tiling.vectors
    width = max(column, COLUMN_BLOCK // column * column)
    axis = next(i for i, form in enumerate(use.indices or ()) if lane in _variables(form))
    new = _fresh(plan.kernel, f"{use.buffer}.p")
    at = [f"{lane}.b", *far, *middle][-1]
    # all loops that the packed operand depends on come before the pack, the others after it
    done = plan.attempt(
        _step("reorder", *batch, lane, *far, *split, *shared, row, *after),
        _step("tile", lane, width, f"{lane}.b", f"{lane}.p"),
        _step("reorder", *far, *split, *shared, row, f"{lane}.p", *after),
        *([_step("tile", cut, block, f"{cut}.0", f"{cut}.1", "cut", "balanced")] if cut else []),
        _step("reorder", *shared, row, f"{lane}.p", *near),
        *_interior(nest, row),
        _step("tile", row, _row_block(nest, row, tiling, 1 if shared else target.threads), f"{row}.b", f"{row}.p"),
        _step("reorder", f"{lane}.p", f"{row}.p", *near),
        _step("tile", f"{lane}.p", column, f"{lane}.0", f"{lane}.1"),
        _step("reorder", f"{row}.p", f"{lane}.1", *near),
        _step("tile", f"{row}.p", tiling.rows, f"{row}.0", f"{row}.1", "cut", "balanced"),
        _step("reorder", *near, f"{row}.1", f"{lane}.1"),
        _step("tile", f"{lane}.1", tiling.lanes, f"{lane}.v", f"{lane}.l", "guard"),
        _step("vectorize", f"{lane}.l"),
        _step("unroll", f"{lane}.v"),
        _step("unroll", f"{row}.1"),
    )
    store = nest.stores()[0].buffer
    staged = _fresh(plan.kernel, f"{store}.r")
    at_tile = f"{row}.0"
    done = done and (
        (at == f"{lane}.b" and plan.attempt(_step("stage", store, at_tile, staged, "register", "init")))
        or plan.attempt(_step("stage", store, at_tile, staged, "register"))
    )
    # threads take the batch where that feeds them all, each with a pack of its own; else they share one pack
    wide = [n for n in batch if nest.extents[n] >= target.threads > 1 and nest.points >= MANY_TERMS]
    done = done and plan.attempt(_step("pack", use.buffer, at, new, axis, column, "thread" if wide else "heap"))
    if done:
        _threads(plan, nest, wide or [*shared, f"{row}.b", f"{row}.p"], target)
        _vectorize_pack(plan, nest, use, new, tiling)
    return done


def _interior(nest: _Nest, row: str) -> list[Directive]:
    """Rows that need no guard apart from those at the edges."""
    return [_step("interior", row)] if row in nest.guarded else []


def _vectorize_pack(plan: _Plan, nest: _Nest, use: Use, new: str, tiling: _Tiling) -> None:
    last = len(use.indices or ())
    loop = f"{new}.{last}"
    if tiling.vectors == 1:
        plan.attempt(_step("vectorize", loop))
        return
    plan.attempt(
        _step("tile", loop, tiling.lanes, f"{loop}.v", f"{loop}.l"),
        _step("vectorize", f"{loop}.l"),
        _step("unroll", f"{loop}.v"),
    )


def _split_reductions(nest: _Nest) -> tuple[list[str], str | None, int, list[str]]:
    """Reduction loops outside of a block of at most REDUCTION_BLOCK terms, the one that is cut and how, those inside.

    Only a prefix can be outside: the order of a float sum stays.
    """
    loops = nest.reductions
    near: list[str] = []
    size = 1
    while loops and size * nest.extents[loops[-1]] <= REDUCTION_BLOCK:
        size *= nest.extents[loops[-1]]
        near.insert(0, loops.pop())
    if not loops or (near and size * 4 > REDUCTION_BLOCK):
        return loops, None, 0, near
    cut = loops.pop()
    return loops, cut, max(1, REDUCTION_BLOCK // size), near


def _row_block(nest: _Nest, row: str, tiling: _Tiling, threads: int) -> int:
    """Rows per block: about ROW_BLOCK, so that `threads` have equally much to do."""
    extent, threads = nest.extents[row], threads if nest.points >= MANY_TERMS else 1
    least = -(-extent // ROW_BLOCK)

    def cost(block: int) -> int:
        blocks, rest = divmod(extent, block)
        return -(-blocks // threads) * _row_cost(block, tiling.rows) + _row_cost(rest, tiling.rows)

    counts = [n for n in range(least, 2 * least + threads + 1) if n % threads == 0] or [least]
    return min((max(1, -(-extent // n)) for n in counts), key=cost)


def _row_cost(rows: int, tile: int) -> int:
    """Rows, and some more for a tile that is not full."""
    return rows + (2 if rows % tile else 0)


def _variables(form: object) -> frozenset[str]:
    return form.variables() if isinstance(form, Affine) else frozenset()


def _fresh(kernel: Kernel, name: str) -> str:
    taken = names(kernel)
    found, n = name, 1
    while found in taken or any(t.startswith(found + ".") for t in taken):
        n += 1
        found = f"{name}{n}"
    return found


def _step(name: str, *args: Argument) -> Directive:
    return directive(name, *args)


