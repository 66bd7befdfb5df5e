"""The formatter: the same program, the same comments, the same text when done again, lines that fit."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from tests.format.programs import blocks, comments, conformance, examples, generated, items, shaken, tree
from tests.language.mutate import SEEDS
from tilec.errors import TileError
from tilec.frontends.tile.format import WIDTH, format_text

PROGRAMS = {**examples(), **blocks()}
GOLDEN = Path(__file__).parent / "golden"


def check(text: str) -> str:
    """Formats `text` and holds the result to everything that is promised of any program."""
    done = format_text(text)
    assert tree(done) == tree(text)
    assert comments(done) == comments(text)
    assert format_text(done) == done
    assert done.endswith("}\n") or done.rstrip("\n").splitlines()[-1].strip()
    assert "\n\n\n" not in "".join(line for line in done.splitlines(True) if "/*" not in done)
    return done


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_programs_of_the_project(text: str) -> None:
    done = check(text)
    assert all(len(line) <= WIDTH for line in done.splitlines() if "//" not in line)


@pytest.mark.parametrize("name", examples())
def test_examples_are_formatted(name: str) -> None:
    assert format_text(examples()[name]) == examples()[name]


def test_conformance_programs() -> None:
    programs = conformance()
    if not programs:
        pytest.skip("needs ../shared/conformance, which is not part of the project")
    assert len(programs) > 100
    for text in programs:
        check(text)


def test_mutated_programs() -> None:
    for text in generated(600, seed=3):
        check(text)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_any_white_space_and_comments(share: float) -> None:
    random = Random(5)
    whole, short = list(PROGRAMS.values()), items()
    for number in range(500):
        check(shaken(random.choice(short if number % 10 else whole), random, share))


def test_the_style_depends_on_the_tokens_alone() -> None:
    random = Random(6)
    plain = [text for text in (conformance() or SEEDS) if "//" not in text and "/*" not in text]
    assert plain
    for text in plain[:100]:
        assert format_text(shaken_lines(text, random)) == format_text(text)


def shaken_lines(text: str, random: Random) -> str:
    """Other spaces and line breaks, but no blank lines, which are kept, and no comments."""
    text = "".join(line for line in text.splitlines(True) if "//" not in line)
    return re.sub(r"(\n[ \t\r]*)+", "\n", shaken(text, random, 0.0)).strip()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.in.tile")), ids=lambda p: p.name.partition(".")[0])
def test_golden(path: Path, update: bool) -> None:
    expected = path.with_name(path.name.replace(".in.", ".out."))
    done = check(path.read_text("utf-8"))
    if update:
        expected.write_text(done, "utf-8")
    assert done == expected.read_text("utf-8")


def test_what_does_not_parse_is_refused() -> None:
    with pytest.raises(TileError) as caught:
        format_text("function f(A -> (B) { B = A; }", "bad.tile")
    assert caught.value.diagnostics[0].span is not None


def test_deep_and_long_programs() -> None:
    deep = "(" * 150 + "A" + ")" * 150
    check(f"function f(A) -> (B) {{ B = {deep}; }}")
    check(f"function f(A) -> (B) {{ B = {'-' * 190}A; }}")
    check(f"function f(A) -> (B) {{ B = {'A ? ' * 90}A{' : A' * 90}; }}")
    wide = check("function f() -> (B) { B = " + " + ".join(["Name"] * 190) + "; }")
    assert all(len(line) <= WIDTH for line in wide.splitlines())
    data = check('test "t" { A = [' + ", ".join(map(str, range(5000))) + "]; }")
    assert all(len(line) <= WIDTH for line in data.splitlines()) and data.count("\n") < 400
