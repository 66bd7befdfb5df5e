"""Floor 1: where the values of settings come from, and `tilec.config`.

Later beats earlier: defaults; the user's file `config.toml`; `[tool.tilec]` of the nearest pyproject.toml, upwards from
the present directory; environment variables `TILEC_*`; `tilec.config.set(...)`; `with tilec.config(...):`.

Files are read once for each directory that a process works in; the environment is looked at whenever something is
compiled. A `with` holds for its own thread, or its own task of asyncio, only.
"""

from __future__ import annotations

import difflib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from tilec.errors import TileError, error
from tilec.settings import About, Settings, settings_by_name

Changes: TypeAlias = tuple[tuple[str, Any], ...]


class Values(TypedDict, total=False):
    """Any of the settings, by name."""

    target: str
    device_limits: str
    threads: int
    compile_workers: int | str
    cache: bool
    cache_dir: str | os.PathLike[str]
    cache_size: int | str
    tune: float | str
    result_memory: int | str
    log_level: str
    color: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings in force, and for each that is not at its default where its value comes from."""

    settings: Settings
    origins: Mapping[str, str]

    def with_changes(self, changes: Mapping[str, Any], origins: Mapping[str, str]) -> Loaded:
        return Loaded(replace(self.settings, **changes), {**self.origins, **origins})


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as `tilec config` shows it."""

    name: str
    value: Any
    origin: str
    about: About


# sources -----------------------------------------------------------------------------------------------------------


def checked(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values as their settings have them; raises TileError TILE0711 that names `where` and what is allowed."""
    return {name: _read(_known(name, where), value, f"{name} in {where}") for name, value in given.items()}


def _known(name: str, where: str) -> About:
    found = settings_by_name().get(name)
    if found is None:
        near = difflib.get_close_matches(name, settings_by_name(), 1)
        help = f"did you mean {near[0]!r}?" if near else f"settings: {', '.join(settings_by_name())}"
        raise error("TILE0711", f"unknown setting {name!r} in {where}", help=help)
    return found


def _read(about: About, value: Any, what: str) -> Any:
    try:
        return about.read(value)
    except ValueError:
        raise error("TILE0711", f"{what} is {value!r}", notes=[f"allowed: {about.allowed}"]) from None


def user_file() -> Path:
    """The user's own `config.toml`, whether it exists or not."""
    from platformdirs import user_config_path

    return Path(user_config_path("tilec")) / "config.toml"


def project_file(directory: str) -> Path | None:
    """The nearest pyproject.toml that this process may read, from a directory upwards."""
    start = Path(directory)
    return next((f for d in (start, *start.parents) if _readable(f := d / "pyproject.toml")), None)


def _readable(path: Path) -> bool:
    return os.path.isfile(path) and os.access(path, os.R_OK)


class SettingsWarning(RuntimeWarning):
    """The user's settings cannot be read; the defaults are used."""


def _user_values(path: Path) -> dict[str, Any]:
    """What the user has set. A file that cannot be read is no reason not to compile: a warning says so, once."""
    try:
        text = _text(path)
    except OSError as reason:
        warnings.warn(f"cannot read {str(path)!r}: {reason.strerror}; it is ignored", SettingsWarning, stacklevel=2)
        return {}
    return checked(_toml(path, text), repr(str(path)))


def _project_values(path: Path) -> dict[str, Any]:
    try:
        text = _text(path)
    except OSError as reason:
        raise error("TILE0701", f"cannot read {str(path)!r}: {reason.strerror}") from None
    tool = _toml(path, text).get("tool", {}) if "tilec" in text else {}  # most projects do not mention it
    given = tool.get("tilec", {}) if isinstance(tool, dict) else {}
    where = f"[tool.tilec] of {str(path)!r}"
    if not isinstance(given, dict):
        raise error("TILE0711", f"{where} is not a table")
    for name in given:
        if name in settings_by_name() and not settings_by_name()[name].project:
            notes = ["a project may come from a stranger, and what the directory holds is run as machine code"]
            help = f"set it in {str(user_file())!r}, or {settings_by_name()[name].variable}"
            raise error("TILE0711", f"{where} may not set {name!r}", notes=notes, help=help)
    return checked(given, where)


def _text(path: Path) -> str:
    """Empty where there is no file; raises OSError, and TileError TILE0701 for what is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):  # the latter where there is no home
        return ""
    except ValueError as reason:
        raise error("TILE0701", f"cannot read {str(path)!r}: {reason}") from None


def _toml(path: Path, text: str) -> dict[str, Any]:
    if not text.strip():  # most users have no file: no need to load the parser
        return {}
    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as reason:
        raise error("TILE0711", f"{str(path)!r} is not a TOML file: {reason}") from None


def _environment() -> Changes:
    """The variables that are set and count, as (variable, text); an empty one counts as not set."""
    found = [next((v for v in a.variables if _variable(v)), a.variable) for a in settings_by_name().values()]
    if os.environ.get("NO_COLOR") and not os.environ.get("TILEC_COLOR"):
        found.append("NO_COLOR")
    return tuple((v, _variable(v)) for v in found if _variable(v))


def _variable(name: str) -> str:
    text = os.environ.get(name, "")
    return text if text.strip() else ""


def _variable_values(variables: Changes) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    abouts = {variable: about for about in settings_by_name().values() for variable in about.variables}
    for variable, text in variables:
        if variable == "NO_COLOR":
            values["color"], origins["color"] = "never", variable
        else:
            about = abouts[variable]
            values[about.name], origins[about.name] = _read(about, text, variable), variable
    return values, origins


def present_directory() -> str:
    """The directory that the process works in; the root where that one has been deleted."""
    try:
        return os.getcwd()
    except OSError:  # it has been deleted
        return os.sep


@lru_cache(64)
def _files(directory: str) -> Loaded:
    """Defaults and both files."""
    loaded, project = Loaded(Settings(), {}), project_file(directory)
    for path, values in ((user_file(), _user_values), (project, _project_values)):
        if path is not None:
            changes = values(path)
            loaded = loaded.with_changes(changes, dict.fromkeys(changes, str(path)))
    return loaded


@lru_cache(256)
def _resolved(directory: str, variables: Changes, process: Changes, scope: Changes) -> Loaded:
    loaded = _files(directory).with_changes(*_variable_values(variables))
    for changes, origin in ((process, "tilec.config.set"), (scope, "with tilec.config")):
        loaded = loaded.with_changes(dict(changes), dict.fromkeys(dict(changes), origin))
    return loaded


@lru_cache(256)
def _decisive(changes: Changes) -> Changes:
    return tuple((name, value) for name, value in changes if settings_by_name()[name].decisive)


# tilec.config ------------------------------------------------------------------------------------------------------

_scope: ContextVar[Changes] = ContextVar("tilec.config", default=())


if TYPE_CHECKING:
    _Readable = Settings  # attributes of Config are the settings
else:
    _Readable = object


class Config(_Readable):
    """`tilec.config`: reads settings as attributes, changes them for a `with` block or for the process.

    >>> import tilec
    >>> with tilec.config(threads=1):
    ...     tilec.config.threads
    1
    """

    _process: Changes = ()

    def __getattr__(self, name: str) -> Any:
        if name not in settings_by_name():
            raise AttributeError(f"there is no setting {name!r}; settings: {', '.join(settings_by_name())}")
        return getattr(self.loaded().settings, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in settings_by_name():
            raise AttributeError(f"use tilec.config.set({name}=...), or `with tilec.config({name}=...):`")
        object.__setattr__(self, name, value)

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *settings_by_name()]

    def __call__(self, **values: Unpack[Values]) -> Any:
        """A context manager in whose block the settings have these values; raises TileError TILE0711."""
        return _changed(checked(values, "tilec.config()"))

    def set(self, **values: Unpack[Values]) -> None:
        """Sets values for the whole process; raises TileError TILE0711."""
        self._process = _merged(self._process, checked(values, "tilec.config.set()"))

    def reset(self) -> None:
        """Forgets what `set` has set, and reads the files again when a setting is next asked for."""
        self._process = ()
        self.reset_files()

    def reset_files(self) -> None:
        """Reads the files again when a setting is next asked for; what `set` has set stays."""
        _files.cache_clear()
        _resolved.cache_clear()

    def changes(self) -> tuple[Changes, Changes]:
        """What `set` and `with` have changed in this context: cheap to get, to compare and to hash."""
        return self._process, _scope.get()

    def decisive(self) -> tuple[Changes, Changes]:
        """The `changes` that decide what is compiled: other colours or another cache are no reason to do it again."""
        process, scope = self._process, _scope.get()
        return process and _decisive(process), scope and _decisive(scope)

    def loaded(self) -> Loaded:
        """Settings in force here and now, with their origins; raises TileError TILE0701, TILE0711."""
        found = _resolved(present_directory(), _environment(), self._process, _scope.get())
        if found.settings.log_level != "off":
            _show_records(found.settings.log_level)
        return found

    def list(self) -> list[Setting]:
        """Every setting with its value and origin."""
        found = self.loaded()
        return [
            Setting(n, getattr(found.settings, n), found.origins.get(n, "default"), about)
            for n, about in settings_by_name().items()
        ]

    def __repr__(self) -> str:
        return "\n".join(f"{s.name} = {s.value!r}  ({s.origin})" for s in self.list())


@contextmanager
def _changed(values: Mapping[str, Any]) -> Iterator[Config]:
    token = _scope.set(_merged(_scope.get(), values))
    try:
        yield config
    finally:
        _scope.reset(token)


def _merged(changes: Changes, values: Mapping[str, Any]) -> Changes:
    return tuple(sorted({**dict(changes), **values}.items()))


# logging -----------------------------------------------------------------------------------------------------------


class _Stderr(logging.Handler):
    """Shows records of the level that is set in the context that logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        level = config.log_level
        return level != "off" and record.levelno >= _number(level)

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is not None:
            print(self.format(record), file=sys.stderr)


def _show_records(level: str) -> None:
    """Lets records of that level through, and shows them; does nothing the second time."""
    log, wanted = logging.getLogger("tilec"), _number(level)
    if not any(isinstance(h, _Stderr) for h in log.handlers):
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("tilec: %(levelname)s: %(message)s"))
        log.addHandler(handler)
    if log.getEffectiveLevel() > wanted:
        log.setLevel(wanted)


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


config = Config()

__all__ = ["Changes", "Config", "Loaded", "Setting", "TileError", "Values", "checked", "config"]
