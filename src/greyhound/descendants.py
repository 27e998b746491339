"""How all that a process started is ended: by a call, or by a watcher when the one that cared for it is gone.

Linux by itself kills no more than a dead process's children, and those only that asked for it. A watcher is a small
process that waits at a pipe which the worker alone holds. Once that is closed without a word, as by SIGKILL, it kills
the script and all that it started: a training behind a shell, its loaders of data, the ranks of torchrun, of which each
has a session of its own. The watcher runs this file, and imports nothing of Greyhound.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path


def kill_descendants(pid: int) -> None:
    """Kill all processes that process `pid` started, and those that they did.

    Where one of them leads a group, as a script does, those of it whose own parents have ended are among them.
    """
    if _childless(pid):
        return
    import psutil

    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                if os.getpgid(process.pid) == process.pid:
                    kill_group(process.pid)
                process.kill()


def kill_group(group: int) -> None:
    """Kill the processes of a group, if there are any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(group, signal.SIGKILL)


class Watcher:
    """Waits for this process to end; then it kills what it watches. OSError where it cannot be started."""

    def __init__(self) -> None:
        theirs, self._line = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what is sent to the worker's group does not reach it
            )
        except BaseException:
            os.close(self._line)
            raise
        finally:
            os.close(theirs)

    def watch(self, group: int) -> None:
        """From now on the process `group`, which leads a group."""
        self._tell(f"{group}\n")

    def dismiss(self) -> None:
        """Let it be, and end."""
        self._tell("dismissed\n")
        os.close(self._line)
        self._process.wait()

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody killed it
            os.write(self._line, line.encode())


def _childless(pid: int) -> bool:
    """Whether Linux says that the process has no children; False where it can't be asked so."""
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return not any((task / "children").read_text() for task in tasks)
    return False


def _watch() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # a batch system signals all processes of a job
        signal.signal(number, signal.SIG_IGN)
    group, _, dismissed = sys.stdin.read().partition("\n")
    if group and not dismissed:
        try:
            kill_descendants(int(group))
        finally:
            kill_group(int(group))


if __name__ == "__main__":
    _watch()
