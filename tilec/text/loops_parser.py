"""Floor 3: the parser of Loops; their grammar is in `tilec.text.loops_text`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL
from tilec.loops import (
    LOOP_KINDS,
    SPACES,
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
    KernelParam,
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
from tilec.monoid import STANDARD, Monoid, standard
from tilec.text.expr_text import Scope
from tilec.text.graph_parser import GraphParser

T = TypeVar("T")


def stmt_scope(scope: Scope, stmt: Stmt) -> Scope:
    """The scope of the statements after this one in its block."""
    match stmt:
        case Alloc(buffer):
            return scope.with_tensor(buffer.name, buffer.dtype)
        case Let(name, value):
            return scope.with_scalar(name, value.dtype)
        case _:
            return scope


class LoopsParser(GraphParser):
    """Recursive descent over the grammar in `tilec.text.loops_text`."""

    def kernel(self) -> Kernel:
        self.expect("kernel")
        name = self.name()
        self.expect("(")
        params = self.items(self._kernel_param, ")")
        return Kernel(name, params, self.block(Scope({p.buffer.name: p.buffer.dtype for p in params})))

    def _kernel_param(self) -> KernelParam:
        mode = self.word(("in", "out", "inout"), "'in', 'out' or 'inout'")
        return KernelParam(self._buffer("param"), mode)  # type: ignore[arg-type]  # one of the three

    def _buffer(self, implied: str | None) -> Buffer:
        name = self.name()
        self.expect(":")
        if implied is None or (self.token.kind == "name" and self.token.text in SPACES):
            space = self.word(SPACES, "a memory space")
        else:
            space = implied
        type = self.type()
        strides = self.sizes() if self.accept("strides") else None
        base = self.name() if self.accept("base") else None
        offset = self.affine() if self.accept("offset") else Affine()
        start, moves = offset.const, offset.terms  # sizes, as the verifier sees to
        return Buffer(name, type.dtype, type.shape, space, strides, base, start, moves)  # type: ignore[arg-type]

    def block(self, scope: Scope) -> Block:
        self.expect("{")
        found: list[Stmt] = []
        with self.nested():
            while not self.accept("}"):
                found.append(self._stmt(scope))
                scope = stmt_scope(scope, found[-1])
        return tuple(found)

    def _stmt(self, scope: Scope) -> Stmt:
        if self.at_name():
            return self._store(scope)
        match self.token.text:
            case "for":
                return self._for(scope)
            case "if":
                self.advance()
                return If(self._conditions(), self.block(scope))
            case "while":
                self.advance()
                return While(self.expr(scope, BOOL), self.block(scope))
            case "alloc":
                self.advance()
                return Alloc(self._buffer("heap"))
            case "let":
                return self._scalar_let(scope)
            case "barrier":
                self.advance()
                return Barrier(self.word(SPACES, "a memory space"))  # type: ignore[arg-type]
            case "instr":
                self.advance()
                name = self.name()
                self.expect("(")
                return Instr(name, self.items(self._window, ")"))
        self.expected("a statement, or '}'")

    def _for(self, scope: Scope) -> For:
        self.expect("for")
        index = self.name("an index")
        self.expect("in")
        extent = self.size()
        kind = "serial" if self.at("{") or self.at("depth") else self.word(LOOP_KINDS, "a kind of loop")
        depth = self.natural() if self.accept("depth") else 0
        return For(index, extent, kind, self.block(scope), depth)  # type: ignore[arg-type]  # one of LOOP_KINDS

    def _conditions(self) -> tuple[Affine, ...]:
        found = [self._condition()]
        while self.accept(","):
            found.append(self._condition())
        return tuple(found)

    def _condition(self) -> Affine:
        form = self.affine()
        self.expect(">=")
        if self.natural() != 0:
            self.fail("the right side of a condition is 0", self.tokens[self.position - 1])
        return form

    def _scalar_let(self, scope: Scope) -> Let:
        self.expect("let")
        name = self.name()
        dtype = self.dtype() if self.accept(":") else None
        self.expect("=")
        return Let(name, self.expr(scope, dtype))

    def _store(self, scope: Scope) -> Store:
        name = self.name()
        self.expect("[")
        indices = self._indices(scope)
        self.expect("]")
        stream = self.at("=", 1) and bool(self.accept("stream"))
        monoid = None if self.at("=") else self._aggregation(name, scope)
        self.expect("=")
        return Store(name, indices, self.expr(scope, scope.tensors.get(name)), monoid, stream)

    def _aggregation(self, buffer: str, scope: Scope) -> Monoid:
        dtype = scope.tensors.get(buffer)
        if self.at("=", 1) and dtype is not None:
            return standard(self.word(STANDARD, "'=' or an aggregation"), dtype)
        return self.monoid()

    def _window(self) -> Window:
        name = self.name()
        self.expect("[")
        axes = self.items(self._axis, "]")
        return Window(name, tuple(s for s, _ in axes), tuple(e for _, e in axes))

    def _axis(self) -> tuple[Affine, Size | None]:
        start = self.affine()
        return start, self.size() if self.accept(":") else None

    def program(self) -> Program:
        self.expect("program")
        name = self.name()
        sizes = self.items(self.name, "]") if self.accept("[") else ()
        params = self.name_list()
        self.expect("->")
        results = self.name_list()
        self.expect("{")
        derived = self._repeated("derived", self._derived)
        buffers = self._repeated("buffer", lambda: self._buffer(None))
        arena = self.natural() if self.accept("arena") else 0
        places = self._repeated("place", lambda: (self.name(), self.natural()))
        constants = self._repeated("constant", lambda: (self.name(), self.string()))
        kernels: list[Kernel] = []
        while self.at("kernel"):
            kernels.append(self.kernel())
        init = self._steps() if self.accept("init") else ()
        self.expect("run")
        steps = self._steps()
        self.expect("}")
        return Program(
            name, params, results, buffers, tuple(kernels), steps, init, constants, sizes, arena, places, derived
        )

    def _derived(self) -> tuple[str, Size, int]:
        name = self.name()
        self.expect("=")
        size = self.size()
        self.expect("by")
        return name, size, self._divisor()

    def _repeated(self, word: str, item: Callable[[], T]) -> tuple[T, ...]:
        found: list[T] = []
        while self.accept(word):
            found.append(item())
        return tuple(found)

    def _steps(self) -> tuple[Step, ...]:
        self.expect("{")
        found: list[Step] = []
        with self.nested(2):
            while not self.accept("}"):
                found.append(self._step())
        return tuple(found)

    def _step(self) -> Step:
        match self.word(("launch", "copy", "assign", "host", "check", "iterate", "repeat", "branch"), "a step, or '}'"):
            case "launch":
                return Launch(self.name(), self.name_list())
            case "copy":
                source = self.name()
                self.expect("->")
                return Copy(source, self.name())
            case "assign":
                target = self.name()
                self.expect("=")
                return Assign(target, self.affine())
            case "host":
                function, inputs = self.name(), self.name_list()
                self.expect("->")
                return HostCall(function, inputs, self.name_list())
            case "check":
                name, message = self.name(), self.string()
                return Check(name, message, code=self.name("a code")) if self.accept("as") else Check(name, message)
            case "iterate":
                index = self.name("an index")
                self.expect("in")
                extent = self.size()
                count = self.name() if self.accept("count") else None
                reverse = bool(self.accept("reverse"))
                self.expect("do")
                return Iterate(index, extent, self._steps(), reverse, count)
            case "repeat":
                condition = self.name()
                self.expect("test")
                test = self._steps()
                self.expect("do")
                return Repeat(condition, test, self._steps())
            case _:
                condition = self.name()
                self.expect("then")
                then = self._steps()
                return Branch(condition, then, self._steps() if self.accept("else") else ())
