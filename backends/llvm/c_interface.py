"""A program as an LLVM module with one function for C callers.

    int SYMBOL(const T *A, ..., T scalar, ..., T *R, ..., void *workspace)      size_t SYMBOL_workspace(void)

Open sizes come first, in both: `int SYMBOL(int64_t N, const T *A, ...)` and `size_t SYMBOL_workspace(int64_t N)`.

The module imports nothing: scratch memory comes from the caller, constants are data of the module, parallel loops run
in the calling thread. What `init` computes is computed in each call, for there is no place to keep it that two threads
could share without a library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tilec.backend import Array
from tilec.backends.llvm.c_checks import FAILED, OK, SIZE, CArgument, Pointer, checks, leave
from tilec.backends.llvm.c_sizes import DECLARATIONS, size_function, words
from tilec.backends.llvm.layout import Layout
from tilec.backends.llvm.module import emit_module
from tilec.backends.llvm.target import triple_of
from tilec.errors import error
from tilec.loops import Program
from tilec.target import Target

_ALIGN = 64
# LLVM's types of scalars that C passes by value; a bool travels as an int.
BY_VALUE = {"bool": "i32", "i32": "i32", "i64": "i64", "f32": "float", "f64": "double"}


@dataclass(frozen=True, slots=True)
class CModule:
    """Text of the module, and how many bytes of workspace a call needs; None where that depends on its sizes."""

    text: str
    workspace: int | None


def c_module(
    program: Program,
    target: Target,
    symbol: str,
    arguments: Sequence[CArgument],
    constants: Mapping[str, Array],
    limit: int | None = None,
) -> CModule:
    """The module; `arguments` in C's order, `constants` by name.

    `limit`: bytes that temporary tensors may take, where it depends on open sizes how many they do. Raises what
    `emit_module` raises, and TileError TILE0210 for open sizes that are divided.
    """
    module = emit_module(program, replace(target, threads=1), signals=False)  # there is no interpreter to ask
    text = module.text
    for name in ("run", *(["init"] if program.init else [])):
        text = _hidden(text, name)
    function = _Function(program, module.layout, arguments, constants)
    export = "dllexport " if "windows" in triple_of(target) else ""
    parts = [
        *(f"{ref} = internal unnamed_addr constant {_bytes(constants[n])}, align 64\n" for n, ref in function.data()),
        *([function.sizes(limit), DECLARATIONS] if program.sizes else []),
        f"define {export}i32 @{symbol}{function.text()}",
        f"define {export}i64 @{symbol}_workspace{function.workspace()}",
    ]
    return CModule(text + "\n" + "\n".join(parts), None if program.sizes else function.size)


def _hidden(text: str, name: str) -> str:
    """The module with an entry that only it can see, under a name that no C function has."""
    visible = f"define void @{name}("
    if text.count(visible) != 1:
        raise error("TILE0602", f"the module does not define one function {name!r}")
    return text.replace(visible, f"define internal void @program.{name}(")


def _up(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _bytes(array: Array) -> str:
    content = "".join(f"\\{byte:02X}" for byte in array.tobytes())
    return f'[{array.nbytes} x i8] c"{content}"'


@dataclass(frozen=True, slots=True)
class _Function:
    """The function for C: what it takes, and the text of what it does."""

    program: Program
    layout: Layout
    arguments: Sequence[CArgument]
    constants: Mapping[str, Array]

    def data(self) -> list[tuple[str, str]]:
        """Names of the constants that are used, and of their data."""
        return [(n, f"@constant.{i}") for i, n in enumerate(n for n in self.layout.table if n in self.constants)]

    @property
    def used(self) -> int:
        """Bytes of the workspace that do not depend on open sizes."""
        return self.layout.arena_bytes + _up(self.layout.fixed_bytes)

    @property
    def size(self) -> int:
        """Bytes of the workspace, where no size is open."""
        return self.used + _ALIGN - 1 if self.used else 0

    def sizes(self, limit: int | None) -> str:
        """The function that checks open sizes and finds the places of buffers."""
        asked = [self.arguments[i].bytes for i in self._pointers()]
        return size_function("program.sizes", self.program, self.layout, asked, self.used, limit)

    def workspace(self) -> str:
        parameters, table = self._open_sizes(), f"%table = alloca [{self._words()} x i64], align 8"
        if not parameters:
            return f"() #0 {{\n  ret i64 {self.size}\n}}\n"
        call = f"%size = call i64 @program.sizes({', '.join([*parameters, 'ptr %table'])})"
        return f"({', '.join(parameters)}) #0 {{\n  {table}\n  {call}\n  ret i64 %size\n}}\n"

    def text(self) -> str:
        given = [f"{BY_VALUE[a.dtype.name] if a.by_value else 'ptr'} %a{i}" for i, a in enumerate(self.arguments)]
        entries = ["init", "run"] if self.program.init else ["run"]
        lines = [
            *self._table(),
            *self._sized(),
            *checks(self._checked(), self._needed()),
            *self._memory(),
            *(f"call void @program.{entry}(ptr %table, ptr %arena, ptr %fixed, ptr null)" for entry in entries),
            *_failure(self.layout),
            f"ret i32 {OK}",
        ]
        body = "".join(f"{line}\n" if line.endswith(":") else f"  {line}\n" for line in lines)
        return f"({', '.join([*self._open_sizes(), *given, 'ptr %workspace'])}) #0 {{\nentry:\n{body}}}\n"

    def _open_sizes(self) -> list[str]:
        return [f"i64 %n{k}" for k in range(len(self.program.sizes))]

    def _pointers(self) -> list[int]:
        """Positions of the arguments that are pointers."""
        return [i for i, a in enumerate(self.arguments) if not a.by_value]

    def _words(self) -> int:
        return words(self.layout) + (len(self._pointers()) if self.program.sizes else 0)

    def _table(self) -> Iterator[str]:
        """The pointers that `run` takes; scalars get a slot on the stack."""
        pointers = dict(self.data())
        for i, argument in enumerate(self.arguments):
            pointers[argument.buffer] = f"%a{i}"
            if argument.by_value:
                pointers[argument.buffer] = f"%s{i}"
                yield from _slot(i, argument)
        yield f"%table = alloca [{self._words()} x ptr], align 8"
        for place, name in enumerate(self.layout.table):
            yield f"%t{place} = getelementptr ptr, ptr %table, i64 {place}"
            yield f"store ptr {pointers.get(name, 'null')}, ptr %t{place}, align 8"  # null: an argument of no use

    def _sized(self) -> Iterator[str]:
        """Open sizes and what follows from them, as words of the table; an early return where they are refused."""
        if not self.program.sizes:
            return
        yield f"%size = call i64 @program.sizes({', '.join([*self._open_sizes(), 'ptr %table'])})"
        yield "%refused = icmp slt i64 %size, 0"
        yield from leave("%refused", SIZE, "sizes")
        yield "%room = icmp ne i64 %size, 0"
        for k, i in enumerate(self._pointers()):
            yield f"%g{i} = getelementptr i64, ptr %table, i64 {words(self.layout) + k}"
            yield f"%bytes{i} = load i64, ptr %g{i}, align 8"
            yield f"%used{i} = icmp ne i64 %bytes{i}, 0"

    def _checked(self) -> Iterator[Pointer]:
        """The pointers to be looked at; those to arrays without elements never are."""
        for i in self._pointers():
            bytes = self.arguments[i].bytes
            if not isinstance(bytes, int):
                yield Pointer(f"%a{i}", f"%bytes{i}", f"%used{i}", self.arguments[i])
            elif bytes:
                yield Pointer(f"%a{i}", str(bytes), "true", self.arguments[i])

    def _needed(self) -> str:
        """Whether a workspace must be there."""
        return "%room" if self.program.sizes else str(self.size > 0).lower()

    def _memory(self) -> Iterator[str]:
        """Arena and fixed memory, the parts of the workspace, from its first address of a cache line on."""
        if not self.program.sizes and not self.size:
            yield "%arena = getelementptr i8, ptr null, i64 0"
            yield "%fixed = getelementptr i8, ptr null, i64 0"
            return
        yield "%wbits = ptrtoint ptr %workspace to i64"
        yield "%wneg = sub i64 0, %wbits"
        yield f"%wskip = and i64 %wneg, {_ALIGN - 1}"
        yield "%arena = getelementptr i8, ptr %workspace, i64 %wskip"
        yield f"%fixed = getelementptr i8, ptr %arena, i64 {self.layout.arena_bytes}"
        for place, name in enumerate(self.layout.table) if self.program.sizes else ():
            if self.program.buffer(name).space != "param":
                yield f"%o{place} = load i64, ptr %t{place}, align 8"
                yield f"%p{place} = getelementptr i8, ptr %arena, i64 %o{place}"
                yield f"store ptr %p{place}, ptr %t{place}, align 8"


def _failure(layout: Layout) -> Iterator[str]:
    """An early return where a Check of the program failed."""
    if layout.status is not None:
        yield f"%status = getelementptr i8, ptr %arena, i64 {layout.status}"
        yield "%number = load i64, ptr %status, align 8"
        yield "%failed = icmp ne i64 %number, 0"
        yield from leave("%failed", FAILED, "check")


def _slot(i: int, argument: CArgument) -> Iterator[str]:
    yield f"%s{i} = alloca i64, align 8"
    if argument.dtype.kind != "bool":
        yield f"store {BY_VALUE[argument.dtype.name]} %a{i}, ptr %s{i}, align 8"
        return
    yield f"%b{i} = icmp ne i32 %a{i}, 0"
    yield f"%v{i} = zext i1 %b{i} to i8"
    yield f"store i8 %v{i}, ptr %s{i}, align 1"
