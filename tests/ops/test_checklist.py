"""Every function of the checklist, as compiled, against the evaluator, central differences and another backend."""

from __future__ import annotations

import inspect
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tests.ops.checklist import ROOT, Entry, entries, target
from tilec.backends.opencl.backend import OpenCLBackend
from tilec.loops import HostCall, all_steps

KERAS = Path(__file__).with_name("keras_names.toml")
TOLERANCE = {"float64": 1e-11, "float32": 2e-5, "float16": 1e-2, "bfloat16": 6e-2}  # of the largest element


EACH = [pytest.param(e, id=e.name) for e in entries()]
WITH_GRADIENT = [
    pytest.param(e, id=e.name) for e in entries() if e.name.startswith("ops.") and not isinstance(e.gradient, str)
]
EACH_DTYPE = [pytest.param(e, d, id=f"{e.name}-{d}") for e in entries() for d in e.dtypes]


def leaves(value: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays of a tree, in order."""
    if isinstance(value, dict):
        return [leaf for name in sorted(value) for leaf in leaves(value[name])]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in leaves(part)]
    return [np.asarray(value)]


def agree(found: Any, wanted: Any, what: str) -> None:
    """Equal types, shapes and integers; floats equal but for the order of sums."""
    mine, theirs = leaves(found), leaves(wanted)
    assert len(mine) == len(theirs), what
    for a, b in zip(mine, theirs):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), what
        close = TOLERANCE.get(str(a.dtype))
        if close is None:
            np.testing.assert_array_equal(a, b, err_msg=what)
        else:
            x, y = a.astype(np.float64), b.astype(np.float64)
            scale = float(np.max(np.abs(y[np.isfinite(y)]), initial=0))
            np.testing.assert_allclose(x, y, rtol=close, atol=close * scale, err_msg=what)


@pytest.mark.parametrize(("entry", "dtype"), EACH_DTYPE)
def test_compiled_as_evaluated(entry: Entry, dtype: str) -> None:
    point = entry.point(dtype)
    for call in entry.call:
        function = entry.function(call)
        wanted = tilec.jit(function, target="reference")(**point)
        agree(tilec.jit(function, target="llvm")(**point), wanted, call)


@pytest.mark.parametrize("entry", EACH)
def test_gradient(entry: Entry) -> None:
    if isinstance(entry.gradient, str):
        assert len(entry.gradient.split()) > 2, "no gradient: say why"
        return
    assert entry.gradient and set(entry.gradient) <= set(entry.inputs)
    point = entry.point("float64")
    for call in entry.call:
        lowered = tilec.jit(entry.function(call)).lower(**point)
        graph = replace(lowered.graph, params=tuple(replace(p, digest=None) for p in lowered.graph.params))
        checked = tilec.check_grad(graph, {**point, **lowered.constants}, wrt=entry.gradient, target="llvm")
        assert checked, f"{call}\n{checked}"


@pytest.mark.parametrize("entry", EACH)
def test_host_calls_are_named(entry: Entry) -> None:
    point = entry.point(entry.dtypes[0])
    for call in entry.call:
        program = tilec.jit(entry.function(call), target="llvm").lower(**point).compile().program
        assert program is not None
        called = {step.function for step in all_steps(program.steps) if isinstance(step, HostCall)}
        assert bool(called) == bool(entry.host), f"{call} calls {sorted(called)}"


@pytest.mark.parametrize("entry", EACH)
def test_same_on_opencl(entry: Entry) -> None:
    if not OpenCLBackend().targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    dtype = "float32" if "float32" in entry.dtypes else entry.dtypes[0]
    point = entry.point(dtype)
    for call in entry.call:
        function = entry.function(call)
        wanted = tilec.jit(function, target="llvm")(**point)
        agree(tilec.jit(function, target="opencl")(**point), wanted, call)


def same_gradient_on_opencl(entry: Entry) -> None:
    point = list(entry.point("float32" if "float32" in entry.dtypes else entry.dtypes[0]).values())
    for call in entry.call:
        wanted = tilec.jit(entry.slopes(call), target="llvm")(*point)
        agree(tilec.jit(entry.slopes(call), target="opencl")(*point), wanted, call)


@pytest.mark.parametrize("entry", WITH_GRADIENT)
def test_same_gradient_on_opencl(entry: Entry) -> None:
    """Of tilec.ops; `python -m tests.ops.test_checklist` takes all entries, which needs some minutes."""
    if not OpenCLBackend().targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    same_gradient_on_opencl(entry)


@pytest.mark.parametrize("entry", EACH)
def test_is_documented_and_tested(entry: Entry) -> None:
    assert inspect.getdoc(target(entry.name)), f"{entry.name} has no docstring"
    tests = ROOT / entry.tested
    assert tests.is_file() and entry.word in tests.read_text(encoding="utf-8"), f"{entry.tested} does not test it"


# Functions that are given or give no tensor: tests/tracing/test_array_api.py is their test.
OF_TYPES = {"can_cast", "finfo", "iinfo", "isdtype", "result_type"}
OF_SHAPES = {"broadcast_shapes", "from_dlpack", "ndim", "shape", "size"}


def public() -> dict[str, Any]:
    """Every function of the library by name; another name of one stands for it."""
    modules = {"ops": tilec.ops, "numpy": tilec.numpy, "random": tilec.random}
    found = {f"{name}.{word}": getattr(module, word) for name, module in modules.items() for word in module.__all__}
    no_tensor = {f"numpy.{word}" for word in OF_TYPES | OF_SHAPES}
    return {n: f for n, f in found.items() if inspect.isroutine(f) and n not in no_tensor and "__" not in n}


def test_every_function_has_an_entry() -> None:
    listed = {id(target(e.name)) for e in entries()}
    missing = [name for name, function in public().items() if id(function) not in listed]
    assert not missing, f"without an entry: {missing}"
    names = [e.name for e in entries()]
    assert len(set(names)) == len(names), "an entry is there twice"


def test_what_networks_of_keras_use_is_there() -> None:
    table: dict[str, list[str]] = tomllib.loads(KERAS.read_text(encoding="utf-8"))["used"]
    used = {f"{module}.{word}" for module, words in table.items() for word in words}
    missing = used - {name for e in entries() for name in e.keras}
    assert not missing, f"used by Keras, and no entry is there for: {sorted(missing)}"


if __name__ == "__main__":
    every = [e for e in entries() if not isinstance(e.gradient, str)]
    for number, each in enumerate(every):
        print(f"{number + 1} of {len(every)}: {each.name}", flush=True)
        same_gradient_on_opencl(each)
