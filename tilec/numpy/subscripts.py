"""Floor 5: what einsum's subscripts say: the axes of each operand and of the result, by name.

Subscripts are text, `"ij,jk->ik"`, or a list of labels behind each operand, `einsum(a, [0, 1], b, [1, 2], [0, 2])`. An
ellipsis stands for axes without labels, aligned at the last. Without a result, that is these axes and then, in the
order of labels, those that occur once. Names are such that contractions can have them for indices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from types import EllipsisType
from typing import Any, TypeAlias

from tilec.errors import error
from tilec.numpy.axes import whole

Label: TypeAlias = str | int | EllipsisType
Names: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of the axes of each operand, and of the result where they are given."""

    terms: tuple[tuple[Label, ...], ...]
    result: tuple[Label, ...] | None


def text_labels(text: str) -> Labels:
    """Labels written as text; raises TILE0511."""
    inputs, arrow, output = text.replace(" ", "").partition("->")
    terms = tuple(_characters(term, text) for term in inputs.split(","))
    return Labels(terms, _characters(output, text) if arrow else None)


def listed_labels(arguments: Sequence[Any]) -> tuple[Labels, list[Any]]:
    """Labels written as a list behind each operand, and the operands; raises TILE0511."""
    pairs = len(arguments) // 2
    if not pairs or any(not _is_list(given) for given in [*arguments[1 : 2 * pairs : 2], *arguments[2 * pairs :]]):
        help = "or its operands, each with a list of labels behind it"
        raise error("TILE0511", "einsum begins with its subscripts, such as 'ij,jk->ik'", help=help)
    terms = tuple(_integers(given) for given in arguments[1 : 2 * pairs : 2])
    result = _integers(arguments[-1]) if len(arguments) % 2 else None
    return Labels(terms, result), list(arguments[: 2 * pairs : 2])


def named(labels: Labels, ranks: Sequence[int]) -> tuple[list[Names], Names]:
    """Names of the axes of operands of these ranks, and of the result; raises TILE0101, TILE0106, TILE0202."""
    if len(labels.terms) != len(ranks):
        raise error("TILE0106", f"einsum of {len(ranks)} operands by {len(labels.terms)} terms")
    known = sorted(set(chain(*labels.terms)) - {...}, key=lambda label: (isinstance(label, str), label))
    names = {label: _name(label) for label in known}
    free = tuple(f"e{k}" for k in range(max(map(_unlabelled, labels.terms, ranks), default=0)))
    terms = [_expanded(term, names, free, rank) for term, rank in zip(labels.terms, ranks, strict=True)]
    if labels.result is not None:
        return terms, _result(labels.result, names, free)
    count = Counter(chain(*labels.terms))
    return terms, (*free, *(names[label] for label in known if count[label] == 1))


def _characters(term: str, text: str) -> tuple[Label, ...]:
    """The labels of a term, an ellipsis for three dots."""
    parts = term.split("...")
    letters = "".join(parts)
    if len(parts) > 2 or any(c.isascii() and not c.isalpha() for c in letters):
        help = "a label is one letter, '...' stands for any number of axes, once in a term"
        raise error("TILE0511", f"einsum cannot read the subscripts {text!r}", help=help)
    return tuple(parts[0]) if len(parts) == 1 else (*parts[0], ..., *parts[1])


def _is_list(given: Any) -> bool:
    return isinstance(given, list | tuple | range) or (hasattr(given, "tolist") and getattr(given, "ndim", 0) == 1)


def _integers(given: Any) -> tuple[Label, ...]:
    labels = tuple(label if label is ... or isinstance(label, str) else whole(label, "a label") for label in given)
    if labels.count(...) > 1:
        raise error("TILE0511", f"labels {list(given)} have more than one ellipsis")
    return labels


def _name(label: Any) -> str:
    """A letter as it is; other labels as names that nothing else has."""
    if isinstance(label, str) and len(label) == 1:
        return label if label.isascii() else f"u{ord(label):x}"
    return f"i{label}" if isinstance(label, int) and label >= 0 else "l" + str(label).encode().hex()


def _unlabelled(term: Sequence[Label], rank: int) -> int:
    """The number of axes that an ellipsis stands for; raises TILE0202."""
    count = rank - (len(term) - term.count(...))
    if count < 0 or (count and ... not in term):
        shown = "".join("..." if label is ... else str(label) for label in term)
        raise error("TILE0202", f"the term {shown!r} of einsum stands for a tensor of rank {rank}")
    return count


def _expanded(term: Sequence[Label], names: dict[Label, str], free: Names, rank: int) -> Names:
    own = free[len(free) - _unlabelled(term, rank) :]
    return tuple(chain.from_iterable(own if label is ... else (names[label],) for label in term))


def _result(labels: Sequence[Label], names: dict[Label, str], free: Names) -> Names:
    if unknown := [label for label in labels if label is not ... and label not in names]:
        raise error("TILE0101", f"no operand of einsum has the index {unknown[0]!r} of its result")
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise error("TILE0101", f"the result of einsum names {twice[0]!r} twice")
    if free and ... not in labels:
        help = "write '...' in the result, too, or sum over these axes afterwards"
        raise error("TILE0202", f"the result of einsum leaves out the {len(free)} axes of an ellipsis", help=help)
    return tuple(chain.from_iterable(free if label is ... else (names[label],) for label in labels))
