"""Checks of one statement that need no shapes: names, cases, arities, affine indices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tilec.errors import Note, Report, Span, TileError
from tilec.frontends.tile import functions as table
from tilec.frontends.tile import habits
from tilec.frontends.tile.complaints import (
    ELEMENT_INSIDE,
    did_you_mean,
    float_in_index,
    gradients,
    nearest,
    not_affine,
    plural,
    undefined,
    unknown_function,
    wrong_case,
)
from tilec.frontends.tile.functions import MANY
from tilec.frontends.tile.limits import MAX_DIAGNOSTICS
from tilec.frontends.tile.places import MODES, has_element, is_moved, unmoved
from tilec.frontends.tile.static_control import check_control, function_named
from tilec.frontends.tile.syntax import (
    Assign,
    Binary,
    Call,
    Check,
    Contract,
    Expression,
    Function,
    Group,
    Ident,
    Index,
    List,
    Name,
    Number,
    Statement,
    Ternary,
    Unary,
)
from tilec.frontends.tile.trees import children, has_index, is_control

ATTRIBUTES = ("checkpoint", "schedule")  # those with a meaning

@dataclass(frozen=True, slots=True)
class Checker:
    """`names` are bound before the statement, `later` by this or a later one; `unused` are read by no statement.

    `ranks` are those that show without shapes: of inputs with declared sizes, and of contractions.
    """

    names: Mapping[str, Span]
    later: Mapping[str, Span]
    functions: Mapping[str, Function]
    report: Report
    testing: bool
    unused: Mapping[str, Span]
    ranks: Mapping[str, int]

    def _add(self, found: TileError) -> None:
        self.report.diagnostics += found.diagnostics

    # statements

    def assignment(self, statement: Assign) -> None:
        wanted = len(statement.targets)
        if isinstance(statement.value, Call):
            results = self._results(statement.value)
        else:
            self.value(statement.value)
            results = 1
        if results is not None and results != wanted:
            text = f"the value has {plural(results, 'result')}, {plural(wanted, 'name')} given"
            self.report.error("TILE0113", text, statement.span)

    def contraction(self, statement: Contract) -> None:
        for index in statement.indices:
            self.index(index)
        for size in statement.sizes or ():
            self.size(size)
        if statement.sizes is not None and len(statement.sizes) != len(statement.indices):
            self.report.error(
                "TILE0204",
                f"'{statement.target.text}' has {plural(len(statement.indices), 'index')} "
                f"and {plural(len(statement.sizes), 'size')}",
                statement.sizes[0].span.to(statement.sizes[-1].span) if statement.sizes else statement.target.span,
                help="give one size per index after the ':'",
            )
        self.body(statement.body, whole=True)
        for constraint in statement.constraints:
            self._constraint(constraint)
        if statement.default is not None:
            self._name(statement.default)

    def _constraint(self, constraint: Expression) -> None:
        if not isinstance(constraint, Binary) or constraint.op != "<":
            self.report.error(
                "TILE0215", "a constraint is 'index < size'", constraint.span, help="'i < n' means 0 <= i and i < n"
            )
            return
        self.index(constraint.left)
        if has_index(constraint.right):
            self.report.error(
                "TILE0220",
                "the right side of a constraint is a constant",
                constraint.right.span,
                help="for 'j < i' write 'i - j - 1 < N', which means 0 <= i - j - 1 and i - j - 1 < N",
            )
        else:
            self.size(constraint.right)

    def check(self, statement: Check) -> None:
        name = statement.call.function
        if name.text == table.CHECK_GRADIENT:
            self._check_gradient(statement.call)
            return
        if name.text not in table.TEST_CHECKS:
            self._add(unknown_function(name, [*table.TEST_CHECKS, table.CHECK_GRADIENT], {}))
            return
        self._count(name, len(statement.call.args), table.TEST_CHECKS[name.text], statement.call.span)
        for arg in statement.call.args:
            self.value(arg)

    def _check_gradient(self, call: Call) -> None:
        for arg in call.args[1:]:
            self.value(arg)
        if not call.args:
            help = "check_grad(f, A, B) compares the gradients of f at (A, B) with differences"
            self.report.error("TILE0106", "'check_grad' takes a function and its arguments", call.span, help=help)
        elif (function := function_named(call.args[0], self.functions, self.report)) is not None:
            count = len(function.inputs)
            self._count(call.function, len(call.args), (count + 1, count + 1), call.span)

    # expressions

    def value(self, expression: Expression) -> None:
        """An elementwise expression over whole tensors."""
        match expression:
            case Number():
                pass
            case Name():
                self._name(expression.ident)
            case Index():
                self._element(expression)
            case Call():
                self._single(expression, self._results(expression))
            case Ternary(orelse=None):
                self._no_else(expression)
            case List() if not self.testing:
                self.report.error("TILE0013", "nested lists are data of tests", expression.span)
            case Group():
                self._group(expression)
            case _:
                for child in children(expression):
                    self.value(child)

    def _element(self, expression: Index) -> None:
        self._name(expression.tensor)
        if expression.indices:
            self.report.error(
                "TILE0217",
                f"'{expression.tensor.text}[...]' is an element; this expression is of whole tensors",
                expression.span,
                help="write a contraction such as 'O[i] = A[i];', or leave the indices out",
            )

    def body(self, expression: Expression, whole: bool = False) -> None:
        """An expression over elements and index values."""
        match expression:
            case Number():
                pass
            case Name():
                if expression.ident.kind == "tensor":
                    self._name(expression.ident)
            case Index():
                self._name(expression.tensor)
                self._rank(expression)
                for index in expression.indices:
                    self._place(index)
            case Call():
                self._body_call(expression)
            case Ternary(orelse=None) if not (whole and _is_equality(expression.condition)):
                self._no_else(expression)
            case List():
                self.report.error("TILE0013", "nested lists are data of tests", expression.span)
            case Group():
                self._group(expression)
            case _:
                for child in children(expression):
                    self.body(child)

    def _place(self, index: Expression) -> None:
        """An index of a read: affine, of elements, or one of these with a boundary mode."""
        if isinstance(index, Call) and is_moved(index):
            wanted = 2 if index.function.text == "pad" else 1
            self._count(index.function, len(index.args), (wanted, wanted), index.span)
            for fill in index.args[1:]:
                self.size(fill)
        if has_element(unmoved(index)):
            self.body(unmoved(index))
        else:
            self.index(unmoved(index))

    def _rank(self, expression: Index) -> None:
        name, count = expression.tensor.text, len(expression.indices)
        if (rank := self.ranks.get(name, count)) != count:
            notes = [Note(f"'{name}' is bound at {self.names[name]}", self.names[name])] if name in self.names else []
            text = f"'{name}' has rank {rank}, {plural(count, 'index')} given"
            self.report.error("TILE0202", text, expression.span, notes=notes)

    def _body_call(self, call: Call) -> None:
        name = call.function.text
        if name in self.functions or table.is_whole(name):
            self.report.error(
                "TILE0218",
                f"'{name}' works on whole tensors; the body of a contraction takes elementwise builtins",
                call.function.span,
                help="call it in a statement of its own",
            )
            for arg in call.args:
                self.body(arg)
            return
        self._single(call, self._call(call, self.body))

    def _no_else(self, expression: Ternary) -> None:
        self.report.error(
            "TILE0011",
            "'?' without ':'",
            expression.span,
            help="'A == B ? C' without ':' is only for the whole body of a contraction; add ': 0'",
        )

    def size(self, expression: Expression) -> None:
        """A compile-time expression of sizes."""
        match expression:
            case Name() if expression.ident.kind == "index":
                self._add(wrong_case(expression.ident, "a size"))
            case Index() if expression.indices:
                self._element_as_index(expression)
            case Name():
                self._name(expression.ident)
            case Index():
                self._name(expression.tensor)
            case Call():
                self._single(expression, self._call(expression, self.size))
            case Ternary(orelse=None):
                self._no_else(expression)
            case List():
                self.report.error("TILE0013", "nested lists are data of tests", expression.span)
            case Group():
                self._group(expression)
            case _:
                for child in children(expression):
                    self.size(child)

    def index(self, expression: Expression) -> bool:
        """An affine index; returns whether an index variable occurs."""
        match expression:
            case Number():
                if isinstance(expression.value, float):
                    self._add(float_in_index(expression))
                return False
            case Name():
                if expression.ident.kind == "index":
                    return True
                self._size_in_index(expression.ident)
                return False
            case Unary(op="-" | "+"):
                return self.index(expression.operand)
            case Binary(op="+" | "-"):
                found = [self.index(expression.left), self.index(expression.right)]
                return any(found)
            case Binary(op="*" | "/"):
                return self._scaled(expression)
            case Index() if expression.indices:
                self._element_as_index(expression)
                return False
        if isinstance(expression, Call) and expression.function.text in MODES:
            help = "it is the whole index of an element that is read, as in 'A[clamp(i - 1)]'"
            text = f"'{expression.function.text}' inside another index"
            self.report.error("TILE0226", text, expression.function.span, help=help)
        elif has_index(expression):
            self._add(not_affine(expression.span, "an index variable inside another operation"))
        else:
            self.size(expression)
        return False

    def _scaled(self, expression: Binary) -> bool:
        left, right = self.index(expression.left), self.index(expression.right)
        if left and right and expression.op == "*":
            self._add(not_affine(expression.span, "a product of index variables"))
        elif right and expression.op == "/":
            self._add(not_affine(expression.span, "a division by an index variable"))
        return left or right

    def _known(self, names: Mapping[str, Span]) -> Mapping[str, Span]:
        """Names that may have been meant; none once there are errors enough: the search takes time."""
        return names if len(self.report.diagnostics) < MAX_DIAGNOSTICS else {}

    def _size_in_index(self, name: Ident) -> None:
        if name.text in self.names or name.text in self.later or nearest(name.text, self._known(self.names)):
            self._name(name)
        else:
            self._add(wrong_case(name, "an index, but no size of that name is bound"))

    def _element_as_index(self, expression: Index) -> None:
        self._name(expression.tensor)
        self._add(not_affine(expression.span, ELEMENT_INSIDE))

    def _name(self, name: Ident) -> None:
        if name.kind != "tensor":
            self._add(wrong_case(name, "a tensor"))
        elif name.text not in self.names:
            self._add(undefined(name, self._known(self.names), self.later.get(name.text), self.unused))

    # calls

    def _results(self, call: Call) -> int | None:
        """The count of results of a call among whole tensors, a branch or loop included."""
        if is_control(call, self.functions):
            return check_control(call, self.functions, self.report, self.value)
        return self._call(call, self.value)

    def _group(self, expression: Group) -> None:
        help = "only 'while', 'scan' and 'fold' take several values as one argument: scan(step, (H, C), Xs)"
        self.report.error("TILE0120", "several values in parentheses", expression.span, help=help)

    def _call(self, call: Call, visit: Callable[[Expression], None]) -> int | None:
        """Checks name and count of arguments; returns the count of results, None where unknown."""
        for arg in call.args:
            visit(arg)
        name = call.function
        count = len(call.args)
        if name.text in self.functions:
            function = self.functions[name.text]
            wanted = len(function.inputs)
            self._count(name, count, (wanted, wanted), call.span)
            return len(function.outputs)
        if name.text in table.GRADIENTS:
            self._add(gradients(name.span, name.text))
            return None
        if name.text in table.CONTROL and name.text != "cond":
            text = f"'{name.text}' cannot stand in an index or size"
            self.report.error("TILE0218", text, name.span, help="call it in a statement of its own")
            return None
        arity = table.TEST_DATA.get(name.text) if self.testing else None
        arity = arity or table.arity(name.text)
        if arity is None:
            many = len(self.report.diagnostics) >= MAX_DIAGNOSTICS
            self._add(unknown_function(name, table.known(), {} if many else self.functions))
            return None
        self._count(name, count, arity, call.span)
        return 1

    def _count(self, name: Ident, count: int, wanted: tuple[int, int], span: Span) -> None:
        low, high = wanted
        if not low <= count <= high:
            text = plural(low, "argument")
            if low != high:
                text = f"at least {text}" if high >= MANY else f"{low} to {high} arguments"
            help = habits.arguments(name.text, count)
            self.report.error("TILE0106", f"'{name.text}' takes {text}, {count} given", span, help=help)

    def _single(self, call: Call, results: int | None) -> None:
        if results is not None and results != 1:
            self.report.error(
                "TILE0113",
                f"'{call.function.text}' has {results} results; an expression takes one",
                call.span,
                help="bind them first: '(A, B) = ...;'",
            )


def _is_equality(expression: Expression) -> bool:
    return isinstance(expression, Binary) and expression.op == "=="


def check_attributes(statement: Statement, report: Report) -> None:
    """Attributes are free, but one that is almost the name of one with a meaning is probably misspelt."""
    for attribute in getattr(statement, "attributes", ()):
        name = attribute.name
        if name.text not in ATTRIBUTES and (help := did_you_mean(name.text, ATTRIBUTES)) is not None:
            report.warning("TILE0122", f"the attribute '{name.text}' has no meaning", name.span, help=help)
