"""Contractions of the evaluator against hand-written NumPy."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tests.graph.programs import data, graph, run, whole
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate, evaluate_with_bounds


def test_matrix_product() -> None:
    a, b = whole(5, 7), whole(7, 3, seed=1)
    o = run("A: f32[5, 7], B: f32[7, 3]", "O = sum:f32 [i, j, k] { [i, j : 5, 3] <- mul(A[i, k], B[k, j]) }", A=a, B=b)
    assert o.dtype == np.float32
    np.testing.assert_array_equal(o, a @ b)


def test_sum_is_sequential_in_lexicographic_order() -> None:
    a = data(3, 1000)
    o = run("A: f32[3, 1000]", "O = sum:f32 [i, k] { [i : 3] <- A[i, k] }", A=a)
    expected = np.cumsum(a, axis=1, dtype=np.float32)[:, -1]  # cumsum cannot reorder
    np.testing.assert_array_equal(o, expected)


def test_order_of_indices_is_the_order_of_the_sum() -> None:
    a = np.array([[1e8, 1.0], [-1e8, 1.0]], np.float32)
    first = run("A: f32[2, 2]", "O = sum:f32 [i, j] { [: ] <- A[i, j] }", A=a)
    second = run("A: f32[2, 2]", "O = sum:f32 [j, i] { [: ] <- A[i, j] }", A=a)
    assert (first.item(), second.item()) == (1.0, 2.0)


def test_convolution_pads_with_nothing() -> None:
    a, k = whole(2, 9, 3), whole(3, 3, 4, seed=1)
    body = "O = sum:f32 [n, x, c, i, ci] { [n, x, c : 2, 9, 4] <- mul(A[n, x + i - 1, ci], K[i, ci, c]) }"
    o = run("A: f32[2, 9, 3], K: f32[3, 3, 4]", body, A=a, K=k)
    padded = np.pad(a, ((0, 0), (1, 1), (0, 0)))
    expected = sum(np.einsum("nxc,cd->nxd", padded[:, i : i + 9], k[i]) for i in range(3))
    np.testing.assert_array_equal(o, expected)


def test_strided_and_dilated() -> None:
    a, k = whole(11), whole(3, seed=1)
    o = run("A: f32[11], K: f32[3]", "O = sum:f32 [x, i] { [x : 4] <- mul(A[2*x + 2*i], K[i]) }", A=a, K=k)
    expected = [sum(a[2 * x + 2 * i] * k[i] for i in range(3) if 2 * x + 2 * i < 11) for x in range(4)]
    np.testing.assert_array_equal(o, np.array(expected, np.float32))


def test_transposed_convolution_by_fractions() -> None:
    """O[x] gets A[(x - i) / 2] K[i], where that is an integer."""
    a, k = whole(5), whole(3, seed=1)
    o = run("A: f32[5], K: f32[3]", "O = sum:f32 [x, i] { [x : 12] <- mul(A[1/2*x - 1/2*i], K[i]) }", A=a, K=k)
    expected = np.zeros(12, np.float32)
    for j in range(5):
        for i in range(3):
            expected[2 * j + i] += a[j] * k[i]
    np.testing.assert_array_equal(o, expected)


def test_fractional_output_index_and_constant() -> None:
    a = whole(9)
    o = run("A: f32[9]", "O = sum:f32 [i] { [1/3*i - 1/3 : 4] <- A[i] }", A=a)
    np.testing.assert_array_equal(o, [a[1], a[4], a[7], 0])


def test_maximum_ignores_the_border() -> None:
    a = -np.abs(data(6)) - 1
    o = run("A: f32[6]", "O = max:f32 [x, i] { [x : 4] <- A[2*x + i - 1] } where 0 <= i < 3", A=a)
    expected = [max(a[j] for j in range(2 * x - 1, 2 * x + 2) if 0 <= j < 6) for x in range(4)]
    np.testing.assert_array_equal(o, np.array(expected, np.float32))


def test_constraint_makes_a_triangle() -> None:
    a = whole(6)
    o = run("A: f32[6]", "O = sum:f32 [i, k] { [i : 6] <- A[k] } where 0 <= i - k < 6", A=a)
    np.testing.assert_array_equal(o, np.cumsum(a))


def test_overlapping_terms_add_up() -> None:
    a = whole(4, 4)
    o = run("A: f32[4, 4]", "O = sum:f32 [i, j] { [i + j : 7] <- A[i, j] }", A=a)
    expected = [sum(a[i, d - i] for i in range(4) if 0 <= d - i < 4) for d in range(7)]
    np.testing.assert_array_equal(o, expected)


def test_truncating_and_padding_sizes() -> None:
    a = whole(4)
    assert run("A: f32[4]", "O = sum:f32 [i] { [i : 2] <- A[i] }", A=a).tolist() == a[:2].tolist()
    assert run("A: f32[4]", "O = sum:f32 [i] { [i : 6] <- A[i] }", A=a).tolist() == [*a, 0, 0]


@pytest.mark.parametrize("monoid", ["sum", "prod", "max", "min", "assign"])
def test_unreached_cells_are_zero_for_every_aggregation(monoid: str) -> None:
    o = run("A: f32[2]", f"O = {monoid}:f32 [i] {{ [2*i : 5] <- A[i] }}", A=np.array([3, -4], np.float32))
    assert o.tolist() == [3, 0, -4, 0, 0]


def test_default_replaces_unreached_cells_only() -> None:
    a, d = whole(2), np.full(5, 9, np.float32)
    body = "O = sum:f32 [i] { [2*i : 5] <- A[i] } default D"
    assert run("A: f32[2], D: f32[5]", body, A=a, D=d).tolist() == [a[0], 9, a[1], 9, 9]
    assert run("A: f32[2], D: f32", body, A=a, D=np.float32(7)).tolist() == [a[0], 7, a[1], 7, 7]


def test_no_valid_point() -> None:
    assert run("A: f32[5]", "O = sum:f32 [i] { [i : 3] <- A[i + 10] }", A=whole(5)).tolist() == [0, 0, 0]


def test_empty_operand() -> None:
    o = run("A: f32[3, 0], B: f32[0, 2]", "O = sum:f32 [i, j, k] { [i, j : 3, 2] <- mul(A[i, k], B[k, j]) }",
            A=whole(3, 0), B=whole(0, 2))  # fmt: skip
    np.testing.assert_array_equal(o, np.zeros((3, 2)))


def test_two_writers_of_one_cell() -> None:
    with pytest.raises(TileError) as caught:
        run("A: f32[4, 4]", "O = assign:f32 [i, j] { [i : 4] <- A[i, j] }", A=whole(4, 4))
    assert caught.value.code == "TILE0402"


def test_assignment_through_fractions_has_one_writer() -> None:
    a = whole(4)
    assert run("A: f32[4]", "O = assign:f32 [i] { [1/2*i : 2] <- A[i] }", A=a).tolist() == [a[0], a[2]]


@pytest.mark.parametrize("body", ["A[i + j - k]", "mul(A[i], $(k):f32)"])
def test_unbounded_index(body: str) -> None:
    with pytest.raises(TileError) as caught:
        run("A: f32[4]", f"O = sum:f32 [i, j, k] {{ [i : 4] <- {body} }}", A=whole(4))
    assert caught.value.code == "TILE0401"


def test_bounds_that_only_combined_inequalities_give() -> None:
    """0 <= i + j < 4 and 0 <= i - j < 3: neither index has a bound of its own."""
    a, b = whole(4), whole(3, seed=1)
    o = run("A: f32[4], B: f32[3]", "O = sum:f32 [i, j] { [i + j : 4] <- mul(A[i + j], B[i - j]) }", A=a, B=b)
    expected = np.zeros(4, np.float32)
    for s in range(4):
        expected[s] = sum(a[s] * b[d] for d in range(3) if (s + d) % 2 == 0)
    np.testing.assert_array_equal(o, expected)


def test_index_values_in_the_body() -> None:
    a = whole(5)
    assert run("A: f32[5]", "O = sum:f32 [i] { [i : 5] <- mul(A[i], $(i)) }", A=a).tolist() == [
        i * a[i] for i in range(5)
    ]
    o = run("A: f32[3, 4]", "O = assign:i32 [i, j] { [i, j : 3, 4] <- $(j - 2*i):i32 } where 0 <= i < 3, 0 <= j < 4",
            A=whole(3, 4))  # fmt: skip
    np.testing.assert_array_equal(o, np.arange(4) - 2 * np.arange(3)[:, None])


def test_conditional_body() -> None:
    a, b = whole(20), whole(20)
    b[::3] += 1
    body = "O = sum:f32 [i] { [: ] <- cond(cmp_eq(A[i], B[i]), A[i], 0.0) }"
    assert run("A: f32[20], B: f32[20]", body, A=a, B=b) == a[a == b].sum()


def test_untaken_branch_restricts_the_domain() -> None:
    body = "O = sum:f32 [i] { [i : 6] <- cond(1:bool, A[i], B[i]) }"
    o = run("A: f32[6], B: f32[2]", body, A=np.ones(6, np.float32), B=np.ones(2, np.float32))
    assert o.tolist() == [1, 1, 0, 0, 0, 0]


def test_narrow_sums_accumulate_wide() -> None:
    a = np.full(4096, 0.25, np.float16)
    wide = run("A: f16[4096]", "O = sum:f32 [i] { [: ] <- cast.f32(A[i]) }", A=a)
    narrow = run("A: f16[4096]", "O = sum:f16 [i] { [: ] <- A[i] }", A=a)
    assert (wide.item(), narrow.item()) == (1024.0, 512.0)  # 512 + 0.25 rounds to 512 in float16


def test_accumulator_of_a_declared_type() -> None:
    g = graph("A: u8[3]", "O", "O: u8 = sum:i32 [i] { [] <- A[i] }")
    assert evaluate(g, {"A": np.array([200, 100, 7], np.uint8)})["O"] == 51
    assert run("A: i8[300]", "O = sum:i8 [i] { [: ] <- A[i] }", A=np.ones(300, np.int8)) == 44


def test_bfloat16_sum_rounds_every_step() -> None:
    a = np.ones(300, ml_dtypes.bfloat16)
    assert float(run("A: bf16[300]", "O = sum:bf16 [i] { [: ] <- A[i] }", A=a)) == 256.0


def test_aggregations_of_bool() -> None:
    a = np.array([[True, False], [True, True]])
    assert run("A: bool[2, 2]", "O = prod:bool [i, j] { [i : 2] <- A[i, j] }", A=a).tolist() == [False, True]
    assert run("A: bool[2, 2]", "O = max:bool [i, j] { [j : 2] <- A[i, j] }", A=a).tolist() == [True, True]
    assert run("A: bool[2, 2]", "O = sum:i32 [i, j] { [: ] <- A[i, j] }", A=a) == 3


def test_maximum_propagates_nan_and_knows_signed_zeros() -> None:
    a = np.array([[1, np.nan, 2], [-0.0, 0.0, -0.0], [-1, -3, -2]], np.float32)
    o = run("A: f32[3, 3]", "O = max:f32 [i, j] { [i : 3] <- A[i, j] }", A=a)
    assert np.isnan(o[0]) and not np.signbit(o[1]) and o[2] == -1
    assert np.signbit(run("A: f32[3, 3]", "O = min:f32 [i, j] { [i : 3] <- A[i, j] }", A=a)[1])


def test_float64_twin() -> None:
    a = data(500)
    o = run("A: f32[500]", "O = sum:f32 [i] { [: ] <- mul(A[i], A[i]) }", "float64", A=a)
    assert o.dtype == np.float64
    np.testing.assert_allclose(o, (a.astype(np.float64) ** 2).sum(), rtol=1e-14)


def test_large_coefficients_do_not_overflow() -> None:
    big = 1 << 62
    o = run("A: f32[3]", f"O = sum:f32 [i, j] {{ [i : 3] <- A[i] }} where 0 <= {big}*j - {big}*i < 3, 0 <= j < 3",
            A=whole(3))  # fmt: skip
    np.testing.assert_array_equal(o, whole(3))


BOUNDARY = {"clamp": "edge", "wrap": "wrap", "reflect": "reflect", "value 2.5": "constant"}


@pytest.mark.parametrize("boundary", BOUNDARY)
def test_boundary_modes(boundary: str) -> None:
    a = whole(5)
    extra = {"constant_values": 2.5} if boundary.startswith("value") else {}
    expected = np.pad(a, 4, mode=BOUNDARY[boundary], **extra)  # type: ignore[call-overload]
    o = run("A: f32[5]", f"O = assign:f32 [i] {{ [i : 13] <- A[i - 4; {boundary}] }}", A=a)
    np.testing.assert_array_equal(o, expected)


def test_data_dependent_indices() -> None:
    w, idx = whole(4, 3), np.array([3, -1, 0, 4, 2], np.int32)
    o = run("W: f32[4, 3], I: i32[5]", "O = sum:f32 [i, j] { [i, j : 5, 3] <- W[@I[i], j] }", W=w, I=idx)
    np.testing.assert_array_equal(o, [w[3], [0] * 3, w[0], [0] * 3, w[2]])  # outside is no term, never wraps
    o = run("W: f32[4, 3], I: i32[5]", "O = sum:f32 [i, j] { [i, j : 5, 3] <- W[@I[i], j; clamp] }", W=w, I=idx)
    np.testing.assert_array_equal(o, w[[3, 0, 0, 3, 2]])


def test_chunks_do_not_change_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    g = graph("A: f32[40, 30]", "O", "O = sum:f32 [i, j] { [j : 30] <- A[i, j] }")
    h = graph("A: f32[40, 30]", "O", "O = max:f32 [i, j] { [j : 30] <- A[i, j] }")
    a = data(40, 30)
    wanted = [evaluate(x, {"A": a})["O"] for x in (g, h)]
    monkeypatch.setattr("tilec.evaluate.domain.CHUNK", 7)
    for x, w in zip((g, h), wanted):
        np.testing.assert_array_equal(evaluate(x, {"A": a})["O"], w)


def test_magnitudes() -> None:
    g = graph("A: f32[4, 6]", "O", "O = sum:f32 [i, j] { [i : 5] <- A[i, j] }")
    a = data(4, 6)
    values, bounds = evaluate_with_bounds(g, {"A": a})
    assert bounds["O"].count.tolist() == [6, 6, 6, 6, 0]
    np.testing.assert_allclose(bounds["O"].total[:4], np.abs(a.astype(np.float64)).sum(1), rtol=1e-14)
    assert values["O"].dtype == np.float64
