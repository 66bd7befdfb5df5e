"""Large programs of a chosen size: training steps of networks (by way of their gradients), and random graphs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from tilec.affine import Affine
from tilec.dtypes import F32
from tilec.expr import Call, read
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Apply, Contraction, Graph, Let, Literal, Param, Sink, TensorType
from tilec.monoid import standard
from tilec.passes import differentiate

Shapes = Mapping[str, tuple[int, ...]]
Source = tuple[str, dict[str, tuple[int, ...]]]  # text of a function, and the shapes of its inputs
Network = Callable[[int], Source]

RATE = 0.01


def training_step(network: Network, lets: int) -> Graph:
    """Loss and updated weights of a network of so many layers that the Graph has about `lets` Lets."""
    small, large = (len(_step(network, layers).lets) for layers in (1, 3))
    layers = max(1, round(1 + (lets - small) / ((large - small) / 2)))
    return _step(network, layers)


def forward(network: Network, layers: int) -> tuple[Graph, list[str]]:
    """The loss of a network, and its weights."""
    text, shapes = network(layers)
    graph = to_graph(parse(text), None, {n: TensorType(F32, s) for n, s in shapes.items()})
    return graph, [n for n in shapes if n not in ("X", "Y")]


def _step(network: Network, layers: int) -> Graph:
    graph, weights = forward(network, layers)
    return _updated(differentiate.value_and_gradient(graph, weights), weights)


def _updated(graph: Graph, weights: list[str]) -> Graph:
    """With W_new = W - RATE * W_grad in the place of every gradient."""
    types = graph.types()
    lets = [*graph.lets, Let(("rate",), Literal(TensorType(F32), (RATE,)), (TensorType(F32),))]
    for w in weights:
        type_ = types[w]
        lets.append(Let((f"{w}_move",), Apply("mul", (f"{w}_grad", "rate")), (type_,)))
        lets.append(Let((f"{w}_new",), Apply("sub", (w, f"{w}_move")), (type_,)))
    results = tuple(r for r in graph.results if not r.endswith("_grad"))
    return replace(graph, lets=tuple(lets), results=(*results, *(f"{w}_new" for w in weights)))


def mlp(layers: int, batch: int = 32) -> Source:
    """Dense layers of a few widths with relu or tanh, squared error."""
    widths = [64 + 16 * (k * 7 % 5) for k in range(layers + 1)]
    shapes: dict[str, tuple[int, ...]] = {"X": (batch, widths[0])}
    lines = ["H0 = X;"]
    for k in range(layers):
        shapes |= {f"W{k}": (widths[k], widths[k + 1]), f"B{k}": (widths[k + 1],)}
        lines.append(f"P{k}[m, n : {batch}, {widths[k + 1]}] = +(H{k}[m, k] * W{k}[k, n]);")
        lines.append(f"H{k + 1} = {('relu', 'tanh')[k % 2]}(P{k} + B{k});")
    shapes["Y"] = (batch, widths[-1])
    lines.append(f"D = H{layers} - Y;  Loss[] = +(D[m, n] * D[m, n]);")
    return _function("mlp", shapes, lines), shapes


def conv(blocks: int, batch: int = 2) -> Source:
    """Residual blocks of two 3 x 3 convolutions and a scale and shift per channel; every fourth one has a stride."""
    size, channels = 32, 16
    shapes: dict[str, tuple[int, ...]] = {"X": (batch, size, size, channels)}
    lines = ["H0 = X;"]
    for k in range(blocks):
        stride = 2 if k % 4 == 3 and size > 4 else 1
        wide = channels + 8 * (stride - 1)
        for part, (a, b, s) in enumerate(((channels, wide, stride), (wide, wide, 1))):
            source = f"H{k}" if part == 0 else f"R{k}_0"
            out = size // stride
            shapes |= {f"K{k}_{part}": (3, 3, a, b), f"S{k}_{part}": (b,), f"T{k}_{part}": (b,)}
            lines.append(
                f"C{k}_{part}[n, y, x, o : {batch}, {out}, {out}, {b}] ="
                f" +({source}[n, {s}*y + i - 1, {s}*x + j - 1, c] * K{k}_{part}[i, j, c, o]);"
            )
            lines.append(f"R{k}_{part} = relu(C{k}_{part} * S{k}_{part} + T{k}_{part});")
        same = stride == 1 and wide == channels
        lines.append(f"H{k + 1} = R{k}_1{f' + H{k}' if same else ''};")
        size, channels = size // stride, wide
    shapes["Y"] = (batch, channels)
    lines.append(f"Q[n, o : {batch}, {channels}] = +(H{blocks}[n, y, x, o]);")
    lines.append("D = Q - Y;  Loss[] = +(D[m, n] * D[m, n]);")
    return _function("conv", shapes, lines), shapes


def transformer(blocks: int, length: int = 16, width: int = 32, heads: int = 4) -> Source:
    """Blocks of attention and a two-layer perceptron with layer normalisation before each."""
    deep, wide, t = width // heads, 4 * width, length
    shapes: dict[str, tuple[int, ...]] = {"X": (t, width)}
    lines = ["H0 = X;"]
    for k in range(blocks):
        shapes |= {f"{w}{k}": (width, heads, deep) for w in ("Wq", "Wk", "Wv")}
        shapes |= {f"Wo{k}": (heads, deep, width), f"Ua{k}": (width, wide), f"Ub{k}": (wide, width)}
        shapes |= {f"{w}{k}": (width,) for w in ("Ga", "Be", "Gb", "Bf")} | {f"C{k}": (wide,)}
        lines += _normalised(f"N{k}", f"H{k}", f"Ga{k}", f"Be{k}", t, width)
        lines += [
            f"{w}{k}[t, h, d : {t}, {heads}, {deep}] = +(N{k}[t, m] * W{w.lower()}{k}[m, h, d]);"
            for w in ("Q", "K", "V")
        ]
        lines += [
            f"A{k}[h, s, t : {heads}, {t}, {t}] = +(Q{k}[s, h, d] * K{k}[t, h, d]);",
            f"Am{k}[h, s : {heads}, {t}] = >(A{k}[h, s, t]);",
            f"Ae{k}[h, s, t : {heads}, {t}, {t}] = exp((A{k}[h, s, t] - Am{k}[h, s]) * {deep**-0.5});",
            f"As{k}[h, s : {heads}, {t}] = +(Ae{k}[h, s, t]);",
            f"P{k}[h, s, t : {heads}, {t}, {t}] = Ae{k}[h, s, t] / As{k}[h, s];",
            f"O{k}[s, h, d : {t}, {heads}, {deep}] = +(P{k}[h, s, t] * V{k}[t, h, d]);",
            f"Z{k}[s, m : {t}, {width}] = +(O{k}[s, h, d] * Wo{k}[h, d, m]);",
            f"R{k} = H{k} + Z{k};",
        ]
        lines += _normalised(f"M{k}", f"R{k}", f"Gb{k}", f"Bf{k}", t, width)
        lines += [
            f"F{k}[t, w : {t}, {wide}] = +(M{k}[t, m] * Ua{k}[m, w]);",
            f"E{k} = F{k} + C{k};",
            f"G{k} = 0.5 * E{k} * (1.0 + tanh(0.7978846 * (E{k} + 0.044715 * E{k} * E{k} * E{k})));",
            f"J{k}[t, m : {t}, {width}] = +(G{k}[t, w] * Ub{k}[w, m]);",
            f"H{k + 1} = R{k} + J{k};",
        ]
    shapes["Y"] = (t, width)
    lines.append(f"D = H{blocks} - Y;  Loss[] = +(D[m, n] * D[m, n]);")
    return _function("transformer", shapes, lines), shapes


def _normalised(name: str, x: str, scale: str, shift: str, rows: int, width: int) -> list[str]:
    return [
        f"{name}_s[t : {rows}] = +({x}[t, m]);",
        f"{name}_d[t, m : {rows}, {width}] = {x}[t, m] - {name}_s[t] / {width}.0;",
        f"{name}_v[t : {rows}] = +({name}_d[t, m] * {name}_d[t, m]);",
        f"{name}_r = 1.0 / sqrt({name}_v / {width}.0 + 0.00001);",
        f"{name}[t, m : {rows}, {width}] = {name}_d[t, m] * {name}_r[t] * {scale}[m] + {shift}[m];",
    ]


def _function(name: str, shapes: Shapes, lines: list[str]) -> str:
    inputs = ", ".join(f"{n}[{', '.join(map(str, s))}]" for n, s in shapes.items())
    return f"function {name}({inputs}) -> (Loss) {{\n  " + "\n  ".join(lines) + "\n}\n"


def random_graph(lets: int, seed: int = 0) -> Graph:
    """Elementwise operations, products of matrices and sums over rows, over values of one shape; not differentiated."""
    chosen = random.Random(seed)
    size = 16
    type_ = TensorType(F32, (size, size))
    values = ["A", "B"]
    made: list[Let] = []
    i, j, k = map(Affine.var, "ijk")
    total = standard("sum", F32)
    for n in range(lets):
        a, b = (values[-chosen.randint(1, min(len(values), 12))] for _ in range(2))
        kind = chosen.random()
        if kind < 0.3:
            body = Call("mul", (read(a, (i, k), F32), read(b, (k, j), F32)), F32)
            node = Contraction(("i", "j", "k"), total, (body,), (Sink((i, j), type_.shape),))
            made.append(Let((f"v{n}",), node, (type_,)))
        elif kind < 0.4:
            row = TensorType(F32, (size,))
            node = Contraction(("i", "j"), total, (read(a, (i, j), F32),), (Sink((i,), row.shape),))
            made += [Let((f"r{n}",), node, (row,)), Let((f"v{n}",), Apply("sub", (b, f"r{n}")), (type_,))]
        elif kind < 0.6:
            made.append(Let((f"v{n}",), Apply(chosen.choice(("tanh", "neg", "abs", "relu")), (a,)), (type_,)))
        else:
            made.append(Let((f"v{n}",), Apply(chosen.choice(("add", "mul", "max", "sub")), (a, b)), (type_,)))
        values.append(f"v{n}")
    made = made[:lets]
    return Graph("random", (Param("A", type_), Param("B", type_)), tuple(made), (made[-1].names[0],))


PROGRAMS: dict[str, Callable[[int], Graph]] = {
    "mlp": lambda n: training_step(mlp, n),
    "conv": lambda n: training_step(conv, n),
    "transformer": lambda n: training_step(transformer, n),
    "random": random_graph,
}


def many_kernels(count: int) -> Graph:
    """A Graph of about `count` kernels no two of which are equal; of every five, one is a product of matrices, one a
    convolution, one a maximum, and two are elementwise."""
    shapes: dict[str, tuple[int, ...]] = {}
    lines: list[str] = []
    made = count * 4 // 5
    for n in range(made):
        inputs, text = (_product, _convolution, _shifted, _elementwise)[n % 4](n, n // 4)
        shapes |= inputs
        lines += text
    header = ", ".join(f"{n}[{', '.join(map(str, s))}]" for n, s in shapes.items())
    outputs = ", ".join(f"Y{n}" for n in range(made))
    text = f"function many({header}) -> ({outputs}) {{\n  " + "\n  ".join(lines) + "\n}\n"
    return to_graph(parse(text), None, {n: TensorType(F32, s) for n, s in shapes.items()})


Piece = tuple[dict[str, tuple[int, ...]], list[str]]  # inputs and statements


def _product(n: int, step: int) -> Piece:
    m, k, o = 32 + step % 7, 48 + step, 64 + 16 * (step % 5)
    return {f"A{n}": (m, k), f"B{n}": (k, o)}, [f"Y{n}[m, n : {m}, {o}] = +(A{n}[m, k] * B{n}[k, n]);"]


def _convolution(n: int, step: int) -> Piece:
    size, a, b = 8 + 4 * (step % 3), 8 + step, 16 + 8 * (step % 4)
    product = f"A{n}[n, y + i - 1, x + j - 1, c] * B{n}[i, j, c, o]"
    text = [f"P{n}[n, y, x, o : 1, {size}, {size}, {b}] = +({product});", f"Y{n} = relu(P{n} + C{n});"]
    return {f"A{n}": (1, size, size, a), f"B{n}": (3, 3, a, b), f"C{n}": (b,)}, text


def _shifted(n: int, step: int) -> Piece:
    m, k = 16, 32 + step
    text = [f"M{n}[m : {m}] = >(A{n}[m, k]);", f"Y{n}[m, k : {m}, {k}] = exp(A{n}[m, k] - M{n}[m]);"]
    return {f"A{n}": (m, k)}, text


def _elementwise(n: int, step: int) -> Piece:
    text = [f"Y{n} = tanh(A{n} * 0.5 + B{n}) * {1 + step % 3}.5;"]
    return {f"A{n}": (16, 100 + step), f"B{n}": (100 + step,)}, text
