"""How a diagnostic looks: carets, dashes under other places, long lines, odd characters, copies."""

from __future__ import annotations

import pickle

from tilec.errors import Diagnostic, Note, Source, Span

SOURCE = Source("f.tile", "first A line\nsecond B line\n")


def span(word: str, source: Source = SOURCE) -> Span:
    start = source.text.index(word)
    return Span(source, start, start + len(word))


def test_other_places_are_underlined() -> None:
    notes = ["plain", Note("beside", span("second")), Note("elsewhere", span("first")), Note("again", span("first"))]
    assert Diagnostic("TILE0101", "B", span("B"), tuple(notes)).render().splitlines() == [
        "error[TILE0101]: B",
        " --> f.tile:2:8",
        "  |",
        "2 | second B line",
        "  | ------ ^",
        " ::: f.tile:1:1",
        "  |",
        "1 | first A line",
        "  | -----",
        "  = note: plain",
        "  = note: beside",
        "  = note: elsewhere",
        "  = note: again",
    ]


def test_the_caret_is_above_a_dash_in_the_same_place() -> None:
    shown = Diagnostic("TILE0101", "B", span("B"), (Note("line", span("second B")),)).render().splitlines()
    assert shown[4] == "  | -------^"


def test_places_of_a_long_line() -> None:
    source = Source("f.tile", "A" + " " * 1000 + "B C")
    shown = Diagnostic("TILE0101", "C", span("C", source), (Note("b", span("B", source)), Note("a", span("A", source))))
    lines = shown.render().splitlines()
    assert lines[3].endswith("B C") and lines[4].endswith("- ^") and len(lines[3]) < 170
    assert lines[5] == " ::: f.tile:1:1"


def test_places_of_another_source() -> None:
    other = Source("g.tile", "A")
    shown = Diagnostic("TILE0101", "B", span("B"), (Note("a", Span(other, 0, 1)),)).render()
    assert " ::: g.tile:1:1" in shown


def test_empty_source_and_end_of_line() -> None:
    assert Diagnostic("TILE0003", "end", Span(Source("f", ""), 0, 0)).render().splitlines()[3:] == ["1 |", "  | ^"]
    end = Diagnostic("TILE0003", "end", Span(SOURCE, 12, 12)).render().splitlines()
    assert end[4] == "  | " + " " * 12 + "^"


def test_notes_survive_copies() -> None:
    note = pickle.loads(pickle.dumps(Note("text", span("B"))))
    assert (note, str(note.span)) == ("text", "f.tile:2:8")
