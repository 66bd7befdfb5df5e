"""Floor 3: text of Graphs.

    graph    ::= "graph" name ["[" sizes "]"] "(" {param ","} ")" "->" "(" {name ","} ")" [aliases] "{" {let} "}"
    aliases  ::= "aliases" "(" {param "=" result ","} ")"
    param    ::= name ":" type ["const" digest]             type ::= ["weak"] dtype ["[" {size ","} "]"]
    let      ::= {"[[" name ["(" {word ","} ")"] "]]"} (name [":" type] {"," ...} | "()") "=" node
    node     ::= op ["." dtype] "(" names ")"                                                          Apply
               | monoid "[" {index ["<" extent] ","} "]" "{" {sink "<-" expr ";"} "}"                  Contraction
                 ["where" {"0" "<=" affine "<" size ","}] ["default" (name | "(" {name | "_" ","} ")")]
               | "special" op "(" names ")" ["{" {name "=" value ","} "}"]
               | "literal" [type] "(" {number ","} ")"
               | "if" name "(" names ")" "then" graph "else" graph
               | "while" "(" names ")" ["const" "(" names ")"] "test" graph "do" graph
               | "scan" "(" names ")" "in" "(" names ")" ["const" "(" names ")"] "length" size ["count" name]
                 ["reverse"] "do" graph
               | "custom" "(" names ")" "forward" graph "backward" graph
               | "remat" "(" names ")" "do" graph
    sink     ::= "[" {affine ","} [":" {size ","}] "]"      the sizes are left out where they are the Let's shape

For example, a matrix product before and after inference:

    graph matmul(A: f32[64, 32], B: f32[32, 16]) -> (C) {
      C = sum:f32 [m, n, k] { [m, n : 64, 16] <- mul(A[m, k], B[k, n]) }
    }
    graph matmul(A: f32[64, 32], B: f32[32, 16]) -> (C) {
      C: f32[64, 16] = sum:f32 [m, n, k] { [m, n] <- mul(A[m, k], B[k, n]) }
    }
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tilec.affine import Poly, Size
from tilec.dtypes import DType
from tilec.graph import (
    Apply,
    AttributeValue,
    Cond,
    Contraction,
    Custom,
    Graph,
    Let,
    Literal,
    Node,
    Param,
    Remat,
    Scan,
    Sink,
    Special,
    TensorType,
    While,
)
from tilec.text.affine_text import print_affine, print_coef
from tilec.text.expr_text import (
    EMPTY,
    Scope,
    number_text,
    operation_text,
    print_expr,
    print_monoid,
)
from tilec.text.graph_parser import GraphParser, implied_shape, let_scope
from tilec.text.lexer import name_text, names_text


def print_graph(graph: Graph) -> str:
    """The text of a Graph, deterministic, ending in a newline; spans are not part of it."""
    return "".join(f"{line}\n" for line in _graph_lines(graph))


def parse_graph(text: str, name: str = "<graph>") -> Graph:
    """Inverse of `print_graph`; does not verify. Raises TileError TILE0601, TILE0411."""
    parser = GraphParser(text, name)
    graph = parser.graph()
    parser.end()
    return graph


def print_node(types: Sequence[TensorType], node: Node) -> str:
    """The text of a node that binds values of `types`, every dtype shown: equal for equal nodes."""
    binders = ", ".join(map(print_type, types))
    return f"{binders} = " + "\n".join(_node_lines(Let((), node, tuple(types)), EMPTY))


def print_type(type: TensorType) -> str:
    return ("weak " if type.weak else "") + str(type.dtype) + (print_sizes(type.shape) if type.shape else "")


def print_sizes(sizes: Sequence[Size]) -> str:
    return "[" + ", ".join(map(print_coef, sizes)) + "]"


def _graph_lines(graph: Graph) -> Iterator[str]:
    sizes = f"[{names_text(graph.sizes)}]" if graph.sizes else ""
    params = ", ".join(map(_param, graph.params))
    aliases = aliases_text(graph.aliases)
    yield f"graph {name_text(graph.name)}{sizes}({params}) -> ({names_text(graph.results)}){aliases} {{"
    scope = Scope({p.name: p.type.dtype for p in graph.params})
    for let in graph.lets:
        yield from _indented(_let_lines(let, scope))
        scope = let_scope(scope, let)
    yield "}"


def aliases_text(aliases: Sequence[tuple[str, str]]) -> str:
    pairs = ", ".join(f"{name_text(a)} = {name_text(b)}" for a, b in aliases)
    return f" aliases ({pairs})" if aliases else ""


def _param(param: Param) -> str:
    digest = "" if param.digest is None else f" const {json.dumps(param.digest)}"
    return f"{name_text(param.name)}: {print_type(param.type)}{digest}"


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _let_lines(let: Let, scope: Scope) -> Iterator[str]:
    for attribute in let.attributes:
        args = f"({names_text(attribute.args)})" if attribute.args else ""
        yield f"[[{name_text(attribute.name)}{args}]]"
    binders = [name_text(n) for n in let.names]
    if let.types:
        binders = [f"{n}: {print_type(t)}" for n, t in zip(binders, let.types, strict=True)]
    lines = _node_lines(let, scope)
    yield f"{', '.join(binders) or '()'} = {next(lines)}"
    yield from lines


def _node_lines(let: Let, scope: Scope) -> Iterator[str]:
    match let.node:
        case Contraction() as node:
            yield _contraction(node, let.types, scope)
        case Apply(op, args, dtype):
            yield f"{operation_text(op, dtype)}({names_text(args)})"
        case Special(op, args, attributes):
            tail = ", ".join(f"{name_text(k)} = {_value(v)}" for k, v in attributes)
            yield f"special {name_text(op)}({names_text(args)})" + (f" {{{tail}}}" if tail else "")
        case Literal(type, values):
            own = "" if let.types == (type,) else print_type(type) + " "
            yield f"literal {own}({', '.join(map(number_text, values))})"
        case node:
            yield from _nested_lines(node)


def _nested_lines(node: Cond | While | Scan | Custom | Remat) -> Iterator[str]:
    match node:
        case Cond(predicate, then, orelse, args):
            head = f"if {name_text(predicate)} ({names_text(args)}) then"
            return _joined([(head, then), ("else", orelse)])
        case While(condition, body, init, captures):
            head = f"while ({names_text(init)}){_captures(captures)} test"
            return _joined([(head, condition), ("do", body)])
        case Scan(body, init, inputs, captures, length, reverse, count):
            head = f"scan ({names_text(init)}) in ({names_text(inputs)}){_captures(captures)}"
            head += f" length {print_coef(length)}" + (f" count {name_text(count)}" if count is not None else "")
            head += " reverse do" if reverse else " do"
            return _joined([(head, body)])
        case Custom(forward, backward, args):
            return _joined([(f"custom ({names_text(args)}) forward", forward), ("backward", backward)])
        case Remat(body, args):
            return _joined([(f"remat ({names_text(args)}) do", body)])


def _captures(captures: tuple[str, ...]) -> str:
    return f" const ({names_text(captures)})" if captures else ""


def _joined(parts: Sequence[tuple[str, Graph]]) -> Iterator[str]:
    """`head graph head graph`, each head on the line of the brace before it."""
    pending = ""
    for head, graph in parts:
        pending += head + " "
        for line in _graph_lines(graph):
            if line == "}":
                pending = "} "
                continue
            yield pending + line
            pending = ""
    yield "}"


def _value(value: AttributeValue) -> str:
    match value:
        case tuple():
            return "(" + ", ".join(map(_value, value)) + (",)" if len(value) == 1 else ")")
        case str():
            return json.dumps(value)
        case DType():
            return value.name
        case Poly():
            return f"[{print_coef(value)}]"
        case _:
            return number_text(value)


def _contraction(node: Contraction, types: Sequence[TensorType], scope: Scope) -> str:
    text = f"{print_monoid(node.monoid)} [{_index_list(node)}] {{ "
    dtypes = [c.dtype for c in node.monoid.identity]
    text += "; ".join(
        f"{_sink(sink, implied_shape(types, i))} <- {print_expr(body, scope, dtype)}"
        for i, (sink, body, dtype) in enumerate(zip(node.sinks, node.body, dtypes, strict=True))
    )
    text += " }"
    if node.constraints:
        text += " where " + ", ".join(f"0 <= {print_affine(c.form)} < {print_coef(c.bound)}" for c in node.constraints)
    return text + _defaults(node)


def _index_list(node: Contraction) -> str:
    names = [name_text(i) for i in node.indices]
    if node.extents:
        names = [f"{i} < {print_coef(e)}" for i, e in zip(names, node.extents, strict=True)]
    return ", ".join(names)


def _sink(sink: Sink, implied: tuple[Size, ...] | None) -> str:
    indices = ", ".join(map(print_affine, sink.indices))
    if sink.shape == implied:
        return f"[{indices}]"
    return f"[{indices} : {', '.join(map(print_coef, sink.shape))}]"


def _defaults(node: Contraction) -> str:
    if node.defaults == (None,) * node.monoid.arity:
        return ""
    words = ["_" if d is None else name_text(d) for d in node.defaults]
    return f" default {words[0]}" if len(words) == 1 else f" default ({', '.join(words)})"
