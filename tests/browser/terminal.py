"""Takes a picture of the demo's terminal output."""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from playwright.async_api import Browser
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.browser.palette import with_palette
from tests.support.processes import with_settings

COLUMNS, ROWS = 80, 50
# Black, red, green, yellow, blue, magenta, cyan, white.
COLOURS = [
    (46, 52, 64), (255, 146, 136), (99, 204, 154), (232, 189, 99), (140, 171, 255), (201, 160, 255), (110, 205, 220),
    (216, 222, 233),
]  # fmt: skip
THEME = TerminalTheme((17, 20, 26), (216, 222, 233), COLOURS)
FRAME = """<body style="margin:0"><pre style="margin:0;padding:20px 24px;width:max-content;
background:#11141a;color:#d8dee9;font:14px/1.45 'DejaVu Sans Mono',monospace">{code}</pre></body>"""
_MOVES = re.compile(r"(\n|\r|\x1b\[\d*[AK]|\x1b\[\?\d+[hl])")


async def demo_picture(browser: Browser) -> bytes:
    shown = settled(await asyncio.to_thread(printed_by, "demo", "--exit"))
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(shown.strip("\n")))
    page = await browser.new_page()
    await page.set_content(console.export_html(theme=THEME, inline_styles=True, code_format=FRAME))
    return with_palette(await page.locator("pre").screenshot())


def printed_by(*arguments: str) -> str:
    """Return what `leadstream ARGS` writes to a terminal, with control sequences. Its exit status must be 0."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "services.cli.main", *arguments]
    env = with_settings({}) | {"TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=inside, stderr=inside, env=env)
    os.close(inside)
    written = b"".join(iter(lambda: _read(terminal), b""))
    os.close(terminal)
    assert process.wait() == 0, written.decode(errors="replace")
    return written.decode(errors="replace")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how the end of a terminal is reported
        return b""


def settled(written: str) -> str:
    """Return the final content of the screen. A line is always cleared before it is overwritten."""
    lines, row = [""], 0
    for part in _MOVES.split(written):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif up := re.fullmatch(r"\x1b\[(\d*)A", part):
            row = max(row - int(up[1] or 1), 0)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not _MOVES.fullmatch(part):
            lines[row] += part
    return "\n".join(lines)
