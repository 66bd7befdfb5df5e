"""Hostile text: seeded mutations of real programs must parse or be refused with a TileError, and quickly.

    python -m tests.language.mutate --count 20000 [--seed 1] [--compile]

With --compile a program that still parses is also elaborated and optimised at the input types of its seed program.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tilec.errors import TileError
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.syntax import Program

LIMIT_SECONDS = 2.0

SEEDS = (
    "function (A[M, K], B[K, N]) -> (C) { C[i, j : M, N] = +(A[i, k] * B[k, j]); }",
    "function (I[N]) -> (O) { O[i : (N + 1) / 2] = >(I[2i + j]), j < 2 no_defract; }",
    "function (A[M, N], D) -> (T) { T[j, i : N, M] = =(A[i, j]) default D; }",
    "function (A, B) -> (R) { D = A - B; S = D * D; R[] = +(S[i, j]); }",
    "function (X[N], M[]) -> (O) { O[i : N] = +(X[i] == M[] ? X[i]); }",
    "function (A) -> (B) { C = A < 0 ? -A : ~as_int(A, 32) << 2; B = (C & 3) ^ (C | 1.5e-1); }",
    """/// Dot product.
function dot<T: float>(A[K]: T, B[K]: T) -> (C: T) {
    [[hint(fast, 2)]] C[]: f64 = +:f64(A[k] * B[k]);   // wide
}
function both(#a[N], X'[N]) -> (Q, R) { Q[$I : N] = #a[$I]; R[i] += X'[i] /* one */; }
test "dot" { (Q, R) = both([1, 2], [3, 4.5]); assert_close(dot(Q, R), 15); }""",
    """function step(H[N], C, X[N], W[N, N]) -> (H2, C2, Y) {
    A[i] = +(W[i, j] * H[j]);
    H2 = tanh(A + X);
    C2 = C + 1;
    Y = stop_gradient(H2) * X;
}
function small(C, H) -> (Go) { Go = C < 3; }
function next(C, H) -> (C2, H2) { C2 = C + 1; H2 = H * 0.5; }
function same(A) -> (B) { B = A; }
function half(A) -> (B) { B = A / 2; }
function rnn(Xs[T, N], H0[N], W[N, N]) -> (H, C, Ys, Z) {
    (H, C, Ys) = scan(step, (H0, 0), Xs, W);
    (D, E) = while(small, next, (0, H));
    [[checkpoint]] Z = cond(D > 1, same, half, E);
}""",
    """function cube(X[N]) -> (Y) { Y = X * X * X; } gradient { X_grad = 3 * X * X * Y_grad; }
function twice(X) -> (Y) { Y = reverse_fold(cube, X, (), (), 2); }
test "cube" { assert_close(twice([1.0]), [1.0]); check_grad(cube, [1.0, 2.0]); }""",
)
_ALPHABET = "AiN_'#$\"(){}[]<>=+-*/%!~^|&?:;,.019 \n\te×\x00\ud800é\u00a0\ufeff\U0001f600"
_TOKEN = re.compile(r"\w+|[^\w\s]|\s+")
_WORDS = [
    *"(){}[];,:?=<>+-*/%!~^|&",
    "==",
    "= =",
    "->",
    "function",
    "test",
    "gradient",
    "scan",
    "cond",
    "default",
    "no_defract",
    "1e",
    "2i",
    '"',
    "/*",
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one mutated program: `ok`, the code of its first error, or the name of an exception (a bug)."""

    text: str
    result: str
    seconds: float

    @property
    def is_bug(self) -> bool:
        return not (self.result == "ok" or self.result.startswith("TILE")) or self.seconds > LIMIT_SECONDS


def mutate(text: str, random: Random) -> str:
    """`text` after a few random edits of characters or tokens, or a bomb."""
    for _ in range(random.choice([1, 1, 1, 1, 2, 2, 3, 6])):
        text = random.choice(_EDITS)(text, random)
    return text


def _delete(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + text[at + random.randint(1, 4) :]


def _insert(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + "".join(random.choices(_ALPHABET, k=random.randint(1, 3))) + text[at:]


def _replace(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(_ALPHABET) + text[at + 1 :]


def _duplicate(text: str, random: Random) -> str:
    start = random.randrange(len(text) + 1)
    piece = text[start : start + random.randint(1, 40)]
    at = random.randrange(len(text) + 1)
    return text[:at] + piece * random.randint(1, 3) + text[at:]


def _edit_token(text: str, random: Random) -> str:
    tokens = _TOKEN.findall(text) or [""]
    at = random.randrange(len(tokens))
    tokens[at] = random.choice(["", tokens[at] * 2, random.choice(_WORDS), random.choice(tokens)])
    return "".join(tokens)


def _rename(text: str, random: Random) -> str:
    """One name or number in the place of another: often still a program, with another meaning."""
    words = [m.span() for m in re.finditer(r"\w+", text)]
    if not words:
        return text
    (start, end), (first, last) = random.choice(words), random.choice(words)
    return text[:start] + text[first:last] + text[end:]


def _swap(text: str, random: Random) -> str:
    tokens = _TOKEN.findall(text) or [""]
    a, b = random.randrange(len(tokens)), random.randrange(len(tokens))
    tokens[a], tokens[b] = tokens[b], tokens[a]
    return "".join(tokens)


def _bomb(text: str, random: Random) -> str:
    """A long or deep piece, in one case of twenty."""
    if random.random() > 0.05:
        return text
    at = random.randrange(len(text) + 1)
    piece = random.choice(
        ["(", ")", "-", "[", "A+", "1?", "{", "9", "f(", "A[", "a<", "/*", "//", '"', "1?2:", ";", "'"]
    )
    return text[:at] + piece * random.choice([150, 199, 201, 1000, 5000]) + text[at:]


_EDITS: Sequence[Callable[[str, Random], str]] = (
    _delete,
    _insert,
    _replace,
    _duplicate,
    _edit_token,
    _edit_token,
    *[_rename] * 6,
    _swap,
    _bomb,
)


def attempt(text: str, use: Callable[[Program], object] | None = None) -> Outcome:
    """Parses `text`, and gives a program that parses to `use`."""
    start = time.process_time()
    try:
        program = parse(text)
        if use is not None:
            use(program)
        result = "ok"
    except TileError as fault:
        str(fault)  # rendering must not fail either
        result = fault.code
    except Exception as fault:  # everything else is what this test looks for
        result = type(fault).__name__
    return Outcome(text, result, time.process_time() - start)


def campaign(count: int, seed: int = 1, use: Callable[[Program], object] | None = None) -> list[Outcome]:
    """Outcomes of `count` mutated programs; the same for the same seed."""
    random = Random(seed)
    return [attempt(mutate(random.choice(SEEDS), random), use) for _ in range(count)]


def elaborate(program: Program) -> None:
    """Elaborates and optimises a program, each input taken as f32[3, 3] or as many axes as it declares."""
    from tilec.dtypes import F32
    from tilec.frontends.tile.elaborate import to_graph
    from tilec.graph import TensorType
    from tilec.pipeline import optimise

    for function in program.functions:
        shapes = {i.name.text: (3,) * (2 if i.dims is None else len(i.dims)) for i in function.inputs}
        signature = {name: TensorType(F32, shape) for name, shape in shapes.items()}
        optimise(to_graph(program, function.name.text if function.name else None, signature))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.language.mutate")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="elaborate and optimise what parses")
    args = parser.parse_args()
    outcomes = campaign(args.count, args.seed, elaborate if args.compile else None)
    for result, number in Counter(o.result for o in outcomes).most_common():
        print(f"{number:7} {result}")
    print(f"slowest: {max(o.seconds for o in outcomes):.3f} s")
    bugs = [o for o in outcomes if o.is_bug]
    for bug in bugs[:10]:
        print(f"BUG {bug.result} {bug.seconds:.2f} s: {bug.text[:500]!r}")
    return 1 if bugs else 0


if __name__ == "__main__":
    raise SystemExit(main())
