"""Floor 5: by which rules types are promoted: those of the Tile language, of NumPy or of Keras."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import _GeneratorContextManager, contextmanager
from typing import Any

import numpy as np

from tilec.errors import error
from tilec.numpy.types import operand_type
from tilec.promotion import RULES, Rules, common
from tilec.tracing.dispatch import scope
from tilec.tracing.place import located


def result_type(*operands: Any, rules: Rules = "tile") -> np.dtype[Any]:
    """The type that operands have together by the rules "tile", "numpy" or "keras": of tensors, arrays, types, and
    Python numbers, which are weak. Raises TILE0303, TILE0511.
    """
    with located():
        _check(rules)
        if not operands:
            raise error("TILE0511", "result_type of nothing")
        return common([operand_type(o) for o in operands], rules).dtype.numpy


def promoting(rules: Rules) -> _GeneratorContextManager[None]:
    """Within it, functions of `tilec.numpy`, operators and functions built on them promote by other rules while a
    function is traced. The program holds the conversions; nothing is remembered outside of the trace. Also a decorator,
    below `tilec.jit`. Raises TILE0511.
    """
    with located():
        _check(rules)
    return _promoting(rules)


@contextmanager
def _promoting(rules: Rules) -> Iterator[None]:
    with located():
        here = scope()
    before, here.promotion = here.promotion, rules
    try:
        yield
    finally:
        here.promotion = before


def _check(rules: Any) -> None:
    if not isinstance(rules, str) or rules not in RULES:
        raise error("TILE0511", f"there are no rules of promotion {rules!r}", help=", ".join(RULES))
