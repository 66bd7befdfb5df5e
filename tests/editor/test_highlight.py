"""Colours: the table agrees with the compiler's scanner; the lexer and the grammar are made from the table."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from tests.format.programs import blocks, examples, generated
from tilec.errors import Report, Source
from tilec.frontends.tile.functions import CASTS, ELEMENTWISE, WHOLE
from tilec.frontends.tile.parser import _grammar, parse
from tilec.frontends.tile.scanner import END, scan
from tilec.highlight import CLASSES, textmate, to_html, to_rich, tokens

EDITORS = Path(__file__).resolve().parents[2] / "editors"
PROGRAMS = [*examples().values(), *blocks().values()]
NAMES = {"keyword", "type", "check", "builtin", "function", "tensor", "index"}


def named(text: str) -> list[tuple[str, str]]:
    return [(kind.name, piece.strip()) for kind, piece in tokens(text) if kind is not None]


def class_of(terminal: str) -> set[str]:
    """Classes that a token of the scanner may have."""
    fixed = {"STRING": {"string"}, "FLOAT": {"float"}, "INT": {"integer"}, "COEFFICIENT": {"integer"}}
    return fixed.get(terminal, NAMES if terminal in ("NAME", "FUNCTION") else {"operator", "punctuation"})


@pytest.mark.parametrize("text", [*PROGRAMS, *generated(100, seed=9)])
def test_classes_agree_with_the_scanner(text: str) -> None:
    _, lexicon = _grammar()
    wanted = [(t.type, text[t.span.start : t.span.end]) for t in scan(Source("", text), lexicon, Report())]
    found = [pair for pair in named(text) if pair[0] not in ("doc", "comment", "block")]
    assert [piece for _, piece in found] == [word for kind, word in wanted if kind != END]
    assert all(name in class_of(kind) for (name, _), (kind, _) in zip(found, wanted))


@pytest.mark.parametrize("text", PROGRAMS)
def test_nothing_is_lost(text: str) -> None:
    assert "".join(piece for _, piece in tokens(text)) == text
    assert to_rich(text).plain == text
    assert html.unescape(re.sub(r"<[^>]*>", "", to_html(text))) == text


def test_kinds_of_words() -> None:
    text = """/// doc
    function dot<T: float>(A[K]: T, default) -> (C: f32) { // c
      C[]: f64 = +:i32(2i * exp(#a[$I])) /* b */, test < 3 no_defract default D; }
    test "x" { assert_close(dot(A), log[i]); }"""
    found = dict((piece, name) for name, piece in named(text))
    wanted = {
        "/// doc": "doc",
        "function": "keyword",
        "dot": "function",
        "float": "type",
        "f32": "type",
        "// c": "comment",
    }
    wanted |= {"f64": "type", "i32": "type", "i": "index", "exp": "builtin", "#a": "tensor", "$I": "index"}
    wanted |= {"/* b */": "block", "no_defract": "keyword", "D": "tensor", '"x"': "string", "assert_close": "check"}
    wanted |= {"log": "index"}  # no call
    assert {piece: found[piece] for piece in wanted} == wanted
    assert named("default, test < 3") == [(n, p) for n, p in named("default, test < 3") if n != "keyword"]


def test_every_builtin_is_coloured() -> None:
    for name in (*ELEMENTWISE, *CASTS, *WHOLE):
        assert named(f"{name}(X)")[0] == ("builtin", name)
        assert named(f"my_{name}(X)")[0] == ("function", f"my_{name}")
        assert named(f"{name}_two(X)")[0] == ("function", f"{name}_two")


def test_html_is_escaped() -> None:
    assert "<script>" not in to_html("// <script>alert(1)</script>")


def test_rich_and_html_of_a_program() -> None:
    program = parse(examples()["softmax.tile"])
    assert program._repr_html_() == to_html(program.source.text)
    assert program.__rich__().plain == program.source.text
    assert program.__rich__().spans


# the TextMate grammar


def test_textmate_grammar_is_the_generated_one(update: bool) -> None:
    path = EDITORS / "tile.tmLanguage.json"
    text = json.dumps(textmate(), indent=2) + "\n"
    if update:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run: python -m pytest tests/editor --update"


def test_textmate_grammar_is_well_formed() -> None:
    grammar = textmate()
    assert grammar["scopeName"] == "source.tile" and len(grammar["patterns"]) == len(CLASSES)
    for rule in grammar["patterns"]:
        assert rule["name"].endswith(".tile")
        for key in ("match", "begin", "end"):
            re.compile(rule.get(key, ""))


def test_the_extension_finds_its_files() -> None:
    package = json.loads((EDITORS / "package.json").read_text(encoding="utf-8"))
    (language,), (grammar,) = package["contributes"]["languages"], package["contributes"]["grammars"]
    assert grammar["scopeName"] == textmate()["scopeName"]
    for path in (language["configuration"], grammar["path"]):
        json.loads((EDITORS / path).read_text(encoding="utf-8"))


# Pygments


def test_pygments_lexer() -> None:
    pytest.importorskip("pygments", reason="Pygments is not installed")
    from pygments.token import Error, Keyword, Name

    from tilec.highlight_pygments import TileLexer

    for text in PROGRAMS:
        found = list(TileLexer(stripnl=False, ensurenl=False).get_tokens(text))
        assert "".join(piece for _, piece in found) == text
        assert not [piece for kind, piece in found if kind is Error]
    kinds = dict((piece, kind) for kind, piece in TileLexer().get_tokens("function f(A) -> (B) { B = exp(A); }"))
    assert kinds["function"] is Keyword and kinds["exp"] is Name.Builtin


def test_pygments_finds_the_lexer() -> None:
    pytest.importorskip("pygments", reason="Pygments is not installed")
    from importlib.metadata import entry_points

    if "tile" not in entry_points(group="pygments.lexers").names:
        pytest.skip("tilec was installed before it had this entry point")
    from pygments.lexers import get_lexer_by_name, get_lexer_for_filename

    assert get_lexer_by_name("tile").name == get_lexer_for_filename("softmax.tile").name == "Tile"
