"""Settings: their sources and order, bad values, scopes, and what they reach."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tilec
from tilec import configuration
from tilec.configuration import Values, config
from tilec.devices import resolve_target
from tilec.settings import Settings, settings_by_name


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project and an empty user directory; no variables."""
    for about in settings_by_name().values():
        for variable in about.variables:
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(configuration, "user_file", lambda: tmp_path / "user" / "config.toml")
    (tmp_path / "user").mkdir()
    (tmp_path / "project" / "inner").mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").write_text("[project]\n")
    monkeypatch.chdir(tmp_path / "project" / "inner")
    config.reset()
    yield tmp_path
    config.reset()
    log = logging.getLogger("tilec")
    log.setLevel(logging.NOTSET)
    log.handlers = [h for h in log.handlers if not isinstance(h, configuration._Stderr)]


def user(place: Path, text: str) -> None:
    (place / "user" / "config.toml").write_text(text)


def project(place: Path, text: str) -> None:
    (place / "project" / "pyproject.toml").write_text(text)


def origin(name: str) -> str:
    return next(s.origin for s in config.list() if s.name == name)


def test_defaults() -> None:
    assert config.loaded().settings == Settings()
    assert {s.origin for s in config.list()} == {"default"}


def test_each_source_beats_the_one_before(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user(place, "threads = 1\n")
    assert (config.threads, origin("threads")) == (1, str(place / "user" / "config.toml"))
    project(place, "[tool.tilec]\nthreads = 2\n")
    config.reset()
    assert (config.threads, origin("threads")) == (2, str(place / "project" / "pyproject.toml"))
    monkeypatch.setenv("TILEC_THREADS", "3")
    assert (config.threads, origin("threads")) == (3, "TILEC_THREADS")
    config.set(threads=4)
    assert (config.threads, origin("threads")) == (4, "tilec.config.set")
    with tilec.config(threads=5):
        assert (config.threads, origin("threads")) == (5, "with tilec.config")
        with tilec.config(color="never"):
            assert (config.threads, config.color) == (5, "never")
    assert config.threads == 4
    config.reset()
    assert config.threads == 3


def test_nearest_project_counts(place: Path) -> None:
    project(place, "[tool.tilec]\nthreads = 2\n")
    (place / "project" / "inner" / "pyproject.toml").write_text("[tool.other]\n")
    assert config.threads == 0


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("cache", "off", False),
        ("cache", "1", True),
        ("cache_size", "512M", 512 << 20),
        ("cache_size", "2 GiB", 2 << 30),
        ("cache_size", "1000", 1000),
        ("color", "Never", "never"),
        ("target", "opencl:1", "opencl:1"),
        ("log_level", "debug", "debug"),
        ("device_limits", "wg=256, local=32K", "local=32768,wg=256"),
        ("device_limits", "max_alloc=256M,memory=1 GiB,local=0", "local=0,max_alloc=268435456,memory=1073741824"),
        ("device_limits", ",", ""),
    ],
)
def test_variables(name: str, text: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings_by_name()[name].variable, text)
    assert getattr(config, name) == value


def test_directories(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    user(place, 'cache_dir = "~/kept"\n')
    assert config.cache_dir == str(place / "kept")
    with tilec.config(cache_dir=place / "other"):
        assert config.cache_dir == str(place / "other")


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert (config.color, origin("color")) == ("never", "NO_COLOR")
    monkeypatch.setenv("TILEC_COLOR", "always")
    assert config.color == "always"


def test_two_variables_of_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_DEVICE", "opencl:pocl")
    assert (config.target, origin("target")) == ("opencl:pocl", "TILEC_DEVICE")
    monkeypatch.setenv("TILEC_TARGET", " ")
    assert (config.target, origin("target")) == ("opencl:pocl", "TILEC_DEVICE")
    monkeypatch.setenv("TILEC_TARGET", "reference")
    assert (config.target, origin("target")) == ("reference", "TILEC_TARGET")
    with tilec.config(target="llvm"):
        assert config.target == "llvm"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TILEC_THREADS", "-1"),
        ("TILEC_THREADS", "many"),
        ("TILEC_THREADS", "99999999999999999999999"),
        ("TILEC_DEVICE_LIMITS", "memory=999999999999999T"),
        ("TILEC_CACHE", "maybe"),
        ("TILEC_CACHE_SIZE", "1.5G"),
        ("TILEC_COLOR", "blue"),
        ("TILEC_TARGET", "the moon"),
        ("TILEC_DEVICE", "opencl:"),
        ("TILEC_LOG_LEVEL", "loud"),
        *(
            ("TILEC_DEVICE_LIMITS", text)
            for text in ("wg", "wg=", "wg=0", "wg=-1", "wg=1,wg=2", "warp=32", "local=1.5K")
        ),
    ],
)
def test_bad_variables(variable: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(tilec.TileError, match=f"TILE0711.*{variable} is '{text}'\n.*allowed: "):
        config.loaded()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("threads = 1.5", "threads in .* is 1.5"),
        ("threads = true", "threads in .* is True"),
        ("thread = 1", "unknown setting 'thread' in .*did you mean 'threads'"),
        ("x y", "is not a TOML file"),
        ("cache_size = true", "cache_size in .* is True"),
    ],
)
def test_bad_files(text: str, message: str, place: Path) -> None:
    user(place, text)
    with pytest.raises(tilec.TileError, match=f"(?s)TILE0711.*{message}") as found:
        config.loaded()
    assert "config.toml" in str(found.value)
    user(place, "")
    project(place, f"[tool.tilec]\n{text}\n")
    config.reset()
    with pytest.raises(tilec.TileError, match="TILE0711") as found:
        config.loaded()
    assert "pyproject.toml" in str(found.value)


@pytest.mark.parametrize("text", ["tool.tilec = 3", "[tool]\ntilec = [1]"])
def test_strange_tables(text: str, place: Path) -> None:
    project(place, text)
    with pytest.raises(tilec.TileError, match=r"TILE0711.*is not a table"):
        config.loaded()


def test_a_strange_table_of_others_is_left_alone(place: Path) -> None:
    project(place, "tool = 3  # tilec")
    assert config.loaded().settings == Settings()


def test_a_project_may_not_say_where_machine_code_is_kept(place: Path) -> None:
    project(place, '[tool.tilec]\ncache_dir = ".cache"\n')
    with pytest.raises(tilec.TileError, match="may not set 'cache_dir'"):
        config.loaded()


def test_a_broken_project_without_tilec_is_left_alone(place: Path) -> None:
    project(place, "[[[")
    assert config.threads == 0


def test_a_file_that_is_not_text(place: Path) -> None:
    (place / "user" / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(tilec.TileError, match="TILE0701"):
        config.loaded()


def test_a_file_of_the_user_that_cannot_be_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "user" / "config.toml").mkdir()  # root may read everything, but not a directory
    with pytest.warns(configuration.SettingsWarning, match="it is ignored") as seen:
        assert config.loaded().settings == Settings()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one warning is enough
        monkeypatch.setenv("TILEC_THREADS", "3")
        assert config.threads == 3
    assert len(seen) == 1


def test_a_relative_directory_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(tilec.TileError, match="TILE0711"):
        config.set(cache_dir="relative")
    config.set(cache_dir=str(tmp_path))


def test_bad_names_in_code() -> None:
    with pytest.raises(tilec.TileError, match="unknown setting"):
        config.set(nothing=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="there is no setting"):
        config.nothing  # noqa: B018
    with pytest.raises(AttributeError, match=r"tilec.config.set\(threads"):
        config.threads = 3  # type: ignore[misc]


def test_a_scope_is_left_when_its_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), tilec.config(threads=7):
        1 / 0  # noqa: B018
    assert config.threads == 0


def test_scopes_are_a_threads_own() -> None:
    seen = []
    with tilec.config(threads=1):
        thread = threading.Thread(target=lambda: seen.append(config.threads))
        thread.start()
        thread.join()
    assert seen == [0]


def test_scopes_are_a_tasks_own() -> None:
    async def work(threads: int) -> int:
        with tilec.config(threads=threads):
            await asyncio.sleep(0.01)
            return config.threads

    async def all_of_them() -> list[int]:
        return list(await asyncio.gather(*(work(n) for n in range(1, 6))))

    assert asyncio.run(all_of_them()) == [1, 2, 3, 4, 5]


def test_what_settings_reach() -> None:
    with tilec.config(threads=3):
        assert resolve_target("auto").threads == 3
        assert resolve_target("llvm").threads == 3
        assert resolve_target(tilec.Target("llvm", threads=9)).threads == 9
    with tilec.config(target="reference"):
        assert resolve_target("auto").backend == "reference"
        assert resolve_target("llvm").backend == "llvm"


def test_the_machine_is_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from tilec.backends.llvm.target import host

    before = host().threads
    monkeypatch.setenv("TILEC_THREADS", str(before + 1))
    assert (host().threads, resolve_target("llvm").threads) == (before, before + 1)


@pytest.mark.parametrize("variable", ["TILEC_TARGET", "TILEC_DEVICE"])
def test_an_unknown_target_says_where_it_was_set(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "cuda")
    with pytest.raises(tilec.TileError, match=rf"(?s)TILE0508.*the setting 'target' is 'cuda', from {variable}"):
        resolve_target("auto")


def test_log_level_shows_records(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("tilec")
    with tilec.config(log_level="info"):
        config.loaded()
        log.debug("hidden")
        log.info("shown")
    log.error("after the block")
    config.loaded()
    assert capsys.readouterr().err == "tilec: INFO: shown\n"


def test_values_and_settings_agree() -> None:
    assert list(Values.__annotations__) == [f.name for f in dataclasses.fields(Settings)]
    for about in settings_by_name().values():
        assert about.read(about.default) == about.default
        assert about.doc.endswith(".")


def test_representation() -> None:
    assert "threads = 0  (default)" in repr(config)
