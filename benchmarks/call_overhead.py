"""What a call costs beyond its arithmetic, on arrays of 16 elements, beside NumPy; and what a parallel loop costs.

    python benchmarks/call_overhead.py

The parallel loop has an iteration for each thread and next to nothing to do; its threads have not gone to sleep yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness import interleave, single_thread

single_thread()

import numpy as np  # noqa: E402

import tilec  # noqa: E402
from tilec.backends.llvm.backend import LLVMBackend  # noqa: E402
from tilec.backends.llvm.target import host  # noqa: E402
from tilec.text.loops_text import parse_program  # noqa: E402

LOOPS = 100


def parallel(loops: int) -> Callable[[], object]:
    """A call that runs so many parallel loops on two threads."""
    launches = "launch step(A, B) " * loops
    program = parse_program(f"""
        program f(A) -> (B) {{
          buffer A: param f32[2]
          buffer B: param f32[2]
          kernel step(in x: f32[2], out y: f32[2]) {{ for i in 2 parallel {{ y[i] = x[i] }} }}
          run {{ {launches} }}
        }}""")
    built = LLVMBackend().build(program, replace(host(), threads=2), {})
    return built.bind([np.ones(2, "float32")], [np.ones(2, "float32")])


def main() -> None:
    """Prints medians in microseconds."""
    add = tilec.op("function add(A[N], B[N]) -> (C) { C = A + B; }")
    scale = tilec.op("function scale(A[N], F) -> (C) { C = A * F; }")
    traced = tilec.jit(lambda x, y: x + y)
    a, b = np.ones(16, "float32"), np.ones(16, "float32")
    out = np.empty(16, "float32")
    executable = add.compile(A=a, B=b)
    strided = np.ones(32, "float32")[::2]
    contenders: dict[str, Callable[[], object]] = {
        "Executable": lambda: executable(a, b),
        "Executable, out=": lambda: executable(a, b, out=out),
        "Executable, by name": lambda: executable(A=a, B=b),
        "Executable, in Python": lambda: executable(strided, b, out=out),
        "op": lambda: add(a, b),
        "op, out=": lambda: add(a, b, out=out),
        "op, by name": lambda: add(A=a, B=b),
        "op with a number": lambda: scale(a, 2.5),
        "jit": lambda: traced(a, b),
        "machine code": lambda: executable.built([a, b], [out]),
        "NumPy": lambda: a + b,
        "NumPy, out=": lambda: np.add(a, b, out=out),
    }
    for call in (*contenders.values(),) * 3:  # the first calls of a program are not yet direct
        call()
    for name, times in interleave(contenders).items():
        print(f"{name:22}  {times.median * 1e6:6.2f} us")
    loops = interleave({"one": parallel(1), "many": parallel(LOOPS + 1)})
    each = (loops["many"].median - loops["one"].median) / LOOPS
    print(f"{'parallel loop':22}  {each * 1e6:6.2f} us")


if __name__ == "__main__":
    main()
