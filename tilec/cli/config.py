"""Floor 6: `tilec config`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import typer


def command(as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON.")) -> int:
    """List every setting with its value, where the value comes from, and what it means."""
    from tilec.configuration import config, present_directory, project_file, user_file

    found = config.list()
    if as_json:
        shown = {
            s.name: {"value": s.value, "origin": s.origin, "default": s.about.default, "type": s.about.type}
            | {
                "variable": s.about.variable,
                "variables": s.about.variables,
                "doc": s.about.doc,
                "allowed": s.about.allowed,
            }
            for s in found
        }
        print(json.dumps(shown))
        return 0
    for setting in found:
        print(f"{setting.name} = {json.dumps(setting.value)}  ({setting.origin})")
        print(f"    {setting.about.doc}\n    {' or '.join(setting.about.variables)}: {setting.about.allowed}")
    project = project_file(present_directory()) or "pyproject.toml, of which there is none here"
    print(f"\nfiles: {user_file()}; [tool.tilec] of {project}")
    for name in unknown_variables([v for s in found for v in s.about.variables]):
        print(f"no setting: the environment variable {name}")
    return 0


def unknown_variables(known: Sequence[str]) -> list[str]:
    """Variables of the environment that look like settings and are none, as a misspelt one does."""
    return sorted(name for name in os.environ if name.startswith("TILEC_") and name not in known)
