"""The Lets of a Graph as statements of Tile."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tilec.affine import Affine
from tilec.dtypes import F32, I32
from tilec.expr import Access
from tilec.fresh import FreshNames
from tilec.frontends.tile.unparse.body import BodyWriter, unspeakable
from tilec.frontends.tile.unparse.contraction import statement
from tilec.frontends.tile.unparse.forms import form_text, size_text
from tilec.frontends.tile.unparse.names import Names, index_names
from tilec.frontends.tile.unparse.terms import ATOM, Term, combine, convert, known, name, number
from tilec.graph import (
    Apply,
    Attribute,
    Cond,
    Contraction,
    Graph,
    Let,
    Literal,
    Node,
    Param,
    Scan,
    Special,
    TensorType,
    While,
    operands,
)
from tilec.rewrite import names

SHORT = 60  # characters: a longer expression gets a name
MOST_VALUES = 64  # of a constant tensor


@dataclass(slots=True)
class Writer:
    """Writes statement by statement. `terms` holds what is written where it is used, `numbers` the known constants.

    `functions` writes branches, or steps, as functions of the same inputs, and gives their names and the sizes that
    they take behind their parameters.
    """

    graph: Graph
    names: Names
    functions: Callable[[Sequence[Graph]], tuple[list[str], list[str]]]
    types: dict[str, TensorType] = field(init=False)
    terms: dict[str, Term] = field(default_factory=dict)
    numbers: dict[str, int | float] = field(default_factory=dict)
    named: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        self.types = self.graph.types()
        for let in self.graph.lets:
            if isinstance(let.node, Literal) and len(set(let.node.values)) <= 1:
                self.numbers[let.names[0]] = (*let.node.values, 0)[0]
        self.named = self._uses()

    def _uses(self) -> Counter[str]:
        """How often each value is used by its name; what is not an operand of an expression needs one: it counts 2."""
        found: Counter[str] = Counter(2 * self.graph.results)
        for let in self.graph.lets:
            match let.node:
                case Apply(_, args):
                    found.update(a for a in args if not self._scalar_in(let, a))
                case Special(_, args):
                    found.update(args)
                case node:
                    found.update(2 * [n for n in operands(node) if not self._known_in(node, n)])
        return found

    def _scalar_in(self, let: Let, arg: str) -> bool:
        """Whether a constant can be written as a number: another operand has the shape, or there is none."""
        assert isinstance(let.node, Apply)
        shape = let.types[0].shape
        others = (a for a in let.node.args if a not in self.numbers)
        return arg in self.numbers and (not shape or any(self.types[a].shape == shape for a in others))

    def _known_in(self, node: Node, operand: str) -> bool:
        """Whether a contraction needs no name for an operand: a number in its body, or the default zero."""
        if not isinstance(node, Contraction) or operand not in self.numbers:
            return False
        return self.numbers[operand] == 0 if operand in node.defaults else not self.types[operand].shape

    def let(self, let: Let) -> Iterator[str]:
        """Its statements, without semicolons; none where it is written elsewhere. Raises TILE0606."""
        marks = "".join(map(_mark, let.attributes))
        for line in self._statements(let):
            yield marks + line
            marks = ""

    def _statements(self, let: Let) -> Iterator[str]:
        match let.node:
            case Literal() as node:
                if self.named[let.names[0]]:
                    yield self._literal(let, node)
            case Apply(op, args):
                if not known(op):
                    raise unspeakable(f"the operation '{op}'", let.span)
                terms = [self._operand(let, a) for a in args]
                type_ = let.types[0]
                yield from self._kept(let, combine(op, terms, type_.dtype, type_.weak))
            case Special() as node:
                yield from self._special(let, node)
            case Contraction() as node:
                write = BodyWriter(index_names(node.indices), self.names, self._element, let.span)
                default = node.defaults[0]
                tail = "" if default is None or self.numbers.get(default) == 0 else f" default {self._name(default)}"
                yield statement(let, node, self.types, write, tail)
            case Scan(inputs=(), count=str()) as node:  # only beside an input a count is not a constant
                steps = self.names.fresh.numbered("Steps")
                yield f"{steps}[i : {size_text(node.length, self.names)}] = 0"
                self.names.values[steps] = steps
                yield from self._statements(replace(let, node=_along(node, steps)))
            case Cond() | While() | Scan() as node:
                names = ", ".join(map(self._name, let.names))
                yield f"{names if len(let.names) == 1 else f'({names})'} = {self._control(node)}"
            case node:
                raise unspeakable(f"a node '{type(node).__name__.lower()}'", let.span)

    def _control(self, node: Cond | While | Scan) -> str:
        match node:
            case Cond(predicate, then, orelse, args):
                called, sizes = self._functions(then, orelse)
                parts = [self._name(predicate), *called, *map(self._name, args), *sizes]
                return f"cond({', '.join(parts)})"
            case While(condition, body, init, captures):
                called, sizes = self._functions(condition, body)
                rest = [self._group(captures, sizes)] if captures or sizes else []
                parts = [*called, self._group(init), *rest]
                return f"while({', '.join(parts)})"
            case Scan(body, init, inputs, captures, length, reverse, steps):
                word = "scan" if len(body.results) > len(init) else "fold"
                count = [] if inputs else [size_text(length, self.names)]
                count = count if steps is None else [self._name(steps)]
                called, sizes = self._functions(body)
                rest = [self._group(captures, sizes)] if captures or sizes or count else []
                parts = [*called, self._group(init), self._group(inputs), *rest, *count]
                return f"{'reverse_' if reverse else ''}{word}({', '.join(parts)})"

    def _functions(self, *graphs: Graph) -> tuple[list[str], list[str]]:
        """Names of functions, and what sizes they are given, as they are written here."""
        called, sizes = self.functions(graphs)
        return called, [self.names.sizes[s] for s in sizes]

    def _group(self, values: Sequence[str], further: Sequence[str] = ()) -> str:
        names = [*map(self._name, values), *further]
        return names[0] if len(names) == 1 else f"({', '.join(names)})"

    def _name(self, value: str) -> str:
        return self.names.values[value]

    def _kept(self, let: Let, term: Term) -> Iterator[str]:
        """Short expressions that are used once are written there."""
        (value,) = let.names
        if self.named[value] == 1 and len(term.text) <= SHORT and not let.attributes:
            self.terms[value] = term
        else:
            own = term if let.types[0].weak else term.strong or term
            yield f"{self._name(value)} = {own.text}"

    def _operand(self, let: Let, arg: str) -> Term:
        if self._scalar_in(let, arg):
            return number(self.numbers[arg], self.types[arg].dtype)
        return self._term(arg)

    def _term(self, value: str) -> Term:
        """What stands for a value in an expression of whole tensors."""
        if value in self.terms:
            return self.terms[value]
        type_ = self.types[value]
        plain = name(self._name(value), type_.dtype)
        return Term(plain.text, ATOM, type_.dtype, convert(plain, type_.dtype)) if type_.weak else plain

    def _element(self, access: Access) -> Term | None:
        """What stands for a tensor without axes in a body, where it is no plain element."""
        type_ = self.types[access.tensor]
        if type_.shape:
            return None
        if access.tensor in self.numbers:
            return number(self.numbers[access.tensor], type_.dtype)
        plain = name(f"{self._name(access.tensor)}[]", type_.dtype)
        return Term(plain.text, ATOM, type_.dtype, convert(plain, type_.dtype)) if type_.weak else plain

    def _literal(self, let: Let, node: Literal) -> str:
        """A number; a tensor of one number; a tensor that chooses its numbers by their place."""
        dtype, shape = node.type.dtype, node.type.shape
        if not shape:
            only = number(node.values[0], dtype)
            return f"{self._name(let.names[0])} = {(only.strong or only).text}"
        indices = tuple(f"i{a}" for a in range(len(shape)))
        sizes = ", ".join(size_text(s, self.names, let.span) for s in shape)
        cells = f"{self._name(let.names[0])}[{', '.join(indices)} : {sizes}]"
        if let.names[0] in self.numbers:
            return f"{cells} = {self._own(number(self.numbers[let.names[0]], dtype))}"
        if len(node.values) > MOST_VALUES:
            raise unspeakable(f"a constant tensor of more than {MOST_VALUES} different values", let.span)
        place, stride = Affine(), 1
        for index, size in zip(reversed(indices), reversed(shape)):
            place, stride = place + Affine.var(index) * stride, stride * int(str(size))
        text = form_text(place, dict(zip(indices, indices)), self.names)[0]
        *first, last = (self._own(number(v, dtype)) for v in node.values)
        return f"{cells} = " + "".join(f"{text} == {k} ? {v} : " for k, v in enumerate(first)) + last

    def _own(self, value: Term) -> str:
        """A number that stands alone in a body."""
        return value.text if value.strong is None or value.dtype in (F32, I32) else value.strong.text

    def _special(self, let: Let, node: Special) -> Iterator[str]:
        args = ", ".join(self._term(a).text for a in node.args)
        match node.op:
            case "gather" | "scatter" | "scatter_max" | "scatter_min" | "scatter_prod":
                yield from self._kept(let, name(f"{node.op}({args})", let.types[0].dtype))
            case "reshape" | "random_bits" | "random_bits64":
                sizes = "".join(f", {size_text(s, self.names, let.span)}" for s in let.types[0].shape)
                yield from self._kept(let, name(f"{node.op}({args}{sizes})", let.types[0].dtype))
            case "sort":
                for value, word in zip(let.names, ("sort", "argsort"), strict=True):
                    if self.named[value]:
                        yield f"{self._name(value)} = {word}({args}, {node.attribute('axis')})"
            case "assert":
                message = re.sub(r"[^A-Za-z0-9]+", "_", str(node.attribute("message"))).strip("_").lower()
                yield f"{self.names.fresh.numbered('Checked')} = assert_{message or 'holds'}({args})"
            case "prng_step":
                both = self.names.fresh.numbered("Random")
                yield f"{both} = prng_step({args}{''.join(f', {s}' for s in let.types[1].shape)})"
                for value, part in zip(let.names, ("prng_state", "prng_value"), strict=True):
                    yield f"{self._name(value)} = {part}({both})"
            case _:
                raise unspeakable(f"the operation '{node.op}'", let.span)


def _along(node: Scan, steps: str) -> Scan:
    """The loop with an input that no step looks at."""
    carried = len(node.init)
    unused = Param(FreshNames(names(node.body), "_").like("Step"), TensorType(I32))
    params = (*node.body.params[:carried], unused, *node.body.params[carried:])
    return replace(node, body=replace(node.body, params=params), inputs=(steps,))


def _mark(attribute: Attribute) -> str:
    args = f"({', '.join(attribute.args)})" if attribute.args else ""
    return f"[[{attribute.name}{args}]] "
