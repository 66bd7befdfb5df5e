"""Floor 5: operands of the rules of promotion that the scope being traced goes by; see `tilec.promotion`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tilec.dtypes import BOOL, DType
from tilec.graph import TensorType
from tilec.promotion import Rules, common, float_of
from tilec.rules import builtin
from tilec.tracing.tensor import Tensor

Cast = Callable[[Tensor, DType], Tensor]


def promoted(op: str, args: Sequence[Tensor], rules: Rules, cast: Cast) -> tuple[tuple[Tensor, ...], DType | None]:
    """Operands of an elementwise builtin, cast so that the rules of the language change them no more, and the type of
    the result where it is another than that of the language. Weak operands adapt to what they stand beside.
    """
    rule = builtin(op, len(args)).rule
    values = args[1:] if rule == "select" else args
    if rule in ("cast", "bitcast", "raw") or all(v.type.weak for v in values):
        return tuple(args), None
    dtype = values[0].type.dtype if len(values) == 1 else _common(values, rules)
    if rule == "float":
        dtype = float_of(dtype, rules)
    found = tuple(v if v.type.weak or v.type.dtype == dtype else cast(v, dtype) for v in values)
    counted = rule in ("arithmetic", "shift") and dtype == BOOL
    return (*args[: len(args) - len(values)], *found), BOOL if counted else None


def _common(values: Sequence[Tensor], rules: Rules) -> DType:
    return common([TensorType(v.type.dtype, (), v.type.weak) for v in values], rules).dtype
