"""Prepends the safety header to what goes to OpenCode directly. See companion.hooks.safety_header_injector."""

import os
import sys

sys.dont_write_bytecode = True  # the plugin's folder belongs to Claude Code
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts"))
from companion.hooks import quick  # noqa: E402


def has_work(payload: bytes) -> bool:
    return b"opencode" in payload


if __name__ == "__main__":
    quick.start("safety_header_injector", has_work)
