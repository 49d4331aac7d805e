"""A person's terminal: what it can do, a line that is refreshed in place, and the whole screen for a live picture.

Standard library only. Where there is no terminal, or one that cannot move its cursor, nothing is shown.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from companion.bootstrap import use_environment
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


def panel(data_dir: str) -> ModuleType | None:
    """What draws for a person's terminal. None for Claude and pipes, and where its library cannot be had."""
    if not sys.stdout.isatty() or not use_environment(data_dir):
        return None
    from companion import panel

    return panel


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


class Screen:
    """The whole terminal for a picture that changes. What stood there before comes back at the end, however it ends.

    Use it as a context manager. While it is suspended (Ctrl-Z) the terminal is the shell's.
    """

    ENTER = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J"
    LEAVE = "\x1b[?25h\x1b[?1049l"

    def __init__(self) -> None:
        self._shown = ""
        self._input_mode: list[Any] | None = None

    def __enter__(self) -> Screen:
        self._enter()
        for name, handler in (("SIGTERM", _end), ("SIGHUP", _end), ("SIGTSTP", self._suspend)):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), handler)
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def paint(self, lines: Sequence[str]) -> None:
        """Show these lines, which fit, instead of what is shown."""
        picture = "\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J"
        if picture != self._shown:
            _write_all(picture)
            self._shown = picture

    def _enter(self) -> None:
        self._shown = ""
        self._input_mode = _without_echo()
        _write_all(self.ENTER)

    def _leave(self) -> None:
        _write_all(self.LEAVE)
        if self._input_mode is not None:
            import termios

            # FLUSH: what was typed meanwhile was not meant for the shell.
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSAFLUSH, self._input_mode)

    def _suspend(self, *_: object) -> None:
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # returns when the shell lets us go on
        signal.signal(signal.SIGTSTP, self._suspend)
        self._enter()


def _end(number: int, _: object) -> None:
    """A signal that ends the program lets it put the terminal right first."""
    raise SystemExit(128 + number)


def _without_echo() -> list[Any] | None:
    """Stop the terminal from showing what is typed; how it was before, or None where there is nothing to stop."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        return None
    import termios

    before = termios.tcgetattr(sys.stdin.fileno())
    changed = termios.tcgetattr(sys.stdin.fileno())
    changed[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, changed)
    return before


def _write_all(text: str) -> None:
    """Past Python's buffer, which a signal handler must not enter a second time."""
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]
