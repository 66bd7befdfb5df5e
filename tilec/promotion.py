"""Floor 3: the type that operands of several types have together, by three sets of rules.

    tile     those of the Tile language: a float beats any integer, else the wider, on a tie the left one
    numpy    NumPy 2's: a type that holds both; integers beside floats count by their width; a Python number takes the
             type beside it within its category, else it is int64 or float64
    keras    Keras 3's lattice, which is JAX's: integers never widen floats, uint64 beside a signed integer is a float,
             a Python number takes the type beside it; results of several operands have no more than 32 bits

NumPy has no type for bfloat16 beside float16 or integers of 16 bits and more; here it is float32 and float64 as for
float16.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, reduce
from typing import Literal, TypeAlias, get_args

from tilec.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64, DType
from tilec.graph import TensorType
from tilec.rules import common_type

Rules: TypeAlias = Literal["tile", "numpy", "keras"]
RULES: tuple[Rules, ...] = get_args(Rules)

_Node: TypeAlias = DType | str  # "int" and "float" are Python's numbers
_ABOVE: dict[_Node, tuple[_Node, ...]] = {  # Keras's lattice: the next larger types of each
    BOOL: ("int",),
    "int": (U8, I8),
    U8: (I16, U16),
    U16: (I32, U32),
    U32: (I64, U64),
    U64: ("float",),
    I8: (I16,),
    I16: (I32,),
    I32: (I64,),
    I64: ("float",),
    "float": (BF16, F16),
    BF16: (F32,),
    F16: (F32,),
    F32: (F64,),
    F64: (),
}
_ALONE: dict[_Node, DType] = {"int": I32, "float": F32}
_NARROW = {I64: I32, U64: U32, F64: F32}


def common(types: Sequence[TensorType], rules: Rules) -> TensorType:
    """The rank-0 type of operands together; weak where all are."""
    if rules == "tile":
        return common_type(types)
    found = _numpy(types) if rules == "numpy" else _keras(types)
    return TensorType(found, (), weak=all(t.weak for t in types))


def float_of(dtype: DType, rules: Rules) -> DType:
    """The type that a function such as `sqrt` gives of one type."""
    if dtype.is_float or rules != "numpy":
        return dtype if dtype.is_float else F32
    return F16 if dtype.bits == 8 else F32 if dtype.bits == 16 else F64


def quotient(dtype: DType, rules: Rules) -> DType:
    """The type of quotients and means of one type."""
    return dtype if dtype.is_float else F64 if rules == "numpy" else F32


def total(dtype: DType, rules: Rules) -> DType:
    """The type of sums and products of elements of one type."""
    if dtype.is_float or rules == "tile":
        return dtype
    least = 64 if rules == "numpy" else 32
    if dtype.kind == "uint":
        return dtype if dtype.bits >= least else U64 if rules == "numpy" else U32
    return dtype if dtype.bits >= least else I64 if rules == "numpy" else I32


def _numpy(types: Sequence[TensorType]) -> DType:
    strong = [t.dtype for t in types if not t.weak]
    category = max(_category(t.dtype) for t in types)
    if not strong or category > max(map(_category, strong)):  # Python's numbers decide
        return _held([*strong, {0: BOOL, 1: I64, 2: F64}[category]])
    return _held(strong)


def _category(dtype: DType) -> int:
    return 2 if dtype.is_float else 0 if dtype == BOOL else 1


def _held(dtypes: Sequence[DType]) -> DType:
    """A type that holds all values of several."""
    floats = {d for d in dtypes if d.is_float}
    if not floats:
        return reduce(_integer, dtypes)
    widest = max(d.bits for d in dtypes if not d.is_float) if len(floats) < len(set(dtypes)) else 0
    least = 64 if widest >= 32 else 32 if widest == 16 or floats >= {F16, BF16} else 16
    top = max(floats, key=lambda d: d.bits)
    return top if top.bits >= least else F64 if least == 64 else F32


def _integer(a: DType, b: DType) -> DType:
    if BOOL in (a, b) or a.kind == b.kind:
        return max(a, b, key=lambda d: 0 if d == BOOL else d.bits)
    signed, unsigned = (a, b) if a.kind == "int" else (b, a)
    if signed.bits > unsigned.bits:
        return signed
    return {8: I16, 16: I32, 32: I64, 64: F64}[unsigned.bits]


def _keras(types: Sequence[TensorType]) -> DType:
    nodes = frozenset(_node(t) for t in types)
    found = _least(nodes)
    dtype = found if isinstance(found, DType) else _ALONE[found]
    return _NARROW.get(dtype, dtype)


def _node(type: TensorType) -> _Node:
    if not type.weak or type.dtype == BOOL:
        return type.dtype
    return "float" if type.dtype.is_float else "int"


@cache
def _least(nodes: frozenset[_Node]) -> _Node:
    """The least node that is not below any of these."""
    bounds = frozenset.intersection(*map(_upward, nodes))
    return next(n for n in bounds if bounds <= _upward(n))


@cache
def _upward(node: _Node) -> frozenset[_Node]:
    return frozenset({node}).union(*map(_upward, _ABOVE[node]))
