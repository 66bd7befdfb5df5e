"""CTC against all paths, added up one by one, and against torch."""

from __future__ import annotations

from itertools import groupby, product
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.ops as ops
from tests.refusals import refused
from tilec.loops import HostCall, all_steps

RNG = np.random.default_rng(5)


def labelled(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(label for label, _ in groupby(path) if label != blank)


def all_labels(log_p: Any, blank: int) -> dict[tuple[int, ...], float]:
    """The log probability of every sequence of labels, from those of all paths."""
    found: dict[tuple[int, ...], float] = {}
    for path in product(range(log_p.shape[1]), repeat=len(log_p)):
        key = labelled(path, blank)
        score = sum(row[k] for row, k in zip(log_p, path))
        found[key] = float(np.logaddexp(found.get(key, -np.inf), score))
    return found


def log_softmax(x: Any) -> Any:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("blank", [0, 2])
def test_loss_is_the_sum_over_all_paths(blank: int) -> None:
    x = RNG.normal(size=(6, 5, 3))
    labels = [0, 1] if blank == 2 else [1, 2]
    target = RNG.choice(labels, (6, 3)).astype(np.int32)
    lengths, steps = np.array([3, 2, 1, 0, 3, 2], np.int32), np.array([5, 4, 5, 3, 2, 0], np.int32)
    found = ops.ctc_loss(target, x, lengths, steps, mask_index=blank)
    for b in range(6):
        table = all_labels(log_softmax(x[b, : steps[b]]), blank)
        wanted = -table.get(tuple(target[b, : lengths[b]].tolist()), -np.inf)
        np.testing.assert_allclose(found[b], wanted, rtol=1e-12)


def test_gradient_where_there_are_too_few_steps_is_zero() -> None:
    x, target = RNG.normal(size=(1, 2, 3)), np.array([[1, 1]], np.int32)
    value, slope = tilec.value_and_grad(lambda x: ops.ctc_loss(target, x, np.array([2]), np.array([2])).sum())(x)
    assert value == np.inf
    assert (slope == 0).all()


@pytest.mark.parametrize("shape", [(4, 9, 6, 4), (1, 1, 2, 1), (2, 30, 11, 8)], ids=str)
def test_loss_and_gradient_of_torch(shape: tuple[int, int, int, int]) -> None:
    torch = pytest.importorskip("torch", reason="the loss is compared with torch's")
    batch, steps, classes, most = shape
    x, target = RNG.normal(size=(batch, steps, classes)), RNG.integers(1, classes, (batch, most)).astype(np.int32)
    lengths = RNG.integers(0, most // 2 + 1, batch).astype(np.int32)
    counts = RNG.integers(steps - steps // 4, steps + 1, batch).astype(np.int32)
    logits = torch.tensor(x, requires_grad=True)
    log_p = torch.log_softmax(logits, -1).transpose(0, 1)
    given = [torch.tensor(a.astype(np.int64)) for a in (target, counts, lengths)]
    wanted = torch.nn.functional.ctc_loss(log_p, *given, reduction="none")
    wanted.sum().backward()
    found = ops.ctc_loss(target, x, lengths, counts)
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-10)
    slope = tilec.grad(lambda x: ops.ctc_loss(target, x, lengths, counts).sum())(x)
    np.testing.assert_allclose(slope, logits.grad.numpy(), atol=1e-12)


def test_no_labels_at_all() -> None:
    x = RNG.normal(size=(2, 3, 4))
    found = ops.ctc_loss(np.zeros((2, 0), np.int32), x, np.zeros(2, np.int32), np.array([3, 1], np.int32))
    np.testing.assert_allclose(found, [-log_softmax(x[0])[:, 0].sum(), -log_softmax(x[1])[0, 0]], rtol=1e-12)


@pytest.mark.parametrize("merge", [True, False])
def test_greedy(merge: bool) -> None:
    x, lengths = RNG.normal(size=(5, 8, 3)), np.array([8, 5, 1, 0, 8], np.int32)
    labels, scores = ops.ctc_decode(x, lengths, merge_repeated=merge)
    for b, n in enumerate(lengths):
        best = x[b, :n].argmax(-1).tolist()
        wanted = labelled(tuple(best), 0) if merge else tuple(k for k in best if k)
        assert labels[0, b].tolist() == [*wanted, *[-1] * (8 - len(wanted))]
        np.testing.assert_allclose(scores[b, 0], -x[b, :n].max(-1).sum(), atol=1e-12)


def test_beam_search_finds_the_most_probable_labels() -> None:
    x, lengths = log_softmax(RNG.normal(size=(4, 5, 3))), np.array([5, 4, 1, 0], np.int32)
    labels, scores = ops.ctc_decode(x, lengths, strategy="beam_search", beam_width=500, top_paths=3, mask_index=1)
    for b, n in enumerate(lengths):
        wanted = sorted(all_labels(x[b, :n], 1).items(), key=lambda item: -item[1])[:3]
        for k, (label, score) in enumerate(wanted):
            assert labels[k, b].tolist() == [*label, *[-1] * (5 - len(label))]
            np.testing.assert_allclose(scores[b, k], score, rtol=1e-10, atol=1e-12)
        assert (scores[b, len(wanted) :] == -np.inf).all()


def test_only_the_search_is_a_host_call() -> None:
    x, n = np.zeros((1, 3, 4)), np.array([3], np.int32)
    for strategy, calls in (("greedy", []), ("beam_search", ["ctc_beam_search"])):
        exe = tilec.jit(lambda x, n, s=strategy: ops.ctc_decode(x, n, strategy=s), target="llvm").lower(x, n).compile()
        assert exe.program is not None
        assert [s.function for s in all_steps(exe.program.steps) if isinstance(s, HostCall)] == calls


def test_refusals() -> None:
    x, n = np.zeros((2, 3, 4)), np.array([3, 3], np.int32)
    labels = np.zeros((2, 2), np.int32)
    refused("TILE0304", ops.ctc_loss, labels.astype(np.float32), x, n, n)
    refused("TILE0202", ops.ctc_loss, labels[0], x, n, n)
    refused("TILE0202", ops.ctc_loss, labels, x[0], n, n)
    refused("TILE0203", ops.ctc_loss, labels[:1], x, n, n)
    refused("TILE0511", ops.ctc_loss, labels, x, n, n, mask_index=4)
    refused("TILE0511", ops.ctc_decode, x, n, strategy="best")
    refused("TILE0511", ops.ctc_decode, x, n, strategy="beam_search", beam_width=2, top_paths=3)
    refused("TILE0202", ops.ctc_decode, x[0], n)
    refused("TILE0304", ops.ctc_decode, x, np.zeros(2))
