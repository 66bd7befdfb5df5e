"""Recurrent layers against loops in NumPy and against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tilec import ops

Array = np.ndarray[Any, Any]


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-6)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def simple_step(z: Array, u: Array, inner: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    return (np.tanh(z + state[0] @ u),)


def lstm_step(z: Array, u: Array, inner: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    i, f, g, o = np.split(z + state[0] @ u, 4, axis=-1)
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_after(z: Array, u: Array, inner: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (zu, zr, zn), (pu, pr, pn) = (np.split(v, 3, axis=-1) for v in (z, state[0] @ u + inner))
    update = sigmoid(zu + pu)
    return (update * state[0] + (1 - update) * np.tanh(zn + sigmoid(zr + pr) * pn),)


def gru_before(z: Array, u: Array, inner: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (zu, zr, zn), (uu, ur, un) = (np.split(v, 3, axis=-1) for v in (z, u))
    update, reset = sigmoid(zu + state[0] @ uu), sigmoid(zr + state[0] @ ur)
    return (update * state[0] + (1 - update) * np.tanh(zn + (reset * state[0]) @ un),)


def looped(
    step: Any, gates: int, p: dict[str, Array], state: tuple[Array, ...], mask: Array, back: bool, zero: bool = False
) -> tuple[Array, tuple[Array, ...]]:
    """Outputs `[batch, time, units]` in the order of computation, and the last state, in float64."""
    x, w, u, b, inner = (p[name].astype(np.float64) for name in ("x", "w", "u", "b", "inner"))
    outputs = []
    for t in reversed(range(x.shape[1])) if back else range(x.shape[1]):
        valid = mask[:, t, None]
        new = step(x[:, t] @ w + b, u, inner, state)
        state = tuple(np.where(valid, n, o) for n, o in zip(new, state))
        outputs.append(np.where(valid, state[0], 0) if zero else state[0])
    return np.stack(outputs, 1) if outputs else np.zeros((*x.shape[:2], u.shape[0])), state


LAYERS: dict[str, tuple[Any, Any, int]] = {
    "simple_rnn": (ops.simple_rnn, simple_step, 1),
    "lstm": (ops.lstm, lstm_step, 4),
    "gru": (ops.gru, gru_after, 3),
    "gru, reset before": (lambda *a, **o: ops.gru(*a, reset_after=False, **o), gru_before, 3),
}
SHAPES = [(3, 5, 4, 6), (1, 1, 1, 1), (2, 7, 1, 3), (5, 2, 3, 1), (2, 1, 3, 2), (1, 17, 5, 7)]


def point(shape: tuple[int, ...], gates: int, seed: int = 0) -> dict[str, Array]:
    batch, time, features, units = shape
    rng = np.random.default_rng(seed)
    shapes = {
        "x": (batch, time, features),
        "w": (features, gates * units),
        "u": (units, gates * units),
        "b": (gates * units,),
        "inner": (gates * units,),
        "h": (batch, units),
        "c": (batch, units),
    }
    return {name: rng.uniform(-1, 1, s).astype(np.float32) for name, s in shapes.items()}


def run(name: str, p: dict[str, Array], **options: Any) -> tuple[Array, tuple[Array, ...]]:
    """Outputs and the state as a tuple."""
    layer, _, _ = LAYERS[name]
    bias = np.stack([p["b"], p["inner"]]) if name == "gru" else p["b"]
    outputs, state = layer(p["x"], p["w"], p["u"], bias, **options)
    return outputs, state if isinstance(state, tuple) else (state,)


def same(found: tuple[Array, tuple[Array, ...]], wanted: tuple[Array, tuple[Array, ...]]) -> None:
    assert found[0].dtype == np.float32
    close(found[0], wanted[0])
    for a, b in zip(found[1], wanted[1], strict=True):
        close(a, b)


def zero_state(name: str, p: dict[str, Array]) -> tuple[Array, ...]:
    return tuple(np.zeros(p["h"].shape) for _ in range(2 if name == "lstm" else 1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, shape: tuple[int, ...]) -> None:
    _, step, gates = LAYERS[name]
    p = point(shape, gates)
    whole = np.ones(shape[:2], bool)
    same(run(name, p), looped(step, gates, p, zero_state(name, p), whole, False))


@pytest.mark.parametrize("back", [False, True], ids=["ahead", "back"])
@pytest.mark.parametrize("name", LAYERS)
def test_states_masks_and_directions(name: str, back: bool) -> None:
    _, step, gates = LAYERS[name]
    p = point((4, 6, 3, 5), gates, seed=1)
    mask = np.random.default_rng(2).random((4, 6)) < 0.6
    mask[2] = False
    given = (p["h"], p["c"]) if name == "lstm" else p["h"]
    state = given if isinstance(given, tuple) else (given,)
    for zero in (False, True):
        wanted = looped(step, gates, p, state, mask, back, zero)
        options = {"mask": mask, "go_backwards": back, "zero_output_for_mask": zero}
        same(run(name, p, initial_state=given, **options), wanted)
        last = run(name, p, initial_state=given, return_sequences=False, **options)
        same(last, (wanted[1][0], wanted[1]))
    turned = dict(p, x=p["x"].swapaxes(0, 1))
    found = run(name, turned, initial_state=given, mask=mask.T, go_backwards=back, time_major=True)
    outputs, last_state = looped(step, gates, p, state, mask, back)
    same(found, (outputs.swapaxes(0, 1), last_state))


@pytest.mark.parametrize("back", [False, True], ids=["ahead", "back"])
def test_lengths_are_a_mask(back: bool) -> None:
    p = point((4, 5, 2, 3), 4)
    lengths = np.array([5, 0, 3, 9], np.int32)
    mask = np.arange(5) < lengths[:, None]
    wanted = run("lstm", p, mask=mask, go_backwards=back)
    same(run("lstm", p, lengths=lengths, go_backwards=back), wanted)
    same(run("lstm", p, lengths=lengths.astype(np.int64), go_backwards=back), wanted)


def test_no_steps_at_all() -> None:
    p = point((2, 0, 3, 4), 4)
    outputs, (h, c) = ops.lstm(p["x"], p["w"], p["u"], p["b"], (p["h"], p["c"]))
    assert outputs.shape == (2, 0, 4)
    np.testing.assert_array_equal(h, p["h"])
    np.testing.assert_array_equal(c, p["c"])


def test_activations() -> None:
    p = point((2, 3, 2, 4), 1)
    h = p["h"]
    for t in range(3):
        h = np.maximum(p["x"][:, t] @ p["w"] + h @ p["u"], 0)
    args = (p["x"], p["w"], p["u"])
    close(ops.simple_rnn(*args, initial_state=p["h"], activation="relu")[1], h)
    own = ops.simple_rnn(*args, initial_state=p["h"], activation=lambda z: tilec.numpy.maximum(z, 0))
    close(own[1], h)


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave", "none"])
@pytest.mark.parametrize("major", [False, True], ids=["batch first", "time first"])
def test_bidirectional(merge: str, major: bool) -> None:
    p, q = point((3, 4, 2, 5), 4), point((3, 4, 2, 5), 4, seed=5)
    lengths = np.array([4, 2, 0])
    a, ahead = run("lstm", p, lengths=lengths)
    b, behind = run("lstm", dict(q, x=p["x"]), lengths=lengths, go_backwards=True)
    b = b[:, ::-1]
    joined = {"concat": np.concatenate([a, b], -1), "sum": a + b, "mul": a * b, "ave": (a + b) / 2, "none": (a, b)}
    x = p["x"].swapaxes(0, 1) if major else p["x"]
    weights = [(r["w"], r["u"], r["b"]) for r in (p, q)]
    outputs, states = ops.bidirectional(x, weights[0], weights[1], merge=merge, lengths=lengths, time_major=major)
    for found, wanted in zip(*((v if merge == "none" else (v,)) for v in (outputs, joined[merge]))):
        close(found.swapaxes(0, 1) if major else found, wanted)
    for found, wanted in zip([*states[0], *states[1]], [*ahead, *behind]):
        close(found, wanted)
    last, _ = ops.bidirectional(
        x, weights[0], weights[1], merge="concat", lengths=lengths, time_major=major, return_sequences=False
    )
    close(last, np.concatenate([ahead[0], behind[0]], -1))


def test_any_recurrence() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((3, 5, 2), np.float32), rng.random((3, 5), np.float32)
    h = np.zeros((3, 2), np.float32)

    def step(inputs: Any, state: Any) -> Any:
        first, second = inputs
        state = state * 0.5 + first
        return {"scaled": state * second[:, None], "state": state}, state

    outputs, last = ops.rnn(step, (x, y), h)
    wanted = []
    for t in range(5):
        h = h * np.float32(0.5) + x[:, t]
        wanted.append(h)
    close(outputs["state"], np.stack(wanted, 1))
    close(outputs["scaled"], np.stack(wanted, 1) * y[:, :, None])
    close(last, h)
    end, _ = ops.rnn(step, (x, y), h, go_backwards=True, return_sequences=False)
    close(end["scaled"], ops.rnn(step, (x, y), h, go_backwards=True)[0]["scaled"][:, -1])


def test_open_batch_and_time() -> None:
    """One program for all sizes."""
    p = point((1, 1, 3, 4), 4)
    layer = tilec.jit(
        lambda x, n: ops.lstm(x, p["w"], p["u"], p["b"], lengths=n, go_backwards=True),
        open_sizes={"x": ("B", "T"), "n": "B"},
    )
    for shape in ((2, 5, 3, 4), (3, 2, 3, 4)):
        q = dict(p, x=point(shape, 4)["x"])
        lengths = np.arange(shape[0])
        outputs, state = layer(q["x"], lengths)
        same((outputs, state), run("lstm", q, lengths=lengths, go_backwards=True))
    assert layer.signatures() == 1


@pytest.mark.parametrize("name", ["simple_rnn", "lstm", "gru"])
def test_both_directions_get_the_options_of_their_layer(name: str) -> None:
    layer, gates = getattr(ops, name), {"simple_rnn": 1, "lstm": 4, "gru": 3}[name]
    rng = np.random.default_rng(5)
    x, mask = rng.normal(size=(2, 5, 3)), rng.random((2, 5)) > 0.4
    first, second = ([rng.normal(size=s) for s in ((3, gates * 4), (4, gates * 4), (gates * 4,))] for _ in range(2))
    options: dict[str, Any] = {"activation": "relu", "mask": mask, "zero_output_for_mask": True}
    options |= {} if name == "simple_rnn" else {"recurrent_activation": ops.hard_sigmoid}
    options |= {"reset_after": False} if name == "gru" else {}
    both, states = ops.bidirectional(x, first, second, layer, **options)
    ahead, behind = layer(x, *first, **options), layer(x, *second, go_backwards=True, **options)
    np.testing.assert_array_equal(both, np.concatenate([ahead[0], behind[0][:, ::-1]], -1))
    for found, wanted in zip(states, (ahead[1], behind[1]), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["simple_rnn", "lstm", "gru"])
@pytest.mark.parametrize("lengths", [None, [4, 7, 1]], ids=["whole", "ragged"])
def test_as_torch(name: str, lengths: list[int] | None) -> None:
    """Both directions; torch's gates of a GRU stand in the order reset, update, candidate."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    p = point((3, 7, 4, 5), 1)
    kind = {"simple_rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[name]
    theirs = kind(4, 5, batch_first=True, bidirectional=True)

    def gates(suffix: str, which: str) -> Array:
        value = getattr(theirs, f"{which}_l0{suffix}").detach().numpy()
        parts = value.reshape(-1, 5, *value.shape[1:])
        parts = parts[[1, 0, 2]] if name == "gru" else parts
        return np.ascontiguousarray(parts.reshape(value.shape).T)

    def weights(suffix: str) -> tuple[Array, ...]:
        kernel, recurrent = gates(suffix, "weight_ih"), gates(suffix, "weight_hh")
        first, second = gates(suffix, "bias_ih"), gates(suffix, "bias_hh")
        return kernel, recurrent, np.stack([first, second]) if name == "gru" else first + second

    x = torch.tensor(p["x"])
    if lengths:
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        wanted = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    else:
        wanted = theirs(x)[0]
    layer = LAYERS[name][0]
    n = None if lengths is None else np.array(lengths)
    found, _ = ops.bidirectional(p["x"], weights(""), weights("_reverse"), layer, lengths=n)
    valid = np.arange(7) < (np.full((3, 1), 7) if n is None else n[:, None])
    close(found * valid[:, :, None], wanted.detach().numpy())


def any_layer(layer: Any) -> Any:
    return layer


BAD = [
    ("TILE0202", lambda x, w, u: ops.lstm(x[0], w, u)),
    ("TILE0203", lambda x, w, u: ops.lstm(x, w[:2], u)),
    ("TILE0203", lambda x, w, u: ops.gru(x, w, u)),
    ("TILE0203", lambda x, w, u: ops.lstm(x, w, u, np.zeros(7, "f4"))),
    ("TILE0202", lambda x, w, u: ops.lstm(x, w, u, np.zeros((2, 16), "f4"))),
    ("TILE0203", lambda x, w, u: ops.gru(x, w[:, :12], u[:, :12], np.zeros((3, 12), "f4"))),
    ("TILE0203", lambda x, w, u: ops.lstm(x, w, u, mask=np.ones((5, 2), bool))),
    ("TILE0203", lambda x, w, u: ops.lstm(x, w, u, lengths=np.ones(5, "i4"))),
    ("TILE0511", lambda x, w, u: ops.lstm(x, w, u, lengths=np.ones(2, "i4"), mask=np.ones((2, 5), bool))),
    ("TILE0304", lambda x, w, u: ops.lstm(x, w, u, lengths=np.ones(2, "f4"))),
    ("TILE0301", lambda x, w, u: ops.lstm(x, w, u, mask=np.ones((2, 5), "f4"))),
    ("TILE0511", lambda x, w, u: ops.lstm(x, w, u, activation="swosh")),
    ("TILE0511", lambda x, w, u: ops.lstm(x, w, u, initial_state=np.zeros((2, 4), "f4"))),
    ("TILE0203", lambda x, w, u: ops.lstm(x, w, u, initial_state=(np.zeros((1, 4), "f4"),) * 2)),
    ("TILE0511", lambda x, w, u: ops.bidirectional(x, (w, u), (w, u), merge="min")),
    ("TILE0511", lambda x, w, u: ops.bidirectional(x, (w, u), w)),
    ("TILE0502", lambda x, w, u: ops.bidirectional(x, (w, u), (w, u), ops.simple_rnn, reset_after=True)),
    ("TILE0511", lambda x, w, u: ops.bidirectional(x, (w, u), (w, u), initial_state=(w,))),
    ("TILE0511", lambda x, w, u: ops.bidirectional(x, (w, u), (w, u), any_layer("lstm"))),
    ("TILE0202", lambda x, w, u: ops.rnn(lambda r, s: (r, s), np.zeros(3, "f4"), np.zeros(3, "f4"))),
    ("TILE0113", lambda x, w, u: ops.rnn(lambda r, s: r, x, x[:, 0])),
    ("TILE0203", lambda x, w, u: ops.rnn(lambda r, s: (r, s), x, w, mask=np.ones((2, 5), bool))),
]


@pytest.mark.parametrize(("code", "wrong"), BAD)
def test_bad_input(code: str, wrong: Any) -> None:
    p = point((2, 5, 3, 4), 4)
    with pytest.raises(tilec.TileError) as caught:
        wrong(p["x"], p["w"], p["u"])
    assert caught.value.code == code, caught.value
