"""Aggregations over tuples: arg-max, Welford's variance, online softmax."""

from __future__ import annotations

import numpy as np

from tests.graph.programs import data
from tilec.affine import Affine
from tilec.dtypes import BOOL, F32, I32, DType
from tilec.evaluate.graph import evaluate
from tilec.expr import Call, Const, Expr, IndexValue, Var, read
from tilec.graph import Contraction, Graph, Let, Param, Sink, TensorType
from tilec.monoid import Monoid
from tilec.rules import call


def contraction(monoid: Monoid, body: tuple[Expr, ...], rows: int, columns: int) -> Graph:
    """Each row of A[rows, columns], index k along it, aggregated to results R0, R1 ..."""
    names = tuple(f"R{i}" for i in range(monoid.arity))
    sinks = (Sink((Affine.var("i"),), (rows,)),) * monoid.arity
    node = Contraction(("i", "k"), monoid, body, sinks, (), (None,) * monoid.arity)
    params = (Param("A", TensorType(F32, (rows, columns))),)
    return Graph("f", params, (Let(names, node),), names)


A_IK = read("A", (Affine.var("i"), Affine.var("k")), F32)
ONE = Const(1.0, F32)


def variables(name: str, *dtypes: DType) -> list[Var]:
    return [Var(f"{name}{i}", d) for i, d in enumerate(dtypes)]


def test_arg_max_gives_the_first() -> None:
    a, b = variables("a", F32, I32), variables("b", F32, I32)
    keep = Call("cmp_ge", (a[0], b[0]), BOOL)
    combine = (call("cond", keep, a[0], b[0]), call("cond", keep, a[1], b[1]))
    monoid = Monoid("argmax", (Const(float("-inf"), F32), Const(-1, I32)), combine)
    x = data(6, 40)
    x[2, 7] = x[2, 30] = 9
    r = evaluate(contraction(monoid, (A_IK, IndexValue(Affine.var("k"), I32)), 6, 40), {"A": x})
    np.testing.assert_array_equal(r["R0"], x.max(1))
    np.testing.assert_array_equal(r["R1"], x.argmax(1))
    assert r["R1"].dtype == np.int32


def test_welford() -> None:
    """Chan's combination of (count, mean, sum of squared deviations)."""
    a, b = variables("a", F32, F32, F32), variables("b", F32, F32, F32)
    count = call("add", a[0], b[0])
    delta = call("sub", b[1], a[1])
    part = call("div", b[0], call("max", count, ONE))
    mean = call("add", a[1], call("mul", delta, part))
    cross = call("mul", call("mul", delta, delta), call("mul", a[0], part))
    squares = call("add", call("add", a[2], b[2]), cross)
    monoid = Monoid("welford", (Const(0.0, F32),) * 3, (count, mean, squares))
    x = data(4, 100) + 1000
    r = evaluate(contraction(monoid, (ONE, A_IK, Const(0.0, F32)), 4, 100), {"A": x})
    assert r["R0"].tolist() == [100.0] * 4
    np.testing.assert_allclose(r["R1"], x.astype(np.float64).mean(1), rtol=1e-6)
    np.testing.assert_allclose(r["R2"] / 100, x.astype(np.float64).var(1), rtol=1e-3)


def softmax_graph(rows: int, columns: int) -> Graph:
    a, b = variables("a", F32, F32), variables("b", F32, F32)
    top = call("max", a[0], b[0])
    left = call("mul", a[1], call("exp", call("sub", a[0], top)))
    right = call("mul", b[1], call("exp", call("sub", b[0], top)))
    monoid = Monoid("logsumexp", (Const(-1e30, F32), Const(0.0, F32)), (top, call("add", left, right)))
    return contraction(monoid, (A_IK, ONE), rows, columns)


def test_online_softmax() -> None:
    x = data(3, 50) * 30
    r = evaluate(softmax_graph(3, 50), {"A": x})
    wide = x.astype(np.float64)
    np.testing.assert_array_equal(r["R0"], x.max(1))
    np.testing.assert_allclose(r["R1"], np.exp(wide - wide.max(1, keepdims=True)).sum(1), rtol=1e-5)
    twin = evaluate(softmax_graph(3, 50), {"A": x}, "float64")
    np.testing.assert_allclose(twin["R1"], np.exp(wide - wide.max(1, keepdims=True)).sum(1), rtol=1e-13)


def test_components_with_sinks_of_their_own() -> None:
    """Row sums and column sums in one contraction: each component has its own cells."""
    a, b = variables("a", F32, F32), variables("b", F32, F32)
    monoid = Monoid("sums", (Const(0.0, F32),) * 2, (call("add", a[0], b[0]), call("add", a[1], b[1])))
    sinks = (Sink((Affine.var("i"),), (3,)), Sink((Affine.var("k"),), (5,)))
    node = Contraction(("i", "k"), monoid, (A_IK, A_IK), sinks, (), (None, None))
    g = Graph("f", (Param("A", TensorType(F32, (3, 5))),), (Let(("R", "C"), node),), ("R", "C"))
    x = np.arange(15, dtype=np.float32).reshape(3, 5)
    r = evaluate(g, {"A": x})
    np.testing.assert_array_equal(r["R"], x.sum(1))
    np.testing.assert_array_equal(r["C"], x.sum(0))
