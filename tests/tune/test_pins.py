"""Schedules that people write: in front of a statement, by name, in a file; and what is said where they are wrong."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec import api
from tilec.cli.main import call
from tilec.errors import TileError
from tilec.executable import Executable
from tilec.options import Options
from tilec.schedule import parse_file, parse_schedule, print_file
from tilec.text.loops_text import print_kernel

LAYER = """function layer(X[M, K], W[K, N], B[N]) -> (Y) {{
  {attribute} H[m, n : M, N] = +(X[m, k] * W[k, n]);
  Y = relu(H + B);
}}
"""
PLAIN = LAYER.format(attribute="")
SHAPES = {"X": (12, 20), "W": (20, 24), "B": (24,)}
RIGHT = "reorder(k, n) tile(n, 8, n.0, n.1) vectorize(n.1)"


def kernel(executable: Executable, at: int = 0) -> str:
    assert executable.program is not None
    return print_kernel(executable.program.kernels[at])


def compiled(text: str, **options: Any) -> Executable:
    """A program on SHAPES, which computes what it should."""
    chosen = api.with_schedules(Options(), None, options.pop("schedules", None))
    executable = api.compile_for(text, "auto", None, SHAPES, options=chosen)
    rng = np.random.default_rng(0)
    x, w, b = (rng.integers(-3, 4, SHAPES[n]).astype(np.float32) for n in "XWB")
    assert np.array_equal(executable(x, w, b), np.maximum(x @ w + b, 0))
    return executable


def message(text: str, **options: Any) -> str:
    with pytest.raises(TileError) as caught:
        compiled(text, **options)
    return str(caught.value)


def test_a_schedule_in_front_of_a_statement_is_that_of_its_kernel() -> None:
    executable = compiled(LAYER.format(attribute=f'[[schedule("{RIGHT}")]]'))
    assert "for n.1 in 8 vector" in kernel(executable) and not executable.warnings
    several = compiled(LAYER.format(attribute='[[schedule("reorder(k, n)", "tile(n, 8, n.0, n.1) vectorize(n.1)")]]'))
    assert kernel(several) == kernel(executable)


def test_a_schedule_by_tensor_or_by_kernel() -> None:
    expected = kernel(compiled(LAYER.format(attribute=f'[[schedule("{RIGHT}")]]')))
    for name in ("H", "Y", "k0_Y"):
        assert kernel(compiled(PLAIN, schedules={name: RIGHT})) == expected


def test_a_statement_names_a_schedule_that_is_given(tmp_path: Path) -> None:
    text = LAYER.format(attribute="[[schedule(blocked)]]")
    expected = kernel(compiled(PLAIN, schedules={"H": RIGHT}))
    assert kernel(compiled(text, schedules={"blocked": RIGHT})) == expected
    file = tmp_path / "mine.schedule"
    file.write_text(f"// of a layer\nschedule blocked {{\n  {RIGHT} // eight columns\n}}\n")
    assert kernel(compiled(text, schedules=file)) == expected


def test_what_is_given_wins_over_what_the_program_says() -> None:
    text = LAYER.format(attribute='[[schedule("unroll(k)")]]')
    assert kernel(compiled(text, schedules={"H": RIGHT})) == kernel(compiled(PLAIN, schedules={"H": RIGHT}))


def test_a_file_without_names_is_for_the_only_kernel(tmp_path: Path) -> None:
    file = tmp_path / "mine.schedule"
    file.write_text(RIGHT)
    assert kernel(compiled(PLAIN, schedules=str(file))) == kernel(compiled(PLAIN, schedules={"H": RIGHT}))
    two = "function (A[N]) -> (S, T) { S[] = +(A[n]); T[] = >(A[n]); }"
    with pytest.raises(TileError, match="several kernels"):
        tilec.compile(two, A=(5,), schedules=str(file))


def test_errors_are_shown_where_they_are() -> None:
    missing = message(LAYER.format(attribute='[[schedule("tile(n, 8, n.0, n.1)", "vectorize(q)")]]'))
    assert missing.splitlines()[:5] == [
        "error[TILE0603]: there is no loop 'q' in kernel 'k0_Y'",
        " --> <string>:2:39",
        "  |",
        '2 |   [[schedule("tile(n, 8, n.0, n.1)", "vectorize(q)")]] H[m, n : M, N] = +(X[m, k] * W[k, n]);',
        "  |                                       ^^^^^^^^^^^^",
    ]
    assert "loops: " in missing and "n.0" in missing
    unsafe = message(LAYER.format(attribute='[[schedule("parallel(k)")]]'))
    assert "error[TILE0604]" in unsafe and "<string>:2:15" in unsafe
    malformed = message(LAYER.format(attribute='[[schedule("tile[n]")]]'))
    assert "error[TILE0603]: expected 'name(arguments)'" in malformed and "<string>:2:15" in malformed
    unknown = message(LAYER.format(attribute='[[schedule("tiles(n, 2)")]]'))
    assert "there is no schedule primitive 'tiles'" in unknown and "<string>:2:15" in unknown


def test_a_schedule_that_nobody_gave() -> None:
    text = message(LAYER.format(attribute="[[schedule(blocked)]]"), schedules={"other": RIGHT})
    assert "error[TILE0607]: there is no schedule 'blocked'" in text and "<string>:2:" in text
    assert "given: other" in text


def test_tools_without_schedules_take_the_default_for_a_named_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = LAYER.format(attribute="[[schedule(blocked)]]")
    executable = compiled(text)
    assert kernel(executable) == kernel(compiled(PLAIN))
    (warning,) = executable.warnings
    assert warning.code == "TILE0607" and "<string>:2:" in warning.render() and "default" in warning.render()
    program, file = tmp_path / "layer.tile", tmp_path / "mine.schedule"
    program.write_text(text + 'test "t" { assert_close(layer([[1]], [[2]], [3]), [[5]]); }\n')
    file.write_text(f"schedule blocked {{ {RIGHT} }}")
    random = [f"--random={n}:f32{list(s)}" for n, s in SHAPES.items()]
    shapes = [f"--shape={n}={','.join(map(str, s))}," for n, s in SHAPES.items()]
    assert call(["test", str(program)]) == 0
    assert call(["check-grad", str(program), "--random", "X:f32[2,3]", "--random", "W:f32[3,2]"]) == 0
    assert call(["tune", str(program), *shapes, "--list"]) == 0
    capsys.readouterr()
    for command in (["profile", *random, "--seconds=0.01"], ["memory", *shapes]):
        assert call([command[0], str(program), *command[1:]]) == 0
        assert "TILE0607" in capsys.readouterr().err
        assert call([command[0], str(program), *command[1:], "--schedule", str(file)]) == 0
        assert "TILE0607" not in capsys.readouterr().err


def test_errors_in_files_are_shown_where_they_are(tmp_path: Path) -> None:
    file = tmp_path / "mine.schedule"
    file.write_text("// mine\nschedule H {\n  tile(n, 8, n.0, n.1)\n  vectorize(z)\n}\n")
    assert f"{file}:4:3" in message(PLAIN, schedules=file)
    for wrong in ("schedule H {\n  tile(n", "schedule H { } x", "schedule H { tile(n, 8,, n.0) }"):
        file.write_text(wrong)
        assert "TILE0603" in message(PLAIN, schedules=file) and f"{file}:"
    file.write_text("schedule Q { unroll(k) }")
    assert "no kernel computes 'Q'" in message(PLAIN, schedules=file)


def test_a_huge_schedule_is_refused() -> None:
    text = "function (A[N], B[N]) -> (C) { C[i] = +(A[i] * B[j]); }"
    with pytest.raises(TileError, match="are the limit"):
        tilec.compile(text, A=(1000,), B=(1000,), schedules={"C": "unroll(i) unroll(j)"})


def test_loops_inside_of_one_another_without_end_are_refused() -> None:
    steps = "".join(f"tile(n, 24, a{k}, n.{k}) " if k == 0 else f"tile(n.{k - 1}, 24, a{k}, n.{k}) " for k in range(99))
    with pytest.raises(TileError, match="65 loops inside of one another; 64 are the limit"):
        compiled(PLAIN, schedules={"H": steps})
    compiled(PLAIN, schedules={"H": steps[: steps.index("tile(n.59")]})


def test_more_directives_than_the_limit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.schedule"
    file.write_text("schedule H {\n" + "  unroll(k)\n" * 257 + "}\n")
    found = message(PLAIN, schedules=file)
    assert "error[TILE0604]: the schedule has 257 directives; 256 are the limit" in found
    assert f"{file}:258:3" in found
    text = message(LAYER.format(attribute='[[schedule("' + "unroll(k) " * 2000 + '")]]'))
    assert "TILE0604" in text and "2,000 directives" in text and "<string>:2:" in text


def test_a_brace_in_a_comment_of_a_file_closes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.schedule"
    file.write_text(f"// {{ }}\nschedule H {{ // of `{{ H }}`, once\n  {RIGHT} // }}\n}} // }}\n")
    assert "vector" in kernel(compiled(PLAIN, schedules=file))
    file.write_text(f"schedule H {{ {RIGHT} // }}")
    assert "never closed" in message(PLAIN, schedules=file)


def test_wrong_python_arguments() -> None:
    for wrong in (3, {"H": 3}, {3: "unroll(k)"}):
        with pytest.raises(TileError, match="TILE0511"):
            tilec.compile(PLAIN, X=(2, 2), W=(2, 2), B=(2,), schedules=wrong)  # type: ignore[arg-type]
    for seconds in (-1, float("nan"), "5", True, 1e9):
        with pytest.raises(TileError, match="TILE0511"):
            tilec.compile(PLAIN, X=(2, 2), W=(2, 2), B=(2,), tune=seconds)


def test_tune_takes_what_the_setting_takes() -> None:
    with tilec.config(tune=0.0):
        executable = tilec.compile(PLAIN, X=(2, 2), W=(2, 2), B=(2,), tune="records")
    assert executable(np.ones((2, 2), "f4"), np.ones((2, 2), "f4"), np.ones(2, "f4"))[0, 0] == 3
    with pytest.raises(TileError, match="up to 1,000,000, or 'records'"):
        tilec.compile(PLAIN, X=(2, 2), W=(2, 2), B=(2,), tune=1e9)


def test_what_is_simplified_away_is_a_warning() -> None:
    text = 'function (A[N]) -> (B) { [[schedule("unroll(i0)")]] Z = A + 1.0; B = A * 2.0; }'
    executable = tilec.compile(text, A=(100,))
    assert [w.code for w in executable.warnings] == ["TILE0607"]


def test_equal_kernels_share_a_schedule() -> None:
    text = """function (A[N, N], B[N, N]) -> (D) {
      [[schedule("unroll(k)")]] C[i, j : N, N] = +(A[i, k] * B[k, j]);
      D[i, j : N, N] = +(C[i, k] * B[k, j]);
    }"""
    executable = tilec.compile(text, A=(6, 6), B=(6, 6))
    assert executable.program is not None and len(executable.program.kernels) == 1
    assert "unroll" in kernel(executable)


def test_two_schedules_for_one_kernel() -> None:
    text = PLAIN.replace("Y = relu", f'[[schedule("{RIGHT}")]] Y = relu')
    assert "two schedules" in message(text, schedules={"H": "unroll(k)"})


def test_files_are_printed_as_they_are_parsed() -> None:
    schedules = {"H": parse_schedule(RIGHT), "k1_Y.2": parse_schedule("unroll(k)"), "e": ()}
    found = parse_file(print_file(schedules), "x")
    assert {p.name: tuple(d for d, _ in p.directives()) for p in found} == schedules


def test_saved_executables_keep_schedules(tmp_path: Path) -> None:
    executable = compiled(PLAIN, schedules={"H": RIGHT})
    executable.save(tmp_path / "layer")
    again = tilec.load(tmp_path / "layer", machine_code=False)
    assert kernel(again) == kernel(executable)
    pinned = compiled(LAYER.format(attribute=f'[[schedule("{RIGHT}")]]'))
    pinned.save(tmp_path / "layer")
    assert kernel(tilec.load(tmp_path / "layer", machine_code=False)) == kernel(pinned)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, file = tmp_path / "layer.tile", tmp_path / "mine.schedule"
    program.write_text(PLAIN)
    file.write_text(f"schedule H {{ {RIGHT} }}")
    shapes = [f"--shape={n}={','.join(map(str, s))}," for n, s in SHAPES.items()]
    assert call(["compile", str(program), *shapes, "--emit", "loops", "--schedule", str(file)]) == 0
    assert "for n.1 in 8 vector" in capsys.readouterr().out
    file.write_text("schedule H { vectorize(z) }")
    random = [f"--random={n}:f32{list(s)}" for n, s in SHAPES.items()]
    assert call(["run", str(program), *random, "--schedule", str(file)]) == 1
    assert f"{file}:1:14" in capsys.readouterr().err


def test_opt_takes_schedules_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, file = tmp_path / "two.tile", tmp_path / "mine.schedule"
    program.write_text("function (A[N, N]) -> (S, T) { S[i : N] = +(A[i, k]); T[k : N] = +(S[k] * A[i, k]); }")
    command = ["opt", str(program), "--shape=A=6,6", f"--schedule={file}"]
    file.write_text("schedule T { reorder(i, k) vectorize(k) }\n")
    assert call(command) == 0
    assert "for k in 6 vector" in capsys.readouterr().out
    file.write_text("schedule Q { unroll(k) }\n")
    assert call(command) == 1
    assert "TILE0607" in capsys.readouterr().err
    file.write_text("unroll(k)")
    assert call(command) == 1
    assert "several kernels" in capsys.readouterr().err


SHARED = """function (A[M, N], B[N]) -> (C, D) {
  C[m : M] = +(A[m, n] * B[n]);
  D[m, n : M, N] = A[m, n] + C[m];
}"""


def test_loops_have_the_names_of_the_statement_that_a_schedule_is_for() -> None:
    shapes = {"A": (64, 16), "B": (16,)}

    def loops(**schedules: str) -> str:
        return kernel(tilec.compile(SHARED, **shapes, schedules=schedules))  # type: ignore[arg-type]

    own = loops(D="tile(m, 8, m.0, m.1) parallel(m.0) vectorize(n)")
    assert own == loops(D="tile(m_2, 8, m_2.0, m_2.1) parallel(m_2.0) vectorize(n_2)")
    assert own == loops(k0_D="tile(m_2, 8, m_2.0, m_2.1) parallel(m_2.0) vectorize(n_2)")
    assert "for n_2 in 16 vector" in own and "for n in 16 {" in own
    first = loops(C="parallel(m)")
    assert first == loops(k0_D="parallel(m)") and "for m in 64 parallel" in first and "for m_2 in 64 {" in first
    with pytest.raises(TileError, match="TILE0604"):
        loops(k0_D="vectorize(n)")  # of the sum


def test_options_take_schedules_as_text() -> None:
    chosen = Options(schedules={"H": RIGHT})  # type: ignore[arg-type]
    found = api.compile_for(PLAIN, "auto", None, SHAPES, options=chosen)
    assert kernel(found) == kernel(compiled(PLAIN, schedules={"H": RIGHT}))
    for wrong in ({"H": 3}, "mine.schedule", [RIGHT], ("unroll(k)",), None):
        with pytest.raises(TileError, match="TILE0511"):
            Options(schedules=wrong)  # type: ignore[arg-type]


def test_op_and_run_take_schedules() -> None:
    inputs = {n: np.ones(s, np.float32) for n, s in SHAPES.items()}
    assert tilec.run(PLAIN, inputs, schedules={"H": RIGHT}, tune=0)["Y"][0, 0] == 21
    layer = tilec.op(PLAIN, schedules={"H": RIGHT}, tune=0)
    assert layer(*inputs.values())[0, 0] == 21 and "for n.1 in 8 vector" in kernel(layer.compile(**inputs))
    wrong = {"nothing": "unroll(k)"}
    with pytest.raises(TileError, match="no kernel computes 'nothing'"):
        tilec.op(PLAIN, schedules=wrong)(*inputs.values())
    with pytest.raises(TileError, match="no kernel computes 'nothing'"):
        tilec.run(PLAIN, inputs, schedules=wrong)


def test_jit_takes_schedules() -> None:
    def product(a: Any, b: Any) -> Any:
        return a @ b

    with pytest.raises(TileError, match="no kernel computes 'nothing'"):
        tilec.jit(product, schedules={"nothing": "unroll(k)"})(np.ones((4, 4), "f4"), np.ones((4, 4), "f4"))
    assert tilec.jit(product, tune=0)(np.ones((4, 4), "f4"), np.ones((4, 4), "f4"))[0, 0] == 4


OPEN: dict[str, Any] = {"X": "f32[N, 20]", "W": "f32[20, 24]", "B": "f32[24]"}


def test_open_sizes_have_no_schedule_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("H", ""):
        with pytest.raises(TileError, match=r"TILE0607.*open sizes"):
            tilec.compile(PLAIN, **OPEN, schedules={name: RIGHT})
    program, file = tmp_path / "layer.tile", tmp_path / "mine.schedule"
    program.write_text(PLAIN)
    file.write_text(RIGHT)
    shapes = [f"--shape={n}={t}" for n, t in OPEN.items()]
    assert call(["compile", str(program), *shapes, "--schedule", str(file)]) == 1
    assert f"{file}:1:1" in capsys.readouterr().err


def test_a_program_is_warned_of_its_schedules_for_open_sizes() -> None:
    executable = tilec.compile(LAYER.format(attribute=f'[[schedule("{RIGHT}")]]'), **OPEN)
    (warning,) = executable.warnings
    assert warning.code == "TILE0607" and warning.span is not None and "<string>:2:15" in warning.render()


def test_kernels_without_open_loops_keep_their_schedule_in_a_program_of_open_sizes() -> None:
    text = "function (A[N, K], B[K, K]) -> (C, D) { C = A * 2.0; D[i, j : K, K] = +(B[i, k] * B[k, j]); }"
    executable = tilec.compile(text, A="f32[N, 12]", B=(12, 12), schedules={"D": "unroll(k)"})
    assert executable.program is not None
    assert any("unroll" in print_kernel(k) for k in executable.program.kernels if "D" in k.name)


def test_what_a_primitive_allows_wrongly_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads would add to one cell at once: the IR's own rules are looked after, too."""
    text = 'function (A[K, L]) -> (C) { [[schedule("parallel(l) reorder(l, k)")]] C[2*k + 2*l : 6] = +(A[k, l]); }'
    given = {"A": np.ones((2, 2), np.int32)}
    with pytest.raises(TileError) as caught:
        tilec.run(text, given)
    assert caught.value.code == "TILE0604"
    module = importlib.import_module("tilec.passes.schedule.reorder")
    monkeypatch.setattr(module, "_check_threads", lambda *nest: None)
    with pytest.raises(TileError) as caught:
        tilec.run(text, given)
    assert caught.value.code == "TILE0602" and "parallel" in str(caught.value)
