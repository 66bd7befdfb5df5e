"""IR of direct calls: from Python objects to a program's machine code and back, without Python code in between.

It is written against CPython's stable functions, apart from what it reads of objects: their type, and the fields of
arrays, whose places every extension module that was ever compiled against NumPy relies on (`tilec.backends.llvm.direct`
looks whether they are there). Whatever is not exactly what the program takes is refused: NotImplemented comes back, and
the caller does it all again in Python, which also says what is wrong.

A description of a program, in 8-byte words:
    0 run, 1 fixed      the program's function and the memory that it keeps
    2 mode              0: the interpreter's lock is held; 1: it is released; 2: `call` of the interrupts does that
    3 program, 4 call   for mode 2
    5 pool              where the address of the pool is; 0: there is none to pass
    6 arenas            a list of tuples (address of a table, address of an arena, ...), taken from and given back to
    7 status            where in the arena the number of a failed Check is; -1: there is no Check
    8 inputs, 9 results how many there are
    10 ndarray, float, int, tuple       types
    14 None, NotImplemented, MemoryError, the name `out`
    18 records of 7 words, of inputs and then of results: dtype, rank, shape, bytes, place in the table; of an input the
       kind of numbers that stand for it (0: none, float32, float64, int32, int64) and its name; of a result what makes
       a fresh array
"""

from __future__ import annotations

from tilec.backends.llvm.direct_code import entries, inputs, launch, results
from tilec.backends.llvm.direct_code.layout import IMPORTS
from tilec.backends.llvm.direct_code.spelling import spelled


def text() -> str:
    """The module: exports `enter`, `call` and `names`."""
    declared = (f"declare {t.split(' ', 1)[0]} @{n}{t.split(' ', 1)[1]}" for n, t in IMPORTS.items())
    return "\n".join(declared) + spelled(inputs.TEXT + results.TEXT + launch.TEXT + entries.TEXT)
