"""Data-dependent indices and boundary modes: every combination, scheduled and not, compared with the evaluator."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from tests.backends.conformance import NAMES, Case, check
from tilec import pipeline
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.options import Options
from tilec.passes import infer
from tilec.text.graph_text import parse_graph
from tilec.verify.graph import verify
from tilec.verify.program import verify_program

MODES = ("", "", "; clamp", "; wrap", "; reflect", "; value 7.0")
MONOIDS = ("sum", "max", "min", "prod", "assign", "sum", "assign")
INDICES = ("i32", "i64", "u8", "u64", "i8")


def random_text(seed: int) -> tuple[str, dict[str, Any]]:
    """A contraction over one or two accesses of every kind, and its inputs. Floats are small integers."""
    rng = random.Random(seed)
    numbers = np.random.default_rng(seed)
    n, m, rows, columns = rng.randint(1, 6), rng.randint(1, 4), rng.randint(1, 5), rng.randint(1, 4)
    monoid, index = rng.choice(MONOIDS), rng.choice(INDICES)
    accesses = [access(rng, n, m, rows, columns) for _ in range(rng.randint(1, 2))]
    body = accesses[0] if len(accesses) == 1 else f"{rng.choice(['add', 'sub'])}({accesses[0]}, {accesses[1]})"
    sink = "[i, j: {n}, {m}]" if monoid == "assign" or rng.random() < 0.3 else rng.choice(["[i: {n}]", "[j: {m}]"])
    size = 2 if sink.startswith("[i, j") else 1
    shape = (n, m) if size == 2 else (n,) if sink.startswith("[i:") else (m,)
    default = f" default {rng.choice('DE')}" if rng.random() < 0.5 else ""
    result = f"f32[{', '.join(map(str, shape))}]"
    inputs = f"A: f32[{rows}, {columns}], B: f32[{n}], I: {index}[{n}, {m}], D: {result}, E: f32"
    text = f"""graph f({inputs}) -> (O) {{
      O: {result} = {monoid}:f32 [i, j] {{ {sink.format(n=n, m=m)} <- {body} }}
        where 0 <= i < {n}, 0 <= j < {m}{default}
    }}"""
    low, high = (0, 7) if index.startswith("u") else (-4, 8)
    where = numbers.integers(low, high, (n, m)).astype(parse_graph(text).params[2].type.dtype.numpy)
    if index == "u64" and rng.random() < 0.5:
        where.flat[0] = 2**64 - 1
    return text, {
        "A": numbers.integers(-2, 3, (rows, columns)).astype(np.float32),
        "B": numbers.integers(-2, 3, n).astype(np.float32),
        "I": where,
        "D": numbers.integers(50, 60, shape).astype(np.float32),
        "E": np.array(99, np.float32),
    }


def access(rng: random.Random, n: int, m: int, rows: int, columns: int) -> str:
    mode = rng.choice(MODES)
    first = rng.choice(["@I[i, j]", "@I[i, j]", f"@I[i, {rng.randint(0, m - 1)}]", "i - 1", "2*i + j - 3", "j"])
    second = rng.choice(["j", "i + j - 1", "-j + 2", "@I[i, j]", "0"])
    if rng.random() < 0.2:
        return "B[@I[i, j]; clamp]"
    return f"A[{first}, {second}{mode}]"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_random_accesses() -> None:
    differ = 0
    for seed in range(250):
        text, inputs = random_text(seed)
        graph = infer.run(parse_graph(text))
        verify(graph)
        wanted = evaluate(graph, inputs)["O"]
        optimised = pipeline.optimise(graph)
        np.testing.assert_array_equal(evaluate(optimised, inputs)["O"], wanted, err_msg=text)
        for options in (Options(fuse=False, schedule=False), Options()):
            program = pipeline.lower_graph(optimised, pipeline.resolve_target("llvm"), options)
            verify_program(program, scheduled=options.schedule)
            np.testing.assert_array_equal(evaluate_program(program, inputs)[program.results[0]], wanted, err_msg=text)
        differ += len(np.unique(wanted)) > 1
    assert differ > 150


@pytest.mark.parametrize("name", [n for n in NAMES if n != "reference"])
def test_random_accesses_compiled(name: str) -> None:
    found = pipeline.backend(name).targets()
    if not found:
        pytest.skip(f"backend {name!r} finds no device on this machine")
    cases = []
    for seed in range(1000, 1080):
        text, inputs = random_text(seed)
        graph = infer.run(parse_graph(text))
        program = pipeline.lower_graph(pipeline.optimise(graph), found[0])
        cases.append(Case(text, program, inputs, {program.results[0]: evaluate(graph, inputs)["O"]}, bound={}))
    check(name, cases)


def agree(text: str, **inputs: Any) -> Any:
    """The result, after comparing the compiled program with the evaluator."""
    graph = infer.run(parse_graph(text))
    (wanted,) = evaluate(graph, inputs).values()
    optimised = pipeline.optimise(graph)
    for options in (Options(fuse=False, schedule=False), Options()):
        program = pipeline.lower_graph(optimised, pipeline.resolve_target("llvm"), options)
        verify_program(program, scheduled=options.schedule)
        (found,) = evaluate_program(program, inputs).values()
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))
    return wanted


X = np.array([3, 1, 4, 1, 5], np.float32)
WHERE = np.array([4, -1, 2, 5, 0], np.int32)
GATHER = """graph f(X: f32[5], I: i32[5]) -> (O) {{
  O: f32[5] = {monoid}:f32 [i] {{ [i] <- X[@I[i]{mode}] }} where 0 <= i < 5
}}"""


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("", [5, 0, 4, 0, 3]),
        ("; clamp", [5, 3, 4, 5, 3]),
        ("; wrap", [5, 5, 4, 3, 3]),
        ("; reflect", [5, 1, 4, 1, 3]),
        ("; value -2.0", [5, -2, 4, -2, 3]),
    ],
)
@pytest.mark.parametrize("monoid", ["assign", "sum", "max"])
def test_what_is_read_outside(monoid: str, mode: str, wanted: list[float]) -> None:
    assert agree(GATHER.format(monoid=monoid, mode=mode), X=X, I=WHERE).tolist() == wanted


def test_padding_with_a_mode_is_one_kernel_without_copies() -> None:
    text = """graph f(X: f32[5], W: f32[3]) -> (O) {
      O: f32[5] = sum:f32 [i, k] { [i: 5] <- mul(X[i + k - 1; reflect], W[k]) }
    }"""
    w = np.array([1, 2, 4], np.float32)
    padded = np.pad(X, 1, mode="reflect")
    assert agree(text, X=X, W=w).tolist() == np.correlate(padded, w, "valid").tolist()


def test_indices_of_indices() -> None:
    text = """graph f(X: f32[5], I: i32[5], J: i32[4]) -> (O) {
      O: f32[4] = sum:f32 [i] { [i: 4] <- X[@I[@J[i]]] } where 0 <= i < 4
    }"""
    assert agree(text, X=X, I=WHERE, J=np.array([0, 9, 3, 4], np.int32)).tolist() == [5, 0, 0, 3]


@pytest.mark.parametrize("mode", ["clamp", "wrap", "reflect"])
@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_an_axis_may_be_longer_than_the_type_of_its_indices_counts(mode: str, dtype: str) -> None:
    text = f"""graph f(X: i32[300], I: {dtype}[3]) -> (O) {{
      O: i32[3] = assign:i32 [i] {{ [i: 3] <- X[@I[i]; {mode}] }} where 0 <= i < 3
    }}"""
    numbers = [127, -128, -1] if dtype == "i8" else [255, 128, 0]
    outside = {"clamp": 0, "wrap": 300, "reflect": None}[mode]
    index = np.array(numbers, parse_graph(text).params[1].type.dtype.numpy)
    wanted = [n if n >= 0 else -n if outside is None else max(n + outside, 0) for n in numbers]
    assert agree(text, X=np.arange(300, dtype=np.int32), I=index).tolist() == wanted


def test_the_sign_of_zero_and_nan_are_those_of_the_terms() -> None:
    values = np.array([-0.0, np.nan, -np.inf, 0.0, 2.0], np.float32)
    for monoid in ("assign", "max", "min", "prod"):
        agree(GATHER.format(monoid=monoid, mode=""), X=values, I=np.array([0, 1, 7, 2, 4], np.int32))


def test_fractional_indices_of_clamped_reads_restrict_the_points() -> None:
    text = """graph f(X: f32[5]) -> (O) {
      O: f32[8] = sum:f32 [i] { [i: 8] <- X[1/2*i; clamp] } where 0 <= i < 8
    }"""
    assert agree(text, X=X).tolist() == [3, 0, 1, 0, 4, 0, 1, 0]


def test_nothing_to_read() -> None:
    form = GATHER.replace("X: f32[5]", "X: f32[0]")
    none = np.zeros(0, np.float32)
    for mode, wanted in (("", 0), ("; clamp", 0), ("; value 3.0", 3)):
        assert agree(form.format(monoid="sum", mode=mode), X=none, I=WHERE).tolist() == [wanted] * 5


def test_a_pair_of_components_changes_only_where_there_is_a_term() -> None:
    """The greatest element that is read, and how many were: a monoid of the user's over pairs."""
    text = """graph f(X: f32[5], I: i32[3, 4], D: f32[3]) -> (M, N) {
      M: f32[3], N: i32[3] = monoid greatest(-inf:f32, 0:i32)
        (cond(cmp_lt(a0:f32, b0:f32), b0:f32, a0:f32), add(a1:i32, b1:i32)) [i, j]
        { [i: 3] <- X[@I[i, j]]; [i: 3] <- cond(cmp_lt(X[@I[i, j]], inf:f32), 1:i32, 1:i32) }
        where 0 <= i < 3, 0 <= j < 4 default (D, _)
    }"""
    graph = infer.run(parse_graph(text))
    where = np.array([[0, 1, 9, 2], [-1, 5, 7, 9], [4, 4, 3, -3]], np.int32)
    inputs = {"X": X, "I": where, "D": np.array([70, 80, 90], np.float32)}
    wanted = evaluate(graph, inputs)
    assert wanted["M"].tolist() == [4, 80, 5] and wanted["N"].tolist() == [3, 0, 3]
    for options in (Options(fuse=False, schedule=False), Options()):
        target = pipeline.resolve_target("llvm")
        program = pipeline.lower_graph(pipeline.optimise(graph), target, options)
        verify_program(program, scheduled=options.schedule)
        found = evaluate_program(program, inputs)
        results = [np.zeros(3, np.float32), np.zeros(3, np.int32)]
        built = pipeline.backend("llvm").build(program, target, {})
        built([inputs[n] for n in program.params], results)
        for name, buffer, array in zip(graph.results, program.results, results, strict=True):
            np.testing.assert_array_equal(found[buffer], wanted[name])
            np.testing.assert_array_equal(array, wanted[name])
