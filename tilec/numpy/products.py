"""Floor 5: sums of products, each a contraction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL, I32
from tilec.errors import error
from tilec.expr import Expr
from tilec.graph import TensorType
from tilec.numpy.axes import axes_of, whole
from tilec.numpy.shapes import reshape
from tilec.rules import broadcast, call, cast, common_type, shape_text
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.place import located
from tilec.tracing.tensor import Tensor


@operation
def matmul(x1: Any, x2: Any, /) -> Any:
    """The matrix product of the last two axes, with broadcasting of the others; a vector is a row, or a column."""
    a, b = lift(x1), lift(x2)
    if a.ndim == 0 or b.ndim == 0:
        raise error("TILE0202", "matmul takes tensors of rank 1 or more; multiply numbers with *")
    first, second = a.type.shape, b.type.shape
    left, right = (1, *first) if a.ndim == 1 else first, (*second, 1) if b.ndim == 1 else second
    if left[-1] != right[-2]:
        text = f"shapes {shape_text(first)} and {shape_text(second)}: {left[-1]} columns, {right[-2]} rows"
        raise error("TILE0203", text)
    batch = broadcast([left[:-2], right[:-2]])
    names, forms = variables(len(batch))
    m, n, k = (Affine.var(v) for v in "mnk")
    body = _product(
        [
            element(a, [*_aligned(forms, left[:-2]), m, k][a.ndim == 1 :] if a.ndim > 1 else [k]),
            element(b, [*_aligned(forms, right[:-2]), k, n] if b.ndim > 1 else [k]),
        ]
    )
    sink = [*forms, *([m] if a.ndim > 1 else []), *([n] if b.ndim > 1 else [])]
    shape = [*batch, *([left[-2]] if a.ndim > 1 else []), *([right[-1]] if b.ndim > 1 else [])]
    used = [*names, *("m" if a.ndim > 1 else ""), *("n" if b.ndim > 1 else ""), "k"]
    return contraction("sum", used, body, sink, shape, stem="matmul")


def _aligned(forms: Sequence[Affine], shape: Sequence[Size]) -> list[Affine]:
    """Index forms of an operand's batch axes: 0 along those of size 1."""
    own = forms[len(forms) - len(shape) :]
    return [Affine.constant(0) if n == 1 else f for f, n in zip(own, shape, strict=True)]


def _product(factors: Sequence[Expr]) -> Expr:
    """The product, counted in int32 where all factors are bool."""
    if all(f.dtype == BOOL for f in factors):
        factors = [cast(f, I32) for f in factors]
    return reduce(lambda a, b: call("mul", a, b), factors)


@operation
def tensordot(x1: Any, x2: Any, /, axes: Any = 2) -> Any:
    """Sums of products over axes of both: the last of x1 and the first of x2, or two lists of axes."""
    a, b = lift(x1), lift(x2)
    if isinstance(axes, tuple | list):
        if len(axes) != 2:
            raise error("TILE0204", f"tensordot takes a pair of lists of axes, not {axes!r}")
        first, second = axes_of(axes[0], a.ndim), axes_of(axes[1], b.ndim)
    else:
        count = whole(axes, "the number of axes")
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise error("TILE0212", f"tensors of rank {a.ndim} and {b.ndim} do not have {count} axes in common")
        first, second = tuple(range(a.ndim - count, a.ndim)), tuple(range(count))
    if len(first) != len(second):
        raise error("TILE0204", f"{len(first)} axes are paired with {len(second)}")
    if [a.type.shape[k] for k in first] != [b.type.shape[k] for k in second]:
        shapes = shape_text(a.type.shape), shape_text(b.type.shape)
        raise error("TILE0203", f"axes {first} of {shapes[0]} and {second} of {shapes[1]} differ in size")
    left = [f"a{k}" for k in range(a.ndim)]
    right = [left[first[second.index(k)]] if k in second else f"b{k}" for k in range(b.ndim)]
    kept = [n for k, n in enumerate(left) if k not in first] + [n for k, n in enumerate(right) if k not in second]
    return _contracted([(a, left), (b, right)], kept)


@operation
def outer(x1: Any, x2: Any, /) -> Any:
    """All products of an element of x1 and one of x2."""
    a, b = reshape(x1, -1), reshape(x2, -1)
    return _contracted([(a, ["i"]), (b, ["j"])], ["i", "j"])


@operation
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Sums of products along one axis, with broadcasting."""
    from tilec.numpy.elementwise import multiply
    from tilec.numpy.reductions import sum

    return sum(multiply(x1, x2), axis)


@operation
def einsum_of(operands: Sequence[Any], /, subscripts: str) -> Any:
    """Einstein's sum of a sequence of tensors; see `einsum`."""
    tensors = [lift(t) for t in operands]
    terms, result = _subscripts(subscripts, [t.ndim for t in tensors])
    pending = [(t, list(term)) for t, term in zip(tensors, terms, strict=True)]
    while len(pending) > 2:
        pending = _contract_pair(pending, result)
    return _contracted(pending, list(result))


def einsum(subscripts: str, /, *operands: Any) -> Any:
    """Einstein's sum: `einsum("ij,jk->ik", a, b)`; several operands in an order that NumPy's path finder chooses."""
    with located():
        if not isinstance(subscripts, str):
            raise error("TILE0511", f"einsum begins with its subscripts, such as 'ij,jk->ik', not {subscripts!r}")
    return einsum_of(operands, subscripts=subscripts)


def _subscripts(text: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The index letters of each operand and of the result; an ellipsis stands for upper-case ones that are free."""
    inputs, arrow, output = text.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ranks):
        raise error("TILE0106", f"einsum of {len(ranks)} operands by {len(terms)} terms: {text!r}")
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in text]
    longest = max((r - len(t.replace("...", "")) for t, r in zip(terms, ranks) if "..." in t), default=0)
    free = "".join(spare[:longest])
    for k, (term, rank) in enumerate(zip(terms, ranks)):
        count = rank - len(term.replace("...", ""))
        if "..." in term:
            terms[k] = term.replace("...", free[len(free) - max(count, 0) :])
        if len(terms[k]) != rank or not (terms[k].isalpha() or not terms[k]):
            raise error("TILE0202", f"the term {term!r} of einsum stands for a tensor of rank {rank}")
    letters = "".join(terms)
    if not arrow:
        output = free + "".join(sorted(c for c in set(letters) - set(free) if letters.count(c) == 1))
    output = output.replace("...", free)
    if len(set(output)) != len(output) or not set(output) <= set(letters):
        raise error("TILE0101", f"the result {output!r} of einsum names an index twice, or one that no operand has")
    return terms, output


def _contract_pair(pending: list[tuple[Tensor, list[str]]], result: str) -> list[tuple[Tensor, list[str]]]:
    """One step of the order that NumPy chooses: two operands replaced by their contraction."""
    shapes = [np.broadcast_to(np.zeros(()), [_likely(n) for n in t.type.shape]) for t, _ in pending]
    text = ",".join("".join(names) for _, names in pending) + "->" + result
    first, second = sorted(np.einsum_path(text, *shapes, optimize=("greedy", 1e18))[0][1])[:2]
    a, b = pending[first], pending[second]
    rest = [p for k, p in enumerate(pending) if k not in (first, second)]
    needed = {n for _, names in rest for n in names} | set(result)
    kept = [n for n in dict.fromkeys([*a[1], *b[1]]) if n in needed]
    return [*rest, (_contracted([a, b], kept), kept)]


def _likely(size: Size) -> int:
    """A number for a size; the order of products must not depend on the batch."""
    return size if isinstance(size, int) else 64


def _contracted(operands: Sequence[tuple[Tensor, list[str]]], kept: list[str]) -> Tensor:
    """The sum of products of operands with named axes, over all names that are not kept."""
    sizes: dict[str, Size] = {}
    for tensor, names in operands:
        for name, size in zip(names, tensor.type.shape, strict=True):
            if sizes.setdefault(name, size) != size:
                raise error("TILE0208", f"index {name!r} ranges over different sizes: {sizes[name]} and {size}")
    dtype = common_type([TensorType(t.type.dtype, (), t.type.weak) for t, _ in operands]).dtype
    factors = [cast(element(t, [Affine.var(n) for n in names]), dtype) for t, names in operands]
    indices = [*kept, *(n for n in sizes if n not in kept)]
    return contraction("sum", indices, _product(factors), [Affine.var(n) for n in kept], [sizes[n] for n in kept])
