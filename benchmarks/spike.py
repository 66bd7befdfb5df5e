"""Four plain loop nests, scheduled by general primitives alone, against what the machine can do.

    python benchmarks/spike.py [gemm] [conv] [depthwise] [maxplus]

Each nest is written in the Loops IR as a naive nest, and scheduled by a list of directives: no kernel template. Printed
are GFLOP/s (a maximum counts as one operation) by the least and by the 25th-percentile time of short interleaved
samples on one thread, the share of the instruction peak (a loop that stays in registers), and the vector registers
spilled. Where the prototype generator lies beside the repository (../shared/lab/llvmcpu), the ratio to its best variant
is printed too; nothing else needs it.
"""

from __future__ import annotations

import ctypes
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tilec.backends.llvm import jit
from tilec.backends.llvm.backend import LLVMBackend
from tilec.backends.llvm.module import emit_module
from tilec.backends.llvm.target import host
from tilec.dtypes import BOOL, F32
from tilec.expr import Call, Const, Var
from tilec.loops import Block, Kernel, Launch, Program, Stmt, Store, rewrite
from tilec.monoid import Monoid
from tilec.passes.schedule import apply
from tilec.schedule import parse_schedule
from tilec.target import Target
from tilec.text.loops_text import parse_kernel

LAB = Path(__file__).resolve().parents[2] / "shared" / "lab" / "llvmcpu"
Timed = Callable[[], Any]


@dataclass(frozen=True)
class Nest:
    """A workload: naive nest, schedules to try, operations of one run, and the calls of the prototype."""

    text: str
    schedules: Mapping[str, str]
    operations: int
    peak: str
    prototype: Mapping[str, Mapping[str, Any]]


def _matmul(combine: str, first: str, element: str) -> str:
    return f"""kernel product(in A: f32[512, 512], in B: f32[512, 512], out C: f32[512, 512]) {{
      for i in 512 {{ for j in 512 {{ C[i, j] = {first} }} }}
      for m in 512 {{ for n in 512 {{ for k in 512 {{ C[m, n] {combine} {element}(A[m, k], B[k, n]) }} }} }}
    }}"""


def _tiles(rows: int, columns: int, pack: str = "") -> str:
    """A register tile of rows x columns, the reduction unrolled by 4."""
    return f"""tile(n, {columns}, n.0, n.1) tile(m, {rows}, m.0, m.1, cut, balanced) tile(k, 4, k.0, k.1)
        reorder(n.0, m.0, k.0, k.1, m.1, n.1) {pack} unroll(k.1) unroll(m.1) vectorize(n.1)
        stage(C, m.0, c, register, init)"""


_CONV = """kernel conv(in X: f32[58, 58, 64], in W: f32[3, 3, 64, 64], out O: f32[56, 56, 64]) {
  for i in 56 { for j in 56 { for g in 64 { O[i, j, g] = 0.0 } } }
  for y in 56 { for x in 56 { for f in 64 { for r in 3 { for s in 3 { for c in 64 {
    O[y, x, f] sum= mul(X[y + r, x + s, c], W[r, s, c, f])
  } } } } } }
}"""

_DEPTHWISE = """kernel depthwise(in X: f32[58, 58, 64], in W: f32[3, 3, 64], out O: f32[56, 56, 64]) {
  for i in 56 { for j in 56 { for g in 64 { O[i, j, g] = 0.0 } } }
  for y in 56 { for x in 56 { for c in 64 { for r in 3 { for s in 3 {
    O[y, x, c] sum= mul(X[y + r, x + s, c], W[r, s, c])
  } } } } }
}"""


def _conv_tiles(order: str, stage: str, unroll: int) -> str:
    return f"""tile(f, 32, f.0, f.1) tile(x, 14, x.0, x.1) tile(c, {unroll}, c.0, c.1)
        reorder({order}, r, s, c.0, c.1, x.1, f.1) unroll(c.1) unroll(x.1) vectorize(f.1)
        stage(O, {stage}, o, register, init)"""


def _depthwise_tiles(rows: int, columns: int) -> str:
    return f"""tile(c, 16, c.0, c.1) tile(x, {columns}, x.0, x.1) tile(y, {rows}, y.0, y.1)
        reorder(y.0, x.0, c.0, r, s, y.1, x.1, c.1)
        unroll(r) unroll(s) unroll(x.1) unroll(y.1) vectorize(c.1) stage(O, c.0, o, register, init)"""


_PACK = "pack(B, n.0, p, 1, 64) vectorize(p.2)"
_GEMM_TILES = {"6x64": _tiles(6, 64), "6x64 packed": _tiles(6, 64, _PACK), "14x32": _tiles(14, 32)}
_MAXPLUS = _matmul("max=", "-inf", "add")
_MAX_TILES = {"4x64": _tiles(4, 64), "5x64": _tiles(5, 64), "6x64": _tiles(6, 64)}

NESTS: dict[str, Nest] = {
    "gemm": Nest(
        _matmul("sum=", "0.0", "mul"),
        _GEMM_TILES,
        2 * 512**3,
        "multiply-add",
        {"6x64, B packed": {"mr": 6, "nv": 4, "kc": 192, "mc": 156}, "14x32": {"packB": False, "kc": 384, "mc": 112}},
    ),
    "conv": Nest(
        _CONV,
        {
            "14x32": _conv_tiles("f.0, y, x.0", "x.0", 4),
            "14x32, c by 8": _conv_tiles("f.0, y, x.0", "x.0", 8),
            "14x32, f inside": _conv_tiles("y, x.0, f.0", "f.0", 4),
        },
        2 * 56 * 56 * 64 * 9 * 64,
        "multiply-add",
        {
            "14x32": {"packB": False, "kc": 10**6, "mc": 140},
            "14x32, packed": {"kc": 10**6},
            "7x64": {"mr": 7, "nv": 4, "kc": 10**6, "packB": False},
            "6x64, packed": {"mr": 6, "nv": 4, "kc": 10**6},
        },
    ),
    "depthwise": Nest(
        _DEPTHWISE,
        {"2x4": _depthwise_tiles(2, 4), "4x2": _depthwise_tiles(4, 2), "2x7": _depthwise_tiles(2, 7)},
        2 * 56 * 56 * 64 * 9,
        "multiply-add",
        {"x 8": {"tile": {"c": 16, "x": 8}}, "y 2, x 4": {"tile": {"c": 16, "x": 4, "y": 2}}},
    ),
    "maxplus": Nest(_MAXPLUS, _MAX_TILES, 2 * 512**3, "add, plain max", {}),
    "maxplus, NaN ignored": Nest(_MAXPLUS, _MAX_TILES, 2 * 512**3, "add, plain max", {}),
    "maxplus, a NaN present": Nest(_MAXPLUS, _MAX_TILES, 2 * 512**3, "add, exact max", {}),
}


def plain_maximum(kernel: Kernel) -> Kernel:
    """`max` replaced by `cond(new > old, new, old)`: one instruction, which forgets a NaN and the sign of zero."""
    old, new = Var("a0", F32), Var("b0", F32)
    greater = Call("cond", (Call("cmp_gt", (new, old), BOOL), new, old), F32)
    monoid = Monoid("plain_max", (Const(float("-inf"), F32),), (greater,))

    def change(stmt: Stmt) -> Block:
        if isinstance(stmt, Store) and stmt.monoid is not None and stmt.monoid.name == "max":
            return (replace(stmt, monoid=monoid),)
        return (stmt,)

    return replace(kernel, body=rewrite(kernel.body, change))


# running -----------------------------------------------------------------------------------------------------------


def aligned(*shape: int) -> Any:
    """Random float32 array that starts on a cache line."""
    size = int(np.prod(shape))
    memory = np.zeros(size + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    array = memory[start : start + size].reshape(shape)
    array[...] = np.random.default_rng(0).random(shape)
    return array


def vector_spills(assembly: str) -> int:
    """Instructions of the main version that move a vector register from or to the stack."""
    assembly = re.sub(r"(?ms)^\S+\.(exact|scan):$.*?^\.Lfunc_end", "", assembly)
    framed = re.search(r"movq\s+%rsp, %rbp", assembly) is not None
    stack = r"\(%r[sb]p[,)]" if framed else r"\(%rsp[,)]"
    return sum(1 for line in assembly.splitlines() if re.search(stack, line) and re.search("[xyz]mm", line))


def compiled(kernel: Kernel, target: Target) -> tuple[Any, int]:
    """The built program of one kernel, and its spills."""
    buffers = tuple(p.buffer for p in kernel.params)
    names = tuple(b.name for b in buffers)
    program = Program(kernel.name, names[:-1], names[-1:], buffers, (kernel,), (Launch(kernel.name, names),))
    spills = vector_spills(jit.assembly(emit_module(program, target).text, target))
    return LLVMBackend().build(program, target, {}), spills


def peak(operation: str, target: Target) -> tuple[Timed, int]:
    """A loop of independent operations in registers, and the operations of one call."""
    lanes, chains, rounds, count = target.vector_bytes // 4, 24 if target.registers == 32 else 12, 4, 2000
    wide = f"<{lanes} x float>"
    lines = [
        "define void @peak(ptr %o) #0 {\nentry:\n  %s = load float, ptr %o\n  %c = fneg float %s",
        f"  %si = insertelement {wide} poison, float %s, i64 0\n  %ci = insertelement {wide} poison, float %c, i64 0",
        f"  %x = shufflevector {wide} %si, {wide} poison, <{lanes} x i32> zeroinitializer",
        f"  %y = shufflevector {wide} %ci, {wide} poison, <{lanes} x i32> zeroinitializer",
        "  br label %loop\nloop:\n  %i = phi i64 [ 0, %entry ], [ %n, %loop ]",
    ]
    lines += [f"  %a{c}.0 = phi {wide} [ %x, %entry ], [ %a{c}.{rounds}, %loop ]" for c in range(chains)]
    lines += [_step(operation, wide, c, r) for r in range(rounds) for c in range(chains)]
    lines.append(
        f"  %n = add i64 %i, 1\n  %more = icmp ult i64 %n, {count}\n  br i1 %more, label %loop, label %done\ndone:"
    )
    for c in range(chains):
        lines.append(
            f"  %p{c} = getelementptr {wide}, ptr %o, i64 {c}\n  store {wide} %a{c}.{rounds}, ptr %p{c}, align 4"
        )
    bits = target.vector_bytes * 8
    attributes = f'attributes #0 = {{ nounwind "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}" }}'
    text = "\n".join([*lines, "  ret void\n}", *_DECLARED[operation](wide, lanes), attributes])
    library = jit.load(jit.object_code(text, target), ["peak"])
    memory = aligned(chains * lanes)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.addresses["peak"])

    def run(call: Any = call, memory: Any = memory, library: Any = library) -> None:
        call(memory.ctypes.data)

    return run, 2 * lanes * chains * rounds * count


_DECLARED: dict[str, Callable[[str, int], list[str]]] = {
    "multiply-add": lambda wide, lanes: [f"declare {wide} @llvm.fmuladd.v{lanes}f32({wide}, {wide}, {wide})"],
    "add, exact max": lambda wide, lanes: [
        f"declare {wide} @llvm.maximum.v{lanes}f32({wide}, {wide})",
        f"declare {wide} @llvm.x86.avx512.mask.range.ps.512({wide}, {wide}, i32, {wide}, i{lanes}, i32)",
    ],
    "add, plain max": lambda wide, lanes: [],
}


def _step(operation: str, wide: str, chain: int, round_: int) -> str:
    """One operation of a chain: the sum is of the accumulator, so that nothing can be moved out of the loop."""
    old, new, tag = f"%a{chain}.{round_}", f"%a{chain}.{round_ + 1}", f"{chain}.{round_}"
    if operation == "multiply-add":
        lanes = wide[1:].split(" ")[0]
        return f"  {new} = call {wide} @llvm.fmuladd.v{lanes}f32({wide} {old}, {wide} %x, {wide} %y)"
    added = f"  %t{tag} = fadd {wide} {old}, %y\n"
    if operation == "add, plain max":
        return f"{added}  %g{tag} = fcmp ogt {wide} %t{tag}, %x\n" + _select(wide, new, f"%g{tag}", f"%t{tag}", "%x")
    if not wide.startswith("<16 "):
        lanes = wide[1:].split(" ")[0]
        return f"{added}  {new} = call {wide} @llvm.maximum.v{lanes}f32({wide} %t{tag}, {wide} %x)"
    ranged = f"{wide} %t{tag}, {wide} %x, i32 5, {wide} %x, i16 -1, i32 4"
    return (
        f"{added}  %m{tag} = call {wide} @llvm.x86.avx512.mask.range.ps.512({ranged})\n"
        f"  %u{tag} = fcmp uno {wide} %t{tag}, %x\n  %q{tag} = fadd {wide} %t{tag}, %x\n"
        + _select(wide, new, f"%u{tag}", f"%q{tag}", f"%m{tag}")
    )


def _select(wide: str, new: str, condition: str, then: str, orelse: str) -> str:
    mask = wide.replace("float", "i1")
    return f"  {new} = select {mask} {condition}, {wide} {then}, {wide} {orelse}"


def interleaved(calls: Mapping[str, Timed], rounds: int = 40, sample: float = 1e-3) -> dict[str, tuple[float, float]]:
    """Least and 25th-percentile seconds of each call; short samples in turns, so that all meet the same noise."""
    repeats, times = {}, {name: list[float]() for name in calls}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(sample / max(time.perf_counter() - start, 1e-7)))
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return {name: (min(t), float(np.percentile(t, 25))) for name, t in times.items()}


# the four nests ----------------------------------------------------------------------------------------------------


def arrays(kernel: Kernel) -> list[Any]:
    return [aligned(*(int(str(s)) for s in p.buffer.shape)) for p in kernel.params]


def reference(name: str, arguments: list[Any]) -> Any:
    """The result in double precision."""
    a, b = (x.astype(np.float64) for x in arguments[:2])
    if name == "gemm":
        return a @ b
    if name.startswith("maxplus"):
        return np.array([np.max(row[:, None] + b, axis=0) for row in a])
    windows = np.lib.stride_tricks.sliding_window_view(a, (3, 3), axis=(0, 1))  # y x c r s
    subscripts = "yxcrs,rscf->yxf" if name == "conv" else "yxcrs,rsc->yxc"
    return np.einsum(subscripts, windows, b, optimize=True)


def measure(name: str, nest: Nest, target: Target) -> None:
    naive = parse_kernel(nest.text)
    if name.endswith("ignored"):
        naive = plain_maximum(naive)
    arguments = arrays(naive)
    if name.endswith("present"):
        arguments[0][0, 0] = np.nan
    expected = reference(name, arguments)
    calls: dict[str, Timed] = {}
    spills: dict[str, int] = {}
    calls["peak"], peak_operations = peak(nest.peak, target)
    for title, schedule in nest.schedules.items():
        built, spills[title] = compiled(apply(naive, parse_schedule(schedule)), target)
        calls[title] = built.bind(arguments[:-1], arguments[-1:])
        arguments[-1][...] = 0
        calls[title]()
        np.testing.assert_allclose(arguments[-1], expected, rtol=1e-4)
    prototypes = prototype(name, nest, arguments)
    times = interleaved({**calls, **prototypes})
    report(name, nest, times, spills, peak_operations, list(prototypes))


def prototype(name: str, nest: Nest, arguments: list[Any]) -> dict[str, Timed]:
    """Calls of the prototype generator where it is there."""
    if not LAB.is_dir() or not nest.prototype:
        return {}
    sys.path.insert(0, str(LAB))
    import gen
    import gen2
    import jit as lab

    calls: dict[str, Timed] = {}
    for title, options in nest.prototype.items():
        if name == "depthwise":
            text = gen2.generate2(gen2.depthwise(1, 56, 56, 64, 3, 1), "c", unrollk=("r", "s"), **options)
            scratch_size = 16
        else:
            contraction = gen.gemm(512, 512, 512) if name == "gemm" else gen.conv(1, 56, 56, 64, 64, 3, 3)
            text, scratch_size, _ = gen.generate(contraction, **options)
        kernel, scratch = lab.Kernel(text, "kernel", 5), aligned(scratch_size)
        pointers = [a.ctypes.data for a in (*arguments, scratch)]

        def call(kernel: Any = kernel, pointers: Any = pointers, kept: Any = scratch) -> None:
            kernel.fn(*pointers, 0)

        calls[f"prototype {title}"] = call
    return calls


def report(
    name: str,
    nest: Nest,
    times: Mapping[str, tuple[float, float]],
    spills: Mapping[str, int],
    peak_operations: int,
    prototypes: list[str],
) -> None:
    rates = {t: tuple(nest.operations / s / 1e9 for s in pair) for t, pair in times.items()}
    rates["peak"] = tuple(peak_operations / s / 1e9 for s in times["peak"])
    print(f"\n{name}: peak of {nest.peak} {rates['peak'][0]:.0f} / {rates['peak'][1]:.0f} GFLOP/s (least / p25 time)")
    for title, (least, quartile) in rates.items():
        if title != "peak":
            note = f"  vector spills {spills[title]}" if title in spills else ""
            print(f"  {title:26} {least:6.1f} / {quartile:6.1f}   {least / rates['peak'][0]:5.2f} of peak{note}")
    if prototypes:
        ours, theirs = (
            [max(rates[t][i] for t in group) for i in (0, 1)] for group in (list(nest.schedules), prototypes)
        )
        print(f"  best / best prototype: {ours[0] / theirs[0]:.3f} (least), {ours[1] / theirs[1]:.3f} (p25)")


def main(wanted: list[str]) -> None:
    target = replace(host(), threads=1)
    print(f"{target.cpu}, {target.vector_bytes}-byte vectors, {target.registers} registers, one thread")
    for name, nest in NESTS.items():
        if not wanted or any(name.startswith(w) for w in wanted):
            measure(name, nest, target)


if __name__ == "__main__":
    main(sys.argv[1:])
