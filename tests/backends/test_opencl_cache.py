"""Compiled OpenCL programs kept on disk: found again, refused where anything differs, healed where it is damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tests.refusals import code_of
from tilec.artifacts.store import Store, open_store, place
from tilec.backends.opencl import binaries, devices
from tilec.backends.opencl.sessions import Session

TARGET = next((t for t in devices.targets() if t.kind != "simulator"), None)
pytestmark = pytest.mark.skipif(
    TARGET is None, reason="no OpenCL device: pip install pyopencl pocl-binary-distribution"
)
TEXT = """
__kernel void twice(__global float *a) { a[get_global_id(0)] *= 2; }
__kernel void more(__global float *a) { a[get_global_id(0)] += 1; }
"""


@pytest.fixture
def session() -> Session:
    assert TARGET is not None
    return Session.on(TARGET)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The cache, turned on, for a driver that has none of its own."""
    monkeypatch.setenv("TILEC_CACHE", "1")
    monkeypatch.setenv("TILEC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(binaries, "keeps_itself", lambda device: False)
    found = open_store(place())
    assert found is not None
    yield found
    open_store.cache_clear()


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is really compiled."""
    found: list[str] = []
    original = binaries.from_source

    def counted(context: Any, text: str, options: Any) -> Any:
        found.append(text)
        return original(context, text, options)

    monkeypatch.setattr(binaries, "from_source", counted)
    return found


def works(session: Session, program: Any) -> bool:
    cl = devices.pyopencl()
    block, array = session.take(12), np.arange(3, dtype=np.float32)
    session.write(block.memory, 0, array.view(np.uint8))
    for name in ("twice", "more"):
        session.launch(cl.Kernel(program, name), (3,), (1,), [block.memory])
    session.read(block.memory, 0, array.view(np.uint8))
    session.finish()
    session.pool.give([block])
    return array.tolist() == [1, 3, 5]


@pytest.mark.usefixtures("store")
def test_a_text_is_compiled_once(session: Session, texts: list[str]) -> None:
    for _ in range(3):
        assert works(session, session.build(TEXT))
    assert texts == [TEXT]
    session.build(TEXT + "\n")
    assert len(texts) == 2


def test_what_decides_a_binary(session: Session) -> None:
    class Other:
        """The device, but for one answer of the driver."""

        def __init__(self, name: str, value: Any) -> None:
            self.name, self.value = name, value

        def __getattribute__(self, name: str) -> Any:
            own = object.__getattribute__(self, "name"), object.__getattribute__(self, "value")
            return own[1] if name == own[0] else getattr(session.device, name)

    class Platform:
        name, vendor, version = session.device.platform.name, session.device.platform.vendor, "OpenCL 9.9"

    same = binaries.key_of(session.device, TEXT, ["-w"])
    assert binaries.key_of(session.device, TEXT, ["-w"]) == same
    others = [Other("driver_version", "9.9"), Other("version", "9"), Other("name", "x"), Other("platform", Platform)]
    keys = {binaries.key_of(other, TEXT, ["-w"]) for other in others}
    keys |= {binaries.key_of(session.device, TEXT, []), binaries.key_of(session.device, TEXT + " ", ["-w"])}
    assert len(keys) == 6 and same not in keys


def test_damage_heals(session: Session, store: Store, texts: list[str]) -> None:
    session.build(TEXT)
    (entry,) = store.entries()
    whole = entry.path.read_bytes()
    for damaged in (whole[:-100], whole[:200] + b"?" + whole[201:], b"", b"garbage"):
        entry.path.write_bytes(damaged)
        texts.clear()
        assert works(session, session.build(TEXT)) and texts == [TEXT]
        assert works(session, session.build(TEXT)) and texts == [TEXT]


def test_a_binary_that_the_driver_rejects(
    session: Session, store: Store, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or that it takes although kernels are missing in it."""
    context, device = session.context, session.device
    monkeypatch.setattr(binaries, "key_of", lambda device, text, options: b"key")
    session.build(TEXT.replace("more", "less"))
    for wrong in (b"not a binary", None):
        if wrong is not None:
            store.put(b"key", wrong)
        texts.clear()
        assert works(session, binaries.built(context, device, TEXT, ["-w"])) and texts == [TEXT]
        assert works(session, binaries.built(context, device, TEXT, ["-w"])) and texts == [TEXT]
        store.discard(b"key")
        binaries.built(context, device, TEXT.replace("more", "less"), ["-w"])


def test_errors_in_the_text_are_told_each_time(session: Session, store: Store) -> None:
    for _ in range(2):
        assert code_of(lambda: session.build("__kernel void broken( {")) == "TILE0710"
    assert store.entries() == []


def test_off_is_off(session: Session, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_CACHE", "0")
    assert works(session, session.build(TEXT))
    assert not store.directory.exists()


def test_a_driver_with_a_cache_is_left_to_it(
    session: Session, store: Store, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "keeps_itself", lambda device: True)
    for _ in range(2):
        assert works(session, session.build(TEXT))
    assert texts == [TEXT, TEXT] and store.entries() == []


def test_programs_and_the_command(store: Store, texts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from tilec.cli import cache

    run = "function (A[N, N]) -> (B) { B[i, j : N, N] = +(A[i, k] * A[k, j]); }"
    a = np.random.default_rng(0).integers(-3, 4, (9, 9)).astype(np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(tilec.compile(run, str(TARGET), A=a)(a), a @ a)
    assert len(texts) == len(set(texts)) and cache.state()["entries"] == len(store.entries()) >= 1
    assert cache.verify() == 0 and cache.clear() == 0
    assert store.entries() == []
    capsys.readouterr()


POISONED = """
import sys
from pathlib import Path
import numpy as np, tilec
run = tilec.compile("function (A) -> (B) { B = A + A; }", "opencl:pocl", A=(5,))
assert run(np.ones(5, "float32")).sum() == 10
if sys.argv[1] == "damage":
    (path,) = [p for p in Path(sys.argv[2]).rglob("program.bc") if b"g0_k0_0" in p.read_bytes()]
    path.write_bytes(path.read_bytes()[:2000])
    for kept in path.parent.rglob("*.so"):
        kept.unlink()
print("right")
"""


@pytest.mark.skipif(TARGET is None or not TARGET.cpu.startswith("pthread"), reason="it is PoCL's cache that is damaged")
def test_what_a_killed_process_leaves_in_the_cache_of_pocl(tmp_path: Path) -> None:
    """A part of a file, after which the text has no kernels for PoCL. (That it aborts when all is done is its own.)"""
    env = {**os.environ, "POCL_CACHE_DIR": str(tmp_path), "PYOPENCL_NO_CACHE": "1"}
    for step in ("damage", "use", "use"):
        command = [sys.executable, "-c", POISONED, step, str(tmp_path)]
        found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert found.stdout == "right\n", found.stderr
        assert ("delete its cache" in found.stderr) == (step == "use")
