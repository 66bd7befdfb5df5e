"""Floor 5: an executable as bytes: everything needed to run it again without its source, or to compile it again.

Members of the container: `graph`, the optimised Graph's text; `program`, the scheduled Program's; `code/0`,
`code/1` ..., object files; `constants/0`, `constants/1` ... as .npy. The manifest holds the rest. Which of it may be
trusted is the reader's affair: `decode` only promises that an Image is well formed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tilec.affine import Size
from tilec.artifacts import container
from tilec.backend import Array
from tilec.backends.llvm.layout import Code, Host, HostArray, Open
from tilec.dtypes import BY_NAME
from tilec.errors import Diagnostic, Source, Span
from tilec.graph import Graph, TensorType
from tilec.host_functions import HOST_FUNCTIONS
from tilec.loops import Program
from tilec.options import Options
from tilec.schedule import Pinned
from tilec.target import Target
from tilec.text.affine_text import AffineParser, print_coef

SCHEMA = 9
_KIND = "tilec executable"
_OTHERS = ("features", "unified")  # the fields of a Target that are neither text nor number


@dataclass(frozen=True, slots=True)
class Image:
    """An executable in rest.

    types: of parameters, results and constants by name, in order. fixed: arguments whose values are compiled in.
    donated: results by the argument that they overwrite.
    versions: of what made the code. spans: of the Graph's Lets. constants: their values, where they are kept.
    choices: kernels, by digest, and what records of the tuner said of their schedules.
    """

    name: str
    params: Mapping[str, TensorType]
    results: Mapping[str, TensorType]
    constant_types: Mapping[str, TensorType]
    target: Target
    options: Options
    versions: Mapping[str, str]
    graph_text: str
    program_text: str | None = None
    code: Code | None = None
    fixed: Mapping[str, int | float] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    donated: Mapping[str, str] = field(default_factory=dict)
    spans: tuple[Span | None, ...] = ()
    constants: Mapping[str, Array] = field(default_factory=dict)
    choices: tuple[tuple[str, str], ...] = ()

    def graph(self) -> Graph:
        """The optimised Graph, with the spans that it had; raises TileError TILE0601, TILE0602."""
        from tilec.text.graph_text import parse_graph
        from tilec.verify.graph import verify

        graph = parse_graph(self.graph_text)
        verify(graph)
        if len(self.spans) != len(graph.lets):
            return graph
        return replace(graph, lets=tuple(replace(let, span=s) for let, s in zip(graph.lets, self.spans)))

    def program(self) -> Program | None:
        """The scheduled Program; raises TileError TILE0601."""
        from tilec.text.loops_text import parse_program

        return None if self.program_text is None else parse_program(self.program_text)


def encode(image: Image) -> bytes:
    """The image as bytes, the same for equal images."""
    sources = _Sources()
    manifest: dict[str, Any] = {
        "kind": _KIND,
        "schema": SCHEMA,
        "name": image.name,
        "params": _types_out(image.params),
        "results": _types_out(image.results),
        "constants": _types_out(image.constant_types),
        "kept": list(image.constants),
        "target": asdict(image.target),
        "options": asdict(replace(image.options, tune=None)),
        "versions": dict(image.versions),
        "fixed": dict(image.fixed),
        "donated": dict(image.donated),
        "warnings": [_diagnostic_out(w, sources) for w in image.warnings],
        "choices": [list(c) for c in image.choices],
        "spans": [sources.span(s) for s in image.spans],
        "code": None if image.code is None else _code_out(image.code, sources),
    }
    manifest["sources"] = [[s.name, s.text] for s in sources.found]  # last: all spans have been written
    members = {"graph": image.graph_text.encode()}
    if image.program_text is not None:
        members["program"] = image.program_text.encode()
    if image.code is not None:
        members |= {f"code/{number}": code for number, code in enumerate(image.code.objects)}
    for number, array in enumerate(image.constants.values()):
        members[f"constants/{number}"] = container.array_bytes(array)
    return container.pack(manifest, members)


def decode(data: bytes, name: str, source: Source | None = None) -> Image:
    """Inverse of `encode`; raises TileError TILE0707 for whatever is not an image of this schema.

    Spans into a text equal to that of `source` become spans into `source`, whose name may be another now.
    """
    manifest, members = container.unpack(data, name)
    try:
        if manifest.get("kind") != _KIND or manifest.get("schema") != SCHEMA:
            raise ValueError(f"it is of schema {manifest.get('schema')!r}, not {SCHEMA}")
        return _image(manifest, members, source)
    except Exception as reason:  # a manifest of the wrong form fails in many ways
        raise container.malformed(name, reason) from None


def _image(m: dict[str, Any], members: dict[str, bytes], known: Source | None) -> Image:
    types = _types_in(m["constants"])
    kept = [_text(n) for n in m["kept"]]
    sources = [known if known and known.text == t else Source(_text(n), _text(t)) for n, t in m["sources"]]
    wanted = {"graph", *(f"constants/{i}" for i in range(len(kept)))}
    objects = [n for n in members if n.startswith("code/")] if m["code"] is not None else []
    wanted |= {*(f"code/{i}" for i in range(len(objects))), *(["program"] if "program" in members else [])}
    if wanted != members.keys():
        raise ValueError("a member is missing or too many")
    machine_code = [members[f"code/{i}"] for i in range(len(objects))]
    return Image(
        name=_text(m["name"]),
        params=_types_in(m["params"]),
        results=_types_in(m["results"]),
        constant_types=types,
        target=_target_in(m["target"]),
        options=_options_in(m["options"]),
        versions={_text(k): _text(v) for k, v in m["versions"].items()},
        graph_text=members["graph"].decode(),
        program_text=members["program"].decode() if "program" in members else None,
        code=None if m["code"] is None else _code_in(m["code"], machine_code, sources),
        fixed={_text(k): _number(v) for k, v in m["fixed"].items()},
        donated={_text(k): _text(v) for k, v in m["donated"].items()},
        warnings=tuple(_diagnostic_in(w, sources) for w in m["warnings"]),
        spans=tuple(_span_in(s, sources) for s in m["spans"]),
        constants={
            n: container.array_from(members[f"constants/{i}"], types[n].dtype, _shape(types[n]))
            for i, n in enumerate(kept)
        },
        choices=tuple((_text(kernel), _text(choice)) for kernel, choice in m["choices"]),
    )


# values of the manifest --------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a string is expected")
    return value


def _options_in(value: Any) -> Options:
    limit = None if value["memory_limit"] is None else _integer(value["memory_limit"])
    schedules = tuple(
        Pinned(_text(s["name"]), _text(s["file"]), _text(s["text"]), _integer(s["start"]), _integer(s["end"]))
        for s in value["schedules"]
    )
    return Options(_bool(value["fuse"]), _bool(value["schedule"]), _text(value["remat"]), limit, schedules=schedules)


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ValueError("a natural number is expected")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is expected")
    return value


def _number(value: Any) -> int | float:
    if not isinstance(value, int | float):
        raise ValueError("a number is expected")
    return value


def _types_out(types: Mapping[str, TensorType]) -> list[Any]:
    return [[n, t.dtype.name, list(map(_size_out, t.shape)), t.weak] for n, t in types.items()]


def _size_out(size: Size) -> int | str:
    return size if isinstance(size, int) else print_coef(size)


def _types_in(listed: Any) -> dict[str, TensorType]:
    return {_text(n): TensorType(BY_NAME[d], tuple(map(_size_in, shape)), _bool(w)) for n, d, shape, w in listed}


def _size_in(value: Any) -> Size:
    """A number, or the text of an open size; raises TileError TILE0601."""
    if not isinstance(value, str):
        return _integer(value)
    parser = AffineParser(value, "<size>")
    size = parser.size()
    parser.end()
    return size


def _shape(type: TensorType) -> tuple[int, ...]:
    """Sizes of a type that has no named ones."""
    return tuple(s if isinstance(s, int) else int(str(s)) for s in type.shape)


def _target_in(value: Any) -> Target:
    strings = {"backend", "device", "cpu", "kind", "driver"}
    plain: dict[str, Any] = {k: _text(v) if k in strings else _integer(v) for k, v in value.items() if k not in _OTHERS}
    return Target(**plain, features=tuple(map(_text, value["features"])), unified=_bool(value["unified"]))


def _code_out(code: Code, sources: _Sources) -> dict[str, Any]:
    """All but the objects, of which only the number."""
    checks = [[code_, message, sources.span(span)] for code_, message, span in code.checks]
    calls = [{**asdict(replace(c, span=None)), "span": sources.span(c.span)} for c in code.calls]
    rest = asdict(replace(code, objects=(), checks=(), calls=()))
    return {**rest, "objects": len(code.objects), "checks": checks, "calls": calls}


def _host_in(value: Any, sources: list[Source]) -> Host:
    name = _text(value["function"])
    if name not in HOST_FUNCTIONS:
        raise ValueError(f"there is no host function {name!r}")
    inputs, outputs = (tuple(map(_host_array_in, value[k])) for k in ("inputs", "outputs"))
    return Host(name, inputs, outputs, _span_in(value["span"], sources))


def _host_array_in(value: Any) -> HostArray:
    shape, strides = (tuple(map(_integer, value[k])) for k in ("shape", "strides"))
    if len(shape) != len(strides):
        raise ValueError("an array has a stride for each axis")
    return HostArray(BY_NAME[_text(value["dtype"])].name, shape, strides)


def _open_in(value: Any) -> Open | None:
    if value is None:
        return None
    return Open(
        tuple((_text(n), _integer(a), _integer(x)) for n, a, x in value["sizes"]),
        tuple((_text(n), _text(s), _integer(d)) for n, s, d in value["derived"]),
        tuple((_text(n), _integer(at)) for n, at in value["slots"]),
        tuple((_integer(at), _text(s), _integer(a), _integer(b)) for at, s, a, b in value["lives"]),
        tuple(map(_text, value["axes"])),
    )


def _code_in(value: Any, objects: list[bytes], sources: list[Source]) -> Code:
    if value["objects"] != len(objects):
        raise ValueError("an object file is missing or too many")
    return Code(
        tuple(objects),
        tuple(map(_text, value["arguments"])),
        tuple(map(_text, value["table"])),
        _integer(value["arena_bytes"]),
        _integer(value["fixed_bytes"]),
        _bool(value["init"]),
        _integer(value["threads"]),
        tuple((_text(c), _text(message), _span_in(span, sources)) for c, message, span in value["checks"]),
        _integer(value["status"]),
        _open_in(value["open"]),
        None if value["interrupts"] is None else _integer(value["interrupts"]),
        tuple(map(_text, value["packed"])),
        _bool(value["brief"]),
        None if value["hosts"] is None else _integer(value["hosts"]),
        tuple(_host_in(c, sources) for c in value["calls"]),
    )


@dataclass(slots=True)
class _Sources:
    """The program texts that spans point into, each kept once."""

    found: list[Source] = field(default_factory=list)

    def span(self, span: Span | None) -> list[int] | None:
        if span is None:
            return None
        if not any(s is span.source for s in self.found):
            self.found.append(span.source)
        return [next(i for i, s in enumerate(self.found) if s is span.source), span.start, span.end]


def _span_in(value: Any, sources: list[Source]) -> Span | None:
    if value is None:
        return None
    source, start, end = map(_integer, value)
    if not start <= end <= len(sources[source].text):
        raise ValueError("a span outside its text")
    return Span(sources[source], start, end)


def _diagnostic_out(d: Diagnostic, sources: _Sources) -> list[Any]:
    return [d.code, d.message, sources.span(d.span), list(d.notes), d.help]


def _diagnostic_in(value: Any, sources: list[Source]) -> Diagnostic:
    code, message, span, notes, help = value
    text = None if help is None else _text(help)
    place = _span_in(span, sources)
    return Diagnostic(_text(code), _text(message), place, tuple(map(_text, notes)), text, "warning")
