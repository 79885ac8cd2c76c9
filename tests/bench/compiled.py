"""`python -m tests.bench.compiled`: builds the rival in Go and becomes it, on one core as the receiver is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "rival"


def is_installed() -> bool:
    return shutil.which("go") is not None


def main() -> None:
    binary = Path.cwd() / "rival"
    subprocess.run(["go", "build", "-o", str(binary), "."], cwd=SOURCE, check=True, env={**os.environ, **_go_home()})
    os.execve(binary, [str(binary)], {**os.environ, "GOMAXPROCS": "1"})


def _go_home() -> dict[str, str]:
    """Go needs a folder for its cache; the measured processes have no HOME."""
    return {} if "HOME" in os.environ else {"HOME": str(Path.home())}


if __name__ == "__main__":
    main()
