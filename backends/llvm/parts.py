"""LLVM modules of a program: all of its functions in one, or its kernels in several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tilec.backends.llvm.helpers import HELPERS
from tilec.backends.llvm.kernel import SLICE, KernelText
from tilec.backends.llvm.streams import METADATA
from tilec.backends.llvm.target import triple_of
from tilec.target import Target


@dataclass(slots=True)
class Parts:
    """Collects kernels until there are enough of them for a module.

    What holds bytes that depend on all kernels waits for the end; so does everything where it all fits into one module,
    in which kernels are visible to nobody else.
    """

    name: str
    target: Target
    take: Callable[[str], None]
    size: int
    waiting: list[tuple[str, KernelText]] = field(default_factory=list)
    late: list[tuple[str, KernelText]] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)  # of kernels in other modules
    length: int = 0  # of what waits for the present module
    shared: int = 0
    private: int = 0

    def add(self, name: str, text: KernelText) -> None:
        self.shared, self.private = max(self.shared, text.shared), max(self.private, text.private)
        if any(SLICE in f for f in text.functions):
            self.late.append((name, text))
            return
        self.waiting.append((name, text))
        self.length += sum(map(len, text.functions))
        if self.length >= self.size:
            self.flush({})

    def flush(self, values: Mapping[str, int]) -> None:
        """Makes a module of what is waiting."""
        functions = [_visible(f, name) for name, text in self.waiting for f in text.functions]
        self.declared += [_declaration(f, name) for name, text in self.waiting for f in text.functions[-1:]]
        self._module(functions, [text for _, text in self.waiting], values)
        self.waiting, self.length = [], 0

    def finish(self, entries: list[str], values: Mapping[str, int]) -> None:
        for name, text in self.late:
            self.waiting.append((name, text))
            self.length += sum(map(len, text.functions))
            if self.length >= self.size:
                self.flush(values)
        functions = [f for _, text in self.waiting for f in text.functions]
        self._module([*functions, *entries, *self.declared], [text for _, text in self.waiting], values)

    def _module(self, functions: list[str], texts: list[KernelText], values: Mapping[str, int]) -> None:
        body = "\n".join(functions)
        for symbol, value in values.items():
            body = body.replace(symbol, str(value))
        wanted = set[str]().union(*(text.intrinsics for text in texts))
        metadata = METADATA if "!nontemporal" in body else ""
        self.take(_header(self.name, self.target) + body + _footer(wanted, self.target) + metadata)


def _visible(function: str, name: str) -> str:
    """The function, visible to other modules if it is the kernel itself."""
    return function.replace(f"define internal void @{name}(", f"define void @{name}(", 1)


def _declaration(function: str, name: str) -> str:
    """The declaration of a kernel, whose own function is the last."""
    signature = function[: function.index("\n")].removeprefix("define internal ").removesuffix(" {")
    return f"declare {signature}\n"


def _header(name: str, target: Target) -> str:
    return f'; program {ascii(name)[1:-1]}\ntarget triple = "{triple_of(target)}"\n\n'


def _footer(wanted: set[str], target: Target) -> str:
    """Declarations and attributes. Both width attributes are needed: one alone splits 512-bit vectors (LLVM 22)."""
    helpers = [h for name, h in HELPERS.items() if any(f"@{name}(" in d for d in wanted)]
    declared = {d for d in wanted if not any(f"@{name}(" in d for name in HELPERS)} | {d for _, d in helpers}
    bits = target.vector_bytes * 8
    attributes = f'nounwind "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}"'
    functions = "".join(text for text, _ in helpers)
    return f"\n{functions}" + "".join(f"{d}\n" for d in sorted(declared)) + f"\nattributes #0 = {{ {attributes} }}\n"
