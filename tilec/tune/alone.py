"""Floor 5: a kernel as a program of its own, its inputs made up, and whether two results of it agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from tilec.backend import Array
from tilec.dtypes import DType
from tilec.loops import Buffer, Kernel, Launch, Program
from tilec.passes import place, prepack
from tilec.schedule import Directive, Schedule
from tilec.tune.fits import points

_SPECIAL = (float("inf"), float("-inf"), float("nan"), -0.0, 0.0)
_LINE = 64  # bytes
_MAKERS = ("tile", "peel", "merge")  # of loops
_EVERY = 61  # one in so many elements is special


def alone(kernel: Kernel, constant: frozenset[str] = frozenset()) -> Program:
    """A program that launches the kernel once; parameters that the kernel may change are results, too."""
    names = [p.buffer.name for p in kernel.params]
    fixed = [n for n in names if n in constant]
    read = [p.buffer.name for p in kernel.params if p.mode != "out" and p.buffer.name not in constant]
    made = [p.buffer.name for p in kernel.params if p.mode != "in"]
    buffers = tuple(replace(p.buffer, space="param") for p in kernel.params)
    return Program(
        name="alone",
        params=tuple(read),
        results=tuple(made),
        buffers=buffers,
        kernels=(kernel,),
        steps=(Launch(kernel.name, tuple(names)),),
        constants=tuple((n, "00") for n in fixed),
    )


def finished(program: Program, kernel: Kernel) -> Program:
    """The program with the kernel as it was scheduled, ready for a backend."""
    return place.run(prepack.run(replace(program, kernels=(kernel,))))


def made_up(buffer: Buffer, generator: np.random.Generator, special: bool) -> Array:
    """Floats in [-1, 1), among them infinities, NaN and zeros if they are to be `special`; small integers; bools."""
    shape, dtype = tuple(s for s in buffer.shape if isinstance(s, int)), buffer.dtype
    if dtype.is_float:
        found = (generator.random(shape, np.float32) * 2 - 1).astype(dtype.numpy)
        if special:
            flat = found.reshape(-1)[::_EVERY]
            flat[...] = np.resize(np.array(_SPECIAL).astype(dtype.numpy), flat.shape)
        return found
    if dtype.kind == "bool":
        return generator.random(shape, np.float32) < 0.5
    low = -8 if dtype.is_signed else 0
    return generator.integers(low, 9, shape).astype(dtype.numpy)


def inputs(program: Program, seed: int, special: bool = False) -> dict[str, Array]:
    """Arrays for all parameters and constants, and for results; the same for a seed everywhere."""
    generator = np.random.default_rng(seed)
    return {b.name: on_a_line(made_up(b, generator, special)) for b in program.buffers}


def on_a_line(array: Array) -> Array:
    """A copy that begins a cache line, as temporaries and large results do: by chance one candidate's array would lie
    better than another's, which may weigh more than their schedules."""
    memory = np.empty(array.nbytes + _LINE, np.uint8)
    copy: Array = np.ndarray(array.shape, array.dtype, memory, -memory.ctypes.data % _LINE)
    copy[...] = array
    return copy


def order(schedule: Schedule) -> Schedule:
    """The directives that say in which order floats are added: every `rfactor`, and what made the loops it took.

    Two schedules with equal ones give equal bits; no other directive changes the order of a sum.
    """
    found: list[Directive] = []
    loops: set[object] = set()
    for directive in reversed(schedule):
        if directive.name == "rfactor":
            loops.add(directive.args[0])
        elif directive.name not in _MAKERS or loops.isdisjoint(directive.args):
            continue
        else:
            loops.update(a for a in directive.args if isinstance(a, str))
        found.append(directive)
    return tuple(reversed(found))


def same(found: Array, expected: Array) -> bool:
    """Equal to the last bit, NaN of any kind apart."""
    if found.dtype.kind in "biu":
        return bool(np.array_equal(found, expected))
    bits = np.dtype(f"u{found.dtype.itemsize}")
    equal = found.view(bits) == expected.view(bits)
    return bool(np.all(equal | (np.isnan(found) & np.isnan(expected))))


def close(found: Array, expected: Array, dtype: DType, terms: int) -> bool:
    """Equal within the rounding errors of two orders of a sum of so many terms; other types exactly.

    8 sqrt(n) u times the largest value: the bound for random rounding errors of N. J. Higham and T. Mary, A New
    Approach to Probabilistic Rounding Error Analysis (SIAM J. Sci. Comput. 41(5), 2019).
    """
    if not dtype.is_float:
        return same(found, expected)
    got, want = found.astype(np.float64), expected.astype(np.float64)
    unit = float(2.0 ** -(_PRECISION[dtype.bits, dtype.name == "bf16"]))
    largest = float(np.max(np.abs(want), initial=0.0, where=np.isfinite(want)))
    with np.errstate(invalid="ignore"):
        near = np.abs(got - want) <= (8 * math.sqrt(max(1, terms)) + 2) * unit * largest
    return bool(np.all(near | (got == want) | (np.isnan(got) & np.isnan(want))))


_PRECISION = {(16, False): 10, (16, True): 7, (32, False): 23, (64, False): 52}


def terms(kernel: Kernel) -> int:
    """How many terms go into one cell of a result, at most, roughly."""
    sizes = [math.prod(s for s in p.buffer.shape if isinstance(s, int)) for p in kernel.params if p.mode != "in"]
    return max(1, points(kernel.body) // max(1, min(sizes, default=1)))


def differing(
    found: Mapping[str, Array], expected: Mapping[str, Array], buffers: Iterable[Buffer], terms: int | None = None
) -> str | None:
    """The first result that does not agree: to the last bit, or with rounding errors of sums of so many `terms`."""
    for b in buffers:
        if b.name in expected:
            f, e = found[b.name], expected[b.name]
            if not (same(f, e) if terms is None else close(f, e, b.dtype, terms)):
                return b.name
    return None
