"""`tilec.jit`: trees of arguments, one program per signature, static and constant arguments, threads."""

from __future__ import annotations

import logging
import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec.dtypes import F32
from tilec.errors import TileError
from tilec.text.graph_text import parse_graph, print_graph

X = np.arange(6, dtype="float32").reshape(2, 3)


class Pair(NamedTuple):
    first: Any
    second: Any


def test_trees_go_in_and_come_out() -> None:
    @tilec.jit
    def f(tree: Any, *rest: Any, scale: Any) -> Any:
        return {"sum": tree["a"] + tree["b"][0], "pair": Pair(rest[0] * scale, None), "rest": [rest[1], 7]}

    found = f({"a": X, "b": (X,)}, X, np.int32(3), scale=2.0)
    assert found["sum"].tolist() == (X + X).tolist()
    assert isinstance(found["pair"], Pair) and found["pair"].first.tolist() == (X * 2).tolist()
    assert found["pair"].second is None
    assert found["rest"][0].dtype == np.int32 and found["rest"][0] == 3 and found["rest"][1] == 7


def test_one_program_per_signature() -> None:
    @tilec.jit
    def f(x: Any, rate: Any) -> Any:
        return x * rate

    for rate in (0.5, 0.25, 1e-3):
        assert np.array_equal(f(X, rate), X * np.float32(rate))
    assert f.signatures() == 1  # a number is passed at run time
    f(X, 2)  # of another type
    f(X.astype("float64"), 0.5)
    f(X[:1], 0.5)
    assert f.signatures() == 4


def test_numbers_are_weak() -> None:
    f = tilec.jit(lambda x, s: x * s)
    assert f(X.astype("float16"), 0.1).dtype == np.float16
    assert f(X.astype("uint8"), 3).dtype == np.uint8
    assert f(X.astype("int32"), 2.5).dtype == np.float32
    found = f(np.array([1.0]), 0.1)
    assert found.dtype == np.float64 and found[0] == 0.1  # all its digits


def test_static_arguments_decide_the_code() -> None:
    @tilec.jit(static_argnames=("axis", "how"))
    def f(x: Any, axis: Any, how: str = "sum") -> Any:
        return getattr(tnp, how)(x, axis=axis)

    assert f(X, 0).tolist() == X.sum(0).tolist()
    assert f(X, axis=1, how="max").tolist() == X.max(1).tolist()
    assert f(X, [0, 1]) == X.sum()
    assert f.signatures() == 3


def test_static_values_of_different_types_are_different() -> None:
    f = tilec.jit(lambda x, n: x + int(isinstance(n, bool)), static_argnames="n")
    assert [f(np.int32(0), n) for n in (1, True, 1.0)] == [0, 1, 0]


def test_constants_are_compiled_in() -> None:
    weights = np.arange(300, dtype="float32").reshape(3, 100)
    f = tilec.jit(lambda x, w: x @ w, constants="w")
    assert np.array_equal(f(X, weights), X @ weights)
    assert list(f.lower(X, weights).compile().params) == ["x"]
    weights[:] = 1
    assert np.array_equal(f(X, weights), X @ weights)  # other contents, another program
    assert f.signatures() == 2


def test_closed_over_arrays_are_as_they_were() -> None:
    table = np.ones(100, "float32")
    f = tilec.jit(lambda x: x + table)
    assert f(np.zeros(100, "float32")).tolist() == [1.0] * 100
    table[:] = 5
    assert f(np.zeros(100, "float32")).tolist() == [1.0] * 100


def test_nested_functions_are_one_program() -> None:
    inner = tilec.jit(lambda x: x * 2)
    outer = tilec.jit(lambda x: inner(x) + inner(x + 1))
    assert outer(X).tolist() == (X * 2 + (X + 1) * 2).tolist()
    assert inner.signatures() == 0
    assert {type(let.node).__name__ for let in outer.lower(X).graph.lets} <= {"Apply", "Literal"}


def test_lower_takes_types_and_gives_a_graph() -> None:
    graph = tilec.jit(lambda x, y: x @ y).lower("f32[2, 3]", tilec.TensorType(F32, (3, 4)))
    assert graph.compile()(X, np.ones((3, 4), "float32")).shape == (2, 4)
    assert [p.name for p in tilec.trace(lambda tree: tree["a"])({"a": "i8[3]"}).params] == ["tree_a"]


def test_donated_arguments_are_aliased() -> None:
    f = tilec.jit(lambda state, x: (state + x, x.sum()), donate_argnums=0)
    assert f.lower(X, X).graph.aliases == (("state", "result_0"),)
    assert f(X.copy(), X)[0].tolist() == (X + X).tolist()


def test_results_that_are_arguments_or_the_same_twice() -> None:
    f = tilec.jit(lambda x, y: (x, x, [y + 1, y + 1], None, 2.5))
    a, b, (c, d), nothing, number = f(X, 3)
    assert a.tolist() == b.tolist() == X.tolist() and c == d == 4 and nothing is None and number == 2.5
    a[:] = 9
    assert X[0, 1] == 1 and b[0, 1] == 1  # no memory in common


def test_what_is_returned_untraced_belongs_to_the_caller() -> None:
    table = np.ones(3)
    f = tilec.jit(lambda x: (x, table))
    f(X)[1][:] = 9
    assert f(X)[1].tolist() == table.tolist() == [1.0] * 3


def test_nothing_traced_in_the_result() -> None:
    assert tilec.jit(lambda x: ("text", 3))(X) == ("text", 3)


def test_methods() -> None:
    class Model:
        scale = 2.0

        @tilec.jit(static_argnames="self")
        def run(self, x: Any) -> Any:
            return x * self.scale

    assert Model().run(X).tolist() == (X * 2).tolist()


def test_an_object_of_no_known_class_may_be_made_a_tree() -> None:
    with pytest.raises(TileError) as caught:
        tilec.jit(lambda x: x)(object())
    assert caught.value.code == "TILE0505" and "optree" in str(caught.value.diagnostics[0].help)


def test_what_is_lowered_is_shown() -> None:
    lowered = tilec.jit(lambda x: x + np.ones(40, "float32")).lower(np.ones(40, "float32"))
    assert repr(lowered) == "<tilec lowered lambda(x: f32[40]) -> (result)>"
    assert print_graph(parse_graph(str(lowered))) == str(lowered) == print_graph(lowered.graph)


def test_a_graph_whose_constants_are_not_given() -> None:
    weights = np.ones((3, 10), "float32")
    graph = tilec.trace(lambda x: x @ weights)(X)
    with pytest.raises(TileError) as caught:
        tilec.compile(graph)
    assert caught.value.code == "TILE0501"
    constants = {p.name: weights for p in graph.params if p.digest}
    assert tilec.compile(graph, constants=constants)(X).tolist() == (X @ weights).tolist()


def test_why_it_is_compiled_again(caplog: pytest.LogCaptureFixture) -> None:
    @tilec.jit
    def step(tree: Any, rate: Any) -> Any:
        return tree["w"] * rate

    with caplog.at_level(logging.DEBUG, logger="tilec"):
        step({"w": X}, 0.5)
        step({"w": X[:1]}, 0.5)
    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("step:")]
    assert said == [
        "step: compiling for tree.w: f32[2, 3], rate: float",
        "step: compiling again: tree.w: f32[2, 3] -> f32[1, 3]",
    ]


def test_many_threads_compile_once() -> None:
    traced = []

    @tilec.jit
    def f(x: Any) -> Any:
        traced.append(1)
        return (x * x).sum()

    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(float(f(X)))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [55.0] * 8 and len(traced) == 1


def test_threads_trace_their_own_functions() -> None:
    start = threading.Barrier(4)

    def work(n: int, found: dict[int, Any]) -> None:
        def f(x: Any) -> Any:
            start.wait(10)
            for _ in range(n):
                x = x + n
            return x

        found[n] = tilec.jit(f)(np.zeros((), "int32"))

    found: dict[int, Any] = {}
    threads = [threading.Thread(target=work, args=(n, found)) for n in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert {n: int(v) for n, v in found.items()} == {n: n * n for n in range(1, 5)}


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: tilec.jit(lambda x: x)(), "TILE0502"),  # type: ignore[call-arg]
        (lambda: tilec.jit(lambda x: x)("text"), "TILE0505"),
        (lambda: tilec.jit(lambda x: x)(len), "TILE0505"),
        (lambda: tilec.jit(lambda x: x)(np.array(["a"])), "TILE0503"),
        (lambda: tilec.jit(lambda x: x)(1 << 70), "TILE0415"),
        (lambda: tilec.jit(lambda x: x, static_argnames="y"), "TILE0511"),
        (lambda: tilec.jit(lambda x: x, static_argnames="x")(X), "TILE0511"),
        (lambda: tilec.jit(lambda x: x, donate_argnums=3), "TILE0511"),
        (lambda: tilec.jit(lambda x: x, donate_argnums="x"), "TILE0511"),  # type: ignore[arg-type]
        (lambda: tilec.jit(lambda x: x, donate_argnums=0.5), "TILE0511"),  # type: ignore[call-overload]
        (lambda: tilec.jit(lambda x: x, donate_argnames="x", constants="x"), "TILE0511"),
        (lambda: tilec.jit(lambda x: x, donate_argnames="x", static_argnames="x"), "TILE0511"),
        (lambda: tilec.jit(3), "TILE0511"),  # type: ignore[call-overload]
    ],
)
def test_wrong_uses(call: Any, code: str) -> None:
    with pytest.raises(TileError) as found:
        call()
    assert found.value.code == code


def test_functions_nested_too_deep() -> None:
    """Python's stack is what bounds the functions within functions that can be traced."""

    def nested(f: Any) -> Any:
        return lambda x: tilec.checkpoint(lambda y: f(y) + 1)(x)

    deep = tnp.sin
    for _ in range(400):
        deep = nested(deep)
    for derived in (tilec.jit(deep), tilec.grad(deep)):
        with pytest.raises(TileError) as caught:
            derived(X)
        (problem,) = caught.value.diagnostics
        assert problem.code == "TILE0411" and problem.span is not None
        assert "tracing/test_jit.py" in problem.span.source.name.replace("\\", "/")


def test_a_function_that_calls_itself_without_end() -> None:
    @tilec.jit
    def endless(x: Any) -> Any:
        return endless(x + 1)

    with pytest.raises(TileError) as caught:
        endless(X)
    assert caught.value.code == "TILE0411" and isinstance(caught.value.__cause__, RecursionError)
