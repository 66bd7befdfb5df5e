"""Floor 3: text of Loops: kernels and programs.

    kernel  ::= "kernel" name "(" {("in" | "out" | "inout") buffer ","} ")" block        block ::= "{" {stmt} "}"
    buffer  ::= name ":" [space] type ["strides" sizes] ["base" name] ["offset" size]    space left out: param
    stmt    ::= "for" index "in" size [kind] ["depth" natural] block                     kind left out: serial
              | "if" affine ">=" "0" {"," ...} block
              | "alloc" buffer                                                           space left out: heap
              | "let" name [":" dtype] "=" expr
              | name "[" indices "]" [aggregation | "stream"] "=" expr
              | "while" expr block | "barrier" space
              | "instr" name "(" {name "[" {affine [":" size] ","} "]" ","} ")"
    aggregation ::= name [":" dtype] | monoid                         `sum=` where the dtype is the buffer's

    program ::= "program" name ["[" sizes "]"] "(" names ")" "->" "(" names ")" "{"
                  {"derived" name "=" size "by" natural} {"buffer" buffer}
                  ["arena" natural] {"place" name natural} {"constant" name digest}
                  {kernel} ["init" steps] "run" steps "}"                                steps ::= "{" {step} "}"
    step    ::= "launch" name "(" names ")" | "copy" name "->" name | "assign" name "=" affine
              | "host" name "(" names ")" "->" "(" names ")" | "check" name string ["as" code]
              | "iterate" name "in" size ["count" name] ["reverse"] "do" steps
              | "repeat" name "test" steps "do" steps | "branch" name "then" steps ["else" steps]

For example:

    kernel matmul(in A: f32[64, 32], in B: f32[32, 16], out C: f32[64, 16]) {
      for m in 64 parallel {
        for n in 16 vector {
          C[m, n] = 0.0
          for k in 32 {
            C[m, n] sum= mul(A[m, k], B[k, n])
          }
        }
      }
    }
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tilec.affine import Affine
from tilec.dtypes import BOOL
from tilec.loops import (
    Alloc,
    Assign,
    Barrier,
    Block,
    Branch,
    Buffer,
    Check,
    Copy,
    For,
    HostCall,
    If,
    Instr,
    Iterate,
    Kernel,
    Launch,
    Let,
    Program,
    Repeat,
    Step,
    Stmt,
    Store,
    While,
    Window,
)
from tilec.monoid import STANDARD
from tilec.text.affine_text import print_affine, print_coef
from tilec.text.expr_text import Scope, print_expr, print_indices, print_monoid
from tilec.text.graph_text import print_sizes
from tilec.text.lexer import name_text, names_text
from tilec.text.loops_parser import LoopsParser, stmt_scope


def print_kernel(kernel: Kernel) -> str:
    """The text of a kernel, deterministic, ending in a newline."""
    return _text(_kernel_lines(kernel))


def print_program(program: Program) -> str:
    """The text of a program, deterministic, ending in a newline."""
    return _text(_program_lines(program))


def parse_kernel(text: str, name: str = "<kernel>") -> Kernel:
    """Inverse of `print_kernel`; does not verify. Raises TileError TILE0601, TILE0411."""
    parser = LoopsParser(text, name)
    kernel = parser.kernel()
    parser.end()
    return kernel


def parse_program(text: str, name: str = "<program>") -> Program:
    """Inverse of `print_program`; does not verify. Raises TileError TILE0601, TILE0411."""
    parser = LoopsParser(text, name)
    program = parser.program()
    parser.end()
    return program


def _text(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _kernel_lines(kernel: Kernel) -> Iterator[str]:
    params = ", ".join(f"{p.mode} {_buffer(p.buffer, 'param')}" for p in kernel.params)
    yield f"kernel {name_text(kernel.name)}({params}) {{"
    yield from _indented(_block_lines(kernel.body, Scope({p.buffer.name: p.buffer.dtype for p in kernel.params})))
    yield "}"


def _buffer(buffer: Buffer, implied: str) -> str:
    text = f"{name_text(buffer.name)}: " + ("" if buffer.space == implied else f"{buffer.space} ")
    text += str(buffer.dtype) + (print_sizes(buffer.shape) if buffer.shape else "")
    if buffer.strides is not None:
        text += " strides " + print_sizes(buffer.strides)
    if buffer.base is not None:
        text += f" base {name_text(buffer.base)}"
    offset = Affine.of(buffer.moves, buffer.offset)
    return text + (f" offset {print_affine(offset)}" if offset != Affine() else "")


def _block_lines(block: Block, scope: Scope) -> Iterator[str]:
    for stmt in block:
        yield from _stmt_lines(stmt, scope)
        scope = stmt_scope(scope, stmt)


def _stmt_lines(stmt: Stmt, scope: Scope) -> Iterator[str]:
    match stmt:
        case For(index, extent, kind, body, depth):
            words = ["", kind] if kind != "serial" else [""]
            words += ["depth", str(depth)] if depth else []
            yield from _braced(f"for {name_text(index)} in {print_coef(extent)}{' '.join(words)}", body, scope)
        case If(conditions, body):
            yield from _braced("if " + ", ".join(f"{print_affine(c)} >= 0" for c in conditions), body, scope)
        case While(condition, body):
            yield from _braced(f"while {print_expr(condition, scope, BOOL)}", body, scope)
        case Alloc(buffer):
            yield f"alloc {_buffer(buffer, 'heap')}"
        case Let(name, value):
            yield f"let {name_text(name)}: {value.dtype} = {print_expr(value, scope, value.dtype)}"
        case Store():
            yield _store(stmt, scope)
        case Barrier(space):
            yield f"barrier {space}"
        case Instr(name, operands):
            yield f"instr {name_text(name)}({', '.join(map(_window, operands))})"


def _braced(head: str, body: Block, scope: Scope) -> Iterator[str]:
    yield f"{head} {{"
    yield from _indented(_block_lines(body, scope))
    yield "}"


def _store(stmt: Store, scope: Scope) -> str:
    target = f"{name_text(stmt.buffer)}[{print_indices(stmt.indices, scope)}]"
    dtype = scope.tensors.get(stmt.buffer)
    monoid = " stream" if stmt.stream else ""
    if stmt.monoid is not None:
        monoid = print_monoid(stmt.monoid)
        name, _, own = monoid.partition(":")
        monoid = f" {name if name in STANDARD and own == str(dtype) else monoid}"
    return f"{target}{monoid}{'= ' if monoid else ' = '}{print_expr(stmt.value, scope, dtype)}"


def _window(window: Window) -> str:
    axes = [
        print_affine(start) + ("" if extent is None else f" : {print_coef(extent)}")
        for start, extent in zip(window.starts, window.extents, strict=True)
    ]
    return f"{name_text(window.buffer)}[{', '.join(axes)}]"


def _program_lines(program: Program) -> Iterator[str]:
    sizes = f"[{names_text(program.sizes)}]" if program.sizes else ""
    signature = f"({names_text(program.params)}) -> ({names_text(program.results)})"
    yield f"program {name_text(program.name)}{sizes}{signature} {{"
    yield from _indented(_declarations(program))
    for kernel in program.kernels:
        yield from _indented(_kernel_lines(kernel))
    if program.init:
        yield from _indented(_steps("init", program.init))
    yield from _indented(_steps("run", program.steps))
    yield "}"


def _declarations(program: Program) -> Iterator[str]:
    for name, size, divisor in program.derived:
        yield f"derived {name_text(name)} = {print_coef(size)} by {divisor}"
    for buffer in program.buffers:
        yield f"buffer {_buffer(buffer, '')}"
    if program.arena:
        yield f"arena {program.arena}"
    for name, offset in program.places:
        yield f"place {name_text(name)} {offset}"
    for name, digest in program.constants:
        yield f"constant {name_text(name)} {json.dumps(digest)}"


def _steps(head: str, steps: Sequence[Step]) -> Iterator[str]:
    yield f"{head} {{"
    for step in steps:
        yield from _indented(_step_lines(step))
    yield "}"


def _step_lines(step: Step) -> Iterator[str]:
    match step:
        case Launch(kernel, args):
            yield f"launch {name_text(kernel)}({names_text(args)})"
        case Copy(source, target):
            yield f"copy {name_text(source)} -> {name_text(target)}"
        case Assign(target, value):
            yield f"assign {name_text(target)} = {print_affine(value)}"
        case HostCall(function, inputs, outputs):
            yield f"host {name_text(function)}({names_text(inputs)}) -> ({names_text(outputs)})"
        case Check(condition, message, _, code):
            yield f"check {name_text(condition)} {json.dumps(message)}{'' if code == 'TILE0405' else f' as {code}'}"
        case Iterate(index, extent, steps, reverse, count):
            head = f"iterate {name_text(index)} in {print_coef(extent)}"
            head += f" count {name_text(count)}" if count is not None else ""
            yield from _steps(head + (" reverse do" if reverse else " do"), steps)
        case Repeat(condition, test, steps):
            yield from _steps(f"repeat {name_text(condition)} test", test)
            yield from _steps("do", steps)
        case Branch(condition, then, orelse):
            yield from _steps(f"branch {name_text(condition)} then", then)
            if orelse:
                yield from _steps("else", orelse)
