"""Fusion does not change a bit: a product that is inlined into a sum is rounded as the tensor that it was."""

from __future__ import annotations

import numpy as np

import tilec

CODE = "function f(A[N], B[N]) -> ({}) {{ P = A * B; S[] = +(P[i]); }}"


def test_an_inlined_product_is_rounded() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        inputs = {"A": rng.random(37, np.float32), "B": rng.random(37, np.float32)}
        alone = tilec.run(CODE.format("S"), inputs)["S"]
        beside = tilec.run(CODE.format("S, P"), inputs)["S"]
        total = np.float32(0)
        for product in inputs["A"] * inputs["B"]:
            total += product
        assert alone == beside == total
