"""The records of a topic once more onto another, as fast as aiokafka sends what lies ready: the other side's best.

`python -m tests.bench.raw BOOTSTRAP FROM TO` prints records, seconds, and those of the processor as JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time

import orjson
import uvloop

from shared.bus.producer import open_producer
from shared.bus.reader import read_all

AT_ONCE = 5_000
"""Records under way: enough for every batch to be full."""


async def resend(bootstrap_servers: str, source: str, target: str) -> dict[str, float]:
    records = await read_all(bootstrap_servers, source)
    async with open_producer(bootstrap_servers) as producer:
        await producer.partitions_for(target)
        began, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(records), AT_ONCE):
            sent = [
                await producer.send(target, each.value, each.key, headers=each.headers)
                for each in records[start : start + AT_ONCE]
            ]
            await asyncio.gather(*sent)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        return {"records": len(records), "seconds": seconds, "cpu": cpu}


if __name__ == "__main__":
    print(orjson.dumps(uvloop.run(resend(*sys.argv[1:]))).decode())
