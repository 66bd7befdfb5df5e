"""Floor 5: Fourier transforms of short pieces of signals, and signals from these."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.dtypes import F32, promote
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import count_of, whole
from tilec.numpy.elementwise import divide, greater, multiply, where
from tilec.numpy.indexing import getitem_of
from tilec.numpy.padding import pad
from tilec.numpy_semantics import Array
from tilec.ops.fourier import irfft, rfft
from tilec.rules import shape_text
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype, as_float
from tilec.tracing.place import located
from tilec.tracing.tensor import Tensor

WINDOWS = ("hann", "hamming", "rectangular")


def stft(
    x: Any,
    /,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int | None = None,
    *,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """The short-time Fourier transform along the last axis: a pair (real, imaginary) of [..., pieces, fft_length // 2
    + 1], of pieces of `sequence_length` elements, each `sequence_stride` after the one before, times a window.

    window: "hann" or "hamming", periodic, "rectangular", or an array of `sequence_length` numbers. With `center` the
    signal is mirrored at both ends so that piece k is around element k * sequence_stride. As in Keras and torch.

    Raises TILE0202, TILE0208, TILE0210, TILE0211, TILE0511.
    """
    with located():
        lengths = _lengths(sequence_length, sequence_stride, fft_length)
        return _stft(x, *_named(window), lengths=lengths, center=center)


@operation(arrays=("given",))
def _stft(x: Any, /, window: str, given: Any, *, lengths: tuple[int, int, int], center: bool) -> Any:
    tensor = as_float(lift(x))
    length, stride, count = lengths
    extent = _extent(tensor)
    if center:
        widths = [(0, 0)] * (tensor.ndim - 1) + [(count // 2, count // 2)]
        tensor, extent = pad(tensor, widths, "reflect"), extent + count // 2 * 2
    if extent < count:
        raise error("TILE0211", f"a signal of {extent} elements has no piece of {count}")
    pieces = (extent - count) // stride + 1
    names, forms = variables(tensor.ndim + 1)
    *rows, piece, place = forms
    shape = [*tensor.type.shape[:-1], pieces, count]
    frames = contraction("assign", names, element(tensor, [*rows, piece * stride + place]), forms, shape, stem="frames")
    return rfft(multiply(frames, as_dtype(_window(window, given, length, count), frames.type.dtype)))


def istft(
    x: Any,
    /,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int | None = None,
    *,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """The signal of which `stft` is the pair x: pieces times the window are added up, and divided by what the squares
    of the windows add up to; 0 where that is 0. `length` is that of the result.

    D. W. Griffin and J. S. Lim, Signal estimation from modified short-time Fourier transform, 1984. Raises as `stft`.
    """
    with located():
        lengths = _lengths(sequence_length, sequence_stride, fft_length)
        return _istft(x, *_named(window), lengths=lengths, length=length, center=center)


@operation(arrays=("given",))
def _istft(
    x: Any, /, window: str, given: Any, *, lengths: tuple[int, int, int], length: int | None, center: bool
) -> Any:
    size, stride, count = lengths
    frames = irfft(x, count)
    if frames.ndim < 2:
        raise error("TILE0202", f"pieces have two axes or more; their shape is {shape_text(frames.type.shape)}")
    pieces = fixed(frames.type.shape[-2], "pieces of that number are put together")
    weights = as_dtype(_window(window, given, size, count), promote(frames.type.dtype, F32))
    extent = (pieces - 1) * stride + count if pieces else 0
    signal = _overlapped(multiply(frames, weights), stride, extent)
    ones = np.ones((pieces, 1), weights.type.dtype.numpy)
    power = _overlapped(multiply(ones, multiply(weights, weights)), stride, extent)
    there = greater(power, 1e-10)
    signal = as_dtype(where(there, divide(signal, where(there, power, 1)), 0), frames.type.dtype)
    start = count // 2 if center else 0
    stop = extent - start if length is None else start + count_of(length, "a length")
    if stop > extent:
        signal = pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, stop - extent)])
    return getitem_of(signal, [..., slice(start, max(stop, start))])


def _overlapped(frames: Tensor, stride: int, extent: int) -> Any:
    """Pieces added up where they lie."""
    names, forms = variables(frames.ndim)
    *rows, piece, place = forms
    shape = [*frames.type.shape[:-2], extent]
    return contraction("sum", names, element(frames, forms), [*rows, piece * stride + place], shape, stem="overlapped")


def _lengths(length: Any, stride: Any, fft_length: Any) -> tuple[int, int, int]:
    size, step = whole(length, "a length"), whole(stride, "a stride")
    count = size if fft_length is None else whole(fft_length, "a length")
    if size < 1 or step < 1 or count < size:
        text = f"pieces of {size} elements, {step} apart, in a transform of {count}"
        raise error("TILE0511", text, help="lengths and strides are at least 1, fft_length is at least sequence_length")
    return size, step, count


def _named(window: Any) -> tuple[str, Any]:
    """The name of a window, or its numbers."""
    return (window, None) if isinstance(window, str) else ("", window)


def _window(name: str, given: Any, length: int, count: int) -> Any:
    """The window in the middle of `count` elements."""
    before = (count - length) // 2
    around = [(before, count - length - before)]
    if given is None:
        return lift(np.pad(_cosine(name, length), around))
    numbers = as_float(lift(given))
    if numbers.type.shape != (length,):
        shape = shape_text(numbers.type.shape)
        raise error("TILE0208", f"a window of shape {shape} for pieces of {length} elements")
    return pad(numbers, around)


def _cosine(name: str, length: int) -> Array:
    """Periodic windows: the element after the last one would be the first."""
    if name not in WINDOWS:
        raise error("TILE0511", f"there is no window {name!r}", help=", ".join(WINDOWS))
    floor = {"hann": 0.5, "hamming": 0.54, "rectangular": 1.0}[name]
    return np.asarray(floor - (1 - floor) * np.cos(2 * np.pi * np.arange(length) / length))


def _extent(x: Tensor) -> int:
    if not x.ndim:
        raise error("TILE0202", "a signal has an axis of time")
    return fixed(x.type.shape[-1], "a signal of that length is cut into pieces")
