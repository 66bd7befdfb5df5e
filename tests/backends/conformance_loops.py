"""Conformance cases as Loops text, with what they compute in NumPy."""

from __future__ import annotations

import numpy as np

from tests.backends.conformance import Array, Arrays, Case, program_of
from tilec.text.loops_text import parse_kernel, parse_program

RNG = np.random.default_rng(5)
A = RNG.integers(-9, 10, (7, 10)).astype(np.float32)
B = RNG.integers(-9, 10, (10, 13)).astype(np.float32)
X = RNG.integers(-9, 10, 24).astype(np.float32)
N = RNG.integers(1, 60, 12).astype(np.int32)
WHERE = np.array([3, 0, 3, 3, 5, 0], np.int32)
SIX = np.array([0.1, 1e8, 0.7, -1e8, 2.5, 0.3], np.float32)


def collatz(n: int) -> int:
    count = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        count += 1
    return count


def in_order(values: Array, where: Array, size: int) -> Array:
    result = np.zeros(size, values.dtype)
    for value, cell in zip(values, where, strict=True):
        result[cell] += value
    return result


def stepped(count: int, down: bool) -> tuple[Array, Array]:
    """What the loop over moving views gives."""
    found, state = np.zeros(6, np.float32), np.zeros(2, np.float32)
    steps = range(max(0, min(count, 3)))
    for t in reversed(steps) if down else steps:
        state = SIX[2 * t : 2 * t + 2] - state
        found[4 - 2 * t : 6 - 2 * t] = state
    return found, state


def kernel(name: str, text: str, inputs: Arrays, **expected: Array) -> Case:
    return Case(name, program_of(parse_kernel(text)), inputs, expected)


def program(name: str, text: str, inputs: Arrays, **expected: Array) -> Case:
    return Case(name, parse_program(text), inputs, expected)


def kernels() -> list[Case]:
    """Every kind of loop, statement, memory space and guard."""
    return [
        kernel(
            "transpose in two parallel loops",
            """kernel k(in A: f32[7, 10], out O: f32[10, 7]) {
              for j in 10 parallel { for i in 7 parallel { O[j, i] = A[i, j] } }
            }""",
            {"A": A},
            O=A.T.copy(),
        ),
        kernel(
            "vector lanes with a masked tail",
            """kernel k(in A: f32[7, 10], out O: f32[7, 10]) {
              for i in 7 { for j in 3 { for l in 4 vector {
                if -4*j - l + 9 >= 0 { O[i, 4*j + l] = neg(A[i, 4*j + l]) }
              } } }
            }""",
            {"A": A},
            O=-A,
        ),
        kernel(
            "a register tile of a matrix product",
            """kernel k(in A: f32[7, 10], in B: f32[10, 13], out C: f32[7, 13]) {
              for i in 7 parallel { for j in 4 {
                alloc r: register f32[2, 4]
                for v in 2 unroll { for l in 4 vector { r[v, l] = 0.0 } }
                for k in 10 { for v in 1 unroll { for l in 4 vector {
                  if -4*j - l + 12 >= 0 { r[v, l] sum= mul(A[i, k], B[k, 4*j + l]) }
                } } }
                for l in 4 vector { if -4*j - l + 12 >= 0 { C[i, 4*j + l] = r[0, l] } }
              } }
            }""",
            {"A": A, "B": B},
            C=A @ B,
        ),
        kernel(
            "memory of every size inside of a parallel loop",
            """kernel k(in A: f32[7, 10], out O: f32[7, 10]) {
              for i in 7 parallel {
                alloc small: thread f32[10]
                alloc large: heap f32[200, 10]
                for j in 10 { small[j] = A[i, j] }
                for j in 10 { large[20*j + 3, j] = add(small[-j + 9], 1.0) }
                for j in 10 { O[i, j] = large[20*j + 3, j] }
              }
            }""",
            {"A": A},
            O=A[:, ::-1] + 1,
        ),
        kernel(
            "memory shared by the nests of a kernel",
            """kernel k(in A: f32[7, 10], out O: f32[10]) {
              alloc sums: heap f32[10]
              for j in 10 parallel { sums[j] = 0.0 for i in 7 { sums[j] sum= A[i, j] } }
              for j in 10 parallel { O[j] = sub(sums[j], sums[-j + 9]) }
            }""",
            {"A": A},
            O=A.sum(0) - A.sum(0)[::-1],
        ),
        kernel(
            "work-groups that share local memory",
            """kernel k(in X: f32[24], out O: f32[24]) {
              for g in 3 group {
                alloc tile: local f32[8]
                for l in 8 item { tile[l] = X[8*g + l] }
                barrier local
                for l in 8 item { O[8*g + l] = tile[-l + 7] }
              }
            }""",
            {"X": X},
            O=X.reshape(3, 8)[:, ::-1].reshape(-1).copy(),
        ),
        kernel(
            "work-groups of two axes, a partial item loop, and a store by the group",
            """kernel k(in X: f32[24], out O: f32[2, 3, 4], out S: f32[2]) {
              for g in 2 group {
                alloc total: local f32[1]
                total[0] = 0.0
                for i in 3 item { for j in 4 item { O[g, i, j] = mul(X[12*g + 4*i + j], 2.0) } }
                barrier param
                for i in 2 item { for j in 1 { O[g, i, j] = 5.0 } }
                barrier local
                for i in 12 { total[0] sum= X[12*g + i] }
                S[g] = total[0]
              }
            }""",
            {"X": X},
            O=np.where((np.arange(3)[:, None] < 2) & (np.arange(4) < 1), 5, X.reshape(2, 3, 4) * 2).astype(np.float32),
            S=X.reshape(2, 12).sum(1),
        ),
        kernel(
            "unrolled and pipelined loops, scalars and index values",
            """kernel k(in X: f32[24], out O: f32[24], out I: i64[24]) {
              for i in 6 pipelined depth 2 { for u in 4 unroll {
                let x: f32 = X[4*i + u]
                let y: f32 = mul(x, x)
                O[4*i + u] = sub(y, x)
                I[4*i + u] = $(-3*i + 2*u - 7)
              } }
            }""",
            {"X": X},
            O=X * X - X,
            I=(-3 * np.arange(6)[:, None] + 2 * np.arange(4) - 7).reshape(-1),
        ),
        kernel(
            "a data-dependent loop",
            """kernel k(in N: i32[12], out O: i32[12]) {
              for i in 12 parallel {
                alloc n: register i32[1]
                n[0] = N[i]
                O[i] = 0
                while cmp_ne.bool(n[0], 1:i32) {
                  let odd: i32 = bit_and(n[0], 1)
                  n[0] = cond(cmp_eq.bool(odd, 0:i32), bit_right(n[0], 1), add(mul(n[0], 3), 1))
                  O[i] = add(O[i], 1)
                }
              }
            }""",
            {"N": N},
            O=np.array([collatz(int(n)) for n in N], np.int32),
        ),
        kernel(
            "gather and scatter by data, in order",
            """kernel k(in W: i32[6], in V: f32[6], out G: f32[6], out S: f32[6]) {
              for i in 6 { G[i] = V[@W[i]] }
              for i in 6 { S[i] = 0.0 }
              for i in 6 { S[@W[i]] sum= V[i] }
            }""",
            {"W": WHERE, "V": SIX},
            G=SIX[WHERE],
            S=in_order(SIX, WHERE, 6),
        ),
        kernel(
            "a triangular guard of several conditions",
            """kernel k(in A: f32[7, 10], out O: f32[7, 10]) {
              for i in 7 { for j in 10 { O[i, j] = 0.0 if i - j >= 0, i + j - 3 >= 0 { O[i, j] = A[i, j] } } }
            }""",
            {"A": A},
            O=np.where(np.tril(np.ones((7, 10), bool)) & (np.add.outer(range(7), range(10)) >= 3), A, 0),
        ),
        kernel(
            "rank 0, and loops of no iteration",
            """kernel k(in A: f32[7, 10], out T: f32, out E: f32[0, 3]) {
              T[] = -0.0
              for i in 0 { for j in 3 { E[i, j] = 1.0 } }
              for i in 0 parallel { T[] = 3.0 }
            }""",
            {"A": A},
            T=np.array(-0.0, np.float32),
            E=np.empty((0, 3), np.float32),
        ),
        kernel(
            "strided buffers, and a view of memory of its own",
            """kernel k(in A: f32[7, 10], out O: f32[5, 7]) {
              for p in 1 parallel {
                alloc all: thread f32[7, 10]
                alloc odd: thread f32[5, 7] strides [2, 10] base all offset 1
                for i in 7 { for j in 10 { all[i, j] = A[i, j] } }
                for j in 5 { for i in 7 { O[j, i] = odd[j, i] } }
              }
            }""",
            {"A": A},
            O=A[:, 1::2].T.copy(),
        ),
        kernel(
            "an aggregation of one's own",
            """kernel k(in A: f32[7, 10], out O: f32[7]) {
              for i in 7 { O[i] = 0.0 for j in 10 {
                O[i] monoid widest(0.0:f32) (cond(cmp_gt.bool(abs.f32(b0), abs.f32(a0)), b0, a0))= A[i, j]
              } }
            }""",
            {"A": A},
            O=A[np.arange(7), np.abs(A).argmax(1)],
        ),
    ]


def programs() -> list[Case]:
    """Every kind of step."""
    double = """kernel double(in X: f32[6], out Y: f32[6]) { for i in 6 { Y[i] = add(X[i], X[i]) } }"""
    return [
        program(
            "copies into and out of views",
            f"""program p(X) -> (Y, Z) {{
              buffer X: param f32[6] buffer Y: param f32[6] buffer Z: param f32[2, 3]
              buffer T: heap f32[12] buffer V: heap f32[2, 3] strides [1, 2] base T offset 4
              {double}
              run {{ launch double(X, Y) copy Y -> T2 copy T2 -> Y copy M -> V copy V -> Z }}
            }}""".replace("buffer V:", "buffer T2: heap f32[6] buffer M: heap f32[2, 3] base T2 buffer V:"),
            {"X": SIX},
            Y=SIX * 2,
            Z=(SIX * 2).reshape(2, 3),
        ),
        program(
            "a loop of steps and a choice",
            """program p(X, C) -> (Y, N) {
              buffer X: param f32[6] buffer C: param bool buffer Y: param f32[6] buffer N: param i32
              buffer go: heap bool
              kernel start(in X: f32[6], out Y: f32[6], out N: i32) { for i in 6 { Y[i] = X[i] } N[] = 0 }
              kernel less(in N: i32, out go: bool) { go[] = cmp_lt(N[], 5:i32) }
              kernel step(inout Y: f32[6], inout N: i32) {
                for i in 6 { Y[i] = mul(Y[i], 2.0) }
                N[] = add(N[], 1)
              }
              kernel negate(inout Y: f32[6]) { for i in 6 { Y[i] = neg(Y[i]) } }
              run {
                launch start(X, Y, N)
                repeat go test { launch less(N, go) } do { launch step(Y, N) }
                branch C then { launch negate(Y) } else { launch step(Y, N) }
              }
            }""",
            {"X": SIX, "C": np.array(True)},
            Y=SIX * -32,
            N=np.array(5, np.int32),
        ),
        *(
            program(
                f"a loop of {count} steps{how} over moving views",
                f"""program p(X, N) -> (Y, S) {{
                  buffer X: param f32[6] buffer N: param i64 buffer Y: param f32[6] buffer S: param f32[2]
                  buffer x: param f32[2] base X offset 2*t
                  buffer y: param f32[2] base Y offset -2*t + 4
                  kernel start(out Y: f32[6], out S: f32[2]) {{
                    for i in 6 {{ Y[i] = 0.0 }} for i in 2 {{ S[i] = 0.0 }}
                  }}
                  kernel step(in X: f32[2], inout S: f32[2], out Y: f32[2]) {{
                    for i in 2 {{ S[i] = sub(X[i], S[i]) Y[i] = S[i] }}
                  }}
                  run {{ launch start(Y, S) iterate t in 3 count N{how} do {{ launch step(x, S, y) }} }}
                }}""",
                {"X": SIX, "N": np.array(count, np.int64)},
                **dict(zip("YS", stepped(count, how != ""))),
            )
            for count in (-1, 0, 2, 3, 2**40)
            for how in ("", " reverse")
        ),
        program(
            "constants, prepared once",
            f"""program p(X, K) -> (Y) {{
              buffer X: param f32[6] buffer K: param f32[6] buffer Y: param f32[6] buffer P: heap f32[6]
              constant K "digest"
              {double}
              kernel add(in X: f32[6], in P: f32[6], out Y: f32[6]) {{ for i in 6 {{ Y[i] = add(X[i], P[i]) }} }}
              init {{ launch double(K, P) }}
              run {{ launch add(X, P, Y) }}
            }}""",
            {"X": SIX, "K": SIX[::-1].copy()},
            Y=SIX + SIX[::-1] * 2,
        ),
    ]
