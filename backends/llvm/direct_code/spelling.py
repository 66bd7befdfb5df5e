"""What the text of direct calls is written in: LLVM IR, and three forms that are spelled out here.

    %x = call i64 @word(ptr %p, i64 3)      a read of a field, see `_FIELDS`
    for %k below %n {                       a loop that counts from 0 up; `%k.next` is the label of its next round,
    }                                       `%k.done` that of what follows it
    require %good, label %no                goes on where `%good` holds

Reads are spelled out, not called: in a module that no pass sees nothing would inline them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tilec.backends.llvm.direct_code.layout import DATA, TYPE, WORDS

_FIELDS = {
    "i64 @word": "getelementptr i64, ptr {0}, i64 {1} | load i64",
    "ptr @pointer": "getelementptr i64, ptr {0}, i64 {1} | load ptr",
    "i64 @type_of": f"getelementptr i8, ptr {{0}}, i64 {TYPE} | load i64",
    "i64 @address_of": f"getelementptr i8, ptr {{0}}, i64 {DATA} | load i64",
}
_FOR = re.compile(r" +for %(\w+) below (%\w+) {$")
_REQUIRE = re.compile(r" +require %(\w+), label (%[\w.]+)( ;.*)?$")


def spelled(text: str) -> str:
    """The text as LLVM IR."""
    for word, value in WORDS.items():
        text = text.replace(f"{{{word}}}", str(value))
    return "\n".join(_lines(text)) + "\n"


def _lines(text: str) -> Iterator[str]:
    loops: list[str] = []
    for line in text.splitlines():
        if opened := _FOR.match(line):
            loops.append(opened[1])
            yield from _head(opened[1], opened[2])
        elif line.startswith(" ") and line.strip() == "}":
            yield from _end(loops.pop())
        elif required := _REQUIRE.match(line):
            yield f"  br i1 %{required[1]}, label %{required[1]}.holds, label {required[2]}"
            yield f"{required[1]}.holds:"
        else:
            yield from _read(line)


def _head(index: str, count: str) -> Iterator[str]:
    yield f"  br label %{index}.start"
    yield f"{index}.start:"
    yield f"  br label %{index}.test"
    yield f"{index}.test:"
    yield f"  %{index} = phi i64 [ 0, %{index}.start ], [ %{index}.following, %{index}.next ]"
    yield f"  %{index}.more = icmp slt i64 %{index}, {count}"
    yield f"  br i1 %{index}.more, label %{index}.body, label %{index}.done"
    yield f"{index}.body:"


def _end(index: str) -> Iterator[str]:
    yield f"  br label %{index}.next"
    yield f"{index}.next:"
    yield f"  %{index}.following = add i64 %{index}, 1"
    yield f"  br label %{index}.test"
    yield f"{index}.done:"


def _read(line: str) -> Iterator[str]:
    """A line; or two, for a read: the place, and what is there."""
    result, _, call = line.partition(" = call ")
    function, _, rest = call.partition("(")
    if function not in _FIELDS:
        yield line
        return
    arguments = [a.split(" ")[1] for a in rest.partition(")")[0].split(", ")]
    place, load = _FIELDS[function].format(*arguments).split(" | ")
    yield f"{result}.at = {place}"
    yield f"{result} = {load}, ptr {result.strip()}.at, align 8"
