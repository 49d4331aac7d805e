"""A line about what goes on, refreshed in place on a person's terminal. Standard library only.

Where there is no terminal, or one that cannot move its cursor, nothing is shown.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from companion.plaintext import fit
from companion.report import compact_duration

# Of a longer line the terminal would break off the end, and could not take it back.
LINE_COLUMNS = 100
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
TICK_S = 0.1
# What takes less than this is not worth a flicker.
SHOW_AFTER_S = 0.4
CLEAR = "\r\x1b[K"


def moves_cursor(stream: Any) -> bool:
    """Whether the stream is a terminal in which something can be shown in place."""
    return bool(stream.isatty()) and (sys.platform == "win32" or os.environ.get("TERM", "") not in ("", "dumb"))


def size(stream: Any) -> os.terminal_size:
    """Columns and lines of the terminal, as they are now."""
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        found = os.terminal_size((0, 0))
    return found if found.columns and found.lines else os.terminal_size((80, 24))


class StatusLine:
    """One line on stderr that is refreshed in place and goes without a trace. Shows nothing unless it can.

    Use it as a context manager; `show` may be called as often as one likes.
    """

    def __init__(self) -> None:
        self._enabled = moves_cursor(sys.stderr)
        self._began = self._shown_at = time.monotonic()
        self._visible = False

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away, e.g. to print something that stays."""
        if self._visible:
            self._write(CLEAR)
            self._visible = False

    @property
    def due(self) -> bool:
        """Whether a new text would be shown now."""
        now = time.monotonic()
        return self._enabled and now - self._began >= SHOW_AFTER_S and now - self._shown_at >= TICK_S

    def show(self, elapsed_ms: int, text: str) -> None:
        """Show what is going on and for how long. The text is flat."""
        self._shown_at = time.monotonic()
        columns = min(size(sys.stderr).columns - 1, LINE_COLUMNS)
        sign = SPINNER[int(self._shown_at / TICK_S) % len(SPINNER)]
        self._visible = True
        self._write(CLEAR + fit(f"{sign} {compact_duration(elapsed_ms)} {text}", columns))

    def _write(self, text: str) -> None:
        try:
            os.write(sys.stderr.fileno(), text.encode())
        except OSError:
            self._enabled = self._visible = False  # the terminal has gone; the work has not


@contextmanager
def ticking(what: str) -> Iterator[None]:
    """Shows on stderr, in a person's terminal alone, that the block is at work, and for how long.

    The block prints nothing, and starts no supervisor: a process with threads should not fork.
    """
    if not moves_cursor(sys.stderr):
        yield
        return
    ended = threading.Event()
    began = time.monotonic()

    def tick() -> None:
        with StatusLine() as line:
            while not ended.wait(TICK_S):
                if line.due:
                    line.show(int((time.monotonic() - began) * 1000), what)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
