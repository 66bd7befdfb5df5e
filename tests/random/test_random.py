"""`tilec.random`: streams that can be cut, equal on every device, and numbers distributed as they should be.

Statistical tests have fixed keys, so they cannot fail by chance; the bounds are those of a level of one in a thousand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.refusals import code_of
from tilec import random
from tilec.errors import TileError
from tilec.loops import walk

KEY = random.key(2024)
COUNT = 40_000


def distance(values: Any, distribution: Callable[[float], float]) -> float:
    """The statistic of Kolmogorov and Smirnov times the root of the number of values."""
    ordered = np.sort(np.asarray(values, np.float64).reshape(-1))
    want = np.array([distribution(float(v)) for v in ordered])
    n = len(ordered)
    gap = max(np.max(np.arange(1, n + 1) / n - want), np.max(want - np.arange(n) / n))
    return float(gap * math.sqrt(n))


def chi_square(found: Any, wanted: Any) -> float:
    """Pearson's statistic, in standard deviations above its mean."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    free = len(found) - 1
    return float((((found - wanted) ** 2 / wanted).sum() - free) / math.sqrt(2 * free))


def phi(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


# --- streams ----------------------------------------------------------------------------------------------------------


def test_known_answers() -> None:
    """Of Random123, threefry2x32_20: the last is made of digits of pi."""
    for words, offset, block in (
        ([0, 0], 0, 0x99BA4EFE6B200159),
        ([0xFFFFFFFF] * 2, 2**64 - 1, 0xBB002BE71CB996FC),
        ([0x13198A2E, 0x03707344], 0x85A308D3243F6A88, 0x483DF7A0C4923A9C),
    ):
        key, at = np.array(words, np.uint32), np.array(offset, np.uint64)
        assert int(random.bits(key, at, (1,), "uint64")[0]) == block
        assert int(random.bits(key, at, (1,))[0]) == block & 0xFFFFFFFF


DRAWS: dict[str, Callable[[Any, Any, int], Any]] = {
    "bits": lambda k, o, n: random.bits(k, o, (n,)),
    "uniform": lambda k, o, n: random.uniform(k, o, (n,), low=-1.0, high=3.0),
    "uniform f64": lambda k, o, n: random.uniform(k, o, (n,), "float64"),
    "normal": lambda k, o, n: random.normal(k, o, (n,)),
    "normal f64": lambda k, o, n: random.normal(k, o, (n,), "float64"),
    "truncated_normal": lambda k, o, n: random.truncated_normal(k, o, (n,)),
    "randint": lambda k, o, n: random.randint(k, o, (n,), low=-5, high=100),
    "bernoulli": lambda k, o, n: random.bernoulli(k, o, 0.3, shape=(n,)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_streams_can_be_cut(name: str) -> None:
    draw = DRAWS[name]
    whole = draw(KEY, 0, 50)
    np.testing.assert_array_equal(draw(KEY, 13, 37), whole[13:])
    np.testing.assert_array_equal(draw(KEY, np.array(13, np.uint64), 1), whole[13:14])
    assert not np.array_equal(draw(random.key(2025), 0, 50), whole)


@pytest.mark.parametrize("name", DRAWS)
def test_equal_on_every_backend_and_for_every_number_of_threads(name: str) -> None:
    count = 1 << 17 if name == "bits" else 3000
    results = []
    for target, threads in (("llvm", 1), ("llvm", 2), ("llvm", 3), ("opencl", 2), ("reference", 1)):
        if target == "reference" and name == "truncated_normal":
            continue  # NumPy's logarithm is rounded otherwise
        try:
            with tilec.config(target=target, threads=threads):
                results.append(DRAWS[name](KEY, 7, count))
        except TileError as reason:
            if reason.code not in ("TILE0508", "TILE0509"):
                raise
    assert len(results) >= 3
    for other in results[1:]:
        if name.startswith("normal"):
            np.testing.assert_allclose(other, results[0], rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(other, results[0])


def test_keys() -> None:
    assert random.key(5).tolist() == [5, 0] and random.key(-1).tolist() == [0xFFFFFFFF] * 2
    children = random.split(KEY, 100)
    assert children.shape == (100, 2) and len({tuple(c) for c in children.tolist()}) == 100
    np.testing.assert_array_equal(random.fold_in(KEY, 17), children[17])
    drawn = {tuple(random.bits(k, 0, (4,)).tolist()) for k in (KEY, *children[:10])}
    assert len(drawn) == 11


@pytest.mark.parametrize("number", [0, 17, -1, np.int64(2**40)])
def test_keys_of_traced_keys_are_the_same(number: Any) -> None:
    want = random.fold_in(KEY, number)
    np.testing.assert_array_equal(tilec.jit(random.fold_in)(KEY, number), want)
    np.testing.assert_array_equal(tilec.jit(lambda key: random.fold_in(key, number))(KEY), want)
    np.testing.assert_array_equal(tilec.jit(lambda n: random.fold_in(KEY, n))(number), want)


def test_a_traced_key_is_split_into_the_same_keys() -> None:
    np.testing.assert_array_equal(tilec.jit(lambda key: random.split(key, 5))(KEY), random.split(KEY, 5))
    second = tilec.jit(lambda key: random.split(key)[1])(KEY)
    np.testing.assert_array_equal(second, random.split(KEY)[1])
    assert tilec.jit(lambda key: random.split(key, 0))(KEY).shape == (0, 2)


def test_each_step_of_a_loop_has_its_own_numbers() -> None:
    def walk(key: Any) -> Any:
        start = np.zeros(3, "f4")
        return tilec.fori_loop(0, 5, lambda i, at: at + random.normal(random.fold_in(key, i), 0, (3,)), start)

    want = sum(random.normal(random.fold_in(KEY, i), 0, (3,)) for i in range(5))
    np.testing.assert_allclose(tilec.jit(walk)(KEY), want, rtol=1e-6)


def test_what_is_no_key_or_number_is_an_error_while_traced_too() -> None:
    assert code_of(lambda: tilec.jit(random.split)(np.zeros(2))) == "TILE0301"
    assert code_of(lambda: tilec.jit(random.fold_in)(KEY[:1], 1)) == "TILE0301"
    assert code_of(lambda: tilec.jit(random.fold_in)(KEY, 1.5)) == "TILE0511"
    assert code_of(lambda: tilec.jit(random.fold_in)(KEY, True)) == "TILE0511"


# --- distributions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform(dtype: str) -> None:
    u = random.uniform(KEY, 0, (COUNT,), dtype)
    assert u.dtype == dtype and u.min() >= 0 and u.max() < 1
    assert distance(u, lambda x: x) < 1.95
    assert distance(random.uniform(KEY, 0, (COUNT,), dtype, low=-2.0, high=6.0), lambda x: (x + 2) / 8) < 1.95


@pytest.mark.parametrize("dtype, steps", [("float16", 2**11), ("bfloat16", 2**8)])
def test_uniform_of_narrow_types(dtype: str, steps: int) -> None:
    u = random.uniform(KEY, 0, (COUNT,), dtype).astype(np.float64) * steps
    assert np.array_equal(u, np.floor(u)) and u.min() >= 0 and u.max() < steps
    assert abs(u.mean() / steps - 0.5) < 0.005


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal(dtype: str) -> None:
    z = random.normal(KEY, 0, (COUNT,), dtype)
    assert z.dtype == dtype and np.isfinite(z).all()
    assert distance(z, phi) < 1.95
    for k, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        assert abs((z.astype(np.float64) ** k).mean() - moment) < 0.12
    half = np.asarray(z).reshape(2, -1)
    assert abs(np.corrcoef(half)[0, 1]) < 3.3 / math.sqrt(COUNT / 2)


def test_tails_of_the_normal_distribution() -> None:
    z = np.abs(random.normal(KEY, 0, (2_000_000,)))
    for bound in (3.0, 4.0, 4.5):
        wanted = 2 * (1 - phi(bound)) * len(z)
        assert abs((z > bound).sum() - wanted) < 3.3 * math.sqrt(wanted)
    assert z.max() < 6.67


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("low, high", [(-2.0, 2.0), (-0.5, 3.0), (1.0, 2.5)])
def test_truncated_normal(dtype: str, low: float, high: float) -> None:
    z = random.truncated_normal(KEY, 0, (COUNT,), dtype, low=low, high=high)
    assert z.min() >= low and z.max() <= high
    assert distance(z, lambda x: (phi(x) - phi(low)) / (phi(high) - phi(low))) < 1.95


def test_truncated_normal_numbers_are_finite_however_far_the_bounds() -> None:
    """Bits that are all zero made an infinity of them, on the wrong side; such a block was found by search."""
    key, block = random.key(42), 11090595
    assert random.bits(key, block, (1,))[0] >> 8 == 0
    assert -6 < random.truncated_normal(key, block, (1,), low=-np.inf, high=np.inf)[0] < -5
    far = random.truncated_normal(KEY, 0, (1 << 20,), "float64", low=7.0, high=np.inf)
    assert far.min() >= 7 and far.max() < 8.5 and abs(far.mean() - 7.1376) < 0.001


@pytest.mark.parametrize("low, high, dtype", [(0, 2, "int32"), (-3, 4, "int8"), (10, 1010, "int64"), (0, 7, "uint8")])
def test_randint(low: int, high: int, dtype: str) -> None:
    drawn = random.randint(KEY, 0, (COUNT,), low=low, high=high, dtype=dtype)
    assert drawn.dtype == dtype and drawn.min() == low and drawn.max() == high - 1
    found = np.bincount(drawn.astype(np.int64) - low, minlength=high - low)
    assert abs(chi_square(found, np.full(high - low, COUNT / (high - low)))) < 3.3


def test_randint_is_the_upper_half_of_an_exact_product() -> None:
    blocks = random.bits(KEY, 3, (100,), "uint64").tolist()
    for width in (1, 3, 1000, 2**31, 2**32 - 1):
        drawn = random.randint(KEY, 3, (100,), low=-5, high=width - 5, dtype="int64").tolist()
        assert drawn == [b * width // 2**64 - 5 for b in blocks]


def test_bernoulli() -> None:
    drawn = random.bernoulli(KEY, 0, 0.3, shape=(COUNT,))
    assert drawn.dtype == np.bool_ and abs(drawn.mean() - 0.3) < 3.3 * math.sqrt(0.21 / COUNT)
    p = np.array([0.0, 1.0, 0.5], np.float32)
    many = random.bernoulli(KEY, 0, p, shape=(1000, 3)).mean(axis=0)
    assert many[0] == 0 and many[1] == 1 and 0.4 < many[2] < 0.6
    assert random.bernoulli(KEY, 0, p).shape == (3,)


def test_categorical() -> None:
    p = np.array([0.1, 0.2, 0.65, 0.05])
    drawn = random.categorical(KEY, 0, np.tile(np.log(p).astype(np.float32), (COUNT, 1)))
    assert drawn.dtype == np.int32 and drawn.shape == (COUNT,)
    assert abs(chi_square(np.bincount(drawn, minlength=4), p * COUNT)) < 3.3
    sure = np.array([[-np.inf, 0, -np.inf], [0, -np.inf, -np.inf]], np.float32)
    assert random.categorical(KEY, 0, sure).tolist() == [1, 0]


def test_rows_of_logits_that_give_no_probabilities() -> None:
    """-1 is no class; other rows are as they would be alone."""
    rows = np.array([[0, np.nan, 1], [-np.inf] * 3, [0, np.inf, -np.inf], [np.nan] * 3, [0, 1e300, -1e300]])
    for dtype in ("float16", "float32", "float64"):
        with np.errstate(over="ignore"):
            found = random.categorical(KEY, 0, rows.astype(dtype))
        assert found.dtype == np.int32 and found.tolist() == [-1, -1, 1, -1, 1]
    wide = np.array([[1e300, 1.1e300], [-1.1e300, -1e300]])  # float32 holds none of them
    assert random.categorical(KEY, 0, wide).tolist() == [1, 1]


def test_bernoulli_of_no_probability_is_false() -> None:
    assert random.bernoulli(KEY, 0, np.full(50, np.nan)).sum() == 0


def test_categorical_never_draws_what_is_impossible() -> None:
    """Bits that are all ones made infinite noise, which beat any logit; such blocks were found by search."""
    key, blocks = random.key(42), (3405386, 6433916, 23509975, 26522057, 43013759)
    assert all(random.bits(key, n, (1,))[0] >> 8 == 2**24 - 1 for n in blocks)
    for place in range(3):
        logits = np.full((1, 3), -np.inf, np.float32)
        logits[0, place] = 0
        for n in blocks:
            assert [random.categorical(key, n - k, logits)[0] for k in range(3)] == [place] * 3


def test_permutation_and_shuffle() -> None:
    found = random.permutation(KEY, 0, n=1000)
    assert sorted(found.tolist()) == list(range(1000)) and found.tolist() != sorted(found.tolist())
    counts = Counter(tuple(random.permutation(KEY, 4 * n, n=4).tolist()) for n in range(2400))
    assert abs(chi_square([counts[p] for p in permutations(range(4))], np.full(24, 100))) < 3.3
    x = np.arange(30, dtype=np.float32).reshape(10, 3)
    np.testing.assert_array_equal(random.shuffle(KEY, 0, x), x[random.permutation(KEY, 0, n=10)])


# --- in programs ------------------------------------------------------------------------------------------------------


def test_parameters_of_distributions_by_name() -> None:
    key, p = random.key(3), np.float32(0.3)
    for found, wanted in (
        (random.bernoulli(key, p=p, shape=(9,)), random.bernoulli(key, 0, p, (9,))),
        (random.normal(key, offset=4, shape=(9,)), random.normal(key, 4, (9,))),
        (random.gamma(key, alpha=np.full(9, 2.0)), random.gamma(key, 0, np.full(9, 2.0))),
        (random.beta(key, b=3.0, a=2.0, shape=(9,)), random.beta(key, 0, 2.0, 3.0, (9,))),
        (random.binomial(key, count=9, p=p, shape=(9,)), random.binomial(key, 0, 9, p, (9,))),
        (random.categorical(key, logits=np.eye(9)), random.categorical(key, 0, np.eye(9))),
        (random.shuffle(key, x=np.arange(9)), random.shuffle(key, 0, np.arange(9))),
    ):
        np.testing.assert_array_equal(found, wanted)


def test_traced_functions_draw_the_same_numbers_in_one_kernel() -> None:
    @tilec.jit
    def dropout(key: Any, offset: Any, x: Any) -> Any:
        return tilec.numpy.where(random.bernoulli(key, offset, 0.75, shape=x.shape), x / 0.75, 0.0)

    x = np.ones((40, 30), np.float32)
    want = np.where(random.bernoulli(KEY, 5, 0.75, shape=(40, 30)), x / np.float32(0.75), 0)
    np.testing.assert_array_equal(dropout(KEY, 5, x), want)
    program = dropout.lower(KEY, 5, x).compile().program
    assert program is not None and len(program.steps) == 1 and program.arena == 0


def test_gradients_reach_what_scales_the_numbers() -> None:
    def loss(mean: Any, std: Any, key: Any) -> Any:
        return ((mean + std * random.normal(key, 0, (50,))) ** 2).sum()

    z = random.normal(KEY, 0, (50,)).astype(np.float64)
    value, (by_mean, by_std) = tilec.value_and_grad(loss, argnums=(0, 1))(np.float32(0.5), np.float32(2.0), KEY)
    np.testing.assert_allclose(value, ((0.5 + 2 * z) ** 2).sum(), rtol=1e-5)
    np.testing.assert_allclose([by_mean, by_std], [(2 * (0.5 + 2 * z)).sum(), (2 * (0.5 + 2 * z) * z).sum()], rtol=1e-5)


def test_the_tile_language_draws_the_same() -> None:
    code = "function noise(K[2]: u32, O) -> (U) { U = as_float(random_bits(K, O, 3, 4) >> 8, 32) / 16777216.0; }"
    got = tilec.run(code, {"K": KEY, "O": 9})["U"]
    np.testing.assert_array_equal(got, random.uniform(KEY, 9, (3, 4)))


def test_refusals() -> None:
    assert code_of(lambda: random.bits(np.zeros(3, np.uint32))) == "TILE0301"
    assert code_of(lambda: random.bits(KEY, 1.5)) == "TILE0301"
    assert code_of(lambda: random.bits(KEY, 0, (2,), "int32")) == "TILE0301"
    assert code_of(lambda: random.uniform(KEY, 0, (2,), "int32")) == "TILE0301"
    assert code_of(lambda: random.normal(KEY, 0, (2,), "int32")) == "TILE0301"
    assert code_of(lambda: random.randint(KEY, 0, (2,), low=3, high=3)) == "TILE0511"
    assert code_of(lambda: random.randint(KEY, 0, (2,), low=0, high=300, dtype="int8")) == "TILE0511"
    assert code_of(lambda: random.truncated_normal(KEY, 0, (2,), low=1.0, high=1.0)) == "TILE0511"
    assert code_of(lambda: random.key("x")) == "TILE0511"  # type: ignore[arg-type]
    assert code_of(lambda: random.split(KEY, -1)) == "TILE0511"
    assert code_of(lambda: random.fold_in(np.zeros(2), 1)) == "TILE0301"
    assert code_of(lambda: random.normal(3, 0, (2,))) == "TILE0301"
    assert code_of(lambda: random.normal(KEY, (2,))) == "TILE0511"


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (0.0, np.inf), (np.nan, 1.0), ("a", 1.0), (True, 2.0), (1.0, 1.0)])
def test_bounds_that_bound_nothing(bounds: tuple[Any, Any]) -> None:
    low, high = bounds
    assert code_of(lambda: random.uniform(KEY, 0, (2,), low=low, high=high)) == "TILE0511"
    assert code_of(lambda: random.randint(KEY, 0, (2,), low=low, high=high)) == "TILE0511"
    if high != np.inf:
        assert code_of(lambda: random.truncated_normal(KEY, 0, (2,), low=low, high=high)) == "TILE0511"


def test_bounds_that_the_type_does_not_hold() -> None:
    assert code_of(lambda: random.uniform(KEY, 0, (2,), low=0, high=1e39)) == "TILE0511"
    assert code_of(lambda: random.uniform(KEY, 0, (2,), "float16", low=-6e4, high=6e4)) == "TILE0511"
    assert code_of(lambda: random.truncated_normal(KEY, 0, (2,), low=5, high=6)) == "TILE0511"
    assert code_of(lambda: random.truncated_normal(KEY, 0, (2,), "float64", low=-9, high=-8)) == "TILE0511"
    drawn = random.truncated_normal(KEY, 0, (1000,), "float64", low=5, high=np.inf)
    assert drawn.min() > 5 and abs(drawn.mean() - 5.1865) < 0.02


def test_integers_beyond_those_with_signs() -> None:
    low = 2**64 - 5
    found = random.randint(KEY, 0, (100,), low, low + 5, "uint64")
    assert found.dtype == np.uint64 and {int(n) - low for n in found} == set(range(5))


def test_as_many_trials_as_int32_counts() -> None:
    counts = np.array([2**31 - 1, 2**33, -(2**40), 0])
    few, many = random.binomial(KEY, 0, counts, 0.0), random.binomial(KEY, 0, counts, 1.0)
    assert few.tolist() == [0, 0, 0, 0] and many.tolist() == [2**31 - 1, 2**31 - 1, 0, 0]
    half = random.binomial(KEY, 0, counts[:2], 0.5).astype(np.float64)
    assert (abs(half - 2**30) < 5 * 2**14.5).all()


def test_many_numbers_of_a_known_key_are_loops() -> None:
    """Folding them would leave a store for each number."""
    numbers = tilec.jit(lambda x: x + tnp.log(random.uniform(KEY, 0, (3000,))))
    program = numbers.lower(np.ones(3000)).compile().program
    assert program is not None
    assert max(sum(1 for _ in walk(k.body)) for k in program.kernels) < 300
