"""The yardsticks of OpenCL devices compute what they are compared with, on whatever device is there."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import gpu
from benchmarks.opencl import CHAIN
from tests.backends.implementations import opencl_target
from tilec.target import Target


@pytest.fixture
def target() -> Target:
    return opencl_target()


def test_product_by_hand(target: Target) -> None:
    """Two tiles in each direction, which are taken from eight pieces of the long sum each."""
    hand, random = gpu.ByHand(target), np.random.default_rng(0)
    a, b = (random.integers(-4, 5, (256, 256)).astype(np.float32) for _ in "ab")
    left, right, result = (hand.array(x) for x in (a, b, np.zeros_like(a)))
    hand.product(left, right, result, 256)()
    assert np.array_equal(hand.read(result, a), a @ b)


def test_copy_by_hand(target: Target) -> None:
    hand, values = gpu.ByHand(target), np.arange(1 << 16, dtype=np.float32)
    a, c = hand.array(values), hand.array(np.zeros_like(values))
    hand.copy(a, c)()
    assert np.array_equal(hand.read(c, values), values)


def test_cases(target: Target) -> None:
    cases = [gpu.products(target, 128), *gpu.chains(target, 1)]
    assert [sorted(set(c.calls) - {"torch"}) for c in cases] == [
        ["by hand", "tilec"],
        ["by hand"],
        ["tilec"],
        ["tilec"],
    ]
    for case in cases:
        for call in case.calls.values():
            call()


def test_calls_of_tilec(target: Target) -> None:
    a, b = np.linspace(-1, 1, 4096, dtype=np.float32), np.full(4096, 0.5, np.float32)
    call, result = gpu.by_tilec(CHAIN, target, A=a, B=b)
    call()
    assert np.array_equal(result.numpy(), np.maximum(2 * a + b, 0))
    rows = a.reshape(4, 1024)
    found = gpu.by_tilec(gpu.ROWS, target, A=rows)[1].numpy()
    wanted = np.exp(rows - rows.max(1, keepdims=True).astype(np.float64))
    np.testing.assert_allclose(found, wanted / wanted.sum(1, keepdims=True), rtol=1e-5)
