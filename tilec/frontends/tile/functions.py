"""What a call may name besides the program's own functions, and how operators are spelled as builtins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilec.builtins import ALIASES, BUILTINS
from tilec.dtypes import BF16, BOOL, BY_NAME, DType

BINARY: Mapping[str, str] = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "%": "mod",
    "^": "bit_xor",
    "|": "bit_or",
    "&": "bit_and",
    "==": "cmp_eq",
    "!=": "cmp_ne",
    "<": "cmp_lt",
    "<=": "cmp_le",
    ">": "cmp_gt",
    ">=": "cmp_ge",
    "<<": "bit_left",
    ">>": "bit_right",
}
UNARY: Mapping[str, str] = {"-": "neg", "~": "bit_not", "!": "logical_not", "+": "ident"}

# Elementwise functions by the name a program uses; conversions and parts of expansions are not among them.
ELEMENTWISE: Mapping[str, str] = {
    **{n: n for n, b in BUILTINS.items() if b.rule not in ("cast", "bitcast", "raw")},
    **{n: op for n, op in ALIASES.items() if BUILTINS[op].rule not in ("cast", "bitcast", "raw")},
}

# Conversions: the widths each takes.
CASTS: Mapping[str, Mapping[int, DType]] = {
    "as_float": {w: BY_NAME[f"f{w}"] for w in (16, 32, 64)},
    "as_bfloat": {16: BF16},
    "as_int": {w: BY_NAME[f"i{w}"] for w in (8, 16, 32, 64)},
    "as_uint": {w: BY_NAME[f"u{w}"] for w in (8, 16, 32, 64)},
    "as_bool": {8: BOOL},
}

MANY = 1000

# Whole-tensor functions: fewest and most arguments.
WHOLE: Mapping[str, tuple[int, int]] = {
    "shape": (1, 1),
    "index": (2, 2),
    "reshape": (1, MANY),
    "gather": (2, 2),
    "scatter": (3, 3),
    "scatter_max": (3, 3),
    "scatter_min": (3, 3),
    "scatter_prod": (3, 3),
    "sort": (2, 2),
    "argsort": (2, 2),
    "tuple": (1, MANY),
    "element": (2, 2),
    "prng_step": (1, MANY),
    "prng_state": (1, 1),
    "prng_value": (1, 1),
    "random_bits": (2, MANY),
    "random_bits64": (2, MANY),
    "builtin_softmax": (1, 3),
    "builtin_logsoftmax": (1, 3),
    "builtin_binary_crossentropy": (2, 3),
}

GRADIENTS = frozenset({"grad", "gradient"})


@dataclass(frozen=True, slots=True)
class Control:
    """A branch or loop: where functions of the program stand among its arguments, and how many arguments it takes."""

    functions: tuple[int, ...]
    least: int
    most: int


_LOOP = Control((0,), 3, 5)  # step, carried, inputs, captures, length
CONTROL: Mapping[str, Control] = {
    "cond": Control((1, 2), 3, MANY),  # condition, two functions, their arguments
    "while": Control((0, 1), 3, 4),  # test, body, carried, captures
    **dict.fromkeys(("scan", "reverse_scan", "fold", "reverse_fold"), _LOOP),
}

CHECK_GRADIENT = "check_grad"  # check_grad(f, A, B), in a test
TEST_CHECKS: Mapping[str, tuple[int, int]] = {"assert_close": (2, 3), "assert_equal": (2, 2), "assert_": (1, 1)}
TEST_DATA: Mapping[str, tuple[int, int]] = {"random": (0, MANY)}


DERIVED = frozenset({"div", "mod", "max", "min", "abs"})  # operations that sizes are written with, besides + - *


def derived_text(op: str, args: Sequence[str]) -> str:
    """A size made by one of `DERIVED`, as it is written; the operands bind as tightly as need be."""
    if op in ("div", "mod"):
        return f"({args[0]} {'/' if op == 'div' else '%'} {args[1]})"
    return f"{op}({', '.join(args)})"


def arity(name: str) -> tuple[int, int] | None:
    """Fewest and most arguments of a builtin function, None where there is no such function."""
    if name in ELEMENTWISE:
        count = BUILTINS[ELEMENTWISE[name]].arity
        return count, count
    if name in CASTS:
        return (1, 2) if name == "as_bool" else (2, 2)
    if name.startswith("assert_"):
        return 1, 1
    return WHOLE.get(name)


def is_whole(name: str) -> bool:
    """Whether a builtin works on whole tensors only; `cond` is elementwise, too."""
    return name in WHOLE or name.startswith("assert_") or (name in CONTROL and name != "cond")


def is_builtin(name: str) -> bool:
    return arity(name) is not None or name in CONTROL or name in GRADIENTS


def known() -> list[str]:
    """Every builtin function's name."""
    return [*ELEMENTWISE, *CASTS, *WHOLE, *CONTROL]
