"""Makes sure that a supervisor runs. Standard library only: every command that dispatches comes through here."""

from __future__ import annotations

import os
import subprocess
import sys

from companion import filelock
from companion.bootstrap import PLUGIN_ROOT, ensure_environment, environment_python, stderr_progress
from companion.datadir import ensure_private_dir
from companion.errors import CompanionError
from companion.logs import log_path, open_log, workspace_key

ENTRY = os.path.join(PLUGIN_ROOT, "scripts", "opencode_companion.py")
# The words on a supervisor's command line: the program runs them like a subcommand, but nobody types them.
COMMAND = "supervise"


def supervisor_lock(data_dir: str, key: str) -> str:
    """The lock file that the supervisor of this key holds for its life."""
    folder = os.path.join(data_dir, "supervisors")
    ensure_private_dir(folder)
    return os.path.join(folder, f"{key}.lock")


def ensure_supervisor(data_dir: str, workspace: str, server_url: str) -> bool:
    """Start a supervisor unless one lives. True if this call started it.

    The lock is taken here and handed to the new process, so there is no moment in which two could start, and none in
    which a living one goes unnoticed.
    """
    key = workspace_key(data_dir, workspace, server_url)
    lock_fd = filelock.try_lock(supervisor_lock(data_dir, key))
    if lock_fd is None:
        return False
    try:
        python = environment_python(data_dir) or ensure_environment(data_dir, stderr_progress)
        log_fd = open_log(log_path(data_dir, "supervisor", key))
        try:
            # -I: the user's PYTHONPATH must not replace the locked packages.
            command = [python, "-I", ENTRY, COMMAND, data_dir, workspace, server_url, str(lock_fd)]
            _start(command, data_dir, lock_fd, log_fd)
        finally:
            os.close(log_fd)
    finally:
        os.close(lock_fd)
    return True


if sys.platform == "win32":

    def _start(command: list[str], data_dir: str, lock_fd: int, log_fd: int) -> None:
        """Windows cannot hand over a locked descriptor: the supervisor takes the lock itself when it starts."""
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
        subprocess.Popen(
            [*command[:-1], "-1"],
            cwd=data_dir,
            stdin=subprocess.DEVNULL,
            stdout=log_fd,
            stderr=log_fd,
            creationflags=flags,
        )

else:

    def _start(command: list[str], data_dir: str, lock_fd: int, log_fd: int) -> None:
        """Fork twice: Claude Code ends what a subagent's commands leave behind, unless its parent is gone."""
        middle = os.fork()
        if middle == 0:
            try:
                os.setsid()
                if os.fork() == 0:
                    null = os.open(os.devnull, os.O_RDONLY)
                    for source, target in ((null, 0), (log_fd, 1), (log_fd, 2)):
                        os.dup2(source, target)
                    os.set_inheritable(lock_fd, True)
                    os.chdir(data_dir)
                    os.execv(command[0], command)
            finally:
                os._exit(0)
        _, status = os.waitpid(middle, 0)
        if status != 0:
            raise CompanionError("The supervisor could not be started: the system refused a new process; try again.")
