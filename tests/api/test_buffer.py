"""`tilec.Buffer`: tensors that stay on a device, as arguments and results of everything that is called."""

from __future__ import annotations

import copy
import gc
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import tilec
from tests.backends.implementations import opencl_target
from tests.refusals import code_of
from tilec.devices import backend, resolve_target
from tilec.dtypes import BF16
from tilec.errors import TileError
from tilec.target import Target
from tilec.tracing import trees

TEXT = "function f(A[N], B[N]) -> (C, S) { C = A + 2.0 * B; S[] = +(A[i] * B[i]); }"
STEP = """function step(W[N], M[N], G[N], Rate) -> (W_new, M_new, L) {
  M_new = 0.5 * M + G;
  W_new = W - Rate * M_new;
  L[] = +(W[i] * G[i]);
}"""
LARGE = 20_000


@pytest.fixture(params=["reference", "llvm", "opencl"])
def target(request: pytest.FixtureRequest) -> Target:
    try:
        return resolve_target(request.param)
    except TileError as reason:
        pytest.skip(str(reason).splitlines()[0])


@pytest.fixture
def opencl() -> Target:
    return opencl_target()


@pytest.fixture
def calls(opencl: Target) -> Iterator[list[str]]:
    """What is asked of OpenCL, by name, as long as the test runs."""
    from tilec.backends.opencl.sessions import Session

    pool, found = Session.on(opencl).pool, list[str]()
    before = pool.before
    pool.before = found.append
    yield found
    pool.before = before


def integers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def compiled(target: Target, count: int = 5, text: str = TEXT, **more: Any) -> Any:
    return tilec.compile(text, target, A=(count,), B=(count,), **more)


# --- the Buffer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint64", "bool", BF16.numpy])
@pytest.mark.parametrize("shape", [(), (0,), (3, 4), (2, 0, 5), (1000,)])
def test_there_and_back(target: Target, shape: tuple[int, ...], dtype: Any) -> None:
    array = np.random.default_rng(1).integers(0, 2, shape).astype(dtype)
    buffer = tilec.Buffer(array, target)
    assert (buffer.shape, buffer.dtype, buffer.ndim) == (array.shape, array.dtype, array.ndim)
    assert (buffer.size, buffer.nbytes, buffer.target) == (array.size, array.nbytes, target)
    for read in (buffer.numpy(), np.asarray(buffer), np.array(buffer)):
        assert read.dtype == array.dtype and read.flags.writeable
        np.testing.assert_array_equal(read, array)
    buffer.numpy()[...] = 0
    np.testing.assert_array_equal(buffer.numpy(), array)
    buffer.write(np.zeros_like(array))
    assert not buffer.numpy().any()


def test_anything_that_is_read_as_an_array(target: Target) -> None:
    wide = integers(6, 8)
    for value in (wide[::2, ::-1], wide.T, memoryview(wide), np.float64(2.5)):
        np.testing.assert_array_equal(tilec.Buffer(value, target).numpy(), np.asarray(value))
    assert [tilec.Buffer(v, target).dtype for v in (1.5, 3, True)] == [np.float32, np.int32, np.bool_]
    other = tilec.Buffer(tilec.Buffer(wide, target), target)
    np.testing.assert_array_equal(other, wide)
    assert float(tilec.Buffer(1.5, target)) == 1.5 and int(tilec.Buffer(np.array([7]), target)) == 7
    with pytest.raises(ValueError):
        tilec.Buffer(wide, target).item()


def test_repr() -> None:
    buffer = tilec.Buffer(np.zeros((3, 4), np.float32), "llvm")
    assert repr(buffer) == "<tilec.Buffer f32[3, 4] on llvm:host>"
    buffer.release()
    assert repr(buffer) == "<tilec.Buffer f32[3, 4] on llvm:host, released>"


def test_what_is_wrong_is_told(target: Target) -> None:
    buffer = tilec.Buffer(integers(5), target)
    assert code_of(lambda: tilec.Buffer("text", target)) == "TILE0505"
    assert code_of(lambda: tilec.Buffer([1, 2], target)) == "TILE0505"
    assert code_of(lambda: tilec.Buffer(np.zeros(3, complex), target)) == "TILE0503"
    assert code_of(lambda: tilec.Buffer(1.0, "nowhere")) == "TILE0508"
    assert code_of(lambda: buffer.write(integers(4))) == "TILE0504"
    assert code_of(lambda: buffer.write(np.zeros(5))) == "TILE0503"
    run = compiled(target)
    assert code_of(lambda: run(buffer, tilec.Buffer(integers(4), target))) == "TILE0504"
    assert code_of(lambda: run(buffer, tilec.Buffer(np.zeros(5), target))) == "TILE0503"
    buffer.release()
    buffer.release()
    for use in (buffer.numpy, lambda: buffer.write(integers(5)), lambda: run(buffer, integers(5))):
        assert code_of(use) == "TILE0515"
    assert "has been released" in str(refusal(buffer.numpy))


def refusal(call: Callable[[], Any]) -> TileError:
    with pytest.raises(TileError) as caught:
        call()
    return caught.value


def test_one_device_is_not_another(opencl: Target) -> None:
    here, there = tilec.Buffer(integers(5), "llvm"), tilec.Buffer(integers(5), opencl)
    reason = refusal(lambda: compiled(opencl)(here, there))
    assert reason.code == "TILE0516" and "argument 'A' is a Buffer on llvm:host" in str(reason)
    assert code_of(lambda: compiled(resolve_target("llvm"))(here, there)) == "TILE0516"
    assert code_of(lambda: compiled(opencl)(there, there, out=[None, tilec.Buffer(1.0, "llvm")])) == "TILE0516"
    with pytest.raises(BufferError):
        there.__dlpack__()
    np.testing.assert_array_equal(np.from_dlpack(here), here.numpy())
    assert there.__dlpack_device__()[0] == 4


def test_a_limit_of_the_target_is_the_same_device(opencl: Target) -> None:
    small = replace(opencl, largest=1 << 16)
    buffer = tilec.Buffer(integers(5), small)
    np.testing.assert_array_equal(compiled(opencl)(buffer, buffer)[0], 3 * buffer.numpy())
    assert code_of(lambda: tilec.Buffer(np.zeros(1 << 16, np.float32), small)) == "TILE0416"


# --- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 5, LARGE])
def test_buffers_in_buffers_out(target: Target, count: int) -> None:
    run, a, b = compiled(target, count), integers(count), integers(count, seed=1)
    for _ in range(4):  # the third call of an executable goes another way
        c, s = run(tilec.Buffer(a, target), b)
        assert type(c) is tilec.Buffer and type(s) is tilec.Buffer and c.target == target
        np.testing.assert_array_equal(c.numpy(), a + 2 * b)
        np.testing.assert_allclose(float(s), (a * b).sum(), rtol=1e-5)
        again, _ = run(c, c)
        np.testing.assert_array_equal(again, 3 * c.numpy())
        assert all(type(r) is np.ndarray for r in run(a, b))


def test_by_name_and_with_open_sizes(target: Target) -> None:
    if target.backend == "reference":
        pytest.skip("it is open sizes of compiled programs that a call binds")
    run = tilec.compile(TEXT, target, A=("N",), B=("N",))
    for count in (3, LARGE, 0, 3):
        a = integers(count)
        c, _ = run(B=tilec.Buffer(a, target), A=a)
        np.testing.assert_array_equal(c, 3 * a)
    assert code_of(lambda: run(tilec.Buffer(integers(3), target), integers(4))) == "TILE0504"


def test_results_into_buffers_and_arrays(target: Target) -> None:
    run, a, b = compiled(target), integers(5), integers(5, seed=1)
    into, array = tilec.Buffer(np.zeros(5, np.float32), target), np.zeros((), np.float32)
    c, s = run(a, b, out=[into, array])
    assert c is into and s is array
    np.testing.assert_array_equal(into, a + 2 * b)
    assert array == (a * b).sum()
    c, s = run(a, b, out={"S": tilec.Buffer(0.0, target)})
    assert type(c) is tilec.Buffer and float(s) == (a * b).sum()
    strided = np.zeros((5, 2), np.float32)
    run(tilec.Buffer(a, target), b, out=[strided[:, 0], None])
    np.testing.assert_array_equal(strided[:, 0], a + 2 * b)
    twice = tilec.Buffer(np.zeros(5, np.float32), target)
    double = tilec.compile("function (A) -> (B, C) { B = A + A; C = A * A; }", target, A=(5,))
    assert code_of(lambda: double(a, out=[twice, twice])) == "TILE0507"
    assert code_of(lambda: double(a, out=[tilec.Buffer(1.0, target), None])) == "TILE0506"
    assert code_of(lambda: double(a, out=[twice])) == "TILE0506"


def test_a_result_into_an_argument(target: Target) -> None:
    """Nothing is read after it is written: a reversal would be a palindrome."""
    run = tilec.compile("function (A[N]) -> (B) { B[i : 5] = =(A[4 - i]); }", target, A=(5,))
    a = integers(5)
    buffer = tilec.Buffer(a, target)
    assert run(buffer, out=buffer) is buffer
    np.testing.assert_array_equal(buffer, a[::-1])


@pytest.mark.parametrize("count", [5, LARGE])
def test_donated_buffers_are_overwritten(target: Target, count: int) -> None:
    shapes: dict[str, Any] = {"W": (count,), "M": (count,), "G": (count,)}
    run = tilec.compile(STEP, target, donate={"W": "W_new", "M": "M_new"}, Rate=0.5, **shapes)
    w, m, g = (integers(count, seed=k) for k in range(3))
    buffers = [tilec.Buffer(x, target) for x in (w, m)]
    for _ in range(3):
        loss = (w * g).sum()
        m = np.float32(0.5) * m + g
        w = w - np.float32(0.5) * m
        new_w, new_m, found = run(*buffers, g, 0.5)
        assert new_w is buffers[0] and new_m is buffers[1]
        np.testing.assert_allclose(float(found), loss, rtol=1e-5)
        np.testing.assert_array_equal(buffers[0], w)
        np.testing.assert_array_equal(buffers[1], m)
    new, _, _ = run(w, buffers[1], g, 0.5)  # an array beside a Buffer is brought to the device, and stays as it is
    assert type(new) is tilec.Buffer and not np.array_equal(new, w)
    np.testing.assert_array_equal(w, buffers[0])
    one = tilec.Buffer(w, target)
    assert "shares memory with 'M'" in str(refusal(lambda: run(one, one, g, 0.5)))
    assert "shares memory with 'G'" in str(refusal(lambda: run(one, buffers[1], one, 0.5)))
    assert code_of(lambda: run(*buffers, g, 0.5, out=[one, None, None])) == "TILE0506"


def test_a_view_of_a_donated_buffer_is_refused() -> None:
    run = tilec.compile(STEP, "llvm", donate={"W": "W_new"}, Rate=0.5, W=(5,), M=(5,), G=(5,))
    buffer = tilec.Buffer(integers(5), "llvm")
    assert code_of(lambda: run(buffer, integers(5), np.from_dlpack(buffer), 0.5)) == "TILE0512"


def test_op_and_jit(target: Target) -> None:
    a, b = integers(5), integers(5, seed=1)
    op = tilec.op(TEXT, target=target)
    c, _ = op(tilec.Buffer(a, target), b)
    assert type(c) is tilec.Buffer
    np.testing.assert_array_equal(c, op(a, b)[0])
    assert len(op.signatures()) == 1

    @tilec.jit(target=target, donate_argnames="state")
    def step(state: Any, x: Any) -> Any:
        return {"w": state["w"] + x * state["n"], "n": state["n"] + 1}, (state["w"] * x).sum()

    state = {"w": tilec.Buffer(a, target), "n": tilec.Buffer(np.float32(2), target)}
    new, total = step(state, b)
    assert new["w"] is state["w"] and new["n"] is state["n"] and step.signatures() == 1
    np.testing.assert_array_equal(new["w"], a + 2 * b)
    assert float(new["n"]) == 3 and float(total) == (a * b).sum()
    new, _ = step(new, tilec.Buffer(b, target))
    np.testing.assert_array_equal(new["w"], a + 5 * b)
    assert step.signatures() == 1


def test_constants_of_jit_are_read(target: Target) -> None:
    """What a constant holds decides the code: another content is another program."""
    run = tilec.jit(lambda x, c: x * c, target=target, constants="c")
    a, b = integers(5), integers(5, seed=1)
    constant = tilec.Buffer(b, target)
    np.testing.assert_array_equal(run(a, constant), a * b)
    constant.write(a)
    np.testing.assert_array_equal(run(a, constant), a * a)
    outer = tilec.Buffer(b, target)
    np.testing.assert_array_equal(tilec.jit(lambda x: x * outer, target=target)(a), a * b)


# --- memory ----------------------------------------------------------------------------------------------------------


def network(rate: float, target: Any) -> tuple[Any, Any, Any]:
    """A step of training, its first state and a batch: a network of two layers, trained by Adam."""
    import tilec.numpy as tnp
    from tilec.ops import adam

    optimizer = adam(rate)

    def loss(params: Any, x: Any, y: Any) -> Any:
        hidden = tnp.tanh(x @ params["w1"] + params["b1"])
        return ((hidden @ params["w2"] - y) ** 2).mean()

    @tilec.jit(target=target, donate_argnames=("params", "state"))
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        value, grads = tilec.value_and_grad(loss)(params, x, y)
        params, state = optimizer.update(params, grads, state)
        return params, state, value

    rng: Any = np.random.default_rng(3)
    w1, b1, w2, x, y = (rng.standard_normal(s, np.float32) for s in [(16, 300), 300, (300, 4), (32, 16), (32, 4)])
    params = {"w1": w1, "b1": b1, "w2": w2}
    return step, (params, optimizer.init(params)), (x, y)


def test_training_copies_no_state(opencl: Target, calls: list[str]) -> None:
    step, state, batch = network(0.01, opencl)
    leaves, structure = trees.flatten(state)
    first = [tilec.Buffer(x, opencl) for x in leaves]
    held = trees.unflatten(structure, first)
    *held, _ = step(*held, *batch)
    calls.clear()
    losses = []
    for _ in range(5):
        *held, value = step(*held, *batch)
        losses.append(value)
    assert {c: calls.count(c) // 5 for c in ("write", "read", "copy", "map", "use memory")} == {
        "write": 2, "read": 0, "copy": 0, "map": 0, "use memory": 0,
    }  # fmt: skip
    assert all(a is b for a, b in zip(trees.flatten(held)[0], first, strict=True))
    step, state, batch = network(0.01, "llvm")
    *state, _ = step(*state, *batch)
    for found in losses:
        *state, value = step(*state, *batch)
        np.testing.assert_allclose(float(found), value, rtol=1e-5)
    for a, b in zip(first, trees.flatten(state)[0], strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=2e-4, atol=1e-5)


def test_memory_comes_back(opencl: Target) -> None:
    from tilec.backends.opencl.sessions import Session

    pool, run = Session.on(opencl).pool, compiled(opencl, LARGE)
    gc.collect()
    held = pool.used()
    a = tilec.Buffer(integers(LARGE), opencl)
    for _ in range(5):
        c, s = run(a, a)
        assert 0 <= pool.used() - (held + 2 * 4 * LARGE + 4) < 1 << 17  # blocks may be larger than what is in them
        del c, s
    a.release()
    assert pool.used() == held


def test_a_buffer_whose_call_failed(opencl: Target) -> None:
    from tilec.backends.opencl.sessions import Session

    pool = Session.on(opencl).pool
    run = tilec.compile(STEP, opencl, donate={"W": "W_new"}, Rate=0.5, W=(5,), M=(5,), G=(5,))
    w = tilec.Buffer(integers(5), opencl)
    launched: list[str] = []

    def fail(call: str) -> None:
        launched.extend([call] if call == "launch" else [])
        if len(launched) > 1:
            raise MemoryError

    pool.before = fail
    try:
        assert refusal(lambda: run(w, integers(5), integers(5), 0.5)).code == "TILE0416"
    finally:
        pool.before = lambda call: None
    reason = refusal(lambda: run(w, integers(5), integers(5), 0.5))
    assert reason.code == "TILE0515" and "failed amid its work" in str(reason)
    assert code_of(w.numpy) == "TILE0515"
    w.write(integers(5))
    assert run(w, integers(5), integers(5), 0.5)[0] is w


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_has_no_buffers_of_its_parent(opencl: Target) -> None:
    buffer, run = tilec.Buffer(integers(5), opencl), compiled(opencl)
    child = os.fork()
    if not child:
        found = [code_of(buffer.numpy), code_of(lambda: run(buffer, buffer)), code_of(lambda: run(*[integers(5)] * 2))]
        found.append(code_of(lambda: tilec.Buffer(integers(5), opencl)))
        os._exit(0 if found == ["TILE0515", "TILE0515", "TILE0710", "TILE0710"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(buffer, integers(5))


@pytest.mark.parametrize("target", ["llvm", "reference", "opencl"])
def test_copies_are_apart(target: str, request: pytest.FixtureRequest) -> None:
    where = request.getfixturevalue("opencl") if target == "opencl" else target
    buffer = tilec.Buffer(np.arange(6, dtype=np.float32).reshape(2, 3), where)
    for other in (copy.copy(buffer), copy.deepcopy(buffer), pickle.loads(pickle.dumps(buffer))):
        assert (other.type, str(other.target)) == (buffer.type, str(buffer.target))
        other.write(np.zeros((2, 3), np.float32))
        assert buffer.numpy()[1, 2] == 5


def test_truth_and_equality_are_those_of_the_value() -> None:
    assert not tilec.Buffer(False, "llvm") and tilec.Buffer(2.0, "llvm") and not tilec.Buffer(0.0, "llvm")
    with pytest.raises(ValueError, match="size 1"):
        bool(tilec.Buffer(np.ones(2), "llvm"))
    one, two = (tilec.Buffer(np.array([1.0, x]), "llvm") for x in (2.0, 3.0))
    assert (one == two).tolist() == [True, False] and (one != np.array([1.0, 2.0])).tolist() == [False, False]
    assert tilec.Buffer(1.0, "llvm") == 1.0
    with pytest.raises(TypeError):
        hash(one)


def test_results_do_not_share_memory() -> None:
    run = tilec.compile("function (A) -> (B, C) { B = A + A; C = A * 3.0; }", "llvm", A=(3,))
    x, first = np.ones(3, np.float32), tilec.Buffer(np.zeros(3, np.float32), "llvm")
    for second in (first, np.from_dlpack(first), tilec.Buffer.of(first.type, first.target, first.memory())):
        for out in ([first, second], [second, first]):
            assert code_of(partial(run, x, out=out)) == "TILE0507"
    own = np.zeros(3, np.float32)
    run(x, out=[first, own])
    assert first.numpy().tolist() == [2, 2, 2] and own.tolist() == [3, 3, 3]


def test_what_is_no_buffer() -> None:
    assert code_of(lambda: tilec.Buffer(2**70, "llvm")) == "TILE0503"
    with pytest.raises(TypeError, match="no subclasses"):
        type("Mine", (tilec.Buffer,), {})


def test_backends_say_where_buffers_are(opencl: Target) -> None:
    assert backend("llvm").memory(resolve_target("llvm"), 5) is None
    memory = backend("opencl").memory(opencl, 5)
    assert memory is not None and memory.nbytes == 5 and not memory.lost
