"""Floor 5: executables and schedules as tables, for notebooks (HTML), terminals (Rich) and plain text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilec.affine import size_text
from tilec.graph import TensorType
from tilec.loops import Kernel, KernelParam, Program
from tilec.runtime import describe
from tilec.schedule import Schedule

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from tilec.executable import Executable


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a heading, each as long as `header`."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_html_(self) -> str:
        """For notebooks."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.header)
        body = "".join(f"<tr>{_cells(row)}</tr>" for row in self.rows)
        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __rich__(self) -> RichTable:
        """For `rich.print`."""
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(title=Text(self.title) if self.title else None, title_justify="left")
        for name in self.header:
            table.add_column(name, overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def __str__(self) -> str:
        columns = list(zip(*(self.header, *self.rows)))
        widths = [max(map(len, column)) for column in columns]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in (self.header, *self.rows)]
        return "\n".join([self.title, *lines] if self.title else lines)


def _cells(row: Sequence[str]) -> str:
    style = ' style="text-align: left"'
    return "".join(f"<td{style}>{html.escape(cell)}</td>" for cell in row)


def schedule_table(schedule: Schedule, title: str = "schedule") -> Table:
    """The directives of a schedule in their order."""
    rows = tuple((str(i), d.name, ", ".join(map(str, d.args))) for i, d in enumerate(schedule, 1))
    return Table(title, ("", "primitive", "arguments"), rows)


def executable_table(executable: Executable) -> Table:
    """The kernels of an executable in the order of the program, under its signature and target."""
    program = executable.program
    kernels = () if program is None else program.kernels
    rows = tuple((k.name, str(_launches(program, k)), _reads(k), _writes(k)) for k in kernels)
    return Table(signature(executable), ("kernel", "launches", "reads", "writes"), rows)


def signature(executable: Executable) -> str:
    """`f(A: f32[4]) -> (B: f32[4]) on llvm:host`."""
    params, results = _types(executable.params.items()), _types(executable.results.items())
    return f"{executable.name}({params}) -> ({results}) on {executable.target}"


def _types(named: Iterable[tuple[str, TensorType]]) -> str:
    return ", ".join(f"{name}: {describe(type)}" for name, type in named)


def _launches(program: Program | None, kernel: Kernel) -> int:
    """How often a kernel is named by the steps of the program, a loop's steps counted once."""
    stack, count = [] if program is None else [*program.steps, *program.init], 0
    while stack:
        step = stack.pop()
        count += getattr(step, "kernel", None) == kernel.name
        for part in ("test", "steps", "then", "orelse"):
            stack.extend(getattr(step, part, ()))
    return count


def _reads(kernel: Kernel) -> str:
    return ", ".join(_buffer(p) for p in kernel.params if p.mode != "out")


def _writes(kernel: Kernel) -> str:
    return ", ".join(_buffer(p) for p in kernel.params if p.mode != "in")


def _buffer(param: KernelParam) -> str:
    return f"{param.buffer.name}: {param.buffer.dtype}[{', '.join(map(size_text, param.buffer.shape))}]"
