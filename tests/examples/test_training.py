"""The programs of examples/training, as they are run by a reader, or for fewer rounds."""

from __future__ import annotations

import numpy as np
import pytest

from tests.examples.shared import example


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("model", ["logistic", "convnet"])
def test_digits_are_learnt(model: str, optimiser: str) -> None:
    lines: list[str] = []
    accuracy = example("training", "digits").train(model, optimiser, epochs=20, report=lines.append)
    assert accuracy > 0.97
    assert len(lines) == 20


def test_digits_of_test_are_not_trained_on() -> None:
    x, y, x_test, y_test = example("training", "digits").digits()
    assert x.shape == (1438, 8, 8) and x_test.shape == (359, 8, 8)
    assert x.dtype == np.float32 and y.dtype == y_test.dtype == np.int32
    seen = {image.tobytes() for image in x}
    assert not any(image.tobytes() in seen for image in x_test)


def test_the_start_of_heat_is_found() -> None:
    heat = example("training", "heat_start")
    target = np.asarray(heat.tilec.jit(heat.end, static_argnames="steps")(heat.hidden_start(), steps=40))
    start, error = heat.recover(target, steps=40, rounds=200, report=lambda line: None)
    reached = start.astype(np.float64)
    for _ in range(40):
        padded = np.pad(reached, 1)
        near = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
        reached = reached + heat.RATE * (near - 4 * reached)
    assert ((reached - target) ** 2).mean() == pytest.approx(error, rel=0.3)  # float32 twice; one round apart
    assert error < 1e-3 * (target**2).mean()


def test_characters_are_learnt() -> None:
    lstm = example("training", "char_lstm")
    params, letters, losses = lstm.train("to be or not to be, " * 40, steps=60, length=32, report=lambda line: None)
    assert losses[0] > 2.0
    assert np.mean(losses[-5:]) < 0.3
    assert "not to be" in lstm.write(params, letters, "to be", 40)
