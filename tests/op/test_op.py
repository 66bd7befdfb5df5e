"""`tilec.op`: calls, signatures, threads, and what is said when something is compiled again."""

from __future__ import annotations

import enum
import inspect
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec import operation, signatures
from tilec.configuration import config
from tilec.errors import Source
from tilec.operation import Op, input_names

SCALE = "function scale(X[N], F) -> (Y) { Y = X * F; }"
WINDOW = "function window(X[N], #k) -> (Y) { Y[i : N - #k + 1] = +(X[i + j]), j < #k; }"
TWO = "function a(X) -> (Y) { Y = X + 1; }\nfunction b(X, Z) -> (Y, W) { Y = X * Z; W = X - Z; }"
Array = np.ndarray[Any, np.dtype[Any]]


def ramp(n: int, dtype: str = "float32") -> Array:
    return np.arange(n, dtype=dtype)


def test_positions_names_and_numbers() -> None:
    scale = tilec.op(SCALE)
    for found in (scale(ramp(3), 2.0), scale(F=2.0, X=ramp(3)), scale(ramp(3), F=2)):
        assert found.dtype == np.float32
        assert found.tolist() == [0.0, 2.0, 4.0]
    assert scale.signatures() == ["X: f32[3], F: float", "X: f32[3], F: int"]


def test_numbers_that_do_not_shape_the_code_are_arguments() -> None:
    scale = tilec.op(SCALE)
    assert [float(scale(ramp(2), x)[1]) for x in (0.5, 1.5, -2.5)] == [0.5, 1.5, -2.5]
    assert len(scale.signatures()) == 1


def test_numbers_that_shape_the_code() -> None:
    window = tilec.op(WINDOW)
    for k in (1, 2, 3, 2, 1):
        expected = np.convolve(ramp(5), np.ones(k, np.float32), "valid")
        np.testing.assert_array_equal(window(ramp(5), k), expected)
    assert window.signatures() == [f"X: f32[5], k: int {k}" for k in (1, 2, 3)]


def test_shapes_and_dtypes() -> None:
    scale = tilec.op(SCALE)
    assert scale(ramp(4, "int64"), 3).dtype == np.int64
    assert scale(ramp(5, "float64"), 0.5).tolist() == [0, 0.5, 1, 1.5, 2]
    assert len(scale.signatures()) == 2


def test_what_is_read_as_an_array() -> None:
    scale = tilec.op("function (X[N], Z) -> (Y) { Y = X * Z; }")

    class Other(Array):
        pass

    expected = [0.0, 2.0, 4.0]
    for x in (ramp(6)[::2] / 2, memoryview(ramp(3).data), ramp(3).view(Other)):
        assert scale(x, np.float32(2)).tolist() == expected
    with pytest.raises(tilec.TileError, match="TILE0505"):
        scale([0, 1, 2], 2.0)


def test_what_is_read_as_a_number() -> None:
    scale = tilec.op(SCALE)

    class Two(enum.IntEnum):
        TWO = 2

    for factor in (2, Two.TWO, 2.0, np.float64(2)):
        found = scale(ramp(3), factor)
        assert (found.dtype, found.tolist()) == (np.float32, [0.0, 2.0, 4.0])
    assert scale.signatures() == ["X: f32[3], F: int", "X: f32[3], F: float"]
    assert scale(ramp(3), np.float32(2)).tolist() == [0.0, 2.0, 4.0]
    assert scale.signatures()[2:] == ["X: f32[3], F: f32[]"]


def test_out() -> None:
    scale, both = tilec.op(SCALE), tilec.op(TWO, function="b")
    y = np.empty(3, np.float32)
    assert scale(ramp(3), 2.0, out=y) is y
    assert y.tolist() == [0.0, 2.0, 4.0]
    assert scale(y, 2.0, out=y) is y  # overlapping an input
    assert y.tolist() == [0.0, 4.0, 8.0]
    wide = np.zeros(6, np.float32)
    scale(ramp(3), 3.0, out=wide[::2])
    assert wide.tolist() == [0, 0, 3, 0, 6, 0]
    w = np.empty(3, np.float32)
    found = both(ramp(3), ramp(3), out={"W": w})
    assert found[1] is w and found[0].tolist() == [0, 1, 4]
    with pytest.raises(tilec.TileError, match="TILE0506"):
        scale(ramp(3), 2.0, out=np.empty(4, np.float32))
    y.flags.writeable = False
    with pytest.raises(tilec.TileError, match="TILE0507"):
        scale(ramp(3), 2.0, out=y)


def test_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "two.tile").write_text(TWO)
    both = tilec.op(tmp_path / "two.tile", "b")
    assert [r.tolist() for r in both(ramp(2), ramp(2))] == [[0, 1], [0, 0]]
    assert both.source == TWO


def test_decorator() -> None:
    @tilec.op
    def scaled(X: Array, F: float = 3.0) -> Array:  # noqa: N803
        """function (X[N], F) -> (Y) { Y = X * F; }"""
        raise NotImplementedError

    assert isinstance(scaled, Op)
    assert scaled.__name__ == "scaled"
    assert scaled(ramp(2)).tolist() == [0.0, 3.0]
    assert scaled(ramp(2), F=2.0).tolist() == [0.0, 2.0]
    assert scaled.compile(X=(2,)).results["Y"].shape == (2,)


def test_decorator_with_options() -> None:
    @tilec.op(target="reference")
    def plus(A: Array) -> Array:  # noqa: N803
        """function plus(A) -> (B) { B = A + 1; }"""
        raise NotImplementedError

    assert plus(ramp(2)).tolist() == [1, 2]
    assert str(plus.compile(A=(3,)).target) == "reference"


def test_misuse_of_the_decorator() -> None:
    def bare() -> None: ...

    def other(A: Array, C: Array) -> None:  # noqa: N803
        """function f(A, B) -> (C) { C = A + B; }"""

    def variadic(*A: Array) -> None:  # noqa: N803
        """function f(A) -> (C) { C = A; }"""

    for python in (bare, other, variadic):
        with pytest.raises(tilec.TileError, match="TILE0511"):
            tilec.op(python)


def test_wrong_calls() -> None:
    scale = tilec.op(SCALE)
    for code, args, kwargs in (
        ("TILE0501", (ramp(2),), {}),
        ("TILE0502", (ramp(2), 1.0, 2.0), {}),
        ("TILE0502", (ramp(2),), {"g": 1.0}),
        ("TILE0202", (np.ones((2, 2), np.float32), 1.0), {}),
        ("TILE0503", (np.ones(2, np.complex64), 1.0), {}),
    ):
        with pytest.raises(tilec.TileError, match=code):
            scale(*args, **kwargs)
    assert scale.signatures() == []
    assert scale(ramp(2), 1.0).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "function", "names"),
    [
        (SCALE, None, ("X", "F")),
        (WINDOW, None, ("X", "k")),
        ("function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }", None, ("A", "B")),
        ("// function f(A)\nfunction g(B[N]: f32, /* , C */ D: i32) -> (C) { C = B * D; }", None, ("B", "D")),
        ("function <T> f(A: T, B: T) -> (C) { C = A + B; }", None, ("A", "B")),
        (TWO, "b", ("X", "Z")),
        ("function none() -> (C) { C[i : 2] = =(1); }", None, ()),
    ],
)
def test_input_names(text: str, function: str | None, names: tuple[str, ...]) -> None:
    try:
        assert input_names(Source("<string>", text), function) == names
    except tilec.TileError as problem:
        assert problem.code.startswith("TILE00"), problem  # a form that the language does not have


def test_several_functions_need_a_choice() -> None:
    with pytest.raises(tilec.TileError, match="TILE0111"):
        tilec.op(TWO)(ramp(2))
    with pytest.raises(tilec.TileError, match="TILE0110"):
        tilec.op(TWO, "c")(ramp(2))


def test_why_recompiled(caplog: pytest.LogCaptureFixture) -> None:
    window = tilec.op(WINDOW)
    with caplog.at_level(logging.DEBUG, "tilec"):
        window(ramp(64), 2)
        window(ramp(65), 2)
        window(ramp(65, "float64"), 2)
        window(ramp(65), 3)
        window(ramp(65), 3)
        with tilec.config(threads=1):
            window(ramp(65), 3)
    assert [r.getMessage() for r in caplog.records if r.getMessage().startswith("window:")] == [
        "window: compiling for X: f32[64], k: int",
        "window: compiling again: X: f32[64] -> f32[65]",
        "window: compiling again: X: f32[65] -> f64[65]",
        "window: compiling again: k: int 2 -> int 3",
        "window: compiling again: setting threads: not set -> 1",
    ]


def test_settings_are_part_of_the_signature() -> None:
    scale = tilec.op(SCALE)
    with tilec.config(target="reference"):
        assert str(scale.compile(X=(2,), F=1.0).target) == "reference"
    assert scale.compile(X=(2,), F=1.0).target.backend == "llvm"
    with tilec.config(threads=1):
        assert scale.compile(X=(2,), F=1.0).target.threads == 1
    assert scale.signatures()[0] == "X: f32[2], F: float, setting target: 'reference'"
    with tilec.config(log_level="error", color="never", cache=False):  # these decide nothing about the code
        assert len(scale.signatures()) == 3
        scale(ramp(2), 1.0)
    assert len(scale.signatures()) == 3


def test_parameters_in_another_order_than_the_inputs() -> None:
    @tilec.op
    def difference(B: Any, A: Any) -> Any:  # noqa: N803
        """function (A[N], B[N]) -> (Y) { Y = A - B; }"""

    assert difference(ramp(2), 3 * ramp(2)).tolist() == difference(B=ramp(2), A=3 * ramp(2)).tolist() == [0, 2]


def test_a_number_that_needs_64_bits_is_another_signature() -> None:
    scale = tilec.op(SCALE)
    for number in (5, 1 << 40, 5, -1 << 33):
        assert scale(ramp(3, "int64"), number).tolist() == [0, number, 2 * number]
    assert scale.signatures() == ["X: i64[3], F: int", "X: i64[3], F: int64"]


def test_compile_and_call_share_executables() -> None:
    scale = tilec.op(SCALE)
    found = scale.compile(X="f32[3]", F=1.0)
    scale(ramp(3), 5.0)
    assert scale.compile(X=ramp(3), F=2.0) is found
    assert len(scale.signatures()) == 1


def test_threads_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    real = operation.compile_for

    def counted(*args: Any, **options: Any) -> Any:
        compiled.append("")
        return real(*args, **options)

    monkeypatch.setattr(operation, "compile_for", counted)
    window, start = tilec.op(WINDOW), threading.Barrier(16)
    wrong: list[object] = []

    def work(number: int) -> None:
        start.wait()
        for k in (1, 2, 3):
            found = window(ramp(8), k)
            if not np.array_equal(found, np.convolve(ramp(8), np.ones(k), "valid")):
                wrong.append((number, k))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(compiled) == 3


def test_old_signatures_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "LIMIT", 2)
    plus = tilec.op("function (X[N]) -> (Y) { Y = X + 1; }", target="reference")
    for n in (1, 2, 3):
        plus(ramp(n))
    assert plus.signatures() == ["X: f32[2]", "X: f32[3]"]


def test_old_numbers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "LIMIT", 2)
    window = tilec.op(WINDOW, target="reference")
    for k in (1, 2, 3, 1):
        np.testing.assert_array_equal(window(ramp(8), k), np.convolve(ramp(8), np.ones(k), "valid"))
    assert window.signatures() == ["X: f32[8], k: int 3", "X: f32[8], k: int 1"]


def test_a_signature_that_is_forgotten_while_it_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plus = tilec.op("function (X[N]) -> (Y) { Y = X + 1; }", target="reference")

    def forgetting(level: int) -> bool:
        plus._known.families.clear()
        return True

    monkeypatch.setattr(signatures._log, "isEnabledFor", forgetting)
    assert plus(ramp(2)).tolist() == [1, 2]


def test_no_call_sees_half_of_a_change() -> None:
    """At every line of a look-up another thread may add what is for other numbers."""
    window = tilec.op(WINDOW, target="reference")
    one, lines = window.compile(X=(4,), k=1), len(inspect.getsource(signatures.Known.find).splitlines())
    for when in range(lines + 2):
        family, count = signatures.Family[Any](), 0

        def look(frame: Any, event: str, _: Any, family: Any = family, when: int = when) -> Any:
            nonlocal count
            count += event == "line"
            if event == "line" and count == when:
                family.known = family.known.plus(signatures.Member((None, 1), one, None), [1])
            return look

        sys.settrace(look)
        try:
            found = family.known.find((ramp(4), 2))
        finally:
            sys.settrace(None)
        assert found is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_wait_for_threads_of_its_parent() -> None:
    """Forked while another thread was compiling the same signature."""
    code = (
        "import os, signal, numpy as np, tilec\n"
        "plus = tilec.op('function (X[N]) -> (Y) { Y = X + 1; }', target='reference')\n"
        "plus(np.zeros(1)); family, = plus._known.families.values(); family.known = type(family.known)()\n"
        "family.gate.acquire(); plus._known.lock.acquire()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.alarm(20); print(plus(np.zeros(1)), flush=True); os._exit(0)\n"
        "raise SystemExit(os.waitpid(child, 0)[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[1.]\n"), done.stderr


def test_the_environment_does_not_leak_into_the_key() -> None:
    assert config.changes() == config.decisive() == ((), ())
