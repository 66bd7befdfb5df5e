"""What the benchmarks time is right: tilec's chains, layers, products and convolutions are those of NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import compare, conv, definitions, elementwise, gemm, layers, peers_adapter, report
from benchmarks.contenders import CONTENDERS, installed, with_numpy, with_tilec
from benchmarks.workers import Worker

TOPICS = {t.name: t for t in (gemm.TOPIC, conv.TOPIC, elementwise.TOPIC, layers.TOPIC)}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    with_tilec.start(1)


def assert_close(found: Any, expected: Any) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("name", list(definitions.chains(np)))
def test_chains(name: str) -> None:
    operands = elementwise.operands((name, 6, 256 if name == "max pooling" else 40))
    found, expected = (m.chain(name, operands)() for m in (with_tilec, with_numpy))
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (found, expected)), strict=True):
        assert_close(np.asarray(a), np.asarray(b))


def test_other_benchmarks_time_the_same_chains() -> None:
    """The names of elementwise.py of those who measure libraries side by side."""
    assert set(peers_adapter.CHAINS.values()) == set(definitions.chains(np))
    adapter = peers_adapter.Elementwise(1)
    operands = elementwise.operands(("Adam", 6, 40))
    found = adapter.to_numpy(("adam", 6, 40), adapter.prepare(("adam", 6, 40), operands)())
    assert_close(found, with_numpy.chain("Adam", operands)()[0])


@pytest.mark.parametrize("name", list(layers.SHAPES))
def test_layers(name: str) -> None:
    operands = layers.operands((name,))
    found, expected = (m.layer(name, operands)() for m in (with_tilec, with_numpy))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * float(np.abs(expected).max()))


@pytest.mark.parametrize("case", [(1, 5, 7, 9), (3, 4, 6, 5)])
def test_products(case: compare.Case) -> None:
    operands = gemm.operands(case)
    assert_close(with_tilec.product(*operands)(), with_numpy.product(*operands)())


@pytest.mark.parametrize(
    "case", [(2, 9, 3, 5, 3, 1, 1), (1, 8, 4, 4, 3, 2, 4), (1, 9, 3, 4, 7, 2, 1), (1, 6, 8, 2, 1, 2, 1)]
)
def test_convolutions(case: compare.Case) -> None:
    x, w = conv.operands(case)
    found = with_tilec.convolution(x, w, case[5], case[6])()
    assert_close(found, with_numpy.convolution(x, w, case[5], case[6])())
    assert found.shape[1] == conv.extent(case)


@pytest.mark.parametrize("name", TOPICS)
def test_cases_have_operands_and_work(name: str) -> None:
    topic = TOPICS[name]
    small = min(topic.cases.values(), key=topic.work)
    assert all(isinstance(a, np.ndarray) for a in topic.operands(small))
    assert min(map(topic.work, topic.cases.values())) > 0
    assert len(topic.cases) == len(set(topic.cases))


def test_a_contender_that_differs_is_found() -> None:
    right, wrong = np.ones(4, np.float32), np.zeros(4, np.float32)
    assert compare._outliers({"a": right, "b": wrong, "c": right}, 1e-3) == ["b"]
    assert compare._outliers({"a": right, "b": right}, 1e-3) == []


def test_a_worker_prepares_and_says_what_failed() -> None:
    worker = Worker("numpy", "product", 1)
    try:
        a, b = gemm.operands((1, 3, 4, 5))
        prepared = worker.prepare((), (a, b))
        assert prepared is not None
        assert_close(prepared.sample, (a @ b).reshape(-1))
        with pytest.raises(RuntimeError, match="numpy: ValueError"):
            worker.prepare((), (a, a))
        assert worker.peak_memory() > 1 << 20
    finally:
        worker.close()


def test_contenders_are_known() -> None:
    assert installed("tilec") and installed("numpy")
    assert set(CONTENDERS) == {"tilec", "numpy", "torch", "torch.compile", "jax", "numba", "onnxruntime", "openvino"}


def test_tables() -> None:
    seconds = {"a": {"tilec": 1.0, "numpy": 2.0, "jax": 4.0}, "b": {"tilec": 2.0, "jax": 1.0}}
    figures = {"topic": "chains", "unit": "GB/s", "threads": 1, "work": {"a": 8e9, "b": 8e9}, "seconds": seconds}
    made = report.table(figures).splitlines()
    assert made[2] == "| a | 8.0 | 2.0 | 4.0 | 2.00 |"
    assert made[3] == "| b | 4.0 | 8.0 |  | 0.50 |"
    assert made[4] == "| tilec / each, geometric mean |  | 1.41 | 2.00 | 1.00 |"
    text = "x\n<!-- chains threads=1 -->\nold\n<!-- end -->\ny\n"
    assert "old" not in report.placed(text, report.title(figures), "new")
    with pytest.raises(SystemExit, match="no place"):
        report.placed(text, "other", "new")


def test_figures_of_several_runs_are_one_table(tmp_path: Path) -> None:
    path, labels = tmp_path / "f.json", list(gemm.TOPIC.cases)[:3]
    for label in reversed(labels):
        compare._write(path, gemm.TOPIC, 1, {label: gemm.TOPIC.cases[label]}, {label: {"tilec": 1.0}}, {"tilec": 5})
    found = json.loads(path.read_text())
    assert list(found["seconds"]) == list(found["work"]) == labels and found["memory"] == {"tilec": 5}
    compare._write(path, gemm.TOPIC, 2, {}, {}, {})
    assert json.loads(path.read_text())["seconds"] == {}
