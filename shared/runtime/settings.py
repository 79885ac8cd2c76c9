"""Every setting, one class a service, read from the environment (and `.env`) when a service is composed.

Names are the field names in capitals behind `LEADSTREAM_`. `docs/configuration.md` is generated from these classes.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Secrets = Annotated[tuple[SecretStr, ...], NoDecode]
Names = Annotated[tuple[str, ...], NoDecode]

METRICS_PORT_HELP = "Port of `/metrics`, `/live` and `/ready` of an analyzer or a backfill worker; 0 for none."


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="LEADSTREAM_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_json: bool = Field(True, description="One JSON object a line on standard error; false for a person to read.")


class KafkaSettings(Settings):
    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="host:port of brokers, comma-separated.")
    topic_prefix: str = Field("", description="Put before every topic's name and consumer group's.")
    topic_replication: int = Field(1, ge=1, description="Copies of each topic; 3 where a disk may be lost.")
    topic_partitions: int = Field(12, ge=1, description="Partitions of `message-events` when `setup` creates it.")


class MongoSettings(Settings):
    mongo_url: SecretStr = Field(
        SecretStr("mongodb://127.0.0.1:27017/leadstream"),
        description="MongoDB connection string; its path is the database's name (default `leadstream`).",
    )


class VaultSettings(Settings):
    encryption_keys: Secrets = Field(
        (), description="Fernet keys for tokens at rest, comma-separated: the first encrypts, all decrypt."
    )
    _split_keys = field_validator("encryption_keys", mode="before")(_split)


class GraphSettings(Settings):
    graph_url: str = Field("https://graph.facebook.com", description="Where the Graph API is.")
    graph_version: str = Field("v26.0", description="Its version, as in the path.")
    app_secrets: Secrets = Field(
        (),
        description="App secrets, comma-separated: a webhook may be signed with any; the first proves Graph calls.",
    )
    _split_secrets = field_validator("app_secrets", mode="before")(_split)


class ReceiverSettings(KafkaSettings):
    app_secrets: Secrets = Field((), description="App secrets, comma-separated: webhooks signed with any are taken.")
    verify_token: Secrets = Field(
        (), description="What the webhook handshake must present; several, comma-separated, while it is changed."
    )
    receiver_host: str = Field("0.0.0.0", description="Address the receiver listens on.")  # noqa: S104
    receiver_port: int = Field(8080, ge=0, le=65535, description="Port the receiver listens on; 0 takes a free one.")
    receiver_workers: int = Field(1, ge=1, le=64, description="Processes that share the port; `--workers` overrides.")
    receiver_connections: int = Field(
        1000, ge=1, description="Clients connected to one process at once; a further one is closed."
    )
    receiver_header_seconds: float = Field(
        10.0, gt=0, description="How long the headers of a connection's first request, and a TLS handshake, may take."
    )
    receiver_body_seconds: float = Field(
        10.0, gt=0, description="How long a body may take, then the answer is 408; and how long answers may lie unread."
    )
    receiver_keepalive_seconds: float = Field(
        75.0, gt=0, description="How long an open connection may take to its next whole request; more than a proxy's."
    )
    receiver_tls_certificate: str = Field("", description="PEM file of the certificate and its chain; empty: no TLS.")
    receiver_tls_key: str = Field("", description="PEM file of its key, not encrypted.")
    receiver_client_ca: str = Field(
        "", description="PEM file of the CA whose client certificate `/webhook` asks for (mTLS); empty: none is."
    )
    receiver_client_name: str = Field(
        "client.webhooks.fbclientcerts.com", description="The common name that certificate must have; this is Meta's."
    )
    access_log: bool = Field(False, description="One log line a request, without its query.")
    publish_timeout_seconds: float = Field(
        1.5,
        gt=0,
        description="How long a webhook waits for the broker, then it is spooled; Facebook waits 5 s.",
    )
    spool_dir: str = Field(".leadstream/spool", description="Where events wait while the broker is away; never shared.")
    spool_max_bytes: int = Field(
        1 << 30, gt=0, description="How much may wait there for each process; beyond it the answer is 503."
    )
    _split_secrets = field_validator("app_secrets", "verify_token", mode="before")(_split)


class BackfillSettings(KafkaSettings, MongoSettings, VaultSettings, GraphSettings):
    backfill_accounts: int = Field(8, ge=1, le=256, description="Accounts read at once by one process.")
    backfill_parallelism: int = Field(
        8, ge=1, le=64, description="Calls made at once per account; twice as many conversations are on their way."
    )
    backfill_page_size: int = Field(100, ge=1, le=500, description="Items asked for per page, on both edges.")
    graph_timeout_seconds: float = Field(30.0, gt=0, description="How long one Graph call may take.")
    graph_deadline_seconds: float = Field(300.0, gt=0, description="How long one Graph call is retried.")
    metrics_port: int = Field(0, ge=0, le=65535, description=METRICS_PORT_HELP)


class AnalyzerSettings(KafkaSettings, MongoSettings, VaultSettings, GraphSettings):
    quiet_seconds: float = Field(20.0, ge=0, description="A conversation is analysed this long after its last event …")
    max_wait_seconds: float = Field(120.0, ge=0, description="… but at the latest this long after the first pending.")
    backfill_hold_seconds: float = Field(
        600.0, ge=0, description="How long analysis waits for a backfill to complete a conversation it has listed."
    )
    analyzer_instance: str = Field(
        "",
        description="This process's name, kept over restarts and no other's: it gets its partitions again at once.",
    )
    lease_seconds: float = Field(8.0, gt=0, description="How long a worker has a claimed conversation to itself.")
    analysis_parallelism: int = Field(
        32, ge=1, description="Conversations that one process analyses at once by the AI."
    )
    ai_again_seconds: float = Field(
        60.0,
        gt=0,
        description="When the AI is asked again for what the fallback scored, or what a person wanted analysed anew, "
        "while it was away; then after 2, 4 … 256 times that.",
    )
    ai_again_per_minute: float = Field(
        30.0,
        ge=0,
        description="How many such calls one process may make, when there is no other work; 0 for none: what a person "
        "wanted then waits for the conversation's next message.",
    )
    gemini_api_keys: Secrets = Field((), description="Gemini API keys, comma-separated; with none the fallback scores.")
    gemini_models: Names = Field(
        ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
        description="Gemini models, the preferred one first, comma-separated.",
    )
    gemini_endpoint: str = Field("", description="Where the Gemini API is, if not at Google's: `http://host:port`.")
    gemini_requests_per_minute: int = Field(
        1000, ge=1, description="How often one key may be asked for one model; by Google's tier from 5 to thousands."
    )
    gemini_deadline_seconds: float = Field(20.0, gt=0, description="How long one analysis may try Gemini.")
    metrics_port: int = Field(0, ge=0, le=65535, description=METRICS_PORT_HELP)
    _split_lists = field_validator("gemini_api_keys", "gemini_models", mode="before")(_split)


class ConsoleSettings(KafkaSettings, MongoSettings, VaultSettings):
    console_host: str = Field("127.0.0.1", description="Address the console listens on; another needs a password.")
    console_port: int = Field(8081, ge=0, le=65535, description="Port the console listens on; 0 takes a free one.")
    console_password: SecretStr = Field(
        SecretStr(""), description="Of editors, or its hash as `leadstream console --hash` prints it; empty: no login."
    )
    console_viewer_password: SecretStr = Field(
        SecretStr(""), description="Of those who may look and change nothing, or its hash; empty: there are none."
    )
    console_proxy_header: str = Field(
        "", description="The header in which a proxy names who it has let in; empty: no proxy does."
    )
    console_proxy_from: Names = Field(
        ("127.0.0.1", "::1"),
        description="Addresses or networks of proxies in front, comma-separated: who is named, `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed from them alone. They must pass on `Host`, and replace that header.",
    )
    console_proxy_editors: Names = Field((), description="Whom of those that it names may change things.")
    console_names: Names = Field(
        (), description="Host names that it answers to, comma-separated; empty: any, without a password localhost only."
    )
    console_api_tokens: Secrets = Field(
        (), description="Of programs that may change things by `/api/`, comma-separated, 32 characters at least."
    )
    console_viewer_api_tokens: Secrets = Field((), description="Of programs that may look and change nothing.")
    console_receiver_url: str = Field("", description="Where the receiver's `/metrics` is, to show its spool.")
    _split_names = field_validator(
        "console_proxy_from", "console_proxy_editors", "console_names", "console_api_tokens",
        "console_viewer_api_tokens", mode="before",
    )(_split)  # fmt: skip


SERVICE_SETTINGS: tuple[type[Settings], ...] = (ReceiverSettings, BackfillSettings, AnalyzerSettings, ConsoleSettings)
