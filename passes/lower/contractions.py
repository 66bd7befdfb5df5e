"""Contractions as loop nests: initialise, update, finish, each a nest of its own over whole buffers.

    for m, n:       O[m, n] = 0                            every cell gets what the aggregation starts from
    for m, n, k:    O[m, n] sum= A[m, k] * B[k, n]         guards: conditions that the box of m, n, k does not imply
    for m, n:       R[m, n] = cast(O[m, n])                only where the accumulator's type is not the result's

Cells that no point reaches hold the default (or 0), which is nobody's identity in general: they are told apart by
visiting the reached ones, exactly, with the sink at the points of a projection of the domain (`domain.reached`).
Where values of tensors decide which points have a term (`access.is_guarded`), a point without one adds the identity,
and a bool per cell remembers whether it was reached.

Loop order: variables that an output index determines first, then the others as in `indices`, so that the
terms of one cell are aggregated in lexicographic order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tilec.affine import Affine, Coef, Poly, Size
from tilec.dtypes import BOOL, DType
from tilec.exact.boxes import Box, injective
from tilec.exact.cells import Reached, reached
from tilec.exact.domain import box_of, conditions, extent_in_box, guards
from tilec.expr import Call, Expr, Read, Var, read, reads, substitute_indices, substitute_vars
from tilec.graph import Contraction, Let
from tilec.loops import Alloc, Block, Buffer, Stmt, Store
from tilec.loops import Let as ScalarLet
from tilec.monoid import STANDARD, Monoid, standard
from tilec.rules import call, cast, constant

from .access import every, is_guarded
from .nests import Loops, Names, nest, over
from .values import Scope, Values


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a contraction: where it is aggregated and where its result goes."""

    result: str
    dtype: DType  # of the result
    accumulator: str  # buffer; the result itself where the types agree
    shape: tuple[Size, ...]
    sink: tuple[Affine, ...]
    default: str | None
    visit: Reached

    @property
    def separate(self) -> bool:
        return self.accumulator != self.result


@dataclass(frozen=True, slots=True)
class Space:
    """The iteration space without indices of extent 1: loops in order, and guards; None of them where it is empty."""

    extents: dict[str, Size]
    needed: tuple[Affine, ...]
    body: tuple[Expr, ...]
    sinks: tuple[tuple[Affine, ...], ...]

    @property
    def empty(self) -> bool:
        return 0 in self.extents.values() or any(g.is_constant for g in self.needed)

    @property
    def box(self) -> Box:
        return {i: (0, extent_in_box(e) - 1) for i, e in self.extents.items()}


def contraction(let: Let, values: Values, names: Names) -> Block:
    """Statements that compute a normalised contraction into the buffers called by its names."""
    node = let.node
    assert isinstance(node, Contraction)
    space = _space(node, values)
    components = _components(let, node, space, values, names)
    loops = _order(space)
    renamed = {i: names.fresh(i) for i, _ in loops}
    masked = not space.empty and is_guarded(node)
    if masked and not _is_definition(node, space) and not _may_add_nothing(node):
        return _guarded(node, components, space, loops, renamed, values, names)
    if not space.empty and _is_definition(node, space):
        return _definition(node, components[0], space, loops, renamed, values, names)
    block: Block = tuple(
        Alloc(Buffer(c.accumulator, acc, c.shape))
        for c, acc in zip(components, node.accumulator)
        if c.separate
    )
    for c, start in zip(components, node.monoid.identity):
        block += _initialise(c, start, node.monoid, space, values, names)
    if not space.empty:
        block += _update(node.monoid, components, space, loops, renamed, values, names)
    for c, acc in zip(components, node.accumulator):
        block += _finish(c, acc, node.monoid, space, names)
    return block


def _space(node: Contraction, values: Values) -> Space:
    box = box_of(node)
    tensors = {r.access.tensor for b in node.body for r in reads(b)}
    given = conditions(node, {t: values.shape(t) for t in tensors})
    needed = () if any(high < 0 for _, high in box.values()) else guards(given, box)
    zero: dict[str, Affine | Coef] = {i: 0 for i, (_, high) in box.items() if high == 0}
    return Space(
        {i: e for i, e in zip(node.indices, node.extents) if e != 1},
        tuple(g.substitute(zero) for g in needed),
        tuple(substitute_indices(b, zero) for b in node.body),
        tuple(tuple(f.substitute(zero) for f in s.indices) for s in node.sinks),
    )


def _components(
    let: Let, node: Contraction, space: Space, values: Values, names: Names
) -> tuple[Component, ...]:
    found = []
    for name, type, acc, sink, default in zip(let.names, let.types, node.accumulator, space.sinks, node.defaults):
        visit = Reached((), (), False) if space.empty else _visited(sink, type.shape, space)
        separate = acc != type.dtype and node.monoid.name != "assign"
        accumulator = names.fresh(f"{name}.acc") if separate else name
        found.append(Component(name, type.dtype, accumulator, type.shape, sink, default, visit))
    return tuple(found)


def _visited(sink: tuple[Affine, ...], shape: tuple[Size, ...], space: Space) -> Reached:
    """Which cells are reached: none where an open size that is aggregated over is 0."""
    visit = reached(sink, shape, space.box, space.needed)
    sizes = {e for i, e in space.extents.items() if isinstance(e, Poly) and i not in visit.indices}
    if not sizes:
        return visit
    some = tuple(Affine.constant(e - 1) for e in sorted(sizes, key=str))
    return Reached(visit.indices, (*some, *visit.needed), False)


def _order(space: Space) -> Loops:
    """Variables that an output index determines first, in the order of the output's axes; then the others."""
    known = [f for f in space.sinks[0] if injective(f, space.box)] if len(space.sinks) == 1 else []
    own = [i for f in known for i in sorted(f.variables(), key=_descending(f))]
    ordered = dict.fromkeys([*own, *space.extents])
    return [(i, space.extents[i]) for i in ordered]


def _descending(form: Affine) -> Callable[[str], int]:
    def key(variable: str) -> int:
        c = form.coefficient(variable)
        assert isinstance(c, int)
        return -abs(c)

    return key


def _is_definition(node: Contraction, space: Space) -> bool:
    """Whether each cell has at most one term for certain: every variable stands alone in the sink."""
    if len(space.sinks) != 1:
        return False
    return node.monoid.name == "assign" or space.extents.keys() <= {f.as_variable() for f in space.sinks[0]}


def _definition(
    node: Contraction, c: Component, space: Space, loops: Loops, renamed: dict[str, str], values: Values, names: Names
) -> Block:
    """No aggregation is needed: one nest of plain stores, after one of defaults where cells may be left out."""
    block: Block = () if c.visit.everywhere else _fill(c, values, names)
    scope = _scope(space, renamed, values, names)
    value = cast(scope.body(substitute_indices(space.body[0], _moves(renamed))), node.accumulator[0])
    if node.monoid.name != "assign":
        value = substitute_vars(node.monoid.combine[0], {"a0": node.monoid.identity[0], "b0": value})
    value, cell = cast(value, c.dtype), _renamed(c.sink, renamed)
    if scope.inside:
        value = call("select", every(scope.inside), value, _unreached(c, cell, scope))
    store = Store(c.result, cell, value)
    return block + _nest(loops, space.needed, renamed, scope.block([store]))


def _rounded(body: Expr, value: Expr) -> Expr:
    """A product that was a tensor of its own before it was inlined stays rounded: a backend may contract the products
    of a sum's own body, and the bits must not depend on what is fused."""
    inlined = isinstance(body, Read) and isinstance(value, Call) and value.op == "mul"
    return Call("ident", (value,), value.dtype) if inlined else value


def _fill(c: Component, values: Values, names: Names) -> Block:
    """Default, or 0, in every cell of the result."""
    loops, cell = over(c.shape, names)
    scope = Scope(values, names)
    return nest(loops, (), scope.block([Store(c.result, cell, _unreached(c, cell, scope))]))


def _unreached(c: Component, cell: tuple[Affine, ...], scope: Scope) -> Expr:
    """What a cell without a term holds."""
    if c.default is None:
        return constant(0, c.dtype)
    return cast(scope.element(c.default, cell if scope.values.types[c.default].shape else ()), c.dtype)


def _may_add_nothing(node: Contraction) -> bool:
    """Whether a point without a term may as well add 0: a sum starts from +0, so that holds no -0 to change."""
    return node.monoid.name == "sum" and node.defaults == (None,)


def _starts_everywhere(c: Component, monoid: Monoid) -> bool:
    """Whether all cells may start from the identity: none is unreached, or unreached cells hold just that."""
    return c.visit.everywhere or (monoid.name == "sum" and c.default is None)


def _initialise(c: Component, start: Expr, monoid: Monoid, space: Space, values: Values, names: Names) -> Block:
    block: Block = ()
    if space.empty or monoid.name == "assign" or not _starts_everywhere(c, monoid):
        block += _fill(c, values, names)
    if space.empty or monoid.name == "assign":
        return block
    if c.separate or _starts_everywhere(c, monoid):
        loops, cell = over(c.shape, names)
        return block + nest(loops, (), (Store(c.accumulator, cell, start),))
    return block + _visit(c, space, names, lambda cell: Store(c.accumulator, cell, start))


def _finish(c: Component, acc: DType, monoid: Monoid, space: Space, names: Names) -> Block:
    """Converts the accumulator to the result's type, in reached cells only where others hold something else."""
    if not c.separate or space.empty:
        return ()

    def store(cell: tuple[Affine, ...]) -> Store:
        return Store(c.result, cell, cast(read(c.accumulator, cell, acc), c.dtype))

    if _starts_everywhere(c, monoid):
        loops, cell = over(c.shape, names)
        return nest(loops, (), (store(cell),))
    return _visit(c, space, names, store)


def _visit(c: Component, space: Space, names: Names, store: Callable[[tuple[Affine, ...]], Store]) -> Block:
    """A nest that reaches every reached cell, perhaps several times."""
    renamed = {i: names.fresh(i) for i in c.visit.indices}
    loops = [(i, space.extents[i]) for i in c.visit.indices]
    return _nest(loops, c.visit.needed, renamed, (store(_renamed(c.sink, renamed)),))


def _update(
    monoid: Monoid,
    components: tuple[Component, ...],
    space: Space,
    loops: Loops,
    renamed: dict[str, str],
    values: Values,
    names: Names,
) -> Block:
    scope = _scope(space, renamed, values, names)
    moves = _moves(renamed)
    terms = [
        cast(_rounded(b, scope.body(substitute_indices(b, moves))), acc)
        for b, acc in zip(space.body, monoid.dtypes, strict=True)
    ]
    cells = [_renamed(c.sink, renamed) for c in components]
    if scope.inside:
        terms = [call("select", every(scope.inside), terms[0], monoid.identity[0])]
    if len(components) == 1:
        stores = scope.block([Store(components[0].accumulator, cells[0], terms[0], monoid)])
    else:
        stores = scope.block(_joint(monoid, components, cells, terms, names))
    return _nest(loops, space.needed, renamed, stores)


def _scope(space: Space, renamed: dict[str, str], values: Values, names: Names) -> Scope:
    """The scope of the innermost block of a nest."""
    return Scope(values, names, extents={renamed[i]: e for i, e in space.extents.items()})


def _guarded(
    node: Contraction,
    components: tuple[Component, ...],
    space: Space,
    loops: Loops,
    renamed: dict[str, str],
    values: Values,
    names: Names,
) -> Block:
    """A contraction whose points have a term only where data-dependent indices are inside."""
    monoid, scope = node.monoid, _scope(space, renamed, values, names)
    moves = _moves(renamed)
    plain = [scope.body(substitute_indices(b, moves)) for b in space.body]
    inside = scope.share("inside", every(scope.inside))
    terms = [cast(_rounded(b, value), acc) for b, value, acc in zip(space.body, plain, monoid.dtypes, strict=True)]
    cells = [_renamed(c.sink, renamed) for c in components]
    states = [replace(c, accumulator=names.fresh(f"{c.result}.acc")) for c in components]
    flags = [names.fresh(f"{c.result}.reached") for c in components]
    block: Block = ()
    for c, acc, flag, one in zip(states, monoid.dtypes, flags, monoid.identity, strict=True):
        block += (Alloc(Buffer(c.accumulator, acc, c.shape)), Alloc(Buffer(flag, BOOL, c.shape)))
        around, cell = over(c.shape, names)
        block += nest(around, (), (Store(c.accumulator, cell, one), Store(flag, cell, constant(0, BOOL))))
    stores: list[Stmt] = [Store(f, cell, inside, standard("max", BOOL)) for f, cell in zip(flags, cells)]
    if len(states) == 1 and monoid.name in STANDARD:
        term = call("select", inside, terms[0], monoid.identity[0])
        stores.append(Store(states[0].accumulator, cells[0], term, monoid))
    else:
        stores += _joint(monoid, tuple(states), cells, terms, names, inside)
    block += _nest(loops, space.needed, renamed, scope.block(stores))
    for c, acc, flag in zip(states, monoid.dtypes, flags, strict=True):
        block += _where_reached(c, acc, flag, values, names)
    return block


def _where_reached(c: Component, acc: DType, flag: str, values: Values, names: Names) -> Block:
    """The accumulator in cells that were reached, the default or 0 in the others."""
    loops, cell = over(c.shape, names)
    scope = Scope(values, names)
    found = cast(read(c.accumulator, cell, acc), c.dtype)
    value = call("select", read(flag, cell, BOOL), found, _unreached(c, cell, scope))
    return nest(loops, (), scope.block([Store(c.result, cell, value)]))


def _joint(
    monoid: Monoid,
    components: tuple[Component, ...],
    cells: list[tuple[Affine, ...]],
    terms: list[Expr],
    names: Names,
    inside: Expr | None = None,
) -> Block:
    """Combines all components from one consistent state: the new values are computed before any is stored.

    With `inside` the state changes only where that holds.
    """
    state: dict[str, Expr] = {}
    lets: list[ScalarLet] = []
    for k, (c, cell, term) in enumerate(zip(components, cells, terms)):
        for letter, value in (("a", read(c.accumulator, cell, term.dtype)), ("b", term)):
            variable = Var(names.fresh(f"{c.result}.{letter}"), term.dtype)
            lets.append(ScalarLet(variable.name, value))
            state[f"{letter}{k}"] = variable
    stores = []
    for k, (c, cell, combine) in enumerate(zip(components, cells, monoid.combine)):
        value = substitute_vars(combine, state)
        if inside is not None:
            value = call("select", inside, value, state[f"a{k}"])
        stores.append(Store(c.accumulator, cell, value))
    return (*lets, *stores)


def _moves(renamed: dict[str, str]) -> dict[str, Affine | Coef]:
    return {old: Affine.var(new) for old, new in renamed.items() if old != new}


def _renamed(forms: tuple[Affine, ...], renamed: dict[str, str]) -> tuple[Affine, ...]:
    return tuple(f.rename(renamed) for f in forms)


def _nest(loops: Loops, needed: tuple[Affine, ...], renamed: dict[str, str], body: Block) -> Block:
    return nest([(renamed[i], e) for i, e in loops], _renamed(needed, renamed), body)
