"""Mutated IR text: it is refused with a TileError, or it runs; nothing else ever happens."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import numpy as np
import pytest

from tilec.dtypes import DType
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph
from tilec.passes import infer
from tilec.text.graph_text import parse_graph
from tilec.verify.graph import verify

PROGRAMS = [
    """graph f(A: f32[4, 3], B: f32[3, 2]) -> (C) {
  C: f32[4, 2] = sum:f32 [m, n, k] { [m, n] <- mul(A[m, k], B[k, n]) } where 0 <= k - n < 3
}""",
    """graph f(A: f16[4], s: weak f32, I: i32[2]) -> (O, G) {
  A.1: f32[4] = cast.f32(A)
  O = max:f32 [i, j] { [1/2*i + j : 5] <- cond(cmp_lt(A.1[2*i], s[]), A.1[i; clamp], $(j)) } where 0 <= j < 3
  G = special gather(A, I)
  R = special reshape(G) {shape = (1, 2)}
}""",
    """graph f(P: bool, A: u8[3], B: i16[3]) -> (O) {
  L = literal i32[3] (1, 2, 3)
  C, D = scan (A) in (L) const (B) length 3 do graph b(c: u8[3], x: i32, d: i16[3]) -> (n, y) {
    n = add(c, c)
    y = bit_and(d, x)
  }
  O = if P (C, D) then graph t(X: u8[3], Y: i32[3, 3]) -> (Z) {
    Z = add(X, Y)
  } else graph e(X: u8[3], Y: i32[3, 3]) -> (Z) {
    Z = cond(X, Y, Y)
  }
}""",
]
WORDS = [  # what mutations put in
    "f32",
    "i32",
    "bool",
    "u8",
    "A",
    "B",
    "C",
    "i",
    "k",
    "add",
    "exp",
    "cond",
    "sum",
    "assign",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "1/2",
    "inf",
    "special",
    "literal",
    "default",
    "where",
    "[",
    "]",
    "(",
    ")",
    ",",
    ":",
    "<-",
    "@",
    "$",
]
TOKEN = re.compile(r"[\w.]+|<-|\s+|.")


def mutate(text: str, random: Random) -> str:
    tokens = TOKEN.findall(text)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(tokens))
        match random.randrange(4):
            case 0:
                tokens[at] = random.choice(WORDS)
            case 1:
                del tokens[at]
            case 2:
                tokens.insert(at, random.choice(WORDS))
            case _:
                other = random.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
    return "".join(tokens)


def arguments(graph: Graph) -> dict[str, Any]:
    """Small whole numbers of the parameters' types."""
    random = np.random.default_rng(0)
    return {p.name: values(random, p.type.dtype, [s for s in p.type.shape if isinstance(s, int)]) for p in graph.params}


def values(random: np.random.Generator, dtype: DType, shape: list[int]) -> Any:
    return random.integers(0, 3, shape).astype(dtype.numpy)


@pytest.mark.parametrize("program", range(len(PROGRAMS)))
def test_originals_run(program: int) -> None:
    g = parse_graph(PROGRAMS[program])
    verify(g)
    assert evaluate(g, arguments(g))


@pytest.mark.parametrize("program", range(len(PROGRAMS)))
@pytest.mark.parametrize("seed", range(20))
def test_mutations(program: int, seed: int) -> None:
    random = Random(seed)
    for _ in range(25):
        text = mutate(PROGRAMS[program], random)
        try:
            g = parse_graph(text)
            verify(g)
            typed = infer.run(g)
            verify(typed)
            evaluate(typed, arguments(typed))
        except TileError:
            pass
        except Exception as e:
            raise AssertionError(f"{type(e).__name__}: {e}\n{text}") from e
