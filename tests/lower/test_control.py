"""Branches, loops and scans as steps: views instead of copies, carried memory, and sizes that do not matter."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.lower.test_programs import agree, bounded, compiled
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.loops import Branch, Copy, Iterate, Launch, Program, Repeat, all_steps
from tilec.passes import fuse, in_place, lower, place
from tilec.text.loops_text import parse_program
from tilec.verify.loops import verify_program

RNG = np.random.default_rng(3)
RECURRENCE = """graph f(H: f32[4], X: f32[{n}, 4], W: f32[4, 4]) -> (L, O) {{
  L, O = scan (H) in (X) const (W) length {n}{how} do graph step(H: f32[4], X: f32[4], W: f32[4, 4]) -> (N, N) {{
    M: f32[4] = sum:f32 [i, j] {{ [i] <- mul(W[i, j], H[j]) }}
    T = add(M, X)
    N = max(T, H)
  }}
}}"""
STATE = RNG.integers(-3, 4, 4).astype(np.float32)
WEIGHTS = RNG.integers(-1, 2, (4, 4)).astype(np.float32)


def slices(n: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return RNG.integers(-3, 4, (n, 4)).astype(np.float32)


def test_slices_and_outputs_are_views() -> None:
    program = agree(RECURRENCE.format(n=5, how=""), H=STATE, X=slices(5), W=WEIGHTS)
    (loop,) = (s for s in program.steps if isinstance(s, Iterate))
    launch, copy = loop.steps
    assert isinstance(launch, Launch) and isinstance(copy, Copy)
    moving = {b.name: b for b in program.buffers if b.moves}
    assert {b.base for b in moving.values()} == {"X", "O"}
    assert all(b.moves == ((loop.index, 4),) for b in moving.values())
    assert copy.source in moving and copy.target == "L"  # what is carried on is the output just made


@pytest.mark.parametrize("how", ["", " reverse"])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_scans_of_any_length(n: int, how: str) -> None:
    agree(RECURRENCE.format(n=n, how=how), H=STATE, X=slices(n), W=WEIGHTS)


@pytest.mark.parametrize("how", [" count N", " count N reverse"])
@pytest.mark.parametrize("count", [-2, 0, 1, 3, 5, 8])
def test_the_number_of_steps_may_be_given_at_run_time(count: int, how: str) -> None:
    text = RECURRENCE.format(n=5, how=how).replace("(H: f32[4], X", "(N: i32, H: f32[4], X", 1)
    agree(text, N=np.array(count, np.int32), H=STATE, X=slices(5), W=WEIGHTS)


def test_a_result_may_be_reshaped_and_scanned() -> None:
    text = """graph f(A: f32[2, 3], H: f32[3]) -> (X, O) {
      X: f32[2, 3] = special reshape(A) {shape = (2, 3)}
      L, O = scan (H) in (X) length 2 do graph step(H: f32[3], X: f32[3]) -> (N, N) { N = add(H, X) }
    }"""
    agree(text, A=np.arange(6, dtype=np.float32).reshape(2, 3), H=STATE[:3])


def size(program: Program) -> tuple[int, int, int]:
    return len(program.kernels), len(list(all_steps(program.steps))), len(program.buffers)


def test_a_long_recurrence_is_no_larger_than_a_short_one() -> None:
    short, long = (compiled(RECURRENCE.format(n=n, how="")) for n in (10, 1000))
    assert size(short) == size(long)


def test_a_carried_value_is_computed_in_place_where_nothing_reads_the_old_one() -> None:
    text = """graph f(A: f32[3], B: f32[3]) -> (A2, B2) {
      A2, B2 = scan (A, B) in () length 4 do graph s(A: f32[3], B: f32[3]) -> (C, D) {
        D: f32[3] = sum:f32 [i, j] { [i: 3] <- mul(A[i], A[j]) }
        C: f32[3] = sum:f32 [i, j] { [i: 3] <- mul(D[j], B[i]) }
      }
    }"""
    small = np.array([1, 0, -1], np.float32)
    program = agree(text, A=small, B=small)
    loop = next(s for s in program.steps if isinstance(s, Iterate))
    copies = [s for s in loop.steps if isinstance(s, Copy)]
    assert [c.target for c in copies] == ["B2"]  # A2 is written when nothing reads it any more


def test_a_carried_value_is_overwritten_by_the_kernel_that_reads_it_last() -> None:
    text = """graph f(C: f32[4], X: f32[3, 4]) -> (D, O) {
      D, O = scan (C) in (X) length 3 do graph s(C: f32[4], X: f32[4]) -> (E, C) {
        S = sigmoid(C)  T = mul(S, X)  E = add(T, C)
      }
    }"""
    inputs = {"C": STATE, "X": slices(3)}
    graph = bounded(text)
    wanted = evaluate(graph, inputs)
    program = place.run(in_place.run(lower.run(graph, fuse.run(graph))))
    verify_program(program)
    loop = next(s for s in program.steps if isinstance(s, Iterate))
    kept, launch = loop.steps
    assert isinstance(kept, Copy) and isinstance(launch, Launch) and "D" in launch.args  # the output is kept first
    found = evaluate_program(program, inputs)
    for name, result in zip(graph.results, program.results, strict=True):
        np.testing.assert_array_equal(found[result], wanted[name])


def test_carried_values_change_places() -> None:
    text = """graph f(A: f32[3], B: f32[3], C: f32[3]) -> (X, Y, Z) {
      X, Y, Z = scan (A, B, C) in () length 4 do graph s(A: f32[3], B: f32[3], C: f32[3]) -> (B, C, A) { }
    }"""
    rows = RNG.integers(-9, 9, (3, 3)).astype(np.float32)
    agree(text, A=rows[0], B=rows[1], C=rows[2])


@pytest.mark.parametrize("first", "ABTU")
def test_carried_values_become_any_of_old_and_new_values(first: str) -> None:
    """What one carried value is overwritten with may be what another one still hands on unchanged."""
    inputs = {"A": STATE, "B": STATE[::-1].copy(), "X": slices(3)}
    for second, output in itertools.product("ABTU", repeat=2):
        agree(
            f"""graph f(A: f32[4], B: f32[4], X: f32[3, 4]) -> (L, M, O) {{
              L, M, O = scan (A, B) in (X) length 3
              do graph s(A: f32[4], B: f32[4], X: f32[4]) -> ({first}, {second}, {output}) {{
                T = add(B, X)
                U = sub(A, T)
              }}
            }}""",
            **inputs,
        )


def test_loops_in_loops_slice_slices() -> None:
    text = """graph f(X: f32[4, 3, 2], S: f32[2]) -> (L, O) {
      L, O = scan (S) in (X) length 4 do graph rows(S: f32[2], X: f32[3, 2]) -> (T, P) {
        T, P = scan (S) in (X) length 3 reverse do graph cells(S: f32[2], X: f32[2]) -> (U, U) { U = add(S, X) }
      }
    }"""
    program = agree(text, X=RNG.integers(-9, 9, (4, 3, 2)).astype(np.float32), S=STATE[:2])
    outer = next(s for s in program.steps if isinstance(s, Iterate))
    inner = next(s for s in outer.steps if isinstance(s, Iterate))
    cell = ((outer.index, 6), (inner.index, 2))
    assert [b.base for b in program.buffers if b.moves == cell] == ["X", "O"]


def test_a_branch_writes_the_same_memory_on_both_sides() -> None:
    text = """graph f(P: bool, A: f32[3]) -> (R) {
      R = if P (A) then graph t(A: f32[3]) -> (B) { B = neg(A) } else graph e(A: f32[3]) -> (A) { }
    }"""
    for choice in (True, False):
        program = agree(text, P=np.array(choice), A=STATE[:3])
    (branch,) = program.steps
    assert isinstance(branch, Branch)
    assert isinstance(branch.then[0], Launch) and branch.then[0].args == ("A", "R")
    assert branch.orelse == (Copy("A", "R"),)


def test_a_condition_may_be_what_is_carried() -> None:
    text = """graph f(P: bool, A: i32) -> (Q, R) {
      Q, R = while (P, A) test graph c(P: bool, A: i32) -> (P) { } do graph d(P: bool, A: i32) -> (Q, B) {
        o = literal i32 (1)
        B = sub(A, o)
        Q = cmp_gt(B, o)
      }
    }"""
    for start in (True, False):
        program = agree(text, P=np.array(start), A=np.array(5, np.int32))
    loop = next(s for s in program.steps if isinstance(s, Repeat))
    assert loop.condition == "Q" and loop.test == ()


def test_what_depends_on_literals_alone_is_made_before_the_loop() -> None:
    text = """graph f(A: f32[3]) -> (R) {
      R = scan (A) in () length 4 do graph s(A: f32[3]) -> (C) {
        K = literal f32[3] (1.0, 2.0, 3.0)
        B = reshape_ K
        C = add(A, K)
      }
    }""".replace("        B = reshape_ K\n", "")
    program = agree(text, A=STATE[:3])
    assert len(program.init) == 1
    assert not any(isinstance(s, Launch) for s in program.steps)


# --- views that move, as text ----------------------------------------------------------------------------------------

MOVING = """program p(X) -> (Y) {
  buffer X: param f32[4, 2]
  buffer Y: param f32[4, 2]
  buffer x: param f32[2] base X offset 2*t
  buffer y: param f32[2] base Y offset OFFSET
  kernel double(in A: f32[2], out B: f32[2]) { for i in 2 { B[i] = add(A[i], A[i]) } }
  run { iterate t in EXTENT do { launch double(x, y) } AFTER }
}"""


@pytest.mark.parametrize(
    ("offset", "extent", "after", "message"),
    [
        ("2*t", "4", "", ""),
        ("-2*t + 6", "4", "", ""),
        ("2*t", "5", "", "reaches outside"),
        ("2*t + 1", "4", "", "reaches outside"),
        ("-2*t", "4", "", "reaches outside"),
        ("2*s", "4", "", "which no step counts"),
        ("2*t", "4", "copy x -> y", "used outside of that loop"),
        ("2*t", "4", "iterate t in 2 do { }", "declared twice"),
    ],
)
def test_the_verifier_follows_moving_views(offset: str, extent: str, after: str, message: str) -> None:
    text = MOVING.replace("OFFSET", offset).replace("EXTENT", extent).replace("AFTER", after)
    program = parse_program(text)
    if not message:
        verify_program(program)
        return
    with pytest.raises(TileError, match=message) as caught:
        verify_program(program)
    assert caught.value.code == "TILE0602"


@pytest.mark.parametrize(("first", "second", "shared"), [("2*t", "2*t + 2", False), ("2*t", "-2*t + 6", True)])
def test_views_of_one_buffer_are_told_apart(first: str, second: str, shared: bool) -> None:
    text = MOVING.replace("base X offset 2*t", f"base Y offset {first}").replace("OFFSET", second)
    program = parse_program(text.replace("EXTENT", "3").replace("AFTER", ""))
    if not shared:
        verify_program(program)
        return
    with pytest.raises(TileError, match="share memory"):
        verify_program(program)
