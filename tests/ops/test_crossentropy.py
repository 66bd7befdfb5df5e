"""Losses of probabilities against NumPy and torch."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scipy import special

import tilec
from tests.refusals import WORD, code_of
from tilec import ops


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def shares(*shape: int, seed: int = 0) -> Any:
    return special.softmax(2 * draw(*shape, seed=seed), axis=-1)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("from_logits", [True, False])
def test_classes_by_number(axis: int, from_logits: bool) -> None:
    x = 3 * draw(4, 5, 6)
    labels = np.random.default_rng(1).integers(0, x.shape[axis], np.delete(x.shape, axis))
    logs = special.log_softmax(x, axis=axis)
    output = x if from_logits else 2 * np.exp(logs)  # divided by its sum
    wanted = -np.take_along_axis(logs, np.expand_dims(labels, axis), axis).squeeze(axis)
    for kind in ("int64", "uint8", "int32"):
        found = ops.sparse_categorical_crossentropy(
            labels.astype(kind), output, from_logits=from_logits, axis=axis, reduction="none"
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-11)
    mean = ops.sparse_categorical_crossentropy(labels, output, from_logits=from_logits, axis=axis)
    np.testing.assert_allclose(mean, wanted.mean(), rtol=1e-11)
    hot = np.moveaxis(np.eye(x.shape[axis])[labels], -1, axis)
    found = ops.categorical_crossentropy(hot, output, from_logits=from_logits, axis=axis, reduction="none")
    np.testing.assert_allclose(found, wanted, rtol=1e-11)


def test_many_classes_of_a_narrow_type() -> None:
    """Numbers of classes are compared in a type that holds them."""
    x = draw(3, 1000)
    labels = np.array([0, 200, 255], "uint8")
    wanted = -special.log_softmax(x, -1)[range(3), labels]
    found = ops.sparse_categorical_crossentropy(labels, x, from_logits=True, reduction="none")
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_ignored_and_unknown_classes() -> None:
    x, labels = draw(4, 3), np.array([2, -1, 0, 1])
    wanted = -special.log_softmax(x, -1)[range(4), labels]
    wanted[1] = 0

    def loss(x: Any, **given: Any) -> Any:
        return ops.sparse_categorical_crossentropy(labels, x, from_logits=True, ignore_class=-1, **given)

    np.testing.assert_allclose(loss(x, reduction="none"), wanted, rtol=1e-12)
    np.testing.assert_allclose(loss(x), wanted.sum() / 3, rtol=1e-12)
    np.testing.assert_allclose(loss(x, reduction="sum"), wanted.sum(), rtol=1e-12)
    weights = np.array([1.0, 5.0, 2.0, 0.5])
    np.testing.assert_allclose(loss(x, weights=weights), (wanted * weights).sum() / 3.5, rtol=1e-12)
    assert (tilec.grad(loss)(x)[1] == 0).all()
    unknown = ops.sparse_categorical_crossentropy(np.array([3, -1, 0, 1]), x, from_logits=True, reduction="none")
    assert np.isnan(unknown).tolist() == [True, True, False, False]


def test_nothing_counts() -> None:
    x = draw(3, 4)
    labels = np.full(3, -100)
    value, slopes = tilec.value_and_grad(
        lambda x: ops.sparse_categorical_crossentropy(labels, x, from_logits=True, ignore_class=-100)
    )(x)
    assert value == 0 and (slopes == 0).all()


def test_large_logits() -> None:
    x = np.array([[1e4, -1e4, 0], [-np.inf, 0, 1e4]], "float32")
    labels = np.array([0, 1])
    value, slopes = tilec.value_and_grad(
        lambda x: ops.sparse_categorical_crossentropy(labels, x, from_logits=True, reduction="sum")
    )(x)
    assert value == 1e4 and slopes.tolist() == [[0, 0, 0], [0, -1, 1]]
    hot = np.eye(3, dtype="float32")[labels]
    assert ops.categorical_crossentropy(hot, x, from_logits=True, reduction="none").tolist() == [0, 1e4]
    far = np.array([[-1e4, 1e4, -300.0, 300.0]], "float32")
    sides = np.array([[0, 1, 1, 0]], "float32")
    found = ops.binary_crossentropy(sides, far, from_logits=True, axis=(), reduction="none")
    assert found.tolist() == [[0, 0, 300, 300]]
    slopes = tilec.grad(lambda x: ops.binary_crossentropy(sides, x, from_logits=True, axis=(), reduction="sum"))(far)
    assert slopes.tolist() == [[0, 0, -1, 1]]


def test_probabilities_of_0_and_1() -> None:
    output, target = np.array([[0.0, 1.0]], "float32"), np.array([[1.0, 0.0]], "float32")
    for loss in (ops.binary_crossentropy, ops.categorical_crossentropy, ops.kl_divergence):
        derived = tilec.value_and_grad(loss, argnums=1)
        value, slopes = derived(target, output)
        assert 15 < value < 17 and np.isfinite(slopes).all()
        value, slopes = derived(target, target)
        assert abs(value) < 3e-7 and np.isfinite(slopes).all()
    value = ops.sparse_categorical_crossentropy(np.array([0]), output)
    np.testing.assert_allclose(value, -np.log(1e-7), rtol=1e-6)


@pytest.mark.parametrize("from_logits", [True, False])
def test_two_classes(from_logits: bool) -> None:
    x, target = 4 * draw(3, 5), np.random.default_rng(1).random((3, 5))
    target[0] = [0, 1, 0, 1, 0.5]
    p = special.expit(x)
    wanted = -(target * np.log(p) + (1 - target) * np.log1p(-p))
    output = x if from_logits else p
    found = ops.binary_crossentropy(target, output, from_logits=from_logits, axis=(), reduction="none")
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    found = ops.binary_crossentropy(target, output, from_logits=from_logits, reduction="none")
    np.testing.assert_allclose(found, wanted.mean(-1), rtol=1e-10)
    missed = 1 - (target * p + (1 - target) * (1 - p))
    focal = wanted * missed**3 * (0.3 * target + 0.7 * (1 - target))
    found = ops.binary_focal_crossentropy(target, output, alpha=0.3, gamma=3, from_logits=from_logits)
    np.testing.assert_allclose(found, focal.mean(), rtol=1e-9)
    plain = ops.binary_focal_crossentropy(target, output, gamma=0, from_logits=from_logits)
    np.testing.assert_allclose(plain, wanted.mean(), rtol=1e-10)


def test_slope_of_two_classes_is_the_distance() -> None:
    x = np.array([[-3.0, 0.0, 0.0, 2.0]])
    target = np.array([[1.0, 1.0, 0.0, 0.25]])
    slopes = tilec.grad(lambda x: ops.binary_crossentropy(target, x, from_logits=True, axis=(), reduction="sum"))(x)
    np.testing.assert_allclose(slopes, special.expit(x) - target, rtol=1e-12)


@pytest.mark.parametrize("from_logits", [True, False])
def test_focal_loss_of_classes(from_logits: bool) -> None:
    x, target = draw(4, 5), shares(4, 5, seed=1)
    p = special.softmax(x, -1)
    wanted = -(target * np.log(p) * 0.3 * (1 - p) ** 1.5).sum(-1)
    found = ops.categorical_focal_crossentropy(
        target, x if from_logits else p, alpha=0.3, gamma=1.5, from_logits=from_logits, reduction="none"
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_a_class_that_is_masked_out_has_a_slope(gamma: float) -> None:
    target, logits = np.array([[0.0, 1.0, 0.0]]), np.array([[-np.inf, 0.5, -0.5]])
    rest = tilec.grad(lambda z: ops.categorical_focal_crossentropy(target[:, 1:], z, gamma=gamma, from_logits=True))
    slope = tilec.grad(lambda z: ops.categorical_focal_crossentropy(target, z, gamma=gamma, from_logits=True))(logits)
    np.testing.assert_allclose(slope, [[0.0, *rest(logits[:, 1:])[0]]], rtol=1e-9)


def test_divergence() -> None:
    p, q = shares(4, 5), shares(4, 5, seed=1)
    p[0, :3] = 0
    found = ops.kl_divergence(p, q, reduction="none")
    np.testing.assert_allclose(found, special.rel_entr(p, q).sum(-1), rtol=1e-12)
    slopes = tilec.grad(lambda p: ops.kl_divergence(p, q, reduction="sum"))(p)
    assert (slopes[0, :3] == 0).all() and np.isfinite(slopes).all()


def test_sixteen_bits_are_rounded_once() -> None:
    x, labels = (4 * draw(6, 50)).astype(ml_dtypes.bfloat16), np.arange(6)
    found = ops.sparse_categorical_crossentropy(labels, x, from_logits=True, reduction="none")
    wanted = -special.log_softmax(x.astype("f8"), -1)[range(6), labels]
    assert found.dtype == ml_dtypes.bfloat16
    np.testing.assert_allclose(found.astype("f8"), wanted, rtol=2.0**-8)


def test_as_torch() -> None:
    torch = pytest.importorskip("torch", reason="values are compared with torch's")
    f = torch.nn.functional
    x, labels, target = draw(6, 5), np.array([0, 4, 2, -100, 1, 1]), shares(6, 5, seed=1)

    def same(mine: Any, theirs: Any) -> None:
        variable = torch.tensor(x, requires_grad=True)
        wanted = theirs(variable)
        wanted.backward()
        value, slopes = tilec.value_and_grad(mine)(x)
        np.testing.assert_allclose(value, wanted.item(), rtol=1e-11)
        np.testing.assert_allclose(slopes, variable.grad.numpy(), rtol=1e-10, atol=1e-15)

    same(
        lambda x: ops.sparse_categorical_crossentropy(labels, x, from_logits=True, ignore_class=-100),
        lambda x: f.cross_entropy(x, torch.tensor(labels)),
    )
    same(
        lambda x: ops.categorical_crossentropy(target, x, from_logits=True),
        lambda x: f.cross_entropy(x, torch.tensor(target)),
    )
    same(
        lambda x: ops.binary_crossentropy(target, x, from_logits=True),
        lambda x: f.binary_cross_entropy_with_logits(x, torch.tensor(target)),
    )
    same(
        lambda x: ops.kl_divergence(target, ops.softmax(x)),
        lambda x: f.kl_div(f.log_softmax(x, -1), torch.tensor(target), reduction="batchmean"),
    )


def test_wrong_arguments() -> None:
    x, labels = draw(4, 3), np.zeros(4, "int32")
    loss = ops.sparse_categorical_crossentropy
    assert code_of(lambda: loss(labels, x, reduction="average")) == "TILE0511"
    assert code_of(lambda: loss(labels.astype("f4"), x)) == "TILE0304"
    assert code_of(lambda: loss(labels > 0, x)) == "TILE0304"
    assert code_of(lambda: loss(labels[:3], x)) == "TILE0203"
    assert code_of(lambda: loss(labels[:, None], x)) == "TILE0203"
    assert code_of(lambda: loss(labels, x, axis=2)) == "TILE0212"
    assert code_of(lambda: loss(labels, x, ignore_class=WORD)) == "TILE0210"
    assert code_of(lambda: loss(labels, x, weights=np.ones(3))) == "TILE0203"
    assert code_of(lambda: loss(labels, x, weights=np.ones((1, 4)))) == "TILE0203"
    assert code_of(lambda: ops.categorical_crossentropy(x[:1], x)) == "TILE0203"
    assert code_of(lambda: ops.binary_crossentropy(x[:, :1], x)) == "TILE0203"
    assert code_of(lambda: ops.binary_focal_crossentropy(x, x, gamma=WORD)) == "TILE0210"
    assert code_of(lambda: ops.kl_divergence(1.0, 1.0)) == "TILE0212"


def test_targets_that_are_no_shares() -> None:
    """kl_divergence is 0 where the target is 0, not of NaN or below."""
    output = np.array([[0.5, 0.5]])
    assert ops.kl_divergence(np.array([[0.0, 1.0]]), output) == pytest.approx(np.log(2))
    for wrong in (np.nan, -1.0):
        assert np.isnan(ops.kl_divergence(np.array([[wrong, 1.0]]), output))


def test_two_classes_of_infinite_logits() -> None:
    """What is certain and right costs nothing, what is certain and wrong all there is; slopes are finite in both."""
    target, logits = np.array([0, 1, 1, 0, 0.5, 0.5]), np.array([-1, 1, -1, 1, -1, 1]) * np.inf
    losses = ops.binary_crossentropy(target, logits, from_logits=True, axis=(), reduction="none")
    assert losses.tolist() == [0, 0, np.inf, np.inf, np.inf, np.inf]

    def total(target: Any, logits: Any) -> Any:
        return ops.binary_crossentropy(target, logits, from_logits=True, axis=(), reduction="sum")

    assert tilec.grad(total, argnums=1)(target, logits).tolist() == [0, 0, -1, 1, -0.5, 0.5]
    assert tilec.grad(total)(target[:2], logits[:2]).tolist() == [0, 0]
    focal = ops.binary_focal_crossentropy(target[:2], logits[:2], from_logits=True, axis=(), reduction="none")
    assert focal.tolist() == [0, 0]
