"""Floor 6: Tile in notebooks: `%load_ext tilec.notebook`, then cells that begin with `%%tile`.

    %%tile                         defines each function of the cell under its own name
    %%tile softmax                 defines one, under this name
    %%tile -f softmax smax --test  chooses the function, and first runs the tests of the cell

What is defined is a `tilec.op`: it takes NumPy arrays and compiles for each signature it meets.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

from tilec.errors import TileError, error
from tilec.frontends.tile.syntax import Program
from tilec.operation import Op, op

_USAGE = "%%tile [NAME] [-f FUNCTION] [--target TARGET] [--test]"


class CellError(TileError):
    """What is wrong with a cell; IPython shows the diagnostics alone, without a Python traceback."""

    def _render_traceback_(self, *_: Any, **__: Any) -> list[str]:
        return str(self).splitlines()


def load_ipython_extension(shell: Any) -> None:
    """Called by `%load_ext tilec.notebook`."""

    def tile(line: str, cell: str) -> None:
        shell.push(define(line, cell))

    tile.__doc__ = __doc__
    shell.register_magic_function(tile, "cell", "tile")


def define(line: str, cell: str) -> dict[str, Op]:
    """The functions that a cell defines, by their names in Python. Raises CellError with all that is wrong."""
    try:
        options = _arguments(line)
        program = _checked(cell)
        if "test" in options:
            _test(program, options.get("target", "auto"))
        chosen = _names(program, options.get("name"), options.get("function"))
        return {name: op(cell, function, target=options.get("target", "auto")) for name, function in chosen.items()}
    except TileError as problem:
        raise CellError(problem.diagnostics) from None


def _arguments(line: str) -> dict[str, str]:
    """The words behind `%%tile`: `name`, `function`, `target`, and `test` where the tests are to be run."""
    found: dict[str, str] = {}
    try:
        words = iter(shlex.split(line))
    except ValueError as reason:
        raise error("TILE0704", f"cannot read {line!r}: {reason}", help=_USAGE) from None
    for word in words:
        match word:
            case "-f" | "--function" | "--target":
                value = next(words, None)
                if value is None:
                    raise error("TILE0704", f"{word} needs a value", help=_USAGE)
                found["target" if word == "--target" else "function"] = value
            case "--test":
                found["test"] = ""
            case _ if word.startswith("-") or "name" in found:
                raise error("TILE0704", f"unexpected {word!r}", help=_USAGE)
            case _:
                found["name"] = word
    return found


def _checked(cell: str) -> Program:
    """The program of a cell; its warnings are shown. Raises TileError."""
    from tilec.api import parse_text
    from tilec.frontends.tile.elaborate import check

    program = parse_text(cell, "<%%tile>")
    report = check(program)
    if found := report.errors():
        raise TileError(found)
    for warning in report.warnings():
        print(warning.render(), file=sys.stderr)
    return program


def _test(program: Program, target: str) -> None:
    """Runs the tests of a cell; raises TileError with everything that failed."""
    from tilec.api import run
    from tilec.frontends.tile.tests_runner import run_tests
    from tilec.gradient_check import wrong_gradients

    results = run_tests(
        program,
        lambda graph, data: run(graph, data, target=target),
        differences=lambda graph, point: wrong_gradients(graph, point, target=target),
    )
    if failed := [d for r in results for d in r.diagnostics]:
        raise TileError(failed)
    print(f"{len(results)} passed")


def _names(program: Program, name: str | None, function: str | None) -> Mapping[str, str | None]:
    """Functions of the program by the names that they get in Python; None stands for the only one."""
    own = [f.name.text for f in program.functions if f.name is not None]
    if name is None and function is not None:
        name = function
    if name is not None:
        _check_name(name)
        if function is None and len(program.functions) > 1:
            function = name if name in own else None
        from tilec.frontends.tile.names import choose

        choose(program, function)
        return {name: function}
    if not own:
        raise error("TILE0704", "the function of this cell has no name", help="name it: %%tile NAME")
    for found in own:
        _check_name(found)
    return {found: found for found in own}


def _check_name(name: str) -> None:
    if not name.isidentifier() or iskeyword(name):
        raise error("TILE0704", f"{name!r} is no name in Python", help="give another one: %%tile NAME -f FUNCTION")
