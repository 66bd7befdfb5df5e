"""Options and paths that all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # so that tests can import `tests.language.mutate` however pytest was started


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite the expected part of golden files")


@pytest.fixture(scope="session", autouse=True)
def known_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run as if whoever runs them had set nothing, in their own process and in those that they start.

    They compile what they test, and never touch the user's cache; those of the cache turn theirs on. Memory holds NaN
    until something is written to it.
    """
    from tilec import configuration, trust, unwritten

    nowhere = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TILEC_") or name == "NO_COLOR"]:
            patch.delenv(name)
        patch.setenv("TILEC_CACHE", "0")
        if limits := os.environ.get("TEST_OPENCL_LIMITS"):  # see tests/backends/implementations.py
            patch.setenv("TILEC_DEVICE_LIMITS", limits)
        patch.setenv("TILEC_CACHE_DIR", str(nowhere / "cache"))
        patch.setenv("XDG_CONFIG_HOME", str(nowhere / "config"))  # of processes; elsewhere than on Linux there is none
        patch.setenv("XDG_STATE_HOME", str(nowhere / "state"))
        patch.setattr(configuration, "user_file", lambda: nowhere / "config" / "tilec" / "config.toml")
        patch.setattr(trust, "state_file", lambda: nowhere / "state" / "tilec" / "devices.json")
        patch.setattr(unwritten, "content", unwritten.NAN)
        configuration.config.reset()
        yield
        configuration.config.reset()


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten instead of compared."""
    return bool(request.config.getoption("--update"))


@pytest.fixture(scope="session")
def conformance() -> Path:
    """The conformance programs beside the repository; skips where they are absent."""
    path = ROOT.parent / "shared" / "conformance" / "tile_programs.jsonl"
    if not path.exists():
        pytest.skip("../shared/conformance/tile_programs.jsonl is absent")
    return path
