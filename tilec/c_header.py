"""Floor 5: the C header of a function compiled ahead of time: its declaration and all that its caller must know."""

from __future__ import annotations

from collections.abc import Iterable

from tilec.affine import Poly, Size, size_text
from tilec.ahead import Ahead
from tilec.backends.llvm.c_checks import FAILED, MISALIGNED, NULL, OK, OVERLAP, SIZE, CArgument
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
#define TILEC_SIZE {SIZE}       /* a size is not accepted */
#endif

{_elements(function)}
/* {_workspace(function)} */
size_t {function.symbol}_workspace({", ".join(_sizes(function)) or "void"});

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
    lines += [f"  {name}: open size" for name in function.sizes]
    for name, argument in zip(function.names, function.arguments):
        replaced = f"; the result {results[argument.buffer]} takes its place" if argument.donated else ""
        lines.append(f"  {name}: {_argument(argument, function)}{replaced}")
    lines.append(f"  workspace: {_room(function)}; holds nothing between calls")
    lines += [f"  {n} = {v!r} is compiled in" for n, v in function.fixed.items()]
    lines += [f"  {n}: constant, compiled in" for n in function.constants]
    return [
        *lines,
        "",
        *_accepted(function),
        "Arrays are dense, the last index running fastest; strides are in elements. Each is aligned to its element",
        "type, more is not needed. Inputs may overlap one another; what is written overlaps no other array, nor the",
        "workspace. The function keeps no state, uses the calling thread only, calls nothing, and may be called from",
        "several threads at once, each with its own workspace and results.",
        "",
        f"Made by tilec {VERSION} for {target.device}, processor {target.cpu}.",
        f"Needs: {', '.join(f.lstrip('+') for f in target.features) or 'nothing beyond the base instructions'}.",
    ]


def _accepted(function: Ahead) -> list[str]:
    """Which sizes a call may have."""
    if not function.sizes:
        return []
    axes = (s for b in function.program.buffers for s in b.shape if isinstance(s, Poly))
    least = dict.fromkeys([*function.sizes, *(_text(s, function) for s in axes)])
    limit = [] if function.limit is None else [f"Temporary tensors may take {function.limit} bytes of the workspace."]
    return [
        f"Sizes are accepted where none of these is negative: {', '.join(least)};",
        "and where the bytes of every array and of the workspace, as sums of products from left to right, stay below",
        f"2^63. For others the function returns TILEC_SIZE, and {function.symbol}_workspace returns SIZE_MAX.",
        "Arrays without elements may be null.",
        *limit,
        "",
    ]


def _room(function: Ahead) -> str:
    if function.sizes:
        return f"as many bytes as {function.symbol}_workspace says for these sizes, at any address"
    size = function.module.workspace
    return f"{size} bytes at any address" if size else "not used, may be null"


def _workspace(function: Ahead) -> str:
    if function.sizes:
        return "Bytes of scratch memory that a call with these sizes needs; SIZE_MAX where they are not accepted."
    return "Bytes of scratch memory that a call needs; the same for all calls."


def _argument(argument: CArgument, function: Ahead) -> str:
    way = "result" if argument.output else "input"
    meaning = f" ({_MEANINGS[argument.dtype.name]})" if argument.dtype.name in _MEANINGS else ""
    if argument.by_value:
        return f"{way}, {argument.dtype.long}{meaning} by value"
    if not argument.shape:
        return f"{way}, one {argument.dtype.long}{meaning}"
    shape, strides = (", ".join(_text(s, function) for s in x) for x in (argument.shape, row_major(argument.shape)))
    bytes = _text(argument.bytes, function)
    return f"{way}, {argument.dtype.long}{meaning} [{shape}], strides [{strides}], {bytes} bytes"


def _text(size: Size, function: Ahead) -> str:
    """A size in C's names."""
    return size_text(_renamed(size, function))


def _renamed(size: Size, function: Ahead) -> Size:
    if not isinstance(size, Poly):
        return size
    names = dict(zip(function.program.sizes, function.sizes))
    return Poly(tuple((tuple(names[n] for n in monomial), c) for monomial, c in size.terms))


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


def _sizes(function: Ahead) -> list[str]:
    """Parameters that are open sizes."""
    return [f"int64_t {name}" for name in function.sizes]


def _elements(function: Ahead) -> str:
    """Macros for the numbers of elements, functions of the open sizes where there are any."""
    given = f"({', '.join(function.sizes)})" if function.sizes else ""
    pairs = zip(function.names, function.arguments)
    listed = [(n, a.elements) for n, a in pairs if not a.by_value]
    start = f"#define {function.symbol.upper()}"
    return "".join(f"{start}_{n}_ELEMENTS{given} {_c_text(_renamed(e, function))}\n" for n, e in listed)


def _c_text(size: Size) -> str:
    """A size as an expression in C; unsigned, for sums and products that are too large must not be undefined."""
    if not isinstance(size, Poly):
        return str(size)
    return f"({' + '.join(_product(c, names) for names, c in size.terms)})"


def _product(factor: object, names: Iterable[str]) -> str:
    return " * ".join([f"(size_t){factor}", *(f"(size_t)({n})" for n in names)])


def _parameters(function: Ahead) -> str:
    parameters = _sizes(function)
    for name, argument in zip(function.names, function.arguments):
        kind = _C_TYPES[argument.dtype.name]
        if argument.by_value:
            parameters.append(f"{'int' if argument.dtype.kind == 'bool' else kind} {name}")
        else:
            parameters.append(f"{'' if argument.written else 'const '}{kind} *{name}")
    return ", ".join([*parameters, "void *workspace"])
