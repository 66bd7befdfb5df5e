"""Floor 5: the C header of a function compiled ahead of time: its declaration and all that its caller must know."""

from __future__ import annotations

from tilec.ahead import Ahead
from tilec.backends.llvm.c_interface import FAILED, MISALIGNED, NULL, OK, OVERLAP, CArgument
from tilec.loops import row_major
from tilec.version import VERSION

_C_TYPES = {
    "bool": "uint8_t",
    "i8": "int8_t",
    "i16": "int16_t",
    "i32": "int32_t",
    "i64": "int64_t",
    "u8": "uint8_t",
    "u16": "uint16_t",
    "u32": "uint32_t",
    "u64": "uint64_t",
    "f16": "uint16_t",
    "bf16": "uint16_t",
    "f32": "float",
    "f64": "double",
}
_MEANINGS = {
    "bool": "0 or 1",
    "f16": "bits of IEEE binary16",
    "bf16": "bits of bfloat16: the upper half of a float",
}


def header(function: Ahead) -> str:
    """The header's text; C99 and C++."""
    guard = f"{function.symbol.upper()}_H"
    return f"""{_comment(_description(function))}
#ifndef {guard}
#define {guard}

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#ifndef TILEC_STATUS
#define TILEC_STATUS
/* What the functions return. */
#define TILEC_OK {OK}         /* the results are written */
#define TILEC_NULL {NULL}       /* a pointer is null */
#define TILEC_MISALIGNED {MISALIGNED} /* an array is not aligned to its element type */
#define TILEC_OVERLAP {OVERLAP}    /* a result shares memory with another array */
#define TILEC_FAILED {FAILED}     /* an assertion does not hold */
#endif

{_sizes(function)}
/* Bytes of scratch memory that a call needs; the same for all calls. */
size_t {function.symbol}_workspace(void);

/* Where it returns neither TILEC_OK nor TILEC_FAILED, nothing has been written. */
int {function.symbol}({_parameters(function)});

#ifdef __cplusplus
}}
#endif

#endif /* {guard} */
"""


def _description(function: Ahead) -> list[str]:
    target, lines = function.target, [f"{function.symbol}: the Tile function {function.graph.name!r}", ""]
    results = dict(function.graph.aliases)
    for name, argument in zip(function.names, function.arguments):
        replaced = f"; the result {results[argument.buffer]} takes its place" if argument.donated else ""
        lines.append(f"  {name}: {_argument(argument)}{replaced}")
    size = function.module.workspace
    room = f"{size} bytes at any address" if size else "not used, may be null"
    lines.append(f"  workspace: {room}; holds nothing between calls")
    lines += [f"  {n} = {v!r} is compiled in" for n, v in function.fixed.items()]
    lines += [f"  {n}: constant, compiled in" for n in function.constants]
    return [
        *lines,
        "",
        "Arrays are dense, the last index running fastest; strides are in elements. Each is aligned to its element",
        "type, more is not needed. Inputs may overlap one another; what is written overlaps no other array, nor the",
        "workspace. The function keeps no state, uses the calling thread only, calls nothing, and may be called from",
        "several threads at once, each with its own workspace and results.",
        "",
        f"Made by tilec {VERSION} for {target.device}, processor {target.cpu}.",
        f"Needs: {', '.join(f.lstrip('+') for f in target.features) or 'nothing beyond the base instructions'}.",
    ]


def _argument(argument: CArgument) -> str:
    way = "result" if argument.output else "input"
    meaning = f" ({_MEANINGS[argument.dtype.name]})" if argument.dtype.name in _MEANINGS else ""
    if argument.by_value:
        return f"{way}, {argument.dtype.long}{meaning} by value"
    if not argument.shape:
        return f"{way}, one {argument.dtype.long}{meaning}"
    shape, strides = list(argument.shape), list(row_major(argument.shape))
    return f"{way}, {argument.dtype.long}{meaning} {shape}, strides {strides}, {argument.bytes} bytes"


def _comment(lines: list[str]) -> str:
    """A C comment, whatever the names in it are."""
    wrapped = [part for line in lines for part in _wrapped(line.replace("*/", "* /"))]
    return "/* " + "\n".join(f" * {line}".rstrip() for line in wrapped)[3:] + "\n */"


def _wrapped(line: str, width: int = 116) -> list[str]:
    found = []
    while len(line) > width and " " in line[:width].strip():
        cut = line.rindex(" ", 0, width)
        found.append(line[:cut])
        line = "    " + line[cut + 1 :]
    return [*found, line]


def _sizes(function: Ahead) -> str:
    pairs = zip(function.names, function.arguments)
    listed = [(n, a) for n, a in pairs if not a.by_value]
    return "".join(f"#define {function.symbol.upper()}_{n}_ELEMENTS {a.elements}\n" for n, a in listed)


def _parameters(function: Ahead) -> str:
    parameters = []
    for name, argument in zip(function.names, function.arguments):
        kind = _C_TYPES[argument.dtype.name]
        if argument.by_value:
            parameters.append(f"{'int' if argument.dtype.kind == 'bool' else kind} {name}")
        else:
            parameters.append(f"{'' if argument.written else 'const '}{kind} *{name}")
    return ", ".join([*parameters, "void *workspace"])
