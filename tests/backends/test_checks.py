"""Assertions checked while a program runs: on every backend, in loops and branches, loaded from a file, in C."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tests.aot.test_objects import Loaded
from tests.backends.conformance import NAMES
from tilec.ahead import compile_ahead, target_named
from tilec.backends.llvm.c_checks import FAILED, OK
from tilec.devices import backend
from tilec.errors import Source, Span, TileError
from tilec.graph import Graph
from tilec.passes import infer
from tilec.text.graph_text import parse_graph

CHECKS = """graph f(A: f32[3], N: i32) -> (B) {
  () = special assert(A) {message = "A has a zero"}
  B = scan (A) in () length 4 do graph s(A: f32[3]) -> (C) {
    one = literal f32 (1.0)
    C = sub(A, one)
    ten = literal f32 (-10.0)
    ok = cmp_gt(C, ten)
    () = special assert(ok) {message = "too small"}
  }
  z = literal i32 (0)
  p = cmp_ge(N, z)
  () = special assert(p) {message = "N is negative"}
  () = if p (N) then graph t(N: i32) -> () {
    five = literal i32 (5)
    q = cmp_lt(N, five)
    () = special assert(q) {message = "N is large"}
  } else graph e(N: i32) -> () { }
}"""
SOURCE = Source("program.tile", "one\ntwo three\n")


def graph() -> Graph:
    """The text, its first assertion at `three`."""
    found = infer.run(parse_graph(CHECKS))
    first = replace(found.lets[0], span=Span(SOURCE, 8, 13))
    return replace(found, lets=(first, *found.lets[1:]))


def arguments(a: list[float], n: int) -> dict[str, Any]:
    return {"A": np.array(a, np.float32), "N": np.array(n, np.int32)}


def outcome(executable: tilec.Executable, a: list[float], n: int) -> object:
    try:
        (result,) = executable.run((), arguments(a, n))
    except TileError as e:
        assert e.code == "TILE0405"
        return e.diagnostics[0].message
    return result.tolist()


CASES: list[tuple[list[float], int, object]] = [
    ([1, 2, 3], 1, [-3, -2, -1]),
    ([1, 0, 3], 1, "A has a zero"),
    ([1, -8, 3], 1, "too small"),
    ([1, float("nan"), 2], 1, "too small"),
    ([1, 2, 3], -1, "N is negative"),
    ([1, 2, 3], 7, "N is large"),
    ([1, 0, 3], -1, "A has a zero"),
]


@pytest.mark.parametrize("name", NAMES)
def test_the_first_assertion_that_fails_is_named(name: str) -> None:
    if name != "reference" and not backend(name).targets():
        pytest.skip(f"backend {name!r} finds no device on this machine")
    executable = tilec.compile(graph(), target=name)
    for a, n, wanted in CASES:
        assert outcome(executable, a, n) == wanted
        assert outcome(executable, [1, 2, 3], 1) == [-3, -2, -1]  # a failure leaves nothing behind


def test_the_place_survives_saving(tmp_path: Path) -> None:
    file = tmp_path / "checks.tilex"
    tilec.compile(graph(), target="llvm").save(file)
    for executable in (tilec.compile(graph(), target="llvm"), tilec.load(file)):
        with pytest.raises(TileError, match=r"program\.tile:2:5") as caught:
            executable.run((), arguments([0, 1, 2], 1))
        assert caught.value.code == "TILE0405"


def test_an_assertion_may_have_a_code_of_its_own(tmp_path: Path) -> None:
    text = 'graph f(A: f32[3]) -> (A) { () = special assert(A) {message = "of nothing", code = "TILE0403"} }'
    executable = tilec.compile(infer.run(parse_graph(text)), target="llvm")
    executable.save(tmp_path / "checks.tilex")
    for loaded in (executable, tilec.load(tmp_path / "checks.tilex")):
        with pytest.raises(TileError, match="of nothing") as caught:
            loaded(np.zeros(3, np.float32))
        assert caught.value.code == "TILE0403"
    for attributes in ('message = "", code = "TILE9999"', 'message = "", kind = "TILE0403"', 'code = "TILE0403"'):
        with pytest.raises(TileError) as caught:
            infer.run(parse_graph(f"graph f(A: f32[3]) -> (A) {{ () = special assert(A) {{{attributes}}} }}"))
        assert caught.value.code == "TILE0602"


def test_programs_without_assertions_have_no_status() -> None:
    plain = infer.run(parse_graph("graph f(A: f32[3]) -> (B) { B = neg(A) }"))
    built: Any = tilec.compile(plain, target="llvm").built
    assert built.code.checks == ()


def test_in_c_a_failure_is_a_status() -> None:
    function = Loaded(compile_ahead(graph(), target_named("host"), {}, {}))
    result, room = np.zeros(3, np.float32), np.zeros(function.size, np.uint8)
    for a, n, wanted in CASES:
        inputs = arguments(a, n)
        pointers = [inputs["A"].ctypes.data, inputs["N"].ctypes.data, result.ctypes.data, room.ctypes.data]
        assert function.call(*pointers) == (FAILED if isinstance(wanted, str) else OK)
        if not isinstance(wanted, str):
            assert result.tolist() == wanted
