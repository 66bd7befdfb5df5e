"""A program as an LLVM module with one function for C callers.

    int SYMBOL(const T *A, ..., T scalar, ..., T *R, ..., void *workspace)      size_t SYMBOL_workspace(void)

The module imports nothing: scratch memory comes from the caller, constants are data of the module, parallel loops run
in the calling thread. What `init` computes is computed in each call, for there is no place to keep it that two threads
could share without a library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from tilec.backend import Array
from tilec.backends.llvm.layout import Layout
from tilec.backends.llvm.module import emit_module
from tilec.backends.llvm.target import triple_of
from tilec.dtypes import DType
from tilec.errors import error
from tilec.loops import Program
from tilec.target import Target

OK, NULL, MISALIGNED, OVERLAP, FAILED = range(5)  # what the function returns

_ALIGN = 64
# LLVM's types of scalars that C passes by value; a bool travels as an int.
BY_VALUE = {"bool": "i32", "i32": "i32", "i64": "i64", "f32": "float", "f64": "double"}


@dataclass(frozen=True, slots=True)
class CArgument:
    """One argument: a buffer of the program, read or written through a pointer, or a scalar passed by value.

    An input that is `donated` is overwritten with a result.
    """

    buffer: str
    dtype: DType
    shape: tuple[int, ...]
    output: bool = False
    by_value: bool = False
    donated: bool = False

    @property
    def written(self) -> bool:
        return self.output or self.donated

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * self.dtype.bytes


@dataclass(frozen=True, slots=True)
class CModule:
    """Text of the module, and how many bytes of workspace a call needs."""

    text: str
    workspace: int


def c_module(
    program: Program, target: Target, symbol: str, arguments: Sequence[CArgument], constants: Mapping[str, Array]
) -> CModule:
    """The module; `arguments` in C's order, `constants` by name. Raises what `emit_module` raises."""
    module = emit_module(program, replace(target, threads=1))
    text = module.text
    for name in ("run", *(["init"] if program.init else [])):
        text = _hidden(text, name)
    layout = module.layout
    data = {n: f"@constant.{i}" for i, n in enumerate(n for n in layout.table if n in constants)}
    used = layout.arena_bytes + _up(layout.fixed_bytes)
    size = used + _ALIGN - 1 if used else 0
    export = "dllexport " if "windows" in triple_of(target) else ""
    parts = [
        *(f"{ref} = internal unnamed_addr constant {_bytes(constants[n])}, align 64\n" for n, ref in data.items()),
        _function(f"{export}i32 @{symbol}", arguments, layout, data, size, bool(program.init)),
        f"define {export}i64 @{symbol}_workspace() #0 {{\n  ret i64 {size}\n}}\n",
    ]
    return CModule(text + "\n" + "\n".join(parts), size)


def _hidden(text: str, name: str) -> str:
    """The module with an entry that only it can see."""
    visible = f"define void @{name}("
    if text.count(visible) != 1:
        raise error("TILE0602", f"the module does not define one function {name!r}")
    return text.replace(visible, f"define internal void @{name}(")


def _up(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _bytes(array: Array) -> str:
    content = "".join(f"\\{byte:02X}" for byte in array.tobytes())
    return f'[{array.nbytes} x i8] c"{content}"'


def _function(
    head: str, arguments: Sequence[CArgument], layout: Layout, data: Mapping[str, str], size: int, init: bool
) -> str:
    signature = [f"{BY_VALUE[a.dtype.name] if a.by_value else 'ptr'} %a{i}" for i, a in enumerate(arguments)]
    lines = [*_table(arguments, layout, data), *_checks(arguments, size), *_memory(layout, size)]
    entries = ["init", "run"] if init else ["run"]
    lines += [f"call void @{entry}(ptr %table, ptr %arena, ptr %fixed, ptr null)" for entry in entries]
    lines += _failure(layout)
    body = "".join(f"{line}\n" if line.endswith(":") else f"  {line}\n" for line in [*lines, f"ret i32 {OK}"])
    return f"define {head}({', '.join([*signature, 'ptr %workspace'])}) #0 {{\nentry:\n{body}}}\n"


def _failure(layout: Layout) -> Iterator[str]:
    """An early return where a Check of the program failed."""
    if layout.status is not None:
        yield f"%status = getelementptr i8, ptr %arena, i64 {layout.status}"
        yield "%number = load i64, ptr %status, align 8"
        yield "%failed = icmp ne i64 %number, 0"
        yield from _leave("%failed", FAILED, "check")


def _checks(arguments: Sequence[CArgument], size: int) -> Iterator[str]:
    """One early return after the other; arrays without elements are never looked at."""
    pointers = [(f"%a{i}", a) for i, a in enumerate(arguments) if not a.by_value and a.elements]
    number = 0
    for name in [n for n, _ in pointers] + (["%workspace"] if size else []):
        number += 1
        yield f"%null{number} = icmp eq ptr {name}, null"
        yield from _leave(f"%null{number}", NULL, f"n{number}")
    for name, argument in pointers:
        if argument.dtype.bytes > 1:
            number += 1
            yield f"%bits{number} = ptrtoint ptr {name} to i64"
            yield f"%low{number} = and i64 %bits{number}, {argument.dtype.bytes - 1}"
            yield f"%odd{number} = icmp ne i64 %low{number}, 0"
            yield from _leave(f"%odd{number}", MISALIGNED, f"m{number}")
    for i, (name, argument) in enumerate(pointers):
        for other, its in pointers[:i]:
            if argument.written or its.written:
                number += 1
                yield from _overlap(f"{number}", name, argument.bytes, other, its.bytes)
                yield from _leave(f"%both{number}", OVERLAP, f"o{number}")


def _overlap(number: str, a: str, a_bytes: int, b: str, b_bytes: int) -> Iterator[str]:
    yield f"%x{number} = ptrtoint ptr {a} to i64"
    yield f"%y{number} = ptrtoint ptr {b} to i64"
    yield f"%xe{number} = add i64 %x{number}, {a_bytes}"
    yield f"%ye{number} = add i64 %y{number}, {b_bytes}"
    yield f"%l{number} = icmp ult i64 %x{number}, %ye{number}"
    yield f"%r{number} = icmp ult i64 %y{number}, %xe{number}"
    yield f"%both{number} = and i1 %l{number}, %r{number}"


def _leave(condition: str, status: int, label: str) -> Iterator[str]:
    yield f"br i1 {condition}, label %{label}.bad, label %{label}.good"
    yield f"{label}.bad:"
    yield f"ret i32 {status}"
    yield f"{label}.good:"


def _table(arguments: Sequence[CArgument], layout: Layout, data: Mapping[str, str]) -> Iterator[str]:
    """The pointers that `run` takes; scalars get a slot on the stack."""
    pointers = dict(data)
    for i, argument in enumerate(arguments):
        pointers[argument.buffer] = f"%a{i}"
        if argument.by_value:
            pointers[argument.buffer] = f"%s{i}"
            yield from _slot(i, argument)
    yield f"%table = alloca [{max(1, len(layout.table))} x ptr], align 8"
    for place, name in enumerate(layout.table):
        yield f"%t{place} = getelementptr ptr, ptr %table, i64 {place}"
        yield f"store ptr {pointers.get(name, 'null')}, ptr %t{place}, align 8"  # null: an argument of no use


def _slot(i: int, argument: CArgument) -> Iterator[str]:
    yield f"%s{i} = alloca i64, align 8"
    if argument.dtype.kind != "bool":
        yield f"store {BY_VALUE[argument.dtype.name]} %a{i}, ptr %s{i}, align 8"
        return
    yield f"%b{i} = icmp ne i32 %a{i}, 0"
    yield f"%v{i} = zext i1 %b{i} to i8"
    yield f"store i8 %v{i}, ptr %s{i}, align 1"


def _memory(layout: Layout, size: int) -> Iterator[str]:
    """Arena and fixed memory, the parts of the workspace, from its first address of a cache line on."""
    if not size:
        yield "%arena = getelementptr i8, ptr null, i64 0"
        yield "%fixed = getelementptr i8, ptr null, i64 0"
        return
    yield "%wbits = ptrtoint ptr %workspace to i64"
    yield "%wneg = sub i64 0, %wbits"
    yield f"%wskip = and i64 %wneg, {_ALIGN - 1}"
    yield "%arena = getelementptr i8, ptr %workspace, i64 %wskip"
    yield f"%fixed = getelementptr i8, ptr %arena, i64 {layout.arena_bytes}"
    if layout.interrupts is not None:  # there is no interpreter to ask
        yield f"%looks = getelementptr i8, ptr %arena, i64 {layout.interrupts + 8}"
        yield "store ptr null, ptr %looks, align 8"
