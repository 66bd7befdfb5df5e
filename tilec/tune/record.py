"""Floor 3: what is known of the fastest schedule of a kernel on a kind of machine, as data and as JSON.

A record is one JSON object in a file of its own, with a checksum over everything else. It holds no code: its schedule
is applied by primitives that refuse what is not safe. A record says which names its kernel had, in the order in which
the kernel binds them, for an equal kernel of another program may have others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from tilec.errors import TileError
from tilec.schedule import Directive, Schedule, parse_schedule
from tilec.target import Target

FORMAT = 1
MOST_BYTES = 1 << 18  # of a file
MOST_DIRECTIVES = 256  # of a schedule; good ones have some dozens
_STATES = ("complete", "partial")


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of tuning a kernel.

    kernel: its digest (`tilec.kernel_key`). target: traits of the machine. name: what the kernel was called.
    names: of its buffers and loops. schedule: the fastest one found. default: that is what the rules choose anyway, and
    they are to choose. milliseconds of the default and of the best. verified: what the results were compared with.
    state: `complete`, or `partial` where the search was ended early; tried: candidates that need not be tried again.
    """

    kernel: str
    target: Mapping[str, Any]
    name: str
    names: tuple[str, ...]
    schedule: Schedule
    default: bool
    default_milliseconds: float
    best_milliseconds: float
    verified: tuple[str, ...]
    state: str
    tried: tuple[str, ...]
    tilec: str
    date: str

    @property
    def speedup(self) -> float:
        """How much faster the schedule is than the default one; 1 where that is the fastest."""
        return 1.0 if self.default else self.default_milliseconds / self.best_milliseconds

    def schedule_for(self, names: tuple[str, ...]) -> Schedule | None:
        """The schedule in the names of an equal kernel; None where these are not as many."""
        if len(names) != len(self.names):
            return None
        return renamed(self.schedule, dict(zip(self.names, names)))

    @property
    def choice(self) -> str:
        """What compiled code that rests on this record remembers of it: empty where the rules choose."""
        if self.default:
            return ""
        text = json.dumps([list(self.names), list(map(str, self.schedule))])
        return hashlib.sha256(text.encode()).hexdigest()


def renamed(schedule: Schedule, names: Mapping[str, str]) -> Schedule:
    """The schedule with other names; one made of a loop's, such as `m.0`, follows it."""

    def word(argument: int | str) -> int | str:
        if not isinstance(argument, str):
            return argument
        if argument in names:
            return names[argument]
        stem, dot, rest = argument.partition(".")
        return names.get(stem, stem) + dot + rest

    return tuple(Directive(d.name, tuple(map(word, d.args))) for d in schedule)


def traits(target: Target) -> dict[str, Any]:
    """What decides which schedule is fast. Of a CPU never its name, which may say what is not so, but its features; of
    an OpenCL device its name and its driver, which tell more than the driver answers, and not its number, which may
    change.
    """
    known = asdict(target)
    for name in ("device" if target.backend == "opencl" else "cpu", "memory", "largest"):
        del known[name]
    return {**known, "features": list(target.features)}


@lru_cache(64)
def traits_digest(target: Target) -> str:
    """16 hexadecimal digits that stand for the traits."""
    return hashlib.sha256(json.dumps(traits(target), sort_keys=True).encode()).hexdigest()[:16]


# JSON --------------------------------------------------------------------------------------------------------------


class Foreign(Exception):
    """A record of another format: not ours to judge."""


def encode(record: Record) -> bytes:
    """The record as JSON text, a directive a line."""
    content = {
        "format": FORMAT,
        **asdict(record),
        "schedule": [str(d) for d in record.schedule],
    }
    return json.dumps({**content, "checksum": _checksum(content)}, indent=1).encode() + b"\n"


def decode(data: bytes) -> Record:
    """Inverse of `encode`; raises Foreign for another format, ValueError for whatever `encode` does not write."""
    try:
        content = json.loads(data)
        if isinstance(content, dict) and isinstance(content.get("format"), int) and content["format"] != FORMAT:
            raise Foreign
        if content.pop("checksum") != _checksum(content):
            raise ValueError("its checksum is wrong")
        return _record(content)
    except (Foreign, ValueError):
        raise
    except (TileError, RecursionError, KeyError, TypeError, AttributeError) as reason:
        raise ValueError(f"it is malformed: {type(reason).__name__}") from None


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _record(content: Mapping[str, Any]) -> Record:
    lines = _texts(content["schedule"])
    schedule = parse_schedule("\n".join(lines))
    if len(schedule) > MOST_DIRECTIVES or content["state"] not in _STATES or not isinstance(content["target"], dict):
        raise ValueError("it is malformed")
    return Record(
        kernel=_text(content["kernel"]),
        target=content["target"],
        name=_text(content["name"]),
        names=_texts(content["names"]),
        schedule=schedule,
        default=_typed(content["default"], bool),
        default_milliseconds=_positive(content["default_milliseconds"]),
        best_milliseconds=_positive(content["best_milliseconds"]),
        verified=_texts(content["verified"]),
        state=content["state"],
        tried=_texts(content["tried"]),
        tilec=_text(content["tilec"]),
        date=_text(content["date"]),
    )


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError("it is malformed")
    return value


def _text(value: Any) -> str:
    text: str = _typed(value, str)
    return text


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, _typed(value, list)))


def _positive(value: Any) -> float:
    number: float = _typed(value, float)
    if not 0 < number < float("inf"):
        raise ValueError("it is malformed")
    return number
