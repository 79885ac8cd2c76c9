"""A file system of a few hundred kilobytes for one program. A test fills it and makes room again."""

from __future__ import annotations

import resource
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import Leadstream

ROOM_BYTES = 512 * 1024
"""The space until the disk is full."""
BALLAST_BYTES = 16 * 1024 * 1024
"""The space that `make_room` frees."""

MOUNT = 'mount -t tmpfs -o size="$2" tmpfs "$1" && truncate -s 0 "$1/ballast" && fallocate -l "$3" "$1/ballast"; '


class SmallDisk(ABC):
    """`before` goes in front of a program's command; `folder` is the mount point that the program sees."""

    kind: str
    before: Sequence[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    @abstractmethod
    def fill(self, program: Leadstream) -> None:
        """From now on `ROOM_BYTES` fit; existing files may count."""

    @abstractmethod
    def make_room(self, program: Leadstream) -> None:
        """Free space, as if somebody had deleted other files."""


class Mounted(SmallDisk):
    """A tmpfs in the program's own mount namespace: only the program sees it, and it disappears with the program."""

    kind = "a file system that is full"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        size, ballast = str(ROOM_BYTES + BALLAST_BYTES), str(BALLAST_BYTES)
        script = f'set -e; {MOUNT} shift 3; exec "$@"'
        self.before = ("unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(folder), size, ballast)

    def fill(self, program: Leadstream) -> None:
        """Do nothing: the disk starts full."""

    def make_room(self, program: Leadstream) -> None:
        (Path(f"/proc/{program.process.pid}/root{self.folder}") / "ballast").unlink()


class Limited(SmallDisk):
    """A limit on the size of each file of the program (RLIMIT_FSIZE), for machines where nothing can be mounted."""

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
    """Whether a program may mount a file system of its own on this machine."""
    if shutil.which("unshare") is None:
        return False
    attempt = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0
