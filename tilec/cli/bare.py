"""Floor 6: types of inputs whose header gives no axes, from what the function does with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tilec.affine import Size, named_size
from tilec.dtypes import BY_NAME, F32, DType
from tilec.frontends.tile.functions import ELEMENTWISE
from tilec.frontends.tile.syntax import Assign, Call, Function, Ident, Input, Name
from tilec.frontends.tile.trees import accesses, expressions, read_names, targets, walk
from tilec.graph import TensorType


def bare_types(function: Function, known: Mapping[str, Any], others: Mapping[str, Function]) -> dict[str, TensorType]:
    """Types of bare inputs that are not `known`: those whose rank is seen.

    An input has as many axes as its accesses have indices, or the axes of the header of one of `others` to which it is
    passed, in the sizes of what is passed beside it.
    """
    bare = {i.name.text: i for i in function.inputs if i.dims is None and i.name.text not in known}
    ranks = _ranks(function)
    found = {name: _of_rank(item, ranks[name]) for name, item in bare.items() if name in ranks}
    for call in (e for s in function.body for x in expressions(s) for e in walk(x) if isinstance(e, Call)):
        if call.function.text in others:
            passed = _as_passed(call, others[call.function.text], {**known, **found})
            found |= {name: type for name, type in passed.items() if name in bare and name not in found}
    return found


def declared_dtype(item: Input) -> DType:
    """The declared type; float32 where there is none, or a generic one."""
    return BY_NAME.get(item.dtype.text, F32) if item.dtype is not None else F32


def _ranks(function: Function) -> dict[str, int]:
    """The number of axes of what is read element by element, and of what alone such a value is computed from."""
    found = {a.tensor.text: len(a.indices) for s in function.body for a in accesses(s) if a.indices}
    for statement in reversed(function.body):
        if isinstance(statement, Assign) and (rank := found.get(targets(statement)[0].text)):
            calls = (e.function.text for e in walk(statement.value) if isinstance(e, Call))
            names = list(read_names(statement))
            if len(names) == 1 and all(name in ELEMENTWISE for name in calls):
                found.setdefault(names[0], rank)
    return found


def _of_rank(item: Input, rank: int) -> TensorType:
    return TensorType(declared_dtype(item), tuple(named_size(f"{item.name.text}_{axis}") for axis in range(rank)))


def _as_passed(call: Call, called: Function, known: Mapping[str, Any]) -> dict[str, TensorType]:
    """Types of the names that a call passes on; a size of the called function that nothing known has keeps its name,
    unless that is another's."""
    passed = [(a.ident.text, i) for a, i in zip(call.args, called.inputs) if isinstance(a, Name) and i.dims]
    types = {name: type for name, type in known.items() if isinstance(type, TensorType)}
    sizes: dict[str, Size] = {}
    for name, item in passed:
        if name in types:
            sizes |= {d.text: s for d, s in zip(item.dims or (), types[name].shape) if isinstance(d, Ident)}
    taken = {str(s) for type in types.values() for s in type.shape}
    found: dict[str, TensorType] = {}
    for name, item in passed:
        for axis, dim in enumerate(item.dims or ()):
            if isinstance(dim, Ident):
                sizes.setdefault(dim.text, named_size(f"{name}_{axis}" if dim.text in taken else dim.text))
        shape = tuple(sizes[d.text] if isinstance(d, Ident) else int(d.value) for d in item.dims or ())
        found[name] = TensorType(declared_dtype(item), shape)
    return found
