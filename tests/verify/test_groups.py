"""Work-groups: where their loops stand, what items own, and where barriers go."""

from __future__ import annotations

import pytest

from tests.refusals import code_of
from tilec.errors import TileError
from tilec.fences import fenced
from tilec.groups import misplaced
from tilec.loops import Barrier, For, walk
from tilec.text.loops_text import parse_kernel
from tilec.verify.loops import verify_kernel

HEAD = "kernel f(in A: f32[4, 8], out C: f32[4, 8])"


def body(text: str) -> For:
    (loop,) = parse_kernel(f"{HEAD} {{ for g in 4 group {{ {text} }} }}").body
    assert isinstance(loop, For)
    return loop


WRONG = [
    ("for x in 8 item { C[0, x] = 0.0 }", "inside of no group loop"),
    ("for g in 4 { for h in 8 group { C[g, h] = 0.0 } }", "inside of the serial loop 'g'"),
    ("for g in 4 group { for x in 8 item { C[g, x] = 0.0 for y in 1 item { C[g, x] = 1.0 } } }", "not all that it"),
    ("for g in 4 group { for x in 8 item { for k in 1 { for y in 1 item { C[g, x] = 0.0 } } } }", "not all that it"),
    ("for g in 4 group { for x in 8 parallel { C[g, x] = 0.0 } }", "parallel loop 'x' is inside of a group"),
    ("for g in 4 parallel { for x in 8 item { C[g, x] = 0.0 } }", "inside of no group loop"),
]


@pytest.mark.parametrize("text, why", WRONG)
def test_loops_that_are_misplaced(text: str, why: str) -> None:
    kernel = parse_kernel(f"{HEAD} {{ {text} }}")
    assert why in (misplaced(kernel.body) or "")
    with pytest.raises(TileError, match="TILE0602"):
        verify_kernel(kernel)


def test_loops_that_stand_well() -> None:
    text = "for g in 2 group { for h in 2 group { for k in 1 { for x in 2 item { for y in 4 item { C[2*g + h, 4*x + y]"
    kernel = parse_kernel(f"{HEAD} {{ {text} = 0.0 }} }} }} }} }} }}")
    assert misplaced(kernel.body) is None
    verify_kernel(kernel)


OWNED = [
    ("for x in 8 item { r[x, 0] = A[g, x] } for y in 8 item { C[g, y] = r[y, 0] }", True),
    ("for x in 8 item { r[x, 0] = A[g, x] } for y in 8 item { C[g, y] = r[-y + 7, 0] }", False),
    ("for x in 8 item { r[x, 0] = A[g, x] } for y in 4 item { C[g, y] = r[y, 0] }", False),
    ("for x in 8 item { r[x, 0] = A[g, x] } C[g, 0] = r[0, 0]", False),
    ("for x in 8 item { for z in 1 item { r[x, 0] = A[g, x] } } for y in 8 item { C[g, y] = r[y, 0] }", True),
    ("for x in 8 item { r[x, 0] = A[g, x] } for y in 8 item { for k in 1 { C[g, y] = r[y, k] } }", False),
]


@pytest.mark.parametrize("text, right", OWNED)
def test_registers_of_items(text: str, right: bool) -> None:
    kernel = parse_kernel(f"{HEAD} {{ for g in 4 group {{ alloc r: register f32[8, 1] {text} }} }}")
    verify_kernel(kernel)
    if right:
        verify_kernel(kernel, scheduled=True)
    else:
        assert code_of(lambda: verify_kernel(kernel, scheduled=True)) == "TILE0602"


@pytest.mark.parametrize("space", ["local", "thread", "register"])
def test_items_that_meet_in_memory_of_the_group(space: str) -> None:
    kernel = parse_kernel(f"""{HEAD} {{ for g in 4 group {{ alloc t: {space} f32[9]
      for x in 8 item {{ t[x] = A[g, x] C[g, x] = t[x + 1] }} }} }}""")
    with pytest.raises(TileError, match=r"meet in a cell of 't'"):
        verify_kernel(kernel)


def barriers(text: str) -> str:
    """The body with `|` for each barrier and a letter for each item nest or other statement, in order."""
    loop = body(text)
    found = fenced(loop.body, {p.buffer.name: p.buffer for p in parse_kernel(f"{HEAD} {{ }}").params})
    shown = {"local": "|", "param": "!"}
    names = []
    for stmt in walk(found):
        if isinstance(stmt, Barrier):
            names.append(shown[stmt.space])
        elif isinstance(stmt, For):
            names.append(stmt.index[0])
    return "".join(names)


FENCES = [
    ("alloc t: local f32[8] for a in 8 item { t[a] = 0.0 } for b in 8 item { C[g, b] = t[-b + 7] }", "a|b"),
    ("alloc t: local f32[8] alloc u: local f32[8] for a in 8 item { t[a] = 0.0 } for b in 8 item { u[b] = 0.0 }", "ab"),
    ("alloc t: local f32[8] for a in 8 item { C[g, a] = A[g, a] } for b in 8 item { t[b] = A[g, b] }", "ab"),
    ("for a in 8 item { C[g, a] = A[g, a] } for b in 4 item { C[g, b] = C[g, -b + 7] }", "a!b"),
    ("alloc t: local f32[8] for k in 3 { for a in 8 item { t[a] = 0.0 } for b in 8 item { C[g, b] = t[b] } }", "k|a|b"),
    ("alloc t: local f32[8] for k in 3 { for a in 8 item { C[g, a] = t[a] } } for b in 8 item { t[b] = 0.0 }", "k!a|b"),
    ("alloc t: local f32[8] for a in 8 item { t[a] = 0.0 } if g - 1 >= 0 { for b in 8 item { t[b] = 1.0 } }", "a|b"),
    ("alloc r: register f32[8] for a in 8 item { r[a] = 0.0 } for b in 8 item { C[g, b] = r[b] }", "ab"),
    ("alloc t: local f32[8] alloc v: local f32[4] base t offset 4 for a in 8 item { t[a] = 0.0 } v[0] = 1.0", "a|"),
    ("alloc t: local f32[8] for a in 8 { t[a] = 0.0 } for b in 8 { C[g, b] = t[b] }", "ab"),
    ("alloc t: local f32[8] for a in 8 { t[a] = 0.0 } let s: f32 = t[0] C[g, 0] = s", "a|"),
    ("alloc t: local f32[8] for a in 8 item { t[a] = 0.0 } barrier local for b in 8 item { t[-b + 7] = 1.0 }", "a|b"),
    (
        """alloc t: local f32[8] t[0] = A[g, 0]
        while cmp_gt(t[0], 0.0) { for a in 8 item { t[a] = -1.0 } for b in 8 item { C[g, b] = A[g, b] } }""",
        "||ab|",
    ),
]


@pytest.mark.parametrize("text, where", FENCES)
def test_fences(text: str, where: str) -> None:
    assert barriers(text) == where
