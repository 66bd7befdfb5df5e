"""Small kernels that no Let stands for: whether every element holds, and zeros."""

from __future__ import annotations

from tilec.dtypes import BOOL
from tilec.expr import read
from tilec.loops import Buffer, Kernel, KernelParam, Store
from tilec.monoid import standard
from tilec.rules import call, constant

from .nests import Names, nest, over


def every(name: str, source: Buffer, kernel: str) -> Kernel:
    """(source) -> a bool: no element is 0."""
    holds = Buffer(name, BOOL, (), "param")
    loops, cell = over(source.shape, Names((name, source.name)))
    element = read(source.name, cell, source.dtype)
    value = element if source.dtype == BOOL else call("cmp_ne", element, constant(0, source.dtype))
    body = nest(loops, (), (Store(name, (), value, standard("min", BOOL)),))
    params = (KernelParam(source, "in"), KernelParam(holds, "out"))
    return Kernel(kernel, params, (Store(name, (), constant(1, BOOL)), *body))


def zeros(target: Buffer, kernel: str) -> Kernel:
    """() -> zeros of the buffer's type and shape."""
    buffer = Buffer("zeros", target.dtype, target.shape, "param")
    loops, cell = over(buffer.shape, Names(("zeros",)))
    body = nest(loops, (), (Store("zeros", cell, constant(0, buffer.dtype)),))
    return Kernel(kernel, (KernelParam(buffer, "out"),), body)
