"""What the tuner keeps has the bits of the default schedule: floats are added in the same order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tune.test_tuner import unscheduled
from tilec import pipeline
from tilec.cli.main import call
from tilec.passes.schedule.default import default_schedule
from tilec.schedule import Schedule, parse_schedule
from tilec.text.loops_text import print_program
from tilec.tune.alone import alone, order
from tilec.tune.worker import Bench, Lost, load

ROWS = "function (A[M, N]) -> (S) { S[m : M] = +(A[m, n]); }"


def names(schedule: Schedule) -> list[str]:
    return [d.name for d in schedule]


def test_the_order_of_a_sum_is_what_made_the_loop_of_an_rfactor() -> None:
    text = """merge(i, j, r) tile(m, 8, m.0, m.1) tile(r, 512, r.o, r.b) tile(r.b, 16, r.0, r.l) reorder(m.0, r.o, m.1)
              vectorize(m.1) rfactor(r.l, p) peel(r.0, 3)"""
    found = order(parse_schedule(text))
    assert names(found) == ["merge", "tile", "tile", "rfactor"]
    assert found[1].args[0] == "r"


def test_schedules_without_rfactor_keep_the_order() -> None:
    assert order(parse_schedule("tile(k, 8, k.0, k.1) reorder(k.0, m) unroll(k.1)")) == ()


def bench() -> tuple[Bench, Schedule]:
    target = pipeline.resolve_target("llvm")
    kernel = unscheduled(ROWS, A="f32[64, 2000]").kernels[0]
    job = {
        "program": print_program(alone(kernel)),
        "seed": 1,
        "target": {f: getattr(target, f) for f in target.__dataclass_fields__},
    }
    return load(job)[0], default_schedule(kernel, target)


def test_a_candidate_that_adds_up_otherwise_is_lost() -> None:
    found, default = bench()
    assert order(default), "row sums of this length are added up in lanes"
    assert found.attempt("same", default)["ratio"] > 0
    with pytest.raises(Lost, match="in another order"):
        found.attempt("plain", ())
    wider = tuple(d for d in default if d not in order(default))
    with pytest.raises(Lost):
        found.attempt("without", wider)


def test_kernels_with_schedules_of_their_own_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are tuned."""
    text = """function f(A[M, N], B[M, N]) -> (S, T) {
      [[schedule("parallel(m)")]]
      S[m : M] = +(A[m, n]);
      T[n : N] = >(B[m, n]);
    }"""
    (tmp_path / "f.tile").write_text(text)
    arguments = [str(tmp_path / "f.tile"), "--shape=A=64,64", "--shape=B=64,64"]
    assert call(["tune", *arguments, "--list"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("\n") == 2 and "its schedule is written down" in listed and "nobody has looked" in listed
    assert call(["tune", *arguments, "--clear"]) != 0
    assert "--clear forgets all records" in capsys.readouterr().err
