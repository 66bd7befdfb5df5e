"""The networks of examples/nets learn, in fewer steps than when a reader runs them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.examples.shared import example
from tilec import ops
from tilec.text.graph_text import print_graph


@pytest.mark.parametrize(("name", "size", "rate"), [("lenet", 28, 0.002), ("lstm", None, 0.005)])
def test_digits_are_learnt(name: str, size: int | None, rate: float) -> None:
    net, lines = example("nets", name), list[str]()
    right = example("nets", "fit").learn_digits(net.forward, net.init(), ops.adam(rate), 120, 64, size, lines.append)
    assert right > 0.9
    assert lines[-1] == f"held-out accuracy {right:.4f}"


@pytest.mark.parametrize("name", ["resnet18", "mobilenet"])
def test_deep_networks_learn_a_batch(name: str) -> None:
    net, fit = example("nets", name), example("nets", "fit")
    (x, y), _ = fit.digits(32)
    start = net.init(channels=1, classes=10)
    one = [(x[:16], y[:16])] * 25
    _, state, losses = fit.train(net.forward, start, ops.adam(0.001), one, lambda line: None)
    assert losses[-1] < 0.1 * losses[0]
    mean = state["blocks"][0]["conv1" if name == "resnet18" else "depthwise"]["mean"]
    assert mean.any()  # the statistics that inference takes have moved


@pytest.mark.parametrize("name", ["lenet", "resnet18", "mobilenet", "gpt", "lstm"])
def test_no_step_of_training_calls_the_host(name: str) -> None:
    net, optimizer = example("nets", name), ops.adam(0.001)
    images = {"lenet": "f32[8, 28, 28, 1]", "lstm": "f32[8, 50, 8]", "gpt": "i32[8, 128]"}
    step = example("nets", "fit").step_of(net.forward, optimizer)
    params, state = net.init()
    labels = "i32[8, 128]" if name == "gpt" else "i32[8]"
    lowered = step.lower(params, state, optimizer.init(params), images.get(name, "f32[8, 224, 224, 3]"), labels)
    assert "host_call" not in print_graph(lowered.graph)
    if name in ("lenet", "lstm"):  # the others take long to compile
        assert lowered.compile().report().host_calls == {}


def test_letters_are_learnt() -> None:
    gpt = example("nets", "gpt")
    text = "to be or not to be, " * 20
    params, letters, losses = gpt.learn(text, 100, 8, lambda line: None, context=24, width=64, layers=1)
    assert losses[0] > 2
    assert np.mean(losses[-5:]) < 0.3
    assert gpt.write(params, letters, "to be or", 10).startswith("to be or not to be")


def test_a_place_sees_no_later_letter() -> None:
    gpt = example("nets", "gpt")
    params, _ = gpt.init(letters=9, context=8, width=32, layers=1)
    tokens = np.arange(8, dtype=np.int32)[None]
    changed = np.where(np.arange(8) < 5, tokens, 0)
    scores = example("nets", "fit").tilec.jit(lambda tokens: gpt.forward(params, {}, tokens)[0])
    before, after = scores(tokens), scores(changed.astype(np.int32))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert not np.allclose(before[:, 5:], after[:, 5:])


def test_digits_are_enlarged() -> None:
    (x, y), (x_test, _) = example("nets", "fit").digits(32)
    assert x.shape == (1438, 32, 32, 1) and x_test.shape == (359, 32, 32, 1) and y.dtype == np.int32
    assert x.dtype == np.float32 and -1 <= x.min() < x.max() <= 1


@pytest.mark.parametrize("option", ["--steps=0", "--batch=-3", "--steps=many"])
def test_options_that_cannot_be(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lstm.py", option])
    with pytest.raises(SystemExit):
        example("nets", "lstm").main()
    assert "is no number from 1 on" in capsys.readouterr().err


def test_texts_that_cannot_be_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "short.txt").write_text("hello")
    (tmp_path / "bytes.txt").write_bytes(bytes(range(256)))
    for name in ("short.txt", "bytes.txt", "none.txt"):
        monkeypatch.setattr(sys, "argv", ["gpt.py", str(tmp_path / name), "--steps", "1"])
        with pytest.raises(SystemExit, match=name):
            example("nets", "gpt").main()
