"""Floor 3: the verifier of Graphs.

`verify` checks what every pass may rely on: names are bound once and before use, sub-Graphs are closed and called with
as many values as they take, contractions are well formed (`tilec.graph`), sizes are declared. Where all Lets have
types, these must be the ones that inference finds, with no cast missing. Error: TILE0602, at the Let's source if known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from tilec.affine import Affine, Coef, Poly
from tilec.dtypes import DType
from tilec.errors import TileError, error
from tilec.expr import Access, Const, Expr, IndexValue, Read, Var, reads, walk
from tilec.graph import (
    Cond,
    Contraction,
    Custom,
    Graph,
    Let,
    Literal,
    Node,
    Remat,
    Scan,
    TensorType,
    While,
    operands,
    subgraphs,
)
from tilec.type_graph import infer_let, is_typed, result_types
from tilec.verify.expr import ExprChecker, check_const, check_monoid, fail


def verify(graph: Graph) -> None:
    """Raises TileError TILE0602 at the first fault, TILE0411 for expressions that nest too deep."""
    _signature(graph)
    sizes = frozenset(graph.sizes)
    typed = is_typed(graph)
    types = {p.name: p.type for p in graph.params}  # of the names in sight, where they are known
    known: dict[str, TensorType | None] = dict(types)
    for let in graph.lets:
        try:
            _let(let, known, sizes)
            if typed:
                _types_agree(let, types)
        except TileError as e:
            first = e.diagnostics[0]
            message = f"graph '{graph.name}', let {', '.join(let.names) or '()'}: {first.message}"
            code = first.code if first.code == "TILE0411" else "TILE0602"
            raise error(code, message, let.span or first.span, notes=first.notes, help=first.help) from None
        types.update(zip(let.names, let.types))
        known.update(zip(let.names, let.types or (None,) * len(let.names)))
    for name in graph.results:
        if name not in known:
            fail(f"graph '{graph.name}': result '{name}' is not defined")
    _aliases(graph, known)


def _signature(graph: Graph) -> None:
    bound = [p.name for p in graph.params] + [n for let in graph.lets for n in let.names]
    for what, names in (("name", bound), ("size", graph.sizes)):
        if twice := _repeated(names):
            fail(f"graph '{graph.name}': {what} '{twice}' is bound twice")
    checker = ExprChecker(frozenset(), _no_access, {}, frozenset(graph.sizes))
    for p in graph.params:
        _type(p.type, checker)


def _repeated(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    return next((n for n in names if n in seen or seen.add(n)), None)  # type: ignore[func-returns-value]


def _no_access(access: Access, dtype: DType) -> None:
    fail(f"a read of '{access.tensor}' is not allowed here")


def _type(type: TensorType, checker: ExprChecker) -> None:
    for size in type.shape:
        checker.size(size)


def _aliases(graph: Graph, types: dict[str, TensorType | None]) -> None:
    params = {p.name for p in graph.params}
    for param, result in graph.aliases:
        if param not in params or result not in graph.results:
            fail(f"graph '{graph.name}': alias of '{param}' and '{result}', not a parameter and a result")
        a, b = types[param], types[result]
        if a and b and (a.dtype, a.shape) != (b.dtype, b.shape):
            fail(f"graph '{graph.name}': '{param}' and '{result}' are aliased but differ in type")
    for names in zip(*graph.aliases):
        if twice := _repeated(names):
            fail(f"graph '{graph.name}': '{twice}' is aliased twice")


def _let(let: Let, known: dict[str, TensorType | None], sizes: frozenset[str]) -> None:
    for name in operands(let.node):
        if name not in known:
            fail(f"'{name}' is not defined before its use")
    if let.types and len(let.types) != len(let.names):
        fail(f"{len(let.names)} names and {len(let.types)} types")
    checker = ExprChecker(frozenset(), _no_access, {}, sizes)
    for type in let.types:
        _type(type, checker)
    for graph in subgraphs(let.node):
        verify(graph)
    _node(let, let.node, known, sizes)


def _types_agree(let: Let, types: dict[str, TensorType]) -> None:
    """Inference has nothing to add: no cast, no other type; Graphs inside have been verified."""
    found = infer_let(let, types, lambda name: f"{name}.cast", trusted=True)
    if len(found) == 1 and found[0] is let:
        return
    fail("inference has not run: a cast is missing, or an operation is spelled by its alias")


def _node(let: Let, node: Node, known: dict[str, TensorType | None], sizes: frozenset[str]) -> None:
    match node:
        case Contraction():
            _contraction(let, node, known, sizes)
        case Literal():
            _literal(node, sizes)
        case Cond(_, then, orelse, args):
            _calls(then, len(args), len(let.names))
            _calls(orelse, len(args), len(let.names))
        case While(condition, body, init, captures):
            _calls(condition, len(init) + len(captures), 1)
            _calls(body, len(init) + len(captures), len(init))
            _binds(let, len(init))
        case Scan(body, init, inputs, captures, length):
            ExprChecker(frozenset(), _no_access, {}, sizes).size(length)
            _calls(body, len(init) + len(inputs) + len(captures), len(let.names))
        case Custom(forward, backward, args):
            _calls(forward, len(args), len(let.names))
            _calls(backward, len(args) + 2 * len(let.names), len(args))
            _custom_types(node)
        case Remat(body, args):
            _calls(body, len(args), len(let.names))
        case _:
            pass  # Apply and Special: arity and types are inference's


def _calls(graph: Graph, arguments: int, results: int) -> None:
    if len(graph.params) != arguments:
        fail(f"'{graph.name}' takes {len(graph.params)} values, {arguments} given")
    if len(graph.results) != results:
        fail(f"'{graph.name}' gives {len(graph.results)} values, {results} wanted")


def _binds(let: Let, count: int) -> None:
    if len(let.names) != count:
        fail(f"{count} results are bound to {len(let.names)} names")


def _custom_types(node: Custom) -> None:
    """The backward Graph takes arguments, results and the results' gradients, and gives the arguments' gradients."""
    if not (is_typed(node.forward) and is_typed(node.backward)):
        return
    args, results = [p.type for p in node.forward.params], list(result_types(node.forward))
    taken, given = [p.type for p in node.backward.params], list(result_types(node.backward))
    if not (_alike(taken, args + results + results) and _alike(given, args)):
        fail(f"'{node.backward.name}' does not have the signature of a gradient of '{node.forward.name}'")


def _alike(a: Sequence[TensorType], b: Sequence[TensorType]) -> bool:
    return [(t.dtype, t.shape) for t in a] == [(t.dtype, t.shape) for t in b]


def _literal(node: Literal, sizes: frozenset[str]) -> None:
    _type(node.type, ExprChecker(frozenset(), _no_access, {}, sizes))
    for value in node.values:
        check_const(Const(value, node.type.dtype))
    if len(node.values) == 1:
        return
    shape = [s for s in node.type.shape if isinstance(s, int)]
    if len(shape) != node.type.rank or prod(shape) != len(node.values):
        fail(f"a literal of {len(node.values)} values has the shape [{', '.join(map(str, node.type.shape))}]")


def _contraction(let: Let, node: Contraction, known: dict[str, TensorType | None], sizes: frozenset[str]) -> None:
    arity = node.monoid.arity
    _binds(let, arity)
    if not (arity and len(node.body) == len(node.sinks) == len(node.defaults) == len(node.monoid.combine) == arity):
        fail(f"aggregation '{node.monoid.name}' of {arity} components and the contraction's differ in number")
    if twice := _repeated(node.indices):
        fail(f"index '{twice}' is bound twice")
    if len(node.extents) not in (0, len(node.indices)):
        fail(f"{len(node.indices)} indices and {len(node.extents)} extents")
    checker = ExprChecker(frozenset(node.indices), _access_check(known), {}, sizes)
    for size in node.extents:
        checker.size(size)
    check_monoid(node.monoid)
    for body, dtype in zip(node.body, node.accumulator):
        if all(t is not None for t in map(known.get, operands(node))) and let.types:
            checker.expr(body)
            if body.dtype != dtype:
                fail(f"the body is {body.dtype}, the aggregation {dtype}")
        _forms(body, checker)
    _sinks(let, node, checker)
    for c in node.constraints:
        checker.affine(c.form)
        checker.coef(c.bound)
    if node.extents:
        _integral(node)


def _access_check(known: dict[str, TensorType | None]) -> Callable[[Access, DType], None]:
    def check(access: Access, dtype: DType) -> None:
        type = known.get(access.tensor)
        if type is None:
            return
        if type.rank != len(access.indices):
            fail(f"'{access.tensor}' has rank {type.rank} and is read with {len(access.indices)} indices")
        if type.dtype != dtype:
            fail(f"'{access.tensor}' is {type.dtype} and is read as {dtype}")

    return check


def _forms(body: Expr, checker: ExprChecker) -> None:
    """Scopes hold before inference, too; a body has no scalar variables."""
    for e in walk(body):
        match e:
            case Var(name):
                fail(f"scalar '{name}' is not bound in a body")
            case IndexValue(form):
                checker.affine(form)
            case Read(access):
                for index in access.indices:
                    if isinstance(index, Affine):
                        checker.affine(index)


def _sinks(let: Let, node: Contraction, checker: ExprChecker) -> None:
    for i, sink in enumerate(node.sinks):
        if len(sink.indices) != len(sink.shape):
            fail(f"{len(sink.indices)} output indices and {len(sink.shape)} sizes")
        if let.types and let.types[i].shape != sink.shape:
            fail(f"'{let.names[i]}' and its output have different shapes")
        for form in sink.indices:
            checker.affine(form)
        for size in sink.shape:
            checker.size(size)


def _integral(node: Contraction) -> None:
    """With extents, `bounds` has run: all coefficients are integers or polynomials."""
    forms = [f for b in node.body for r in reads(b) for f in r.access.indices if isinstance(f, Affine)]
    forms += [f for s in node.sinks for f in s.indices] + [c.form for c in node.constraints]
    for form in forms:
        if not all(_is_integral(c) for c in (form.const, *(c for _, c in form.terms))):
            fail(f"'{form}' is not integral, though the contraction has extents")


def _is_integral(value: Coef) -> bool:
    return all(isinstance(c, int) for _, c in value.terms) if isinstance(value, Poly) else isinstance(value, int)
