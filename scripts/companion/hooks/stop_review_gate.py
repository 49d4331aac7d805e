"""The review at the end of a turn. Runs only where the gate may be on, see companion.hooks.gate_switch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from companion.hooks.gate_switch import SETTINGS
from companion.hooks.payload import text
from companion.workspace import find_workspace


def main(payload: dict[str, Any], env: Mapping[str, str], data_dir: str, arguments: list[str]) -> int:
    """Let the turn end. Where the gate is on for this workspace, its review comes first."""
    if payload.get("stop_hook_active") is False and is_on(data_dir, find_workspace(text(payload, "cwd"))):
        review(payload, data_dir)
    return 0


def review(payload: Mapping[str, Any], data_dir: str) -> None:
    """The review of the turn's own edits has its place here; as long as there is none, nothing is blocked."""


def is_on(data_dir: str, workspace: str) -> bool:
    """Whether the gate is on for a workspace."""
    with open(os.path.join(data_dir, SETTINGS), encoding="utf-8") as file:
        gate = json.load(file).get("reviewGate")
    return isinstance(gate, dict) and gate.get(workspace) is True
