"""Show every variable that is recognised, its value and meaning, and where things are."""

from __future__ import annotations

import argparse
import os
from typing import Any

from companion.commands.options import add_json
from companion.context import Context
from companion.output import EXIT_DONE, show, show_json
from companion.settings import VARIABLES

MASK = "***"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """Gather and show."""
    answer: dict[str, Any] = {
        "variables": [_variable(context, index) for index in range(len(VARIABLES))],
        "dataDir": context.data_dir,
        "opencodeConfigPath": opencode_config_path(context),
        "server": _server(context),
    }
    if options.json:
        show_json(answer)
        return EXIT_DONE
    lines = []
    for variable in answer["variables"]:
        value = "(unset)" if variable["value"] is None else variable["value"]
        lines.append(f"{variable['name']} = {value}  [{variable['source']}]")
        lines.append(f"    {variable['description']}")
    lines += ["", f"Data folder:      {answer['dataDir']}", f"opencode config:  {answer['opencodeConfigPath']}"]
    server = answer["server"]
    lines.append(f"opencode server:  {server['url'] or 'not started'}" + (" (managed)" if server["managed"] else ""))
    show("\n".join(lines))
    return EXIT_DONE


def opencode_config_path(context: Context) -> str:
    """The user's global opencode config file: the one that exists, else the one that would be made."""
    base = context.env.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    folder = os.path.join(base, "opencode")
    for name in ("opencode.jsonc", "opencode.json", "config.json"):
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    return os.path.join(folder, "opencode.json")


def _variable(context: Context, index: int) -> dict[str, Any]:
    variable = VARIABLES[index]
    value = context.settings.values[variable.name]
    return {
        "name": variable.name,
        "value": MASK if variable.secret and value is not None else value,
        "source": "env" if context.env.get(variable.name, "") else "default",
        "default": variable.default,
        "description": variable.description,
    }


def _server(context: Context) -> dict[str, Any]:
    if context.server_url:
        return {"url": context.server_url, "managed": False, "pid": None, "version": None}
    known = context.store.server(context.workspace)
    if known is None:
        return {"url": None, "managed": True, "pid": None, "version": None}
    return {"url": known["url"], "managed": True, "pid": known["pid"], "version": known["version"]}
