"""What a call costs beyond its arithmetic: an op, its Executable, and NumPy, on arrays of 16 elements.

python benchmarks/call_overhead.py
"""

from __future__ import annotations

from harness import interleave, single_thread

single_thread()

import numpy as np  # noqa: E402

import tilec  # noqa: E402


def main() -> None:
    """Prints medians in microseconds."""
    add = tilec.op("function add(A[N], B[N]) -> (C) { C = A + B; }")
    scale = tilec.op("function scale(A[N], F) -> (C) { C = A * F; }")
    a, b = np.ones(16, "float32"), np.ones(16, "float32")
    out = np.empty(16, "float32")
    executable = add.compile(A=a, B=b)
    contenders = {
        "op": lambda: add(a, b),
        "op, out=": lambda: add(a, b, out=out),
        "op, by name": lambda: add(A=a, B=b),
        "op with a number": lambda: scale(a, 2.5),
        "Executable": lambda: executable(a, b),
        "machine code": lambda: executable.built([a, b], [out]),
        "NumPy": lambda: a + b,
    }
    for name, times in interleave(contenders).items():
        print(f"{name:16}  {times.median * 1e6:6.2f} us")


if __name__ == "__main__":
    main()
