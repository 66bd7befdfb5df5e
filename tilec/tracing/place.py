"""Floor 5: where in the user's Python text something is computed: the innermost frame that is not tilec's."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType

from tilec.errors import Diagnostic, Note, Source, Span, TileError, error

_INSIDE = frozenset({"tilec", "optree", "functools", "contextlib"})


def user_span() -> Span | None:
    """The expression that the user's code is evaluating; None where there is no such code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _INSIDE:
        frame = frame.f_back
    return None if frame is None else _span(frame.f_code, frame.f_lasti)


@contextmanager
def located() -> Iterator[None]:
    """Gives an error that is raised inside the place in the user's code. Functions nested too deep are one, too."""
    try:
        yield
    except TileError as found:
        raise TileError(_located(found)) from found.__cause__
    except RecursionError as deep:
        limit = f"Python's limit is {sys.getrecursionlimit()} calls within calls"
        help = "no value ends a recursion while it is traced; tilec.while_loop and tilec.scan repeat as values say"
        problem = error("TILE0411", "the function nests too deep to be traced", notes=(limit,), help=help)
        raise TileError(_located(problem)) from deep


def _located(found: TileError) -> list[Diagnostic]:
    first, *others = found.diagnostics
    span = user_span()
    if span is None or _is_python(first.span):
        return [first, *others]
    if first.span is None:
        return [replace(first, span=span), *others]
    if any(isinstance(n, Note) and _is_python(n.span) for n in first.notes):
        return [first, *others]
    return [replace(first, notes=(*first.notes, Note("called here", span))), *others]


def _is_python(span: Span | None) -> bool:
    return span is not None and isinstance(span.source, PythonSource)


class PythonSource(Source):
    """Text of a Python file."""

    def __repr__(self) -> str:
        return f"PythonSource({self.name!r})"


@lru_cache(4096)
def _span(code: CodeType, instruction: int) -> Span:
    positions = next(islice(code.co_positions(), instruction // 2, None), (None,) * 4)
    first, last, start, stop = positions
    line = first or code.co_firstlineno
    source = PythonSource(code.co_filename, _text(code.co_filename, line))
    begin = _offset(source, line, start or 0)
    return Span(source, begin, max(begin, _offset(source, last or line, stop or 0)))


def _text(filename: str, line: int) -> str:
    """The file, or empty lines where it cannot be read, so that the number of the line is still right."""
    lines = linecache.getlines(filename)
    return "".join(lines) if len(lines) >= line else "\n" * line


def _offset(source: Source, line: int, column: int) -> int:
    """Character offset of a column that is counted in bytes of UTF-8."""
    return source.start(line) + len(source.line(line).encode()[:column].decode(errors="ignore"))
