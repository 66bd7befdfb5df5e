"""The store by itself: what is damaged, planted or not ours is never returned; what cannot be kept is no error."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import tilec
from tilec.artifacts import seal, store
from tilec.artifacts.store import CacheWarning, Place, Store, place

ROOT = Path(__file__).parents[2]
KEY, OTHER = b"a key", b"another key"
PAYLOAD = bytes(range(256))
posix = pytest.mark.skipif(os.name != "posix", reason="owners and permissions are POSIX")


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    """A store with one entry."""
    found = Store(tmp_path / "cache")
    found.put(KEY, PAYLOAD)
    return found


def file_of(store: Store, key: bytes = KEY) -> Path:
    return store.directory / store._path(key).name


def test_an_entry_is_found_again(kept: Store) -> None:
    assert kept.get(KEY) == PAYLOAD
    assert Store(kept.directory).get(KEY) == PAYLOAD
    assert kept.get(OTHER) is None
    assert kept.verify() == (1, 0)


@posix
def test_everything_is_private(kept: Store) -> None:
    assert kept.directory.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o077 for p in kept.directory.iterdir()} == {0}


def test_a_flip_of_any_byte_is_noticed_and_healed(kept: Store) -> None:
    path, good = file_of(kept), file_of(kept).read_bytes()
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        path.write_bytes(bad)
        assert kept.get(KEY) is None
        assert not path.exists()
    kept.put(KEY, PAYLOAD)
    assert kept.get(KEY) == PAYLOAD


def test_every_truncation_and_extension_is_noticed(kept: Store) -> None:
    path, good = file_of(kept), file_of(kept).read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert kept.get(KEY) is None
    path.write_bytes(good + b"x")
    assert kept.verify() == (0, 1)
    assert kept.get(KEY) is None


def test_planted_entries_are_refused(kept: Store) -> None:
    file_of(kept, OTHER).write_bytes(file_of(kept).read_bytes())  # a true entry of another key
    assert kept.get(OTHER) is None
    file_of(kept, OTHER).write_bytes(seal.sealed(OTHER, b"evil", bytes(32)))  # all right but for the secret
    assert kept.verify() == (1, 1)
    file_of(kept, OTHER).write_bytes(seal.sealed(OTHER, b"evil", os.urandom(32)))
    assert kept.get(OTHER) is None
    assert kept.get(KEY) == PAYLOAD


def test_another_secret_empties_the_cache_and_no_more(kept: Store) -> None:
    secret = kept.directory / "secret"
    for content in (b"", b"short", bytes(33), os.urandom(32)):
        secret.unlink()
        secret.write_bytes(content)
        os.chmod(secret, 0o600)
        assert kept.get(KEY) is None
        kept.put(KEY, PAYLOAD)
        assert kept.get(KEY) == PAYLOAD


@posix
def test_a_secret_that_others_can_read_is_replaced(kept: Store) -> None:
    secret = kept.directory / "secret"
    before = secret.read_bytes()
    os.chmod(secret, 0o644)
    assert kept.get(KEY) is None
    assert secret.read_bytes() != before
    assert secret.stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_directory_that_others_may_write_is_refused(kept: Store, mode: int) -> None:
    os.chmod(kept.directory, mode)
    with pytest.warns(CacheWarning, match="others may write to it"):
        assert kept.get(KEY) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one warning is enough
        kept.put(OTHER, PAYLOAD)
        assert kept.get(OTHER) is None
    assert not file_of(kept, OTHER).exists()


@posix
def test_a_directory_of_another_user_is_refused(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.warns(CacheWarning, match="belongs to another user"):
        assert kept.get(KEY) is None


@posix
def test_an_entry_that_others_may_write_is_dropped(kept: Store) -> None:
    os.chmod(file_of(kept), 0o666)
    assert kept.get(KEY) is None
    assert not file_of(kept).exists()


@posix
def test_what_is_not_a_file_is_no_entry(kept: Store) -> None:
    file_of(kept).unlink()
    os.mkfifo(file_of(kept))  # must not wait for a writer
    with pytest.warns(CacheWarning, match="not a regular file"):
        assert kept.get(KEY) is None


def test_no_room_on_the_disk(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.warns(CacheWarning, match="No space left"):
            kept.put(OTHER, PAYLOAD)
    assert kept.get(OTHER) is None
    assert sorted(p.name for p in kept.directory.iterdir()) == sorted([file_of(kept).name, "secret"])  # nothing is left
    assert kept.get(KEY) == PAYLOAD


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tmpfs is Linux's")
def test_a_tiny_file_system_fills_up(tmp_path: Path) -> None:
    directory = tmp_path / "tiny"
    directory.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(directory)], check=False)
    if mounted.returncode:
        pytest.skip("no right to mount a file system")
    try:
        found = Store(directory)
        with pytest.warns(CacheWarning, match="No space left"):
            for number in range(40):
                found.put(b"%d" % number, bytes(4000))
        assert sum(found.get(b"%d" % n) == bytes(4000) for n in range(40)) >= 5
        assert found.verify()[1] == 0
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="remounting is Linux's")
def test_a_read_only_directory_is_still_read(tmp_path: Path) -> None:
    directory = tmp_path / "frozen"
    directory.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", str(directory)], check=False).returncode:
        pytest.skip("no right to mount a file system")
    try:
        found = Store(directory)
        found.put(KEY, PAYLOAD)
        subprocess.run(["mount", "-o", "remount,ro", str(directory)], check=True)
        assert found.get(KEY) == PAYLOAD
        with pytest.warns(CacheWarning, match="Read-only file system"):
            found.put(OTHER, PAYLOAD)
        with found.compiling(OTHER):
            pass
        assert found.get(KEY) == PAYLOAD
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = Store(tmp_path / "file" / "cache")
    with pytest.warns(CacheWarning, match="Not a directory"):
        found.put(KEY, PAYLOAD)
    with found.compiling(KEY):
        assert found.get(KEY) is None


def test_a_directory_deep_down(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 1200, "cache")  # more than Python likes to recurse
    found = Store(deep)
    found.put(KEY, PAYLOAD)
    assert found.get(KEY) == PAYLOAD
    with pytest.warns(CacheWarning, match="File name too long") as seen:
        Store(tmp_path.joinpath(*["d"] * 12_000)).put(KEY, PAYLOAD)
    assert len(str(seen[0].message)) < 400
    subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)  # pytest recurses, too


@posix
def test_no_home_directory() -> None:
    code = (
        "import pathlib, pwd, warnings, os\n"
        "from tilec.artifacts.store import Store, place\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    store = Store(place().directory)\n"
        "    store.put(b'k', b'v'); store.get(b'k'); store.put(b'k', b'v')\n"
        "print(len(seen), seen[0].message)\n"
    )
    for home in ("/proc/nowhere", "/dev/null"):
        environment = {"PATH": os.environ["PATH"], "HOME": home}
        done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.startswith("1 nothing is written to the cache"), done.stderr


def test_a_relative_directory_is_nowhere() -> None:
    with pytest.warns(CacheWarning, match="no home directory"):
        Store(Path("~/.cache/tilec")).put(KEY, PAYLOAD)
    assert not Path("~").exists()


def test_the_settings_decide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TILEC_CACHE", "0")
    assert place().directory is None
    monkeypatch.setenv("TILEC_CACHE", "1")
    monkeypatch.setenv("TILEC_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TILEC_CACHE_SIZE", "2M")
    assert place() == Place(tmp_path, 2 << 20)
    with tilec.config(cache_size=1000, cache_dir=tmp_path / "other"):
        assert place() == Place(tmp_path / "other", 1000)
    monkeypatch.delenv("TILEC_CACHE_DIR")
    monkeypatch.delenv("TILEC_CACHE_SIZE")
    assert place().limit == store.DEFAULT_LIMIT
    assert "tilec" in str(place().directory)


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    found = Store(tmp_path / "cache", limit=10_000)
    for number in range(8):
        found.put(b"%d" % number, bytes(1000))
        os.utime(file_of(found, b"%d" % number), (number, number))
    assert found.get(b"0") == bytes(1000)  # used just now
    for number in range(8, 10):
        found.put(b"%d" % number, bytes(1000))
    left = [n for n in range(10) if file_of(found, b"%d" % n).exists()]
    assert left[0] == 0
    assert left[1:] == list(range(10 - len(left) + 1, 10))
    assert 6 <= len(left) <= 9
    assert sum(e.size for e in found.entries()) <= 10_000


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    found = Store(tmp_path / "cache", limit=1000)
    found.put(KEY, bytes(400))
    assert found.entries() == []


def test_what_dead_processes_left_goes_in_time(kept: Store) -> None:
    old, new = kept.directory / ".tilec-tmp-old", kept.directory / ".tilec-tmp-new"
    old.write_bytes(b"part"), new.write_bytes(b"part")
    os.utime(old, (1, 1))
    Store(kept.directory).put(OTHER, PAYLOAD)  # a process's first write looks after the directory
    assert (old.exists(), new.exists()) == (False, True)
    assert kept.clear() == 3
    assert kept.entries() == []


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from tilec.artifacts.store import Store

def payload(key, turn):
    return (b"%d %d " % (key, turn)) * random.Random(turn).randrange(10, 20000)

def right(key, data):
    return data is None or data == payload(key, int(data.split(b" ", 2)[1]))

def work(directory, limit, seed):
    store, turns, told = Store(directory, limit), random.Random(seed), False
    while True:
        key, turn = turns.randrange(8), turns.randrange(1000)
        store.put(b"%d" % key, payload(key, turn))
        told = told or os.write(begun, b".")
        if not right(key, store.get(b"%d" % key)):
            os.kill(os.getppid(), signal.SIGABRT)

directory, limit, kills, together = Path(sys.argv[1]), *map(int, sys.argv[2:])
delay = random.Random(0)
heard, begun = os.pipe()
for kill in range(kills):
    children = []
    for child in range(together):
        children.append(os.fork())
        if not children[-1]:
            work(directory, limit, kill * together + child)
    for child in children:
        os.read(heard, 1)  # each has written an entry, however slow the machine is
    time.sleep(delay.uniform(0.002, 0.012))
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
store = Store(directory, limit)
kept = [(key, store.get(b"%d" % key)) for key in range(8)]
assert all(right(key, data) for key, data in kept)
print(sum(data is not None for _, data in kept), *store.verify(), sum(e.size for e in store.entries()))
"""


def kill(directory: Path, limit: int, kills: int, together: int) -> list[int]:
    """Entries found, good ones, bad ones and their bytes, after processes have been killed while writing."""
    arguments = [str(directory), str(limit), str(kills), str(together)]
    run = [sys.executable, "-c", KILLED, *arguments]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return list(map(int, done.stdout.split()))


@posix
def test_two_hundred_processes_killed_while_writing(tmp_path: Path) -> None:
    assert kill(tmp_path / "cache", 50_000_000, 200, 1)[:3] == [8, 8, 0]


@posix
def test_processes_that_write_and_evict_together(tmp_path: Path) -> None:
    found, good, bad, size = kill(tmp_path / "cache", 300_000, 40, 4)
    assert found == good > 0
    assert bad == 0
    assert size < 400_000
