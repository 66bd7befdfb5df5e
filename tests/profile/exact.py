"""Costs by brute force: every iteration is walked, every element noted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from tilec.affine import Affine
from tilec.builtins import BUILTINS
from tilec.dtypes import DType
from tilec.expr import Call, Expr, Read
from tilec.loops import Block, For, If, Kernel, Let, Store
from tilec.measure.costs import Cost, number

_FREE = ("ident", "neg", "abs")
_RULES = ("arithmetic", "order", "rounding", "float", "raw")


def exact_cost(kernel: Kernel) -> Cost | None:
    """The cost of a launch; None for kernels whose memory or time depends on data."""
    walker = _Walker()
    try:
        walker.block(kernel.body, {})
    except NotImplementedError:
        return None
    sizes = {p.buffer.name: p.buffer.dtype.bytes for p in kernel.params}
    read, written = (
        sum(len(places) * sizes[name] for name, places in touched.items() if name in sizes)
        for touched in (walker.reads, walker.writes)
    )
    return Cost({d: n for d, n in walker.flops.items() if n}, read, written)


class _Walker:
    def __init__(self) -> None:
        self.flops: Counter[DType] = Counter()
        self.reads: dict[str, set[tuple[int, ...]]] = defaultdict(set)
        self.writes: dict[str, set[tuple[int, ...]]] = defaultdict(set)

    def block(self, block: Block, point: Mapping[str, int]) -> None:
        for stmt in block:
            match stmt:
                case For(index=index, extent=extent):
                    for i in range(number(extent)):
                        self.block(stmt.body, {**point, index: i})
                case If(conditions=conditions):
                    if all(value(c, point) >= 0 for c in conditions):
                        self.block(stmt.body, point)
                case Let(value=expr):
                    self.expr(expr, point)
                case Store():
                    self.expr(stmt.value, point)
                    self.writes[stmt.buffer].add(place(stmt.indices, point))
                    if stmt.monoid is not None and stmt.monoid.name != "assign":
                        self.reads[stmt.buffer].add(place(stmt.indices, point))
                        for combine in stmt.monoid.combine:
                            self.expr(combine, point)
                case _ if type(stmt).__name__ == "Alloc":
                    pass
                case _:
                    raise NotImplementedError

    def expr(self, expr: Expr, point: Mapping[str, int]) -> None:
        for node in {id(n): n for n in _walk(expr)}.values():
            if isinstance(node, Read):
                self.reads[node.access.tensor].add(place(node.access.indices, point))
            elif isinstance(node, Call) and node.dtype.is_float:
                counted = BUILTINS[node.op].rule in _RULES and node.op not in _FREE
                self.flops[node.dtype] += counted * (2 if node.op == "fma" else 1)


def _walk(expr: Expr) -> Iterator[Expr]:
    yield expr
    if isinstance(expr, Call):
        for argument in expr.args:
            yield from _walk(argument)


def value(form: Affine, point: Mapping[str, int]) -> int:
    return number(form.const) + sum(number(c) * point[v] for v, c in form.terms)


def place(indices: tuple[Affine | Expr, ...], point: Mapping[str, int]) -> tuple[int, ...]:
    if not all(isinstance(i, Affine) for i in indices):
        raise NotImplementedError
    return tuple(value(i, point) for i in indices if isinstance(i, Affine))
