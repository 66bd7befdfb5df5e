"""Floor 5: optimizers as pairs of pure functions over trees of parameters.

`adam(0.001)` is an `Optimizer`: `init(params)` gives its state, `update(params, gradients, state)` new parameters and a
new state. Inside a compiled function they become part of it; on arrays they are compiled and run.

A rate is a number, a scalar tensor, or a function of the number of updates done before, such as those of
`tilec.ops.schedules`, which are computed in the type that a parameter is updated in: float64, or float32. Parameters of
16 bits have a state in float32, are updated in float32, and rounded once.

Epsilons, and the decay of `rmsprop`, are torch's; Keras has 1e-7, and 0.9. Epsilon is added to a root, not below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tilec.dtypes import F32, DType
from tilec.errors import error
from tilec.numpy.axes import number
from tilec.numpy.creation import zeros_like
from tilec.numpy.elementwise import expm1, maximum, sign, sqrt
from tilec.ops.schedules import rate_at
from tilec.rules import shape_text
from tilec.runtime import as_array, type_of
from tilec.tracing import trees
from tilec.tracing.dispatch import lift
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.jit import jit
from tilec.tracing.place import located
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import current

Rate: TypeAlias = Any  # a number, a scalar tensor, or a function of the number of updates
Slots: TypeAlias = dict[str, Any]
Rule: TypeAlias = Callable[[Tensor, Tensor, dict[str, Tensor], "Moment"], tuple[Any, dict[str, Any]]]


class OptimizerState(NamedTuple):
    """The number of updates done, int32, and trees like the parameters by name: of moments, say."""

    step: Any
    slots: Slots


@dataclass(frozen=True, slots=True)
class Optimizer:
    """Two functions: `init(params)` returns a state, `update(params, gradients, state)` the pair (params, state).

    `update` raises TILE0305 where the trees differ in structure, TILE0504 where a gradient has another shape than its
    parameter; both raise TILE0301 of a parameter that is not of floats.
    """

    init: Callable[[Any], OptimizerState]
    update: Callable[[Any, Any, OptimizerState], tuple[Any, OptimizerState]]


@dataclass(frozen=True, slots=True)
class Moment:
    """What an update has in common for all parameters: the rate, and the number of the update, from 1."""

    rate: Any
    count: Any

    def seen(self, decay: float, dtype: DType) -> Any:
        """1 - decay^count: what the weights of an average that began at 0 add up to; accurate where that is little."""
        return -expm1(as_dtype(self.count, dtype) * log(decay)) if decay else 1.0


def optimizer(rate: Rate, slots: Sequence[str], rule: Rule) -> Optimizer:
    """An optimizer from its rule for one parameter: (parameter, gradient, its slots, moment) -> (step, its new slots).

    The parameter is lowered by the rate times the step. Slots begin as zeros, in float32 or float64.
    """
    if isinstance(rate, np.generic):
        rate = rate.item()
    if not callable(rate) and not isinstance(rate, Tensor):
        number(rate, "a rate")

    def init(params: Any) -> OptimizerState:
        with located():
            leaves, structure = trees.flatten(params)
            _check(leaves, structure)
            state = {name: trees.unflatten(structure, [_zeros(p) for p in leaves]) for name in slots}
            return OptimizerState(np.zeros((), np.int32), state)

    def update(params: Any, gradients: Any, state: OptimizerState) -> tuple[Any, OptimizerState]:
        with located():
            leaves, structure = trees.flatten(params)
            _check(leaves, structure)
            tensors = list(map(lift, leaves))
            slopes = _like(gradients, structure, "the gradients")
            kept = _slots(state, slots, structure)
            step = lift(state.step)
            types = dict.fromkeys(_wide(p.type.dtype) for p in tensors)
            moments = {dtype: Moment(rate_at(rate, step, dtype), step + 1) for dtype in types}
            found = [
                _updated(p, g, {name: lift(kept[name][k]) for name in slots}, moments[_wide(p.type.dtype)], rule)
                for k, (p, g) in enumerate(zip(tensors, slopes, strict=True))
            ]
            new = {name: trees.unflatten(structure, [s[name] for _, s in found]) for name in slots}
            return trees.unflatten(structure, [p for p, _ in found]), OptimizerState(step + 1, new)

    return Optimizer(init, jit(update))


def _updated(param: Tensor, gradient: Any, slots: dict[str, Tensor], moment: Moment, rule: Rule) -> Any:
    """A parameter and its slots after an update, in the types they had."""
    slope = lift(gradient)
    if slope.type.shape != param.type.shape:
        shapes = shape_text(slope.type.shape), shape_text(param.type.shape)
        raise error("TILE0504", f"a gradient has shape {shapes[0]}, its parameter {shapes[1]}")
    dtype = _wide(param.type.dtype)
    wide = as_dtype(param, dtype)
    step, new = rule(wide, as_dtype(slope, dtype), slots, moment)
    moved = as_dtype(wide - as_dtype(step * moment.rate, dtype), param.type.dtype)
    return moved, {name: as_dtype(value, slots[name].type.dtype) for name, value in new.items()}


def _wide(dtype: DType) -> DType:
    return F32 if dtype.bits < 32 else dtype


def _check(leaves: Sequence[Any], structure: Any) -> None:
    """Raises TILE0301 of a parameter that is not of floats."""
    types = [type_of(as_array(None, p)) for p in leaves] if current() is None else [lift(p).type for p in leaves]
    for path, type in zip(trees.paths(structure), types, strict=True):
        if type is None or not type.dtype.is_float:
            text = f"the parameter {trees.path_text(path)!r} is not of floats"
            raise error("TILE0301", text, help="trees of parameters hold what is trained; keep the rest beside them")


def _zeros(param: Any) -> Any:
    if current() is not None:
        return zeros_like(param, dtype=_wide(lift(param).type.dtype))
    array = as_array(None, param)
    type = type_of(array)
    assert type is not None
    return np.zeros(array.shape, _wide(type.dtype).numpy)


def _slots(state: Any, names: Sequence[str], structure: Any) -> dict[str, list[Any]]:
    """The leaves of each slot; raises TILE0511 of what is no state of this optimizer."""
    if not isinstance(state, OptimizerState) or set(state.slots) != set(names):
        kind = f"with {sorted(state.slots)}" if isinstance(state, OptimizerState) else f"but a {type(state).__name__}"
        raise error(
            "TILE0511", f"a state with {sorted(names)} is updated, not one {kind}", help="init(params) makes it"
        )
    return {name: _like(state.slots[name], structure, f"the slot {name!r}") for name in names}


def _like(tree: Any, structure: Any, what: str) -> list[Any]:
    """The leaves of a tree that has the structure of the parameters."""
    leaves, own = trees.flatten(tree)
    if own != structure:
        texts = trees.structure_text(own), trees.structure_text(structure)
        raise error("TILE0305", f"{what} have the structure {texts[0]}, the parameters {texts[1]}")
    return leaves


def sgd(rate: Rate = 0.01, *, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> Optimizer:
    """Gradient descent, with the heavy ball of Polyak (1964) or the look-ahead of Nesterov (1983).

    velocity = momentum * velocity + gradient is the step; with `nesterov` it is momentum * velocity + gradient. To the
    gradient, weight_decay * parameter is added. Raises TILE0210 of what is no number.
    """
    share, decay = float(number(momentum, "a momentum")), float(number(weight_decay, "a decay"))

    def rule(p: Any, g: Any, slots: Any, moment: Moment) -> Any:
        g = g + p * decay if decay else g
        if not share:
            return g, {}
        velocity = slots["velocity"] * share + g
        return velocity * share + g if nesterov else velocity, {"velocity": velocity}

    return optimizer(rate, ("velocity",) if share else (), rule)


def adam(rate: Rate = 0.001, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimizer:
    """The mean of gradients over the root of the mean of their squares (Kingma, Ba 2014).

    Means are exponential, corrected for their start at 0. Raises TILE0210 of what is no share.
    """
    return adamw(rate, beta1=beta1, beta2=beta2, epsilon=epsilon, weight_decay=0.0)


def adamw(
    rate: Rate = 0.001,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimizer:
    """`adam` whose parameters also shrink by rate * weight_decay (Loshchilov, Hutter 2017)."""
    first, second = _share(beta1, "beta1"), _share(beta2, "beta2")
    small, decay = float(number(epsilon, "epsilon")), float(number(weight_decay, "a decay"))

    def rule(p: Any, g: Any, slots: Any, moment: Moment) -> Any:
        seen = [moment.seen(share, p.type.dtype) for share in (first, second)]
        mean = slots["mean"] * first + g * (1 - first)
        variance = slots["variance"] * second + g * g * (1 - second)
        step = mean / seen[0] / (sqrt(variance / seen[1]) + small)
        return step + p * decay if decay else step, {"mean": mean, "variance": variance}

    return optimizer(rate, ("mean", "variance"), rule)


def rmsprop(
    rate: Rate = 0.001, *, decay: float = 0.99, epsilon: float = 1e-8, momentum: float = 0.0, centered: bool = False
) -> Optimizer:
    """The gradient over the root of the mean of its squares (Tieleman, Hinton 2012), or of its variance (`centered`).

    The mean is exponential and begins at 0. With a momentum, steps are added up as in `sgd`. Raises TILE0210 of what is
    no share.
    """
    share, small = _share(decay, "decay"), float(number(epsilon, "epsilon"))
    kept = float(number(momentum, "a momentum"))
    slots = ["square", *(["mean"] if centered else []), *(["velocity"] if kept else [])]

    def rule(p: Any, g: Any, slots: Any, moment: Moment) -> Any:
        new = {"square": slots["square"] * share + g * g * (1 - share)}
        power = new["square"]
        if centered:
            new["mean"] = slots["mean"] * share + g * (1 - share)
            power = maximum(power - new["mean"] * new["mean"], 0.0)  # which rounding may leave below 0
        step = g / (sqrt(power) + small)
        if kept:
            step = new["velocity"] = slots["velocity"] * kept + step
        return step, new

    return optimizer(rate, slots, rule)


def adagrad(rate: Rate = 0.01, *, epsilon: float = 1e-10, weight_decay: float = 0.0) -> Optimizer:
    """The gradient over the root of the sum of its squares (Duchi et al. 2011). Raises TILE0210."""
    small, decay = float(number(epsilon, "epsilon")), float(number(weight_decay, "a decay"))

    def rule(p: Any, g: Any, slots: Any, moment: Moment) -> Any:
        g = g + p * decay if decay else g
        total = slots["square"] + g * g
        return g / (sqrt(total) + small), {"square": total}

    return optimizer(rate, ("square",), rule)


def lion(rate: Rate = 0.0001, *, beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 0.0) -> Optimizer:
    """The sign of a mean of gradients, as the step (Chen et al. 2023). Raises TILE0210 of what is no share."""
    first, second = _share(beta1, "beta1"), _share(beta2, "beta2")
    decay = float(number(weight_decay, "a decay"))

    def rule(p: Any, g: Any, slots: Any, moment: Moment) -> Any:
        step = sign(slots["mean"] * first + g * (1 - first))
        return step + p * decay if decay else step, {"mean": slots["mean"] * second + g * (1 - second)}

    return optimizer(rate, ("mean",), rule)


def _share(value: Any, what: str) -> float:
    found = float(number(value, what))
    if not 0 <= found < 1:
        raise error("TILE0210", f"{what} is a number in [0, 1), not {value!r}")
    return found
