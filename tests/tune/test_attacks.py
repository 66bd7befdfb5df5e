"""Whatever happens to the tuner, its children or its records: the user's program compiles, and computes what it did."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tilec
from tests.tune.test_tuner import PRODUCT, SLOW, product, record_of, records, scheduled_text, unscheduled
from tilec import pipeline
from tilec.cli.main import call
from tilec.tune import records as shelf
from tilec.tune import search, tuner
from tilec.tune.child import Child, Gone
from tilec.tune.record import Record, decode, encode
from tilec.tune.records import Records, TuningWarning
from tilec.tune.tuner import Outcome, known, tune

__all__ = ["records"]  # a fixture

ROOT = Path(__file__).resolve().parents[2]
BAD_WORKER = str(ROOT / "tests" / "tune" / "bad_worker.py")


def attacked(records: Records, *faults: str, n: int = 24) -> tuple[Outcome, int]:
    """Tunes a product with a worker that has faults; gives the outcome, and how many candidates were lost.

    Time is counted in candidates: about a dozen, however slow the machine is.
    """
    lost, moments = [0], count()
    clock = SimpleNamespace(monotonic=lambda: float(next(moments)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "time", clock)
        patch.setattr(tuner, "time", clock)
        found = tune(
            product(n=n),
            pipeline.resolve_target("llvm"),
            records,
            16.0,
            patience=1.0,
            start=lambda: Child((BAD_WORKER, *faults)),
            tell=lambda progress: lost.__setitem__(0, progress.lost),
        )
        return next(iter(found)), lost[0]


@pytest.mark.parametrize("fault", ["crash", "exit", "null", "memory", "babble"])
def test_a_faulty_candidate_is_a_lost_candidate(records: Records, fault: str) -> None:
    outcome, lost = attacked(records, "good", fault)
    assert outcome.record is not None
    assert lost > 0 or fault == "babble"
    expected = scheduled_text(PRODUCT, "AB", 24)  # it compares results, too
    assert expected


def test_a_candidate_that_hangs_is_killed(records: Records) -> None:
    outcome, lost = attacked(records, "good", "good", "good", "hang")
    assert outcome.record is not None and lost > 0


def test_a_candidate_that_computes_something_else_never_wins(records: Records) -> None:
    outcome, lost = attacked(records, "wrong")
    assert outcome.record is not None and outcome.record.default and lost > 0


def test_a_worker_that_never_works(records: Records, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    found = list(tune(product(), pipeline.resolve_target("llvm"), records, 5.0, start=lambda: Child((str(broken),))))
    assert found[0].record is None and "could not be run" in str(found[0].problem)


def test_a_child_is_killed_at_any_moment(records: Records) -> None:
    """kill -9 of the child, again and again."""

    class Mortal(Child):
        def ask(self, job: Mapping[str, Any], limit: float) -> dict[str, Any]:
            if chance.random() < 0.3 and self._process is not None:
                self._process.kill()
            return super().ask(job, limit)

    chance = random.Random(1)
    found = tune(product(), pipeline.resolve_target("llvm"), records, 8.0, start=Mortal)
    for outcome in found:
        assert outcome.record is not None or "could not be run" in str(outcome.problem)
    scheduled_text(PRODUCT, "AB")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="a hanging child is ended by an alarm")
def test_a_child_that_hangs_ends_with_whoever_started_it() -> None:
    child = Child((BAD_WORKER, "hang"))
    with pytest.raises(Gone):
        child.ask({"job": "try", "name": "c0", "schedule": []}, 0.1)  # starts it; nothing is loaded
    process = child._start()
    assert process.stdin is not None
    process.stdin.write(json.dumps({"job": "try", "name": "c0", "schedule": [], "limit": 1000.0}) + "\n")
    process.stdin.close()
    assert process.wait(60) == 0
    child.end()


def test_a_child_that_is_gone_is_replaced() -> None:
    with Child((BAD_WORKER, "good")) as child:
        with pytest.raises(Gone):
            child.ask({"job": "try", "name": "c0", "schedule": []}, 20.0)  # nothing is loaded
        assert "lost" in child.ask({"job": "load", "program": "not a program", "target": {}}, 20.0)


# the process itself ------------------------------------------------------------------------------------------------


def started(tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    """`tilec tune` on a product, in a process of its own."""
    program = tmp_path / "product.tile"
    program.write_text(PRODUCT)
    command = [sys.executable, "-m", "tilec", "tune", str(program), "--shape=A=64,64", "--shape=B=64,64", *more]
    environment = {**os.environ, "TILEC_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def children_left(tmp_path: Path) -> list[int]:
    """Processes that still work for one of `started`."""
    mine = f"TILEC_CACHE_DIR={tmp_path / 'cache'}".encode()
    found = []
    for directory in Path("/proc").iterdir():
        try:
            if not directory.name.isdigit() or mine not in (directory / "environ").read_bytes().split(b"\0"):
                continue
            if (directory / "stat").read_text().split()[2] != "Z":
                found.append(int(directory.name))
        except OSError:
            continue
    return found


def check_records(tmp_path: Path) -> list[Record]:
    """Every record there is can be read."""
    return [decode(path.read_bytes()) for path in (tmp_path / "cache" / "tuned").glob("*.json")]


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks for processes in /proc")


@linux
@pytest.mark.parametrize("delay", [0.3, 1.2, 1.7, 2.6])
def test_the_tuner_is_killed(tmp_path: Path, delay: float) -> None:
    process = started(tmp_path)
    time.sleep(delay)
    process.kill()
    process.communicate(timeout=60)
    check_records(tmp_path)
    until = time.monotonic() + 60
    while children_left(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert not children_left(tmp_path)
    again = started(tmp_path, "--resume", "--seconds", "0.5")
    output, errors = again.communicate(timeout=100)
    assert again.returncode == 0, errors
    assert "k0_C" in output and len(check_records(tmp_path)) == 1


@linux
@pytest.mark.parametrize("delay", [1.5, 2.0, 3.0])
def test_an_interruption_keeps_the_best_so_far(tmp_path: Path, delay: float) -> None:
    process = started(tmp_path)
    assert process.poll() is None
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode in (0, 130, -signal.SIGINT, 1), errors  # before the command line has begun it is Python's
    if process.returncode == 130 and "is kept" in errors:
        assert "k0_C" in output and "Traceback" not in errors
    check_records(tmp_path)
    assert not children_left(tmp_path)


def test_two_tuners_share_a_directory(tmp_path: Path) -> None:
    both = [started(tmp_path, "--seconds", "2") for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    assert len(check_records(tmp_path)) == 1


# records -----------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_once(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shelf, "write_whole", full)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(tune(product(), pipeline.resolve_target("llvm"), records, 1.0))
    assert [w.category for w in caught] == [TuningWarning] and "No space left" in str(caught[0].message)
    scheduled_text(PRODUCT, "AB")


def test_a_directory_that_cannot_be_written_is_an_error_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    (tmp_path / "f.tile").write_text(PRODUCT)
    with tilec.config(cache_dir=tmp_path / "cache"):
        assert call(["tune", str(tmp_path / "f.tile"), "--shape=A=64,64", "--shape=B=64,64"]) == 1
        assert "TILE0702" in capsys.readouterr().err
        assert call(["tune", "--list"]) == 0
        assert call(["tune", "--clear"]) == 0
        with pytest.warns(TuningWarning, match="cannot be written"):
            tilec.compile(PRODUCT, A=(64, 64), B=(64, 64), tune=0.5)


def hostile(good: bytes) -> dict[str, bytes]:
    """Files that are no records."""

    def changed(**changes: object) -> bytes:
        content = {**json.loads(good), **changes}
        del content["checksum"]
        from tilec.tune.record import _checksum

        return json.dumps({**content, "checksum": _checksum(content)}).encode()

    return {
        "empty": b"",
        "binary": bytes(range(256)),
        "cut": good[: len(good) // 2],
        "another checksum": good.replace(b'"checksum": "', b'"checksum": "0'),
        "a list": b"[1, 2]",
        "a number": b"7",
        "deep": b"[" * 100_000,
        "huge": b" " * (1 << 20) + good,
        "a huge number": changed(default_milliseconds=10**400),
        "infinite": changed(best_milliseconds=1e999),
        "negative": changed(best_milliseconds=-1.0),
        "not a number": changed(best_milliseconds="1"),
        "wrong types": changed(schedule=7),
        "wrong names": changed(names=[1, 2]),
        "a wrong state": changed(state="whatever"),
        "no directives": changed(schedule=["tile[m]"]),
        "too many directives": changed(schedule=["unroll(m)"] * 257),
        "another kernel": changed(kernel="0" * 64),
        "a missing entry": json.dumps({k: v for k, v in json.loads(good).items() if k != "state"}).encode(),
        "a true default": changed(default="yes"),
        "deep inside": good.replace(b'"target": {', b'"target": {"x": ' + b"[" * 5000 + b"]" * 5000 + b", "),
        "half a character": good.replace(b'"k0_C"', b'"\\ud800"'),
    }


def test_hostile_records_are_ignored_and_healed(records: Records) -> None:
    target, kernel = pipeline.resolve_target("llvm"), product().kernels[0]
    plain = scheduled_text(PRODUCT, "AB")
    good = record_of(kernel, SLOW)
    path = records.path(good.kernel, target)
    records.put(good, target)
    for what, data in hostile(encode(good)).items():
        path.write_bytes(data)
        assert all(e.record is None or what == "another kernel" for e in records.entries()), what
        with pytest.warns(TuningWarning, match="is damaged"):
            assert scheduled_text(PRODUCT, "AB") == plain, what
        assert not path.exists(), what
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert scheduled_text(PRODUCT, "AB") == plain


@pytest.mark.skipif(os.name != "posix", reason="links and pipes are those of POSIX")
@pytest.mark.parametrize("what", ["itself", "a device", "a directory", "a pipe", "a good record"])
def test_what_is_no_file_stands_in_the_place_of_a_record(records: Records, tmp_path: Path, what: str) -> None:
    target, good = pipeline.resolve_target("llvm"), record_of(product().kernels[0], SLOW)
    plain = scheduled_text(PRODUCT, "AB")
    records.put(good, target)
    path = records.path(good.kernel, target)
    elsewhere = path.rename(tmp_path / "elsewhere.json")
    match what:
        case "itself":
            path.symlink_to(path)
        case "a device":
            path.symlink_to("/dev/zero")
        case "a directory":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to(elsewhere)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TuningWarning)
        assert (scheduled_text(PRODUCT, "AB") == plain) == (what != "a good record")
        assert len(list(records.entries())) <= 1
        outcome = next(iter(tune(product(), target, records, 0.5)))
    assert outcome.record is not None
    assert records.get(good.kernel, target) == (None if what == "a directory" else outcome.record)


def test_records_of_another_kind_of_machine_are_not_used(records: Records) -> None:
    target, good = pipeline.resolve_target("llvm"), record_of(product().kernels[0], SLOW)
    plain = scheduled_text(PRODUCT, "AB")
    records.put(good, replace(target, l2=12345))
    records.path(good.kernel, replace(target, l2=12345)).rename(records.path(good.kernel, target))
    assert scheduled_text(PRODUCT, "AB") != plain  # a name is only a name: the record says that it is of this machine
    records.put(replace(good, target={**good.target, "l2": 12345}), target)
    assert scheduled_text(PRODUCT, "AB") == plain and records.path(good.kernel, target).exists()
    records.put(replace(good, date="2999-01-01"), target)  # a clock that was wrong is no reason
    assert scheduled_text(PRODUCT, "AB") != plain


def test_records_of_other_versions_are_left_alone(records: Records) -> None:
    target, good = pipeline.resolve_target("llvm"), record_of(product().kernels[0], SLOW)
    plain = scheduled_text(PRODUCT, "AB")
    records.put(good, target)
    path = records.path(good.kernel, target)
    path.write_bytes(encode(good).replace(b'"format": 1', b'"format": 2'))
    assert scheduled_text(PRODUCT, "AB") == plain and path.exists()
    assert [e.problem for e in records.entries()] == ["it is of another version of tilec"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_records_that_others_can_write_are_not_used(records: Records) -> None:
    target, good = pipeline.resolve_target("llvm"), record_of(product().kernels[0], SLOW)
    plain = scheduled_text(PRODUCT, "AB")
    records.put(good, target)
    records.path(good.kernel, target).chmod(0o666)
    assert scheduled_text(PRODUCT, "AB") == plain


def test_hostile_schedules_in_good_records(records: Records) -> None:
    """Directives at random, of every kind: the program computes what it should, whatever they are."""
    target, kernel, chance = pipeline.resolve_target("llvm"), product(n=24).kernels[0], random.Random(5)
    words = ["m", "n", "k", "i0", "i1", "A", "B", "C", "m.0", "m.1", "n.0", "n.1", "x", "register", "thread"]
    words += ["8", "2", "1000000"]
    names = ["tile", "peel", "merge", "interior", "reorder", "vectorize"]
    names += ["unroll", "parallel", "stage", "pack", "rfactor"]
    for _ in range(60):
        count = chance.randrange(1, 6)
        arguments = [", ".join(chance.choices(words, k=chance.randrange(1, 6))) for _ in range(count)]
        lines = [f"{chance.choice(names)}({given})" for given in arguments]
        records.put(record_of(kernel, "\n".join(lines)), target)
        scheduled_text(PRODUCT, "AB", 24)


# programs ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_tuned_is_said(records: Records) -> None:
    target = pipeline.resolve_target("llvm")
    small = unscheduled(PRODUCT, A="f32[2, 2]", B="f32[2, 2]")
    assert {o.problem for o in tune(small, target, records, 1.0)} == {"it has little to do"}
    assert {o.problem for o in known(small, target, records)} == {"it has little to do"}
    assert not list(records.entries())
    opened = unscheduled(PRODUCT, A="f32[64, N]", B="f32[N, 64]")
    assert "it works on slices" in {o.problem for o in known(opened, target, records)}
    assert "it works on slices" in {o.problem for o in tune(opened, target, records, 1.0)}


def test_programs_that_do_not_compile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f.tile").write_text("function f(A[N]) -> (B) { B = C; }")
    assert call(["tune", str(tmp_path / "f.tile"), "--shape=A=64,"]) == 1
    assert "TILE0101" in capsys.readouterr().err
    assert call(["tune", str(tmp_path / "none.tile")]) == 1
    assert "TILE0701" in capsys.readouterr().err
    assert call(["tune"]) == 2
    assert "TILE0704" in capsys.readouterr().err


def test_constants_and_integers_and_state(records: Records) -> None:
    """Kernels of other kinds: a constant operand, integers, sixteen bits, a parameter that is overwritten."""
    rng = np.random.default_rng(0)
    ints = rng.integers(-4, 5, (64, 64)).astype(np.int32)
    halves = ints.astype(np.float16)
    for array in (ints, halves, ints.astype(np.float32)):
        plain = tilec.compile(PRODUCT, A=array, constants={"B": array}, tune=0)(array)
        found = tilec.compile(PRODUCT, A=array, constants={"B": array}, tune=1.0)(array)
        assert np.array_equal(plain, found)
    step = "function (W[N, M], G[N, M]) -> (V) { V = W - 0.1 * G; }"
    w, g = (rng.random((64, 80)).astype(np.float32) for _ in range(2))
    expected = tilec.compile(step, W=w, G=g, tune=0)(w, g)
    executable = tilec.compile(step, W=w, G=g, donate={"W": "V"}, tune=1.0)
    assert np.array_equal(executable(w, g), expected)
    assert len(list(records.entries())) == 4


def test_row_sums_are_tuned_within_the_summation_bound(records: Records) -> None:
    text = "function (A[M, N]) -> (S) { S[m : M] = +(A[m, n]); }"
    a = np.random.default_rng(0).random((50, 1000)).astype(np.float32)
    executable = tilec.compile(text, A=a, tune=1.0)
    assert np.allclose(executable(a), a.sum(axis=1), rtol=1e-5)
    assert [e.record is not None for e in records.entries()] == [True]
