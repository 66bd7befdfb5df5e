"""Python numbers are weak, NumPy's scalars are not: types of results as NumPy 2 and the array API have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec import ops

SCALARS: list[Any] = [np.float64(2), np.float32(2), np.float16(2), np.int64(2), np.int8(2), np.uint8(2), np.bool_(True)]
ARRAYS = ["float64", "float32", "float16"]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: type(s).__name__)
def test_scalars_of_numpy_have_the_type_they_say(scalar: Any) -> None:
    assert tilec.jit(lambda x: x)(scalar).dtype == scalar.dtype
    assert tilec.jit(lambda: tnp.asarray(scalar))().dtype == scalar.dtype
    assert tnp.asarray(scalar).dtype == tnp.full((2,), scalar).dtype == scalar.dtype
    with tilec.record():
        assert tnp.asarray(scalar).dtype == scalar.dtype


@pytest.mark.parametrize("dtype", ARRAYS)
@pytest.mark.parametrize("scalar", [s for s in SCALARS if s.dtype.kind == "f"], ids=lambda s: type(s).__name__)
def test_floats_beside_arrays(dtype: str, scalar: Any) -> None:
    x = np.array([1.5, 2.5], dtype)
    wanted = (x + scalar).dtype
    assert tilec.jit(lambda x, s: x + s)(x, scalar).dtype == wanted
    assert tilec.jit(lambda x: x + scalar)(x).dtype == tnp.add(x, scalar).dtype == wanted
    assert tilec.jit(lambda x: scalar * x)(x).dtype == wanted
    i = tilec.index("i")
    assert tilec.contract(tilec.at(x)[i] * scalar, out=i).dtype == wanted
    assert tilec.contract("O[i] = A[i] * F", A=x, F=scalar).dtype == wanted


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "uint8"])
@pytest.mark.parametrize("number", [2, 2.5, True])
def test_python_numbers_take_the_type_beside_them(dtype: str, number: Any) -> None:
    x = np.array([1, 2], dtype)
    wanted = x.dtype if x.dtype.kind == "f" or not isinstance(number, float) else np.dtype("float32")
    assert tilec.jit(lambda x, n: x * n)(x, number).dtype == wanted
    assert tilec.jit(lambda x: x * number)(x).dtype == wanted


def test_each_kind_of_number_is_a_signature() -> None:
    double = tilec.jit(lambda x, f: x * f)
    x = np.ones(2, "float32")
    kinds = [double(x, f).dtype for f in (2.0, 3.0, np.float64(2), np.float32(2), 2)]
    assert kinds == [np.float32, np.float32, np.float64, np.float32, np.float32] and double.signatures() == 4


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 300,
        lambda x: x < 300,
        lambda x: tnp.clip(x, 0, 2**40),
        lambda x: tnp.where(x > 1, x, -1),
        lambda x: tnp.astype(x, "int32") + 2**31,
    ],
)
def test_an_integer_that_does_not_fit_is_an_error(function: Any) -> None:
    with pytest.raises(tilec.TileError) as caught:
        tilec.jit(function)(np.arange(4, dtype="uint8"))
    assert caught.value.code == "TILE0511" and "does not fit" in str(caught.value)
    assert f"--> {__file__}:" in str(caught.value)


BEYOND: list[Any] = [
    lambda x: tnp.less(x, 300),
    lambda x: tnp.equal(256, x),
    lambda x: tnp.add(x, -1),
    lambda x: tnp.clip(x, 0, max=300),
    lambda x: tnp.where(x > 1, x, 300),
    lambda x: tnp.pad(x, 1, constant_values=300),
    lambda x: tnp.full_like(x, -1),
    lambda x: tnp.full((2,), 300, dtype=x.dtype),
    lambda x: tnp.searchsorted(x, 300),
    lambda x: ops.unique(x, size=5, fill_value=300),
]


@pytest.mark.parametrize("function", BEYOND, ids=range(len(BEYOND)))
def test_nor_may_it_be_given_to_a_function_of_arrays(function: Any) -> None:
    with pytest.raises(tilec.TileError) as caught:
        function(np.arange(4, dtype="uint8"))
    assert caught.value.code == "TILE0511" and "does not fit" in str(caught.value)
    assert f"--> {__file__}:" in str(caught.value)


def test_an_integer_that_does_not_take_the_type_of_the_array_may_be_large() -> None:
    x = (np.arange(400) % 200).astype("uint8")
    assert tnp.take(x, 301) == 101 and tnp.full((1,), 2**40).tolist() == [2**40]
    assert tnp.less(np.array([2**40]), 2**41).tolist() == [True]
    with pytest.raises(tilec.TileError, match="does not fit"):
        tnp.full((2,), 2**70)


@pytest.mark.parametrize("dtype", ["uint8", "uint64", "int8", "float16"])
def test_the_bounds_of_a_type_fit_it(dtype: str) -> None:
    x = np.array([0, 1, 3], dtype)
    assert tilec.jit(tnp.sign)(x).tolist() == [0, 1, 1]
    if x.dtype.kind != "f":
        least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        assert tilec.jit(lambda x: (x >= least) & (x <= most))(x).all()
    assert (tilec.jit(lambda x: x + 1)(x) == x + 1).all()
