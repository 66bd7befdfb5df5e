"""Floor 5: recurrent layers: one `tilec.scan` over time, behind one product of all inputs with their weights.

Sequences are `[batch, time, features]`, or `[time, batch, features]` with `time_major=True`; batch and time may be open
sizes. The gates of a layer stand side by side in its weights: kernel `[features, gates * units]`, recurrent kernel
`[units, gates * units]`, bias `[gates * units]`. The layers share these options:

mask: bool `[batch, time]` (`[time, batch]` if time-major); where it is false, a sequence keeps its state. lengths: the
number of steps of each sequence, in place of a mask. go_backwards: from the last step to the first, with the outputs in
the order in which they are computed. return_sequences: the outputs of all steps, not only of the last one.
zero_output_for_mask: outputs where the mask is false are 0, not the state that is kept; the last output of a layer
alone is always its state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from tilec.affine import Size
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.graph import TensorType
from tilec.numpy.creation import zeros
from tilec.numpy.einstein import einsum
from tilec.numpy.elementwise import relu, sigmoid, tanh
from tilec.numpy.products import matmul
from tilec.numpy.shapes import concat, flip
from tilec.ops.recurrence import Course, Step, ordered, ran, shaped
from tilec.rules import common_type, shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.subgraph import check_function
from tilec.tracing.tensor import Tensor

Activation: TypeAlias = str | Callable[[Any], Any]

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    "relu": relu,
    "sigmoid": sigmoid,
    "tanh": tanh,
}
_OPERANDS = ("bias", "initial_state", "mask", "lengths")


@operation(arrays=_OPERANDS)
def simple_rnn(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    /,
    bias: Any = None,
    initial_state: Any = None,
    *,
    activation: Activation = "tanh",
    mask: Any = None,
    lengths: Any = None,
    go_backwards: bool = False,
    return_sequences: bool = True,
    zero_output_for_mask: bool = False,
    time_major: bool = False,
) -> Any:
    """Elman's network: h = activation(x kernel + bias + h recurrent_kernel). Returns (outputs, h).

    Raises TILE0202, TILE0203, TILE0301, TILE0304, TILE0511; for the options see the top of the file.
    """
    course = Course(mask, lengths, go_backwards, return_sequences, zero_output_for_mask, time_major)
    w = _weights(x, kernel, recurrent_kernel, bias, 1, course)
    act = _activation(activation)

    def step(z: Any, h: Any) -> Any:
        h = act(z + matmul(h, w.recurrent))
        return h, h

    return _layer(step, w, _state(initial_state, w), course)


@operation(arrays=_OPERANDS)
def lstm(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    /,
    bias: Any = None,
    initial_state: Any = None,
    *,
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
    mask: Any = None,
    lengths: Any = None,
    go_backwards: bool = False,
    return_sequences: bool = True,
    zero_output_for_mask: bool = False,
    time_major: bool = False,
) -> Any:
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate by Gers 2000): returns (outputs, (h, c)).

    Gates in the order input, forget, cell, output, as in Keras and PyTorch. initial_state: a pair (h, c). Raises
    TILE0202, TILE0203, TILE0301, TILE0304, TILE0511; for the options see the top of the file.
    """
    course = Course(mask, lengths, go_backwards, return_sequences, zero_output_for_mask, time_major)
    w = _weights(x, kernel, recurrent_kernel, bias, 4, course)
    act, gate = _activation(activation), _activation(recurrent_activation)

    def step(z: Any, state: Any) -> Any:
        h, c = state
        i, f, g, o = _gates(z + matmul(h, w.recurrent), 4)
        c = gate(f) * c + gate(i) * act(g)
        h = gate(o) * act(c)
        return h, (h, c)

    pair = (None, None) if initial_state is None else initial_state
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise error("TILE0511", "the initial state of an LSTM is a pair (h, c)")
    return _layer(step, w, (_state(pair[0], w), _state(pair[1], w)), course)


@operation(arrays=_OPERANDS)
def gru(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    /,
    bias: Any = None,
    initial_state: Any = None,
    *,
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
    reset_after: bool = True,
    mask: Any = None,
    lengths: Any = None,
    go_backwards: bool = False,
    return_sequences: bool = True,
    zero_output_for_mask: bool = False,
    time_major: bool = False,
) -> Any:
    """Gated recurrent unit (Cho et al. 2014): returns (outputs, h). Gates in the order update, reset, candidate.

    With reset_after the reset gate is applied behind the product with the recurrent kernel, as in PyTorch and cuDNN;
    bias may then be `[2, 3 * units]`, the second row for that product. Raises TILE0202, TILE0203, TILE0301,
    TILE0304, TILE0511; for the options see the top of the file.
    """
    course = Course(mask, lengths, go_backwards, return_sequences, zero_output_for_mask, time_major)
    inner: Any = None
    if bias is not None and reset_after and lift(bias).ndim == 2:
        rows = lift(bias)
        if rows.type.shape[0] != 2:
            raise error("TILE0203", f"the bias of a GRU has shape {shape_text(rows.type.shape)}, not 2 rows")
        bias, inner = rows[0], rows[1]
    w = _weights(x, kernel, recurrent_kernel, bias, 3, course)
    act, gate = _activation(activation), _activation(recurrent_activation)

    def after(z: Any, h: Any) -> Any:
        product = matmul(h, w.recurrent)
        u, r, n = _gates(product if inner is None else product + as_dtype(inner, w.z.type.dtype), 3)
        zu, zr, zn = _gates(z, 3)
        return _updated(gate(zu + u), act(zn + gate(zr + r) * n), h)

    both = w.units * 2

    def before(z: Any, h: Any) -> Any:
        u, r = _gates(gate(z[:, :both] + matmul(h, w.recurrent[:, :both])), 2)
        return _updated(u, act(z[:, both:] + matmul(r * h, w.recurrent[:, both:])), h)

    return _layer(after if reset_after else before, w, _state(initial_state, w), course)


def _updated(update: Any, candidate: Any, h: Any) -> Any:
    h = update * h + (1 - update) * candidate
    return h, h


@operation(arrays=("initial_state", "mask", "lengths"))
def bidirectional(
    x: Any,
    forward: Any,
    backward: Any,
    /,
    layer: Callable[..., Any] = lstm,
    *,
    merge: str = "concat",
    initial_state: Any = None,
    activation: Activation | None = None,
    recurrent_activation: Activation | None = None,
    reset_after: bool | None = None,
    mask: Any = None,
    lengths: Any = None,
    return_sequences: bool = True,
    zero_output_for_mask: bool = False,
    time_major: bool = False,
) -> Any:
    """A layer in both directions of time: `forward` and `backward` are its weights, (kernel, recurrent_kernel[, bias]).

    Outputs are joined by merge: "concat", "sum", "mul", "ave", or "none" for a pair; those of one step belong together.
    initial_state: a pair of states. The layer gets the other arguments as they are, those that are None not at all.
    Returns (outputs, (state forward, state backward)). Raises TILE0511 and what the layer raises, TILE0502 of an
    argument that it does not have.
    """
    if not isinstance(merge, str) or merge not in _MERGES:
        raise error("TILE0511", f"outputs are merged by {', '.join(_MERGES)}, not {merge!r}")
    check_function(layer, "a layer")
    states = (None, None) if initial_state is None else initial_state
    if not isinstance(states, tuple | list) or len(states) != 2:
        raise error("TILE0511", "the initial state of both directions is a pair of states")
    options: dict[str, Any] = {"mask": mask, "lengths": lengths, "return_sequences": return_sequences}
    own = {"activation": activation, "recurrent_activation": recurrent_activation, "reset_after": reset_after}
    options |= {name: value for name, value in own.items() if value is not None}
    options |= {"zero_output_for_mask": True} if zero_output_for_mask else {}
    found = []
    for weights, state, back in zip((forward, backward), states, (False, True)):
        if not isinstance(weights, tuple | list) or len(weights) not in (2, 3):
            raise error("TILE0511", "the weights of a direction are (kernel, recurrent_kernel) or with a bias")
        found.append(layer(x, *weights, initial_state=state, time_major=time_major, go_backwards=back, **options))
    (first, ahead), (second, behind) = found
    if return_sequences:
        second = flip(second, 0 if time_major else 1)
    return _MERGES[merge](first, second), (ahead, behind)


_MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "concat": lambda a, b: concat([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) * 0.5,
    "none": lambda a, b: (a, b),
}


@dataclass(frozen=True, slots=True)
class _Weights:
    """`z`: the products of the inputs of all steps, `[time, batch, gates * units]`; the kernel of the state."""

    z: Tensor
    recurrent: Tensor
    units: int


def _weights(x: Any, kernel: Any, recurrent: Any, bias: Any, gates: int, course: Course) -> _Weights:
    given = [lift(v) for v in (x, kernel, recurrent, *([] if bias is None else [bias]))]
    dtype = common_type([TensorType(t.type.dtype, (), t.type.weak) for t in given]).dtype
    for tensor, rank, what in zip(given, (3, 2, 2, 1), ("sequences", "the kernel", "the recurrent kernel", "the bias")):
        if tensor.ndim != rank:
            raise error("TILE0202", f"{what} of a recurrent layer: rank {tensor.ndim}, not {rank}")
    units = fixed(given[2].type.shape[0], "it is the number of units of a recurrent layer")
    width = units * gates
    wanted: list[tuple[Size, ...]] = [(given[0].type.shape[2], width), (units, width), (width,)]
    for tensor, shape, what in zip(given[1:], wanted, ("kernel", "recurrent kernel", "bias")):
        if tensor.type.shape != shape:
            texts = shape_text(tensor.type.shape), shape_text(shape)
            raise error("TILE0203", f"the {what} of a layer of {units} units has shape {texts[0]}, not {texts[1]}")
    x, kernel, recurrent, *rest = [as_dtype(t, dtype) for t in given]
    z = einsum("tbi,ig->tbg" if course.time_major else "bti,ig->tbg", x, kernel)
    return _Weights(z + rest[0] if rest else z, recurrent, units)


def _activation(given: Activation) -> Callable[[Any], Any]:
    if callable(given):
        return given
    if given not in _ACTIVATIONS:
        help = "or a function of a tensor: " + ", ".join(_ACTIVATIONS)
        raise error("TILE0511", f"there is no activation {given!r}", help=help)
    return _ACTIVATIONS[given]


def _gates(z: Any, count: int) -> list[Any]:
    """The parts of equal width along the last axis."""
    units = z.shape[-1] // count
    return [z[:, k * units : (k + 1) * units] for k in range(count)]


def _state(given: Any, weights: _Weights) -> Tensor:
    """A state as the caller gives it, or zeros; raises TILE0203."""
    shape = (weights.z.type.shape[1], weights.units)
    if given is None:
        return cast(Tensor, zeros(shape, weights.z.type.dtype))
    return cast(Tensor, as_dtype(shaped(given, shape, "a state"), weights.z.type.dtype))


def _layer(step: Step, weights: _Weights, state: Any, course: Course) -> Any:
    outputs, state = ran(step, weights.z, state, course)
    last = state[0] if isinstance(state, tuple) else state
    return (ordered(outputs, course) if course.return_sequences else last), state
