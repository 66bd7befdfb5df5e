"""Functions for C whose sizes are open: called for many sizes, and compared with the evaluator."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tests.aot.test_objects import MATMUL, SOFTMAX, Loaded
from tests.backends.llvm_support import undefined_symbols
from tests.fuzz.generate import generate
from tests.fuzz.judge import judge, visible
from tests.fuzz.run import elaborate as elaborate_case
from tests.fuzz.sizes import REFUSALS, VALUES, arguments, choices, opened, with_sizes
from tests.generators.texts import ATTENTION
from tilec import api
from tilec.affine import resolve
from tilec.ahead import PROCESSORS, Ahead, compile_ahead, target_named
from tilec.backends.llvm.c_checks import FAILED, MISALIGNED, NULL, OK, OVERLAP, SIZE
from tilec.c_header import header
from tilec.cli.main import call
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import elaborate
from tilec.graph import Graph
from tilec.options import Options
from tilec.passes import infer
from tilec.text.graph_text import parse_graph

LARGEST = (1 << 63) - 1
REFUSED = (1 << 64) - 1  # SIZE_MAX, what `workspace` says of sizes that are not accepted
RNG = np.random.default_rng(0)
needs_cc = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler")


def ahead(
    code: str,
    types: Mapping[str, Any],
    constants: Mapping[str, Any] | None = None,
    donate: Mapping[str, str] | None = None,
    target: str = "host",
    options: Options = Options(),
) -> Ahead:
    fixed = dict(constants or {})
    signature = {n: api.signature_entry(n, v) for n, v in {**types, **fixed}.items()}
    found = elaborate(tilec.parse(code), None, signature)
    scalars: Any = {n: signature[n] for n in found.constants if n not in fixed}
    graph = api.mark_donated(api.mark_constants(found.graph, fixed), donate or {})
    return compile_ahead(graph, target_named(target), fixed, scalars, options=options)


def compare(made: Ahead, code: str, sizes: Sequence[int], inputs: Mapping[str, Any], constants: Any = None) -> Loaded:
    loaded = Loaded(made)
    executable = tilec.compile(code, "reference", constants, **inputs)
    for found, expected in zip(loaded.run(inputs, sizes), executable.run((), inputs), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.astype("f8"), expected.astype("f8"), rtol=2e-5, atol=1e-5)
    return loaded


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


BATCHES = (0, 1, 2, 15, 64, 70)


@pytest.mark.parametrize("batch", BATCHES)
def test_matmul(batch: int) -> None:
    made = ahead(MATMUL, {"A": ("B", 17), "B": (17, 9)})
    assert (made.sizes, made.names) == (("B_",), ("A", "B", "C"))  # a size called like an input
    compare(made, MATMUL, [batch], {"A": normal(batch, 17), "B": normal(17, 9)})


@pytest.mark.parametrize("batch", BATCHES)
def test_temporary_tensors_live_in_the_workspace(batch: int) -> None:
    loaded = compare(ahead(SOFTMAX, {"X": ("N", 30)}), SOFTMAX, [batch], {"X": normal(batch, 30) * 20})
    assert loaded.workspace(10_000) >= 10_000 * 4  # the maximum of each row, at least


@pytest.mark.parametrize("sizes", [(1, 1), (2, 5), (3, 40), (0, 3), (3, 0), (0, 0)])
def test_several_sizes(sizes: tuple[int, int]) -> None:
    made = ahead(ATTENTION, dict.fromkeys("QKV", ("N", "T", 4)))
    assert made.sizes == ("N", "T")
    compare(made, ATTENTION, sizes, {n: normal(*sizes, 4) for n in "QKV"})


def test_constants_numbers_and_all_that_goes_with_them() -> None:
    code = """function f(X[N, K], W[K, J], Rate, Flag) -> (Y, Count) {
      H[n, j : N, J] = +(X[n, k] * W[k, j]);  S[] = +(W[k, j] * W[k, j]);
      Y = Flag ? H * Rate + S : H;  Count = N * 2;
    }"""
    w = normal(6, 5)
    made = ahead(code, {"X": ("N", 6), "Rate": 0.5, "Flag": True}, {"W": w})
    assert "int64_t N, const float *X, float Rate, int Flag, float *Y" in header(made)
    for batch in BATCHES:
        for flag in (True, False):
            compare(made, code, [batch], {"X": normal(batch, 6), "Rate": 0.5, "Flag": flag}, {"W": w})


@pytest.mark.parametrize("batch", BATCHES)
def test_donated_inputs_are_overwritten(batch: int) -> None:
    code = "function step(W[N], G[N]) -> (V, S) { V = W - 0.5 * G; S[] = +(W[i]); }"
    loaded = Loaded(ahead(code, {"W": ("N",), "G": ("N",)}, donate={"W": "V"}))
    w, g = normal(batch), normal(batch)
    given = w.copy()
    (s,) = loaded.run({"W": given, "G": g}, [batch])
    np.testing.assert_array_equal(given, w - np.float32(0.5) * g)
    np.testing.assert_allclose(s, w.sum(), rtol=1e-4, atol=1e-5)
    assert "W: input, float32 [N], strides [1], 4*N bytes; the result V takes its place" in header(loaded.made)


LOOP = """graph f[N](A: f64[N, 3], K: i32) -> (B) {
  zero = literal i32 (0)
  p = cmp_ge(K, zero)
  () = special assert(p) {message = "K is negative"}
  B = scan (A) in () length 5 do graph s[N](A: f64[N, 3]) -> (C) {
    S = sum:f64 [i, j] { [j : 3] <- A[i, j] }
    C = sub(A, S)
  }
}"""


@pytest.mark.parametrize("batch", BATCHES)
def test_loops_and_assertions(batch: int) -> None:
    loaded = Loaded(compile_ahead(infer.run(parse_graph(LOOP)), target_named("host"), {}, {}))
    inputs = {"A": RNG.integers(-3, 4, (batch, 3)).astype(np.float64), "K": np.array(0, np.int32)}  # no sum rounds
    closed = infer.run(parse_graph(LOOP.replace("[N]", "").replace("N, ", f"{batch}, ")))
    np.testing.assert_array_equal(loaded.run(inputs, [batch])[0], evaluate(closed, inputs)["B"])
    loaded.run({**inputs, "K": np.array(-1, np.int32)}, [batch], FAILED)


def first_open(fixed: Graph, rng: random.Random) -> tuple[Graph, Loaded] | None:
    """The program with the first choice of open sizes that compiles."""
    for chosen in choices(fixed, rng):
        graph, _ = opened(fixed, chosen)
        try:
            return graph, Loaded(compile_ahead(infer.run(graph), target_named("host"), {}, {}))
        except TileError as refusal:
            assert refusal.code in REFUSALS, refusal
    return None


@pytest.mark.parametrize("start", range(0, 150, 50))
def test_random_programs(start: int) -> None:
    """Programs of the fuzzer with numbers among their sizes left open, judged for several of them."""
    runs = 0
    for seed in range(start, start + 50):
        case, rng = generate(seed), random.Random(seed)
        try:
            fixed = visible(elaborate_case(case))
        except TileError:
            continue
        if (found := first_open(fixed, rng)) is None:
            continue
        graph, loaded = found
        names = loaded.made.program.sizes
        for known in (dict(zip(names, rng.choices(VALUES, k=len(names)))) for _ in range(4)):
            closed = replace(with_sizes(graph, lambda s: int(resolve(s, known))), sizes=())  # noqa: B023
            inputs = arguments(closed, case)
            given = {a.buffer: inputs[a.buffer] for a in loaded.made.arguments if not a.output}
            given |= {a.buffer: given[a.buffer].item() for a in loaded.made.arguments if a.by_value}
            results = dict(zip(graph.results, loaded.run(given, list(known.values()))))
            assert (mismatch := judge(closed, inputs, results)) is None, f"seed {seed}, {known}: {mismatch}"
            runs += 1
    assert runs > 10


# what is refused -----------------------------------------------------------------------------------------------------


def test_sizes_that_are_refused() -> None:
    made = Loaded(ahead(ATTENTION, dict.fromkeys("QKV", ("N", "T", 4))))
    some = normal(64).ctypes.data
    wrong = [(-1, 1), (1, -1), (-1, -1), (-(1 << 63), 1), (LARGEST, 1), (1, LARGEST), (LARGEST, LARGEST), (1 << 62, 0),
             (1 << 31, 1 << 31), (1 << 20, 1 << 21), (1 << 61, 1), (1 << 58, 2), (-(1 << 32), -(1 << 32))]  # fmt: skip
    for sizes in wrong:
        assert made.workspace(*sizes) == REFUSED, sizes
        assert made.call(*sizes, some, some, some, some, some) == SIZE, sizes
        assert made.call(*sizes, None, None, None, None, None) == SIZE, sizes  # before anything is looked at
    most = made.workspace(1, 1 << 29)  # 2 x 2^60 bytes and a few, no more than can be counted
    assert 1 << 60 < most < 1 << 63


@pytest.mark.parametrize("size", [*range(8), LARGEST])
def test_a_size_that_another_one_needs(size: int) -> None:
    code = "function f(X[N]) -> (O) { A[i : N - 5] = =(2.0); S[] = +(X[n]); O = A + S; }"
    made = ahead(code, {"X": ("N",)})
    assert "none of these is negative: N, -5 + N;" in header(made)
    loaded = Loaded(made)
    assert (loaded.workspace(size) == REFUSED) == (size < 5 or size == LARGEST)
    if 5 <= size < 8:
        compare(made, code, [size], {"X": normal(size)})
    else:
        assert loaded.call(size, None, None, None) == SIZE


def test_wrong_pointers() -> None:
    loaded = Loaded(ahead(SOFTMAX, {"X": ("N", 30)}))
    x, y = normal(70, 30), normal(70, 30)
    a, b = x.ctypes.data, y.ctypes.data
    workspace = np.zeros(loaded.workspace(70), np.uint8)
    room = workspace.ctypes.data
    assert loaded.call(70, a, b, room) == OK
    assert [loaded.call(70, *p) for p in ((None, b, room), (a, None, room), (a, b, None))] == [NULL] * 3
    assert [loaded.call(70, *p, room) for p in ((a + 2, b), (a, b + 1))] == [MISALIGNED] * 2
    assert [loaded.call(70, a, p, room) for p in (a, a + 8396, a - 8396)] == [OVERLAP] * 3
    assert loaded.call(35, a, a + 35 * 30 * 4, room) == OK  # side by side, for this size
    assert loaded.call(0, None, None, room) == OK
    assert loaded.call(0, a + 1, a + 2, None) == (NULL if loaded.workspace(0) else OK)


def test_a_workspace_is_asked_for_only_where_it_is_needed() -> None:
    loaded = Loaded(ahead("function f(X[N]) -> (Y) { Y = X * 2.0; }", {"X": ("N",)}))
    assert [loaded.workspace(n) for n in (0, 1, 1 << 60)] == [0, 0, 0]
    x, y = normal(9), normal(9)
    assert loaded.call(9, x.ctypes.data, y.ctypes.data, None) == OK
    np.testing.assert_array_equal(y, 2 * x)


def test_a_limit_of_memory() -> None:
    types = {"X": ("N", 30)}
    free, limited = Loaded(ahead(SOFTMAX, types)), Loaded(ahead(SOFTMAX, types, options=Options(memory_limit=4000)))
    assert "Temporary tensors may take 4000 bytes" in header(limited.made)
    taken = [n for n in range(2000) if limited.workspace(n) != REFUSED]
    assert taken == list(range(len(taken))) and 100 < len(taken) < 2000
    assert all(limited.workspace(n) == free.workspace(n) for n in taken)
    x = normal(len(taken), 30)
    assert limited.call(len(taken), x.ctypes.data, x.ctypes.data, x.ctypes.data) == SIZE


# the object ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", PROCESSORS)
def test_objects_for_other_processors_import_nothing(target: str) -> None:
    made = ahead(ATTENTION, dict.fromkeys("QKV", ("N", "T", 4)), target=target)
    assert undefined_symbols(made.object_file()) == set()


@pytest.mark.parametrize("symbol", ["run", "init", "plan", "sizes"])
def test_a_symbol_is_free_to_choose(symbol: str) -> None:
    for types in ({"A": ("N", 3), "B": (3, 3)}, {"A": (3, 3), "B": (3, 3)}):
        found = elaborate(tilec.parse(MATMUL), None, {n: api.signature_entry(n, t) for n, t in types.items()})
        made = compile_ahead(found.graph, target_named("host"), {}, {}, symbol)
        assert symbol in made.assembly() and made.object_file()


C_CALLER = """
#include <stdio.h>
#include <stdlib.h>
#include "layer.h"

static int run(int64_t n) {
    size_t bytes = layer_workspace(n);
    if (bytes == SIZE_MAX) { printf("%d refused %d\\n", (int)n, layer(n, 0, 0, 0, 0) == TILEC_SIZE); return 0; }
    float *x = malloc(LAYER_X_ELEMENTS(n) * sizeof *x + 1), *y = malloc(LAYER_Y_ELEMENTS(n) * sizeof *y + 1);
    float w[LAYER_W_ELEMENTS(0)];
    void *room = malloc(bytes + 1);
    for (size_t i = 0; i < LAYER_X_ELEMENTS(n); i++) x[i] = (float)i;
    for (size_t i = 0; i < LAYER_W_ELEMENTS(n); i++) w[i] = 1;
    int status = layer(n, x, w, y, room);
    float sum = 0;
    for (size_t i = 0; i < LAYER_Y_ELEMENTS(n); i++) sum += y[i];
    printf("%d: %d, %g\\n", (int)n, status, sum);
    free(x); free(y); free(room);
    return 0;
}

int main(void) { return run(64) || run(17) || run(1) || run(0) || run(-1); }
"""


@needs_cc
@pytest.mark.parametrize("kind", ["obj", "lib"])
def test_from_c(kind: str, tmp_path: Path) -> None:
    """The header is clean C99, and a program that goes by it gets right results; C's compiler sees the bounds of w."""
    cc = next(c for c in ("cc", "gcc", "clang") if shutil.which(c))
    (tmp_path / "layer.tile").write_text(
        "function layer(X[M, K], W[K, N]) -> (Y) { Y[m, n : M, N] = +(X[m, k] * W[k, n]); }"
    )
    (tmp_path / "main.c").write_text(C_CALLER)
    shapes = ["--shape", "X=Batch,4", "--shape", "W=4,2", "--symbol", "layer"]
    emit = ["--emit", f"{kind},header", "-o", str(tmp_path / "layer")]
    assert call(["compile", str(tmp_path / "layer.tile"), *shapes, *emit]) == 0
    made = next(p for p in tmp_path.iterdir() if p.suffix in (".o", ".so", ".dylib", ".dll"))
    strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    program = tmp_path / "program"
    subprocess.run([cc, *strict, "-o", str(program), str(tmp_path / "main.c"), str(made)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    sums = {n: 2 * sum(range(4 * n)) for n in (64, 17, 1, 0)}
    assert done.stdout.splitlines() == [*(f"{n}: 0, {s:g}" for n, s in sums.items()), "-1 refused 1"]


@needs_cc
@pytest.mark.parametrize(
    ("compiler", "flags"), [("cc", ["-x", "c", "-std=c99"]), ("c++", ["-x", "c++", "-std=c++11"])], ids=["C", "C++"]
)
def test_headers_are_clean(compiler: str, flags: list[str], tmp_path: Path) -> None:
    if (found := shutil.which(compiler)) is None:
        pytest.skip(f"there is no {compiler}")
    (tmp_path / "a.h").write_text(header(ahead(ATTENTION, dict.fromkeys("QKV", ("int", "workspace", 4)))))
    (tmp_path / "b.h").write_text(header(ahead("function f(X[N]) -> (O) { O[i : N - 5] = =(2.0); }", {"X": ("N",)})))
    (tmp_path / "all.c").write_text('#include "a.h"\n#include "b.h"\nsize_t n = TILEC_F_O_ELEMENTS(7);\n')
    strict = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]
    subprocess.run([found, *flags, *strict, str(tmp_path / "all.c")], check=True)
