"""Floor 3: the parser of Graphs; their grammar is in `tilec.text.graph_text`."""

from __future__ import annotations

from collections.abc import Sequence

from tilec.affine import Size
from tilec.expr import Expr
from tilec.graph import (
    Apply,
    Attribute,
    AttributeValue,
    Cond,
    Constraint,
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
from tilec.text.expr_text import ExprParser, Scope, split_operation

_SUBGRAPH_LEVELS = 6  # a sub-Graph takes about this many frames of the parser as one pair of parentheses


def let_scope(scope: Scope, let: Let) -> Scope:
    """The scope after a Let; names without a type stay unknown."""
    found = {n: t.dtype for n, t in zip(let.names, let.types)}
    return Scope({**scope.tensors, **found}, scope.scalars) if found else scope


def implied_shape(types: Sequence[TensorType], component: int) -> tuple[Size, ...] | None:
    """The sizes of a sink that are left out, for a component of a node that binds `types`."""
    return types[component].shape if component < len(types) else None


class GraphParser(ExprParser):
    """Recursive descent over the grammar in `tilec.text.graph_text`."""

    def graph(self) -> Graph:
        self.expect("graph")
        name = self.name()
        sizes = self.items(self.name, "]") if self.accept("[") else ()
        self.expect("(")
        params = self.items(self._param, ")")
        self.expect("->")
        results = self.name_list()
        aliases = self.aliases()
        self.expect("{")
        lets: list[Let] = []
        scope = Scope({p.name: p.type.dtype for p in params})
        with self.nested(_SUBGRAPH_LEVELS):
            while not self.accept("}"):
                lets.append(self._let(scope))
                scope = let_scope(scope, lets[-1])
        return Graph(name, params, tuple(lets), results, sizes, aliases)

    def aliases(self) -> tuple[tuple[str, str], ...]:
        if not self.accept("aliases"):
            return ()
        self.expect("(")
        return self.items(self._pair, ")")

    def _pair(self) -> tuple[str, str]:
        left = self.name()
        self.expect("=")
        return left, self.name()

    def _param(self) -> Param:
        name = self.name()
        self.expect(":")
        return Param(name, self.type(), self.string() if self.accept("const") else None)

    def type(self) -> TensorType:
        weak = self.accept("weak")
        dtype = self.dtype()
        return TensorType(dtype, self.sizes() if self.at("[") else (), weak)

    def _let(self, scope: Scope) -> Let:
        attributes: list[Attribute] = []
        while self.at("["):
            attributes.append(self._attribute())
        names, types = self._binders()
        self.expect("=")
        return Let(names, self._node(types, scope), types, tuple(attributes))

    def _attribute(self) -> Attribute:
        self.expect("[")
        self.expect("[")
        name = self.name()
        args = self.name_list() if self.at("(") else ()
        self.expect("]")
        self.expect("]")
        return Attribute(name, args)

    def _binders(self) -> tuple[tuple[str, ...], tuple[TensorType, ...]]:
        if self.accept("("):
            self.expect(")")
            return (), ()
        names, types = [self.name("a name, or '}'")], []
        if self.accept(":"):
            types.append(self.type())
        while self.accept(","):
            names.append(self.name())
            if types:
                self.expect(":")
                types.append(self.type())
        return tuple(names), tuple(types)

    def _node(self, types: tuple[TensorType, ...], scope: Scope) -> Node:
        token = self.token
        if token.kind == "name":
            match token.text:
                case "special":
                    return self._special()
                case "literal":
                    return self._literal(types)
                case "if" | "while" | "scan" | "custom" | "remat":
                    return self._nested_node()
                case "monoid":
                    return self._contraction(types, scope)
        if self.at(":", 1):
            return self._contraction(types, scope)
        op, dtype = split_operation(self.name("an operation"))
        return Apply(op, self.name_list(), dtype)

    def _special(self) -> Special:
        self.expect("special")
        op, args = self.name(), self.name_list()
        return Special(op, args, self.items(self._attribute_value, "}") if self.accept("{") else ())

    def _attribute_value(self) -> tuple[str, AttributeValue]:
        name = self.name()
        self.expect("=")
        return name, self._value()

    def _value(self) -> AttributeValue:
        if self.accept("("):
            with self.nested():
                return self.items(self._value, ")")
        if self.accept("["):
            value = self.size()
            self.expect("]")
            return value
        if self.token.kind == "string":
            return self.string()
        if self.token.kind == "number" or any(map(self.at, ("-", "inf", "nan"))):
            return self.number()
        return self.dtype()

    def _literal(self, types: tuple[TensorType, ...]) -> Literal:
        self.expect("literal")
        if self.at("(") and len(types) != 1:
            self.expected("a type")
        type = types[0] if self.at("(") else self.type()
        self.expect("(")
        return Literal(type, self.items(self.number, ")"))

    def _nested_node(self) -> Node:
        match self.advance().text:
            case "if":
                predicate, args = self.name(), self.name_list()
                return Cond(predicate, self._part("then"), self._part("else"), args)
            case "while":
                init, captures = self.name_list(), self._captures()
                return While(self._part("test"), self._part("do"), init, captures)
            case "scan":
                return self._scan()
            case "custom":
                args = self.name_list()
                return Custom(self._part("forward"), self._part("backward"), args)
            case _:
                args = self.name_list()
                return Remat(self._part("do"), args)

    def _scan(self) -> Scan:
        init = self.name_list()
        self.expect("in")
        inputs, captures = self.name_list(), self._captures()
        self.expect("length")
        length = self.size()
        count = self.name() if self.accept("count") else None
        reverse = self.accept("reverse")
        return Scan(self._part("do"), init, inputs, captures, length, reverse, count)

    def _part(self, word: str) -> Graph:
        self.expect(word)
        return self.graph()

    def _captures(self) -> tuple[str, ...]:
        return self.name_list() if self.accept("const") else ()

    def _contraction(self, types: tuple[TensorType, ...], scope: Scope) -> Contraction:
        monoid = self.monoid()
        indices, extents = self._index_list()
        self.expect("{")
        sinks: list[Sink] = []
        body: list[Expr] = []
        while not self.accept("}"):
            if len(sinks) == monoid.arity:
                self.expected("'}', for the aggregation has no more components")
            sinks.append(self._sink(implied_shape(types, len(sinks))))
            self.expect("<-")
            body.append(self.expr(scope, monoid.identity[len(body)].dtype))
            if not self.at("}"):
                self.expect(";")
        constraints = self._constraints() if self.accept("where") else ()
        defaults = self._defaults() if self.accept("default") else (None,) * monoid.arity
        return Contraction(indices, monoid, tuple(body), tuple(sinks), constraints, defaults, extents)

    def _index_list(self) -> tuple[tuple[str, ...], tuple[Size, ...]]:
        self.expect("[")
        indices: list[str] = []
        extents: list[Size] = []
        while not self.accept("]"):
            indices.append(self.name("an index"))
            if (len(indices) == 1 or extents) and self.at("<"):
                self.expect("<")
                extents.append(self.size())
            if len(extents) not in (0, len(indices)):
                self.expected("'<'")
            if not self.at("]"):
                self.expect(",")
        return tuple(indices), tuple(extents)

    def _sink(self, implied: tuple[Size, ...] | None) -> Sink:
        self.expect("[")
        indices = []
        with self.nested():
            while not (self.at("]") or self.at(":")):
                indices.append(self.affine())
                if not self.accept(","):
                    break
        if self.accept(":"):
            return Sink(tuple(indices), self.items(self.size, "]"))
        if implied is None:
            self.expected("':' and the sizes, which no type implies here")
        self.expect("]")
        return Sink(tuple(indices), implied)

    def _constraints(self) -> tuple[Constraint, ...]:
        found = [self._constraint()]
        while self.accept(","):
            found.append(self._constraint())
        return tuple(found)

    def _constraint(self) -> Constraint:
        if not (self.at("0") or self.token.text == "0"):
            self.expected("'0 <='")
        self.advance()
        self.expect("<=")
        form = self.affine()
        self.expect("<")
        return Constraint(form, self.size())

    def _defaults(self) -> tuple[str | None, ...]:
        if self.accept("("):
            return self.items(self._default, ")")
        return (self._default(),)

    def _default(self) -> str | None:
        return None if self.accept("_") else self.name()
