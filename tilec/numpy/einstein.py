"""Floor 5: Einstein's sum: any number of operands, contracted in the order that opt_einsum's path finder chooses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import chain
from typing import Any, TypeAlias

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL, I32
from tilec.errors import error
from tilec.expr import Expr
from tilec.numpy.axes import whole
from tilec.numpy.subscripts import Labels, Names, listed_labels, named, text_labels
from tilec.rules import call, cast
from tilec.tracing.contraction import contraction, element
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import common_of
from tilec.tracing.place import located
from tilec.tracing.tensor import Tensor

Operand: TypeAlias = tuple[Tensor, Names]  # with a name for each axis
Path: TypeAlias = Sequence[Sequence[int]]
_LIKELY = 64  # an open size, for the order of products: it must not depend on the batch


def einsum(*arguments: Any, optimize: Any = True) -> Any:
    """Einstein's sum: `einsum("ij,jk->ik", a, b)`, or `einsum(a, [0, 1], b, [1, 2], [0, 2])`.

    The products of elements of all operands whose indices of one name are equal, summed over the indices that the
    result does not have. An axis of size 1 fits to every size. `...` stands for axes without names. Without a result,
    it has the indices that occur once, in order. The sum of bools counts, in int32.

    optimize: True for the order of products that opt_einsum finds, the name of one of its path finders ("greedy",
    "optimal", ...), a path, or False for a single sum over all operands. Raises TILE0101, TILE0106, TILE0202, TILE0208,
    TILE0511.
    """
    with located():
        if not arguments:
            raise error("TILE0501", "einsum takes subscripts and operands")
        if isinstance(arguments[0], str):
            labels, operands = text_labels(arguments[0]), list(arguments[1:])
        else:
            labels, operands = listed_labels(arguments)
    return einsum_of(operands, labels=labels, optimize=_hashable(optimize))


@operation
def einsum_of(operands: Sequence[Any], /, labels: Labels, optimize: Any = True) -> Any:
    """Einstein's sum of a sequence of tensors; see `einsum`."""
    tensors = [lift(t) for t in operands]
    terms, result = named(labels, [t.ndim for t in tensors])
    pending: list[Operand] = list(zip(tensors, terms, strict=True))
    _sizes(pending)
    if optimize is not False and len(pending) > 1:
        pending = _alone(pending, result)
        for step in _path(pending, result, optimize):
            pending = _contract(pending, step, result)
    ((last, names),) = pending if len(pending) == 1 else _contract(pending, range(len(pending)), result)
    return last if names == result else contracted([(last, names)], result)


def _hashable(optimize: Any) -> Any:
    """A path of lists as one of tuples; NumPy's begins with a word."""
    if not isinstance(optimize, list | tuple):
        return optimize
    steps = optimize[1:] if optimize and optimize[0] == "einsum_path" else optimize
    if any(not isinstance(step, list | tuple) for step in steps):
        raise error("TILE0511", f"a path of einsum is a list of tuples of positions, not {optimize!r}")
    return tuple(tuple(whole(k, "a position in a path") for k in step) for step in steps)


def _alone(pending: Sequence[Operand], result: Names) -> list[Operand]:
    """Each operand summed over the indices that nothing else has, which costs least."""
    count = Counter(chain.from_iterable(set(names) for _, names in pending))
    found = []
    for tensor, names in pending:
        kept = tuple(n for n in dict.fromkeys(names) if n in result or count[n] > 1)
        found.append((tensor, names) if kept == names else (contracted([(tensor, names)], kept), kept))
    return found


def _path(pending: Sequence[Operand], result: Names, optimize: Any) -> Path:
    """Which operands each step contracts, by position; the product takes the last place."""
    if isinstance(optimize, tuple):
        return optimize
    if len(pending) < 3:
        return [tuple(range(len(pending)))]
    from opt_einsum.paths import get_path_fn

    try:
        finder = get_path_fn("auto" if optimize is True else optimize)
    except (AttributeError, KeyError):
        raise error("TILE0511", f"opt_einsum has no path finder {optimize!r}") from None
    sizes = {n: size if isinstance(size, int) else _LIKELY for n, size in _sizes(pending).items()}
    path: Path = finder([frozenset(names) for _, names in pending], frozenset(result), sizes, None)
    return path


def _contract(pending: Sequence[Operand], step: Iterable[int], result: Names) -> list[Operand]:
    """The operands without those of a step, and their product; raises TILE0511."""
    places = sorted(set(step))
    if not places or not 0 <= places[0] <= places[-1] < len(pending):
        raise error("TILE0511", f"a step of the path {tuple(places)}: there are {len(pending)} operands")
    chosen = [pending[k] for k in places]
    rest = [operand for k, operand in enumerate(pending) if k not in places]
    needed = set(result).union(*(names for _, names in rest))
    kept = tuple(n for n in dict.fromkeys(chain.from_iterable(names for _, names in chosen)) if n in needed)
    kept = kept if rest else result
    return [*rest, (contracted(chosen, kept), kept)]


def contracted(operands: Sequence[Operand], kept: Sequence[str]) -> Tensor:
    """The sum of products of operands with named axes, over all names that are not kept; raises TILE0208."""
    sizes = _sizes(operands)
    dtype = common_of([t.type for t, _ in operands])
    factors = [cast(element(t, _forms(t, names, sizes)), dtype) for t, names in operands]
    indices = [*kept, *(n for n in sizes if n not in kept)]
    forms, shape = [Affine.var(n) for n in kept], [sizes[n] for n in kept]
    if len(factors) == 1 and len(indices) == len(kept):
        return contraction("assign", indices, factors[0], forms, shape, stem="einsum")
    return contraction("sum", indices, product(factors), forms, shape, stem="einsum")


def _sizes(operands: Sequence[Operand]) -> dict[str, Size]:
    """The size of each name, 1 only where it is 1 everywhere; raises TILE0208."""
    sizes: dict[str, Size] = {}
    for tensor, names in operands:
        for name, size in zip(names, tensor.type.shape, strict=True):
            if sizes.setdefault(name, size) in (1, size):
                sizes[name] = size
            elif size != 1:
                raise error("TILE0208", f"index {name!r} ranges over different sizes: {sizes[name]} and {size}")
    return sizes


def _forms(tensor: Tensor, names: Names, sizes: dict[str, Size]) -> list[Affine]:
    """Index forms of an operand's axes: 0 along one of size 1 beside others."""
    pairs = zip(names, tensor.type.shape, strict=True)
    return [Affine.constant(0) if size == 1 != sizes[n] else Affine.var(n) for n, size in pairs]


def product(factors: Sequence[Expr]) -> Expr:
    """The product, counted in int32 where all factors are bool."""
    if all(f.dtype == BOOL for f in factors):
        factors = [cast(f, I32) for f in factors]
    return reduce(lambda a, b: call("mul", a, b), factors)
