"""Floor 6: the command line. Exit codes: 0 done, 1 diagnostics, 2 wrong usage, 130 interrupted."""

from __future__ import annotations

import functools
import io
import json
import os
import sys
from collections.abc import Callable, Sequence

import typer

from tilec import __version__
from tilec.cli import (
    cache,
    check,
    check_grad,
    compile,
    config,
    devices,
    doctor,
    explain,
    fmt,
    grad,
    memory,
    new,
    opt,
    passes,
    profile,
    run,
    setup,
    test,
    tune,
)
from tilec.cli.color import colored, shown
from tilec.errors import TileError, error

_USAGE = "TILE0704"  # malformed command-line argument


def guarded(command: Callable[..., int]) -> Callable[..., None]:
    """The command with its outcome turned into an exit code; nothing a user writes makes it raise anything else."""

    @functools.wraps(command)
    def wrapped(*args: object, **options: object) -> None:
        _make_streams_usable()
        try:
            code = command(*args, **options)
            sys.stdout.flush()
        except TileError as problem:
            _tell(problem, as_json=bool(options.get("as_json")))
            code = 2 if problem.code == _USAGE else 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            code = 130
        except BrokenPipeError:
            _discard_output()  # its reader has gone
            code = 1
        except OSError as reason:  # files are read and written elsewhere: this is our output
            print(error("TILE0702", f"cannot write the output: {reason.strerror or reason}"), file=sys.stderr)
            _discard_output()
            code = 1
        raise typer.Exit(code)

    return wrapped


def _tell(problem: TileError, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"errors": [check.as_value(d) for d in problem.diagnostics]}), flush=True)
        return
    print("\n\n".join(shown(d, sys.stderr) for d in problem.diagnostics), file=sys.stderr)
    if sys.stderr.isatty():
        print(f"\nmore about it: tilec explain {problem.code}", file=sys.stderr)


def _make_streams_usable() -> None:
    """Closed output goes nowhere; characters that the terminal's encoding lacks are shown escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # for the rest of the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Keeps Python from complaining at exit about output that cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    name="tilec",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="run")(guarded(run.command))
app.command(name="check")(guarded(check.command))
app.command(name="opt")(guarded(opt.command))
app.command(name="explain")(guarded(explain.command))
app.command(name="fmt")(guarded(fmt.command))
app.command(name="test")(guarded(test.command))
app.command(name="grad")(guarded(grad.command))
app.command(name="check-grad")(guarded(check_grad.command))
app.command(name="new")(guarded(new.command))
app.command(name="compile")(guarded(compile.command))
app.command(name="config")(guarded(config.command))
app.command(name="devices")(guarded(devices.command))
app.command(name="setup")(guarded(setup.command))
app.command(name="doctor")(guarded(doctor.command))
app.command(name="passes")(guarded(passes.command))
app.command(name="profile")(guarded(profile.command))
app.command(name="memory")(guarded(memory.command))
app.command(name="tune")(guarded(tune.command))
app.add_typer(cache.app, name="cache")
cache.app.command(name="info")(guarded(cache.info))
cache.app.command(name="clear")(guarded(cache.clear))
cache.app.command(name="verify")(guarded(cache.verify))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tilec {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(
        False, "--version", metavar="", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Compile and run Tile programs."""


def call(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    try:
        app(args=arguments, prog_name="tilec")
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def main() -> None:
    """Entry point of the `tilec` script."""
    if len(sys.argv) < 2 or not {"-h", "--help"}.isdisjoint(sys.argv):
        _color_help()
    sys.exit(call())


def _color_help() -> None:
    """Help is coloured by Typer, which looks at the environment when it is first shown: the setting is told to it."""
    if sys.stdout is not None:
        os.environ["FORCE_COLOR" if colored(sys.stdout) else "_TYPER_FORCE_DISABLE_TERMINAL"] = "1"
