"""What the search decides, with a child that is told how fast each schedule is; digests of kernels; merging records."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.tune.test_tuner import OTHER_NAMES, SLOW, product, record_of, records, scheduled_text
from tilec import pipeline
from tilec.kernel_key import kernel_digest, kernel_names
from tilec.passes.schedule.default import default_schedule
from tilec.schedule import Schedule, parse_schedule
from tilec.text.loops_text import parse_kernel
from tilec.tune.child import Child, Gone
from tilec.tune.record import Record, decode, encode, renamed
from tilec.tune.records import Records
from tilec.tune.search import Job, Search
from tilec.tune.space import changes

__all__ = ["records"]  # a fixture

FOREVER = float("inf")


class Told(Child):
    """A child that measures nothing: `ratio` says how long a schedule takes, None where it is lost."""

    def __init__(self, job: Job, ratio: Callable[[Schedule], float | None], final: float | None = None) -> None:
        self.job, self.ratio, self.final = job, ratio, final
        self.schedules: dict[str, Schedule] = {}
        self.tried: list[Schedule] = []

    def end(self) -> None:
        self.schedules.clear()

    def ask(self, job: Mapping[str, Any], limit: float) -> dict[str, Any]:
        assert limit > 0
        match job["job"]:
            case "load":
                schedule = default_schedule(self.job.kernel, self.job.target, constant=self.job.constant)
                return {"milliseconds": 2.0, "schedule": list(map(str, schedule)), "verified": ["told"]}
            case "try":
                schedule = parse_schedule("\n".join(job["schedule"]))
                self.schedules[job["name"]] = schedule
                self.tried.append(schedule)
                ratio = self.ratio(schedule)
                return {"lost": "told so"} if ratio is None else {"ratio": ratio}
            case "compare":
                chosen = {n: self.ratio(self.schedules[n]) for n in job["names"]}
                return {"ratios": {n: self.final or r for n, r in chosen.items()}, "milliseconds": 2.0}
            case _:
                return {}


def job() -> Job:
    return Job(product(n=96).kernels[0], frozenset(), pipeline.resolve_target("llvm"))


def search(child: Told, earlier: Record | None = None, until: float = FOREVER) -> tuple[Search, list[Record]]:
    kept: list[Record] = []
    return Search(child.job, child, until, lambda _: None, kept.append, earlier), kept


def some(number: int) -> Callable[[Schedule], bool]:
    """True for one of so many schedules, always the same ones."""
    return lambda schedule: sum(map(ord, str(schedule))) % number == 0


def test_the_default_stays_unless_another_is_clearly_faster(records: Records) -> None:
    for ratio in (0.985, 1.0, 1.3, 2.0, None):
        record = search(Told(job(), lambda _, r=ratio: r))[0].run()  # type: ignore[misc]
        assert record.default and record.state == "complete" and record.speedup == 1.0


def test_the_fastest_wins(records: Records) -> None:
    fast = some(7)
    child = Told(job(), lambda schedule: 0.5 if fast(schedule) else 1.2)
    running, kept = search(child)
    record = running.run()
    assert not record.default and fast(record.schedule) and record.speedup == pytest.approx(2.0)
    assert kept and kept[-1].state == "partial" and kept[-1].schedule == record.schedule


def test_what_was_fast_by_chance_does_not_win(records: Records) -> None:
    record = search(Told(job(), lambda _: 0.7, final=1.01))[0].run()
    assert record.default


def rows(schedule: Schedule) -> int:
    """How many rows a register tile has."""
    found = [d.args[1] for d in schedule if d.name == "tile" and "cut" in d.args and isinstance(d.args[1], int)]
    return max((s for s in found if s <= 23), default=0)


def test_small_changes_of_the_best_are_tried_until_none_helps(records: Records) -> None:
    """A size that no rule proposes is reached step by step, each of which is a little faster."""

    def ratio(schedule: Schedule) -> float:
        return 1 - 0.01 * rows(schedule)

    record = search(Told(job(), ratio))[0].run()
    assert record.state == "complete" and rows(record.schedule) == 23


def test_changes_are_of_equal_sizes_together_and_of_each_alone() -> None:
    schedule = parse_schedule("tile(m, 8, a, b) pack(B, a, p, 1, 8, thread) tile(n, 2, c, d) unroll(d)")
    found = list(changes(schedule))
    assert schedule not in found
    assert parse_schedule("tile(m, 12, a, b) pack(B, a, p, 1, 12, thread) tile(n, 2, c, d) unroll(d)") == found[0]
    assert parse_schedule("tile(m, 9, a, b) pack(B, a, p, 1, 8, thread) tile(n, 2, c, d) unroll(d)") in found


def test_a_search_that_was_ended_goes_on(records: Records) -> None:
    first = Told(job(), lambda _: 1.1)
    first_search, _ = search(first)

    class Stop(Exception):
        pass

    def stop(_: object) -> None:
        if len(first.tried) == 3:
            raise Stop

    first_search.tell = stop
    with pytest.raises(Stop):
        first_search.run()
    partial = first_search.record("partial")
    assert partial.state == "partial" and len(partial.tried) >= 3
    second = Told(job(), lambda _: 1.1)
    again, _ = search(second)
    again.tried = dict.fromkeys(partial.tried)
    assert again.run().state == "complete"
    assert not set(first.tried) & set(second.tried)


def test_what_another_search_found_is_tried_first(records: Records) -> None:
    own = record_of(job().kernel, "tile(m, 7, m.0, m.1)")
    child = Told(job(), lambda schedule: 0.4 if str(schedule) == str(own.schedule) else 1.0)
    record = search(child, own)[0].run()
    assert child.tried[0] == own.schedule == record.schedule and not record.default


def test_time_that_is_over_ends_the_search(records: Records) -> None:
    child = Told(job(), lambda _: 0.5)
    assert search(child, until=0.0)[0].run().state == "partial" and not child.tried


def test_a_child_that_is_always_lost(records: Records) -> None:
    class Lost(Told):
        def ask(self, job: Mapping[str, Any], limit: float) -> dict[str, Any]:
            if job["job"] != "load":
                raise Gone("always")
            return super().ask(job, limit)

    record = search(Lost(job(), lambda _: 0.5))[0].run()
    assert record.default and record.state == "partial"


# digests and names -------------------------------------------------------------------------------------------------

SCALE = "kernel f(in A: f32[8, 4], out B: f32[8, 4]) { for i in 8 { for j in 4 { B[i, j] = mul(A[i, j], 2.0) } } }"


def test_digests_are_the_same_in_every_process_and_version() -> None:
    """A digest that changes makes every record useless: only with another `_SCHEMA` in `tilec/kernel_key.py`."""
    expected = "6b1d5ed406bf531c424f97966c9ac0b39e0ce1d3c856aded82cd96338876a774"
    assert kernel_digest(parse_kernel(SCALE)) == expected
    imports = "from tilec.kernel_key import kernel_digest; from tilec.text.loops_text import parse_kernel"
    code = f"{imports}; print(kernel_digest(parse_kernel({SCALE!r})))"
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
        assert done.stdout.strip() == expected


def test_digests_of_equal_and_of_other_kernels() -> None:
    kernel, digest = parse_kernel(SCALE), kernel_digest(parse_kernel(SCALE))
    renamed_kernel = parse_kernel(SCALE.replace("i", "x").replace("A", "Q").replace("xn", "in"))
    assert kernel_digest(renamed_kernel) == digest and kernel_names(renamed_kernel) == ("Q", "B", "x", "j")
    others = {
        kernel_digest(parse_kernel(SCALE.replace("2.0", "3.0"))),
        kernel_digest(parse_kernel(SCALE.replace("f32", "f64"))),
        kernel_digest(parse_kernel(SCALE.replace("8", "9"))),
        kernel_digest(kernel, frozenset({"A"})),
    }
    assert len(others | {digest}) == 5


def test_names_of_loops_take_those_made_of_them_along() -> None:
    schedule = parse_schedule("tile(m, 8, m.0, m.1) reorder(m.1, n) stage(C, m.0, C.r, register)")
    found = renamed(schedule, {"m": "n", "n": "m", "C": "D"})
    assert found == parse_schedule("tile(n, 8, n.0, n.1) reorder(n.1, m) stage(D, n.0, D.r, register)")


def test_records_are_merged_by_copying_files(records: Records, tmp_path: Path) -> None:
    target = pipeline.resolve_target("llvm")
    other = Records(tmp_path / "other machine")
    other.put(record_of(product().kernels[0], SLOW), target)
    plain = scheduled_text(OTHER_NAMES, "PQ")
    shutil.copytree(other.directory, records.directory, dirs_exist_ok=True)
    assert scheduled_text(OTHER_NAMES, "PQ") != plain


def test_records_are_read_as_they_are_written() -> None:
    record = record_of(product().kernels[0], SLOW)
    assert decode(encode(record)) == record
