"""What an untyped, careless or hostile caller may hand to `parse`, `compile`, `run` and to an executable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tilec

ADD = "function (A[N], B[N]) -> (C) { C = A + B; }"
SCALE = "function (A[N], S) -> (C) { C = A * S; }"
TWO = "function (A[N]) -> (B, C) { B = A + 1; C = A + 2; }"
Array = np.ndarray[Any, np.dtype[Any]]


def ramp(n: int = 6) -> Array:
    return np.arange(n, dtype=np.float32)


def code(call: Callable[[], Any]) -> str:
    """Code of the TileError that a call raises."""
    with pytest.raises(tilec.TileError) as caught:
        call()
    str(caught.value)
    return caught.value.code


class Raising:
    """Every way of becoming an array raises something that NumPy does not foresee."""

    def __init__(self, method: str, reason: Exception) -> None:
        self.method, self.reason = method, reason

    def __getattr__(self, name: str) -> Any:
        if name == self.method:
            return self._fail
        raise AttributeError(name)

    def _fail(self, *args: Any, **options: Any) -> Any:
        raise self.reason


class Lying(np.ndarray[Any, np.dtype[Any]]):
    """Two elements that claim to be six."""

    shape = property(lambda self: (6,))


def lying() -> Array:
    return np.ndarray.view(np.zeros(2, np.float32), Lying)


@pytest.mark.parametrize("text", ["", "  ", "\t"])
def test_blank_text_is_text(text: str) -> None:
    assert code(lambda: tilec.parse(text)) == "TILE0012"


@pytest.mark.parametrize("program", [None, 3, b"function (A) -> (B) { B = A; }", [], object(), np.zeros(2)])
def test_programs_of_other_types(program: Any) -> None:
    assert code(lambda: tilec.parse(program)) == "TILE0511"
    assert code(lambda: tilec.compile(program, A=(3,))) == "TILE0511"
    assert code(lambda: tilec.run(program, {"A": ramp()})) == "TILE0511"


@pytest.mark.parametrize("inputs", [None, 3, "x", [1], [("A", 1)], {3: 1}, {None: 1}])
def test_inputs_that_are_no_mapping_of_names(inputs: Any) -> None:
    assert code(lambda: tilec.run(ADD, inputs)) == "TILE0511"


@pytest.mark.parametrize("constants", [3, "x", [1], {3: ramp()}])
def test_constants_that_are_no_mapping_of_names(constants: Any) -> None:
    assert code(lambda: tilec.compile(ADD, A=(6,), B=(6,), constants=constants)) == "TILE0511"


@pytest.mark.parametrize("options", [None, {"fuse": False}, "fuse"])
def test_options_of_other_types(options: Any) -> None:
    with pytest.raises(tilec.TileError, match="TILE0511"):
        tilec.compile("function (A) -> (B) { B = A; }", options=options, A=(3,))


def test_other_odd_options() -> None:
    for function in (3, b"x"):
        assert code(lambda f=function: tilec.compile(ADD, A=(6,), B=(6,), function=f)) == "TILE0511"  # type: ignore[misc]
    for target in (None, 3, b"llvm"):
        assert code(lambda t=target: tilec.compile(ADD, t, A=(6,), B=(6,))) == "TILE0508"  # type: ignore[misc]


def test_shapes_are_plain_integers() -> None:
    executable = tilec.compile(ADD, A=(np.int64(1),), B=(True,))
    assert [type(s) for t in executable.params.values() for s in t.shape] == [int, int]
    assert code(lambda: tilec.compile(ADD, A="f32[٣]", B="f32[3]")) == "TILE0704"


def test_inputs_may_have_the_names_of_parameters() -> None:
    for name in ("self", "program", "args"):
        text = f"function (#{name}[N]) -> (C) {{ C = #{name} + 1; }}"
        shapes: dict[str, Any] = {name: (3,)}
        np.testing.assert_array_equal(tilec.compile(text, **shapes)(**{name: ramp(3)}), [1, 2, 3])


@pytest.mark.parametrize("method", ["__dlpack__", "__array__"])
@pytest.mark.parametrize("reason", [KeyError("x"), ZeroDivisionError(), AttributeError("x"), OSError("x")])
def test_foreign_objects_that_raise(method: str, reason: Exception) -> None:
    value = Raising(method, reason)
    add = tilec.compile(ADD, A=(6,), B=(6,))
    assert code(lambda: add(ramp(), value)) == "TILE0505"
    assert code(lambda: tilec.compile(ADD, A=(6,), B=value)) == "TILE0505"
    assert code(lambda: tilec.compile(ADD, A=(6,), constants={"B": value})) == "TILE0505"


def test_subclass_that_lies_about_its_shape_is_not_believed() -> None:
    add = tilec.compile(ADD, A=(6,), B=(6,))
    assert code(lambda: add(ramp(), lying())) == "TILE0504"
    assert code(lambda: add(ramp(), ramp(), out=lying())) == "TILE0506"
    assert tilec.compile(SCALE, A=(6,), S=np.float32(1)).params["S"].shape == ()
    assert code(lambda: tilec.run(ADD, {"A": ramp(), "B": lying()})) == "TILE0201"


def test_masked_arrays_are_refused() -> None:
    add = tilec.compile(ADD, A=(6,), B=(6,))
    masked = np.ma.array(ramp(), mask=[True] + [False] * 5)
    assert code(lambda: add(ramp(), masked)) == "TILE0505"
    assert code(lambda: add(ramp(), ramp(), out=masked)) == "TILE0506"


def test_numbers_beyond_every_type() -> None:
    scale = tilec.compile(SCALE, A=(6,), S=1.5)
    assert code(lambda: scale(ramp(), 10**400)) == "TILE0503"
    assert code(lambda: tilec.compile(SCALE, A=(6,), S=10**400)) == "TILE0415"


def test_a_copy_that_does_not_fit() -> None:
    endless = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2**44,), (0,))
    assert code(lambda: tilec.compile(ADD, A=(6,), constants={"B": endless})) == "TILE0416"


def test_temporary_tensors_that_do_not_fit() -> None:
    text = "function (A[N]) -> (B) { T[i : 1000000000000000] = +(A[i]); B[] = +(T[2 * i] * T[i]); }"
    assert code(lambda: tilec.run(text, {"A": ramp(3)})) == "TILE0416"


def test_constants_are_copied() -> None:
    b = ramp()
    add = tilec.compile(ADD, A=(6,), constants={"B": b})
    b[:] = 100
    np.testing.assert_array_equal(add(ramp()), ramp() * 2)


def test_out_arrays_that_overlap() -> None:
    two = tilec.compile(TWO, A=(3,))
    out = np.zeros(6, np.float32)
    assert code(lambda: two(ramp(3), out={"B": out[:3], "C": out[:3]})) == "TILE0507"
    assert code(lambda: two(ramp(3), out=[out[:3], out[2:5]])) == "TILE0507"
    assert code(lambda: two(ramp(3), out=[out[:3], "x"])) == "TILE0506"
    two(ramp(3), out=[out[::2], out[1::2]])
    np.testing.assert_array_equal(out, [1, 2, 2, 3, 3, 4])
    square = tilec.compile("function (A[M, N]) -> (B) { B = A + 1; }", A=(3, 3))
    crossed = np.lib.stride_tricks.as_strided(np.zeros(5, np.float32), (3, 3), (4, 4))
    assert code(lambda: square(np.zeros((3, 3), np.float32), out=crossed)) == "TILE0507"


def test_out_of_a_subclass_is_returned_itself() -> None:
    out = np.zeros((1, 6), np.float32).view(np.matrix)
    text = "function (A[M, N]) -> (B) { B = A + 1; }"
    assert tilec.compile(text, A=(1, 6))(ramp().reshape(1, 6), out=out) is out
    np.testing.assert_array_equal(np.asarray(out)[0], ramp() + 1)


def test_graphs_are_checked_against_what_is_said_of_their_inputs() -> None:
    graph = tilec.compile(ADD, A=(3,), B=(3,)).graph
    short, wide = ramp(2), np.zeros(3)
    assert code(lambda: tilec.compile(graph, constants={"A": short})) == "TILE0504"
    assert code(lambda: tilec.compile(graph, constants={"A": wide})) == "TILE0503"
    assert code(lambda: tilec.compile(graph, constants={"Z": wide})) == "TILE0502"
    assert code(lambda: tilec.compile(graph, A=(4,))) == "TILE0504"
    assert code(lambda: tilec.compile(graph, function="other")) == "TILE0110"
    np.testing.assert_array_equal(tilec.compile(graph, constants={"A": ramp(3)})(ramp(3)), [0, 2, 4])


def test_graphs_are_verified() -> None:
    graph = tilec.compile(ADD, A=(3,), B=(3,)).graph
    broken = replace(graph, lets=(), results=("Nowhere",))
    assert code(lambda: tilec.compile(broken)) == "TILE0602"
