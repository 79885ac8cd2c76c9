"""Kafka and MongoDB in containers. Imported only with a Docker engine."""

from __future__ import annotations

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

START_REPLICA_SET = """
rs.initiate({_id: 'rs0', members: [{_id: 0, host: '127.0.0.1:27017'}]});
while (!db.hello().isWritablePrimary) { sleep(50); }
"""


def kafka_container(port: int) -> DockerContainer:
    """Return one KRaft node at 127.0.0.1:`port`; it keeps the port over a stop and a start."""
    return (
        DockerContainer("apache/kafka:4.1.0")
        .with_bind_ports(9092, port)
        .with_envs(
            KAFKA_NODE_ID="1",
            KAFKA_PROCESS_ROLES="broker,controller",
            KAFKA_LISTENERS="PLAINTEXT://:9092,CONTROLLER://:9093",
            KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://127.0.0.1:{port}",
            KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
            KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
            KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
            KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
            KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
        )
        .waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    )


class MongoContainer(DockerContainer):
    """A replica set of one node."""

    def start(self) -> MongoContainer:
        super().start()
        result = self.exec(["mongosh", "--quiet", "--eval", START_REPLICA_SET])
        assert result.exit_code == 0, result.output
        return self


def mongo_container() -> MongoContainer:
    container = MongoContainer("mongo:8.0", command="--replSet rs0 --bind_ip_all", ports=[27017])
    return container.waiting_for(LogMessageWaitStrategy("Waiting for connections"))
