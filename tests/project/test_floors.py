"""Every file imports from lower floors only, no imports go round, and parts of one kind do not import each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"grammar": "tilec.grammar", "passes": "tilec.passes", "backends": "tilec.backends", "tilec": "tilec"}

# Floors of the modules and packages that the architecture names. Any other module at the top says its own in its
# docstring.
MODULES = {
    0: ("errors", "codes", "dtypes", "fresh"),
    1: ("affine", "expr", "monoid", "builtins", "expansions", "numpy_semantics"),
    2: ("graph", "loops", "schedule", "target", "specials"),
    3: ("rules", "rewrite", "rewrite_expr", "backend"),
    4: ("runtime",),
    5: ("pipeline", "executable", "api", "compile", "cache", "tuner"),
    6: ("", "__main__"),
}
PACKAGES = {
    "mathlib": 1,
    "text": 3,
    "evaluate": 3,
    "verify": 3,
    "exact": 3,
    "passes": 4,
    "backends": 4,
    "frontends": 4,
    "grammar": 4,
    "cli": 6,
    "adapters": 6,
}
STEMS = {"type_": 3}
APART = ("passes", "backends", "frontends", "runtime")  # floor 4: none of these imports another


def modules() -> dict[str, Path]:
    """Every module of the package by name, each found through one door."""
    found: dict[str, Path] = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if package == "tilec" and parts[0] in ("grammar", "passes", "backends"):
                continue  # the links
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *parts))] = path
    return found


FILES = modules()


def floor(module: str) -> int | None:
    """The floor of a module; None where the table does not know it."""
    head = module.removeprefix("tilec").removeprefix(".").partition(".")[0]
    for number, names in MODULES.items():
        if head in names:
            return number
    if head in PACKAGES:
        return PACKAGES[head]
    return next((n for stem, n in STEMS.items() if head.startswith(stem)), None) or declared(module)


def declared(module: str) -> int | None:
    """The floor that a module's docstring begins with."""
    text = FILES[module].read_text(encoding="utf-8") if module in FILES else ""
    found = re.match(r"Floor ([0-6])[:,]", ast.get_docstring(ast.parse(text)) or "")
    return int(found[1]) if found else None


def imports(module: str) -> Iterator[tuple[str, bool]]:
    """Modules of the package that a module imports, and whether it does so when it is loaded."""
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.Lambda) for n in ast.walk(f)}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                found = [a.name for a in names]
            case ast.ImportFrom(base, names, level):
                # `from tilec.passes import cse` imports the module tilec.passes.cse
                base = ".".join(filter(None, [_origin(module, level), base]))
                found = [f"{base}.{a.name}" if f"{base}.{a.name}" in FILES else base for a in names]
            case _:
                continue
        for name in found:
            if name.partition(".")[0] == "tilec":
                yield name, id(node) not in inside


def _origin(module: str, level: int) -> str:
    """What the dots of a relative import stand for."""
    if not level:
        return ""
    parts = module.split(".")
    parts = parts if FILES[module].name == "__init__.py" else parts[:-1]
    return ".".join(parts[: len(parts) - level + 1])


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_the_walk_finds_the_package() -> None:
    assert {"tilec.errors", "tilec.passes.simplify", "tilec.text.lexer"} <= FILES.keys()
    assert ("tilec.codes", True) in set(imports("tilec.errors"))


@pytest.mark.parametrize("module", [m for m in FILES if declared(m) is not None])
def test_docstrings_say_the_right_floor(module: str) -> None:
    assert declared(module) == floor(module)


@pytest.mark.parametrize("module", FILES)
def test_imports_go_down(module: str) -> None:
    own = floor(module)
    assert own is not None, f"{module} is on no floor: begin its docstring with 'Floor N:'"
    for target, _ in imports(module):
        other = floor(target)
        assert other is not None, f"{module} imports {target}, which is on no floor"
        assert other <= own, f"{module} on floor {own} imports {target} on floor {other}"


@pytest.mark.parametrize("module", [m for m in FILES if part(m) in APART])
def test_parts_of_floor_four_stay_apart(module: str) -> None:
    for target, _ in imports(module):
        # tilec.passes.lower is one part, tilec.passes.fuse another
        same = target.split(".")[:3] == module.split(".")[:3]
        assert same or part(target) not in APART, f"{module} imports {target}"


def test_no_import_cycles() -> None:
    graph = {m: {t for t, loads in imports(m) if loads and t in FILES and t != m} for m in FILES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())
