"""The statements that random programs are made of."""

from __future__ import annotations

from fractions import Fraction
from math import prod

from tests.fuzz.generate import (
    BINARY,
    MAX_POINTS,
    UNARY,
    Form,
    Generator,
    Tensor,
    dtype_of,
    extent_for,
    form_text,
    points,
    shifted,
)
from tests.fuzz.loops import control
from tests.fuzz.places import bounded, looked_up
from tilec.dtypes import BOOL, F32, I32, DType

VARIABLES = ("i", "j", "k", "l", "p")
AGGREGATIONS = {"+": "sum", "*": "prod", ">": "max", "<": "min", "=": "assign"}


def statement(gen: Generator) -> None:
    """Adds one random statement."""
    if gen.chance(0.6):
        contraction(gen)
    elif gen.chance(0.65):
        elementwise(gen)
    elif gen.chance(0.5):
        special(gen)
    else:
        control(gen)


def operand(gen: Generator, dtype: DType | None = None) -> Tensor:
    """A tensor of the pool, or a new input."""
    fitting = [t for t in gen.pool if dtype is None or t.dtype == dtype]
    if fitting and gen.chance(0.7):
        return gen.rng.choice(fitting)
    shape = tuple(gen.rng.choice([1, 2, 3, 4, 5, 7, 17]) for _ in range(gen.rng.choice([0, 1, 1, 2, 2, 3])))
    found = gen.input(shape, dtype or dtype_of(gen.rng), "special" if gen.chance(0.08) else "plain")
    gen.pool.append(found)
    return found


def contraction(gen: Generator) -> None:
    """`T[forms : sizes] = agg(body), constraints default D;`"""
    aggregation = gen.rng.choice("+++*><=")
    dtype = dtype_of(gen.rng)
    ranges = draw_ranges(gen)
    outputs = output_forms(gen, ranges, injective=aggregation == "=")
    body, operands = draw_body(gen, ranges, dtype, aggregation)
    constraints = draw_constraints(gen, ranges, outputs, operands)
    sizes = [perturbed(gen, extent_for(f, ranges), "output") for f in outputs]
    text = ", ".join(map(form_text, outputs)) + (" : " + ", ".join(map(str, sizes)) if outputs else "")
    tail = "".join(f", {c}" for c in constraints) + draw_default(gen, tuple(sizes), aggregation, dtype)
    target = gen.result(tuple(sizes), result_dtype(body, aggregation, dtype))
    wide = ":f64" if aggregation == "+" and dtype.is_float and gen.chance(0.1) else ""
    gen.note(f"agg {AGGREGATIONS[aggregation]}", *(["wide accumulator"] if wide else []))
    gen.lines.append(f"{target.name}[{text}] = {aggregation}{wide}({body}){tail};")
    gen.pool.append(target)


def result_dtype(body: str, aggregation: str, dtype: DType) -> DType:
    """Only a guess, to pick operands by; the compiler's inference decides."""
    return I32 if aggregation == "+" and dtype == BOOL else dtype


def draw_ranges(gen: Generator) -> dict[str, int]:
    while True:
        count = gen.rng.choice([1, 2, 2, 3, 3, 4, 5])
        big = (16, 17, 33, 40, 65) if gen.chance(0.3) else ()
        ranges = {v: gen.rng.choice([1, 2, 3, 3, 4, 5, 7, 8, *big]) for v in VARIABLES[:count]}
        if gen.chance(0.03):
            ranges[gen.rng.choice(VARIABLES[:count])] = 0
        if points(ranges) <= MAX_POINTS:
            if any(r > 15 for r in ranges.values()):
                gen.note("long axis")
            return ranges


def perturbed(gen: Generator, size: int, what: str) -> int:
    """Mostly `size`, sometimes one off: truncated or padded."""
    change = gen.rng.choice([0, 0, 0, 0, 0, 0, -1, 1, 2])
    if change and size + change >= 0:
        gen.note(f"{what} {'truncated' if change < 0 else 'padded'}")
        return size + change
    return size


def output_forms(gen: Generator, ranges: dict[str, int], injective: bool) -> list[Form]:
    names = list(ranges)
    gen.rng.shuffle(names)
    kept = names if injective else names[: gen.rng.randint(0, len(names))]
    forms = [axis_form(gen, [v], ranges, output=True) for v in kept]
    if not injective and len(kept) > 1 and gen.chance(0.15):
        gen.note("overlapping output")
        both: Form = ({kept[0]: Fraction(gen.rng.choice([1, 2])), kept[1]: Fraction(1)}, Fraction(0))
        forms = [shifted(both, ranges), *forms[2:]]
    if gen.chance(0.05):
        gen.note("constant output index")
        forms.append(({}, Fraction(gen.rng.choice([0, 1]))))
    return forms


def axis_form(gen: Generator, names: list[str], ranges: dict[str, int], output: bool = False) -> Form:
    """An affine form over one or two variables."""
    v = names[0]
    kind = gen.rng.choice(["bare"] * 9 + ["stride", "negative", "offset", "fraction"])
    if len(names) > 1:
        kind = gen.rng.choice(["sum", "sum", "stride sum", "difference", "fraction sum"])
        w = names[1]
        forms: dict[str, dict[str, Fraction]] = {
            "sum": {v: Fraction(1), w: Fraction(1)},
            "stride sum": {v: Fraction(gen.rng.choice([2, 3])), w: Fraction(1)},
            "difference": {v: Fraction(1), w: Fraction(-1)},
            "fraction sum": {v: Fraction(1, 2), w: Fraction(1, 2)},
        }
        gen.note(f"index {kind}")
        return shifted((forms[kind], Fraction(0)), ranges, gen.rng.choice([0, 0, 0, -1]))
    gen.note(f"{'output' if output else 'index'} {kind}")
    match kind:
        case "stride":
            return shifted(({v: Fraction(gen.rng.choice([2, 3]))}, Fraction(0)), ranges, gen.rng.choice([0, 0, 1]))
        case "negative":
            return shifted(({v: Fraction(-1)}, Fraction(0)), ranges)
        case "offset":
            return ({v: Fraction(1)}, Fraction(gen.rng.choice([-2, -1, 1, 2])))
        case "fraction":
            numerator, denominator = gen.rng.choice([(1, 2), (1, 3), (3, 2), (-1, 2)])
            form = ({v: Fraction(numerator, denominator)}, Fraction(0))
            start = Fraction(gen.rng.choice([0, 0, 1]), denominator)
            return shifted(form, ranges) if numerator < 0 else (form[0], start)
        case _:
            return ({v: Fraction(1)}, Fraction(0))


def access(gen: Generator, ranges: dict[str, int], dtype: DType, kind: str) -> str:
    """Text of a read: of the pool where a tensor fits, else of a new input made to fit."""
    names = list(ranges)
    fitting = [t for t in gen.pool if len(t.shape) <= len(names)]
    if fitting and gen.chance(0.3):
        tensor = gen.rng.choice(fitting)
        chosen = gen.rng.sample(names, len(tensor.shape))
        gen.note("reads a result" if tensor.name.startswith("T") else "reads an input twice")
        return f"{tensor.name}[{', '.join(chosen)}]"
    rank = gen.rng.choice([0, 1, 1, 2, 2, 2, 3]) if gen.chance(0.6) else len(names)
    widths = [min(len(names), 1 if gen.chance(0.8) else 2) for _ in range(rank)]
    forms = [axis_form(gen, gen.rng.sample(names, width), ranges) for width in widths]
    if forms and gen.chance(0.12):
        return gen.rng.choice([bounded, looked_up])(gen, forms, ranges, dtype, kind)
    if gen.chance(0.04):
        gen.note("constant index")
        forms.append(({}, Fraction(1)))
    shape = tuple(perturbed(gen, extent_for(f, ranges), "input") for f in forms)
    while prod(shape) > 40_000:
        forms.pop()
        shape = shape[:-1]
    tensor = gen.input(shape, dtype, kind)
    gen.pool.append(tensor)
    return f"{tensor.name}[{', '.join(map(form_text, forms))}]"


def draw_body(gen: Generator, ranges: dict[str, int], dtype: DType, aggregation: str) -> tuple[str, list[str]]:
    """Text of the body and of its reads."""
    kind = "near_one" if aggregation == "*" else "special" if gen.chance(0.06) else "plain"
    shapes = ["read", "read", "product", "product", "product", "sum", "select", "triple", "ternary", "index"]
    body = gen.rng.choice(shapes + (["function", "scaled", "difference"] if dtype.is_float else []))
    count = {"read": 1, "product": 2, "sum": 2, "select": 3, "triple": 3, "ternary": 3, "difference": 3}.get(body, 1)
    reads = [access(gen, ranges, dtype, kind) for _ in range(count)]
    gen.note(f"body {body}")
    variable = gen.rng.choice(list(ranges))
    texts = {
        "read": "{0}",
        "product": "{0} * {1}",
        "sum": "{0} + {1}",
        "select": "{0} == {1} ? {2}",
        "triple": "{0} * {1} * {2}",
        "ternary": "{0} < {1} ? {2} : {0}",
        "index": f"{variable} * {{0}}" if aggregation != "*" else f"{{0}} + {variable}",
        "function": f"{gen.rng.choice(UNARY)}({{0}})",
        "scaled": f"{{0}} * {gen.rng.choice(['0.5', '2', '-1.25'])}",
        "difference": "({0} - {1}) * {2}",
    }
    return texts[body].format(*reads), reads


def draw_constraints(gen: Generator, ranges: dict[str, int], outputs: list[Form], reads: list[str]) -> list[str]:
    """Bounds for variables that nothing else bounds, and now and then an extra one."""
    found = []
    bare_out = {next(iter(f[0])) for f in outputs if len(f[0]) == 1}
    for name, extent in ranges.items():
        alone = any(name in piece.split() and len(piece.split()) == 1 for r in reads for piece in _axes(r))
        if not (alone or name in bare_out) or gen.chance(0.1):
            found.append(f"{name} < {extent}")
    if len(ranges) > 1 and gen.chance(0.15):
        v, w = gen.rng.sample(list(ranges), 2)
        c = gen.rng.choice(["", "2*"])
        found.append(f"{c}{v} {gen.rng.choice('+-')} {w} < {max(1, ranges[v])}")
        gen.note("extra constraint")
    if found:
        gen.note("constraint")
    return found


def _axes(read: str) -> list[str]:
    return [piece.strip() for piece in read[read.index("[") + 1 : -1].split(",")]


def draw_default(gen: Generator, shape: tuple[int, ...], aggregation: str, dtype: DType) -> str:
    if not gen.chance(0.12) or prod(shape) > 40_000:
        return ""
    gen.note("default")
    default = gen.input(shape if gen.chance(0.8) else (), dtype)
    return f" default {default.name}"


def elementwise(gen: Generator) -> None:
    """`T = A op B;` and the like, with broadcasting."""
    a = operand(gen)
    kind = gen.rng.choice(["binary", "binary", "unary", "compare", "select", "cast", "literal", "minmax", "bits"])
    if kind == "bits" and not a.dtype.is_integer:
        kind = "compare"
    b = broadcastable(gen, a)
    number = gen.rng.choice(["2", "0.5", "3", "-1"])
    texts = {
        "binary": f"{a.name} {gen.rng.choice(BINARY)} {b.name}",
        "unary": f"{gen.rng.choice(UNARY)}({a.name})",
        "compare": f"{a.name} {gen.rng.choice(['<', '<=', '>', '>=', '==', '!='])} {b.name}",
        "select": f"{a.name} < {b.name} ? {b.name} : {a.name}",
        "cast": gen.rng.choice([f"as_float({a.name}, {w})" for w in (16, 32, 64)] + [f"as_int({a.name}, 32)"]),
        "literal": f"{a.name} {gen.rng.choice(BINARY)} {number}",
        "minmax": f"{gen.rng.choice(['max', 'min'])}({a.name}, {b.name})",
        "bits": f"{a.name} {gen.rng.choice(['&', '|', '^', '<<', '>>'])} {gen.rng.choice([a.name, '3'])}",
    }
    gen.note(f"elementwise {kind}")
    target = gen.result(tuple(max(x, y) if 0 not in (x, y) else 0 for x, y in _aligned(a, b)), a.dtype)
    if kind in ("unary", "cast", "literal", "bits"):
        target = Tensor(target.name, a.shape, a.dtype)
    gen.lines.append(f"{target.name} = {texts[kind]};")
    gen.pool.append(target)


def _aligned(a: Tensor, b: Tensor) -> list[tuple[int, int]]:
    rank = max(len(a.shape), len(b.shape))
    return list(zip((1,) * (rank - len(a.shape)) + a.shape, (1,) * (rank - len(b.shape)) + b.shape))


def broadcastable(gen: Generator, a: Tensor) -> Tensor:
    """A second operand: of the same shape, or of one that broadcasts."""
    fitting = [t for t in gen.pool if t.shape == a.shape]
    if gen.chance(0.5) and fitting:
        return gen.rng.choice(fitting)
    shape = a.shape
    if gen.chance(0.5):
        gen.note("broadcast")
        shape = tuple(1 if gen.chance(0.3) else s for s in a.shape[gen.rng.randint(0, len(a.shape)) :])
    found = gen.input(shape, a.dtype if gen.chance(0.6) else dtype_of(gen.rng))
    gen.pool.append(found)
    return found


def special(gen: Generator) -> None:
    """reshape, gather, scatter, index, shape, softmax, a transposing definition."""
    a = operand(gen)
    kind = gen.rng.choice(["reshape", "gather", "scatter", "index", "shape", "softmax", "plain"])
    if kind in ("gather", "scatter", "index", "plain") and not a.shape:
        kind = "reshape"
    gen.note(f"special {kind}")
    match kind:
        case "reshape":
            shape: tuple[int, ...] = (prod(a.shape),)
            add(gen, f"reshape({a.name}, {shape[0]})", shape, a.dtype)
        case "gather":
            index = gen.input(tuple(gen.rng.choice([1, 3, 5]) for _ in range(gen.rng.choice([1, 2]))), I32)
            add(gen, f"gather({a.name}, {index.name})", index.shape + a.shape[1:], a.dtype)
        case "scatter":
            like = gen.input((gen.rng.choice([1, 4, 6]), *a.shape[1:]), a.dtype)
            index = gen.input(a.shape[:1], I32)
            word = gen.rng.choice(["scatter", "scatter", "scatter_max", "scatter_min", "scatter_prod"])
            add(gen, f"{word}({a.name}, {index.name}, {like.name})", like.shape, a.dtype)
        case "index":
            add(gen, f"index({a.name}, {gen.rng.randrange(len(a.shape))})", a.shape, I32)
        case "shape":
            add(gen, f"shape({a.name})", (len(a.shape),), I32)
        case "softmax":
            x = gen.input((gen.rng.choice([1, 3, 5]), gen.rng.choice([1, 4, 17])), F32)
            add(gen, f"builtin_softmax({x.name}, {x.shape[0]}, {x.shape[1]})", x.shape, F32)
        case _:
            names = VARIABLES[: len(a.shape)]
            order = gen.rng.sample(names, len(names))
            target = gen.result(tuple(a.shape[names.index(v)] for v in order), a.dtype)
            gen.lines.append(f"{target.name}[{', '.join(order)}] = {a.name}[{', '.join(names)}];")
            gen.pool.append(target)


def add(gen: Generator, text: str, shape: tuple[int, ...], dtype: DType) -> None:
    target = gen.result(shape, dtype)
    gen.lines.append(f"{target.name} = {text};")
    gen.pool.append(target)
