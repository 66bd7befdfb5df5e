"""Every stage of the pipeline verifies and round-trips: random Graphs and the conformance programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.generators.graphs import random_graph
from tilec import pipeline
from tilec.dtypes import BY_NAME
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Graph, TensorType, subgraphs, with_subgraphs
from tilec.loops import Program
from tilec.target import Target
from tilec.text.graph_text import parse_graph, print_graph
from tilec.text.loops_text import parse_program, print_program
from tilec.verify.graph import verify
from tilec.verify.loops import verify_program

TARGET = Target("llvm", vector_bytes=32, threads=2)
SCHEDULED = ("schedule", "place")


def without_spans(graph: Graph) -> Graph:
    """Spans are not part of the text."""
    lets = []
    for let in graph.lets:
        nested = tuple(map(without_spans, subgraphs(let.node)))
        lets.append(replace(let, span=None, node=with_subgraphs(let.node, nested)))
    return replace(graph, lets=tuple(lets))


def check(stage: str, ir: Any) -> None:
    """A watcher of the pipeline; the partition between the two IRs has no verifier."""
    match ir:
        case Graph():
            verify(ir)
            assert repr(parse_graph(print_graph(ir))) == repr(without_spans(ir)), stage
        case Program():
            verify_program(ir, scheduled=stage in SCHEDULED)
            assert repr(parse_program(print_program(ir))) == repr(ir), stage


def compile_checked(graph: Graph) -> None:
    check("start", graph)
    pipeline.lower_graph(pipeline.optimise(graph, check), TARGET, watch=check)


def test_random_graphs() -> None:
    for seed in range(60):
        compile_checked(random_graph(seed))


def test_conformance_programs(conformance: Path) -> None:
    count = 0
    for line in conformance.read_text(encoding="utf-8").splitlines():
        program = json.loads(line)
        if program["expect"]["kind"] != "values":
            continue
        signature = {i["name"]: TensorType(BY_NAME[i["dtype"]], tuple(i["shape"])) for i in program["inputs"]}
        compile_checked(to_graph(parse(program["code"]), None, {**signature, **program["consts"]}))
        count += 1
    assert count > 200
