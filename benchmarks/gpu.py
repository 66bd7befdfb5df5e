"""An OpenCL device: copies and a matrix product written by hand, and what tilec makes of products and chains there.

    python benchmarks/gpu.py [--device nvidia] [--size 4096] [--mib 256] [--json FILE]

All arrays stay on the device. The kernels written by hand are yardsticks: what a device that no vendor's library is at
hand for can be asked to do. Where torch finds a GPU, its own product and chain stand beside them, without TF32. Medians
of whole calls that end when the device is done; the table is only of use on a device without other work.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import tilec
from benchmarks.harness import interleave
from benchmarks.opencl import CHAIN, PRODUCT
from tilec.backends.opencl.devices import pyopencl
from tilec.backends.opencl.sessions import Session
from tilec.devices import resolve_target
from tilec.target import Target

ROWS = (
    "function (A[M, N]) -> (S) { H[m, 0 : M, 1] = >(A[m, n]); E = exp(A - H); T[m, 0 : M, 1] = +(E[m, n]); S = E / T; }"
)
TILE = 128  # of the product written by hand

# A group of 16 x 16 items computes a tile of 128 x 128, an item 8 x 8 of it: four rows and columns of each half, so
# that neighbours read neighbouring words of local memory. The usual form: V. Volkov, J. W. Demmel, Benchmarking GPUs to
# Tune Dense Linear Algebra (SC 2008). Sizes are multiples of 128.
KERNELS = """
__kernel void copy(const __global float4 *restrict a, __global float4 *restrict c) {
  c[get_global_id(0)] = a[get_global_id(0)];
}

__attribute__((reqd_work_group_size(16, 16, 1)))
__kernel void product(const __global float *restrict a, const __global float *restrict b, __global float *restrict c,
                      const int n, const int k) {
  __local float rows[16][132], columns[16][128];
  const int x = get_local_id(0), y = get_local_id(1), id = 16 * y + x;
  a += 128 * get_group_id(1) * (long)k;
  b += 128 * get_group_id(0);
  c += 128 * get_group_id(1) * (long)n + 128 * get_group_id(0);
  float sum[8][8];
  for (int i = 0; i < 8; ++i) for (int j = 0; j < 8; ++j) sum[i][j] = 0.0f;
  for (int k0 = 0; k0 < k; k0 += 16) {
    for (int at = id; at < 512; at += 256) {
      const float4 p = vload4(0, a + (at / 4) * (long)k + k0 + 4 * (at % 4));
      rows[4 * (at % 4)][at / 4] = p.x;
      rows[4 * (at % 4) + 1][at / 4] = p.y;
      rows[4 * (at % 4) + 2][at / 4] = p.z;
      rows[4 * (at % 4) + 3][at / 4] = p.w;
      vstore4(vload4(0, b + (k0 + at / 32) * (long)n + 4 * (at % 32)), 0, &columns[at / 32][4 * (at % 32)]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int d = 0; d < 16; ++d) {
      float p[8], q[8];
      for (int i = 0; i < 8; ++i) {
        p[i] = rows[d][64 * (i / 4) + 4 * y + i % 4];
        q[i] = columns[d][64 * (i / 4) + 4 * x + i % 4];
      }
      for (int i = 0; i < 8; ++i) for (int j = 0; j < 8; ++j) sum[i][j] += p[i] * q[j];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  for (int i = 0; i < 8; ++i) for (int j = 0; j < 8; ++j)
    c[(64 * (i / 4) + 4 * y + i % 4) * (long)n + 64 * (j / 4) + 4 * x + j % 4] = sum[i][j];
}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A contender of a case: what it does in a second, in `unit`, and the seconds of a call."""

    case: str
    contender: str
    rate: float
    unit: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Case:
    """Contenders for the same work, which is counted in operations or bytes."""

    name: str
    work: float
    unit: str
    calls: dict[str, Callable[[], object]]

    def rows(self, seconds: float) -> Iterator[Row]:
        for name, times in interleave(self.calls, budget=seconds).items():
            yield Row(self.name, name, self.work / times.median / 1e9, self.unit, times.median)


class ByHand:
    """The kernels written by hand, on arrays that are on the device."""

    def __init__(self, target: Target) -> None:
        self._cl, self._session = pyopencl(), Session.on(target)
        self._program = self._cl.Program(self._session.context, KERNELS).build(["-cl-mad-enable"])

    def array(self, values: Any) -> Any:
        flags = self._cl.mem_flags
        return self._cl.Buffer(self._session.context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=values)

    def read(self, array: Any, like: Any) -> Any:
        found = np.empty_like(like)
        self._cl.enqueue_copy(self._session.queue, found, array)
        return found

    def copy(self, a: Any, c: Any) -> Callable[[], None]:
        return self._call("copy", (a.size // 16,), None, a, c)

    def product(self, a: Any, b: Any, c: Any, size: int) -> Callable[[], None]:
        items = (size // TILE * 16, size // TILE * 16)
        return self._call("product", items, (16, 16), a, b, c, np.int32(size), np.int32(size))

    def _call(self, name: str, items: tuple[int, ...], group: tuple[int, ...] | None, *args: Any) -> Callable[[], None]:
        kernel = self._cl.Kernel(self._program, name)

        def call() -> None:
            kernel(self._session.queue, items, group, *args)  # which keeps the arrays: OpenCL's own arguments do not
            self._session.queue.finish()

        return call


def by_tilec(text: str, target: Target, **arrays: Any) -> tuple[Callable[[], object], tilec.Buffer]:
    """A call on Buffers, and the one that it writes to."""
    compiled = tilec.compile(text, target, **arrays)
    buffers = [tilec.Buffer(a, target) for a in arrays.values()]
    result = compiled(*buffers)
    return lambda: compiled(*buffers, out=result), result


def products(target: Target, size: int) -> Case:
    """Of square matrices; raises SystemExit where the one written by hand and tilec's differ."""
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((size, size), np.float32) for _ in "ab")
    hand = ByHand(target)
    left, right, found = (hand.array(x) for x in (a, b, np.zeros_like(a)))
    call, result = by_tilec(PRODUCT, target, A=a, B=b)
    calls = {"by hand": hand.product(left, right, found, size), "tilec": call, **vendors_product(a, b)}
    calls["by hand"]()
    if not np.allclose(hand.read(found, a), result.numpy(), rtol=0, atol=1e-5 * size):
        raise SystemExit("the product written by hand and tilec's differ")
    return Case(f"f32 product {size}", 2.0 * size**3, "GFLOP/s", calls)


def chains(target: Target, mib: int) -> Iterator[Case]:
    """Of memory: the copy moves as many bytes a call as the chain, which reads two arrays and writes one."""
    size = mib << 18
    a, b = np.linspace(-1, 1, size, dtype=np.float32), np.full(size, 0.5, np.float32)
    hand = ByHand(target)
    yield Case("copy", 8.0 * size, "GB/s", {"by hand": hand.copy(hand.array(a), hand.array(b))})
    yield Case("relu(2a + b)", 12.0 * size, "GB/s", {"tilec": by_tilec(CHAIN, target, A=a, B=b)[0]})
    rows = a.reshape(-1, 1024)
    yield Case("softmax of rows of 1024", 8.0 * size, "GB/s", {"tilec": by_tilec(ROWS, target, A=rows)[0]})


def vendors_product(a: Any, b: Any) -> dict[str, Callable[[], object]]:
    """That of torch on its GPU, if it has one."""
    try:
        import torch
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    torch.backends.cuda.matmul.allow_tf32 = False
    x, y = (torch.from_numpy(m).cuda() for m in (a, b))

    def call() -> None:
        torch.matmul(x, y)
        torch.cuda.synchronize()

    return {"torch": call}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="", help="by its name behind `opencl:`; else the best")
    parser.add_argument("--size", type=int, default=4096, help=f"of the matrices, a multiple of {TILE}")
    parser.add_argument("--mib", type=int, default=256, help="of an array of the chains")
    parser.add_argument("--seconds", type=float, default=4.0, help="for one case")
    parser.add_argument("--json", type=Path, help="keeps the figures with the device and its driver")
    options = parser.parse_args()
    if options.size < TILE or options.size % TILE or options.mib < 1:
        parser.error(f"--size is a multiple of {TILE}, --mib at least 1")
    target = resolve_target(f"opencl:{options.device}" if options.device else "opencl")
    print(f"{target}: {target.cpu}, driver {target.driver}")
    found: list[Row] = []
    for case in (products(target, options.size), *chains(target, options.mib)):
        for row in case.rows(options.seconds):
            found.append(row)
            print(f"{row.case:24} {row.contender:8} {row.rate:10.1f} {row.unit:8} {1e3 * row.seconds:10.3f} ms")
    if options.json:
        device = {"device": target.cpu, "driver": target.driver, "tilec": tilec.__version__}
        options.json.write_text(json.dumps({**device, "rows": [asdict(r) for r in found]}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
