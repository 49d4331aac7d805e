"""A person's terminal: what draws for it, and the whole screen for a live picture. Standard library only."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from companion.bootstrap import use_environment


def panel(data_dir: str) -> ModuleType | None:
    """What draws for a person's terminal. None for Claude and pipes, and where its library cannot be had."""
    if not sys.stdout.isatty() or not use_environment(data_dir):
        return None
    from companion import panel

    return panel


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
