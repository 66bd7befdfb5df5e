"""Directives that are malformed or unsafe are refused, with the reason."""

from __future__ import annotations

import pytest

from tilec.errors import TileError
from tilec.passes.schedule import apply
from tilec.schedule import parse_schedule
from tilec.text.loops_text import parse_kernel, print_kernel

MATMUL = """kernel f(in A: f32[4, 6], in B: f32[6, 8], out C: f32[4, 8]) {
  for i in 4 { for j in 8 { C[i, j] = 0.0 } }
  for m in 4 { for n in 8 { for k in 6 { C[m, n] sum= mul(A[m, k], B[k, n]) } } }
}
"""
HUGE = "kernel f(in A: f32[2000], out C: f32[2000]) { for i in 2000 { C[i] = A[i] } }\n"
CHAIN = "kernel f(inout A: f32[9]) { for i in 8 { A[i + 1] = A[i] } }\n"
STENCIL = "kernel f(in A: f32[9], out C: f32[8]) { for i in 8 { C[i] = add(A[i], A[i + 1]) } }\n"
OVERLAP = "kernel f(in A: f32[4], in B: f32[4], inout C: f32[7]) { for i in 4 { for j in 4 { C[i + j] sum= A[i] } } }\n"
TWO = "kernel f(inout A: f32[4], out B: f32[4]) { for i in 4 { B[i] = 0.0 for k in 4 { B[i] sum= A[k] } } }\n"
LOCAL = """kernel f(in A: f32[8], inout D: f32[8], out C: f32[8]) {
  alloc t: heap f32[8]
  for i in 8 { t[i] = D[i] }
  for j in 8 { D[j] = A[j] }
  for l in 8 { C[l] = t[l] }
}
"""
DILATED = """kernel f(in A: f32[4, 6], out C: f32[7]) {
  for i in 7 { C[i] = 0.0 }
  for m in 4 { for k in 6 { C[2*m] sum= A[m, k] } }
}
"""
SPREAD = "kernel f(inout C: f32[8]) { for i in 4 { C[i] = 1.0 C[i + 4] = 2.0 } }\n"
GATHER = "kernel f(in A: f32[8], in I: i32[8], out C: f32[8]) { for i in 8 { C[i] = A[@I[i]] } }\n"
ONE_NAME = "kernel f(inout A: f32[9]) { alloc v: heap f32[9] base A for i in 8 { v[i + 1] = A[i] } }\n"
SAME_LOOPS = """kernel f(in A: f32[8], out O: f32[8]) {
  alloc t: heap f32[8]
  for i in 8 { t[i] = A[i] }
  for i in 2 { for j in 4 { O[4*i + j] = t[4*i + j] } }
}
"""
TWICE_NAMED = """kernel f(in A: f32[8], out O: f32[8]) {
  alloc t: heap f32[8]
  for z in 1 { for i in 8 { t[i] = 0.0 } for i in 4 { t[i] sum= A[i] } for i in 8 { t[i] sum= A[i] } }
  for j in 8 { O[j] = t[j] }
}
"""
READ_AGAIN = """kernel f(in A: f32[4], inout S: f32[3], inout R: f32[4]) {
  alloc C: heap f32[4]
  for i in 4 { C[i] = A[i] }
  for m in 3 { for k in 4 { S[m] sum= C[k] } }
  for j in 4 { R[j] sum= C[j] }
}
"""
SEEN_OUTSIDE = """kernel f(in A: f32[2, 8], out C: f32[2, 8], out R: f32[16]) {
  alloc c: heap f32[16] base C
  for m in 16 { c[m] = 0.0 }
  for i in 2 { for j in 8 { c[8*i + j] sum= A[i, j] } }
  for q in 16 { R[q] = c[q] }
}
"""
MEETING = """kernel f(in A: i32[2, 2], inout C: i32[3]) {
  for k in 2 { for l in 2 parallel { C[k + l] sum= A[k, l] } }
}
"""
READ_BETWEEN = """kernel f(in A: f32[4], out S: f32[2], out R: f32[4]) {
  alloc C: heap f32[4]
  for i in 4 { C[i] = A[i] }
  for m in 2 { for k in 3 { C[m] sum= A[k] } }
  for q in 2 { S[q] = C[q] }
  for m in 2 { for k in 3 { C[m + 2] sum= A[k] } }
  for j in 4 { R[j] = C[j] }
}
"""
BY_TURNS = """kernel f(in A: f32[4, 6], inout R: f32[4]) {
  alloc C: heap f32[4]
  for i in 4 { C[i] = R[-i + 3] }
  for m in 4 { for k in 6 { C[m] sum= A[m, k] } }
  for j in 4 { R[j] = neg(C[j]) }
}
"""
UNTIL = """kernel f(in A: f32[4], inout F: bool[1], out C: f32[4], out R: f32[4]) {
  for i in 4 { C[i] = 1.0 }
  while F[0] { for m in 4 { C[m] sum= A[m] } F[0] = 0 }
}
"""
ROWS = "kernel f(in A: f32[6, 8], out O: f32[6, 8]) { for m in 6 { for n in 8 { O[m, n] = A[m, n] } } }\n"
WINDOW = """kernel f(in A: f32[6, 8], out O: f32[6, 8]) {
  for m in 6 { for n in 8 { O[m, n] = A[m, n] } }
  instr load(A[0 : 6, 0 : 8])
}
"""
PADDED = """kernel f(in A: f32[6, 9], inout C: f32[6]) {
  for m in 8 { for k in 9 { if m - 1 >= 0, -m + 6 >= 0 { C[m - 1] sum= A[m - 1, k] } } }
}
"""
LAST = "kernel f(in A: f32[4, 6], out C: f32[4]) { for m in 4 { for k in 6 { C[m] = A[m, k] } } }\n"
TWO_SUMS = """kernel f(in A: f32[4, 6], inout C: f32[4], inout D: f32[4]) {
  for m in 4 { for k in 6 { C[m] sum= A[m, k] D[m] sum= A[m, k] } }
}
"""
RUNNING = """kernel f(in A: f32[4, 6], inout C: f32[4], out D: f32[4, 6]) {
  for m in 4 { for k in 6 { C[m] sum= A[m, k] } for k in 6 { C[m] sum= C[m] } }
}
"""
MIRRORED = """kernel f(in A: f32[4], out C: f32[4]) {
  alloc t: heap f32[4]
  for i in 4 { t[i] = A[i] } for j in 4 { C[j] = t[-j + 3] }
}
"""
ACROSS_ROUNDS = """kernel f(in A: f32[2, 4], out O: f32[2, 4]) {
  alloc t: heap f32[4]
  for o in 2 { for i in 4 { if -o >= 0 { t[i] = 0.0 } t[i] sum= A[o, i] O[o, i] = t[i] } }
}
"""
READ_TWICE = """kernel f(inout B: f32[4], inout O: f32[4]) {
  alloc t: heap f32[4]
  for i in 4 { t[i] = mul(B[i], 2.0) }
  for j in 4 { O[j] sum= t[j] }
  for q in 4 { B[q] = 0.0 }
  for j in 4 { O[j] sum= t[j] }
}
"""
MADE_TWICE = """kernel f(in A: f32[4], inout O: f32[4]) {
  alloc t: heap f32[4]
  for z in 4 { t[z] = 0.0 }
  for i in 4 { t[i] sum= A[i] }
  for j in 4 { O[j] sum= t[j] }
  for i in 4 { t[i] sum= A[i] }
}
"""
GUARDED = """kernel f(in A: f32[8], out O: f32[8]) {
  alloc t: heap f32[8]
  for i in 8 { if i - 1 >= 0 { t[i] = A[i - 1] } }
  for j in 8 { O[j] = cond(cmp_gt($(j): i32, 0), t[j], 0.0) }
}
"""
SHARED = """kernel f(in A: f32[4], out O: f32[4]) {
  alloc t: heap f32[4]
  alloc u: heap f32[4]
  for i in 4 { u[i] = A[i] }
  for j in 4 { t[j] = u[j] O[j] = t[j] }
}
"""
BESIDE = """kernel f(in A: f32[4, 6], inout C: f32[4]) {
  for m in 4 { for k in 6 { for l in 2 { C[m] sum= A[m, k] } C[m] sum= 1.0 } }
}
"""
GROUPS = """kernel f(in A: f32[8, 4], inout C: f32[8, 4]) {
  for g in 8 { for k in 3 { for x in 4 { C[g, x] sum= A[g, x] } } }
}
"""
MIXED = """kernel f(in A: f32[8], in B: f32[4], inout C: f32[8, 4]) {
  for g in 8 { for y in 2 { for x in 2 { C[g, 2*y + x] sum= B[2*y] } } }
}
"""
TWO_NESTS = """kernel f(in A: f32[8, 4], out B: f32[8, 4], out C: f32[8, 4]) {
  for g in 8 { for x in 4 { B[g, x] = A[g, x] } for y in 4 { C[g, y] = B[g, -y + 3] } }
}
"""

MALFORMED = [
    (MATMUL, "rotate(m)", "no schedule primitive"),
    (MATMUL, "tile(m)", "missing"),
    (MATMUL, "tile(m, m.0, 4, m.1)", "must be an integer"),
    (MATMUL, "vectorize(4)", "must be a word"),
    (MATMUL, "tile(q, 4, q.0, q.1)", "there is no loop 'q'"),
    (MATMUL, "tile(m, 0, m.0, m.1)", "bad size"),
    (MATMUL, "tile(m, 2, m.0, m.1, slice)", "tail"),
    (MATMUL, "tile(m, 2, k, m.1)", "'k' is already taken"),
    (MATMUL, "tile(m, 2, x, x)", "'x' is already taken"),
    (MATMUL, "reorder(m, m)", "once each"),
    (MATMUL, "reorder(m, q)", "there is no loop 'q'"),
    (MATMUL, "stage(Q, m, q)", "there is no buffer 'Q'"),
    (MATMUL, "stage(C, m, A)", "'A' is already taken"),
    (MATMUL, "stage(C, m, c, param)", "bad space"),
    (MATMUL, "pack(B, m, p, 2, 4)", "bad axis"),
    (MATMUL, "compute_at(q, m)", "there is no buffer 'q'"),
    (MATMUL, "rfactor(q, p)", "there is no loop 'q'"),
    (MATMUL, "rfactor(k, A)", "'A' is already taken"),
    (MATMUL, "rfactor(k, p, param)", "bad space"),
    (MATMUL, "rfactor(k, p, global)", "spaces: thread, heap, local, register"),
    (MATMUL, "tile(m, 4, m.0, m.1, crop)", "'tail' must be cut or guard, not 'crop'"),
    (MATMUL, "stage(C, m, c, register, begin)", "'start' must be copy or init, not 'begin'"),
    (MATMUL, "interior(m, all)", "'edges' must be together or apart or inside, not 'all'"),
    (MATMUL, "peel(m, 0)", "nothing to split off"),
    (MATMUL, "peel(m, 1000)", "'m' has"),
    (MATMUL, "tile(m, 4, m.0, m.1, tail=guard)", "by position"),
    (MATMUL, "tile(k, 2, p.0, p.1) rfactor(p.1, p)", "that start with 'p.'"),
    (MATMUL, "bind(m, lane)", "'to' must be group or item, not 'lane'"),
    (MATMUL, "bind(q, group)", "there is no loop 'q'"),
    (GROUPS, "bind(g, group) spread(x, 0)", "0 items"),
]

UNSAFE = [
    (MATMUL, "reorder(i, m)", "not a perfect nest"),
    (MATMUL, "vectorize(k) ", "not independent"),
    (MATMUL, "vectorize(m)", "must be innermost"),
    (MATMUL, "parallel(k)", "not independent"),
    (MATMUL, "parallel(m) parallel(n)", "nested"),
    (MATMUL, "vectorize(j) peel(j, 3)", "loop 'j' is vector"),
    (MATMUL, "vectorize(j) interior(j)", "loop 'j' is vector"),
    (HUGE, "unroll(i)", "the limit is 1024"),
    (MATMUL, "stream(C)", "read, too"),
    (MATMUL, "vectorize(j) transpose(C, i, t)", "lies apart in memory"),
    (MATMUL, "unroll(m) vectorize(k)", "not independent"),
    (MATMUL, "vectorize(j) tile(j, 2, j.0, j.1)", "only serial loops"),
    (MATMUL, "tile(k, 2, k.0, k.1) reorder(k.1, k.0)", "order of the loops matters"),
    (MATMUL, "stage(C, n, c, register, init) stage(C, k, d, register, init)", "no plain initialising nest"),
    (MATMUL, "reorder(k, m, n) stage(C, m, c, thread, init)", "initialised more than once"),
    (MATMUL, "stage(C, m, c, register)", "unroll it first"),
    (MATMUL, "reorder(k, n, m) parallel(n) stage(C, k, c)", "stored in a parallel loop"),
    (MATMUL, "parallel(m) stage(B, n, b, heap)", "would share it"),
    (MATMUL, "stage(B, n, b, heap) parallel(m)", "would share the buffer 'b'"),
    (MATMUL, "pack(C, m, c, 1, 4)", "is stored"),
    (MATMUL, "tile(n, 4, n.0, n.1) pack(B, m, p, 1, 3)", "does not fall into tiles"),
    (MATMUL, "compute_at(A, m)", "not allocated"),
    (CHAIN, "vectorize(i)", "not independent"),
    (CHAIN, "parallel(i)", "not independent"),
    (OVERLAP, "reorder(j, i)", "order of the loops matters"),
    (OVERLAP, "vectorize(j) ", None),
    (TWO, "reorder(k, i)", "not a perfect nest"),
    (LOCAL, "compute_at(t, l)", "stored before the last use"),
    (LOCAL, "inline(t)", "stored before the last use"),
    (DILATED, "stage(C, m, c, thread, init)", "leave cells out"),
    (SPREAD, "parallel(i) stage(C, i, c)", "overlap in the parallel loop"),
    (GATHER, "stage(A, i, a)", "depends on data"),
    (ONE_NAME, "vectorize(i)", "several names: A, v"),
    (SAME_LOOPS, "compute_at(t, j)", "inside another of that name"),
    (TWICE_NAMED, "compute_at(t, j)", "loops of different names"),
    (READ_AGAIN, "stage(C, m, c, thread, copy, 0, finish)", "stage the same cells"),
    (MEETING, "reorder(l, k)", "parallel loop 'l' would not be independent"),
    (SEEN_OUTSIDE, "stage(c, i, s, thread, init, 0, finish)", "or is a view"),
    (READ_BETWEEN, "stage(C, m, c, thread, copy, 0, finish)", "not read by one nest"),
    (BY_TURNS, "stage(C, m, c, thread, init, 0, finish)", "stored by the nest at the end"),
    (UNTIL, "stage(C, m, c, thread, init)", "guarded"),
    (ROWS, "tile(m, 4, m.0, m.1) stage(A, m.0, a) merge(a.0, a.1, a.m)", "different shapes"),
    (ROWS, "tile(m, 4, m.0, m.1) merge(m.1, n, mn)", None),
    (WINDOW, "merge(m, n, mn)", "operand of the machine instruction"),
    (MATMUL, "rfactor(n, p)", "does not aggregate into one cell"),
    (MATMUL, "rfactor(j, p)", "does not aggregate into one cell"),
    (MATMUL, "reorder(k, m, n) rfactor(k, p)", "does not aggregate into one cell"),
    (MATMUL, "parallel(m) rfactor(k, p, heap)", "cannot be inside of this loop"),
    (MATMUL, "tile(k, 2, a, b) rfactor(b, p) rfactor(a, q)", "does not aggregate into one cell"),
    (PADDED, "rfactor(k, p)", "may have no such cell"),
    (LAST, "rfactor(k, p)", "depends on the order"),
    (TWO_SUMS, "rfactor(k, p)", "does not aggregate into one cell"),
    (MIRRORED, "fuse(i, j)", "depend on one another"),
    (MIRRORED, "shrink(t, i)", "also used outside"),
    (ACROSS_ROUNDS, "shrink(t, i)", "iterations of 'o' share cells"),
    (READ_TWICE, "compute_at(t, j)", "stored before the last use"),
    (READ_TWICE, "inline(t)", "stored before the last use"),
    (GUARDED, "inline(t)", "not elementwise"),
    (MADE_TWICE, "compute_at(t, j)", "stored after the loop"),
    (SHARED, "parallel(j) shrink(t, j, heap)", "would share it"),
    (SHARED, "parallel(j) compute_at(u, j, heap)", "would share it"),
    (SHARED, "parallel(j) shrink(t, j)", None),
    (SHARED, "parallel(j) compute_at(u, j)", None),
    (SHARED, "vectorize(j) shrink(t, j)", "is in vector lanes"),
    (SHARED, "vectorize(j) compute_at(u, j)", "is in vector lanes"),
    (RUNNING, "rfactor(k, p)", "used otherwise"),
    (BESIDE, "rfactor(l, p)", "stored outside of the loop"),
    (MATMUL, "map_to(k, vdpbf16ps)", "is 2 loops, the nest of 'k' is 1"),
    (MATMUL, "bind(k, group)", "not independent"),
    (MATMUL, "bind(n, item)", "inside of no group loop"),
    (MATMUL, "bind(n, group)", "inside of the serial loop 'm'"),
    (MATMUL, "bind(m, group) bind(n, group)", None),
    (GROUPS, "bind(g, group) bind(x, item)", None),
    (GROUPS, "bind(g, group) bind(k, item)", "not independent"),
    (GROUPS, "bind(g, group) bind(g, item)", "already group"),
    (GROUPS, "bind(g, group) bind(x, item) parallel(k)", "nested with the group loop 'g'"),
    (GROUPS, "bind(g, group) bind(x, item) reorder(k, g)", "inside of the serial loop 'k'"),
    (GROUPS, "stage(A, g, a, heap) bind(g, group)", "would share the buffer 'a'"),
    (GROUPS, "bind(g, group) stage(A, g, a, heap)", "would share it"),
    (GROUPS, "bind(g, group) bind(x, item) stage(A, x, a, local)", "by each item for itself"),
    (GROUPS, "bind(g, group) stage(A, x, a, local) bind(x, item)", "would share the buffer 'a'"),
    (GROUPS, "bind(g, group) unroll(x) stage(C, g, c, register) bind(c.1, item)", "which is in registers"),
    (GROUPS, "bind(g, group) bind(x, item) stage(C, g, c, register) stage(c, k, d)", "already in registers of items"),
    (MATMUL, "spread(i, 4)", "not in a group"),
    (MATMUL, "rfactor(k, p, local)", "is not in a group"),
    (MATMUL, "bind(m, group) rfactor(k, p, heap)", "cannot be inside of this loop"),
    (MATMUL, "bind(m, group) bind(n, item) rfactor(k, p, local)", "is not in a group"),
    (MATMUL, "bind(m, group) rfactor(k, p, local)", None),
    (GROUPS, "bind(g, group) spread(x, 4)", None),
    (GROUPS, "bind(g, group) spread(k, 4)", "not independent"),
    (GROUPS, "bind(g, group) bind(x, item) spread(k, 4)", "not independent"),
    (GROUPS, "bind(g, group) unroll(x) spread(x, 4)", "loop 'x' is unroll"),
    (MIXED, "bind(g, group) bind(y, item) bind(x, item)", None),
    (MIXED, "bind(g, group) bind(y, item) tile(x, 1, x.0, x.1) bind(x.1, item)", "not all that it holds"),
    (MIXED, "bind(g, group) bind(y, item) bind(x, item) stage(B, g, b, register)", "of its own, along one axis"),
    (TWO_NESTS, "bind(g, group) bind(x, item) stage(B, g, b, register)", "indexes the registers and is serial"),
    (TWO_NESTS, "bind(g, group) bind(x, item) bind(y, item) stage(B, g, b, register)", "not each item uses its own"),
    (TWO_NESTS, "bind(g, group) bind(x, item) bind(y, item) stage(B, g, b, local)", None),
]


@pytest.mark.parametrize("text, schedule, reason", MALFORMED)
def test_malformed(text: str, schedule: str, reason: str) -> None:
    with pytest.raises(TileError) as caught:
        apply(parse_kernel(text), parse_schedule(schedule))
    assert caught.value.code == "TILE0603"
    assert reason in str(caught.value)


@pytest.mark.parametrize("text, schedule, reason", UNSAFE)
def test_unsafe(text: str, schedule: str, reason: str | None) -> None:
    if reason is None:  # the counterpart that is safe
        assert apply(parse_kernel(text), parse_schedule(schedule)) != parse_kernel(text)
        return
    with pytest.raises(TileError) as caught:
        apply(parse_kernel(text), parse_schedule(schedule))
    assert caught.value.code == "TILE0604"
    assert reason in str(caught.value)


def test_integer_sums_may_be_reordered() -> None:
    text = MATMUL.replace("f32", "i32").replace("0.0", "0")
    schedule = parse_schedule("tile(k, 2, k.0, k.1) reorder(k.1, m, k.0)")
    assert apply(parse_kernel(text), schedule) != parse_kernel(text)


def test_stencil_stages_its_halo() -> None:
    kernel = apply(parse_kernel(STENCIL), parse_schedule("tile(i, 4, i.0, i.1) stage(A, i.0, a)"))
    assert "f32[5]" in print_kernel(kernel)


def test_symbolic_sizes_are_refused() -> None:
    kernel = parse_kernel("kernel f(in A: f32[N], out C: f32[N]) { for i in N { C[i] = A[i] } }")
    with pytest.raises(TileError) as caught:
        apply(kernel, parse_schedule("tile(i, 4, a, b)"))
    assert caught.value.code == "TILE0210"
