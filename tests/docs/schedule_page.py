"""The reference part of docs/schedules.md, made of the docstrings of the primitives.

    python -m tests.docs.schedule_page --write
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tilec.passes.schedule import PRIMITIVES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "schedules.md"
MARK = "<!-- below: python -m tests.docs.schedule_page --write -->\n"
# "Before:" and what follows indented, then "After ...:" and the like
_TEXT = re.compile(r"^(Before|After [^\n]*):\n((?:    [^\n]*\n|\n)+)", re.MULTILINE)


def page() -> str:
    """The page as it should be: what is written by hand above the mark, and below it each primitive."""
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    return head + MARK + "".join(map(_section, PRIMITIVES, PRIMITIVES.values()))


def _section(name: str, primitive: Callable[..., Any]) -> str:
    text = inspect.cleandoc(primitive.__doc__ or "") + "\n"
    if not _TEXT.search(text):  # the file's docstring has the example
        text += _own_examples(name, inspect.cleandoc(inspect.getmodule(primitive).__doc__ or "") + "\n")
    return f"\n### {name}\n\n`{_call(name, primitive)}`\n\n{_body(text)}"


def _own_examples(name: str, text: str) -> str:
    before, found = "", ""
    for part in _TEXT.finditer(text):
        if part[1] == "Before":
            before = part[0]
        elif part[1].startswith(f"After {name}("):
            found, before = found + before + part[0], ""
    return "\n" + found if found else ""


def _call(name: str, primitive: Callable[..., Any]) -> str:
    """The directive with its parameters; those that may be left out with their values, and the other words."""
    parameters, hints = list(inspect.signature(primitive).parameters.values())[1:], get_type_hints(primitive)
    shown = [f"{p.name}..." if p.kind is p.VAR_POSITIONAL else p.name + _default(p, hints[p.name]) for p in parameters]
    return f"{name}({', '.join(shown)})"


def _default(parameter: inspect.Parameter, hint: Any) -> str:
    if parameter.default is parameter.empty:
        return ""
    words = get_args(hint) if get_origin(hint) is Literal and parameter.name != "space" else ()
    others = [w for w in words if w != parameter.default]
    return f" = {' | '.join(map(str, [parameter.default, *others]))}"


def _body(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", _TEXT.sub(_example, text)).rstrip("\n") + "\n"


def _example(found: re.Match[str]) -> str:
    head, body = found[1], textwrap.dedent(found[2]).strip("\n")
    title = "Before" if head == "Before" else f"After `{head.removeprefix('After ')}`"
    return f"\n{title}:\n\n<!-- not run: tests/schedule/test_docs.py does -->\n```loops\n{body}\n```\n\n"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit("python -m tests.docs.schedule_page --write")
    PAGE.write_text(page(), encoding="utf-8")
