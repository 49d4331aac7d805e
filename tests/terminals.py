"""A real terminal of a test's own: the program runs in it, and what a person would see can be read."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pyte

ENTRY = Path(__file__).resolve().parent.parent / "scripts" / "opencode_companion.py"
LIMIT_S = 60.0


class Terminal:
    """A command in a terminal. `raw` is every byte that it wrote, `screen` what stands there now.

    `stdout`: a descriptor to use instead of the terminal, e.g. that of a file. Use it as a context manager.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        columns: int = 100,
        lines: int = 30,
        env: Mapping[str, str] | None = None,
        stdout: int | None = None,
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._code: int | None = None
        surroundings = {**os.environ, "TERM": "xterm-256color", **(env or {})}
        # The size must stand before the command looks at it, so the parent waits with the start.
        ready, go = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.read(ready, 1)
                os.chdir(cwd)
                if stdout is not None:
                    os.dup2(stdout, 1)
                os.execvpe(command[0], list(command), surroundings)
            finally:
                os._exit(127)
        os.close(ready)
        self.resize(columns, lines)
        os.write(go, b"x")
        os.close(go)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.exit_code()
        os.close(self.fd)

    def resize(self, columns: int, lines: int) -> None:
        """What a person does by pulling at the window's corner."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.fd, keys.encode())

    @property
    def text(self) -> str:
        """What stands on the screen, without blanks at the ends of lines."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def until(self, condition: Callable[[], object]) -> None:
        """Read what the command writes until the condition holds."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > deadline or (not self._read() and not condition()):
                raise AssertionError(f"it did not come to that; on the screen:\n{self.text}\n{self.raw[-2000:]!r}")

    def shows(self, *texts: str) -> None:
        """Wait until all of these stand on the screen."""
        self.until(lambda: all(text in self.text for text in texts))

    def exit_code(self) -> int:
        """Wait for the end of the command; its exit code, or minus the signal that ended it."""
        if self._code is None:
            deadline = time.monotonic() + LIMIT_S
            while self._read():
                assert time.monotonic() < deadline, f"it does not end; on the screen:\n{self.text}"
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code

    def _read(self) -> bool:
        """Take what the command has written, waiting a moment for it. False when no more will come."""
        if not select.select([self.fd], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False  # Linux says so when the last writer has gone
        self.raw += data
        self._stream.feed(data)
        return bool(data)


def companion(
    *words: str,
    cwd: Path,
    columns: int = 100,
    lines: int = 30,
    stdout: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Terminal:
    """The program with these words in a terminal."""
    return Terminal([sys.executable, str(ENTRY), *words], cwd, columns, lines, env, stdout)
