"""Floor 2: the table of whole-tensor builtins: arity, attributes, types. Their meaning is in `evaluate.special`.

    reshape(x) {shape}               the same elements in row-major order
    gather(data, idx)                data[idx] along axis 0, shape idx.shape + data.shape[1:]; an index is clamped
    scatter(updates, idx, like)      zeros of like's shape plus, in order, updates[j] at [idx[j]]; outside is dropped
    scatter_max, scatter_min, scatter_prod    the same with another aggregation, from its identity on: -inf for max
    sort(x) {axis}                   (values, order: i32), ascending, stable, NaN last
    prng_step(state: u32[3, n]) {shape}   (new state, f32 values in [0, 1)): n Tausworthe generators side by side
    random_bits(key: u32[2], offset) {shape}    u32 values: element n is the low word of threefry(key, offset + n)
    random_bits64(key: u32[2], offset) {shape}  u64 values: element n, in row-major order, is threefry(key, offset + n)
    assert(condition) {message, code}    binds nothing; an error where an element of the condition is zero, TILE0405
                                     where no code is given
    host_call(...) {function, types} results of a function of `tilec.host_functions`, which may fail on its operands'
                                     values; types: one (dtype, size, size ...) per result

`shape` is a tuple of sizes, `axis` a non-negative integer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from tilec.affine import Poly, Size, size_text
from tilec.codes import CODES
from tilec.dtypes import BOOL, F32, I32, U32, U64, DType
from tilec.errors import Span, error
from tilec.graph import Special, TensorType
from tilec.host_functions import result_types
from tilec.monoid import Standard

Types: TypeAlias = tuple[TensorType, ...]

SCATTERS: dict[str, Standard] = {  # what each aggregates by
    "scatter": "sum",
    "scatter_max": "max",
    "scatter_min": "min",
    "scatter_prod": "prod",
}
Rule: TypeAlias = Callable[[Special, Types, Span | None], Types]


@dataclass(frozen=True, slots=True)
class SpecialEntry:
    """One whole-tensor builtin. arity None: any number. effect: not to be removed, repeated or reordered."""

    name: str
    arity: int | None
    attributes: frozenset[str]
    rule: Rule
    effect: bool = False
    optional: frozenset[str] = frozenset()  # further attributes, which may be left out


def special_type(node: Special, types: Sequence[TensorType], span: Span | None = None) -> Types:
    """Types of the results. Raises TILE0105, TILE0106, and what the single rules raise."""
    entry = SPECIALS.get(node.op)
    if entry is None:
        raise error("TILE0105", f"there is no whole-tensor operation '{node.op}'", span)
    if entry.arity is not None and entry.arity != len(types):
        raise error("TILE0106", f"'{node.op}' takes {entry.arity} operands, {len(types)} given", span)
    if not entry.attributes <= {name for name, _ in node.attributes} <= entry.attributes | entry.optional:
        names = ", ".join([*sorted(entry.attributes), *(f"perhaps {n}" for n in sorted(entry.optional))]) or "none"
        raise error("TILE0602", f"'{node.op}' has the attributes: {names}", span)
    return entry.rule(node, tuple(types), span)


def sizes_of(node: Special, name: str = "shape") -> tuple[Size, ...]:
    """A tuple-of-sizes attribute; raises TILE0602, TILE0211."""
    value = node.attribute(name)
    if not isinstance(value, tuple):
        raise error("TILE0602", f"attribute '{name}' of '{node.op}' is a tuple of sizes")
    return _sizes(node, value)


def fixed_sizes_of(node: Special, name: str = "shape") -> tuple[int, ...]:
    """The same where they must be numbers; raises TILE0210, too."""
    sizes = sizes_of(node, name)
    if open_ := [s for s in sizes if isinstance(s, Poly)]:
        text = f"the size {size_text(open_[0])} must be fixed: '{node.op}' makes numbers in their order"
        raise error("TILE0210", text)
    return tuple(s for s in sizes if isinstance(s, int))


def _sizes(node: Special, values: Sequence[object]) -> tuple[Size, ...]:
    sizes: list[Size] = []
    for size in values:
        if not isinstance(size, int | Poly):
            raise error("TILE0602", f"a size of '{node.op}' is not an integer: {size}")
        if isinstance(size, int) and size < 0:
            raise error("TILE0211", f"'{node.op}' is given the negative size {size}")
        sizes.append(size)
    return tuple(sizes)


def axis_of(node: Special, rank: int, span: Span | None = None) -> int:
    axis = node.attribute("axis")
    if not isinstance(axis, int) or not 0 <= axis < rank:
        raise error("TILE0212", f"'{node.op}': a tensor of rank {rank} has no axis {axis}", span)
    return axis


def _text(shape: tuple[Size, ...]) -> str:
    return f"[{', '.join(map(size_text, shape))}]"


def _reshape(node: Special, types: Types, span: Span | None) -> Types:
    (x,), shape = types, sizes_of(node)
    had, wanted = prod(x.shape), prod(shape)
    if had != wanted:
        open_ = isinstance(had, Poly) or isinstance(wanted, Poly)
        how = "are not for every size" if open_ else "are not"
        raise error("TILE0209", f"reshape of {_text(x.shape)} to {_text(shape)}: {had} elements {how} {wanted}", span)
    return (TensorType(x.dtype, shape),)


def _integer_indices(node: Special, index: TensorType, span: Span | None) -> None:
    if not index.dtype.is_integer:
        raise error("TILE0304", f"'{node.op}' takes integer indices, not {index.dtype.long}", span)


def _gather(node: Special, types: Types, span: Span | None) -> Types:
    data, index = types
    _integer_indices(node, index, span)
    if data.rank == 0:
        raise error("TILE0202", "gather from a tensor of rank 0", span)
    if data.shape[0] == 0 and 0 not in index.shape:
        raise error("TILE0202", "gather from an axis of size 0", span)
    return (TensorType(data.dtype, index.shape + data.shape[1:]),)


def _scatter(node: Special, types: Types, span: Span | None) -> Types:
    updates, index, like = types
    _integer_indices(node, index, span)
    wanted = index.shape + like.shape[1:]
    if like.rank == 0 or updates.shape != wanted:
        message = f"scatter of {_text(updates.shape)} by {_text(index.shape)} into {_text(like.shape)}"
        raise error("TILE0202", message, span, notes=[f"the updates' shape must be {_text(wanted)}"])
    return (TensorType(updates.dtype, like.shape),)


def _sort(node: Special, types: Types, span: Span | None) -> Types:
    axis_of(node, types[0].rank, span)
    return TensorType(types[0].dtype, types[0].shape), TensorType(I32, types[0].shape)


def _prng_step(node: Special, types: Types, span: Span | None) -> Types:
    (state,) = types
    if state.dtype != U32 or state.rank != 2 or state.shape[0] != 3 or state.shape[1] == 0:
        raise error(
            "TILE0301", f"prng_step takes a state of type u32[3, n], not {state.dtype}{_text(state.shape)}", span
        )
    return state, TensorType(F32, sizes_of(node))


def _random_bits(dtype: DType) -> Rule:
    def rule(node: Special, types: Types, span: Span | None) -> Types:
        key, offset = types
        if key.dtype != U32 or key.shape != (2,):
            raise error("TILE0301", f"{node.op} takes a key of type u32[2], not {key.dtype}{_text(key.shape)}", span)
        if not offset.dtype.is_integer or offset.dtype == BOOL or offset.shape:
            found = f"{offset.dtype}{_text(offset.shape) if offset.shape else ''}"
            raise error("TILE0301", f"the offset of {node.op} is a single integer, not {found}", span)
        return (TensorType(dtype, sizes_of(node)),)

    return rule


def _assert(node: Special, types: Types, span: Span | None) -> Types:
    if code_of(node) not in CODES:
        raise error("TILE0602", f"there is no code {code_of(node)!r}", span)
    return ()


def code_of(node: Special) -> str:
    """The code of a failed assertion."""
    return str(dict(node.attributes).get("code", "TILE0405"))


def _host_call(node: Special, types: Types, span: Span | None) -> Types:
    found = []
    results = node.attribute("types")
    for result in results if isinstance(results, tuple) else ():
        if not isinstance(result, tuple) or not result or not isinstance(result[0], DType):
            raise error("TILE0602", "'types' of host_call holds a (dtype, size, ...) per result", span)
        found.append(TensorType(result[0], _sizes(node, result[1:])))
    return result_types(str(node.attribute("function")), types, tuple(found), span)


_SHAPE = frozenset({"shape"})
SPECIALS: dict[str, SpecialEntry] = {
    e.name: e
    for e in (
        SpecialEntry("reshape", 1, _SHAPE, _reshape),
        SpecialEntry("gather", 2, frozenset(), _gather),
        *(SpecialEntry(op, 3, frozenset(), _scatter) for op in SCATTERS),
        SpecialEntry("sort", 1, frozenset({"axis"}), _sort),
        SpecialEntry("prng_step", 1, _SHAPE, _prng_step),
        SpecialEntry("random_bits", 2, _SHAPE, _random_bits(U32)),
        SpecialEntry("random_bits64", 2, _SHAPE, _random_bits(U64)),
        SpecialEntry("assert", 1, frozenset({"message"}), _assert, True, frozenset({"code"})),
        SpecialEntry("host_call", None, frozenset({"function", "types"}), _host_call),
    )
}
