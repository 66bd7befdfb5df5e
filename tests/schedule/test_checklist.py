"""The checklist of techniques (checklist.toml) says the truth about the primitives and the default schedule."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.generators.kernels import GENERATORS, arrays
from tests.generators.schedules import random_schedule
from tests.generators.targets import EAGER
from tests.schedule.test_compiled import program_of
from tests.schedule.test_docs import examples
from tests.schedule.test_refusals import UNSAFE
from tilec.backends.llvm.target import named
from tilec.loops import Kernel
from tilec.passes import place
from tilec.passes.schedule import PRIMITIVES, apply
from tilec.passes.schedule.default import default_schedule
from tilec.passes.schedule.plan import DEFAULT
from tilec.pipeline import backend, resolve_target
from tilec.schedule import Schedule, parse_schedule
from tilec.text.loops_text import parse_kernel
from tilec.verify.loops import verify_kernel

TECHNIQUES: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("checklist.toml").read_text())["technique"]
RARE = {"inline", "compute_at", "merge", "map_to", "transpose", "fuse", "shrink", "spread"}


def names(schedule: Schedule) -> set[str]:
    return {d.name for d in schedule}


def test_every_primitive_is_in_the_checklist() -> None:
    assert {d for t in TECHNIQUES for d in t["directives"]} == set(PRIMITIVES)


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda t: t["name"].replace(" ", "-"))
def test_technique(technique: dict[str, Any]) -> None:
    kernel = parse_kernel(f"kernel f{technique['nest']}")
    if technique.get("by_default", True):
        target = named("avx512", 2)
        target = replace(target, features=(*target.features, *technique.get("features", ())))
        schedule = default_schedule(kernel, target, EAGER if technique.get("eager") else DEFAULT)
    else:
        assert technique["why"]
        schedule = parse_schedule(technique["schedule"])
    assert set(technique["directives"]) <= names(schedule)
    scheduled = apply(kernel, schedule)
    verify_kernel(scheduled)
    exact = "rfactor" in names(schedule)
    expected = compiled(kernel, exact)
    for name, value in compiled(scheduled, exact).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def compiled(kernel: Kernel, exact: bool) -> dict[str, Any]:
    """All arguments after a run of the compiled kernel; `exact`: sums are the same in any order."""
    found, program, target = arrays(kernel, exact=exact), program_of(kernel), resolve_target("llvm")
    built = backend("llvm").build(place.run(program), target, {})
    built([found[n] for n in program.params], [found[n] for n in program.results])
    return found


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitive_is_documented_and_refuses(name: str) -> None:
    shown = set().union(*(names(parse_schedule(s)) for _, _, s, _ in examples()))
    assert name in shown | {"unroll"}
    refused = {parse_schedule(s)[-1].name for _, s, reason in UNSAFE if reason is not None}
    assert name in refused


def test_random_schedules_have_all_primitives() -> None:
    counts: Counter[str] = Counter()
    for seed in range(120):
        r = Random(seed)
        counts.update(d.name for d in random_schedule(r.choice(GENERATORS)(r), r, 14)[1])
    assert {n for n in PRIMITIVES if counts[n] < 2} <= RARE
