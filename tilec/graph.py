"""Floor 2: the Graph IR: flat SSA over whole tensors, no loops, no memory.

    Graph     ::= name, sizes, params, lets, results, aliases
    Let       ::= names = node : types              a node binds a tuple of names
    node      ::= Contraction | Apply | Special | Literal                      flat nodes
                | Cond | While | Scan | Custom | Remat                         nodes with closed sub-Graphs

Meaning of a Contraction. Its points are all integer assignments of `indices` for which every index expression of every
access of the body (boundary `skip`) and of every sink is an integer in [0, size), and every constraint's form is an
integer in [0, bound). The body's values at the points that share an output cell are aggregated by the monoid, in
lexicographic order of `indices`. A cell reached by no point holds `default` (a tensor of the result's shape, or of
rank 0), or 0 without one. `accumulator` is the type of the aggregation; the result is converted to the Let's type.

`Apply` is elementwise with NumPy broadcasting from the right. After inference its operands share one dtype (conditions,
shift counts and casts excepted: see `tilec.builtins`).

Values are named; scopes of sub-Graphs are closed: what they use from outside is passed as an argument ("capture").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tilec.affine import Affine, Poly, Size
from tilec.dtypes import DType
from tilec.errors import Span
from tilec.expr import Expr
from tilec.monoid import Monoid

AttributeValue: TypeAlias = int | float | str | DType | Poly | tuple["AttributeValue", ...]


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape. A weak value (a literal, a size, a Python number) adapts to the tensor beside it."""

    dtype: DType
    shape: tuple[Size, ...] = ()
    weak: bool = False

    @property
    def rank(self) -> int:
        return len(self.shape)


@dataclass(frozen=True, slots=True)
class Sink:
    """Where one component of a contraction goes: affine indices into an output of `shape`."""

    indices: tuple[Affine, ...]
    shape: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Constraint:
    """0 <= form < bound, and form integral."""

    form: Affine
    bound: Size


@dataclass(frozen=True, slots=True)
class Contraction:
    """See the module's text. One body, sink and default per component of the monoid; `defaults` are names or None.

    `extents` is filled by the pass `bounds`, which also makes all coefficients integers: index i then runs over the box
    0 <= i < extent. The points are those of the box that satisfy the accesses and constraints.
    """

    indices: tuple[str, ...]
    monoid: Monoid
    body: tuple[Expr, ...]
    sinks: tuple[Sink, ...]
    constraints: tuple[Constraint, ...] = ()
    defaults: tuple[str | None, ...] = (None,)
    extents: tuple[Size, ...] = ()

    @property
    def accumulator(self) -> tuple[DType, ...]:
        """Types of the aggregation, one per component."""
        return self.monoid.dtypes


@dataclass(frozen=True, slots=True)
class Apply:
    """An elementwise builtin over tensors; `dtype` is the target of a `cast`, else None."""

    op: str
    args: tuple[str, ...]
    dtype: DType | None = None


@dataclass(frozen=True, slots=True)
class Special:
    """A whole-tensor builtin: gather, scatter, reshape, prng, sort, host_call, assert ..."""

    op: str
    args: tuple[str, ...]
    attributes: tuple[tuple[str, AttributeValue], ...] = ()

    def attribute(self, name: str) -> AttributeValue:
        return dict(self.attributes)[name]


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant tensor: `values` in row-major order, one for a scalar (a single value fills any shape)."""

    type: TensorType
    values: tuple[int | float, ...]


@dataclass(frozen=True, slots=True)
class Cond:
    """`then` or `orelse`, two Graphs of equal signature, applied to `args`; `predicate` is a rank-0 bool."""

    predicate: str
    then: Graph
    orelse: Graph
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class While:
    """Carried values `init` are replaced by `body(carried, captures)` as long as `condition(carried, captures)`."""

    condition: Graph
    body: Graph
    init: tuple[str, ...]
    captures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scan:
    """`body(carried, slices, captures) -> (carried, outputs)` for each slice of `inputs` along axis 0.

    Binds the final carried values, then the outputs stacked along a new axis 0. `length` counts the steps. With
    `count`, an i64 of rank 0, only the first `count` of them run (none below 0, all above `length`): the outputs of the
    others are 0.
    """

    body: Graph
    init: tuple[str, ...]
    inputs: tuple[str, ...]
    captures: tuple[str, ...]
    length: Size
    reverse: bool = False
    count: str | None = None


@dataclass(frozen=True, slots=True)
class Custom:
    """`forward` applied to `args`; `backward` maps (args, results, result gradients) to argument gradients."""

    forward: Graph
    backward: Graph
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remat:
    """`body` applied to `args`; autodiff recomputes it instead of keeping its intermediate values."""

    body: Graph
    args: tuple[str, ...]


Node: TypeAlias = Contraction | Apply | Special | Literal | Cond | While | Scan | Custom | Remat


@dataclass(frozen=True, slots=True)
class Attribute:
    """`[[name(args)]]` in the source; no meaning for the result."""

    name: str
    args: tuple[str, ...] = ()


AGAIN = Attribute("again")  # on a Let that repeats an earlier one to save memory: to be neither merged nor moved ahead


@dataclass(frozen=True, slots=True)
class Let:
    """Binds `names` to the results of `node`. `types` is empty until inference has run."""

    names: tuple[str, ...]
    node: Node
    types: tuple[TensorType, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    span: Span | None = field(default=None, compare=False)  # not part of the meaning, nor of the textual form


@dataclass(frozen=True, slots=True)
class Param:
    """A run-time argument, or, with `digest`, a constant known at compile time (named by its content)."""

    name: str
    type: TensorType
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """A program. `sizes` are the named sizes; `aliases` (parameter, result) pairs carry donated state."""

    name: str
    params: tuple[Param, ...]
    lets: tuple[Let, ...]
    results: tuple[str, ...]
    sizes: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()

    def types(self) -> dict[str, TensorType]:
        """Type of every name (needs inference)."""
        found = {p.name: p.type for p in self.params}
        for let in self.lets:
            found.update(zip(let.names, let.types, strict=True))
        return found


def operands(node: Node) -> tuple[str, ...]:
    """Names that a node uses, in order of first use, without repetition."""
    return tuple(dict.fromkeys(_operands(node)))


def _operands(node: Node) -> Iterator[str]:
    from tilec.expr import reads

    match node:
        case Contraction():
            for body in node.body:
                yield from (r.access.tensor for r in reads(body))
            yield from (d for d in node.defaults if d is not None)
        case Apply() | Special() | Custom() | Remat():
            yield from node.args
        case Cond():
            yield node.predicate
            yield from node.args
        case While():
            yield from node.init
            yield from node.captures
        case Scan():
            yield from node.init
            yield from node.inputs
            yield from node.captures
            if node.count is not None:
                yield node.count
        case Literal():
            return


def subgraphs(node: Node) -> tuple[Graph, ...]:
    """Closed Graphs inside a node: the one way to recurse."""
    match node:
        case Cond():
            return node.then, node.orelse
        case While():
            return node.condition, node.body
        case Scan() | Remat():
            return (node.body,)
        case Custom():
            return node.forward, node.backward
        case _:
            return ()


def with_subgraphs(node: Node, graphs: tuple[Graph, ...]) -> Node:
    """The node with its sub-Graphs replaced, in the order of `subgraphs`."""
    match node:
        case Cond():
            return replace(node, then=graphs[0], orelse=graphs[1])
        case While():
            return replace(node, condition=graphs[0], body=graphs[1])
        case Scan() | Remat():
            return replace(node, body=graphs[0])
        case Custom():
            return replace(node, forward=graphs[0], backward=graphs[1])
        case _:
            return node
