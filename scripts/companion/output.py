"""How commands answer: text or JSON on stdout, one line on stderr, an exit code."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from companion.plaintext import visible

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_NOT_ENDED = 2
EXIT_INTERRUPTED = 130


def show(text: str) -> None:
    """Text on stdout, whatever the terminal's encoding, flushed."""
    _write(sys.stdout, text if text.endswith("\n") else text + "\n")


def show_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout, on one line."""
    show(json.dumps(value, ensure_ascii=False))


def tell(line: str) -> None:
    """One line on stderr."""
    _write(sys.stderr, " ".join(line.split()) + "\n")


def paint(text: str) -> None:
    """Text on stdout that holds the terminal's own control sequences; the caller made what it shows harmless."""
    _send(sys.stdout, text)


def _write(stream: Any, text: str) -> None:
    # A job's answer is shown byte for byte, but to a terminal some bytes are orders.
    _send(stream, visible(text) if stream.isatty() else text)


def _send(stream: Any, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape" if "\udc80" <= max(text, default="") <= "\udcff" else "replace")
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        stream.write(text)
    else:
        stream.flush()
        buffer.write(data)
    stream.flush()


def silence_broken_pipe() -> None:
    """The reader went away: end without a second error when Python flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
