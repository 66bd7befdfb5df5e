"""Calls past Python: whatever they are given, they do what the call in Python does."""

from __future__ import annotations

import gc
import inspect
import os
import pickle
import random
import resource
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.backends.llvm import direct
from tilec.executable import Executable
from tilec.passes import infer
from tilec.text.graph_text import parse_graph

Array = np.ndarray[Any, np.dtype[Any]]

PROGRAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "add": ("function f(A[N], B[N]) -> (C) { C = A + B; }", {"A": "f32[6]", "B": "f32[6]"}),
    "two": (
        "function f(A[M, N], S) -> (Sum, Scaled) { Sum[] = +(A[m, n]); Scaled = S * A; }",
        {"A": "f64[2, 3]", "S": 1.5},
    ),
    "whole": ("function f(A[N], K) -> (C) { C = A + K; }", {"A": "i32[4]", "K": 3}),
    "long": ("function f(A[N], K) -> (C) { C = A + K; }", {"A": "i64[4]", "K": 3}),
    "scalar": ("function f(A, B[N]) -> (C) { C = A * B; }", {"A": "f32[]", "B": "f32[6]"}),
    "narrow": ("function f(A[N], B[N]) -> (C) { C = A * B; }", {"A": "bf16[6]", "B": "bf16[6]"}),
    "bool": ("function f(A[N], B[N]) -> (C) { C = A < B ? A : B; }", {"A": "u8[6]", "B": "u8[6]"}),
    "none": ("function f(A[N], B[N]) -> (C) { C = A + B; }", {"A": "f32[0]", "B": "f32[0]"}),
}


class Sub(np.ndarray[Any, Any]):
    pass


def compiled(name: str) -> tuple[Executable, Executable]:
    """A program with direct calls, and without."""
    text, types = PROGRAMS[name]
    fast = tilec.compile(text, target="llvm", **types)
    slow = tilec.compile(text, target="llvm", **types)
    slow._calls_in_python = -1
    for _ in range(2):
        fast(*arguments(fast, np.random.default_rng(1)))
    assert type(fast) is not Executable and type(slow) is Executable
    return fast, slow


PAIRS: dict[str, tuple[Executable, Executable]] = {}


def pair(name: str) -> tuple[Executable, Executable]:
    if name not in PAIRS:
        PAIRS[name] = compiled(name)
    return PAIRS[name]


def unaligned(a: Array) -> Array:
    bytes = np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:]
    return bytes.view(a.dtype).reshape(a.shape) if a.size else a


def read_only(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


# What may come in place of an array.
CHANGES: list[Callable[[Array], Any]] = [
    lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    lambda a: a[::-1] if a.ndim else a,
    lambda a: np.asfortranarray(a),
    lambda a: a.T,
    unaligned,
    read_only,
    lambda a: a.view(Sub),
    lambda a: np.ma.masked_array(a),
    lambda a: a.astype(a.dtype.newbyteorder()),
    lambda a: pickle.loads(pickle.dumps(a)),
    lambda a: a.astype("float16"),
    lambda a: a.astype("complex64"),
    lambda a: a.astype(object),
    lambda a: a[None],
    lambda a: a[:-1] if a.ndim else a,
    lambda a: a.reshape(-1),
    lambda a: a.tolist(),
    lambda a: a.data if a.dtype.name != "bfloat16" else None,
    lambda a: None,
    lambda a: 2,
    lambda a: 2.5,
    lambda a: True,
    lambda a: 1 << 40,
    lambda a: 1 << 80,
    lambda a: 1e39,
    lambda a: float("nan"),
    lambda a: float("-inf"),
    lambda a: np.float32(1.5),
    lambda a: np.int64(3),
    lambda a: "text",
    lambda a: object(),
]


def arguments(executable: Executable, rng: np.random.Generator) -> list[Any]:
    """What the program takes."""
    return [
        (2.5 if t.dtype.is_float else 7)
        if t.weak
        else rng.integers(0, 9, tuple(map(int, t.shape))).astype(t.dtype.numpy)  # type: ignore[arg-type]
        for t in executable.params.values()
    ]


def outputs(executable: Executable, values: list[Any], rng: random.Random) -> Any:
    """Something for `out`."""
    whole = [np.zeros(tuple(map(int, t.shape)), t.dtype.numpy) for t in executable.results.values()]  # type: ignore[arg-type]
    if rng.random() < 0.3:
        at = rng.randrange(len(whole))
        changes: list[Callable[[Array], Any]] = [*CHANGES, lambda a: values[0], lambda a: values[-1]]
        whole[at] = rng.choice(changes)(whole[at])
    if len(whole) > 1 and rng.random() < 0.1:
        whole[-1] = whole[0]
    named = dict(zip(executable.results, whole))
    return rng.choice([whole[0], tuple(whole), list(whole), named, tuple(whole), whole[0], (), (*whole, None)])


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or what it says."""
    try:
        found = call()
    except tilec.TileError as problem:
        return str(problem)
    except Exception as problem:
        return type(problem), str(problem)
    many = found if isinstance(found, tuple) else (found,)
    return type(found), [(type(a), a.dtype, a.shape, a.tobytes()) for a in many]


def restore(kept: list[tuple[Array, Array]]) -> None:
    """Undoes what a call has written to an argument that was its `out`, too."""
    for array, content in kept:
        array[...] = content


def compare(fast: Executable, slow: Executable, args: list[Any], out: Any, named: dict[str, Any]) -> bool:
    """Whether a call that does the same both ways returns anything."""
    given = [*args, *named.values()]
    kept = [(a, a.copy()) for a in given if isinstance(a, np.ndarray) and a.flags.writeable]
    expected = outcome(lambda: slow(*args, out=out, **named))
    restore(kept)
    assert outcome(lambda: fast(*args, out=out, **named)) == expected, (args, out, named)
    restore(kept)
    if not named and len(args) == len(fast.params):
        listed = outcome(lambda: tuple(slow.run_values(args, out)))
        restore(kept)
        assert outcome(lambda: tuple(fast.run_values(args, out))) == listed, (args, out)
        restore(kept)
    return isinstance(expected, tuple) and isinstance(expected[1], list)


def same_identity(found: Any, given: Any) -> list[bool]:
    many = found if isinstance(found, tuple) else (found,)
    offered = list(given) if isinstance(given, tuple | list) else [given]
    return [a is b for a, b in zip(many, offered)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_python(name: str) -> None:
    fast, slow = pair(name)
    rng, numbers = random.Random(name), np.random.default_rng(len(name))
    alike = 0
    for _ in range(400):
        values = arguments(fast, numbers)
        for at in range(len(values)):
            if rng.random() < 0.2:
                values[at] = rng.choice(CHANGES)(np.asarray(values[at]))
        extra = rng.choice([[], [], [], [], [None], [values[0]]])
        split = rng.choice([len(values), len(values), 0, rng.randrange(len(values) + 1)])
        named = dict(list(zip(fast.params, values))[split:])
        if rng.random() < 0.1:
            named[rng.choice(["Z", next(iter(fast.params))])] = values[0]
        args = [*values[:split], *extra] if split == len(values) else values[:split]
        if rng.random() < 0.05:
            args = args[:-1]
        out = None if rng.random() < 0.5 else outputs(fast, values, rng)
        alike += compare(fast, slow, args, out, named)
    assert 60 < alike < 395


@pytest.mark.parametrize("name", PROGRAMS)
def test_direct_where_nothing_is_unusual(name: str) -> None:
    fast, _ = pair(name)
    values = arguments(fast, np.random.default_rng(1))
    expected = fast._call(*values)
    found = fast.direct(tuple(values), None)
    assert found is not NotImplemented and outcome(lambda: found) == outcome(lambda: expected)
    whole = tuple(np.empty_like(a) for a in (found if isinstance(found, tuple) else (found,)))
    again = fast.direct(tuple(values), whole)
    assert again is not NotImplemented and all(same_identity(again, whole))
    assert outcome(lambda: again) == outcome(lambda: expected)


def test_strings_that_are_not_interned() -> None:
    fast, _ = pair("add")
    a, b = arguments(fast, np.random.default_rng(1))
    given = {"".join(["A"]): a, "".join(["B"]): b, "".join(["o", "ut"]): None}
    np.testing.assert_array_equal(fast(**given), a + b)


def test_references() -> None:
    fast, _ = pair("two")
    a, s = arguments(fast, np.random.default_rng(1))
    out = (np.empty((), "float64"), np.empty((2, 3)))
    calls: list[Callable[[], Any]] = [
        lambda: fast(a, s),
        lambda: fast(a, S=s, out=out),
        lambda: fast(A=a, S=s),
        lambda: fast.direct((a, s), out),
        lambda: fast.direct((a, s), (out[0], out[0])),
        lambda: fast.direct((a, None), out),
        lambda: fast.direct((a,), None),
        lambda: fast.direct([a, s], None),
        lambda: fast.direct((a, s), [*out]),
    ]
    everything = [a, s, out, *out, fast, None, NotImplemented, a.dtype, fast._description]
    for call in calls:
        for _ in range(3):
            call()
        before = [sys.getrefcount(o) for o in everything]
        for _ in range(1000):
            call()
        changes = [sys.getrefcount(o) - n for o, n in zip(everything, before)]
        assert all(abs(change) < 500 for change in changes), changes  # others refer to None, too


def test_arguments_do_not_outlive_an_error() -> None:
    fast, _ = pair("add")
    a, b = arguments(fast, np.random.default_rng(1))
    before = sys.getrefcount(a), sys.getrefcount(b)
    for _ in range(3):
        with pytest.raises(tilec.TileError):
            fast(a, b[1:])
        with pytest.raises(tilec.TileError):
            fast(a, B=b, C=a)
    gc.collect()
    assert (sys.getrefcount(a), sys.getrefcount(b)) == before


def test_memory_does_not_grow() -> None:
    fast, _ = pair("two")
    a, s = arguments(fast, np.random.default_rng(1))
    out = (np.empty((), "float64"), np.empty((2, 3)))

    def many() -> int:
        for _ in range(20_000):
            fast(a, s)
            fast(a, s, out=out)
            fast.direct((a, None), None)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    many()
    assert many() - many() <= 0 and abs(many() - many()) < 2048  # KiB; a reference a call would be 5 MB


def test_threads() -> None:
    text = "function f(A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
    executable = tilec.compile(text, target="llvm", A=(70, 64), B=(64, 66))
    assert not executable.built.code.brief  # type: ignore[attr-defined]
    rng = np.random.default_rng(3)
    pairs = [[rng.integers(-4, 4, s).astype("float32") for s in ((70, 64), (64, 66))] for _ in range(6)]
    wrong: list[int] = []

    def work(k: int) -> None:
        a, b = pairs[k]
        expected = a @ b
        wrong.extend(k for _ in range(200) if not (executable(a, b) == expected).all())

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(pairs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(executable.built._arenas) <= 4  # type: ignore[attr-defined]


def test_lock_is_released_for_long_programs_only() -> None:
    fast, _ = pair("add")
    assert fast.built.code.brief  # type: ignore[attr-defined]
    large = tilec.compile(PROGRAMS["add"][0], target="llvm", A=(1 << 20,), B=(1 << 20,))
    assert not large.built.code.brief  # type: ignore[attr-defined]


def test_after_a_fork() -> None:
    text = """
import os, numpy as np, tilec
e = tilec.compile("function f(A[N]) -> (C) { C = A + 1.0; }", target="llvm", A=(1 << 20,))
a = np.ones(1 << 20, "float32")
for _ in range(3): e(a)
child = os.fork()
if child == 0:
    assert all((e(a) == 2).all() for _ in range(3))
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert (e(a) == 2).all()
"""
    subprocess.run([sys.executable, "-c", text], check=True, timeout=120)


def test_first_calls_of_many_threads_at_once() -> None:
    """What all programs share is made by one of them: machine code refers to it by address."""
    text = """
import threading, numpy as np, tilec
product = "function f(A[M, K], B[K, N]) -> (C) { C[m, n: M, N] = +(A[m, k] * B[k, n]); }"
inputs = [np.ones((s, s), "float32") for s in (16, 200, 600)]
programs = [tilec.compile(product, target="llvm", A=a, B=a) for a in inputs]
start, wrong = threading.Barrier(8), []
def work():
    start.wait()
    wrong.extend(1 for _ in range(5) for e, a in zip(programs, inputs) if not (e(a, a) == len(a)).all())
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not wrong
"""
    for number in range(3):
        environment = {**os.environ, "TILEC_CACHE": "0", "TILEC_THREADS": str(1 + number), "MALLOC_PERTURB_": "165"}
        subprocess.run([sys.executable, "-c", text], check=True, timeout=120, env=environment)


def test_a_failed_check_is_told() -> None:
    text = 'graph f(A: f32[3]) -> (B) { B = neg(A) () = special assert(A) {message = "a zero"} }'
    executable = tilec.compile(infer.run(parse_graph(text)), target="llvm")
    a = np.ones(3, "float32")
    for _ in range(3):
        assert executable(a).tolist() == [-1, -1, -1]
        with pytest.raises(tilec.TileError, match="a zero"):
            executable(a * 0)
    assert executable.direct((a,), None) is not NotImplemented
    assert executable.direct((a * 0,), None) is NotImplemented


def test_what_has_no_direct_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    text, types = PROGRAMS["add"]
    a = np.ones(6, "float32")
    assert type(tilec.compile(text, target="reference", **types)) is Executable
    direct.supported.cache_clear()
    monkeypatch.setattr(direct, "DATA", 24)
    assert not direct.supported()
    executable = tilec.compile(text, target="llvm", **types)
    assert type(executable) is Executable
    for _ in range(3):
        np.testing.assert_array_equal(executable(a, a), a + a)
    assert type(executable) is Executable
    direct.supported.cache_clear()


def test_it_looks_like_a_function() -> None:
    fast, _ = pair("add")
    assert str(inspect.signature(fast)) == "(*args, out=None, **kwargs)"
    assert "Runs the function" in (type(fast).__call__.__doc__ or "")
    assert isinstance(fast, tilec.Executable) and repr(fast).startswith("<tilec.Executable f(")


def test_dtypes_that_are_not_the_usual_object() -> None:
    executable = tilec.compile("function (X[N]) -> (Y) { Y = X + X; }", X=np.ones(5, np.float32))
    x = pickle.loads(pickle.dumps(np.arange(5, dtype=np.float32)))
    assert x.dtype is not np.dtype("float32") and x.dtype == np.float32
    for _ in range(3):
        assert executable(x).tolist() == [0, 2, 4, 6, 8]
    assert executable.direct is not None
    assert executable.direct((x,), None) is not NotImplemented
    assert executable.direct((x.astype(">f4"),), None) is NotImplemented


def test_arrays_in_files(tmp_path: Path) -> None:
    """Memory maps are no plain arrays: they are inputs and outputs all the same, and plain views of them, too."""
    fast, _ = pair("add")
    a, b = arguments(fast, np.random.default_rng(1))
    maps = [np.memmap(tmp_path / name, a.dtype, "w+", shape=a.shape) for name in "xy"]
    maps[0][:] = a
    assert fast(maps[0], b).tolist() == fast(np.asarray(maps[0]), b).tolist() == (a + b).tolist()
    assert fast(a, b, out=maps[1]) is maps[1] and maps[1].tolist() == (a + b).tolist()
    fixed = np.memmap(tmp_path / "x", a.dtype, "r", shape=a.shape)
    assert fast(np.asarray(fixed), b).tolist() == (a + b).tolist()
    for array in (fixed, np.asarray(fixed)):
        with pytest.raises(tilec.TileError):
            fast(a, b, out=array)


def test_calls_amid_the_conversion_of_arguments() -> None:
    """Objects that are asked for an array may call the program, without end too, or change another argument."""
    fast, _ = pair("add")
    a, b = arguments(fast, np.random.default_rng(1))

    class Nested:
        def __init__(self, depth: int) -> None:
            self.depth = depth

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return fast(Nested(self.depth - 1), b) if self.depth else a

    class Reshaping:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            other.shape = (2, 3)
            return a

    np.testing.assert_array_equal(fast(Nested(4), b), a + 5 * b)
    with pytest.raises(tilec.TileError):
        fast(Nested(-1), b)  # never ends
    other = b.copy()
    with pytest.raises(tilec.TileError):
        fast(Reshaping(), other)
    with pytest.raises(tilec.TileError):
        fast(weakref.proxy(a), b)
    np.testing.assert_array_equal(fast(a, b), a + b)
