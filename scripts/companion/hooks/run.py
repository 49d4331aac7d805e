"""Runs one hook: payload in, answer out. Whatever goes wrong, Claude Code never hears of it."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from companion.datadir import bytecode_dir, data_dir

PLUGIN_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
LOG = "hooks.log"


def run(name: str, raw: bytes, arguments: list[str]) -> int:
    """Hand the payload to the hook's module; the exit code. 2 only from a hook that wakes Claude."""
    folder = data_dir(os.environ, PLUGIN_ROOT)
    sys.pycache_prefix = bytecode_dir(folder)
    sys.dont_write_bytecode = sys.pycache_prefix is None
    try:
        payload = json.loads(raw)
    except (ValueError, RecursionError):
        return 0
    if not isinstance(payload, dict):
        return 0
    try:
        hook = importlib.import_module("companion.hooks." + name)
        code: int = hook.main(payload, os.environ, folder, arguments)
        return code
    except Exception:
        note_failure(folder, name)
        return 0


def answer(event: str, **specific: Any) -> None:
    """Print what a hook answers at an event, under `hookSpecificOutput`."""
    write({"hookSpecificOutput": {"hookEventName": event, **specific}})


def write(output: dict[str, Any]) -> None:
    """Print a hook's whole answer. It has left this process when this returns."""
    put(1, json.dumps(output).encode("ascii"))


def put(descriptor: int, data: bytes) -> None:
    """Write all of it."""
    while data:
        data = data[os.write(descriptor, data) :]


def note_failure(folder: str, name: str) -> None:
    """Keep the exception at hand in the log, where there is a data dir; `doctor` and people look there."""
    import traceback

    from companion.errors import CompanionError

    try:
        error = sys.exc_info()[1]
        if not os.path.isdir(folder):
            return
        from companion.logs import open_log

        text = f"{error}\n" if isinstance(error, CompanionError) else traceback.format_exc()
        log = open_log(os.path.join(folder, "logs", LOG))
        try:
            put(log, f"{name}: {text}".encode("utf-8", "replace"))
        finally:
            os.close(log)
    except Exception:
        pass
