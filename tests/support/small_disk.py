"""A file system of a few hundred kilobytes for one program, full until it is told to have room."""

from __future__ import annotations

import resource
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import Leadstream

ROOM_BYTES = 512 * 1024
"""What fits before it is full."""
BALLAST_BYTES = 16 * 1024 * 1024
"""What is given back."""

MOUNT = 'mount -t tmpfs -o size="$2" tmpfs "$1" && truncate -s 0 "$1/ballast" && fallocate -l "$3" "$1/ballast"; '


class SmallDisk(ABC):
    """`before` goes in front of a program's command; `folder` is where the disk is, to that program."""

    kind: str
    before: Sequence[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    @abstractmethod
    def fill(self, program: Leadstream) -> None:
        """From now on `ROOM_BYTES` fit, and what is there may count."""

    @abstractmethod
    def make_room(self, program: Leadstream) -> None:
        """As somebody does who deletes something else from a full disk."""


class Mounted(SmallDisk):
    """A tmpfs in a mount namespace of the program's own: it goes when the program does, and nobody else sees it."""

    kind = "a file system that is full"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        size, ballast = str(ROOM_BYTES + BALLAST_BYTES), str(BALLAST_BYTES)
        script = f'set -e; {MOUNT} shift 3; exec "$@"'
        self.before = ("unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(folder), size, ballast)

    def fill(self, program: Leadstream) -> None:
        """It is full as it is."""

    def make_room(self, program: Leadstream) -> None:
        (Path(f"/proc/{program.process.pid}/root{self.folder}") / "ballast").unlink()


class Limited(SmallDisk):
    """Where nothing can be mounted: no file of the program's may grow beyond the room (RLIMIT_FSIZE)."""

    kind = "a limit on the size of a file"
    before = ()

    def fill(self, program: Leadstream) -> None:
        resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (ROOM_BYTES, resource.RLIM_INFINITY))

    def make_room(self, program: Leadstream) -> None:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, unlimited)


def small_disk(folder: Path) -> SmallDisk:
    return Mounted(folder) if can_mount() else Limited(folder)


def can_mount() -> bool:
    """Whether this machine lets a program have file systems of its own."""
    if shutil.which("unshare") is None:
        return False
    attempt = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0
