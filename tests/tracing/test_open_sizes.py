"""`open_sizes` of `tilec.jit`: one program for every batch, equal to one compiled for the batch; what must be fixed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec import pipeline
from tilec.errors import TileError
from tilec.tracing import trees

Array = np.ndarray[Any, np.dtype[Any]]
W = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
SIZES = (64, 32, 10)
ROW, COLUMN = tilec.index("i j")


def batch(n: int, width: int = 6) -> Array:
    return np.random.default_rng(n).normal(size=(n, width)).astype(np.float32)


def labels(n: int, count: int = 10) -> Array:
    return np.random.default_rng(n).integers(0, count, n).astype(np.int32)


def start() -> list[dict[str, Array]]:
    return [
        {"w": np.random.default_rng(a).normal(size=(a, b)).astype(np.float32) / 8, "b": np.zeros(b, np.float32)}
        for a, b in pairwise(SIZES)
    ]


def scores(params: Any, x: Any) -> Any:
    hidden = tnp.tanh(x @ params[0]["w"] + params[0]["b"])
    return hidden @ params[1]["w"] + params[1]["b"]


def loss(params: Any, x: Any, y: Any) -> Any:
    return -tnp.take_along_axis(tnp.log_softmax(scores(params, x)), y[:, None], axis=1).mean()


def step(params: Any, x: Any, y: Any, rate: Any) -> Any:
    value, slope = tilec.value_and_grad(loss)(params, x, y)
    return value, [{n: p[n] - rate * g[n] for n in p} for p, g in zip(params, slope)]


def test_a_training_step_is_compiled_once() -> None:
    """Values and gradients are those of the program compiled for the batch, bit for bit."""
    open_ = tilec.jit(step, open_sizes={"x": ("N", None), "y": "N"})
    for n in (64, 64, 30, 1, 0):
        given = (start(), batch(n, 64), labels(n), 0.5)
        value, found = open_(*given)
        wanted_value, wanted = tilec.jit(step)(*given)
        np.testing.assert_array_equal(value, wanted_value)
        for layer, other in zip(found, wanted):
            for name in layer:
                np.testing.assert_array_equal(layer[name], other[name])
    assert open_.signatures() == 1


def test_donated_parameters() -> None:
    open_ = tilec.jit(step, open_sizes={"x": "N", "y": "N"}, donate_argnames="params")
    params = start()
    for n in (64, 30):
        want = tilec.jit(step)(params, batch(n, 64), labels(n), 0.5)[1]
        want = [{k: v.copy() for k, v in layer.items()} for layer in want]
        params = open_(params, batch(n, 64), labels(n), 0.5)[1]
        np.testing.assert_array_equal(params[0]["w"], want[0]["w"])
    assert open_.signatures() == 1


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "mean": lambda x: x.mean(axis=0),
    "a size divides": lambda x: x.sum(0) / x.shape[0] + 1.0 / x.shape[0] + x.sum() / x.size,
    "arithmetic of sizes": lambda x: x * (x.shape[0] * 2 - 1) * (3 - x.shape[0]) + -x.shape[0] + x.shape[0] * 0.5,
    "float beside a size": lambda x: x + (0.5 - x.shape[0]) + x.shape[0] ** 2 + 2 ** (x.shape[0] // x.shape[0]),
    "numpy beside a size": lambda x: x * np.float32(2) * x.shape[0] / np.sqrt(x.shape[0]),
    "reshape": lambda x: x.reshape(x.shape[0], 2, 3) + x.reshape(-1, 2, 3) + x.reshape(x.size // 6, 2, -1),
    "flattened": lambda x: x.reshape(-1) + x.size % 6,
    "new axes": lambda x: x[:, None, :] * x[0 : x.shape[0], :, None],
    "a column": lambda x: x[:, 1:5:2] * x[:, :1],
    "matmul": lambda x: (x @ W, x.T @ x, x @ x.T),
    "einsum": lambda x: tnp.einsum("ni,ij,jk->nk", x, W, W.T),
    "softmax": lambda x: tnp.softmax(x, axis=1) + tnp.log_softmax(x, axis=0),
    "variance": lambda x: (x - x.mean(0)) / (tnp.std(x, axis=0) + 1e-3) + tnp.var(x, axis=0, correction=1.0),
    "positions": lambda x: (x.argmax(1), x.argmin(0), x.argmax()),
    "extrema": lambda x: (x.max(0), x.min(1), x.prod(0), (x > 0).any(0), (x > 0).all(1)),
    "new tensors": lambda x: tnp.zeros((x.shape[0], 4)) + tnp.arange(x.shape[0])[:, None] + tnp.ones(x.shape).sum(),
    "likes": lambda x: (tnp.eye(x.shape[0]), tnp.zeros_like(x), tnp.tril(x @ x.T), tnp.one_hot(x.argmax(1), 6)),
    "broadcast": lambda x: tnp.broadcast_to(x[:, :1], (x.shape[0], 5)),
    "joined": lambda x: (tnp.concat([x, x], axis=1), tnp.stack([x, x]), tnp.pad(x, ((0, 0), (1, 2)))),
    "rows of a table": lambda x: tnp.asarray(W)[abs(x[:, 0]).astype("int32")],
    "one of each row": lambda x: tnp.take_along_axis(x, tnp.argmax(x, axis=1, keepdims=True) - 6, axis=1),
    "a scan over features": lambda x: tilec.scan(lambda c, r: (c + r, c * r), tnp.zeros(x.shape[0]), x.T),
    "a scan over rows": lambda x: tilec.scan(lambda c, r: (c + r, c * r), tnp.zeros(6), x),
    "a branch": lambda x: tilec.cond(x.sum() > 0, lambda a: a / a.shape[0], lambda a: -a, x),
    "a loop": lambda x: tilec.fori_loop(0, 3, lambda i, c: c * 2 + i, x),
    "a Tile function": lambda x: tilec.op("function f(X[N, K]) -> (O) { S[k : K] = +(X[n, k]); O = S / N; }")(x),
    "contractions": lambda x: (tilec.contract("O[n] = +(X[n, k])", X=x), tilec.contract(x[ROW, COLUMN], out=ROW)),
    "a contraction of a given size": lambda x: tilec.contract(x[ROW, COLUMN] * (COLUMN + 1), out=ROW, sizes=x.shape[0]),
    "a gradient": lambda x: tilec.grad(lambda a: ((a @ W).max(1) / a.shape[0]).sum())(x),
    "a second derivative": lambda x: tilec.hvp(lambda a: (a**3).mean())((x,), (x,)),
    "a size": lambda x: (x.shape[0], x),
    "a row": lambda x: (x[0], x[-1, 2:4], x.T[1:3, -1], x[None, 2], x[0, 1]),
    "rows": lambda x: (x[1:] - x[:-1], x[1:-1, ::2]),
    "gathered rows": lambda x: (tnp.take(x, np.array([0, -1]), axis=0), x[np.array([0, 2]), np.array([1, 5])]),
    "rows of computed numbers": lambda x: (x[x.argmax(0)], x[x.argmin(1) - 3]),
    "reversed": lambda x: (tnp.flip(x, axis=0), tnp.flip(x)),
    "rolled": lambda x: (tnp.roll(x, 1, axis=0), tnp.roll(x, -100, axis=0)),
    "sorted": lambda x: (tnp.sort(x, axis=0), tnp.argsort(x, axis=0), tnp.sort(x)),
    "sorted from the end": lambda x: (tnp.sort(x, axis=0, descending=True), tnp.argsort(x[:, 0], descending=True)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_an_open_batch(name: str) -> None:
    function = FUNCTIONS[name]
    open_, fixed = tilec.jit(function, open_sizes={"x": "N"}), tilec.jit(function)
    for n in (3, 70):
        found, wanted = (trees.flatten(f(batch(n)))[0] for f in (open_, fixed))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
    assert open_.signatures() == 1


SORTS: dict[str, Callable[[Any], Any]] = {
    "values and places": lambda x: (tnp.sort(x, axis=0), tnp.argsort(x, axis=0)),
    "rows": lambda x: (tnp.sort(x), tnp.argsort(x)),
    "one axis": lambda x: (tnp.sort(x[:, 0]), tnp.argsort(x[:, 0], descending=True)),
    "a gradient": lambda x: tilec.grad(lambda a: (tnp.sort(a, axis=0) * tnp.cos(a)).sum())(x),
    "a tangent": lambda x: tilec.jvp(lambda a: tnp.sort(a, axis=0))((x,), (tnp.cos(x),))[1],
}


@pytest.mark.parametrize("name", SORTS)
@pytest.mark.parametrize("sizes", [("N", None), (None, "M"), ("N", "M")])
def test_sorting_along_and_beside_open_axes(name: str, sizes: tuple[str | None, str | None]) -> None:
    """Merges whose number only a call knows: against the function of the size, with ties and NaN."""
    function, rng = SORTS[name], np.random.default_rng(5)
    open_, fixed = tilec.jit(function, open_sizes={"x": sizes}), tilec.jit(function)
    for shape in ((0, 2), (1, 1), (2, 3), (3, 66), (129, 3), (500, 1)):
        x = rng.integers(-9, 9, shape).astype(np.float32)
        x[x == 4] = np.nan
        x[x == 3] = -0.0
        found, wanted = (trees.flatten(f(x))[0] for f in (open_, fixed))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_million_rows_are_sorted() -> None:
    x = np.random.default_rng(6).integers(0, 1000, 1_000_000).astype(np.float32)
    open_ = tilec.jit(lambda x: (tnp.sort(x), tnp.argsort(x)), open_sizes={"x": "N"})
    for function in (open_, tilec.jit(lambda x: (tnp.sort(x), tnp.argsort(x)))):
        values, places = function(x)
        np.testing.assert_array_equal(places, np.argsort(x, kind="stable"))
        np.testing.assert_array_equal(values, x[places])


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "int": (lambda x: x * int(x.shape[0]), "its value is not known"),
    "float": (lambda x: x * float(x.shape[0]), "its value is not known"),
    "range": (lambda x: [x for _ in range(x.shape[0])], "its value is not known"),
    "len": (lambda x: x * len(x), "its value is not known"),
    "bool": (lambda x: x if x.shape[0] else -x, "whether it is 0"),
    "less": (lambda x: x if x.shape[0] > 3 else -x, "how it compares with 3"),
    "equal": (lambda x: x if x.shape[0] == 3 else -x, "whether it is 3"),
    "a quotient": (lambda x: x.reshape(x.shape[0] // 2, -1), "whether 2 divides N"),
    "first rows": (lambda x: x[:3], "only parts such as"),
    "every other row": (lambda x: x[::2], "only parts such as"),
    "joined": (lambda x: tnp.concat([x, x], axis=0), "also indexes an axis"),
    "other elements": (lambda x: x.reshape(7, -1), "6\\*N elements cannot be reshaped"),
    "no other size": (lambda x: x + np.zeros((4, 6), np.float32), "N is not 4"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_a_number(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(TileError, match=message) as refused:
        tilec.jit(function, open_sizes={"x": "N"})(batch(4))
    span = refused.value.diagnostics[0].span
    assert span is not None and span.source.name == __file__


EXTREMA: dict[str, Callable[[Any], Any]] = {
    "max": lambda x: x.max(0),
    "min": lambda x: x.min(),
    "argmax": lambda x: x.argmax(0),
    "a gradient": lambda x: tilec.grad(lambda a: a.max())(x),
}


@pytest.mark.parametrize("target", ["llvm", "opencl", "reference"])
def test_shares_of_no_elements_are_none(target: str) -> None:
    if target == "opencl" and not pipeline.backend(target).targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    open_ = tilec.jit(lambda x: tnp.softmax(x, axis=0), open_sizes={"x": "N"}, target=target)
    for n in (3, 0):
        np.testing.assert_allclose(open_(batch(n)), tilec.jit(lambda x: tnp.softmax(x, axis=0))(batch(n)), rtol=1e-6)
        assert open_(batch(n)).shape == batch(n).shape


@pytest.mark.parametrize("target", ["llvm", "opencl", "reference"])
@pytest.mark.parametrize("name", EXTREMA)
def test_an_extremum_of_no_elements_is_an_error_of_the_call(name: str, target: str) -> None:
    """The code and the line are those of a size that is known: TILE0403 at the function's text."""
    if target == "opencl" and not pipeline.backend(target).targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    open_ = tilec.jit(EXTREMA[name], open_sizes={"x": "N"}, target=target)
    fixed = tilec.jit(EXTREMA[name], target=target)
    np.testing.assert_array_equal(open_(batch(3)), fixed(batch(3)))
    for function in (open_, fixed):
        with pytest.raises(TileError, match="imum of no elements") as refused:
            function(batch(0))
        diagnostic = refused.value.diagnostics[0]
        assert refused.value.code == "TILE0403"
        assert diagnostic.span is not None and diagnostic.span.source.name == __file__


def test_extrema_of_fixed_axes_are_not_checked() -> None:
    """Of no rows, the maxima of the rows are no maxima."""
    open_ = tilec.jit(lambda x: (x.max(1), tnp.softmax(x)), open_sizes={"x": "N"})
    assert [r.shape for r in open_(batch(0))] == [(0,), (0, 6)]


@pytest.mark.parametrize("index, least", [(0, 1), (-1, 1), (2, 3), (-3, 3), (np.array([0, 4]), 5)])
def test_rows_that_a_call_does_not_have(index: Any, least: int) -> None:
    open_ = tilec.jit(lambda x: x[index], open_sizes={"x": "N"})
    np.testing.assert_array_equal(open_(batch(least)), batch(least)[index])
    with pytest.raises(TileError, match="on axis 0, whose size N is less in this call") as refused:
        open_(batch(least - 1))
    assert refused.value.code == "TILE0225"


def test_rows_by_computed_numbers_are_clamped() -> None:
    open_ = tilec.jit(lambda x, i: x[i], open_sizes={"x": "N", "i": "M"})
    x = batch(300)
    for dtype in ("int8", "uint8", "int16", "uint32", "int64", "uint64"):
        index = np.array([0, 5, 100, 90]).astype(dtype)
        np.testing.assert_array_equal(open_(x, index), x[index])
    np.testing.assert_array_equal(open_(x, np.array([-1, -300, -900, 299, 1000])), x[[299, 0, 0, 299, 299]])
    assert open_(batch(0), np.zeros(0, np.int32)).shape == (0, 6)
    with pytest.raises(TileError, match="an element of an axis of size 0"):
        open_(batch(0), np.zeros(1, np.int32))


def test_trees_of_arguments() -> None:
    def f(data: Any, scale: Any) -> Any:
        return (data["x"] * scale).sum() + data["y"].mean(), data["parts"][1].sum(0)

    open_ = tilec.jit(f, open_sizes={"data": {"x": "N", "parts": ["K", ("M", None)]}})
    for n, m, k in ((3, 4, 2), (5, 1, 9)):
        data: dict[str, Any] = {"x": batch(n), "y": batch(2), "parts": [batch(k), batch(m)]}
        total, last = open_(data, 2.0)
        np.testing.assert_allclose(total, data["x"].sum() * 2 + data["y"].mean(), rtol=1e-4)
        np.testing.assert_allclose(last, data["parts"][1].sum(0), rtol=1e-4, atol=1e-6)
    assert open_.signatures() == 1
    open_({**data, "y": batch(3)}, 2.0)
    assert open_.signatures() == 2  # axes without a name are fixed


def test_types_in_place_of_arguments() -> None:
    lowered = tilec.jit(scores).lower(start(), "f32[N, 64]")
    assert lowered.graph.sizes == ("N",)
    executable = lowered.compile()
    leaves = trees.flatten(start())[0]
    for n in (64, 30):
        want = tilec.jit(scores)(start(), batch(n, 64))
        np.testing.assert_array_equal(executable(*leaves, batch(n, 64)), want)


def test_arguments_that_disagree() -> None:
    f = tilec.jit(lambda x, y: x + y, open_sizes={"x": "N", "y": "N"})
    f(batch(3), batch(3))
    with pytest.raises(TileError, match="the size N is 3 in 'x' and 4 in 'y'"):
        f(batch(3), batch(4))
    for rank_0 in (2.0, np.float32(2.0)):
        with pytest.raises(TileError, match="argument 'y' has rank 0, and open_sizes names 1 of its axes"):
            f(batch(3), rank_0)


@pytest.mark.parametrize(
    "given, message",
    [
        ("N", "open_sizes is a dict, not 'N'"),
        ({"z": "N"}, "the function has no parameter 'z'"),
        ({"x": 3}, "open_sizes cannot hold 3"),
        ({"x": ("N", 3)}, "open_sizes cannot hold"),
        ({"x": "N, M"}, "open_sizes cannot hold"),
        ({"x": [{"a": 1.5}]}, "open_sizes cannot hold 1.5"),
        ({"c": "N"}, "'c' cannot be known to the code and of an open size"),
    ],
)
def test_bad_choices(given: Any, message: str) -> None:
    with pytest.raises(TileError, match=message) as refused:
        tilec.jit(lambda x, c: x, open_sizes=given, constants="c")
    assert refused.value.code == "TILE0511"


def test_the_log_names_the_size(caplog: pytest.LogCaptureFixture) -> None:
    f = tilec.jit(lambda x: x + 1, open_sizes={"x": "N"})
    with caplog.at_level("DEBUG", logger="tilec"):
        f(batch(3))
        f(batch(3, 5))
    assert "compiling again: x: f32[N, 6] -> f32[N, 5]" in caplog.text
