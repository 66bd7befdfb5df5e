"""One kernel as LLVM functions: the kernel itself and a task for every outermost parallel loop.

    define internal void @k(ptr noalias %p0, ..., ptr noalias %shared, ptr %private, ptr %pool, i64 %s0, ...)
    define internal void @k.task0(ptr noalias %p0, ..., ptr noalias %shared, ptr noalias %private, i64 %first,
                                  i64 %last, captured scalars)

`%s0` and so on are the open sizes that strides of parameters depend on (`stride_sizes`).
    define internal void @k.start0(ptr %context, i64 %worker, i64 %first, i64 %last)

`%shared` is scratch memory of the kernel, `%private` that of one worker; the kernel gets the first worker's. A kernel
calls the pool through the pointer in the pool's first word, so that an object imports no symbol at all. `start` unpacks
the context, a row of 8-byte slots on the caller's stack, and finds the worker's slice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tilec.backends.llvm import statements, streams
from tilec.backends.llvm.address import Scalar, number
from tilec.backends.llvm.bits import as_bits
from tilec.backends.llvm.blocks import Emitter
from tilec.backends.llvm.frame import Frame, Scratch, Storage
from tilec.backends.llvm.offsets import without_offsets
from tilec.backends.llvm.ops import HALF, Ops
from tilec.backends.llvm.registers import plan
from tilec.backends.llvm.screen import Screen, screen
from tilec.backends.llvm.target import half_arithmetic
from tilec.backends.llvm.types import Value, float_text, ssa_type
from tilec.dtypes import BF16, BOOL, F16, DType
from tilec.expr import Call
from tilec.expr import walk as walk_expr
from tilec.instructions import expanded
from tilec.loops import Alloc, Block, For, Kernel, Let, Store, While, stride_sizes, walk
from tilec.target import Target

SLICE = "__private_slice__"  # in the text: bytes of one worker's slice, known when the module is complete


@dataclass(slots=True)
class KernelText:
    """Functions of a kernel and the scratch bytes that it needs: once, and per worker."""

    functions: list[str] = field(default_factory=list)
    intrinsics: set[str] = field(default_factory=set)
    shared: int = 0
    private: int = 0


def emit_kernel(kernel: Kernel, name: str, target: Target) -> KernelText:
    """LLVM functions of a kernel called `name`; raises TileError TILE0602 for what the backend cannot express."""
    kernel = without_offsets(as_bits(kernel), target)
    found = screen(kernel, target)
    if found is None:
        return _emit_streams(kernel, name, target) if streams.streamed(kernel) else _emit_version(kernel, name, target)
    versions = [
        _emit_version(kernel, f"{name}.exact", target),
        _emit_version(kernel, f"{name}.ordered", target, no_nan=True),
        _emit_version(found.scan, f"{name}.scan", replace(target, threads=1)),
    ]
    choice = _choose(kernel, name, found, _up(max(v.shared for v in versions)))
    return KernelText(
        [f for v in versions for f in v.functions] + [choice],
        set[str]().union(*(v.intrinsics for v in versions)),
        _up(max(v.shared for v in versions)) + 64,
        max(v.private for v in versions),
    )


def _emit_streams(kernel: Kernel, name: str, target: Target) -> KernelText:
    """Versions for alignments of what is streamed to, and the function that chooses one."""
    versions = [
        _emit_version(kernel, f"{name}.{k}", target, aligned=bytes_)
        for k, bytes_ in enumerate(streams.alignments(target))
    ]
    return KernelText(
        [f for v in versions for f in v.functions] + [streams.choice(kernel, name, target)],
        set[str]().union(*(v.intrinsics for v in versions)),
        max(v.shared for v in versions),
        max(v.private for v in versions),
    )


def _choose(kernel: Kernel, name: str, found: Screen, slot: int) -> str:
    """Scans the inputs and runs the version that suits them. The extremes lie in scratch memory at byte `slot`."""
    element = ssa_type(found.dtype)
    pointers = [f"ptr %p{i}" for i in range(len(kernel.params))]
    rest = ["ptr %shared", "ptr %private", "ptr %pool"]
    scanned = ", ".join([*(pointers[i] for i in found.inputs), "ptr %extremes", *rest])
    high, low = (float_text(v, found.dtype) for v in (float("inf"), float("-inf")))
    signature = ", ".join(["ptr noalias " + p[4:] for p in pointers] + ["ptr noalias %shared", *rest[1:]])
    return f"""define internal void @{name}({signature}) #0 {{
entry:
  %extremes = getelementptr i8, ptr %shared, i64 {slot}
  call void @{name}.scan({scanned})
  %high = load {element}, ptr %extremes, align 8
  %second = getelementptr {element}, ptr %extremes, i64 1
  %low = load {element}, ptr %second, align {found.dtype.bytes}
  %number = fcmp ord {element} %high, %high
  %below = fcmp olt {element} %high, {high}
  %above = fcmp ogt {element} %low, {low}
  %tame = {"and" if found.finite else "or"} i1 %below, %above
  %good = and i1 %number, %tame
  br i1 %good, label %ordered, label %exact
ordered:
  call void @{name}.ordered({", ".join([*pointers, *rest])})
  ret void
exact:
  call void @{name}.exact({", ".join([*pointers, *rest])})
  ret void
}}
"""


def _emit_version(kernel: Kernel, name: str, target: Target, no_nan: bool = False, aligned: int = 0) -> KernelText:
    text = KernelText()
    lanes = lanes_of(kernel, target)
    emitter = Emitter()
    frame = Frame(
        emitter,
        Ops(emitter, target, lanes, no_nan),
        target,
        plan(expanded(kernel.body), lanes),
        Scratch(),
        "%shared",
        outline=target.threads > 1,
        aligned=aligned,
    )
    parameters = []
    for i, param in enumerate(kernel.params):
        frame.storage[param.buffer.name] = Storage(param.buffer, f"%p{i}", 0, param.buffer.name)
        parameters.append(f"ptr noalias %p{i}")
    frame.sizes = {size: f"%s{k}" for k, size in enumerate(stride_sizes(kernel))}
    tasks = _Tasks(kernel, name, text)
    statements.block(frame, kernel.body, tasks.outline)
    _return(frame)
    text.intrinsics |= emitter.intrinsics
    text.shared = frame.scratch.most
    rest = ["ptr noalias %shared", "ptr %private", "ptr %pool", *(f"i64 {s}" for s in frame.sizes.values())]
    signature = ", ".join([*parameters, *rest])
    text.functions.append(f"define internal void @{name}({signature}) #0 {{\n{emitter.text()}}}\n")
    return text


def _return(frame: Frame) -> None:
    if frame.aligned:
        streams.fence(frame.emitter, frame.target)
    frame.emitter.line("ret void")


def lanes_of(kernel: Kernel, target: Target) -> int:
    """Elements per vector: what one register holds of the widest type computed with; 0 where nothing is a vector."""
    body = expanded(kernel.body)
    extents = [number(s.extent) for s in walk(body) if isinstance(s, For) and s.kind == "vector"]
    if not extents or max(extents) < 2:
        return 0
    half = 16 if half_arithmetic(target) and _computes_in_half(body) else 32
    lanes = target.lanes(max((_width(t, half) for t in _types(body)), default=32))
    lanes = min(lanes, 1 << (max(extents) - 1).bit_length())
    return lanes if lanes > 1 else 0


def _types(body: Block) -> set[DType]:
    found: set[DType] = set()
    for stmt in walk(body):
        match stmt:
            case Store() | Let():
                found |= {e.dtype for e in walk_expr(stmt.value)}
            case While():
                found |= {e.dtype for e in walk_expr(stmt.condition)}
            case Alloc():
                found.add(stmt.buffer.dtype)
    return found


def _computes_in_half(body: Block) -> bool:
    """Whether nothing needs float16 numbers in another form than their own."""
    for stmt in walk(body):
        if isinstance(stmt, Store) and stmt.monoid is not None and stmt.monoid.name not in ("sum", "prod"):
            return False
        calls = [e for e in walk_expr(stmt.value) if isinstance(e, Call)] if isinstance(stmt, Store | Let) else []
        if any(c.op not in HALF and F16 in (c.dtype, *(a.dtype for a in c.args)) for c in calls):
            return False
    return True


def _width(dtype: DType, half: int) -> int:
    """Bits of a value in a register; `half` is how many float16 takes, bfloat16 is computed in 32."""
    return half if dtype == F16 else 32 if dtype == BF16 else 8 if dtype == BOOL else dtype.bits


@dataclass(slots=True)
class _Capture:
    """A scalar that a task takes from its surroundings."""

    name: str
    type: str
    ref: str


@dataclass(slots=True)
class _Tasks:
    """Outlines parallel loops of one kernel."""

    kernel: Kernel
    name: str
    text: KernelText
    count: int = 0

    def outline(self, frame: Frame, loop: For) -> None:
        """Emits the task function of a loop and, at the present place, the call of the pool that runs it."""
        number_, self.count = self.count, self.count + 1
        task, start = f"{self.name}.task{number_}", f"{self.name}.start{number_}"
        captures = _captures(frame)
        self._task(frame, loop, task, captures)
        self.text.functions.append(_start_function(task, start, len(self.kernel.params), captures))
        _call_pool(frame, start, len(self.kernel.params), captures, number(loop.extent))

    def _task(self, outer: Frame, loop: For, task: str, captures: list[_Capture]) -> None:
        emitter = Emitter()
        frame = Frame(
            emitter,
            Ops(emitter, outer.target, outer.lanes, outer.ops.no_nan),
            outer.target,
            outer.plan,
            Scratch(),
            "%private",
            outline=False,
            storage=dict(outer.storage),
            sizes={n: _local(_size(n)) for n in outer.sizes},
            aligned=outer.aligned,
        )
        for n, i in outer.indices.items():
            frame.indices[n] = Scalar(_local(n), 0, i.extent) if isinstance(i, Scalar) else i
        frame.lets = {n: _inside(n, v) for n, v in outer.lets.items()}
        statements.serial(frame, loop, "%first", "%last", self.outline)
        _return(frame)
        self.text.intrinsics |= emitter.intrinsics
        self.text.private = max(self.text.private, frame.scratch.most)
        parameters = [f"ptr noalias %p{i}" for i in range(len(self.kernel.params))]
        parameters += ["ptr noalias %shared", "ptr noalias %private", "i64 %first", "i64 %last"]
        parameters += [f"{c.type} {_local(c.name)}" for c in captures]
        body = emitter.text()
        self.text.functions.append(f"define internal void @{task}({', '.join(parameters)}) #0 {{\n{body}}}\n")


def _local(name: str) -> str:
    """A captured scalar's name inside the task."""
    return f'%"x.{name}"'


def _size(name: str) -> str:
    return f"size.{name}"


def _inside(name: str, value: Value) -> Value:
    """A Let's value inside a task: constants stay, everything else is captured."""
    return Value(_local(f"let.{name}"), value.dtype) if value.ref.startswith("%") else value


def _captures(frame: Frame) -> list[_Capture]:
    """Scalars in SSA values that the task may need: indices of enclosing loops, and Lets."""
    found = [_Capture(n, "i64", i.ref) for n, i in frame.indices.items() if isinstance(i, Scalar)]
    found += [_Capture(_size(n), "i64", ref) for n, ref in frame.sizes.items()]
    found += [_Capture(f"let.{n}", v.type, v.ref) for n, v in frame.lets.items() if v.ref.startswith("%")]
    return found


def _call_pool(frame: Frame, start: str, params: int, captures: list[_Capture], extent: int) -> None:
    emitter = frame.emitter
    slots = [f"ptr %p{i}" for i in range(params)] + ["ptr %shared", "ptr %private"]
    slots += [f"{c.type} {c.ref}" for c in captures]
    context = emitter.at_entry(f"alloca [{len(slots)} x i64], align 8")
    for i, slot in enumerate(slots):
        place = emitter.emit(f"getelementptr i64, ptr {context}, i64 {i}")
        emitter.line(f"store {slot}, ptr {place}, align 8")
    for name in list(frame.storage):
        emitter.forget_loads(frame.storage[name].root)
    run = emitter.emit("load ptr, ptr %pool, align 8")
    emitter.line(f"call void {run}(ptr %pool, ptr @{start}, ptr {context}, i64 {extent})")


def _start_function(task: str, start: str, params: int, captures: list[_Capture]) -> str:
    """Unpacks a context, and finds the worker's slice of the private scratch memory."""
    types = ["ptr"] * (params + 2) + [c.type for c in captures]
    lines, arguments = [], []
    for i, type_ in enumerate(types):
        lines.append(f"  %s{i} = getelementptr i64, ptr %context, i64 {i}")
        lines.append(f"  %v{i} = load {type_}, ptr %s{i}, align 8")
        arguments.append(f"{type_} %v{i}")
    private = params + 1
    lines.append(f"  %offset = mul i64 %worker, {SLICE}")
    lines.append(f"  %mine = getelementptr i8, ptr %v{private}, i64 %offset")
    arguments[private] = "ptr %mine"
    arguments[private + 1 : private + 1] = ["i64 %first", "i64 %last"]
    body = "\n".join(lines) + f"\n  call void @{task}({', '.join(arguments)})\n  ret void\n"
    return f"define internal void @{start}(ptr %context, i64 %worker, i64 %first, i64 %last) #0 {{\nentry:\n{body}}}\n"


def _up(size: int) -> int:
    """Rounded up to a cache line."""
    return -(-size // 64) * 64
