"""Floor 5: compiled programs found again: among those being compiled just now, or on disk.

A program is known by all that decides its machine code: text, function, argument types, values that are compiled in,
options, target, and the compiler itself. Numbers among the arguments are left out where their values do not shape the
code; whether they do is known only after the first compilation, so there are two keys, with and without them.
An entry says which records of the tuner its schedules rest on, and serves as long as these say the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tilec.artifacts.identity import fingerprint, versions
from tilec.artifacts.image import SCHEMA, Image, decode, encode
from tilec.artifacts.saved import image_of, revive
from tilec.artifacts.store import Store, open_store, place
from tilec.backends.llvm.backend import LLVMBackend
from tilec.errors import Source, TileError
from tilec.executable import Executable, no_memory
from tilec.graph import TensorType
from tilec.options import Options
from tilec.runtime import argument
from tilec.target import Target
from tilec.tune.choice import out_of_date, wanted

_log = logging.getLogger("tilec")


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that decides what is compiled.

    form: `tile` or `graph`. signature: a type or a number by argument. constants: arrays or numbers by argument.
    remarks: what else the executable will carry.
    """

    form: str
    text: str
    target: Target
    options: Options
    function: str | None
    signature: Mapping[str, TensorType | int | float]
    constants: Mapping[str, Any]
    remarks: tuple[str, ...] = ()

    def key(self, values: bool) -> bytes:
        """The full key, with or without the values of numbers among the arguments."""
        entries = {n: _entry(v, values) for n, v in self.signature.items() if n not in self.constants}
        content = {
            "schema": SCHEMA,
            "compiler": [dict(versions()), fingerprint(), sys.version, np.__version__],  # the latter two fold constants
            "target": repr(self.target),
            "options": repr(replace(self.options, tune=None)),
            "program": [self.form, self.text, self.function, *self.remarks],
            "signature": entries,
            "constants": {n: _digest(v) for n, v in self.constants.items()},
            "values": values,
            "tuned": wanted(self.options.tune),
        }
        return json.dumps(content, sort_keys=True).encode()


def cached(request: Request, compile: Callable[[], Executable], source: Source | None = None) -> Executable:
    """The executable of a request: kept, or compiled now and kept. Threads that ask for one at once share it.

    `source` is the text that the program came from, under its present name. Raises what `compile` raises.
    """
    exact = request.key(True)
    kept = (request.target.backend, request.target.device) == ("llvm", "host")
    store = open_store(place()) if kept else None
    if store is None:
        return _flights.shared(exact, compile)
    return _flights.shared(exact, lambda: _kept_or_compiled(store, request, exact, compile, source))


def _kept_or_compiled(
    store: Store, request: Request, exact: bytes, compile: Callable[[], Executable], source: Source | None
) -> Executable:
    general = request.key(False)
    found = _kept(store, (general, exact), request, source)
    if found is not None:
        return found
    with store.compiling(exact):
        found = _kept(store, (general, exact), request, source)  # another process may have been faster
        if found is None:
            found = compile()
            _keep(store, exact if found.fixed else general, found)
    return found


def _keep(store: Store, key: bytes, executable: Executable) -> None:
    try:
        payload = encode(image_of(executable, with_constants=False))
    except (TileError, ValueError, MemoryError, RecursionError) as reason:  # what was compiled is right all the same
        _log.info("%s is not kept: %s", executable.name, reason)
        return
    store.put(key, payload)


def _kept(store: Store, keys: tuple[bytes, ...], request: Request, source: Source | None) -> Executable | None:
    for key in keys:
        payload = store.get(key)
        if payload is None:
            continue
        try:
            image = decode(payload, "a cache entry", source)
            if out_of_date(image.choices, request.target, request.options.tune):
                continue  # and what is compiled now takes its place
            return _loaded(image, request)
        except (TileError, RuntimeError, KeyError, ValueError) as reason:  # sealed by us, yet of no use
            if isinstance(reason, TileError) and reason.code == "TILE0416":
                raise  # compiled anew it would not fit either
            _log.info("a cache entry is dropped: %s", reason)
            store.discard(key)
    return None


def _loaded(image: Image, request: Request) -> Executable:
    if image.code is None:
        raise ValueError("it holds no machine code")
    types = image.constant_types
    constants = {n: argument(n, request.constants[n], t) for n, t in types.items()}
    try:
        built = LLVMBackend().load(image.code, constants, request.target.threads)
    except MemoryError as reason:
        raise no_memory(image.name, reason) from None
    return revive(image, built, request.target, constants)


def _entry(value: TensorType | int | float, with_value: bool) -> list[Any]:
    if isinstance(value, TensorType):
        return [value.dtype.name, [str(s) for s in value.shape], value.weak]
    kind = type(value).__name__
    wide = not isinstance(value, float) and not -(1 << 31) <= value < 1 << 31  # such a number is an int64 parameter
    return ["number", kind, wide, repr(value) if with_value else ""]


def _digest(value: Any) -> list[Any]:
    if isinstance(value, bool | int | float):
        return [type(value).__name__, repr(value)]
    array = np.ascontiguousarray(value)
    return [array.dtype.name, list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]


# threads -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Flight:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    result: Executable | None = None


class _Flights:
    """Work that several threads ask for at once is done once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._going: dict[bytes, _Flight] = {}

    def shared(self, key: bytes, work: Callable[[], Executable]) -> Executable:
        """The result of `work`, or of an equal one that another thread is doing; if that fails, the next one tries."""
        with self._lock:
            flight = self._going.setdefault(key, _Flight())
            flight.users += 1
        try:
            with flight.lock:
                if flight.result is None:
                    flight.result = work()
                return flight.result
        finally:
            with self._lock:
                flight.users -= 1
                if not flight.users:
                    del self._going[key]


_flights = _Flights()


def _after_fork() -> None:
    """Other threads' work does not go on in the child."""
    global _flights
    _flights = _Flights()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
