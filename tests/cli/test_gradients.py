"""`tilec grad` and `tilec check-grad`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.cli.main import call

LOSS = "function loss(X[M, N], W[N]) -> (L) { P[m] += X[m, n] * W[n]; L[] += P[m] * P[m]; }\n"
SHAPES = ("--shape", "X=f64[3,2]", "--shape", "W=f64[2]")
X, W = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]]), np.array([0.5, -1.0])


@pytest.fixture
def loss(tmp_path: Path) -> str:
    path = tmp_path / "loss.tile"
    path.write_text(LOSS, encoding="utf-8")
    return str(path)


def test_a_gradient_is_a_program(loss: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["grad", loss, "--wrt", "W", *SHAPES]) == 0
    text = capsys.readouterr().out
    assert text.startswith("/// The gradient of the sum of L of loss with respect to W.\n")
    assert "function loss_grad(X[3, 2]: f64, W[2]: f64) -> (W_grad) {" in text
    found = tilec.run(text, {"X": X, "W": W})
    assert np.allclose(found["W_grad"], 2 * X.T @ (X @ W))


def test_values_and_forward_mode(loss: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "jvp.tile"
    assert call(["grad", loss, "--wrt", "W", "--value", "--forward", "-o", str(out), *SHAPES]) == 0
    assert capsys.readouterr().out == ""
    found = tilec.run(out, {"X": X, "W": W, "W_dot": np.array([1.0, 0.0])})
    assert np.allclose(found["L"], np.sum((X @ W) ** 2))
    assert np.allclose(found["L_dot"], (2 * X.T @ (X @ W))[0])
    assert call(["grad", loss, "--forward", "--json", *SHAPES]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["results"] == ["L_dot"] and told["wrt"] == ["X", "W"] and "X_dot" in told["program"]


@pytest.mark.parametrize(
    "options, code",
    [
        (["--wrt", "V", *SHAPES], "TILE0101"),
        (["--of", "V", *SHAPES], "TILE0101"),
        (["--wrt", "W", "--wrt", "W", *SHAPES], "TILE0511"),
        (["--wrt", "W", "--wrt", "W", "--forward", *SHAPES], "TILE0511"),
        (["-f", "other", *SHAPES], "TILE0110"),
        (["--shape", "X"], "TILE0704"),
        (["--shape", "Z=2,"], "TILE0502"),
    ],
)
def test_errors(loss: str, options: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["grad", loss, *options]) == (2 if code == "TILE0704" else 1)
    assert f"error[{code}]" in capsys.readouterr().err


def test_what_is_missing_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pick.tile"
    path.write_text("function pick(X[N, 2]: f64, S) -> (Y) { Y = gather(X, S); }", encoding="utf-8")
    assert call(["grad", str(path), "--shape", "X=f64[4,2]"]) == 1
    assert "--shape X=f64[8,2] --shape S=0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    "size, code",
    [
        ("N / 0", "TILE0216"),
        ("N % (M - M)", "TILE0216"),
        ("S40", "TILE0606"),  # 2^40 characters
        ("P40", "TILE0414"),  # degree 2^40
        ("Q40", "TILE0414"),
    ],
)
def test_sizes_that_cannot_be_written(size: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sizes.tile"
    doubling = " ".join(f"S{k + 1} = max(S{k}, S{k} / 3 + M);" for k in range(40))
    doubling += " ".join(f" P{k + 1} = P{k} * P{k}; Q{k + 1} = Q{k} * Q{k} + M;" for k in range(40))
    body = f"S0 = N; P0 = N; Q0 = N; {doubling} Y[i : {size}] = X[i, 0];"
    path.write_text(f"function f(X[N, M]) -> (Y) {{ {body} }}", encoding="utf-8")
    assert call(["grad", str(path)]) == 1
    assert f"error[{code}]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, inputs, header",
    [
        ("(X[N, 2]: f64, S) -> (Y) { Y = X * S; }", {"X": np.ones((3, 2)), "S": 0.5}, "(X[N, 2]: f64, S[])"),
        ("(X) -> (Y) { Y = exp(X) * X; }", {"X": X}, "(X)"),
        ("(X) -> (Y) { Y = 2 * X; }", {"X": 0.5}, "(X[])"),  # the gradient does not say how many it is
        ("(X) -> (L) { Y = -X; L[] += Y[i, j] * X[i, j]; }", {"X": X}, "(X[X_0, X_1])"),
        ("(X[N], K) -> (Y) { Y[i : N] = X[i + K / 2]; }", {"X": W, "K": 2}, "(X[N], K)"),
        ("(X[N], K) -> (Y) { Y[i : max(N - K, 1) % 3] = X[i]; }", {"X": W, "K": 1}, "(X[N], K)"),
    ],
)
def test_inputs_of_any_rank(
    text: str, inputs: dict[str, Any], header: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their ranks are seen, or do not matter; else they are numbers."""
    path = tmp_path / "any.tile"
    path.write_text(f"function any{text}", encoding="utf-8")
    assert call(["grad", str(path), "--wrt", "X"]) == 0
    printed = capsys.readouterr().out
    assert f"function any_grad{header} ->" in printed
    assert ("Here" in printed) == ("[])" in header)
    wanted = tilec.grad(path, "X")(**inputs)
    np.testing.assert_allclose(tilec.run(printed, inputs)["X_grad"], wanted)


def test_sizes_given_for_one_input_hold_for_the_others(loss: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["grad", loss, "--wrt", "W", "--shape", "X=4,3"]) == 0
    assert "loss_grad(X[4, 3], W[3]) ->" in capsys.readouterr().out


@pytest.mark.parametrize("number", ["inf", "-inf", "+nan"])
def test_infinities_and_nan_are_numbers(number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scale.tile"
    path.write_text("function scale(K) -> (Y) { Y = K * 2.0; }", encoding="utf-8")
    assert call(["run", str(path), "-i", f"K={number}"]) == 0
    assert str(float(number)) in capsys.readouterr().out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert call(["check-grad", str(path), "-i", f"K={number}"]) == 1  # there is nothing to compare


@pytest.mark.parametrize("shape", ["X=-1,3", "X=4,99999999999999999999", "X=1.5,"])
def test_sizes_that_are_none(loss: str, shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["grad", loss, "--shape", shape]) == 2
    assert f"TILE0704]: cannot read '{shape}'" in capsys.readouterr().err


def test_gradients_are_checked(loss: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check-grad", loss]) == 0
    told = capsys.readouterr().out
    assert "X[3, 4], W[4]" in told and "dL/dW" in told and "right" in told
    assert call(["check-grad", loss, "--json", "--wrt", "W", "--random", "X:f64[5,2]", "--seed", "3"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] and told["shapes"] == {"X": [5, 2], "W": [2]}
    assert [(g["input"], g["verdict"], g["compared"]) for g in told["gradients"]] == [("W", "right", 2)]


def test_a_point_without_a_derivative_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "corner.tile"
    path.write_text("function corner(X) -> (Y) { Y = abs(X); }", encoding="utf-8")
    assert call(["check-grad", str(path), "-i", "X=0.0"]) == 1
    assert "unknown: the function has no derivative" in capsys.readouterr().out
    assert call(["check-grad", str(path), "-i", "X=-2.0"]) == 0


def test_check_grad_errors(loss: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scale.tile"
    path.write_text("function scale(X[N], S) -> (Y) { Y = X * S; }", encoding="utf-8")
    assert call(["check-grad", str(path)]) == 1
    assert "error[TILE0501]: input 'S' is not given" in capsys.readouterr().err
    assert call(["check-grad", loss, "--wrt", "V"]) == 1
    assert "error[TILE0101]" in capsys.readouterr().err
