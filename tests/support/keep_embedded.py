"""`python -m tests.support.keep_embedded FOLDER`: runs the embedded servers until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from services.demo.servers import embedded_servers


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with embedded_servers(Path(sys.argv[1])) as (kafka, mongo):
        print(kafka, mongo, flush=True)
        await stop.wait()


asyncio.run(main())
