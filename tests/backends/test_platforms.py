"""Which OpenCL devices are found, in which order, and how one is chosen by name: platforms of plain Python objects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tilec.backends.opencl import devices, sessions
from tilec.backends.opencl.platforms import ADVICE, Found, chosen, listed
from tilec.configuration import config
from tilec.devices import resolve_target
from tilec.errors import TileError
from tilec.limits import limited
from tilec.target import Target

CPU, GPU, ACCELERATOR = 2, 4, 8


@dataclass
class Device:
    """Answers as pyopencl's do; a value that is an exception is raised."""

    name: Any
    vendor: Any = "a vendor"
    type: Any = GPU
    available: Any = 1
    compiler_available: Any = 1
    driver_version: Any = "1.0"
    version: Any = "OpenCL 3.0 CUDA"
    max_compute_units: Any = 4
    global_mem_size: Any = 1 << 30
    max_mem_alloc_size: Any = 1 << 28
    double_fp_config: Any = 63
    extensions: Any = "cl_khr_fp64 cl_khr_fp16"
    max_work_group_size: Any = 1024
    local_mem_size: Any = 48 << 10
    local_mem_type: Any = 1
    host_unified_memory: Any = 0
    native_vector_width_float: Any = 8

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if isinstance(value, Exception):
            raise value
        return value


@dataclass
class Platform:
    name: str
    vendor: str = "nobody"
    devices: list[Device] = field(default_factory=list)
    problem: Exception | None = None

    def get_devices(self) -> list[Device]:
        if self.problem is not None:
            raise self.problem
        return self.devices


REFUSED = RuntimeError("clGetDeviceInfo failed: OUT_OF_HOST_MEMORY")
OCLGRIND = Platform("Oclgrind", "Oclgrind", [Device("Oclgrind Simulator", "Oclgrind", 15)])
POCL = Platform("Portable Computing Language", "The pocl project", [Device("pthread-Intel Xeon", "GenuineIntel", CPU)])
NVIDIA = Platform("NVIDIA CUDA", "NVIDIA Corporation", [Device("RTX 4090", "NVIDIA"), Device("RTX 3050", "NVIDIA")])
INTEL = Platform("Intel(R) OpenCL Graphics", "Intel(R) Corporation", [Device("Arc A770", "Intel(R)")])


def usable(*platforms: Platform) -> list[str]:
    found = [f for f in listed(platforms) if f.usable]
    assert [f.position for f in found] == list(range(len(found)))
    return [f.name for f in found]


def refused(device: str, *platforms: Platform) -> str:
    with pytest.raises(TileError) as caught:
        chosen(device, listed(platforms))
    assert caught.value.code == "TILE0509"
    return str(caught.value)


# listing -----------------------------------------------------------------------------------------------------------


def test_what_a_device_says() -> None:
    device = Device("  RTX\0 4090 ", "NVIDIA", extensions="b a", double_fp_config=0)
    (found,) = listed([Platform("P", "V", [device])])
    assert found == Found(
        "P", "V", "RTX 4090", "NVIDIA", "gpu", "1.0", 4, 1 << 30, 1 << 28, False, False, ("a", "b"), None, True, 0,
        group=1024, local=48 << 10, simd=1, unified=False, lanes=8,
    )  # fmt: skip
    assert found.handle is device


def test_order() -> None:
    mixed = Platform("M", "m", [Device("c", type=CPU), Device("x", type=ACCELERATOR), Device("o", type=16)])
    names = usable(OCLGRIND, POCL, mixed, NVIDIA, INTEL)
    assert names == ["RTX 4090", "RTX 3050", "Arc A770", "x", "pthread-Intel Xeon", "c", "o", "Oclgrind Simulator"]
    assert usable() == []


def test_an_emulated_accelerator_is_a_simulator() -> None:
    emulated = Platform("Intel(R) FPGA Emulation Platform for OpenCL(TM)", "Intel", [Device("e", type=ACCELERATOR)])
    assert usable(emulated, POCL) == ["pthread-Intel Xeon", "e"]


@pytest.mark.parametrize("query", ["available", "compiler_available"])
def test_a_broken_device_hides_no_other(query: str) -> None:
    broken = Device("broken", **{query: REFUSED})
    mixed = Platform("M", "m", [Device("first"), broken, Device("last")])
    assert usable(mixed, POCL) == ["first", "last", "pthread-Intel Xeon"]
    found = listed([mixed, POCL])[-1]
    assert (found.name, found.position) == ("broken", None)
    assert found.problem == f"cannot read {query}: clGetDeviceInfo failed: OUT_OF_HOST_MEMORY"


@pytest.mark.parametrize(
    "query",
    ["name", "vendor", "type", "driver_version", "max_compute_units", "global_mem_size", "max_mem_alloc_size",
     "max_work_group_size", "local_mem_size", "local_mem_type"],
)  # fmt: skip
def test_a_fact_that_a_driver_refuses_is_told_and_the_device_stays(query: str) -> None:
    device = Device("odd")
    setattr(device, query, REFUSED)
    (found,) = listed([Platform("M", "m", [device])])
    assert found.usable
    assert found.problem == f"cannot read {query}: clGetDeviceInfo failed: OUT_OF_HOST_MEMORY"


def test_groups() -> None:
    """Local memory that is a part of global memory is none; the items in step are asked in each vendor's words."""
    shared = Device("cpu", local_mem_type=2, host_unified_memory=1)
    warps, waves = Device("n"), Device("a")
    warps.warp_size_nv, waves.wavefront_width_amd = 32, 64  # type: ignore[attr-defined]
    found = listed([Platform("M", "m", [shared, warps, waves])])
    assert [(f.local, f.simd, f.unified) for f in found] == [(0, 1, True), (48 << 10, 32, False), (48 << 10, 64, False)]
    assert all(f.problem is None for f in found)


@pytest.mark.parametrize(
    ("platform", "kind", "native", "vector"),
    [("P", CPU, 4, (16, 16)), ("P", CPU, 8, (32, 16)), ("P", CPU, 16, (64, 32)), ("P", GPU, 16, (16, 16)),
     ("P", CPU, REFUSED, (16, 16)), ("Portable Computing Language", CPU, 16, (32, 16))],
)  # fmt: skip
def test_vectors(
    monkeypatch: pytest.MonkeyPatch, platform: str, kind: int, native: Any, vector: tuple[int, int]
) -> None:
    found = listed([Platform(platform, "p", [Device("d", type=kind, native_vector_width_float=native)])])
    monkeypatch.setattr(devices, "find", lambda: found)
    (target,) = devices.targets()
    assert (target.vector_bytes, target.registers) == vector


def test_no_word_of_float64_is_no_float64() -> None:
    (found,) = listed([Platform("M", "m", [Device("odd", double_fp_config=REFUSED)])])
    assert (found.fp64, found.fp16, found.problem) == (False, True, None)


@pytest.mark.parametrize(
    ("platform", "problem"),
    [
        (Platform("Broken", problem=REFUSED), "cannot list its devices: clGetDeviceInfo failed"),
        (Platform("Empty"), "no device that this process may use"),
        (Platform("M", devices=[Device("gone", available=0)]), "not available"),
        (Platform("M", devices=[Device("deaf", compiler_available=0)]), "no compiler"),
    ],
)
def test_what_cannot_be_used_is_listed_last_with_its_problem(platform: Platform, problem: str) -> None:
    found = listed([platform, POCL])
    assert [f.usable for f in found] == [True, False]
    assert problem in str(found[1].problem)
    assert problem in refused("nothing-of-that-name", platform, POCL)
    assert problem in refused("", platform)


# names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("", "RTX 4090"),
        ("0", "RTX 4090"),
        ("1", "RTX 3050"),
        ("4", "Oclgrind Simulator"),
        ("pocl", "pthread-Intel Xeon"),
        ("PoCL", "pthread-Intel Xeon"),
        ("intel", "Arc A770"),  # the platform's vendor, before the name of PoCL's CPU
        ("xeon", "pthread-Intel Xeon"),
        ("a770", "Arc A770"),
        ("oclgrind", "Oclgrind Simulator"),
    ],
)
def test_names(device: str, name: str) -> None:
    assert chosen(device, listed([OCLGRIND, POCL, NVIDIA, INTEL])).name == name


def test_a_word_of_the_device_where_no_platform_has_it() -> None:
    assert chosen("intel", listed([POCL, NVIDIA])).name == "pthread-Intel Xeon"


def test_a_word_of_two_devices() -> None:
    said = refused("nvidia", OCLGRIND, POCL, NVIDIA)
    assert "may be any of 2" in said
    assert "opencl:0 is RTX 4090 of 'NVIDIA CUDA'" in said
    assert "opencl:1 is RTX 3050" in said
    assert "Xeon" not in said


@pytest.mark.parametrize("device", ["3", "01", "-1", "99999999999999999999", "\u00b2", "\u0661", "amd", "o\nc"])
def test_no_such_device(device: str) -> None:
    said = refused(device, POCL, INTEL, OCLGRIND)
    assert f"there is no OpenCL device {device!r}" in said
    assert all(f"opencl:{i} is" in said for i in range(3))


def test_a_simulator_is_only_taken_by_name() -> None:
    assert "has to be named" in refused("", OCLGRIND)
    found = listed([OCLGRIND])
    assert [chosen(name, found).name for name in ("0", "oclgrind")] == ["Oclgrind Simulator"] * 2


def test_without_any_device_it_says_what_to_install() -> None:
    said = refused("0")
    assert "no OpenCL device was found" in said
    assert all(line in said for line in ADVICE)


# with a driver -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pocl() -> Found:
    pytest.importorskip("pyopencl")
    found = [f for f in devices.find() if "pocl" in f.platform_vendor.lower() and f.usable]
    if len(found) != 1:
        pytest.skip("no device of PoCL, or several")
    return found[0]


def test_pocl_by_name(pocl: Found) -> None:
    target = resolve_target("opencl:pocl")
    assert target == resolve_target(f"opencl:{pocl.position}") == devices.targets()[pocl.position or 0]
    assert (str(target), target.cpu) == (f"opencl:{pocl.position}", pocl.name)
    assert sessions.Session.on(Target("opencl", "pocl")).device == pocl.handle
    assert pocl.kind == "cpu"
    assert pocl.problem is None
    assert pocl.units > 0
    assert 0 < pocl.largest <= pocl.memory


@pytest.mark.parametrize("name", ["opencl:99", "opencl:no-such-word"])
def test_an_unknown_name(name: str, pocl: Found) -> None:
    with pytest.raises(TileError, match=rf"(?s)TILE0509.*opencl:{pocl.position} is "):
        resolve_target(name)


@pytest.mark.parametrize(
    ("version", "fine"),
    [("OpenCL 1.1", False), ("OpenCL 1.0 old", False), ("OpenCL 1.2 pocl", True), ("OpenCL 10.0", True), ("?", True)],
)
def test_opencl_1_2_is_needed(version: str, fine: bool) -> None:
    (found,) = listed([Platform("P", devices=[Device("D", version=version)])])
    assert (found.usable, found.problem) == (fine, None if fine else f"it has {version}, and tilec needs OpenCL 1.2")


# limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "group", "local", "largest", "memory"),
    [
        ("", 1024, 65536, 1 << 28, 1 << 30),
        ("local=32K,wg=256,max_alloc=1M,memory=2M", 256, 32768, 1 << 20, 2 << 20),
        ("local=1M,wg=4096,max_alloc=1T,memory=1T", 1024, 65536, 1 << 28, 1 << 30),
        ("local=0", 1024, 0, 1 << 28, 1 << 30),
    ],
)
def test_limits(text: str, group: int, local: int, largest: int, memory: int) -> None:
    own = Target("opencl", "0", group=1024, local=65536, largest=1 << 28, memory=1 << 30)
    assert limited(own, text) == replace(own, group=group, local=local, largest=largest, memory=memory)


def test_limits_of_what_is_not_known() -> None:
    unknown = Target("opencl", "0")
    assert limited(unknown, "wg=64,max_alloc=1M,memory=2M,local=1K") == replace(
        unknown, group=64, largest=1 << 20, memory=2 << 20
    )


def test_limits_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find", lambda: listed([NVIDIA]))
    with config(device_limits="max_alloc=1M"):
        assert {t.largest for t in (*devices.targets(), devices.named("0"))} == {1 << 20}
    monkeypatch.setenv("TILEC_DEVICE_LIMITS", "everything")
    with pytest.raises(TileError, match="TILE0711"):
        devices.targets()
