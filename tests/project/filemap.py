"""The map of files in CONTRIBUTING.md, from the first lines of docstrings.

    python tests/project/filemap.py --write     rewrites the map; without --write it is printed

A file's line is the first sentence of its docstring, or what `BRIEF` says instead. Empty files are left out.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- file map: begin -->", "<!-- file map: end -->"
DOORS = ("grammar", "passes", "backends", "tilec")  # the links inside tilec/ lead to the first three
LIMIT = 120  # characters of a line's text
LOWER = ("erf", "exp", "pow", "pyopencl", "sin", "sinh")  # names that keep their small letter at the front

# Folders in the order of the map, with what they are. A file belongs to the longest that holds it.
FOLDERS = {
    "tilec": "the core: IRs, rules, evaluators, the pipeline and the public API",
    "tilec/loops": "the Loops IR",
    "tilec/mathlib": "elementary functions as expressions",
    "tilec/text": "the textual forms of the IRs",
    "tilec/exact": "integer points of contractions, exactly",
    "tilec/evaluate": "slow and obvious NumPy meanings of the IRs: the oracles",
    "tilec/verify": "what makes an IR well formed",
    "tilec/artifacts": "compiled programs as bytes and files: the cache, saved executables",
    "tilec/measure": "what code costs, what this machine can do",
    "tilec/frontends/tile": "the Tile language",
    "tilec/frontends/tile/unparse": "Graphs written as Tile programs",
    "tilec/explain": "what `tilec explain` shows; one page per code in `pages/`",
    "tilec/cli": "the command line, one file per command",
    "passes": "one pass, one file or folder",
    "passes/lower": "pass `lower`",
    "passes/schedule": "schedule primitives and the default schedule",
    "backends/llvm": "machine code for CPUs",
    "backends/opencl": "OpenCL C",
}

# Where a docstring's first sentence alone does not say what the file is for.
BRIEF = {
    "tilec/__init__.py": "The public names, loaded on first use.",
    "tilec/numpy_semantics.py": "What every builtin means on NumPy arrays; corner cases are decided here.",
}


def files() -> list[str]:
    """Every .py file of the package that holds anything, by its path from the root, through one door."""
    found = {p.relative_to(ROOT).as_posix(): p for door in DOORS for p in (ROOT / door).rglob("*.py")}
    links = tuple(f"tilec/{door}/" for door in DOORS)
    return sorted(f for f, p in found.items() if not f.startswith(links) and p.read_text(encoding="utf-8").strip())


def summary(file: str) -> str:
    """One line about a file."""
    if file in BRIEF:
        return BRIEF[file]
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    text = " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split())
    text = re.sub(r"^(Floor \d[:,]\s*|Pass `\w+`:\s*)", "", text)
    if re.fullmatch(r"`tilec \w+`\.", text):
        text = f"{text[:-1]}: {_command(tree)}"
    sentence = re.match(r".*?[.:](?=\s|\Z)", text)
    brief = (sentence[0] if sentence and len(text) > LIMIT else text).rstrip(":.") + "."
    return brief if re.split(r"\W", brief)[0] in LOWER else brief[:1].upper() + brief[1:]


def _command(tree: ast.Module) -> str:
    """What a command says of itself on the command line."""
    functions = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "command")
    text = next((ast.get_docstring(f) or "" for f in functions), "").partition("\n\n")[0]
    text = " ".join(text.split()).partition(";")[0]
    return text[:1].lower() + text[1:]


def sections() -> dict[str, list[str]]:
    """Files by folder, in the order of the map."""
    grouped: dict[str, list[str]] = {folder: [] for folder in FOLDERS}
    for file in files():
        home = max((f for f in FOLDERS if file.startswith(f + "/")), key=len, default=str(Path(file).parent))
        grouped.setdefault(home, []).append(file)
    return {folder: listed for folder, listed in grouped.items() if listed}


def render() -> str:
    """The map as Markdown, with its markers."""
    return "\n".join((BEGIN, *_lines(), "", END))


def _lines() -> Iterator[str]:
    for folder, listed in sections().items():
        about = FOLDERS.get(folder)
        yield f"\n**`{folder}/`**{f': {about}' if about else ''}\n"
        for file in listed:
            yield f"- `{file.removeprefix(folder + '/')}`: {summary(file)}"


def written() -> list[str]:
    """The files that the map in CONTRIBUTING.md mentions, in its order."""
    part = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    found, folder = [], ""
    for line in part.splitlines():
        if heading := re.match(r"\*\*`(.+)/`\*\*", line):
            folder = heading[1]
        elif item := re.match(r"- `([^`]+)`: \S", line):
            found.append(f"{folder}/{item[1]}")
        else:
            assert not line.strip(), f"not a line of the map: {line!r}"
    return found


def write() -> None:
    """Replaces the map in CONTRIBUTING.md."""
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, "CONTRIBUTING.md has lost the markers of its map"
    PAGE.write_text(before + render() + after, encoding="utf-8")


if __name__ == "__main__":
    write() if "--write" in sys.argv[1:] else print(render())
