"""Statements that apply functions: `cond`, `while`, `scan`, `fold` and their reverses.

All but one of the functions round every operation by itself, and depend on no order of summation, so that whatever
computes a loop gives the same bits.
"""

from __future__ import annotations

from tests.fuzz.generate import Generator, Tensor
from tilec.dtypes import F32, F64, I32, DType

FUNCTIONS = {
    "decay": "function decay(S, X, C) -> (Next) { Next = 0.5 * S + X * C; }",
    "larger": "function larger(S, X, C) -> (Next) { Next = max(S - C, X); }",
    "gate": "function gate(S, X, C) -> (Next) { Next = S < X ? X - C : 0.25 * S; }",
    "count": "function count(S, X, C) -> (Next) { Next = S + (X > C ? 1 : 2); }",
    "turn": "function turn(S, X, C) -> (Next) { Next = max(0.5 * S, X) - C; }",
    "pair": "function pair(S, R, X, C) -> (NextS, NextR, Y) { NextS = 0.5 * R + X; NextR = S; Y = NextS * C; }",
    "trace": "function trace(S, X, C) -> (Next, Y) { Next = 0.5 * S + X; Y = Next * C; }",
    "outputs": "function outputs(X, C) -> (Y) { Y = X * X - C; }",
    "best": "function best(S, X, W) -> (Next) { Next[i] = >(W[i, j] + S[j] + X[i]); }",
    "recur": "function recur(S, X, W) -> (Next) { A[i] = +(W[i, j] * S[j]); Next = 0.25 * A + X; }",
    "less": "function less(K, S, L, C) -> (Go) { Go = K < L; }",
    "step": "function step(K, S, L, C) -> (NextK, Next) { NextK = K + 1; Next = 0.5 * S - C * S; }",
    "grow": "function grow(A, C) -> (Y) { Y = A * C + A; }",
    "fall": "function fall(A, C) -> (Y) { Y = A - C; }",
}
FOLDS = ("decay", "larger", "gate", "count", "turn")
LENGTHS = (0, 1, 2, 3, 5, 8)
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (3,), (5,), (2, 3))


def control(gen: Generator) -> None:
    """Adds a statement that applies functions."""
    dtype = gen.rng.choice([F32, F32, F64])
    gen.rng.choice([fold, fold, scan, scan, recurrence, loop, branch])(gen, dtype)


def converted(tensor: Tensor, dtype: DType) -> str:
    """What a loop carries keeps its type: all floats of one have the same."""
    return f"as_float({tensor.name}, {dtype.bits})"


def tensor(gen: Generator, shape: tuple[int, ...]) -> Tensor:
    """A value of this shape, with luck one that is there already."""
    fitting = [t for t in gen.pool if t.shape == shape]
    if fitting and gen.chance(0.6):
        return gen.rng.choice(fitting)
    found = gen.input(shape, F32)
    gen.pool.append(found)
    return found


def sequence(gen: Generator) -> Tensor:
    """A tensor to loop over: one of the pool, or a new one."""
    fitting = [t for t in gen.pool if t.shape and t.shape[0] <= 20]
    if fitting and gen.chance(0.6):
        return gen.rng.choice(fitting)
    return tensor(gen, (gen.rng.choice(LENGTHS), *gen.rng.choice(SHAPES)))


def steps(gen: Generator) -> str:
    """How many steps run: all, or a number known at run time."""
    if gen.chance(0.7):
        return ""
    gen.note("steps at run time")
    return f", {gen.input((), I32).name}"


def fold(gen: Generator, dtype: DType) -> None:
    xs = sequence(gen)
    start, c = tensor(gen, xs.shape[1:]), tensor(gen, gen.rng.choice([(), xs.shape[1:]]))
    name = gen.rng.choice(FOLDS)
    way = gen.rng.choice(["fold", "reverse_fold"])
    args = ", ".join(converted(t, dtype) for t in (start, xs, c))
    add(gen, way, f"{way}({name}, {args}{steps(gen)})", [(xs.shape[1:], dtype)], name)


def recurrence(gen: Generator, dtype: DType) -> None:
    """A fold whose step is a contraction with a matrix."""
    size = gen.rng.choice([1, 2, 3, 5])
    start, xs, w = tensor(gen, (size,)), tensor(gen, (gen.rng.choice(LENGTHS), size)), tensor(gen, (size, size))
    way, name = gen.rng.choice(["fold", "reverse_fold"]), gen.rng.choice(["best", "recur"])
    args = ", ".join(converted(t, dtype) for t in (start, xs, w))
    add(gen, way, f"{way}({name}, {args}{steps(gen)})", [((size,), dtype)], name)


def scan(gen: Generator, dtype: DType) -> None:
    xs = sequence(gen)
    inner = xs.shape[1:]
    c = tensor(gen, gen.rng.choice([(), inner]))
    name = gen.rng.choice(["trace", "pair", "outputs"])
    carried = [converted(tensor(gen, inner), dtype) for _ in range({"trace": 1, "pair": 2, "outputs": 0}[name])]
    way = gen.rng.choice(["scan", "reverse_scan"])
    args = f"({', '.join(carried)}), {converted(xs, dtype)}, {converted(c, dtype)}{steps(gen)}"
    results = [*((inner, dtype) for _ in carried), (xs.shape, dtype)]
    add(gen, way, f"{way}({name}, {args})", results, name)


def loop(gen: Generator, dtype: DType) -> None:
    """A loop of as many steps as a number says."""
    s = tensor(gen, gen.rng.choice(SHAPES))
    c, limit = tensor(gen, gen.rng.choice([(), s.shape])), gen.input((), I32)
    text = f"while(less, step, (0, {converted(s, dtype)}), ({limit.name}, {converted(c, dtype)}))"
    add(gen, "while", text, [((), I32), (s.shape, dtype)], "less", "step")


def branch(gen: Generator, dtype: DType) -> None:
    a = tensor(gen, gen.rng.choice(SHAPES))
    c, chosen = tensor(gen, gen.rng.choice([(), a.shape])), gen.input((), I32)
    text = f"cond({chosen.name} > 0, grow, fall, {converted(a, dtype)}, {converted(c, dtype)})"
    add(gen, "cond", text, [(a.shape, dtype)], "grow", "fall")


def add(gen: Generator, kind: str, text: str, results: list[tuple[tuple[int, ...], DType]], *functions: str) -> None:
    targets = [gen.result(shape, dtype) for shape, dtype in results]
    names = ", ".join(t.name for t in targets)
    gen.lines.append(f"{f'({names})' if len(targets) > 1 else names} = {text};")
    gen.functions.update({name: FUNCTIONS[name] for name in functions})
    gen.pool += targets
    gen.note(f"control {kind}")
