"""The parser: every construct gives the tree that docs/language.md promises, with the right spans."""

from __future__ import annotations

import json
import logging
from itertools import chain
from pathlib import Path

import pytest
from lark import Lark, logger

from tests.language.mutate import SEEDS, campaign
from tilec.errors import Span, TileError
from tilec.frontends.tile import syntax as s
from tilec.frontends.tile.forms import walk
from tilec.frontends.tile.parser import decode, parse

GRAMMAR = Path(__file__).resolve().parents[2] / "grammar" / "tile.lark"


def show(node: s.Expression) -> str:
    """An expression with a pair of parentheses around every operation."""
    match node:
        case s.Number(value):
            return repr(value)
        case s.Name(ident):
            return ident.text
        case s.Index(tensor, indices):
            return f"{tensor.text}[{', '.join(map(show, indices))}]"
        case s.Call(function, args):
            return f"{function.text}({', '.join(map(show, args))})"
        case s.Unary(op, operand):
            return f"({op}{show(operand)})"
        case s.Binary(op, left, right):
            return f"({show(left)} {op} {show(right)})"
        case s.Ternary(condition, then, None):
            return f"({show(condition)} ? {show(then)})"
        case s.Ternary(condition, then, orelse):
            return f"({show(condition)} ? {show(then)} : {show(orelse) if orelse else ''})"
        case s.List(items):
            return f"[{', '.join(map(show, items))}]"
        case s.Group(items):
            return f"({', '.join(map(show, items))})"


def body(statements: str) -> tuple[s.Statement, ...]:
    return parse(f"function (A) -> (B) {{ {statements} }}").functions[0].body


def contraction(statement: str) -> s.Contract:
    (node,) = body(statement)
    assert isinstance(node, s.Contract)
    return node


def value(expression: str) -> s.Expression:
    (node,) = body(f"B = {expression};")
    assert isinstance(node, s.Assign)
    return node.value


def codes(text: str) -> list[str]:
    with pytest.raises(TileError) as caught:
        parse(text)
    return [d.code for d in caught.value.diagnostics]


def sliced(span: Span) -> str:
    return span.source.text[span.start : span.end]


# the grammar


def conflicts(grammar: str, caplog: pytest.LogCaptureFixture) -> int:
    """Lark resolves a shift/reduce conflict silently, unless debugging; a reduce/reduce one is always an error."""
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.DEBUG, logger=logger.name):
            Lark(grammar, parser="lalr", debug=True)
    finally:
        logger.removeHandler(caplog.handler)
    return sum("conflict" in record.message.lower() for record in caplog.records)


def test_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    assert conflicts(GRAMMAR.read_text(encoding="utf-8"), caplog) == 0


def test_conflicts_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    plus = GRAMMAR.read_text(encoding="utf-8").replace("?unary: atom", '?unary: atom | "+" unary -> prefix')
    assert conflicts(plus, caplog) > 0


@pytest.mark.parametrize("text", SEEDS)
def test_grammar_stands_alone(text: str) -> None:
    """The same file is a complete grammar for Lark's own contextual lexer."""
    Lark(GRAMMAR.read_text(encoding="utf-8"), parser="lalr").parse(text)


# expressions


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("A + B * C - D", "((A + (B * C)) - D)"),
        ("A - B - C", "((A - B) - C)"),
        ("A / B * C % D", "(((A / B) * C) % D)"),
        ("-A * B", "((-A) * B)"),
        ("- -A", "(-(-A))"),
        ("~A & !B", "((~A) & (!B))"),
        ("A << 1 + B", "(A << (1 + B))"),
        ("A >> B >> C", "((A >> B) >> C)"),
        ("A < B << 1", "(A < (B << 1))"),
        ("A < B == C > D", "((A < B) == (C > D))"),
        ("A & B == C", "(A & (B == C))"),
        ("A | B & C ^ D", "((A | (B & C)) ^ D)"),
        ("A ^ B | C", "(A ^ (B | C))"),
        ("A ^ B ? C ^ D : E", "((A ^ B) ? (C ^ D) : E)"),
        ("A ? B : C ? D : E", "(A ? B : (C ? D : E))"),
        ("A ? B ? C : D : E", "(A ? (B ? C : D) : E)"),
        ("(A ? B : C) ? D : E", "((A ? B : C) ? D : E)"),
        ("(A + B) * C", "((A + B) * C)"),
        ("f(A, g(), -B)", "f(A, g(), (-B))"),
        ("A[i, j + 1] + S[]", "(A[i, (j + 1)] + S[])"),
        ("W[Idx[i]]", "W[Idx[i]]"),
        ("A[2i + 3j]", "A[((2 * i) + (3 * j))]"),
        ("A[-2i / 3]", "A[((-(2 * i)) / 3)]"),
        ("2N", "(2 * N)"),
        ("1.5 + 2. + .5 + 1e3 + 2.5e-1 + 2e1", "(((((1.5 + 2.0) + 0.5) + 1000.0) + 0.25) + 20.0)"),
        ("007", "7"),
        ("9223372036854775807", "9223372036854775807"),
        ("X' + #a + $I", "((X' + a) + I)"),
    ],
)
def test_expressions(text: str, tree: str) -> None:
    assert show(value(text)) == tree


def test_sigils_decide_the_kind() -> None:
    names = [n.ident for n in walk(value("A + #a + $A + a + _x + _X")) if isinstance(n, s.Name)]
    assert [(n.text, n.kind) for n in names] == [
        ("A", "tensor"),
        ("a", "tensor"),
        ("A", "index"),
        ("a", "index"),
        ("_x", "index"),
        ("_X", "tensor"),
    ]


def test_numbers_keep_their_type() -> None:
    assert [type(n.value) for n in walk(value("1 + 1.0 + 1e0")) if isinstance(n, s.Number)] == [int, float, float]


# statements


def test_contraction() -> None:
    node = contraction("O[i, 2*j : N, 2*M] = >(A[i, j + k]), k < 2, j - k < M no_defract default D;")
    assert node.target.text == "O"
    assert [show(e) for e in node.indices] == ["i", "(2 * j)"]
    assert node.sizes is not None
    assert [show(e) for e in node.sizes] == ["N", "(2 * M)"]
    assert (node.aggregation, node.accumulator, node.dtype) == (">", None, None)
    assert show(node.body) == "A[i, (j + k)]"
    assert [show(e) for e in node.constraints] == ["(k < 2)", "((j - k) < M)"]
    assert node.no_defract
    assert node.default is not None
    assert node.default.text == "D"


@pytest.mark.parametrize(
    ("text", "aggregation"),
    [
        ("O[i : N] = +(A[i]);", "+"),
        ("O[i : N] = *(A[i]);", "*"),
        ("O[i:N]=>(A[i]);", ">"),
        ("O[i:N]=<(A[i]);", "<"),
        ("O[i:N]= =(A[i]);", "="),
        ("O[i : N] += A[i];", "+"),
        ("O[i : N] *= A[i];", "*"),
        ("O[i : N] >= A[i];", ">"),
        ("O[i : N] <= A[i];", "<"),
        ("O[i : N] = A[i];", "plain"),
        ("O[i : N] = (A[i]);", "plain"),
        ("O[i : N] = -A[i] * 2;", "plain"),
    ],
)
def test_aggregations(text: str, aggregation: str) -> None:
    node = contraction(text)
    assert node.aggregation == aggregation
    assert node.constraints == ()
    assert node.default is None


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("O[]", 0), ("O[ : ]", 0), ("O[i]", None), ("O[i : ]", None), ("O[i, j : N, 3]", 2), ("O[i : N, 3]", 2)],
)
def test_sizes_may_be_left_out(text: str, sizes: int | None) -> None:
    found = contraction(f"{text} = +(A[i]);").sizes
    assert (None if found is None else len(found)) == sizes


def test_types_of_output_and_accumulator() -> None:
    node = contraction("O[m : M]: i32 = +:f64(A[m]);")
    assert (node.dtype and node.dtype.text, node.accumulator and node.accumulator.text) == ("i32", "f64")
    node = contraction("O[m]: i32 += A[m, k];")
    assert (node.dtype and node.dtype.text, node.accumulator) == ("i32", None)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("= +(A[i] == B[i] ? C[i])", "((A[i] == B[i]) ? C[i])"),
        ("+= A[i] == B[i] ? C[i]", "((A[i] == B[i]) ? C[i])"),
        ("= >(A[i] == B[i] ? C[i] : D[i])", "((A[i] == B[i]) ? C[i] : D[i])"),
        ("= +(A[i] ? B[i] ? C[i] : D[i])", "(A[i] ? (B[i] ? C[i] : D[i]))"),
        ("= +(exp(A[i] - M[]) * i)", "(exp((A[i] - M[])) * i)"),
    ],
)
def test_bodies(text: str, tree: str) -> None:
    assert show(contraction(f"O[] {text};").body) == tree


def test_attributes() -> None:
    node, plain = body('[[hello(world, 2, 1.5, "x")]] [[fast, slow()]] O[i : N] = +(A[i]); [[here]] B = W[Idx[i]];')
    assert isinstance(node, s.Contract)
    assert [(a.name.text, a.args) for a in node.attributes] == [
        ("hello", ("world", "2", "1.5", '"x"')),
        ("fast", ()),
        ("slow", ()),
    ]
    assert sliced(node.span).startswith("hello(world")
    assert isinstance(plain, s.Assign)
    assert plain.attributes[0].name.text == "here"


def test_several_results() -> None:
    (node,) = body("(Q, R) = f(A);")
    assert isinstance(node, s.Assign)
    assert [t.text for t in node.targets] == ["Q", "R"]


# functions, tests, comments


def test_signature() -> None:
    program = parse("function dot<T: float, U>(A[M, 3]: T, #b[]: U, S) -> (C: T, D) { C = A; D = S; }")
    (function,) = program.functions
    assert function.name is not None
    assert function.name.text == "dot"
    assert [(g.name.text, g.category and g.category.text) for g in function.generics] == [("T", "float"), ("U", None)]
    first, second, third = function.inputs
    assert first.dims is not None
    assert [d.text if isinstance(d, s.Ident) else d.value for d in first.dims] == ["M", 3]
    assert first.dtype is not None
    assert (first.dtype.text, second.dims, third.dims, third.dtype) == ("T", (), None, None)
    assert [(o.name.text, o.dtype and o.dtype.text) for o in function.outputs] == [("C", "T"), ("D", None)]
    assert sliced(first.span) == "A[M, 3]: T"
    assert sliced(function.span) == program.source.text


def test_anonymous_function_without_inputs() -> None:
    (function,) = parse("function () -> (B) { B = 1; }").functions
    assert function.name is None
    assert function.inputs == ()


def test_tests() -> None:
    program = parse(
        'test "a \\"b\\" \\\\" { A = [[1, -2], []]; assert_close(f(A), A, 1e-3); } function f(A)->(B) { B=A; }'
    )
    (test,) = program.tests
    assert test.name == 'a "b" \\'
    data, check = test.body
    assert isinstance(data, s.Assign)
    assert show(data.value) == "[[1, (-2)], []]"
    assert isinstance(check, s.Check)
    assert show(check.call) == "assert_close(f(A), A, 0.001)"


def test_doc_comments_belong_to_the_next_function() -> None:
    text = """
    /// One.
    ///   Two.
    // no part of it
    function f(A) -> (B) { /// lost
        B = A; }
    function g(A) -> (B) { B = A; }
    """
    assert [f.doc for f in parse(text).functions] == ["One.\nTwo.", None]


def test_comments_and_white_space() -> None:
    assert len(body("B = A /* x * / ; */ + 1; // C = 2;\r\n\tC = A; /**/ /***/ D = C;\f")) == 3
    assert show(value("A /* a */ - /* b */ 1 // c\n")) == "(A - 1)"


def test_words_are_keywords_only_in_their_place() -> None:
    names = ["test", "default", "no_defract", "import", "gradient", "as", "f32", "int8", "bool"]
    for name in names:
        node = contraction(f"O[{name} : N] = +(A[{name} + 1, 2{name}] * {name}), {name} < 3;")
        assert show(node.indices[0]) == name
    assert parse("function test(A) -> (B) { B = default(A); }").functions[0].name is not None


def test_byte_order_mark_is_skipped() -> None:
    assert parse("\ufefffunction (A) -> (B) { B = A; }").functions


# spans


@pytest.mark.parametrize("text", SEEDS)
def test_the_text_of_a_span_is_the_node(text: str) -> None:
    """Parsing only the text under a node's span gives the same tree again."""
    count = 0
    for root in expressions(parse(text)):
        for node in walk(root):
            if isinstance(node, s.Ternary) and node.orelse is None:
                continue
            test = parse(f'test "t" {{ X = {sliced(node.span)}; }}').tests[0].body[0]
            assert isinstance(test, s.Assign)
            assert show(test.value) == show(node)
            count += 1
    assert count > 3


def expressions(program: s.Program) -> list[s.Expression]:
    found: list[s.Expression] = []
    bodies = [*(f.body for f in program.functions), *(t.body for t in program.tests)]
    for statement in chain.from_iterable(bodies):
        match statement:
            case s.Assign():
                found.append(statement.value)
            case s.Contract():
                found += [statement.body, *statement.indices, *(statement.sizes or ()), *statement.constraints]
            case s.Check():
                found.append(statement.call)
    return found


def test_spans_of_statements() -> None:
    text = ["O[i : N] = +(A[i]), i < 3 no_defract default D", "B = A + (C)", "(Q, R) = f(A)", "P[i] = +( A[i] )"]
    nodes = body("; ".join(text) + ";")
    assert [sliced(n.span) for n in nodes] == [text[0], "B = A + (C", *text[2:]]
    first = nodes[0]
    assert isinstance(first, s.Contract)
    assert sliced(first.body_span) == "A[i]"


def test_spans_of_operators() -> None:
    node = value("(A + B) << -C")
    assert isinstance(node, s.Binary)
    assert (sliced(node.op_span), sliced(node.span), sliced(node.left.span)) == ("<<", "(A + B) << -C", "(A + B)")
    assert isinstance(node.right, s.Unary)
    assert sliced(node.right.op_span) == "-"


# limits


def brackets(n: int) -> str:
    return "function (A) -> (B) { B = " + "(" * n + "A" + ")" * n + "; }"


def test_nesting_limit() -> None:
    assert parse(brackets(200)).functions
    with pytest.raises(TileError) as caught:
        parse(brackets(201))
    (only,) = caught.value.diagnostics
    assert only.code == "TILE0411"
    assert only.span is not None
    assert only.span.start == brackets(201).index("(((") + 200


@pytest.mark.parametrize("piece", ["-", "A ? A : ", "A + ", "A ^ ", "f(", "A["])
def test_depth_limit_of_the_tree(piece: str) -> None:
    close = ")" if piece == "f(" else "]" if piece == "A[" else ""
    depth = {n: f"function (A) -> (B) {{ B = {piece * n}A{close * n}; }}" for n in (199, 200)}
    assert parse(depth[199]).functions
    assert codes(depth[200]) == ["TILE0411"]


@pytest.mark.parametrize(
    "bomb", ["(" * 100_000, "[" * 100_000, "{" * 100_000, "-" * 100_000, "A ? " * 50_000, "f(" * 60_000]
)
def test_bombs(bomb: str) -> None:
    assert set(codes(f"function (A) -> (B) {{ B = {bomb}")) <= {"TILE0411", "TILE0002", "TILE0003", "TILE0019"}


def test_source_limit() -> None:
    text = "function (A) -> (B) { B = A; }"
    assert parse(text + " " * (256 * 1024 - len(text))).functions
    assert codes(text + " " * (256 * 1024 - len(text) + 1)) == ["TILE0412"]
    assert codes(text + "//" + "é" * (128 * 1024)) == ["TILE0412"]


def test_statement_limit() -> None:
    assert len(body("B=A;" * 10_000)) == 10_000
    assert codes("function (A) -> (B) {" + "B=A;" * 10_001 + "}") == ["TILE0417"]


@pytest.mark.parametrize("digits", ["9223372036854775808", "1" * 100_000])
def test_integers_out_of_range(digits: str) -> None:
    assert codes(f"function (A) -> (B) {{ B = A + {digits}; }}") == ["TILE0415"]


@pytest.mark.parametrize("number", ["1e999", "1" * 100_000 + ".5", "1e" + "9" * 100_000])
def test_floats_out_of_range(number: str) -> None:
    assert codes(f"function (A) -> (B) {{ B = A + {number}; }}") == ["TILE0418"]


def test_number_of_diagnostics_is_limited() -> None:
    assert len(codes("function (A) -> (B) {" + "B = A +;" * 1000 + "}")) == 20


# bytes


def test_decode() -> None:
    assert decode(b"\xef\xbb\xbfabc\xc3\xa9", "x") == "abcé"
    with pytest.raises(TileError) as caught:
        decode(b"line\nab\xc3\xa9 \xff", "x.tile")
    (only,) = caught.value.diagnostics
    assert (only.code, str(only.span)) == ("TILE0006", "x.tile:2:5")
    assert "0xFF at offset 10" in only.message


@pytest.mark.parametrize("text", ["\ud800", "function (A) -> (B) { B = A \ud83d; }", "\x00", "function\x00"])
def test_odd_characters_can_be_shown(text: str) -> None:
    with pytest.raises(TileError) as caught:
        parse(text)
    str(caught.value).encode("utf-8")


# real and hostile programs


def test_conformance_programs_parse(conformance: Path) -> None:
    wrong = []
    for line in conformance.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        expected = record["expect"].get("category") != "syntax"
        try:
            parse(record["code"], record["id"])
            parses = True
        except TileError:
            parses = False
        if parses != expected:
            wrong.append(record["id"])
    assert wrong == []


def test_mutated_programs() -> None:
    outcomes = campaign(5000, seed=7)
    assert [o for o in outcomes if o.is_bug] == []
    assert len({o.result for o in outcomes}) >= 8  # the mutations reach different complaints
    assert sum(o.result == "ok" for o in outcomes) > 500
