"""Random programs saved and loaded, and made into C functions: the same bits as the executable that was compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tilec
from tests.aot.test_objects import Loaded, ahead
from tests.fuzz.generate import generate
from tests.fuzz.judge import same
from tilec.errors import TileError
from tilec.runtime import dense

BATCH = 20


@pytest.mark.parametrize("start", range(0, 100, BATCH))
def test_saved_programs_run_alike(start: int, tmp_path: Path) -> None:
    compared = 0
    for seed in range(start, start + BATCH):
        case = generate(90_000 + seed)
        try:
            first = tilec.compile(case.text, **case.inputs)
        except TileError:
            continue
        compared += 1
        first.save(tmp_path / "f")
        second = tilec.load(tmp_path / "f")
        assert (first.graph, first.program) == (second.graph, second.program), case.text
        expected = first.run((), case.inputs)
        for found in (second.run((), case.inputs), tilec.load(tmp_path / "f", machine_code=False).run((), case.inputs)):
            assert all(same(a, b).all() for a, b in zip(found, expected, strict=True)), case.text
    assert compared > BATCH // 2


@pytest.mark.parametrize("start", range(0, 100, BATCH))
def test_c_functions_run_alike(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_THREADS", "1")
    compared = 0
    for seed in range(start, start + BATCH):
        case = generate(91_000 + seed)
        try:
            executable = tilec.compile(case.text, **case.inputs)
        except TileError:
            continue
        compared += 1
        inputs = {n: dense(v) if isinstance(v, np.ndarray) else v for n, v in case.inputs.items()}
        found = Loaded(ahead(case.text, case.inputs)).run(inputs)
        expected = executable.run((), case.inputs)
        assert all(same(a, b).all() for a, b in zip(found, expected, strict=True)), case.text
    assert compared > BATCH // 2
