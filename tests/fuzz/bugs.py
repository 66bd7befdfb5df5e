"""Compiler bugs, planted one at a time: the fuzzer must find each.

A bug changes the IR between two stages, as a wrong pass would: `graph` bugs after the Graph passes (the mutant is
compiled as usual), `loops` bugs after scheduling (the mutant runs on the Loops evaluator, which reports an access out
of bounds instead of corrupting memory).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from tilec import pipeline
from tilec.affine import Affine
from tilec.dtypes import I8, I32
from tilec.evaluate.loops import evaluate_program
from tilec.expr import Access, Call, Const, Expr, IndexValue, Read, transform
from tilec.graph import Apply, Contraction, Graph, Let, Sink
from tilec.loops import For, If, Kernel, Stmt, Store, map_exprs, rewrite
from tilec.monoid import Monoid, identity, standard

Array = np.ndarray[Any, np.dtype[Any]]
Level = Literal["graph", "loops"]
ExprChange: TypeAlias = Callable[[Expr], Expr]
StmtChange: TypeAlias = Callable[[Stmt], tuple[Stmt, ...]]


@dataclass(frozen=True, slots=True)
class Bug:
    name: str
    level: Level
    mutate: Callable[[Any], Any]


class Unaffected(Exception):
    """The bug does not change this program: there is nothing to find in it."""


def execute(bug: Bug, graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Runs a graph through a compiler that has the bug; raises Unaffected where the bug changes nothing."""
    optimised = pipeline.optimise(graph)
    target = pipeline.resolve_target("llvm")
    if bug.level == "graph":
        mutant = bug.mutate(optimised)
        if mutant == optimised:
            raise Unaffected
        program = pipeline.lower_graph(mutant, target)
        built = pipeline.backend("llvm").build(program, target, {})
        types = graph.types()
        results = [np.zeros([int(s) for s in types[r].shape], types[r].dtype.numpy) for r in graph.results]  # type: ignore[arg-type]
        built([np.array(inputs[p.name], p.type.dtype.numpy, order="C") for p in graph.params], results)
        return dict(zip(graph.results, results))
    program = pipeline.lower_graph(optimised, target)
    changed = replace(program, kernels=tuple(bug.mutate(k) for k in program.kernels))
    if changed == program:
        raise Unaffected
    return evaluate_program(changed, {p.name: np.asarray(inputs[p.name], p.type.dtype.numpy) for p in graph.params})


def in_lets(change: Callable[[Let], Let]) -> Callable[[Graph], Graph]:
    return lambda graph: replace(graph, lets=tuple(map(change, graph.lets)))


def in_contractions(change: Callable[[Contraction], Contraction]) -> Callable[[Graph], Graph]:
    return in_lets(lambda let: replace(let, node=change(let.node)) if isinstance(let.node, Contraction) else let)


def in_applies(change: Callable[[Apply], Apply]) -> Callable[[Graph], Graph]:
    return in_lets(lambda let: replace(let, node=change(let.node)) if isinstance(let.node, Apply) else let)


def in_bodies(change: ExprChange) -> Callable[[Graph], Graph]:
    return in_contractions(lambda c: replace(c, body=tuple(transform(b, change) for b in c.body)))


def in_statements(change: StmtChange) -> Callable[[Kernel], Kernel]:
    return lambda kernel: replace(kernel, body=rewrite(kernel.body, change))


def in_values(change: ExprChange) -> Callable[[Kernel], Kernel]:
    return lambda kernel: replace(kernel, body=map_exprs(kernel.body, lambda e: transform(e, change)))


def swapped(*ops: str) -> ExprChange:
    return lambda e: replace(e, args=e.args[::-1]) if isinstance(e, Call) and e.op in ops else e


def renamed(old: str, new: str) -> ExprChange:
    return lambda e: replace(e, op=new) if isinstance(e, Call) and e.op == old else e


def moved(access: Access, axis: int, by: int) -> Access:
    """The access with the constant of one index changed."""
    indices = list(access.indices)
    if 0 <= axis < len(indices) and isinstance(found := indices[axis], Affine):
        indices[axis] = found + by
    return replace(access, indices=tuple(indices))


def stretched(form: Affine) -> Affine:
    """A stride of 2 or more taken as 1."""
    return Affine.of([(n, 1 if c not in (1, -1) else c) for n, c in form.terms], form.const)


def other_monoid(old: str, new: str) -> Callable[[Contraction], Contraction]:
    def change(node: Contraction) -> Contraction:
        return replace(node, monoid=standard(new, node.accumulator[0])) if node.monoid.name == old else node

    return change


def wrong_identity(node: Contraction) -> Contraction:
    """Zero as the identity of max."""
    if node.monoid.name != "max":
        return node
    zero = identity("sum", node.accumulator[0])
    return replace(node, monoid=Monoid("max", (zero,), node.monoid.combine))


def narrow(node: Contraction) -> Contraction:
    """Sums of 32-bit integers carried out in 8 bits."""
    if node.monoid.name != "sum" or node.accumulator[0] != I32:
        return node
    return replace(node, monoid=standard("sum", I8), body=(Call("cast", (node.body[0],), I8),))


def shifted_sink(node: Contraction) -> Contraction:
    (sink,) = node.sinks
    indices = tuple(i + 1 if n == 0 and i.terms else i for n, i in enumerate(sink.indices))
    return replace(node, sinks=(Sink(indices, sink.shape),))


def stretched_sink(node: Contraction) -> Contraction:
    (sink,) = node.sinks
    return replace(node, sinks=(Sink(tuple(map(stretched, sink.indices)), sink.shape),))


def first_reads_second(e: Expr) -> Expr:
    """Both operands of a product read through the first one's access."""
    if isinstance(e, Call) and e.op == "mul" and len(e.args) == 2 and all(isinstance(a, Read) for a in e.args):
        return replace(e, args=(e.args[0], e.args[0]))
    return e


def read_change(change: Callable[[Access], Access]) -> ExprChange:
    return lambda e: replace(e, access=change(e.access)) if isinstance(e, Read) else e


def transposed(access: Access) -> Access:
    return replace(access, indices=access.indices[::-1]) if len(access.indices) == 2 else access


def clipped(e: Expr) -> Expr:
    """Index values lose their constant part."""
    return replace(e, form=Affine(e.form.terms)) if isinstance(e, IndexValue) else e


def off_by_one(stmt: Stmt) -> tuple[Stmt, ...]:
    """Guards that let one iteration more in."""
    return (replace(stmt, conditions=tuple(c + 1 for c in stmt.conditions)),) if isinstance(stmt, If) else (stmt,)


def too_strict(stmt: Stmt) -> tuple[Stmt, ...]:
    return (replace(stmt, conditions=tuple(c - 1 for c in stmt.conditions)),) if isinstance(stmt, If) else (stmt,)


def without_guard(stmt: Stmt) -> tuple[Stmt, ...]:
    return stmt.body if isinstance(stmt, If) else (stmt,)


def without_last_condition(stmt: Stmt) -> tuple[Stmt, ...]:
    if isinstance(stmt, If) and len(stmt.conditions) > 1:
        return (replace(stmt, conditions=stmt.conditions[:-1]),)
    return (stmt,)


def shorter(kind: str) -> StmtChange:
    """Loops of a kind forget their last iteration."""

    def change(stmt: Stmt) -> tuple[Stmt, ...]:
        if isinstance(stmt, For) and stmt.kind == kind and isinstance(stmt.extent, int) and stmt.extent > 1:
            return (replace(stmt, extent=stmt.extent - 1),)
        return (stmt,)

    return change


def overwritten(stmt: Stmt) -> tuple[Stmt, ...]:
    """Aggregation forgotten: a plain store."""
    return (replace(stmt, monoid=None),) if isinstance(stmt, Store) else (stmt,)


def uninitialised(stmt: Stmt) -> tuple[Stmt, ...]:
    """Stores of a constant are dropped: cells keep what was there."""
    return () if isinstance(stmt, Store) and isinstance(stmt.value, Const) and stmt.monoid is None else (stmt,)


def store_moved(stmt: Stmt) -> tuple[Stmt, ...]:
    if isinstance(stmt, Store) and stmt.indices and isinstance(last := stmt.indices[-1], Affine) and last.terms:
        return (replace(stmt, indices=(*stmt.indices[:-1], last + 1)),)
    return (stmt,)


def without_default(let: Let) -> Let:
    return replace(let, node=replace(let.node, defaults=(None,))) if isinstance(let.node, Contraction) else let


def without_constraint(node: Contraction) -> Contraction:
    return replace(node, constraints=node.constraints[1:])


def looser_constraint(node: Contraction) -> Contraction:
    return replace(node, constraints=tuple(replace(c, bound=c.bound + 1) for c in node.constraints))  # type: ignore[arg-type]


def narrower_box(node: Contraction) -> Contraction:
    return replace(node, extents=tuple(e - 1 if isinstance(e, int) and e > 2 else e for e in node.extents))


def via_float(node: Apply) -> Apply:
    return replace(node, op="floor") if node.op == "ceil" else node


def apply_change(old: str, new: str) -> Callable[[Apply], Apply]:
    return lambda node: replace(node, op=new) if node.op == old else node


def swapped_args(*ops: str) -> Callable[[Apply], Apply]:
    return lambda node: replace(node, args=node.args[::-1]) if node.op in ops else node


def wrong_arm(node: Apply) -> Apply:
    return replace(node, args=(node.args[0], node.args[2], node.args[1])) if node.op == "cond" else node


BUGS: tuple[Bug, ...] = (
    Bug("operands of a difference swapped", "graph", in_bodies(swapped("sub"))),
    Bug("operands of an elementwise difference swapped", "graph", in_applies(swapped_args("sub"))),
    Bug("operands of a quotient swapped", "graph", in_applies(swapped_args("div"))),
    Bug("less-than taken as less-or-equal", "graph", in_applies(apply_change("cmp_lt", "cmp_le"))),
    Bug("arms of a select swapped", "graph", in_applies(wrong_arm)),
    Bug("ceil taken as floor", "graph", in_applies(via_float)),
    Bug("min taken as max, elementwise", "graph", in_applies(apply_change("min", "max"))),
    Bug("equality inverted in a body", "graph", in_bodies(renamed("cmp_eq", "cmp_ne"))),
    Bug("max aggregated as sum", "graph", in_contractions(other_monoid("max", "sum"))),
    Bug("product aggregated as sum", "graph", in_contractions(other_monoid("prod", "sum"))),
    Bug("min aggregated as max", "graph", in_contractions(other_monoid("min", "max"))),
    Bug("zero as identity of max", "graph", in_contractions(wrong_identity)),
    Bug("sum in too narrow a type", "graph", in_contractions(narrow)),
    Bug("output shifted by one", "graph", in_contractions(shifted_sink)),
    Bug("output stride lost", "graph", in_contractions(stretched_sink)),
    Bug("default forgotten", "graph", in_lets(without_default)),
    Bug("constraint dropped", "graph", in_contractions(without_constraint)),
    Bug("constraint one too loose", "graph", in_contractions(looser_constraint)),
    Bug("box one too narrow", "graph", in_contractions(narrower_box)),
    Bug("both factors read the same tensor", "graph", in_bodies(first_reads_second)),
    Bug("constant part of an index value lost", "graph", in_bodies(clipped)),
    Bug("guard dropped", "loops", in_statements(without_guard)),
    Bug("last condition of a guard dropped", "loops", in_statements(without_last_condition)),
    Bug("guard one too lax", "loops", in_statements(off_by_one)),
    Bug("guard one too strict", "loops", in_statements(too_strict)),
    Bug("serial loop one too short", "loops", in_statements(shorter("serial"))),
    Bug("vector loop one lane too short", "loops", in_statements(shorter("vector"))),
    Bug("unrolled loop one too short", "loops", in_statements(shorter("unroll"))),
    Bug("aggregation overwrites", "loops", in_statements(overwritten)),
    Bug("initialisation forgotten", "loops", in_statements(uninitialised)),
    Bug("store one cell off", "loops", in_statements(store_moved)),
    Bug("read one cell off", "loops", in_values(read_change(lambda a: moved(a, len(a.indices) - 1, 1)))),
    Bug("read transposed", "loops", in_values(read_change(transposed))),
)
