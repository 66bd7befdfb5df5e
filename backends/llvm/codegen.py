"""LLVM's code generator: IR text -> machine code. Also a program that does it for others, job by job.

It needs llvmlite and nothing of tilec, so that a worker process is ready soon: it is run as a file, without site
packages, and told where llvmlite is. Jobs come on standard input, as a line with the length and then the text; answers
go to standard output, as a line with the length and then the object file. It ends with its input.
"""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict, dataclass
from functools import cache
from typing import IO, Any

GREETING = b"tilec codegen 1\n"  # what a worker says first; the number grows with every change of the protocol


@dataclass(frozen=True, slots=True)
class Machine:
    """What code is made for, in LLVM's words. own: the processor that this process runs on."""

    triple: str
    cpu: str
    features: str
    own: bool


@cache
def initialise(everything: bool) -> None:
    """Makes LLVM ready for this processor, or for all that it knows."""
    import llvmlite.binding as llvm

    if everything:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    else:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()


@cache
def generator(machine: Machine) -> Any:
    """LLVM's TargetMachine: for the own processor as a JIT, for others with position-independent code.

    Raises RuntimeError for a triple that LLVM does not know.
    """
    import llvmlite.binding as llvm

    initialise(not machine.own)
    found = llvm.Target.from_triple(machine.triple)
    how = {"jit": True, "codemodel": "jitdefault"} if machine.own else {"reloc": "pic", "codemodel": "default"}
    return found.create_target_machine(machine.cpu, machine.features, opt=2, **how)


def parsed(text: str, machine: Machine) -> Any:
    """LLVM's module; raises RuntimeError where the text is no module."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    module.triple = generator(machine).triple  # on Windows a JIT's objects are ELF, and the triple says so
    module.data_layout = str(generator(machine).target_data)
    return module


def object_code(text: str, machine: Machine) -> bytes:
    """Machine code of a module as an object file. No middle-end passes run: the text is clean SSA already."""
    return bytes(generator(machine).emit_object(parsed(text, machine)))


# as a worker -------------------------------------------------------------------------------------------------------


def arguments(machine: Machine, path: str) -> list[str]:
    """What a worker is started with, after the interpreter; `path` is the directory that holds llvmlite."""
    return ["-I", "-S", __file__, json.dumps([path, asdict(machine)])]


def write(stream: IO[bytes], data: bytes) -> None:
    """One message. Raises OSError where nobody listens."""
    stream.write(b"%d\n" % len(data))
    stream.write(data)
    stream.flush()


def read(stream: IO[bytes]) -> bytes:
    """One message. Raises EOFError where it is not whole, ValueError where it is none."""
    size = int(stream.readline(20) or b"-1")
    data = stream.read(size) if size >= 0 else b""
    if len(data) != size:
        raise EOFError
    return data


def main() -> None:
    """Answers jobs until there are no more. Errors end it: who asked does the job then, and gets the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    path, machine = json.loads(sys.argv[1])
    sys.path.append(path)
    jobs, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(GREETING)
    answers.flush()
    chosen = Machine(**machine)
    while True:
        try:
            text = read(jobs).decode()
        except EOFError:
            return
        write(answers, object_code(text, chosen))


if __name__ == "__main__":
    main()
