"""Pass `share` and the keys of kernels."""

from __future__ import annotations

import numpy as np

from tests.generators.control import control_graph
from tests.generators.graphs import random_graph
from tests.generators.kernels import generate
from tests.lower.canonical import canonical
from tilec import pipeline
from tilec.evaluate.loops import evaluate_program
from tilec.kernel_key import kernel_key
from tilec.loops import Kernel, Program
from tilec.passes import bounds, fuse, infer, lower, place, share
from tilec.text.graph_text import parse_graph
from tilec.text.loops_text import parse_kernel, print_kernel
from tilec.verify.loops import verify_kernel, verify_program


def lowered(text: str) -> Program:
    graph = bounds.run(infer.run(parse_graph(text)))
    return lower.run(graph, fuse.trivial(graph))


def test_layers_share_their_kernels() -> None:
    product = "sum:f32 [m, n, k] {{ [m, n: 4, 4] <- mul(T{0}[m, k], W[k, n]) }}"
    lines = "".join(f"S{k} = {product.format(k)} T{k + 1} = exp(S{k})\n" for k in range(9))
    program = lowered(f"graph f(T0: f32[4, 4], W: f32[4, 4]) -> (T9) {{ {lines} }}")
    shared = share.run(program)
    assert (len(program.kernels), len(shared.kernels)) == (18, 2)
    verify_program(shared)
    assert share.run(shared) is shared
    inputs = {n: np.eye(4, dtype=np.float32) / 8 for n in ("T0", "W")}
    want = evaluate_program(program, inputs)["T9"]
    np.testing.assert_array_equal(evaluate_program(place.run(shared), inputs)["T9"], want)


def test_kernels_with_memory_of_their_own_get_it_per_launch() -> None:
    lines = "".join(
        f"T{k + 1}: f16[3] = sum:f32 [m, n] {{ [m] <- mul(cast.f32(T{k}[n]), cast.f32(W[m, n])) }}\n" for k in range(5)
    )
    program = place.run(share.run(lowered(f"graph f(T0: f16[3], W: f16[3, 3]) -> (T5) {{ {lines} }}")))
    assert len(program.kernels) == 1
    verify_program(program)
    w = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float16)
    got = evaluate_program(program, {"T0": np.array([1, 2, 3], np.float16), "W": w})["T5"]
    np.testing.assert_array_equal(got, [3, 1, 2])


def same(a: str, b: str) -> bool:
    text = "kernel {}(in {}: f32[4], out {}: f32[4]) {{ for {} in 4 {{ {} }} }}"
    found = [parse_kernel(text.format(*t.split("|"))) for t in (a, b)]
    programs = Program("p", (), (), (), tuple(found), ())
    for kernel in found:
        verify_kernel(canonical(kernel))
        assert canonical(canonical(kernel)) == canonical(kernel)
    return len(share.run(programs).kernels) == 1


def test_what_is_equal() -> None:
    assert same("f|A|B|i|let x: f32 = A[i] B[i] = add(x, 0.0)", "g|X|Y|j|let y: f32 = X[j] Y[j] = add(y, 0.0)")
    assert same("f|A|B|i|B[i] = mul(A[i], nan)", "g|X|Y|j|Y[j] = mul(X[j], nan)")
    assert not same("f|A|B|i|B[i] = add(A[i], 0.0)", "g|X|Y|j|Y[j] = add(X[j], -0.0)")
    assert not same("f|A|B|i|B[i] = A[i]", "g|X|Y|j|Y[j] = X[-j + 3]")
    own = "{1}[{2}] monoid s({3}0.0:f32) (add(a0, b0)) = {0}[{2}]"
    assert not same("f|A|B|i|" + own.format("A", "B", "i", ""), "g|X|Y|j|" + own.format("X", "Y", "j", "-"))
    assert not same("f|A|B|i|B[i] = A[i]", "g|X|Y|j|Y[j] = 1.0")


def test_canonical_text_is_a_key() -> None:
    node = "sum:f32 [x, k] { [x: 9] <- mul(A[x + k - 1], W[k]) }"
    program = lowered(f"graph f(A: f32[9], W: f32[3]) -> (O) {{ O = {node} }}")
    (kernel,) = program.kernels
    text = print_kernel(canonical(kernel))
    assert "l2 in 3" in text
    renamed = text.replace("l1", "zz").replace("p0", "Q")
    assert print_kernel(canonical(parse_kernel(renamed))) == text
    assert isinstance(canonical(kernel), Kernel)


def test_keys_are_equal_where_canonical_texts_are() -> None:
    kernels = [generate(seed) for seed in range(60)]
    for seed in range(40):
        for graph in (random_graph(seed), control_graph(seed)):
            optimised = pipeline.optimise(graph)
            kernels += lower.run(optimised, fuse.run(optimised)).kernels
    by_key: dict[object, set[str]] = {}
    by_text: dict[str, set[object]] = {}
    for kernel in kernels:
        text, key = print_kernel(canonical(kernel)), kernel_key(kernel)
        by_key.setdefault(key, set()).add(text)
        by_text.setdefault(text, set()).add(key)
        assert kernel_key(canonical(kernel)) == key
    assert all(len(texts) == 1 for texts in by_key.values())
    assert all(len(keys) == 1 for keys in by_text.values())
    assert 100 < len(by_text) < len(kernels)
