"""Random kernels of the shapes that the lowering makes, from a seed, and arrays to run them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from tilec.affine import Affine
from tilec.dtypes import BOOL, F16, F32, F64, I8, I32, I64, DType
from tilec.evaluate.loops import evaluate_kernel
from tilec.expr import Access, Call, Const, Expr, IndexValue, Read, Var, read
from tilec.loops import Alloc, Block, Buffer, For, If, Kernel, KernelParam, Let, Store, walk
from tilec.monoid import identity, standard
from tilec.passes.schedule.analysis import substitute
from tilec.schedule import Schedule

Array = np.ndarray[Any, np.dtype[Any]]
v = Affine.var


def var(*names: str) -> tuple[Affine, ...]:
    return tuple(map(Affine.var, names))


def param(name: str, dtype: DType, *shape: int) -> Buffer:
    return Buffer(name, dtype, shape, "param")


def nest(loops: Sequence[tuple[str, int]], body: Block, conditions: Sequence[Affine] = ()) -> Block:
    """Serial loops, each condition just inside the outermost loop at which it is determined."""
    left = list(conditions)
    for depth in range(len(loops), 0, -1):
        outer = {n for n, _ in loops[: depth - 1]}
        here = tuple(c for c in left if not c.variables() <= outer)
        left = [c for c in left if c not in here]
        body = (If(here, body),) if here else body
        body = (For(loops[depth - 1][0], loops[depth - 1][1], "serial", body),)
    return body


def kernel(name: str, inputs: Sequence[Buffer], output: Buffer | Sequence[Buffer], *blocks: Block) -> Kernel:
    outputs = [output] if isinstance(output, Buffer) else output
    params = [*(KernelParam(b, "in") for b in inputs), *(KernelParam(b, "out") for b in outputs)]
    return Kernel(name, tuple(params), tuple(s for b in blocks for s in b))


def mul(*args: Expr) -> Expr:
    return Call("mul", args, args[0].dtype)


def contraction(
    name: str,
    monoid: str,
    dtype: DType,
    sizes: Mapping[str, int],
    sink: Sequence[Affine],
    out: Sequence[int],
    operands: Sequence[tuple[str, Sequence[Affine], Sequence[int]]],
    conditions: Sequence[Affine] = (),
    order: Sequence[str] = (),
    narrow: DType | None = None,
    kept: bool = False,
) -> Kernel:
    """Initialise, update, and with `narrow` a separate accumulator that is converted at the end.

    kept: the accumulator is a result, too.
    """
    inputs = [param(n, dtype, *shape) for n, _, shape in operands]
    results = [param("O", narrow or dtype, *out)]
    acc = "O.acc" if narrow else "O"
    m = standard(monoid, dtype)
    axes = [(f"i{a}", n) for a, n in enumerate(out)]
    cell = tuple(v(n) for n, _ in axes)
    terms: list[Expr] = [read(n, tuple(i), dtype) for n, i, _ in operands]
    value = terms[0] if len(terms) == 1 else mul(*terms)
    results += [param(acc, dtype, *out)] if narrow and kept else []
    blocks: list[Block] = [(Alloc(Buffer(acc, dtype, tuple(out))),)] if narrow and not kept else []
    blocks.append(nest(axes, (Store(acc, cell, identity(monoid, dtype)),)))
    loops = [(n, sizes[n]) for n in order or sizes]
    blocks.append(nest(loops, (Store(acc, tuple(sink), value, m),), conditions))
    if narrow:
        axes = [(f"j{a}", n) for a, n in enumerate(out)]
        cell = tuple(v(n) for n, _ in axes)
        last = Store("O", cell, Call("cast", (Var("x", dtype),), narrow))
        bias = read("D", cell[-1:], dtype)
        inputs.append(param("D", dtype, *out[-1:]))
        blocks.append(nest(axes, (Let("x", Call("max", (read(acc, cell, dtype), bias), dtype)), last)))
    return kernel(name, inputs, results, *blocks)


def _size(r: Random, high: int = 24) -> int:
    return r.choice([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, high, r.randint(1, high)])


def matmul(r: Random, high: int = 24) -> Kernel:
    m, n, k = (_size(r, high) for _ in range(3))
    a = ("A", var("k", "m"), (k, m)) if r.random() < 0.3 else ("A", var("m", "k"), (m, k))
    b = ("B", var("n", "k"), (n, k)) if r.random() < 0.3 else ("B", var("k", "n"), (k, n))
    dtype = r.choice([F32, F32, F64, I32])
    monoid = r.choice(["sum", "sum", "sum", "max", "min"])
    narrow = F16 if dtype == F32 and r.random() < 0.3 else None
    sizes = {"m": m, "n": n, "k": k}
    return contraction("matmul", monoid, dtype, sizes, var("m", "n"), (m, n), [a, b], narrow=narrow)


def batched(r: Random) -> Kernel:
    b, m, n, k = r.randint(1, 3), _size(r, 12), _size(r), _size(r, 12)
    operands = [("A", var("b", "m", "k"), (b, m, k)), ("B", var("b", "k", "n"), (b, k, n))]
    sizes, narrow = {"b": b, "m": m, "n": n, "k": k}, r.choice([None, F32])
    kept = r.random() < 0.5
    return contraction("batched", "sum", F32, sizes, var("b", "m", "n"), (b, m, n), operands, narrow=narrow, kept=kept)


def conv(r: Random) -> Kernel:
    """NHWC, padded by guards, perhaps strided or depthwise."""
    x, y, c, f, s = r.randint(1, 9), r.randint(1, 4), r.randint(1, 5), _size(r, 20), r.randint(1, 2)
    kx, ky, pad = r.randint(1, 3), r.randint(1, 3), r.randint(0, 1)
    width, height = s * (x - 1) + kx - 2 * pad, s * (y - 1) + ky - 2 * pad
    if width < 1 or height < 1:
        return conv(r)
    at_x, at_y = v("x") * s + v("p") - pad, v("y") * s + v("q") - pad
    needed = [at_x, -at_x + (width - 1), at_y, -at_y + (height - 1)] if pad else []
    depthwise = r.random() < 0.4
    sizes = {"y": y, "x": x, "f": f, "q": ky, "p": kx, **({} if depthwise else {"c": c})}
    channel, channels = ("f", f) if depthwise else ("c", c)
    weights = ("W", var("q", "p", "f"), (ky, kx, f)) if depthwise else ("W", var("q", "p", "c", "f"), (ky, kx, c, f))
    operands = [("A", (at_y, at_x, v(channel)), (height, width, channels)), weights]
    narrow = r.choice([None, F16])
    return contraction("conv", "sum", F32, sizes, var("y", "x", "f"), (y, x, f), operands, needed, narrow=narrow)


def pooling(r: Random) -> Kernel:
    n, c, w = r.randint(1, 30), _size(r), r.randint(1, 4)
    at = v("x") * 2 + v("k") - 1
    out = (n + 2) // 2
    needed = [at, -at + (n - 1)]
    monoid = r.choice(["max", "min", "sum"])
    sizes = {"x": out, "c": c, "k": w}
    return contraction("pool", monoid, F32, sizes, var("x", "c"), (out, c), [("A", (at, v("c")), (n, c))], needed)


def reduction(r: Random) -> Kernel:
    m, n = _size(r, 60), _size(r, 60)
    axes = r.choice([(), ("m",), ("n",), ("n", "m")])
    sizes = {"m": m, "n": n}
    order = [*axes, *(a for a in sizes if a not in axes)]
    dtype, monoid = r.choice([F32, I64, I8]), r.choice(["sum", "max", "prod"])
    operands = [("A", var("m", "n"), (m, n))]
    shape = tuple(sizes[a] for a in axes)
    return contraction("reduce", monoid, dtype, sizes, var(*axes), shape, operands, order=order)


def overlapping(r: Random) -> Kernel:
    """O[i + j] sum= A[i] * B[j]: cells are reached in many ways."""
    i, j = _size(r), _size(r)
    operands = [("A", var("i"), (i,)), ("B", var("j"), (j,))]
    return contraction("full", "sum", F32, {"i": i, "j": j}, [v("i") + v("j")], (i + j - 1,), operands)


def dilated(r: Random) -> Kernel:
    """O[s*m + p, n]: cells between are reached by no term."""
    m, n, k, s, p = _size(r), _size(r), r.randint(1, 9), r.randint(1, 3), r.randint(0, 2)
    operands = [("A", var("m", "k"), (m, k)), ("B", var("k", "n"), (k, n))]
    out = (s * (m - 1) + p + r.randint(1, 3), n)
    sink, narrow = [v("m") * s + p, v("n")], r.choice([None, F16])
    return contraction("dilated", "sum", F32, {"m": m, "n": n, "k": k}, sink, out, operands, narrow=narrow)


def elementwise(r: Random) -> Kernel:
    rank = r.randint(1, 4)
    shape = [_size(r, (2000, 60, 16, 8)[rank - 1]) for _ in range(rank)]
    loops = [(f"i{a}", n) for a, n in enumerate(shape)]
    cell = tuple(v(n) for n, _ in loops)
    order = list(range(rank))
    r.shuffle(order)
    some = [a for a in range(rank) if r.random() < 0.6]
    a = read("A", tuple(cell[o] for o in order), F32)
    b = read("B", tuple(cell[s] for s in some), F32)
    inputs = [param("A", F32, *(shape[o] for o in order)), param("B", F32, *(shape[s] for s in some))]
    x = Var("x", F32)
    index = IndexValue(cell[0] * 2 + 1, F32)
    value = Call("cond", (Call("cmp_lt", (x, b), BOOL), mul(x, x), Call("add", (x, index), F32)), F32)
    body: Block = (Let("x", Call("sub", (a, b), F32)), Store("O", cell, value))
    return kernel("pointwise", inputs, param("O", F32, *shape), nest(loops, body))


def chain(r: Random) -> Kernel:
    """Nests over the same rows, of which each reads what others made: of its own row, or of another one."""
    m, n, shift = _size(r), _size(r, 40), r.choice([0, 0, 0, 1])
    row, at = v("m"), Affine.of({"m": -1}) + (m - 1) if shift else v("m")
    monoid = standard(r.choice(["sum", "max"]), F32)
    start = nest([("i", m)], (Store("t", var("i"), monoid.identity[0]),))
    update = nest([("m", m), ("k", n)], (Store("t", (row,), read("A", var("m", "k"), F32), monoid),))
    less = Call("sub", (read("A", var("m", "j"), F32), read("t", (at,), F32)), F32)
    middle = nest([("m", m), ("j", n)], (Store("u", var("m", "j"), less),))
    last = Call("add", (read("u", (row, v("l")), F32), read("t", (row,), F32)), F32)
    finish = nest([("m", m), ("l", n)], (Store("O", var("m", "l"), last),))
    nests = (start, update, middle, finish)
    allocs: Block = (Alloc(Buffer("t", F32, (m,))), Alloc(Buffer("u", F32, (m, n))))
    renamed = tuple(_with_rows(block, f"m{k}") for k, block in enumerate(nests))
    return kernel("chain", [param("A", F32, m, n)], param("O", F32, m, n), allocs, *renamed)


def _with_rows(block: Block, name: str) -> Block:
    """A nest over `m` whose loop is called otherwise."""
    loop = block[0]
    if not isinstance(loop, For) or loop.index != "m":
        return block
    return (For(name, loop.extent, "serial", substitute(loop.body, {"m": Affine.var(name)})),)


def gather(r: Random) -> Kernel:
    rows, columns, picked = r.randint(1, 9), _size(r), _size(r)
    at = Call("max", (Call("min", (read("I", var("i"), I32), Const(rows - 1, I32)), I32), Const(0, I32)), I32)
    value = Read(Access("A", (at, v("j"))), F32)
    body: Block = (Store("O", var("i", "j"), value),)
    inputs = [param("A", F32, rows, columns), param("I", I32, picked)]
    loops = [("i", picked), ("j", columns)]
    return kernel("gather", inputs, param("O", F32, picked, columns), nest(loops, body))


def scatter(r: Random) -> Kernel:
    rows, columns, count = r.randint(1, 9), _size(r), _size(r)
    at = Call("max", (Call("min", (read("I", var("i"), I32), Const(rows - 1, I32)), I32), Const(0, I32)), I32)
    first = nest([("i0", rows), ("i1", columns)], (Store("O", var("i0", "i1"), Const(0.0, F32)),))
    store = Store("O", (at, v("j")), read("A", var("i", "j"), F32), standard("sum", F32))
    inputs = [param("A", F32, count, columns), param("I", I32, count)]
    return kernel(
        "scatter", inputs, param("O", F32, rows, columns), first, nest([("i", count), ("j", columns)], (store,))
    )


GENERATORS: tuple[Callable[[Random], Kernel], ...] = (
    matmul, batched, conv, pooling, reduction, overlapping, dilated, elementwise, gather, scatter, chain,
)  # fmt: skip


def generate(seed: int) -> Kernel:
    """A random kernel."""
    r = Random(seed)
    return r.choice(GENERATORS)(r)


def arrays(kernel: Kernel, seed: int = 0, exact: bool = False) -> dict[str, Array]:
    """Arguments of a kernel: random inputs, outputs full of garbage.

    exact: floats of which sums and products are exact, so that they are the same in any order.
    """
    r = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for p in kernel.params:
        shape, dtype = tuple(int(str(s)) for s in p.buffer.shape), p.buffer.dtype
        if dtype.is_float:
            given = r.choice([-1.0, 1.0, -1.0, 1.0, 0.5, 2.0], shape) if exact else r.standard_normal(shape)
            value = np.full(shape, np.nan) if p.mode == "out" else given
        else:
            value = r.integers(-3, 10, shape)
        found[p.buffer.name] = np.asarray(value).astype(dtype.numpy)
    return found


def run(kernel: Kernel, seed: int = 0, exact: bool = False) -> dict[str, Array]:
    """All arguments after running the kernel."""
    found = arrays(kernel, seed, exact)
    evaluate_kernel(kernel, found)
    return found


def assert_same(before: Kernel, after: Kernel, schedule: Schedule = (), seed: int = 0) -> None:
    """Both kernels compute bitwise equal results (NaN equals NaN).

    Where the schedule changes the order of sums, that is so of inputs on which no sum is rounded.
    """
    exact = any(d.name == "rfactor" for d in schedule)
    expected, actual = run(before, seed, exact), run(after, seed, exact)
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=f"{before.name}: {name}")


def loop_names(kernel: Kernel) -> list[str]:
    return list(dict.fromkeys(s.index for s in walk(kernel.body) if isinstance(s, For)))
