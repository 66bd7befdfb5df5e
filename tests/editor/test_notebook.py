"""`%%tile` in IPython, and how programs, executables and schedules are shown."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import tilec
from tests.format.programs import examples
from tilec.display import Table, schedule_table
from tilec.errors import TileError
from tilec.notebook import define
from tilec.schedule import parse_schedule

TWO = """function twice(A[N]) -> (B) { B = 2 * A; }
function total(A[N]) -> (S) { S[] = +(A[i]); }
test "twice" { assert_equal(twice([1, 2]), [2, 4]); }
"""
ANONYMOUS = "function (A) -> (B) { B = A + 1; }"


@pytest.fixture
def shell() -> Iterator[Any]:
    pytest.importorskip("IPython", reason="IPython is not installed")
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "tilec.notebook")
    yield shell
    InteractiveShell.clear_instance()


def test_a_cell_defines_its_functions() -> None:
    found = define("", TWO)
    assert list(found) == ["twice", "total"]
    np.testing.assert_array_equal(found["twice"](np.arange(3)), [0, 2, 4])
    np.testing.assert_array_equal(found["twice"](np.ones(2, np.float32)), [2, 2])
    assert len(found["twice"].signatures()) == 2
    assert found["total"](np.arange(4)) == 6


def test_names_and_choices() -> None:
    assert list(define("double -f twice", TWO)) == ["double"]
    assert define("double -f twice", TWO)["double"](np.array([4])) == 8
    assert list(define("total", TWO)) == ["total"]
    assert define("total", TWO)["total"](np.array([4, 5])) == 9
    assert list(define("-f twice", TWO)) == ["twice"]
    assert define("inc --target reference", ANONYMOUS)["inc"](np.array([4])) == 5


def test_tests_of_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert define("--test", TWO)
    assert capsys.readouterr().out == "1 passed\n"
    with pytest.raises(TileError, match="TILE0705"):
        define("--test", TWO.replace("[2, 4]", "[2, 5]"))


@pytest.mark.parametrize(
    ("line", "cell", "code"),
    [
        ("", ANONYMOUS, "TILE0704"),
        ("a b", ANONYMOUS, "TILE0704"),
        ("-x", ANONYMOUS, "TILE0704"),
        ("-f", ANONYMOUS, "TILE0704"),
        ("'", ANONYMOUS, "TILE0704"),
        ("lambda", ANONYMOUS, "TILE0704"),
        ("f'", ANONYMOUS, "TILE0704"),
        ("other", TWO, "TILE0111"),
        ("-f other", TWO, "TILE0110"),
        ("f", "function (A) -> (B) { B = C; }", "TILE0101"),
        ("f", "function (A) -> (B) { B = A @ A; }", "TILE0001"),
        ("f", "", "TILE0012"),
    ],
)
def test_what_is_wrong_is_said(line: str, cell: str, code: str) -> None:
    with pytest.raises(TileError) as caught:
        define(line, cell)
    assert code in [d.code for d in caught.value.diagnostics]
    (shown,) = {"\n".join(caught.value._render_traceback_())}  # type: ignore[attr-defined]
    assert code in shown and "Traceback" not in shown


def test_the_magic(shell: Any) -> None:
    shell.push({"np": np})
    shell.run_cell("%%tile\n" + TWO).raise_error()
    result = shell.run_cell("twice(np.arange(3)) + total(np.arange(3))")
    np.testing.assert_array_equal(result.result, [3, 5, 7])
    shell.run_cell("%%tile bias\n" + ANONYMOUS).raise_error()
    assert shell.run_cell("bias(np.float32(1.5))").result == 2.5


def test_the_magic_shows_diagnostics_only(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    result = shell.run_cell("%%tile f\nfunction (A) -> (B) { B = Q; }")
    assert isinstance(result.error_in_exec, TileError)
    out, err = capsys.readouterr()
    assert "error[TILE0101]" in out + err and "<%%tile>:1:27" in out + err
    assert "Traceback" not in out + err and "notebook.py" not in out + err


def test_shown_in_ipython(shell: Any) -> None:
    shell.push({"program": tilec.parse(examples()["matmul.tile"])})
    data, _ = shell.display_formatter.format(shell.user_ns["program"])
    assert data["text/html"].startswith("<pre>")


# tables


def plain(renderable: Any) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_executables_are_shown_as_tables() -> None:
    executable = tilec.compile(examples()["softmax.tile"], target="llvm", X=(4, 8))
    for shown in (executable._repr_html_(), plain(executable)):
        assert "softmax(X: f32[4, 8])" in shown.replace("&gt;", ">") and "llvm" in shown
        assert executable.program is not None
        assert all(kernel.name in shown for kernel in executable.program.kernels)
        assert "X: f32[4, 8]" in shown and "launches" in shown
    reference = tilec.compile(examples()["softmax.tile"], target="reference", X=(4, 8))
    assert "reference" in plain(reference) and "<table>" in reference._repr_html_()


def test_schedules_are_shown_as_tables() -> None:
    table = schedule_table(parse_schedule("tile(m, 6, m.0, m.1)\nparallel(m.0)\n"))
    assert table.rows == (("1", "tile", "m, 6, m.0, m.1"), ("2", "parallel", "m.0"))
    assert str(table).splitlines()[1].split() == ["primitive", "arguments"]
    assert "<td" in table._repr_html_() and "m, 6, m.0, m.1" in plain(table)


def test_tables_escape_html_and_markup() -> None:
    table = Table("<b>", ("[red]x[/red]",), (("<i>", "[bold]")[:1],))
    assert "<b>" not in table._repr_html_() and "&lt;i&gt;" in table._repr_html_()
    assert "<i>" in plain(table)
