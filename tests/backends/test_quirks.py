"""Guards against troubles of drivers (docs/devices.md) that no driver at hand has; the others are tested elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tilec.backends.opencl import devices, quirks
from tilec.backends.opencl.backend import OpenCLBackend
from tilec.backends.opencl.sessions import Session
from tilec.text.loops_text import parse_program

COPY = """program p(X) -> (Y) { buffer X: param f32[N] buffer Y: param f32[N]
  kernel k(in X: f32[N], out Y: f32[N]) { for i in N parallel { Y[i] = add(X[i], 1.0) } }
  run { launch k(X, Y) } }"""


@pytest.fixture
def backend() -> OpenCLBackend:
    found = OpenCLBackend()
    if not found.targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    return found


@pytest.mark.parametrize(("count", "launches"), [(0, 0), (5, 1)])
def test_an_empty_range_is_not_launched(
    count: int, launches: int, backend: OpenCLBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Any] = []
    own = Session.launch
    monkeypatch.setattr(Session, "launch", lambda self, *args: launched.append(args) or own(self, *args))  # type: ignore[func-returns-value]
    built = backend.build(parse_program(COPY.replace("N", str(count))), backend.targets()[0], {})
    result = np.zeros(count, np.float32)
    built([np.ones(count, np.float32)], [result])
    assert len(launched) == launches
    assert (result == 2).all()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of all that is built."""
    found: list[str] = []
    cl = devices.pyopencl()
    own = cl.Program.build

    def build(self: Any, options: Any = (), *rest: Any, **named: Any) -> Any:
        found.extend(options)
        return own(self, options, *rest, **named)

    monkeypatch.setattr(cl.Program, "build", build)
    return found


def test_fast_mathematics_is_not_asked_for(backend: OpenCLBackend, seen: list[str]) -> None:
    backend.build(parse_program(COPY.replace("N", "13")), backend.targets()[0], {})
    assert "-cl-std=CL1.2" in seen
    assert not [option for option in seen if "fast" in option or "unsafe" in option or "mad" in option]


@pytest.mark.parametrize(("misled", "groups"), [(True, True), (True, False), (False, True)])
def test_groups_without_an_optimiser_that_they_mislead(
    misled: bool, groups: bool, backend: OpenCLBackend, monkeypatch: pytest.MonkeyPatch, seen: list[str]
) -> None:
    monkeypatch.setattr(quirks, "misled_by_groups", lambda platform: misled)
    text = COPY.replace("N", "13")
    text = text.replace("for i in 13 parallel", "for g in 1 group { for i in 13 item").replace("} }", "} } }", 1)
    backend.build(parse_program(text if groups else COPY.replace("N", "13")), backend.targets()[0], {})
    assert ("-cl-opt-disable" in seen) == (misled and groups)


def test_which_driver_groups_mislead() -> None:
    assert quirks.misled_by_groups("Intel(R) OpenCL")
    assert not any(map(quirks.misled_by_groups, ("Intel(R) OpenCL Graphics", "Portable Computing Language")))
