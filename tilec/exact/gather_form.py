"""Floor 3: contractions that scatter, rewritten so that they gather.

Where an output index is a sum of variables, as in the gradient of a convolution, points of different variables meet in
one cell, and no loop over these variables can run in parallel or in vector lanes. A unimodular change of variables
makes the output index a variable itself:

    O[x + k] += G[x] * W[k]    over x, k         becomes
    O[a] += G[a - K + 1 + k'] * W[K - 1 - k']    over a, k', where a = x + k and k' = K - 1 - k

A stride is split off: k runs in steps of it, for each remainder r:

    O[2*x + k] += G[x] * W[k]                        becomes
    O[2*q + r] += G[q - s] * W[2*s + r]              over q, r < 2, s, where q = x + s and k = 2*s + r

The terms of a cell keep their order, so a float sum keeps its value: for a fixed cell the variable that is left (k', s)
rises with x, or is made to by running backwards, and takes the place of x in the order of the indices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tilec.affine import Affine, Coef
from tilec.exact.boxes import injective, integer
from tilec.exact.domain import box_of, fresh
from tilec.expr import substitute_indices
from tilec.graph import Constraint, Contraction, Sink

MAX_GROWTH = 2  # how many times more points a rewritten contraction may enumerate


@dataclass(frozen=True, slots=True)
class Plan:
    """One axis of the sink, `stride * (sign * x + sign_k * s) + rest`, becomes `stride * new + rest`.

    gone: x, which `new` replaces. values: what other variables are replaced by. step: the partner's variable s, None
    where only the others of the axis are left and their order needs no care. order: the new indices.
    """

    gone: str
    value: Affine  # of `gone`
    values: dict[str, Affine | Coef]
    extra: tuple[Constraint, ...]
    order: tuple[str, ...]


def gather_form(node: Contraction) -> Contraction | None:
    """A normalised contraction with one more output index free of sums, without extents; None where none gains."""
    if len(node.sinks) != 1 or node.monoid.name == "assign" or 0 in node.extents:
        return None
    for axis in range(len(node.sinks[0].indices)):
        plan = _plan(node, axis)
        if plan is not None:
            return _rewritten(node, plan)
    return None


def _plan(node: Contraction, axis: int) -> Plan | None:
    sink, box = node.sinks[0], box_of(node)
    form = sink.indices[axis]
    summed = [n for n in node.indices if form.coefficient(n) != 0 and box[n][1] > 0]
    elsewhere = {n for k, f in enumerate(sink.indices) if k != axis for n in f.variables()}
    if len(summed) < 2 or elsewhere & form.variables() or injective(form, box):
        return None
    size = integer(sink.shape[axis])
    for gone in sorted(summed, key=lambda n: -box[n][1]):
        stride = abs(_coefficient(form, gone))
        if size > MAX_GROWTH * stride * (box[gone][1] + 1):
            continue
        if len(summed) == 2:
            partner = summed[1] if gone == summed[0] else summed[0]
            if stride == 1:
                return _unit_plan(node, axis, gone, partner)
            if abs(_coefficient(form, partner)) == 1:
                return _strided_plan(node, axis, gone, partner)
        elif stride == 1 and (_order_is_free(node) or gone == summed[-1]):
            return _unit_plan(node, axis, gone, None)
    return None


def _coefficient(form: Affine, name: str) -> int:
    c = form.coefficient(name)
    assert isinstance(c, int)
    return c


def _order_is_free(node: Contraction) -> bool:
    """Whether no order of the terms changes the value."""
    exact = not node.accumulator[0].is_float
    return node.monoid.name in ("max", "min") or (exact and node.monoid.name in ("sum", "prod"))


def _unit_plan(node: Contraction, axis: int, gone: str, partner: str | None) -> Plan:
    """The whole form is the new variable."""
    form = node.sinks[0].indices[axis]
    sign = _coefficient(form, gone)
    new = fresh(f"o{axis}", node.indices)
    values: dict[str, Affine | Coef] = {}
    step = partner
    if partner is not None and _runs_backwards(node, gone, partner, sign * _coefficient(form, partner)):
        step = fresh(partner, (*node.indices, new))
        values[partner] = -Affine.var(step) + (_extent(node, partner) - 1)
    rest = (form - Affine.of({gone: sign})).substitute(values)
    order = _order(node, gone, (new,), partner, step)
    return Plan(gone, (Affine.var(new) - rest) * sign, values, (), order)


def _strided_plan(node: Contraction, axis: int, gone: str, partner: str) -> Plan:
    """The partner is split into steps of the stride and a remainder."""
    form = node.sinks[0].indices[axis]
    stride, sign = abs(_coefficient(form, gone)), 1 if _coefficient(form, gone) > 0 else -1
    along = _coefficient(form, partner)
    new = fresh(f"o{axis}", node.indices)
    rest = fresh(f"r{axis}", (*node.indices, new))
    step = fresh(partner, (*node.indices, new, rest))
    steps = (_extent(node, partner) - 1) // stride + 1
    s = Affine.var(step)
    if _runs_backwards(node, gone, partner, sign * along):
        s = -s + (steps - 1)
    values: dict[str, Affine | Coef] = {partner: s * stride + Affine.var(rest)}
    order = _order(node, gone, (new, rest), partner, step)
    extra = (Constraint(Affine.var(rest), stride),)
    return Plan(gone, (Affine.var(new) - s * along) * sign, values, extra, order)


def _runs_backwards(node: Contraction, gone: str, partner: str, product: int) -> bool:
    """Whether the partner falls while `gone`, which orders the terms of a cell, rises."""
    return product > 0 and node.indices.index(gone) < node.indices.index(partner)


def _order(
    node: Contraction, gone: str, new: tuple[str, ...], partner: str | None, step: str | None
) -> tuple[str, ...]:
    """The new indices: `step` stands where the first of `gone` and `partner` stood."""
    order: list[str] = []
    for i in node.indices:
        if i not in (gone, partner):
            order.append(i)
            continue
        if step is not None and step not in order:
            order.append(step)
        if i == gone:
            order.extend(new)
    return tuple(order)


def _extent(node: Contraction, name: str) -> int:
    return integer(node.extents[node.indices.index(name)])


def _rewritten(node: Contraction, plan: Plan) -> Contraction:
    values = {**plan.values, plan.gone: plan.value}
    boxes = [Constraint(Affine.var(i).substitute(values), e) for i, e in zip(node.indices, node.extents)]
    constraints = [Constraint(c.form.substitute(values), c.bound) for c in node.constraints]
    sink = node.sinks[0]
    return replace(
        node,
        indices=plan.order,
        extents=(),
        body=tuple(substitute_indices(b, values) for b in node.body),
        sinks=(Sink(tuple(f.substitute(values) for f in sink.indices), sink.shape),),
        constraints=(*constraints, *boxes, *plan.extra),
    )
