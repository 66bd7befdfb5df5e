"""Calls that skip the look-up of their signature find what the look-up would have found."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.shortcuts import Shortcuts


class NoShortcuts(Shortcuts):
    """Never finds anything."""

    def call(self, args: tuple[Any, ...], out: Any = None) -> Any:
        return NotImplemented


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sum": lambda x, y: x + y,
    "default": lambda x, y=2.0: (x * y, [x]),
    "tuple": lambda x, y: (x * y, x - y),
    "list": lambda x, y: [x * y],
    "dict": lambda x, y: {"b": x, "a": y * 2},
    "none": lambda x, y: None,
    "number": lambda x, y: x * 3 + 1,
    "given": lambda x, y: (x * y, 7),
    "variadic": lambda *xs: sum(xs),
}
VALUES: list[Any] = [
    np.arange(4, dtype="float32"),
    np.arange(4, dtype="float32") + 1,
    np.arange(8, dtype="float32")[::2],
    np.arange(4, dtype="float64"),
    np.arange(4, dtype="int32"),
    np.ones((1, 4), "float32"),
    np.ones((), "float32"),
    np.ones((), "int32"),
    np.float32(2.5),
    np.float64(2.5),
    np.int32(3),
    2.5,
    -0.0,
    float("inf"),
    1e39,
    3,
    -1,
    1 << 20,
    1 << 40,
    True,
    False,
]


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return described(call())
    except tilec.TileError as problem:
        return [(d.code, d.message) for d in problem.diagnostics]  # the place is that of the call


def described(found: Any) -> Any:
    if isinstance(found, np.ndarray):
        return found.dtype, found.shape, found.tobytes()
    if isinstance(found, tuple | list):
        return type(found), [described(f) for f in found]
    if isinstance(found, dict):
        return [(k, described(v)) for k, v in found.items()]
    return type(found), found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_by_signature(name: str) -> None:
    short, long = tilec.jit(FUNCTIONS[name]), tilec.jit(FUNCTIONS[name])
    long._shortcuts = NoShortcuts()
    rng = random.Random(name)
    chosen = rng.sample(VALUES, 6)  # few signatures, that they come again
    for _ in range(150):
        args = [rng.choice(chosen) for _ in range(rng.choice([2, 2, 2, 1, 3]))]
        named = {"y": args.pop()} if len(args) == 2 and rng.random() < 0.1 and name != "variadic" else {}
        try:
            expected = outcome(lambda: long(*args, **named))  # noqa: B023
        except TypeError as problem:  # of the Python function itself
            expected = str(problem)
            with pytest.raises(TypeError):
                short(*args, **named)
            continue
        assert outcome(lambda: short(*args, **named)) == expected, args  # noqa: B023
    assert short.signatures() == long.signatures()


def test_ops_as_by_signature() -> None:
    text = "function f(A, B) -> (C) { C = A * B + 1; }"
    short, long = tilec.op(text), tilec.op(text)
    long._shortcuts = NoShortcuts()
    rng = random.Random(5)
    for _ in range(300):
        args = [rng.choice(VALUES) for _ in range(2)]
        if rng.random() < 0.7:
            args[0] = VALUES[rng.randrange(2)]
        out = rng.choice([None, None, None, np.empty(4, "float32"), args[0]]) if args[0] is not VALUES[0] else None
        kept = args[0].copy() if isinstance(args[0], np.ndarray) else None
        expected = outcome(lambda: long(*args, out=out))  # noqa: B023
        if kept is not None:
            args[0][...] = kept
        assert outcome(lambda: short(*args, out=out)) == expected, args  # noqa: B023
        if kept is not None:
            args[0][...] = kept
    assert sorted(short.signatures()) == sorted(long.signatures())


def test_a_shortcut_is_taken() -> None:
    double = tilec.jit(lambda x, f: x * f)
    x = np.ones(3, "float32")
    for _ in range(2):
        double(x, 2.0)
    assert double._shortcuts.call((x, 2.0)) is not NotImplemented
    for other in ((x, 2), (x, np.float32(2.0)), (x, np.full((), 2.0, "float32")), (x,), (x, 2.0, 3.0), (x[1:], 2.0)):
        assert double._shortcuts.call(other) is NotImplemented
    with tilec.config(threads=1):
        assert double._shortcuts.call((x, 2.0)) is NotImplemented
    assert tilec.jit(lambda y: double(y, 2.0) + 1.0)(x).tolist() == [3, 3, 3]  # traced, not called


def test_what_shapes_the_code_takes_no_shortcut() -> None:
    x = np.arange(6, dtype="float32")
    power = tilec.jit(lambda x, n: x * n, static_argnames="n")
    table = tilec.jit(lambda x, t: x * t, constants="t")
    donated = tilec.jit(lambda x: x + 1.0, donate_argnums=0)
    for _ in range(3):
        assert power(x, 2).tolist() == (x * 2).tolist() and power(x, 3).tolist() == (x * 3).tolist()
        assert table(x, x).tolist() == (x * x).tolist() and table(x, x + 1).tolist() == (x * (x + 1)).tolist()
        y = x.copy()
        assert donated(y) is y and y.tolist() == (x + 1).tolist()
    assert all(f._shortcuts.call((x, x)) is NotImplemented for f in (power, table, donated))


def test_threads() -> None:
    scale = tilec.jit(lambda x, y: x * y)
    wrong: list[int] = []

    def work(n: int) -> None:
        x = np.full(n, n, "float32")
        for k in range(300):
            with tilec.config(threads=1 + k % 2):
                if scale(x, x).tolist() != [n * n] * n:
                    wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
