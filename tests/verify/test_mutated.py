"""Texts with a few tokens changed: each is refused with a diagnostic, or verifies, and then every pass runs on it."""

from __future__ import annotations

import re
from random import Random

from tests.generators.graphs import random_graph
from tests.generators.ir import Generator
from tests.generators.kernels import generate
from tests.passes.harness import PASSES, golden_files, pass_named, split
from tilec.errors import TileError
from tilec.text.graph_text import parse_graph, print_graph
from tilec.text.loops_text import parse_kernel, print_kernel
from tilec.verify.graph import verify
from tilec.verify.loops import verify_kernel, verify_program

TOKENS = ["0", "-1", "N", "7", "f32", "i32", "bool", "u8", "weak", "A", "X", "nan", "9" * 22, "(", ")", "[", "]", "1.5"]


def mutated(text: str, random: Random) -> str:
    tokens = re.findall(r"\w+|\s+|[^\w\s]", text)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(tokens))
        match random.randrange(4):
            case 0:
                tokens[place] = random.choice(tokens)
            case 1:
                tokens[place] = random.choice(TOKENS)
            case 2:
                tokens[place] = " "
            case _:
                tokens.insert(place, random.choice(tokens))
    return "".join(tokens)


def test_graphs() -> None:
    random = Random(11)
    texts = [split(p.read_text(encoding="utf-8"))[0] for p in golden_files()]
    texts += [print_graph(random_graph(seed)) for seed in range(10)]
    verified = 0
    for _ in range(2500):
        try:
            graph = parse_graph(mutated(random.choice(texts), random))
            verify(graph)
        except TileError as e:
            assert e.code in ("TILE0601", "TILE0602")
            continue
        verified += 1
        for name in PASSES:
            verify(pass_named(name)(graph))
    assert verified > 100


def test_kernels() -> None:
    random = Random(12)
    texts = [print_kernel(generate(seed)) for seed in range(10)]
    verified = 0
    for _ in range(1500):
        try:
            verify_kernel(parse_kernel(mutated(random.choice(texts), random)))
            verified += 1
        except TileError as e:
            assert e.code in ("TILE0601", "TILE0602")
    assert verified > 30


def test_arbitrary_ir_is_refused_with_a_diagnostic() -> None:
    for seed in range(300):
        generator = Generator(seed)
        for check, ir in [
            (verify, generator.graph()),
            (verify_kernel, generator.kernel()),
            (verify_program, generator.program()),
        ]:
            try:
                check(ir)  # type: ignore[operator]  # each check with its own kind of IR
            except TileError as e:
                assert e.code == "TILE0602"
