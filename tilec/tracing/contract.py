"""Floor 5: `tilec.contract`: one statement of the Tile language, as text or written with index objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tilec.errors import Diagnostic, Source, TileError, error
from tilec.tracing.contract_elements import contract_elements
from tilec.tracing.dispatch import operation
from tilec.tracing.index import Element
from tilec.tracing.place import located
from tilec.tracing.programs import call_program

_TARGET = re.compile(r"\s*(?:\[\[.*?\]\]\s*)*#?([A-Za-z_]\w*'?)\s*(?=[\[=:])", re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def contract(
    what: str | Element,
    /,
    *,
    out: Any = None,
    sizes: Any = None,
    by: str = "+",
    where: Any = (),
    default: Any = None,
    **operands: Any,
) -> Any:
    """One contraction: a statement in Tile with its operands by name, or an expression of elements.

    In Tile, `contract("C[m, n] = +(A[m, k] * B[k, n])", A=a, B=b)`; several statements are separated by semicolons, and
    the last one's target is the result.

    With index objects, `contract(a[m, k] * b[k, n], out=(m, n))`. out: index expressions of the result; sizes: of the
    result's axes, needed where an index is not a bare variable that alone names an axis of an operand; by: one of
    `+ * > < =`, or sum, prod, max, min, assign; where: conditions such as `i - j < 3`, meaning 0 <= i - j < 3; default:
    a tensor for the cells that no term reaches.

    Inside a function that is being traced the result is a tensor; of arrays it is computed at once, compiled once per
    signature. Raises TileError with the codes of the language.

    >>> import numpy as np, tilec
    >>> i, j = tilec.index("i j")
    >>> a = np.arange(6).reshape(2, 3)
    >>> tilec.contract("S[j] = +(A[i, j])", A=a).tolist()
    [3, 5, 7]
    >>> tilec.contract(tilec.at(a)[i, j], out=(j,)).tolist()
    [3, 5, 7]
    """
    with located():
        if isinstance(what, Element):
            if operands:
                first = next(iter(operands))
                raise error("TILE0502", f"elements have their operands already; {first!r} is one too many")
            return contract_elements(what, _all(out), sizes, by, _all(where), default)
        _check_text(what, (out, sizes, by, where, default) != (None, None, "+", (), None))
        return _of_text(operands, text=what)


def _check_text(what: Any, more: bool) -> None:
    if not isinstance(what, str):
        text = f"a contraction is text or an expression of elements, not an object of type {type(what).__name__}"
        help = "an element is a tensor at index objects: t[i, j], or tilec.at(array)[i, j]"
        raise error("TILE0511", text, help=help)
    if more:
        raise error("TILE0511", "out, sizes, by, where and default go with elements; text says all that itself")


def _all(given: Any) -> tuple[Any, ...]:
    return () if given is None else tuple(given) if isinstance(given, tuple | list) else (given,)


@operation
def _of_text(operands: Mapping[str, Any], /, text: str) -> Any:
    """A statement of the language, as the only one of a function of the operands."""
    text = text.strip().removesuffix(";")
    statements = [s for s in _COMMENT.sub(" ", text).split(";") if s.strip()]
    target = _TARGET.match(statements[-1]) if statements else None
    if target is None:
        help = "write it like C[m, n] = +(A[m, k] * B[k, n])"
        raise error("TILE0511", f"a contraction begins with the tensor that it defines: {text!r}", help=help)
    program = f"function ({', '.join(operands)}) -> ({target[1]}) {{\n{text};\n}}\n"
    try:
        return call_program(Source("<contract>", program), None, operands)[0]
    except TileError as found:
        raise TileError(map(_helped, found.diagnostics)) from found.__cause__


def _helped(problem: Diagnostic) -> Diagnostic:
    """Where a name is not known: what the names are."""
    if problem.code != "TILE0101" or problem.help is not None:
        return problem
    return replace(problem, help="operands are given by name, contract(text, A=a); sizes are numbers, or left out")
