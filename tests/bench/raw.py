"""Copy a topic's records from memory as fast as aiokafka sends them: the best that any producer reaches.

`python -m tests.bench.raw BOOTSTRAP FROM TO` prints records, seconds and processor seconds as JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time

import orjson
import uvloop

from shared.bus.connection import KafkaConnection
from shared.bus.producer import open_producer
from shared.bus.reader import read_all

RECORDS_IN_FLIGHT = 5_000
"""Enough for every batch to be full."""


async def resend(bootstrap_servers: str, source: str, target: str) -> dict[str, float]:
    kafka = KafkaConnection(bootstrap_servers)
    records = await read_all(kafka, source)
    async with open_producer(kafka) as producer:
        await producer.partitions_for(target)
        began, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(records), RECORDS_IN_FLIGHT):
            sent = [
                await producer.send(target, each.value, each.key, headers=each.headers)
                for each in records[start : start + RECORDS_IN_FLIGHT]
            ]
            await asyncio.gather(*sent)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        return {"records": len(records), "seconds": seconds, "cpu": cpu}


if __name__ == "__main__":
    print(orjson.dumps(uvloop.run(resend(*sys.argv[1:]))).decode())
