"""`tilec.exact.gather_form`: what scatters gathers, to the last bit."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.lower.test_differential import tensor
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.exact.boxes import injective, integer
from tilec.exact.domain import box_of
from tilec.graph import Contraction
from tilec.passes import bounds, fuse, infer, lower, place
from tilec.text.graph_text import parse_graph, print_graph


def checked(text: str) -> Contraction:
    """Bounds the last Let, compares results bit for bit, returns the node."""
    graph = infer.run(parse_graph(text))
    rng = np.random.default_rng(0)
    inputs = {p.name: tensor(rng, p.type) for p in graph.params}
    want = evaluate(graph, inputs)["O"]
    bounded = bounds.run(graph)
    assert bounds.run(bounded) is bounded
    np.testing.assert_array_equal(evaluate(bounded, inputs)["O"], want, err_msg=print_graph(bounded))
    program = place.run(lower.run(bounded, fuse.run(bounded)))
    np.testing.assert_array_equal(evaluate_program(program, inputs)["O"], want, err_msg=print_graph(bounded))
    node = bounded.lets[-1].node
    assert isinstance(node, Contraction)
    return node


def gathers(node: Contraction) -> bool:
    return all(injective(f, box_of(node)) for f in node.sinks[0].indices)


@pytest.mark.parametrize("indices", ["x, k, c", "k, x, c", "c, k, x", "x, c, k"])
@pytest.mark.parametrize(
    "form, size",
    [
        ("x + k", 24),
        ("x - k + 4", 24),
        ("2*x + k - 1", 44),
        ("3*x + k", 64),
        ("3*x - k + 4", 64),
        ("-2*x + k + 40", 44),
        ("4*x + 2*k", 86),
    ],
)
def test_gradients_of_convolutions(indices: str, form: str, size: int) -> None:
    text = f"""graph f(G: f32[20, 3], W: f32[5, 3]) -> (O) {{
      O = sum:f32 [{indices}] {{ [{form}: {size}] <- mul(G[x, c], W[k, c]) }}
    }}"""
    assert gathers(checked(text)) == (form != "4*x + 2*k")  # the lattice of reached cells is not divided out


def test_two_axes() -> None:
    text = """graph f(G: f32[2, 6, 7, 3], W: f32[3, 3, 3, 4]) -> (O) {
      O = sum:f32 [n, x, y, k, l, c, d] {
        [n, 2*x + k - 1, y + l - 1, d: 2, 12, 7, 4] <- mul(G[n, x, y, c], W[k, l, c, d]) }
    }"""
    node = checked(text)
    assert gathers(node)
    assert sorted(map(integer, node.extents)) == [2, 2, 2, 3, 3, 4, 7, 7]


def test_no_gain_is_left_alone() -> None:
    diagonal = checked("graph f(G: f32[4, 4]) -> (O) { O = sum:f32 [x, k] { [x + k, k: 7, 4] <- G[x, k] } }")
    assert diagonal.indices == ("x", "k")
    flat = checked("graph f(G: f32[4, 5]) -> (O) { O = sum:f32 [x, k] { [5*x + k: 20] <- G[x, k] } }")
    assert flat.indices == ("x", "k")


def test_three_variables() -> None:
    """The order of a float sum would change, that of a maximum matters not."""

    def text(monoid: str, indices: str) -> str:
        node = f"{monoid}:f32 [{indices}] {{ [x + k + l: 13] <- mul(G[x], mul(V[k], W[l])) }}"
        return f"graph f(G: f32[9], V: f32[3], W: f32[3]) -> (O) {{ O = {node} }}"

    assert not gathers(checked(text("sum", "x, k, l")))
    assert gathers(checked(text("sum", "k, l, x")))
    assert gathers(checked(text("max", "x, k, l")))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_random_sinks() -> None:
    rng = random.Random(3)
    rewritten = 0
    for _ in range(150):
        names = ["x", "k", "c", "d"][: rng.randint(2, 4)]
        rng.shuffle(names)
        sizes = {n: rng.randint(1, 7) for n in names}
        forms = []
        for _ in range(rng.randint(1, 2)):
            terms = [f"{rng.choice([1, 1, 1, 2, 3, -1, -2])}*{n}" for n in rng.sample(names, rng.randint(1, 2))]
            forms.append(f"{' + '.join(terms)} + {rng.randint(-1, 3)}".replace("+ -", "- "))
        shape = ", ".join(str(rng.randint(1, 14)) for _ in forms)
        operands = ", ".join(f"{n.upper()}: f32[{sizes[n]}]" for n in names)
        body = f"{names[0].upper()}[{names[0]}]"
        for n in names[1:]:
            body = f"mul({body}, {n.upper()}[{n}])"
        monoid = rng.choice(["sum", "sum", "max"])
        text = f"{monoid}:f32 [{', '.join(names)}] {{ [{', '.join(forms)}: {shape}] <- {body} }}"
        node = checked(f"graph f({operands}) -> (O) {{ O = {text} }}")
        rewritten += any(i.startswith("o") for i in node.indices)
    assert rewritten > 8
