"""`python -m services.demo.broker`: runs librdkafka's mock cluster in a process of its own.

It prints `{"bootstrap_servers": "127.0.0.1:N"}` on one line, and exits when its standard input is closed: it never
outlives the process that started it.
"""

from __future__ import annotations

import json
import sys

from confluent_kafka import Producer


def main() -> None:
    producer = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    print(json.dumps({"bootstrap_servers": f"{broker.host}:{broker.port}"}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
