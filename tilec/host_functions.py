"""Floor 2: the table of host functions: what NumPy computes while a program runs, by name.

A program names what it calls, and nothing else can be called: so a program kept on disk runs no code of strangers. The
functions are pure: equal calls are one, and a call whose results nobody uses is not made. They read their operands and
return new arrays. Their derivatives are those of the functions in `tilec.ops` that call them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tilec.affine import size_text
from tilec.ctc import beam_search
from tilec.dtypes import F32, F64, I32
from tilec.errors import Span, TileError, error
from tilec.graph import TensorType
from tilec.lu import lu_factored

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Types: TypeAlias = tuple[TensorType, ...]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HostFunction:
    """run: takes the shapes of the results and the operands. results: their types, of the operands' types and the
    shapes that are asked for; None where there are none for such operands."""

    name: str
    run: Callable[..., Array | tuple[Array, ...]]
    results: Callable[[Types, Sequence[Shape]], Types | None]


def result_types(name: str, operands: Types, wanted: Types, span: Span | None = None) -> Types:
    """Types of the results; raises TILE0105 for an unknown function, TILE0210 for open sizes, TILE0602 for operands
    that it does not take and for results that are not `wanted`."""
    function = HOST_FUNCTIONS.get(name)
    if function is None:
        raise error("TILE0105", f"there is no host function '{name}'", span)
    for type in (*operands, *wanted):
        if open_ := [s for s in type.shape if not isinstance(s, int)]:
            raise error("TILE0210", f"the host function '{name}' takes no open size: {size_text(open_[0])}", span)
    found = function.results(operands, [_fixed(t) for t in wanted])
    if found is None or found != tuple(TensorType(t.dtype, t.shape) for t in wanted):
        raise error("TILE0602", f"the host function '{name}' has no such results for these operands", span)
    return found


def call_host(
    name: str, shapes: Sequence[Shape], arrays: Sequence[Array], span: Span | None = None
) -> tuple[Array, ...]:
    """The results on these operands. Raises TileError TILE0420 where they have none, say of a singular matrix."""
    try:
        with np.errstate(all="ignore"):
            found = HOST_FUNCTIONS[name].run(shapes, *arrays)
    except TileError:
        raise
    except MemoryError:
        raise error("TILE0416", f"the host function '{name}' does not get the memory that it needs", span) from None
    except Exception as reason:
        raise error("TILE0420", f"'{name}' has no result here: {_sentence(reason)}", span) from None
    return found if isinstance(found, tuple) else (found,)


def _sentence(reason: Exception) -> str:
    text = str(reason).partition("\n")[0].strip().rstrip(".") or type(reason).__name__
    return text[:1].lower() + text[1:]


def _fixed(type: TensorType) -> Shape:
    return tuple(int(s) for s in type.shape if isinstance(s, int))


# --- decompositions of matrices ---------------------------------------------------------------------------------------


def _matrices(operands: Types, square: bool = False) -> tuple[Shape, int, int] | None:
    """Shape of the batch, rows and columns of a single operand that LAPACK takes."""
    shape = _fixed(operands[0])
    if len(operands) != 1 or len(shape) < 2 or operands[0].dtype not in (F32, F64):
        return None
    return None if square and shape[-1] != shape[-2] else (shape[:-2], shape[-2], shape[-1])


def _like(operands: Types, *shapes: Shape) -> Types:
    return tuple(TensorType(operands[0].dtype, shape) for shape in shapes)


def _solve(operands: Types, _: Sequence[Shape]) -> Types | None:
    """Matrices of the batch of the left side."""
    if len(operands) != 2 or (found := _matrices(operands[:1], square=True)) is None:
        return None
    batch, n, _columns = found
    right = _fixed(operands[1])
    alike = operands[1].dtype == operands[0].dtype and right[:-1] == (*batch, n)
    return _like(operands, right) if alike else None


def _eigh(operands: Types, _: Sequence[Shape]) -> Types | None:
    if (found := _matrices(operands, square=True)) is None:
        return None
    batch, n, _columns = found
    return _like(operands, (*batch, n), (*batch, n, n))


def _eig(operands: Types, _: Sequence[Shape]) -> Types | None:
    """Real and imaginary parts, of the values and of the vectors."""
    if (found := _matrices(operands, square=True)) is None:
        return None
    batch, n, _columns = found
    return _like(operands, (*batch, n), (*batch, n), (*batch, n, n), (*batch, n, n))


def _parts(a: Array) -> tuple[Array, ...]:
    values, vectors = np.linalg.eig(a)
    return values.real, values.imag, vectors.real, vectors.imag


def _symmetric_parts(a: Array) -> tuple[Array, ...]:
    """Eigenvalues and vectors of the lower triangles, NaN where one is not finite: LAPACK finds numbers for some."""
    values, vectors = np.linalg.eigh(a)
    lost = ~np.isfinite(np.tril(a)).all(axis=(-2, -1))
    values[lost], vectors[lost] = np.nan, np.nan
    return values, vectors


def _slogdet(operands: Types, _: Sequence[Shape]) -> Types | None:
    if (found := _matrices(operands, square=True)) is None:
        return None
    return _like(operands, found[0], found[0])


def _det(operands: Types, _: Sequence[Shape]) -> Types | None:
    found = _matrices(operands, square=True)
    return None if found is None else _like(operands, found[0])


def _lu(operands: Types, _: Sequence[Shape]) -> Types | None:
    if (found := _matrices(operands)) is None:
        return None
    batch, m, n = found
    pivots, rows = (TensorType(I32, (*batch, size)) for size in (min(m, n), m))
    return *_like(operands, (*batch, m, n)), pivots, rows


def _qr(operands: Types, _: Sequence[Shape]) -> Types | None:
    if (found := _matrices(operands)) is None:
        return None
    batch, m, n = found
    k = min(m, n)
    return _like(operands, (*batch, m, k), (*batch, k, n))


def _qr_complete(operands: Types, _: Sequence[Shape]) -> Types | None:
    if (found := _matrices(operands)) is None:
        return None
    batch, m, n = found
    return _like(operands, (*batch, m, m), (*batch, m, n))


def _svd(operands: Types, _: Sequence[Shape]) -> Types | None:
    if (found := _matrices(operands)) is None:
        return None
    batch, m, n = found
    k = min(m, n)
    return _like(operands, (*batch, m, k), (*batch, k), (*batch, k, n))


def _svd_full(operands: Types, _: Sequence[Shape]) -> Types | None:
    if (found := _matrices(operands)) is None:
        return None
    batch, m, n = found
    return _like(operands, (*batch, m, m), (*batch, min(m, n)), (*batch, n, n))


def _singular_values(operands: Types, _: Sequence[Shape]) -> Types | None:
    if (found := _matrices(operands)) is None:
        return None
    batch, m, n = found
    return _like(operands, (*batch, min(m, n)))


def _same(operands: Types, _: Sequence[Shape]) -> Types | None:
    """A square matrix of a square matrix."""
    return None if _matrices(operands, square=True) is None else _like(operands, _fixed(operands[0]))


def _beam_search(operands: Types, shapes: Sequence[Shape]) -> Types | None:
    """Log probabilities [batch, steps, classes], lengths [batch], the width of the beam and the class of the blank."""
    if len(operands) != 4 or len(shapes) != 2 or operands[0].dtype not in (F32, F64) or len(operands[0].shape) != 3:
        return None
    batch, steps, _classes = _fixed(operands[0])
    lengths, *numbers = ((t.dtype, _fixed(t)) for t in operands[1:])
    if lengths != (I32, (batch,)) or any(n != (I32, ()) for n in numbers) or len(shapes[0]) != 3:
        return None
    paths = shapes[0][0]
    return TensorType(I32, (paths, batch, steps)), TensorType(operands[0].dtype, (batch, paths))


HOST_FUNCTIONS: dict[str, HostFunction] = {
    f.name: f
    for f in (
        HostFunction("cholesky", lambda _, a: np.linalg.cholesky(a), _same),
        HostFunction("ctc_beam_search", lambda shapes, *a: beam_search(shapes[0], *a), _beam_search),
        HostFunction("det", lambda _, a: np.linalg.det(a), _det),
        HostFunction("eig", lambda _, a: _parts(a), _eig),
        HostFunction("eigh", lambda _, a: _symmetric_parts(a), _eigh),
        HostFunction("inv", lambda _, a: np.linalg.inv(a), _same),
        HostFunction("lu", lambda _, a: lu_factored(a), _lu),
        HostFunction("qr", lambda _, a: tuple(np.linalg.qr(a)), _qr),
        HostFunction("qr_complete", lambda _, a: tuple(np.linalg.qr(a, mode="complete")), _qr_complete),
        HostFunction("slogdet", lambda _, a: tuple(np.linalg.slogdet(a)), _slogdet),
        HostFunction("solve", lambda _, a, b: np.linalg.solve(a, b), _solve),
        HostFunction("svd", lambda _, a: tuple(np.linalg.svd(a, full_matrices=False)), _svd),
        HostFunction("svd_full", lambda _, a: tuple(np.linalg.svd(a)), _svd_full),
        HostFunction("singular_values", lambda _, a: np.linalg.svd(a, compute_uv=False), _singular_values),
    )
}
