"""Attention against plain NumPy and torch."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tilec
from tests.refusals import WORD, code_of
from tilec import ops

attention = ops.scaled_dot_product_attention


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def plain(q: Any, k: Any, v: Any, mask: Any = None, causal: bool = False, scale: float | None = None) -> Any:
    """Head by head, row by row."""
    heads = q.shape[-3] if q.ndim > 2 else 1
    k, v = (np.repeat(t, heads // t.shape[-3], axis=-3) if t.ndim > 2 else t for t in (k, v))
    scores = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:]) > 0, scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = powers.sum(-1, keepdims=True)
    return powers @ v / np.where(total == 0, 1, total)


SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "one head": ((5, 4), (7, 4), 3),
    "heads": ((2, 3, 5, 4), (2, 3, 5, 4), 4),
    "no batch": ((3, 6, 4), (3, 2, 4), 5),
    "grouped": ((2, 6, 5, 4), (2, 3, 7, 4), 4),
    "one key head": ((2, 6, 5, 4), (2, 1, 7, 4), 4),
    "one of each": ((1, 1, 1, 1), (1, 1, 1, 1), 1),
    "shared batch": ((4, 1, 2, 3, 8), (1, 2, 2, 5, 8), 6),
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_values(name: str, causal: bool) -> None:
    first, second, outputs = SHAPES[name]
    q, k, v = draw(*first), draw(*second, seed=1), draw(*second[:-1], outputs, seed=2)
    np.testing.assert_allclose(attention(q, k, v, causal=causal), plain(q, k, v, causal=causal), rtol=1e-12)
    np.testing.assert_allclose(attention(q, k, v, scale=0.3), plain(q, k, v, scale=0.3), rtol=1e-12)


@pytest.mark.parametrize("kind", ["bool", "float64"])
@pytest.mark.parametrize("shape", [(5, 7), (1, 7), (7,), (2, 1, 5, 7), (1, 6, 1, 7), (6, 5, 7), (1, 1, 1, 1)])
@pytest.mark.parametrize("groups", [6, 3])
def test_masks(shape: tuple[int, ...], kind: str, groups: int) -> None:
    q, k, v = draw(2, 6, 5, 4), draw(2, groups, 7, 4, seed=1), draw(2, groups, 7, 3, seed=2)
    mask = draw(*shape, seed=3) > -0.5 if kind == "bool" else draw(*shape, seed=3) * 2
    for causal in (False, True):
        found, wanted = attention(q, k, v, mask, causal=causal), plain(q, k, v, mask, causal)
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("kind", ["bool", "float32"])
def test_queries_without_keys(kind: str) -> None:
    """Their results and slopes are 0, and nothing becomes of them elsewhere."""
    q, k, v = draw(2, 3, 4), draw(2, 5, 4, seed=1), draw(2, 5, 4, seed=2)
    mask = np.array([[True] * 5, [False] * 5, [False, True, True, False, True]])
    given = mask if kind == "bool" else np.where(mask, 0, -np.inf).astype("float32")
    found = attention(q, k, v, given)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found, plain(q, k, v, mask), rtol=1e-6, atol=1e-12)
    slopes = tilec.grad(lambda q, k, v: (attention(q, k, v, given) ** 2).sum(), argnums=(0, 1, 2))(q, k, v)
    assert all(np.isfinite(s).all() for s in slopes)
    assert (slopes[0][:, 1] == 0).all() and (slopes[0][:, 0] != 0).all()


def test_large_scores() -> None:
    q, k, v = 1e4 * draw(3, 4), 1e4 * draw(5, 4, seed=1), draw(5, 2, seed=2)
    found = attention(q.astype("f4"), k.astype("f4"), v.astype("f4"))
    np.testing.assert_allclose(found, v[(q @ k.T).argmax(-1)], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_sixteen_bits_are_rounded_once(dtype: Any) -> None:
    q, k, v = (draw(2, 3, 8, 4, seed=s).astype(dtype) for s in range(3))
    found = attention(q, k, v)
    assert found.dtype == dtype
    wanted = plain(*(t.astype("f8") for t in (q, k, v)))
    np.testing.assert_allclose(found.astype("f8"), wanted, rtol=2.0**-11 if dtype == np.float16 else 2.0**-8, atol=1e-5)


@pytest.mark.parametrize("groups", [4, 2])
@pytest.mark.parametrize("kind", ["plain", "causal", "bool", "float"])
def test_as_torch(kind: str, groups: int) -> None:
    torch = pytest.importorskip("torch", reason="values are compared with torch's")
    arrays = draw(2, 4, 5, 8), draw(2, groups, 5, 8, seed=1), draw(2, groups, 5, 8, seed=2)
    seed = draw(2, 4, 5, 8, seed=4)
    mask = {"bool": np.tri(5, dtype=bool)[::-1].copy(), "float": draw(2, 1, 5, 5, seed=3)}.get(kind)
    variables = [torch.tensor(a, requires_grad=True) for a in arrays]
    theirs = None if mask is None else torch.tensor(mask)
    function = torch.nn.functional.scaled_dot_product_attention
    wanted = function(*variables, attn_mask=theirs, is_causal=kind == "causal", enable_gqa=True)
    (wanted * torch.tensor(seed)).sum().backward()
    value, slopes = tilec.value_and_grad(
        lambda q, k, v: (attention(q, k, v, mask, causal=kind == "causal") * seed).sum(), argnums=(0, 1, 2)
    )(*arrays)
    np.testing.assert_allclose(value, (wanted * torch.tensor(seed)).sum().item(), rtol=1e-11)
    for mine, variable in zip(slopes, variables, strict=True):
        np.testing.assert_allclose(mine, variable.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_dropout_of_weights() -> None:
    q, k, v, key = draw(2, 6, 4), draw(2, 7, 4, seed=1), np.broadcast_to(np.eye(7), (2, 7, 7)), tilec.random.key(1)
    whole, found = attention(q, k, v), attention(q, k, v, dropout_rate=0.5, dropout_key=key)
    kept = found != 0
    assert 0.3 < kept.mean() < 0.7
    np.testing.assert_allclose(found, np.where(kept, 2 * whole, 0), rtol=1e-12)


def test_wrong_arguments() -> None:
    x = draw(2, 4, 5, 8)
    assert code_of(lambda: attention(x, x[..., :3], x)) == "TILE0203"
    assert code_of(lambda: attention(x, x, x[..., :3, :])) == "TILE0203"
    assert code_of(lambda: attention(x, x[:, :3], x[:, :3])) == "TILE0203"
    assert code_of(lambda: attention(x, x[:, :2], x)) == "TILE0203"
    assert code_of(lambda: attention(x, draw(3, 4, 5, 8), draw(3, 4, 5, 8))) == "TILE0203"
    assert code_of(lambda: attention(x[0, 0, 0], x, x)) == "TILE0202"
    assert code_of(lambda: attention(x, x, x, np.ones((5, 5), "int32"))) == "TILE0301"
    assert code_of(lambda: attention(x, x, x, np.ones((3, 5), bool))) == "TILE0203"
    assert code_of(lambda: attention(x, x, x, np.ones((1, 2, 4, 5, 5), bool))) == "TILE0203"
    assert code_of(lambda: attention(x, x, x, scale=WORD)) == "TILE0210"
    assert code_of(lambda: attention(x, x, x, dropout_rate=0.5)) == "TILE0511"


@pytest.mark.parametrize("causal", [False, True])
def test_no_keys_at_all(causal: bool) -> None:
    q, k, v = draw(2, 3, 4), draw(2, 0, 4), draw(2, 0, 5)
    assert attention(q, k, v, causal=causal).tolist() == np.zeros((2, 3, 5)).tolist()
    assert attention(q, k, v, np.ones((3, 0), bool), causal=causal).tolist() == np.zeros((2, 3, 5)).tolist()
    slopes = tilec.grad(lambda q, k, v: attention(q, k, v, causal=causal).sum(), argnums=(0, 1, 2))(q, k, v)
    assert [s.shape for s in slopes] == [q.shape, k.shape, v.shape] and (slopes[0] == 0).all()


def test_a_number_of_keys_that_is_open_may_be_0() -> None:
    found = tilec.jit(lambda q, k, v: attention(q, k, v), open_sizes={"k": ("N", None), "v": ("N", None)})
    assert found(np.ones((2, 4)), np.ones((0, 4)), np.ones((0, 3))).tolist() == np.zeros((2, 3)).tolist()
    assert found(np.ones((2, 4)), np.ones((5, 4)), np.ones((5, 3))).tolist() == np.ones((2, 3)).tolist()


def test_keys_without_features_are_alike() -> None:
    v = draw(5, 2)
    found = attention(np.zeros((3, 0)), np.zeros((5, 0)), v)
    np.testing.assert_allclose(found, np.broadcast_to(v.mean(0), (3, 2)), rtol=1e-12)
