"""Emitter of SSA text: lines, labels, scopes with hoisting places, and memos of what is already computed.

A scope is a region dominated by its first line: a function, the body of a loop, an arm of a branch. Its `head` is a
list of lines at that first place, to which instructions can be added while the body is being emitted: this is how
address arithmetic gets out of inner loops without any later pass. Pure instructions are memoised by text, per scope.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from tilec.errors import error

Lines: TypeAlias = list["str | Lines"]
MOST_LINES = 250_000  # of one function: LLVM takes a minute for them
LoadKey: TypeAlias = tuple[str, str, str]  # root buffer, address, type and mask


@dataclass(slots=True)
class Scope:
    head: Lines
    depth: int
    known: list[str] = field(default_factory=list)  # pure instructions in it
    loads: dict[str, dict[LoadKey, str]] = field(default_factory=dict)  # by root buffer


@dataclass(frozen=True, slots=True)
class Known:
    """The result of a pure instruction that is computed in the scope of that depth, or in its head."""

    ref: str
    depth: int
    in_head: bool


class Emitter:
    """Text of one function body. `block` is the label of the block being filled."""

    def __init__(self) -> None:
        self.block = "entry"
        head: Lines = []
        self._lines: Lines = ["entry:", head]
        self.scopes = [Scope(head, 0)]
        self._known: dict[str, Known] = {}  # of the present scopes: the outermost of several
        self._counter = 0
        self._written = 0
        self.intrinsics: set[str] = set()
        self._nowhere = ""

    @property
    def depth(self) -> int:
        """Depth of the innermost scope; values that depend on nothing deeper than d can be hoisted to scope d."""
        return self.scopes[-1].depth

    def fresh(self, prefix: str = "v") -> str:
        self._counter += 1
        return f"%{prefix}{self._counter}"

    def line(self, text: str) -> None:
        """Raises TileError TILE0417 where the function becomes too long for any compiler."""
        self._written += 1
        if self._written > MOST_LINES:
            raise error("TILE0417", f"a kernel of more than {MOST_LINES} instructions", help="unroll fewer loops")
        self._lines.append("  " + text)

    def emit(self, text: str) -> str:
        """An instruction with a result that must not be shared (a load, a call with effects)."""
        name = self.fresh()
        self.line(f"{name} = {text}")
        return name

    def pure(self, text: str) -> str:
        """The result of an instruction without effects, computed here unless it is known already."""
        known = self._known.get(text)
        return known.ref if known is not None else self._learn(text, self.emit(text), self.depth, False)

    def hoist(self, text: str, depth: int) -> str:
        """Like `pure`, placed at the head of the scope of that depth; its operands must be available there."""
        known = self._known.get(text)
        if known is not None and (known.depth < depth or (known.depth == depth and known.in_head)):
            return known.ref
        name = self.fresh()
        self.scopes[depth].head.append(f"  {name} = {text}")
        return self._learn(text, name, depth, True)

    def _learn(self, text: str, ref: str, depth: int, in_head: bool) -> str:
        self._known[text] = Known(ref, depth, in_head)
        self.scopes[depth].known.append(text)
        return ref

    def at_entry(self, text: str) -> str:
        """An instruction at the function's entry that is never shared: an `alloca`."""
        name = self.fresh()
        self.scopes[0].head.append(f"  {name} = {text}")
        return name

    def nowhere(self) -> str:
        """A zero of any type on the stack: to be read where there is no element."""
        if not self._nowhere:
            self._nowhere = self.at_entry("alloca i64, align 8")
            self.scopes[0].head.append(f"  store i64 0, ptr {self._nowhere}, align 8")
        return self._nowhere

    def call(self, intrinsic: str, result: str, *arguments: str) -> str:
        """Text of a call; `arguments` are typed operands. The declaration is noted."""
        self.declare(intrinsic, result, *arguments)
        return f"call {result} @{intrinsic}({', '.join(arguments)})"

    def declare(self, intrinsic: str, result: str, *arguments: str) -> None:
        types = ", ".join(_type_of(a) for a in arguments)
        self.intrinsics.add(f"declare {result} @{intrinsic}({types})")

    # loads ---------------------------------------------------------------------------------------------------------

    def loaded(self, key: LoadKey) -> str | None:
        for scope in self.scopes:
            if (known := scope.loads.get(key[0])) is not None and key in known:
                return known[key]
        return None

    def remember_load(self, key: LoadKey, ref: str) -> None:
        self.scopes[-1].loads.setdefault(key[0], {})[key] = ref

    def forget_loads(self, root: str) -> None:
        """A store to buffer `root` may have changed what was loaded from it."""
        for scope in self.scopes:
            scope.loads.pop(root, None)

    # control flow --------------------------------------------------------------------------------------------------

    def label(self, name: str) -> None:
        self._lines.append(f"{name[1:]}:")
        self.block = name[1:]

    def jump(self, label: str) -> None:
        self.line(f"br label {label}")

    def branch(self, condition: str, then: str, orelse: str) -> None:
        self.line(f"br i1 {condition}, label {then}, label {orelse}")

    def placeholder(self) -> Lines:
        """A place in the text that is filled later (phis)."""
        place: Lines = []
        self._lines.append(place)
        return place

    @contextmanager
    def scope(self) -> Iterator[None]:
        """A region dominated by the present place."""
        head = self.placeholder()
        self.scopes.append(Scope(head, self.depth + 1))
        yield
        ended = self.scopes.pop()
        for text in ended.known:
            if text in self._known and self._known[text].depth == ended.depth:
                del self._known[text]

    def text(self) -> str:
        return "\n".join(_flatten(self._lines)) + "\n"


def _flatten(lines: Lines) -> Iterator[str]:
    for line in lines:
        if isinstance(line, str):
            yield line
        else:
            yield from _flatten(line)


def _type_of(operand: str) -> str:
    """The type in front of an operand: up to the last space that is outside `<>`."""
    if operand.startswith("<"):
        return operand[: operand.index(">") + 1]
    return operand.split(" ", 1)[0]
