"""Profiles: every kernel timed on the data it works on, the picture, the trace, and the command."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import tilec
from tilec import api
from tilec.cli.main import call
from tilec.devices import backend, resolve_target
from tilec.dtypes import F32, F64
from tilec.measure import peaks, profiling
from tilec.measure.costs import Cost
from tilec.measure.peaks import Peaks
from tilec.measure.roofline import Point, roofline
from tilec.text.graph_text import parse_graph
from tilec.verify.loops import verify_program

ROOT = Path(__file__).parents[2]
PEAKS = Peaks({F32: 2e11, F64: 1e11}, 1e10)
SOFTMAX = str(ROOT / "examples" / "softmax.tile")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "measure", lambda _: PEAKS)


def profiled(path: str, function: str | None = None, **arrays: Any) -> tuple[tilec.Executable, profiling.Profile]:
    executable = api.compile_for(api.parse_file(path), "llvm", function, arrays, watch=lambda *_: None)
    return executable, profiling.profile(executable, arrays, PEAKS, 0.0)


def ones(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).random(shape, np.float32)


def test_every_kernel_and_its_lines() -> None:
    executable, found = profiled(SOFTMAX, X=ones(40, 30))
    assert executable.program is not None
    assert [p.name for p in found.parts] == [s.kernel for s, _ in profiling.flattened(executable.program.steps)]  # type: ignore[union-attr]
    lines = [s.source.position(s.start)[0] for p in found.parts for s in p.spans]
    assert lines == [3, 4, 5, 6]
    for part in found.parts:
        assert 0 < part.seconds < 1 and len(part.times) >= 5
        assert part.share(PEAKS) > 0
        assert part.bound(PEAKS) == "memory"


def test_steps_of_a_loop_are_timed_in_its_first_round() -> None:
    text = """graph f(H: f32[4], X: f32[9, 4]) -> (L, O) {
      L, O = scan (H) in (X) length 9 reverse do graph s(H: f32[4], X: f32[4]) -> (N, N) { N = add(H, X) }
    }"""
    arrays = {"H": ones(4), "X": ones(9, 4)}
    found = profiling.profile(tilec.compile(parse_graph(text), target="llvm"), arrays, PEAKS, 0.0)
    assert [part.in_loop for part in found.parts] == [False, True, True]


def test_lines_of_fused_and_inlined_tensors() -> None:
    arrays = {"X": ones(20, 30), "W": ones(30, 40), "B": ones(40)}
    _, found = profiled(str(ROOT / "examples" / "matmul.tile"), "dense", **arrays)
    lines = {s.source.position(s.start)[0] for p in found.parts for s in p.spans}
    assert lines == {3, 9}


@pytest.mark.parametrize("name", ["softmax", "kmeans", "blur", "heat", "life", "maxpool", "digits_knn"])
def test_exposed_programs_compute_the_same(name: str) -> None:
    path = ROOT / "examples" / f"{name}.tile"
    program = api.parse_file(path)
    function = next(f.name.text for f in program.functions if f.name)
    inputs = next(f.inputs for f in program.functions if f.name and f.name.text == function)
    arrays = {i.name.text: ones(*[12] * len(i.dims)) for i in inputs if i.dims}
    if len(arrays) < len(inputs):
        pytest.skip("takes numbers")
    try:
        executable = api.compile_for(program, "llvm", function, arrays)
    except tilec.TileError:
        pytest.skip("takes other shapes")
    assert executable.program is not None
    shown = profiling.exposed(executable.program)
    verify_program(shown)
    expected = executable.run((), arrays)
    results = [np.zeros([int(s) for s in shown.buffer(r).shape], shown.buffer(r).dtype.numpy) for r in shown.results]  # type: ignore[arg-type]
    values = [arrays[n] for n in executable.params]
    backend("llvm").build(shown, executable.target, executable.constants)(values, results)
    for a, b in zip(expected, results):
        np.testing.assert_array_equal(a, b)


def test_only_the_cpu_can_be_profiled() -> None:
    executable = tilec.compile("function (A) -> (B) { B = A; }", "reference", A=(2,))
    with pytest.raises(tilec.TileError, match="TILE0508"):
        profiling.profile(executable, {"A": ones(2)}, PEAKS)


def test_shares() -> None:
    part = profiling.Part("k", (1e-3,), Cost({F32: 10**8}, 0, 0))
    assert part.bound(PEAKS) == "compute"
    assert part.share(PEAKS) == pytest.approx(0.5)
    part = profiling.Part("k", (1e-3,), Cost({F64: 10**7}, 4 * 10**6, 10**6))
    assert part.bound(PEAKS) == "memory"
    assert part.share(PEAKS) == pytest.approx(0.5)


def test_the_peak_program_keeps_to_registers() -> None:
    target = resolve_target("llvm")
    program = peaks.multiply_add(F32, target.lanes(32), target.threads, 100)
    verify_program(program)
    result = np.zeros((target.threads, 12, target.lanes(32)), np.float32)
    backend("llvm").build(program, target, {})([], [result])
    assert (result == 1.0).all()  # the fixed point of x/2 + 1/2
    text = backend("llvm").emit(program, target)
    assert len(re.findall(r"call .*@llvm\.fm(?:ul)?a", text)) == 12


# pictures ----------------------------------------------------------------------------------------------------------


def test_roofline_is_inside_its_frame() -> None:
    points = [Point("a<b", 0.1, 1e9, 'say "x" & y'), Point("fast", 100.0, 1.9e11), Point("slow", 1e-3, 1e4)]
    root = ElementTree.fromstring(roofline([*points, Point("none", 0.0, 0.0)], 2e11, 1e10, "f & g"))
    space = "{http://www.w3.org/2000/svg}"
    circles = root.findall(f"{space}circle")
    assert len(circles) == 3
    for circle in circles:
        assert 80 <= float(circle.get("cx", "")) <= 790 and 50 <= float(circle.get("cy", "")) <= 460
    assert [c.findtext(f"{space}title") for c in circles] == ['say "x" & y', "fast", "slow"]
    for path in root.findall(f"{space}path"):
        numbers = path.get("d", "").replace("M", " ").replace("L", " ").split()
        assert all(-0.1 <= float(n) <= 820.1 for n in numbers)
    assert {"a<b", "f & g", "peak 200 GFLOP/s", "memory 10 GB/s"} <= {t.text for t in root.findall(f"{space}text")}


@pytest.mark.parametrize("spread", [1.0, 1.02, 1.3])
def test_names_in_a_roofline_do_not_overlap(spread: float) -> None:
    names = [f"k{i}_Some" for i in range(12)]
    points = [Point(name, 0.25 * spread**i, 4e9 * spread**i) for i, name in enumerate(names)]
    root = ElementTree.fromstring(roofline(points, 4e11, 1.4e10, "softmax"))
    boxes = []
    for text in root.findall("{http://www.w3.org/2000/svg}text"):
        if text.text in names:
            x, y = float(text.get("x", "")), float(text.get("y", ""))
            boxes.append((x - 50 if text.get("text-anchor") == "end" else x, y))
    assert len(boxes) == len(names)
    for i, (x, y) in enumerate(boxes):
        assert all(abs(x - u) >= 50 or abs(y - v) >= 12 for u, v in boxes[:i])


def test_roofline_without_points() -> None:
    assert "<circle" not in roofline([], 1e9, 1e9, "nothing")


# command -----------------------------------------------------------------------------------------------------------


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--trace", f"{tmp_path}/t.json", "--roofline", f"{tmp_path}/r.svg"]
    assert call(["profile", SOFTMAX, "--random", "X:f32[20,30]", "--seconds", "0", *files]) == 0
    out = capsys.readouterr().out
    assert "softmax.tile:4: E[m, n : M, N] = exp(X[m, n] - Top[m]);\n" in out
    assert "peak of" in out
    assert ElementTree.parse(tmp_path / "r.svg").getroot().tag.endswith("svg")
    trace = json.loads((tmp_path / "t.json").read_text())
    events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert {e["pid"] for e in events} == {0, 1}
    assert [e["name"] for e in events if e["pid"] == 0][:2] == ["parse", "graph"]
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in events)


def test_command_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["profile", SOFTMAX, "--random", "X:f32[20,30]", "--seconds", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["function"] == "softmax"
    (chain,) = found["kernels"]  # the maximum, the exponential, its sum and the quotient
    assert chain["flops"] == 5 * 600 and chain["bytes_written"] >= 2400
    assert [source["line"] for source in chain["sources"]] == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--random", "X:f32[2,2]", "--roofline", "/no/such/folder/r.svg"], "TILE0702"),
        ([], "TILE0501"),
        (["--random", "X:f32[2,2]", "-f", "none"], "TILE0110"),
    ],
)
def test_command_refuses(arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["profile", SOFTMAX, "--seconds", "0", *arguments]) == 1
    assert code in capsys.readouterr().err


def test_constants_and_what_is_computed_from_them_once() -> None:
    text = "function (X[M, K], W[K, N]) -> (C) { E = exp(W); C[m, n : M, N] = +(X[m, k] * E[k, n]); }"
    x, w = ones(9, 20), ones(20, 30)
    executable = tilec.compile(text, "llvm", constants={"W": w}, X=x)
    assert executable.program is not None
    assert executable.program.init, "exp(W) is computed when the program is loaded"
    found = profiling.profile(executable, {"X": x}, PEAKS, 0.0)
    assert len(found.parts) == len(executable.program.init) + len(executable.program.steps)
    assert sum(p.cost.operations for p in found.parts) == 20 * 30 + 2 * 9 * 20 * 30


def test_from_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = b"function (A) -> (B) { B = A + 1; }"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert call(["profile", "-", "--random", "A:f64[8]", "--seconds", "0", "--json"]) == 0
    (kernel,) = json.loads(capsys.readouterr().out)["kernels"]
    assert (kernel["flops"], kernel["sources"][0]["file"]) == (8, "<stdin>")
