"""Products of tensors and diagonals against NumPy, and orders of einsum's products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp

Array = np.ndarray[Any, Any]


def random(shape: Any, seed: int = 0) -> Array:
    return np.asarray(np.random.default_rng([seed, *np.atleast_1d(shape).astype(int)]).standard_normal(shape))


def same(found: Any, wanted: Any) -> None:
    assert found.shape == np.shape(wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


EINSUMS: list[tuple[Any, ...]] = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ba", (2, 3)),
    ("", ()),
    ("->", ()),
    ("i->", (0,)),
    ("iij,jk->k", (3, 3, 2), (2, 4)),
    ("iii->i", (4, 4, 4)),
    ("ij,kl->", (2, 3), (4, 5)),
    ("i,i", (1,), (4,)),
    ("ij,ij->j", (10, 2), (1, 2)),
    ("...a,...b->...", (2, 1, 3), (4, 5)),
    ("...a,...b->b...", (2, 1, 3), (4, 5)),
    ("a...,a...", (3, 2), (3, 4, 2)),
    ("a...b", (2, 3, 4)),
    ("...,...,...", (3,), (2, 3), ()),
    (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("zA,AZ", (2, 3), (3, 4)),
    ("ab,bc,cd,de->ae", (2, 3), (3, 4), (4, 5), (5, 6)),
    ("ea,fb,gc,hd,abcd->efgh", (2, 3), (4, 2), (3, 5), (2, 3), (3, 2, 5, 3)),
    ("acdf,jbje,gihb,hfac->", (2, 3, 2, 4), (2, 3, 2, 2), (2, 2, 3, 3), (3, 4, 2, 3)),
    ("jhcabhijaci,dfijejgh->fgje", (1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1), (3, 1, 3, 1, 1, 1, 1, 2)),
    ("cacc,bcb->", (1, 1, 1, 1), (1, 4, 1)),
    ("a,a,a,b,c,c->b", (3,), (1,), (3,), (2,), (4,), (4,)),
]


@pytest.mark.parametrize(("text", "shapes"), [(t, s) for t, *s in EINSUMS], ids=[e[0] for e in EINSUMS])
def test_einsum(text: str, shapes: list[Any]) -> None:
    arrays = [random(s, k) for k, s in enumerate(shapes)]
    wanted = np.einsum(text, *arrays)
    same(tnp.einsum(text, *arrays), wanted)
    same(tnp.einsum(text, *arrays, optimize=False), wanted)
    same(tilec.jit(lambda *a: tnp.einsum(text, *a), target="reference")(*arrays), wanted)


def test_lists_of_labels() -> None:
    a, b = random((2, 3)), random((3, 4), 1)
    for arguments in (
        (a, [0, 1], b, [1, 2]),
        (a, [0, 1], b, [1, 2], [2, 0]),
        (a, [5, 30], b, (30, 2)),
        (a, [..., 3], b, [3, 1], [..., 1]),
        (a, [0, 1], [1, 0]),
        (a, np.array([1, 0]), b, range(0, 3, 2)),
    ):
        same(tnp.einsum(*arguments), np.einsum(*arguments))
    same(tnp.einsum(a, ["left", "k"], b, ["k", "right"]), a @ b)
    same(tnp.einsum("aβ,βγ->γa", a, b), (a @ b).T)
    same(tnp.einsum("γβ,βa", a, b), (a @ b).T)


def test_paths() -> None:
    arrays = [random(s, k) for k, s in enumerate([(2, 3), (3, 4), (4, 5), (5, 2)])]
    wanted = np.linalg.multi_dot(arrays)
    path = ["einsum_path", (0, 1), (0, 1), (0, 1)]
    for optimize in (True, "greedy", "optimal", path, path[1:], [[0, 1, 2, 3]], [[2, 3]], [(1,)]):
        same(tnp.einsum("ab,bc,cd,de->ae", *arrays, optimize=optimize), wanted)


def test_the_order_costs_least() -> None:
    """A chain of matrices and a vector is three products with vectors; an index of one operand is summed first."""
    shapes = ("f32[64, 64]", "f32[64, 64]", "f32[64, 64]", "f32[64]")
    types = tilec.trace(lambda *a: tnp.einsum("ab,bc,cd,d->a", *a))(*shapes).types()
    assert all(t.rank < 2 for name, t in types.items() if name.startswith("einsum"))
    types = tilec.trace(lambda a, b: tnp.einsum("ij,jk->k", a, b))("f32[N, 8]", "f32[8, 4]").types()
    assert [t.shape for name, t in types.items() if name.startswith("einsum")] == [(8,), (4,)]
    types = tilec.trace(lambda *a: tnp.einsum("ab,bc,cd,d->a", *a, optimize=False))(*shapes).types()
    assert sum(name.startswith("einsum") for name in types) == 1


def test_einsum_keeps_what_it_moves() -> None:
    """No sum, no arithmetic: signs of zeros, NaNs and bools stay."""
    x = np.array([[-0.0, np.nan], [np.inf, 1.0]])
    found = tnp.einsum("ij->ji", x)
    np.testing.assert_array_equal(found, x.T)
    assert np.signbit(found[0, 0])
    assert tnp.einsum("ij->ji", np.eye(2, dtype=bool)).dtype == bool
    assert tnp.einsum("ij->i", np.eye(2, dtype=bool)).tolist() == [1, 1]


def test_types_of_einsum() -> None:
    a, b = np.arange(6, dtype=np.int8).reshape(2, 3), np.arange(3, dtype=np.float32)
    assert tnp.einsum("ij,j->i", a, b).dtype == np.float32
    assert tnp.einsum("ij,->i", a, 2).dtype == np.int8
    same(tnp.einsum("ij,->i", a, 2).astype(float), (a.sum(1) * 2).astype(float))


WRONG: list[tuple[str, Any]] = [
    ("TILE0501", ()),
    ("TILE0106", ("",)),
    ("TILE0511", (0, 0)),
    ("TILE0511", (None,) * 63),
    ("TILE0106", ("", 0, 0)),
    ("TILE0106", (",", np.zeros(1))),
    ("TILE0202", ("i", 0)),
    ("TILE0202", ("ij", np.zeros(2))),
    ("TILE0202", ("...ij", np.zeros(1))),
    ("TILE0202", ("i", np.zeros((2, 3)))),
    ("TILE0511", ("i..", np.zeros(2))),
    ("TILE0511", (".i...", np.zeros(2))),
    ("TILE0511", ("j->..j", np.zeros(2))),
    ("TILE0511", ("......i", np.zeros(2))),
    ("TILE0511", ("i%...", np.zeros(2))),
    ("TILE0511", ("i->&", np.zeros(2))),
    ("TILE0511", ("i->i->", np.zeros(2))),
    ("TILE0511", ("i-", np.zeros(2))),
    ("TILE0101", ("i->ij", np.zeros(2))),
    ("TILE0101", ("ij->jij", np.zeros((2, 2)))),
    ("TILE0202", ("...i->i", np.zeros((2, 2)))),
    ("TILE0208", ("ii", np.zeros((2, 3)))),
    ("TILE0208", ("ij,jk", np.zeros((2, 3)), np.zeros((2, 3)))),
    ("TILE0210", (np.zeros(2), [0], np.zeros(2))),
    ("TILE0511", (np.zeros(2), [..., ...])),
    ("TILE0210", (np.zeros(2), [0.5])),
    ("TILE0101", (np.zeros(2), [0], [1])),
    ("TILE0511", (np.zeros((2, 2)), [..., 0], [..., ...])),
]


@pytest.mark.parametrize(("code", "arguments"), WRONG, ids=[f"{c} {a[:1]}" for c, a in WRONG])
def test_wrong_subscripts(code: str, arguments: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        tnp.einsum(*arguments)
    assert found.value.code == code


@pytest.mark.parametrize("optimize", ["best of all", [(0, 5)], [0, 1], [()], [("a", "b")], 7])
def test_wrong_paths(optimize: Any) -> None:
    a = np.zeros((2, 2))
    with pytest.raises(tilec.TileError) as found:
        tnp.einsum("ij,jk,kl", a, a, a, optimize=optimize)
    assert found.value.code in ("TILE0511", "TILE0210")


CALLS: list[tuple[str, Any, dict[str, Any]]] = [
    ("dot", [(2, 3), (3, 4)], {}),
    ("dot", [(2, 3), (4, 3, 5)], {}),
    ("dot", [(3,), (3,)], {}),
    ("dot", [(), (2, 3)], {}),
    ("inner", [(2, 3), (4, 5, 3)], {}),
    ("inner", [(3,), ()], {}),
    ("vdot", [(2, 3), (3, 2)], {}),
    ("vdot", [(), ()], {}),
    ("kron", [(2, 3), (4, 5)], {}),
    ("kron", [(3,), (4, 5)], {}),
    ("kron", [(2, 1, 3), (4, 5)], {}),
    ("kron", [(), (2, 3)], {}),
    ("outer", [(2, 3), (4,)], {}),
    ("cross", [(2, 3), (2, 3)], {}),
    ("cross", [(4, 1, 3), (5, 3)], {}),
    ("cross", [(3,), (3,)], {}),
    ("cross", [(3, 4, 2), (3, 4, 2)], {"axis": 0}),
    ("cross", [(4, 3, 2), (4, 3, 2)], {"axis": 1}),
    ("tensordot", [(2, 3, 4), (4, 3, 5)], {"axes": ([1, 2], [1, 0])}),
    ("tensordot", [(2, 3), (4,)], {"axes": 0}),
    ("tensordot", [(2, 3), (3, 2)], {"axes": (-1, 0)}),
    ("tensordot", [(2, 3), (2, 3)], {"axes": 2}),
    ("matmul", [(5, 1, 2, 3), (4, 3, 2)], {}),
    ("matmul", [(2, 0), (0, 3)], {}),
    ("trace", [(3, 4)], {}),
    ("trace", [(3, 4, 2)], {"offset": 1}),
    ("trace", [(2, 3, 4, 5)], {"offset": -1, "axis1": 3, "axis2": 1}),
    ("diagonal", [(3, 4)], {}),
    ("diagonal", [(3, 4, 2)], {"offset": -1, "axis1": 2, "axis2": 0}),
    ("diagonal", [(3, 4)], {"offset": 7}),
    ("diagonal", [(3, 4)], {"offset": -3}),
    ("diagonal", [(5, 2)], {"offset": -1}),
    ("diag", [(3, 4)], {"k": 1}),
    ("diag", [(3,)], {}),
    ("diag", [(3,)], {"k": -2}),
    ("diag", [(0,)], {"k": 2}),
    ("diagflat", [(2, 2)], {"k": 1}),
    ("diagflat", [()], {}),
]


@pytest.mark.parametrize(("name", "shapes", "options"), CALLS, ids=[f"{n} {s} {o}" for n, s, o in CALLS])
def test_as_numpy(name: str, shapes: list[Any], options: dict[str, Any]) -> None:
    arrays = [random(s, k) for k, s in enumerate(shapes)]
    same(getattr(tnp, name)(*arrays, **options), getattr(np, name)(*arrays, **options))


HALF: Any = 0.5
BAD: list[tuple[str, Any]] = [
    ("TILE0203", lambda x: tnp.cross(x, x)),
    ("TILE0202", lambda x: tnp.cross(1.0, x)),
    ("TILE0212", lambda x: tnp.cross(x, x, axis=2)),
    ("TILE0203", lambda x: tnp.dot(x, x)),
    ("TILE0203", lambda x: tnp.inner(x, x[:, :1])),
    ("TILE0203", lambda x: tnp.vdot(x, x[:, :1])),
    ("TILE0202", lambda x: tnp.diag(x[0, 0])),
    ("TILE0202", lambda x: tnp.diagonal(x[0])),
    ("TILE0212", lambda x: tnp.diagonal(x, 0, 1, -1)),
    ("TILE0210", lambda x: tnp.trace(x, HALF)),
]


@pytest.mark.parametrize(("code", "wrong"), BAD)
def test_bad_input(code: str, wrong: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        wrong(random((2, 4)))
    assert found.value.code == code


def test_open_sizes() -> None:
    x, w = random((5, 3)), random((3, 3))
    chain = tilec.jit(lambda x: tnp.einsum("ni,ij,jk,mk->nm", x, w, w, x), open_sizes={"x": "N"})
    same(chain(x), x @ w @ w @ x.T)
    same(tilec.jit(lambda x: tnp.trace(x @ x.T), open_sizes={"x": "N"})(x), np.trace(x @ x.T))
    with pytest.raises(tilec.TileError) as found:
        tilec.jit(lambda x: tnp.diagonal(x), open_sizes={"x": "N"})(x)
    assert found.value.code == "TILE0210"
