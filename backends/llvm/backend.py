"""The LLVM backend: `Backend`, from a program to machine code to something callable.

What emits code is imported when code is emitted: a program whose machine code is kept does not pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from tilec.backend import Array
from tilec.backends.llvm.built import BuiltProgram
from tilec.backends.llvm.layout import Code
from tilec.backends.llvm.target import host
from tilec.buffers import root
from tilec.loops import Program, all_steps, touched
from tilec.target import Target


class LLVMBackend:
    """CPU code. The only device is `host`; named cross targets can be emitted but not built."""

    name = "llvm"

    def targets(self) -> list[Target]:
        try:
            return [host()]
        except (RuntimeError, OSError):
            return []

    def memory(self, target: Target, nbytes: int) -> None:
        """None: programs work in arrays."""
        return None

    def emit(self, program: Program, target: Target) -> str:
        from tilec.backends.llvm.module import emit_module

        return emit_module(program, target).text

    def build(self, program: Program, target: Target, constants: Mapping[str, Array]) -> BuiltProgram:
        return BuiltProgram(self.compile(program, target), constants)

    def compile(self, program: Program, target: Target) -> Code:
        """Machine code of a program; raises TileError TILE0210 where a call could not say what a size is."""
        from tilec.backends.llvm.module import calls_of, checks_of, emit_modules
        from tilec.backends.llvm.sizes import open_of
        from tilec.backends.llvm.workers import Compilation
        from tilec.work import is_brief

        with Compilation(target, len(program.kernels)) as compilation:
            layout = emit_modules(program, target, compilation.add)
            objects = compilation.objects()
        constants = dict(program.constants)
        arguments = tuple(n for n in (*program.params, *program.results) if n not in constants)
        return Code(
            objects,
            arguments,
            layout.table,
            layout.arena_bytes,
            layout.fixed_bytes,
            bool(program.init),
            target.threads,
            tuple((check.code, check.message, check.span) for check in checks_of(program)),
            layout.status or 0,
            open_of(program, layout, arguments) if program.sizes else None,
            layout.interrupts,
            _packed(program),
            is_brief(program),
            layout.hosts,
            calls_of(program),
        )

    def load(self, code: Code, constants: Mapping[str, Array], threads: int) -> BuiltProgram:
        """Makes kept machine code callable; the caller answers for its being what `compile` once returned."""
        return BuiltProgram(code, constants, threads)


def _packed(program: Program) -> tuple[str, ...]:
    """Constants that only `init` reads."""
    if not program.init:
        return ()
    buffers = {b.name: b for b in program.buffers}
    used = {n for s in all_steps(program.steps) for n in touched(s)} | set(program.results)
    roots = {root(buffers[n], buffers).name for n in used}
    return tuple(n for n, _ in program.constants if n not in roots)


__all__ = ["BuiltProgram", "LLVMBackend"]
