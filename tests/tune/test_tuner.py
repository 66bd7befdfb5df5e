"""The tuner end to end: records are written, verified, used by later compilations, and ignored where that is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tilec
from tilec import api, pipeline
from tilec.artifacts.image import Image
from tilec.cli.main import call
from tilec.frontends.tile.elaborate import to_graph
from tilec.kernel_key import kernel_digest, kernel_names
from tilec.loops import Kernel, Program
from tilec.options import Options
from tilec.pipeline import Guide
from tilec.schedule import parse_schedule
from tilec.text.loops_text import print_kernel
from tilec.tune.choice import open_records
from tilec.tune.record import Record, traits
from tilec.tune.records import Records
from tilec.tune.tuner import Outcome, known, tune

PRODUCT = "function f(A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
OTHER_NAMES = "function g(P[I, L], Q[L, J]) -> (R) { R[i, j : I, J] = +(P[i, l] * Q[l, j]); }"


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Records in a directory of their own, which the settings name."""
    with tilec.config(cache_dir=tmp_path, threads=1):
        found = open_records()
        assert found is not None
        yield found


def unscheduled(text: str, **types: str) -> Program:
    met: list[Program] = []
    graph = to_graph(api.parse(text), None, {n: api.parse_type(n, t) for n, t in types.items()})
    guide = Guide(prepare=lambda program, _: met.append(program))
    pipeline.lower_graph(pipeline.optimise(graph), pipeline.resolve_target("llvm"), guide=guide)
    return met[0]


def product(text: str = PRODUCT, n: int = 48) -> Program:
    names = "AB" if text == PRODUCT else "PQ"
    return unscheduled(text, **{name: f"f32[{n}, {n}]" for name in names})


def tuned(records: Records, program: Program, seconds: float = 1.0) -> list[Outcome]:
    return list(tune(program, pipeline.resolve_target("llvm"), records, seconds))


def record_of(kernel: Kernel, schedule: str, default: bool = False) -> Record:
    """A record that says that a schedule is the fastest."""
    target = pipeline.resolve_target("llvm")
    return Record(
        kernel=kernel_digest(kernel),
        target=traits(target),
        name=kernel.name,
        names=kernel_names(kernel),
        schedule=parse_schedule(schedule),
        default=default,
        default_milliseconds=2.0,
        best_milliseconds=1.0,
        verified=("the default schedule",),
        state="complete",
        tried=(),
        tilec=tilec.__version__,
        date="2026-11-21",
    )


def test_a_kernel_is_tuned_and_its_record_found_again(records: Records) -> None:
    outcome = tuned(records, product())[0]
    assert outcome.record is not None and outcome.problem is None
    assert "the default schedule" in outcome.record.verified
    target = pipeline.resolve_target("llvm")
    assert records.get(outcome.record.kernel, target) == outcome.record
    assert [o.record for o in known(product(), target, records)] == [outcome.record]


def test_equal_kernels_of_other_names_have_one_record(records: Records) -> None:
    outcome = tuned(records, product())[0]
    found = list(known(product(OTHER_NAMES), pipeline.resolve_target("llvm"), records))
    assert [o.record for o in found] == [outcome.record]


def scheduled_text(text: str, names: str, n: int = 48) -> str:
    executable = api.compile_for(text, "auto", None, {name: (n, n) for name in names})
    assert executable.program is not None
    a = np.random.default_rng(0).integers(-4, 5, (n, n)).astype(np.float32)
    assert np.array_equal(executable(a, a), a @ a)
    return print_kernel(executable.program.kernels[0])


SLOW = "tile(m, 7, m.0, m.1) reorder(m.1, n, k) unroll(k)"


def test_compilations_take_the_recorded_schedule_in_their_own_names(records: Records) -> None:
    target, kernel = pipeline.resolve_target("llvm"), product().kernels[0]
    plain = scheduled_text(OTHER_NAMES, "PQ")
    records.put(record_of(kernel, SLOW), target)
    with_record = scheduled_text(OTHER_NAMES, "PQ")
    assert "for i.0 in 6" in with_record and "for l in 48 unroll" in with_record and with_record != plain
    with tilec.config(tune=0):
        assert scheduled_text(OTHER_NAMES, "PQ") == plain
    records.put(record_of(kernel, SLOW, default=True), target)
    assert scheduled_text(OTHER_NAMES, "PQ") == plain


def test_a_record_that_no_longer_applies_leaves_the_default(records: Records) -> None:
    target, kernel = pipeline.resolve_target("llvm"), product().kernels[0]
    plain = scheduled_text(PRODUCT, "AB")
    for schedule in (
        "parallel(k)",
        "tile(x, 8, x.0, x.1)",
        "no_such_thing(m)",
        "tile(m)",
        "unroll(m) unroll(n) unroll(k)",
    ):
        records.put(record_of(kernel, schedule), target)
        assert scheduled_text(PRODUCT, "AB") == plain
        (outcome,) = known(product(), target, records)
        assert outcome.problem is not None and "no longer applies" in outcome.problem


def test_compiled_programs_are_kept_with_the_choice_that_they_rest_on(records: Records) -> None:
    target, kernel = pipeline.resolve_target("llvm"), product().kernels[0]
    with tilec.config(cache=True):
        plain = scheduled_text(PRODUCT, "AB")
        records.put(record_of(kernel, SLOW), target)
        slow = scheduled_text(PRODUCT, "AB")
        assert slow != plain
        with tilec.config(tune=0):
            assert scheduled_text(PRODUCT, "AB") == plain
        records.clear()
        assert scheduled_text(PRODUCT, "AB") == plain


def test_another_program_stays_in_the_cache_when_a_record_is_written(records: Records) -> None:
    target = pipeline.resolve_target("llvm")
    with tilec.config(cache=True):
        scheduled_text(PRODUCT, "AB", 40)
        before = {p.name: p.read_bytes() for p in records.directory.parent.glob("*.entry")}
        records.put(record_of(product().kernels[0], SLOW), target)
        found = tilec.compile(PRODUCT, A=(40, 40), B=(40, 40))
        assert isinstance(found.ir, Image) and before
        assert {p.name: p.read_bytes() for p in records.directory.parent.glob("*.entry")} == before


# beside the compiler ------------------------------------------------------------------------------------------------


def test_code_made_ahead_of_time_takes_the_records_of_one_thread(
    records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f.tile").write_text(PRODUCT)
    command = ["compile", str(tmp_path / "f.tile"), "--shape=A=48,48", "--shape=B=48,48", "--emit=loops"]

    def made(*more: str) -> str:
        assert call([*command, *more]) == 0
        return capsys.readouterr().out

    plain, foreign = made(), made("--target=x86-64-v3")
    records.put(record_of(product().kernels[0], SLOW), pipeline.resolve_target("llvm"))
    assert "for k in 48 unroll" in made() and "for k in 48 unroll" not in plain
    assert made("--target=x86-64-v3") == foreign
    with tilec.config(tune=0):
        assert made() == plain
    with tilec.config(threads=2):  # what is known of this machine with two threads would be another record
        assert "for k in 48 unroll" in made()


SOFTMAX = """function (X[N, M]) -> (S) {
  P[n : N] = >(X[n, m]);
  E[n, m : N, M] = =(exp(X[n, m] - P[n]));
  T[n : N] = +(E[n, m]);
  S[n, m : N, M] = =(E[n, m] / T[n]);
}"""


def test_a_limit_of_memory_counts_what_the_chosen_schedule_takes(records: Records) -> None:
    """The default one needs only a row at a time."""
    plain, pinned = Options(memory_limit=1000), api.with_schedules(Options(memory_limit=1000), None, {"S": "unroll(m)"})

    def warnings(options: Options) -> list[str]:
        return [w.message for w in api.compile_for(SOFTMAX, "auto", None, {"X": (64, 64)}, options=options).warnings]

    said = ["the temporary tensors of 'main' need 16,896 bytes, 15,896 more than the limit"]
    assert warnings(plain) == [] and warnings(pinned) == said
    kernel = unscheduled(SOFTMAX, X="f32[64, 64]").kernels[0]
    records.put(record_of(kernel, "unroll(m)"), pipeline.resolve_target("llvm"))
    assert warnings(plain) == said


def test_a_compilation_does_not_go_on_with_an_earlier_search(records: Records) -> None:
    target, kernel = pipeline.resolve_target("llvm"), product().kernels[0]
    partial = replace(record_of(kernel, SLOW), state="partial")
    records.put(partial, target)
    tilec.compile(PRODUCT, A=(48, 48), B=(48, 48), tune=30.0)
    assert records.get(partial.kernel, target) == partial
