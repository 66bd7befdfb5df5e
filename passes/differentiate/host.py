"""Host functions whose derivatives are further calls of them: inverses and solutions of systems of equations.

M. Giles, An extended collection of matrix derivative results for forward and reverse mode AD, 2008, sections 2.2.3 and
2.3.1. Those of decompositions are written where these are offered to users, in `tilec.ops.linalg`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tilec.affine import Affine
from tilec.expr import Call, read
from tilec.graph import Contraction, Let, Sink, Special
from tilec.monoid import standard
from tilec.passes.differentiate.builder import Builder, no_derivative


def pull_host(b: Builder, let: Let, g: str, active: set[str]) -> Iterator[tuple[str, str]]:
    """Operands and their parts of the cotangent."""
    node, x = _known(let), let.names[0]
    match node.attribute("function"):
        case "inv":
            inner = _product(b, g, x, "ij,kj->ik")
            yield node.args[0], _negative(b, _product(b, x, inner, "ji,jk->ik"))
        case _:
            a, right = node.args
            slope = _solution(b, node, _turned(b, a), g)
            if a in active:
                yield a, _negative(b, _product(b, slope, x, "ij,kj->ik"))
            if right in active:
                yield right, slope


def push_host(b: Builder, let: Let, tangents: Mapping[str, str]) -> str:
    """The tangent of the result."""
    node, x = _known(let), let.names[0]
    a_dot = tangents.get(node.args[0])
    change = None if a_dot is None else _negative(b, _product(b, a_dot, x, "ij,jk->ik"))
    if node.attribute("function") == "inv":
        assert change is not None, "only an active operand makes its inverse active"
        return _product(b, x, change, "ij,jk->ik")
    right = tangents.get(node.args[1])
    parts = [part for part in (right, change) if part is not None]
    return _solution(b, node, node.args[0], b.total(parts, f"{x}_dot"))


def _known(let: Let) -> Special:
    """The call, if it has a derivative; raises TILE0310."""
    assert isinstance(let.node, Special)
    function = let.node.attribute("function")
    if function not in ("inv", "solve"):
        help = "tilec.ops has functions with derivatives for those of NumPy that have one"
        raise no_derivative(f"the host function '{function}' has no derivative of its own", let.span, help)
    return let.node


def _solution(b: Builder, node: Special, a: str, right: str) -> str:
    return b.bind(Special("host_call", (a, right), node.attributes), f"{right}_solved")


def _negative(b: Builder, name: str) -> str:
    return b.apply("neg", (name,), f"{name}_neg")


def _turned(b: Builder, x: str) -> str:
    """The transposed matrices."""
    shape, dtype = b.types[x].shape, b.types[x].dtype
    batch = [f"b{k}" for k in range(len(shape) - 2)]
    *outer, i, j = map(Affine.var, (*batch, "i", "j"))
    sink = Sink((*outer, j, i), (*shape[:-2], shape[-1], shape[-2]))
    body = read(x, (*outer, i, j), dtype)
    return b.bind(Contraction((*batch, "i", "j"), standard("assign", dtype), (body,), (sink,)), f"{x}_turned")


def _product(b: Builder, x: str, y: str, indices: str) -> str:
    """The product of matrices that have the same batch; `indices` as in Einstein's sums, without those of the batch."""
    first, second, result = indices.replace("->", ",").split(",")
    dtype, shape = b.types[x].dtype, b.types[x].shape
    batch = [f"b{k}" for k in range(len(shape) - 2)]
    sizes = dict(zip(first, shape[-2:])) | dict(zip(second, b.types[y].shape[-2:]))

    def forms(own: str) -> tuple[Affine, ...]:
        return tuple(map(Affine.var, (*batch, *own)))

    body = Call("mul", (read(x, forms(first), dtype), read(y, forms(second), dtype)), dtype)
    sink = Sink(forms(result), (*shape[:-2], *(sizes[k] for k in result)))
    used = (*batch, *sorted(sizes))
    return b.bind(Contraction(used, standard("sum", dtype), (body,), (sink,)), "product", dtype)
