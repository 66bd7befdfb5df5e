"""Calls of compiled functions: binding of arguments, recursion, nesting, threads, exceptions."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec.errors import TileError

X = np.arange(4.0)


def test_arguments_are_bound_as_python_does() -> None:
    def plain(a: Any, b: Any = 2.0, /, c: Any = 3.0, *rest: Any, d: Any = 5.0, **more: Any) -> Any:
        return a + 10.0 * b + 100.0 * c + 1000.0 * d + sum(rest) + sum(more.values())

    def few(a: Any, b: Any = 2.0) -> Any:
        return a - b

    def named(a: Any, *, d: Any) -> Any:
        return a - d

    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
        (plain, (1.0,), {}), (plain, (1.0, 3.0, 4.0, 7.0, 8.0), {"d": 1.0, "z": 2.0}), (plain, (1.0,), {"c": 9.0}),
        (few, (1.0,), {}), (few, (1.0, 5.0), {}), (few, (), {"b": 1.0, "a": 3.0}), (few, (1.0,), {"b": 4.0}),
        (named, (1.0,), {"d": 2.0}),
    ]  # fmt: skip
    for function, args, kwargs in calls:
        assert tilec.jit(function)(*args, **kwargs) == function(*args, **kwargs)
    wrong: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
        (few, (), {}), (few, (1, 2, 3), {}), (few, (1,), {"a": 2}), (few, (1,), {"q": 2}), (named, (1.0,), {}),
    ]  # fmt: skip
    for function, args, kwargs in wrong:
        with pytest.raises(TileError) as found:
            tilec.jit(function)(*args, **kwargs)
        assert found.value.code == "TILE0502" and __file__ in str(found.value)


def test_functions_of_tensors_are_called_wrongly_in_the_same_words_while_traced() -> None:
    def own() -> None:
        raise TypeError("one of the user's")

    softmax: Any = tnp.softmax
    calls: list[Any] = [lambda x: softmax(x, dim=0), lambda x: softmax(), lambda x: softmax(x=x)]
    for call in calls:
        for run in (call, tilec.jit(call)):
            with pytest.raises(TileError) as found:
                run(X)
            assert found.value.code == "TILE0502" and __file__ in str(found.value)
    with pytest.raises(TypeError, match="one of the user's"):
        tilec.jit(lambda x: tilec.cond(True, lambda: own(), lambda: x))(X)


def test_by_position_or_by_name_is_one_signature() -> None:
    f = tilec.jit(lambda x, k=2.0: x * k)
    assert f(X, 3.0).tolist() == f(X, k=3.0).tolist() == f(k=3.0, x=X).tolist() and f.signatures() == 1


def test_static_arguments_between_others() -> None:
    f = tilec.jit(lambda x, axis, y: x.sum(axis) + y, static_argnames="axis")
    x = np.ones((2, 3))
    assert f(x, 0, 1.0).tolist() == [3.0] * 3 and f(x, axis=1, y=2.0).tolist() == [5.0] * 2 and f.signatures() == 2
    with pytest.raises(TileError) as found:
        f(x, {0: 1}, 1.0)
    assert found.value.code == "TILE0511" and "does not hash" in str(found.value) and __file__ in str(found.value)


def test_recursion_that_no_value_ends() -> None:
    @tilec.jit
    def factorial(n: Any) -> Any:
        return tilec.cond(n > 1, lambda: n * factorial(n - 1), lambda: n)

    with pytest.raises(TileError) as found:
        factorial(5)
    assert found.value.code == "TILE0411" and __file__ in str(found.value) and "while_loop" in str(found.value)
    assert tilec.jit(lambda x: x + 1)(1) == 2  # no scope is left open


def test_recursion_that_python_ends() -> None:
    @tilec.jit
    def halves(x: Any) -> Any:
        n = x.shape[0]
        return x[0] if n == 1 else halves(x[: n // 2]) + halves(x[n // 2 :])

    assert halves(X) == X.sum()
    assert tilec.grad(halves)(X).tolist() == [1.0] * 4


def test_compiled_functions_in_compiled_functions() -> None:
    @tilec.jit(static_argnames="power")
    def inner(x: Any, power: int = 2) -> Any:
        return x**power

    @tilec.jit
    def outer(x: Any) -> Any:
        return inner(x) + inner(x, power=3) + inner(2.0)

    assert outer(X).tolist() == (X**2 + X**3 + 4.0).tolist()
    assert inner.signatures() == 0  # it has become part of the other


def test_exceptions_of_the_function_are_its_own_and_leave_nothing_behind() -> None:
    def f(x: Any, fail: bool) -> Any:
        y = x + 1
        if fail:
            raise KeyError("mine")
        return y

    compiled = tilec.jit(f, static_argnames="fail")
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            compiled(X, True)
    assert compiled(X, False).tolist() == (X + 1).tolist() and compiled.signatures() == 1


def test_many_threads_compile_once_and_call_at_the_same_time() -> None:
    traced: list[int] = []
    wrong: list[Any] = []

    @tilec.jit
    def f(x: Any, k: Any) -> Any:
        traced.append(1)
        return {"y": tnp.exp(-x) * k, "n": x.shape[0]}

    start = threading.Barrier(8)

    def work(seed: int) -> None:
        x = np.random.default_rng(seed).normal(size=3 + seed % 2)
        start.wait()
        for k in range(30):
            got = f(x, float(k))
            if not (np.allclose(got["y"], np.exp(-x) * k, rtol=1e-12) and got["n"] == len(x)):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and len(traced) == 2 == f.signatures()


def test_a_thread_traces_for_itself() -> None:
    """What another thread does while this one traces is no part of the program."""
    seen: list[Any] = []

    def elsewhere() -> None:
        seen.append(tnp.add(X, 1.0))

    def f(x: Any) -> Any:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return x * 2

    assert tilec.jit(f)(X).tolist() == (X * 2).tolist() and isinstance(seen[0], np.ndarray)


def test_tensors_of_another_thread() -> None:
    found: list[str] = []

    def f(x: Any) -> Any:
        def use() -> None:
            try:
                tnp.exp(x)
            except TileError as problem:
                found.append(problem.code)

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        return x

    tilec.jit(f)(X)
    assert found == ["TILE0522"]


def test_arguments_of_types_that_there_are_not() -> None:
    f = tilec.jit(lambda x: x)
    for value, code in ((np.array(["a"]), "TILE0503"), (np.array([1j]), "TILE0503"), ("text", "TILE0505"),
                        (object(), "TILE0505"), (1 << 70, "TILE0415"), (np.array([None]), "TILE0503")):  # fmt: skip
        with pytest.raises(TileError) as found:
            f(value)
        assert found.value.code == code and __file__ in str(found.value)
