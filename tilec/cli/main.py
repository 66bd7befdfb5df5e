"""Floor 6: the command line. Exit codes: 0 done, 1 diagnostics, 2 wrong usage, 130 interrupted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
import typer

from tilec import __version__
from tilec.cli import check, opt, run
from tilec.errors import TileError

app = typer.Typer(
    name="tilec",
    help="Compile and run Tile programs.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="run")(run.command)
app.command(name="check")(check.command)
app.command(name="opt")(opt.command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tilec {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Compile and run Tile programs."""


def call(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code; nothing a user writes makes it raise."""
    try:
        result = app(args=arguments, prog_name="tilec", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except TileError as problem:
        print(problem, file=sys.stderr)
        return 1
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return 130
    except click.ClickException as problem:
        problem.show()
        return 2
    except BrokenPipeError:
        # The reader of our output has gone; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def main() -> None:
    """Entry point of the `tilec` script."""
    sys.exit(call())
