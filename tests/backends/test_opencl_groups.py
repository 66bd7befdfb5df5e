"""Work-groups on OpenCL devices: schedules by hand against the evaluator, and the text of each construct."""

from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest

from tests.backends.conformance import Case, check, program_of
from tests.backends.implementations import opencl_target
from tests.backends.test_opencl_vectors import text_of
from tests.generators.kernels import GENERATORS, arrays, run
from tests.generators.schedules import in_groups, random_schedule
from tests.refusals import code_of
from tilec.backends.opencl import fitting
from tilec.backends.opencl.backend import OpenCLBackend
from tilec.backends.opencl.groups import fits_int, grid_of, group_size
from tilec.backends.opencl.narrow import narrowed
from tilec.evaluate.loops import evaluate_kernel
from tilec.loops import Alloc, For, Kernel, walk
from tilec.passes.schedule import apply
from tilec.schedule import parse_schedule, print_schedule
from tilec.text.loops_text import parse_kernel, print_kernel
from tilec.verify.loops import verify_kernel

RNG = np.random.default_rng(4)
PRODUCT = """kernel f(in A: f32[{m}, {k}], in B: f32[{k}, {n}], out C: f32[{m}, {n}]) {{
  alloc P: heap f32[{m}, {n}]
  for i in {m} {{ for j in {n} {{ P[i, j] = 0.0 }} }}
  for m in {m} {{ for n in {n} {{ for k in {k} {{ P[m, n] sum= mul(A[m, k], B[k, n]) }} }} }}
  for p in {m} {{ for q in {n} {{ C[p, q] = max(P[p, q], 0.0) }} }}
}}"""
TILES = """
  tile(m, 16, m.g, m.t, guard) reorder(n, m.t) tile(n, 32, n.g, n.t, guard) reorder(m.t, n.t, k)
  tile(m.t, 2, m.y, m.r) reorder(n.t, m.r) tile(n.t, 8, n.x, n.v) reorder(k, m.y, n.x, m.r, n.v)
  tile(k, 8, k.0, k.1) reorder(m.y, n.x, k.1, m.r, n.v) tile(n.v, 4, n.u, n.l) vectorize(n.l) unroll(n.u) unroll(m.r)
  bind(m.g, group) bind(n.g, group) bind(m.y, item) bind(n.x, item)
  stage(P, n.g, c, register, init, 0, finish) stage(A, k.0, a, local, copy, 1) stage(B, k.0, b, local, copy, 4)
  spread(a.0, 32, 4) spread(b.0, 32, 4)
"""
CHAIN = """kernel f(in A: f32[{m}, {n}], in B: f32[{n}], out C: f32[{m}, {n}]) {{
  for i in {m} {{ for j in {n} {{ C[i, j] = max(add(mul(A[i, j], 2.0), B[j]), 0.0) }} }}
}}"""


def product(m: int, k: int, n: int) -> Kernel:
    return apply(parse_kernel(PRODUCT.format(m=m, k=k, n=n)), parse_schedule(TILES))


def random_case(seed: int) -> Case | None:
    """A random kernel whose loops are bound to items, and more; its results are those of the kernel as it was."""
    r = Random(seed)
    start: Kernel = r.choice(GENERATORS)(r)
    kernel, first = in_groups(start, r)
    kernel, more = random_schedule(kernel, r, 8)
    if not any(isinstance(s, For) and s.kind == "item" for s in walk(kernel.body)):
        return None
    verify_kernel(kernel, scheduled=True)
    given, expected = arrays(start, exact=True), run(start, exact=True)
    program = program_of(kernel)
    if any(p.mode == "inout" for p in kernel.params):
        return None
    name = f"{seed}: {print_schedule((*first, *more))}"
    return Case(name, program, {n: given[n] for n in program.params}, {n: expected[n] for n in program.results})


@pytest.mark.parametrize("backend", ["llvm", "opencl"])
def test_random_kernels_in_groups(backend: str) -> None:
    found = [c for seed in range(60) if (c := random_case(seed)) is not None]
    assert len(found) > 20
    check(backend, found)


def case(name: str, kernel: Kernel) -> Case:
    """What the evaluator finds is right."""
    verify_kernel(kernel, scheduled=True)
    buffers = {p.buffer.name: p.buffer for p in kernel.params}
    shapes = {n: tuple(map(int, map(str, b.shape))) for n, b in buffers.items()}
    given = {n: RNG.integers(-4, 5, shapes[n]).astype(b.dtype.numpy) for n, b in buffers.items()}
    inputs = {p.buffer.name: given[p.buffer.name] for p in kernel.params if p.mode == "in"}
    evaluate_kernel(kernel, given)
    return Case(name, program_of(kernel), inputs, {n: v for n, v in given.items() if n not in inputs})


@pytest.mark.parametrize("backend", ["llvm", "opencl"])
def test_products_in_tiles_of_groups_and_items(backend: str) -> None:
    """Whole tiles, and edges of every kind; small whole numbers are exact in any order."""
    sizes = [(32, 16, 64), (33, 17, 70), (16, 8, 31), (5, 3, 2)]
    check(backend, [case(f"{m}x{k}x{n}", product(m, k, n)) for m, k, n in sizes])


@pytest.mark.parametrize("backend", ["llvm", "opencl"])
def test_elementwise_items(backend: str) -> None:
    schedule = parse_schedule("""tile(j, 64, j.g, j.t, guard) reorder(j.g, i, j.t) tile(j.t, 4, j.x, j.v)
      vectorize(j.v) bind(j.g, group) bind(i, group) bind(j.x, item)""")
    kernels = [apply(parse_kernel(CHAIN.format(m=m, n=n)), schedule) for m, n in ((3, 256), (2, 130), (5, 7))]
    check(backend, [case(str(i), kernel) for i, kernel in enumerate(kernels)])


SHARED = """kernel f(in X: f32[64], out O: f32[64], out S: f32[2]) {
  for g in 2 group {
    alloc t: local f32[32]
    alloc u: local f32[32]
    for x in 32 item { t[x] = X[32*g + x] }
    for x in 32 item { u[x] = mul(X[32*g + x], 2.0) }
    for k in 3 {
      for x in 32 item { u[x] = add(u[x], t[-x + 31]) }
      for x in 16 item { t[x] = u[-x + 31] }
    }
    for x in 32 item { O[32*g + x] = t[x] }
    S[g] = 0.0
    for i in 32 { S[g] sum= t[i] }
    let w: f32 = t[3]
    for x in 1 item { O[32*g] = add(w, t[0]) }
  }
}"""


def test_barriers_are_where_a_nest_touches_what_another_left() -> None:
    kernel = parse_kernel(SHARED)
    check("opencl", [case("shared", kernel)])
    lines = text_of(SHARED).splitlines()
    local, both = "barrier(CLK_LOCAL_MEM_FENCE);", "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);"
    # before each nest of the loop, after it, and before the store to O that another item has stored to
    assert [lines.count(local), lines.count(both)] == [3, 1]
    assert lines.index(both) > next(i for i, line in enumerate(lines) if line.startswith("const float w_"))


def test_a_loop_that_the_first_item_runs_has_no_barrier_inside() -> None:
    text = text_of(SHARED)
    inside = text[text.index("for (int i_") :]
    assert "barrier" not in inside[: inside.index("}")]


def test_registers_of_items_are_variables() -> None:
    text = text_of(print_kernel(product(16, 8, 32)))
    assert "reqd_work_group_size(32, 1, 1)" in text
    assert re.search(r"float4 c_\d+_0, c_\d+_1, c_\d+_2, c_\d+_3;", text)
    assert "long" not in text[text.index("p0 +=") :]


@pytest.mark.parametrize("count, kind", [(1 << 24, "int"), (1 << 27, "long")])
def test_indices_are_ints_where_all_sums_are(count: int, kind: str) -> None:
    text = text_of(f"""kernel f(in A: f32[{count}, 32], out C: f32[{count}, 32]) {{
      for g in {count} group {{ for x in 32 item {{ C[g, x] = A[g, x] }} }} }}""")
    assert f"const {kind} x_2 =" in text


def test_ranges_of_many_dimensions() -> None:
    def grid(*extents: int) -> tuple[int, ...]:
        return grid_of([For(f"i{k}", n, "group", ()) for k, n in enumerate(extents)])

    assert grid(5) == (5,)
    assert grid(3, 5) == (5, 3)
    assert grid(2, 3, 4, 5) == (5, 4, 6)
    assert grid(70000, 5) == (350000,)
    kernel = """kernel f(in A: f32[2, 3, 4, 5, 2], out C: f32[2, 3, 4, 5, 2]) {
      for a in 2 group { for b in 3 group { for c in 4 group { for d in 5 group { for x in 2 item {
        C[a, b, c, d, x] = A[a, b, c, d, -x + 1] } } } } } }"""
    check("opencl", [case("four", parse_kernel(kernel))])


def test_offsets_of_views_are_among_the_sums() -> None:
    kernel = parse_kernel("kernel f(out C: f32[8]) { for g in 8 group { for x in 1 item { C[g] = 0.0 } } }")
    far = parse_kernel(f"""kernel f(out C: f32[{1 << 32}]) {{ alloc v: heap f32[8] base C offset {(1 << 31) - 7}
      for g in 8 group {{ for x in 1 item {{ v[g] = 0.0 }} }} }}""")
    for k, fits in ((kernel, True), (far, False)):
        loop = k.body[-1]
        assert isinstance(loop, For)
        allocated = [s.buffer for s in k.body if isinstance(s, Alloc)]
        buffers = {b.name: b for b in (*(p.buffer for p in k.params), *allocated)}
        assert fits_int([loop], loop.body, buffers) == fits


def test_registers_that_items_share_are_refused() -> None:
    text = """kernel f(out C: f32[8]) { for g in 2 group { alloc r: register f32[4]
      for x in 4 item { r[x] = 1.0 } for x in 4 item { C[4*g + x] = r[-x + 3] } } }"""
    assert code_of(lambda: text_of(text)) == "TILE0602"


def test_groups_with_scratch_memory() -> None:
    text = """kernel f(in X: f32[100, 4], out Y: f32[100, 4]) { for g in 100 group { for x in 4 item {
      alloc T: thread f32[2048]
      for j in 2048 { T[j] = X[g, x] }
      Y[g, x] = add(T[0], T[2047]) } } }"""
    check("opencl", [case("scratch", parse_kernel(text))])


SUMS = """kernel f(in A: f32[3, 7, 6], out C: f32[3, 7, 6]) {
  for g in 3 group {
    alloc t: local f32[7, 6]
    alloc r: register f32[7, 6, 2]
    for y in 7 item { for x in 6 item { r[y, x, 0] = A[g, y, x] r[y, x, 1] = $(y): f32 } }
    t[0, 0] = 0.0
    for k in 3 { for y in 7 item { for x in 6 item { r[y, x, 0] sum= r[y, x, 1] } } }
    for y in 7 item { for x in 6 item { t[-y + 6, x] = r[y, x, 0] } }
    for y in 7 item { for x in 6 item { if y - 1 >= 0 { C[g, y, x] = t[y, x] } } }
    for x in 6 item { C[g, 0, x] = t[0, x] }
  }
}"""


@pytest.mark.parametrize("limit", [1, 2, 5, 8, 20, 32, 41])
def test_narrow_groups_compute_the_same(limit: int) -> None:
    """Loops of even and odd numbers of items, guards, registers, and names that are bound again."""
    starts = [product(32, 16, 64), product(5, 3, 2), parse_kernel(SUMS)]
    starts += [k for seed in range(12) if (c := random_case(seed)) is not None for k in c.program.kernels]
    for start in starts:
        kernel = narrowed(start, limit)
        assert (kernel is start) == all(group_size((s,)) <= limit for s in start.body)
        assert all(group_size((s,)) <= limit for s in kernel.body)
        verify_kernel(kernel, scheduled=True)
        expected, found = run(start, exact=True), run(kernel, exact=True)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=print_kernel(kernel))


def test_a_kernel_that_allows_smaller_groups_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def few(session: object, compiled: object, name: str) -> int:
        asked.append(name)
        return 5

    monkeypatch.setattr(fitting, "most_items", few)
    check("opencl", [case("product", product(33, 17, 70)), case("sums", parse_kernel(SUMS))])
    assert len(asked) >= 4  # what was made smaller is asked again


def test_items_that_wait_inside_of_a_nest_need_all_of_them() -> None:
    text = """kernel f(out C: f32[8]) { for g in 1 group { for x in 8 item { C[x] = 1.0 barrier local } } }"""
    assert code_of(lambda: narrowed(parse_kernel(text), 4)) == "TILE0602"
    assert code_of(lambda: narrowed(parse_kernel(SUMS), 0)) == "TILE0602"


def test_more_items_than_the_device_has() -> None:
    """Before it is built: drivers refuse such a text."""
    text = """kernel f(in A: f32[2, 70001], out C: f32[2, 70001]) {
      for g in 2 group { for x in 70001 item { C[g, x] = neg(A[g, x]) } } }"""
    check("opencl", [case("many", parse_kernel(text))])


def test_memory_beside_registers_is_told() -> None:
    target = opencl_target()
    built = OpenCLBackend().build(program_of(product(32, 16, 64)), target, {})
    assert list(built.private_bytes()) == ["g0_k0_0"]
    assert all(size >= 0 for size in built.private_bytes().values())
