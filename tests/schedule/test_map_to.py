"""map_to: what it accepts computes the same, what it refuses says why; instructions run as their meanings do."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

import tilec
from tests.generators.kernels import assert_same
from tilec.affine import Affine
from tilec.expr import Call, Expr, Read
from tilec.instructions import NAMES, expanded, instruction
from tilec.loops import For, Instr, Kernel, Store, rewrite, walk
from tilec.passes.schedule import apply
from tilec.schedule import parse_schedule
from tilec.text.loops_text import parse_kernel, print_kernel
from tilec.verify.loops import verify_kernel


def nest(name: str, r: Random, full: bool = False) -> str:
    """A kernel around the meaning of an instruction, with offsets, more axes and either order of the factors.

    full: of all lanes, rows and terms of it.
    """
    found = instruction(name)
    assert found is not None
    c, a, b = (o.dtype for o in found.operands)
    lanes, group, shift, steps = 16 if full else r.randint(1, 16), found.group, r.randint(0, 2), r.randint(1, 3)
    if "M" in found.most:
        rows, depth = (16, 16) if full else (r.randint(1, 16), r.randint(1, 16))
        factors = [f"cast.{c}(A[i + {shift}, {group * depth}*k + {group}*j + l])", f"cast.{c}(P[k, j, n, l])"]
        inputs = f"in A: {a}[{rows + shift}, {group * depth * steps}], in P: {b}[{steps}, {depth}, {lanes}, {group}]"
        loops = f"for j in {depth} {{ for l in {group} {{ for i in {rows} {{ for n in {lanes} {{"
        store, around = "C[i, 1, n]", f"for k in {steps} {{"
        result = f"{rows}, 2, {lanes}"
    else:
        terms = group if full else r.randint(1, group)
        place = f"{group - 1} - j" if found.backward else "j"
        factors = [f"cast.{c}(A[m + {shift}, {group}*k + j])", f"cast.{c}(P[k, n, {place}])"]
        inputs = f"in A: {a}[{3 + shift}, {group * steps}], in P: {b}[{steps}, {lanes}, {group}]"
        loops = f"for j in {terms} {{ for n in {lanes} {{"
        store, around = "C[m, 1, n]", f"for m in 3 {{ for k in {steps} {{"
        result = f"3, 2, {lanes}"
    r.shuffle(factors)
    closing = "}" * (loops + around).count("{")
    body = f"{around} {loops} {store} sum= mul({', '.join(factors)}) {closing}"
    return f"kernel f({inputs}, inout C: {c}[{result}]) {{ {body} }}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_accepted(name: str, seed: int) -> None:
    r = Random(f"{name} {seed}")
    start = parse_kernel(nest(name, r))
    mapped = apply(start, parse_schedule(f"map_to(j, {name})"))
    assert [s.name for s in walk(mapped.body) if isinstance(s, Instr)] == [name]
    assert parse_kernel(print_kernel(mapped)) == mapped
    verify_kernel(mapped)
    assert_same(start, mapped, ())
    verify_kernel(replace(mapped, body=expanded(mapped.body)))


def changed(kernel: Kernel, r: Random) -> Kernel:
    """The kernel with one thing in its innermost nest that is otherwise."""
    what = r.choice(("monoid", "shift", "stride", "swap", "sub", "loops", "extent", "type"))

    def visit(stmt: object) -> tuple[object, ...]:
        if isinstance(stmt, For) and stmt.index == "j" and what == "extent":
            return (replace(stmt, extent=max(1, int(str(stmt.extent)) - 1)),)
        if isinstance(stmt, For) and stmt.index == "j" and what == "loops" and len(stmt.body) == 1:
            (inner,) = stmt.body
            return (replace(inner, body=(replace(stmt, body=inner.body),)),) if isinstance(inner, For) else (stmt,)
        if not isinstance(stmt, Store):
            return (stmt,)
        value = stmt.value
        assert isinstance(value, Call)
        if what == "monoid":
            return (replace(stmt, monoid=None),)
        if what == "sub":
            return (replace(stmt, value=Call("sub", value.args, value.dtype)),)
        if what == "type":
            return (replace(stmt, value=replace(value, args=(value.args[0], value.args[0]))),)
        return (replace(stmt, value=replace(value, args=tuple(map(moved, value.args)))),)

    def moved(factor: Expr) -> Expr:
        assert isinstance(factor, Call) and isinstance(factor.args[0], Read)
        access = factor.args[0].access
        *outer, last = access.indices
        assert isinstance(last, Affine)
        if what == "stride" and access.tensor == "A":
            last = last.substitute({"j": Affine.of({"j": 0})})
        elif what == "shift" and access.tensor == "P":
            last = last.substitute({"j": Affine.var("j") * 0 + r.randint(0, 1)})
        elif what == "swap" and access.tensor == "P":
            last = last.substitute({"k": 0})
        return replace(factor, args=(replace(factor.args[0], access=replace(access, indices=(*outer, last))),))

    return replace(kernel, body=rewrite(kernel.body, visit))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(60))
def test_what_is_accepted_is_the_same(seed: int) -> None:
    """Nests that are changed at random: most are refused, and the others still compute what they did."""
    r = Random(seed)
    name = r.choice(NAMES)
    start = changed(parse_kernel(nest(name, r)), r)
    try:
        verify_kernel(start)
        mapped = apply(start, parse_schedule(f"map_to(j, {name})"))
    except tilec.TileError as refusal:
        assert refusal.code in ("TILE0602", "TILE0603", "TILE0604")
        return
    verify_kernel(mapped)
    assert_same(start, mapped, ())


U8 = "kernel f(in A: u8[3, 8], in P: i8[2, 16, 4], inout C: i32[3, 16]) {"
NEST = "for m in 3 { for k in 2 { for j in 4 { for n in 16 { C[m, n] sum= "
REFUSED = [
    (
        U8,
        f"{NEST}mul(cast.i32(A[m, 4*k + j]), cast.i32(P[k, n, j])) }} }} }} }}",
        "fma",
        "TILE0603",
        "no machine instr",
    ),
    (U8, f"{NEST}cast.i32(A[m, 4*k + j]) }} }} }} }}", "vpdpbusd.u8.i8", "TILE0604", "another expression"),
    (U8, f"{NEST}mul(cast.i32(A[m, 4*k + j]), cast.i32(P[k, n, j])) }} }} }} }}", "vpdpwssd", "TILE0604", "extent 4"),
    (
        U8,
        f"{NEST}mul(cast.i32(A[m, 4*k + j]), cast.i32(P[k, n, j])) }} }} }} }}",
        "vpdpbusd.i8.i8",
        "TILE0604",
        "expression",
    ),
    (
        U8,
        f"{NEST}mul(cast.i32(A[m, k + 2*j]), cast.i32(P[k, n, j])) }} }} }} }}",
        "vpdpbusd.u8.i8",
        "TILE0604",
        "expression",
    ),
    (
        U8,
        NEST.replace("sum", "max") + "mul(cast.i32(A[m, 4*k + j]), cast.i32(P[k, n, j])) } } } }",
        "vpdpbusd.u8.i8",
        "TILE0604",
        "aggregates",
    ),
    (
        "kernel f(in A: u8[3, 8], in P: i8[2, 4, 16], inout C: i32[3, 16]) {",
        f"{NEST}mul(cast.i32(A[m, 4*k + j]), cast.i32(P[k, j, n])) }} }} }} }}",
        "vpdpbusd.u8.i8",
        "TILE0604",
        "another expression",
    ),
    (
        "kernel f(in A: u8[3, 8], in P: i8[16, 8], inout C: i32[3, 16]) {",
        f"{NEST}mul(cast.i32(A[m, 4*k + j]), cast.i32(P[n, 4*k + j])) }} }} }} }}",
        "vpdpbusd.u8.i8",
        "TILE0604",
        "layout of operand 'b'",
    ),
    (U8, "for j in 4 { C[j, 0] sum= cast.i32(A[0, j]) }", "vpdpbusd.u8.i8", "TILE0604", "is 2 loops"),
    (
        U8,
        NEST.replace("C[m", "if 14 - n >= 0 { C[m") + "mul(cast.i32(A[m, 4*k + j]), cast.i32(P[k, n, j])) } } } } }",
        "vpdpbusd.u8.i8",
        "TILE0604",
        "a condition depends on the loops of 'j'",
    ),
]


@pytest.mark.parametrize("header, body, name, code, reason", REFUSED)
def test_refused(header: str, body: str, name: str, code: str, reason: str) -> None:
    with pytest.raises(tilec.TileError) as caught:
        apply(parse_kernel(f"{header} {body} }}"), parse_schedule(f"map_to(j, {name})"))
    assert caught.value.code == code
    assert reason in str(caught.value)


def test_conditions_stay_around_it() -> None:
    body = "if m + k - 1 >= 0 { C[m, n] sum= mul(cast.i32(A[m, 4*k + j]), cast.i32(P[k, n, j])) }"
    start = parse_kernel(f"{U8} for m in 3 {{ for k in 2 {{ for j in 4 {{ for n in 16 {{ {body} }} }} }} }} }}")
    mapped = apply(start, parse_schedule("map_to(j, vpdpbusd.u8.i8)"))
    assert "if k + m - 1 >= 0" in print_kernel(mapped) and "instr" in print_kernel(mapped)
    assert_same(start, mapped, ())
