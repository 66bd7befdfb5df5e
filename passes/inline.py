"""Pass `inline`: nodes that only stand for others become Lets.

The forward Graph of Custom is a Graph applied to arguments. Random bits are a definition, each element made from its
own place, so that they share kernels with what uses them; which bits they are is settled before that.

It runs after differentiation, for which Custom exists, and before `bounds`. Remat stays: see `recompute`.

Before:
    graph f(A: f32[2]) -> (R) {
      R: f32[2] = custom(A)
        forward graph g(X: f32[2]) -> (Y) { Y: f32[2] = neg(X) }
        backward graph h(X: f32[2], Y: f32[2], Z: f32[2]) -> (W) { W: f32[2] = neg(Z) }
    }
After:
    graph f(A: f32[2]) -> (R) {
      R: f32[2] = neg(A)
    }

Before:
    graph f(K: u32[2], o: u64) -> (B) {
      B: u32[3] = special random_bits(K, o) {shape = (3)}
    }
After:
    graph f(K: u32[2], o: u64) -> (B) {
      B: u32[3] = assign:u32 [i0] {
        [i0] <- cast.u32(threefry(
          bit_or(cast.u64(K[0]), bit_left(cast.u64(K[1]), 32:u64)), add(o[], cast.u64($(i0):i64)))) }
    }
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tilec.affine import Affine
from tilec.dtypes import I64, U32, U64, DType
from tilec.expr import IndexValue, read
from tilec.fresh import FreshNames
from tilec.graph import Contraction, Custom, Graph, Let, Sink, Special, TensorType
from tilec.loops import row_major
from tilec.monoid import standard
from tilec.rewrite import applied, map_subgraphs, names, with_lets
from tilec.rules import call, cast, constant


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    """The Graph without Custom and random bits, in its sub-Graphs too; the same object where there were none."""
    fresh = FreshNames(names(graph))
    types = graph.types()
    lets: list[Let] = []
    for let in graph.lets:
        match let.node:
            case Custom(forward=body, args=args):
                lets.extend(applied(run(body), args, let, fresh))
            case Special(op="random_bits" | "random_bits64", args=(key, offset)):
                lets.append(replace(let, node=_random_bits(key, offset, types[offset].dtype, let.types[0])))
            case _:
                lets.append(map_subgraphs(let, lambda g: run(g, options)))
    return with_lets(graph, lets)


def _random_bits(key: str, offset: str, counts: DType, result: TensorType) -> Contraction:
    """Element n, in row-major order, is threefry(key, offset + n), or its low word."""
    indices = tuple(f"i{axis}" for axis in range(result.rank))
    cell = tuple(map(Affine.var, indices))
    place = sum((i * stride for i, stride in zip(cell, row_major(result.shape))), Affine())
    low, high = (cast(read(key, (Affine.constant(n),), U32), U64) for n in (0, 1))
    words = call("bit_or", low, call("bit_left", high, constant(32, U64)))
    counter = call("add", cast(read(offset, (), counts), U64), cast(IndexValue(place, I64), U64))
    block = cast(call("threefry", words, counter), result.dtype)
    return Contraction(indices, standard("assign", result.dtype), (block,), (Sink(cell, result.shape),))
