"""Floor 6: options of several commands: a budget for temporary tensors, and a file of schedules."""

from __future__ import annotations

import typer

from tilec.options import Options

LIMIT = typer.Option(None, "--memory-limit", metavar="BYTES", help="The most that temporary tensors should take.")
REMAT = typer.Option(
    "none", "--remat", metavar="MODE", help="auto: values are computed again, to keep to the limit; or none."
)
SCHEDULE = typer.Option(None, "--schedule", metavar="FILE", help="A file of schedules of kernels.")


def budget(limit: int | None, remat: str) -> Options:
    """Raises TileError TILE0511."""
    from tilec.api import check_options

    options = Options(remat=remat, memory_limit=limit)
    check_options(options)
    return options
