"""All settings, one class per service, read from the environment and `.env` when a service starts.

A variable is `LEADSTREAM_` and the field's name in capitals. `docs/configuration.md` is generated from these classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Secrets = Annotated[tuple[SecretStr, ...], NoDecode]
Names = Annotated[tuple[str, ...], NoDecode]
FallbackChoice = Literal["auto", "fast", "local"]
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="LEADSTREAM_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_json: bool = Field(True, description="One JSON object per line on standard error; false: text for a person.")


class OperationsSettings(Settings):
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of `/metrics`, `/live`, `/ready` and `/version`: another for each service on a machine, and "
        "not for the public; 0 for none.",
    )


class KafkaSettings(Settings):
    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="host:port of the brokers, comma-separated.")
    kafka_security_protocol: SecurityProtocol = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_SSL, or SASL_PLAINTEXT, which sends passwords unencrypted."
    )
    kafka_sasl_mechanism: SaslMechanism = Field(
        "PLAIN", description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; used by the SASL protocols."
    )
    kafka_sasl_username: str = Field("", description="User, or API key, of PLAIN and SCRAM.")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="Password, or API secret, of PLAIN and SCRAM.")
    kafka_sasl_token_command: str = Field(
        "", description="Command that prints a token of OAUTHBEARER; it runs for each connection, without a shell."
    )
    kafka_ssl_ca_file: str = Field(
        "", description="PEM file of the CAs that may sign the brokers' certificates; empty: those of the system."
    )
    kafka_ssl_certificate_file: str = Field(
        "", description="PEM file of the client certificate and its chain; empty: none is presented."
    )
    kafka_ssl_key_file: str = Field("", description="PEM file of its key; empty: the key is in the certificate's file.")
    kafka_ssl_key_password: SecretStr = Field(SecretStr(""), description="Password of an encrypted key.")
    topic_prefix: str = Field("", description="Prefix of the names of all topics and consumer groups.")
    topic_replication: int = Field(
        1, ge=1, description="Replicas of each topic; with 3, every acknowledged record is on 2 brokers."
    )
    topic_partitions: int = Field(12, ge=1, description="Partitions of new topics, except the dead letters'.")


class MongoSettings(Settings):
    mongo_url: SecretStr = Field(
        SecretStr("mongodb://127.0.0.1:27017/leadstream"),
        description="MongoDB connection string; its path names the database (default `leadstream`).",
    )


class VaultSettings(Settings):
    encryption_keys: Secrets = Field(
        (), description="Fernet keys for stored access tokens, comma-separated: the first encrypts, all decrypt."
    )
    _split_keys = field_validator("encryption_keys", mode="before")(_split)


class GraphSettings(Settings):
    graph_url: str = Field("https://graph.facebook.com", description="URL of the Graph API.")
    graph_version: str = Field("v26.0", description="Version of the Graph API, as in its paths.")
    app_secrets: Secrets = Field(
        (), description="App secrets, comma-separated: any may sign webhooks, the first signs Graph API calls."
    )
    _split_secrets = field_validator("app_secrets", mode="before")(_split)


class ReceiverSettings(KafkaSettings, OperationsSettings):
    app_secrets: Secrets = Field((), description="App secrets, comma-separated: webhooks signed with any are accepted.")
    verify_token: Secrets = Field(
        (), description="Token that the webhook handshake must present; several, comma-separated, while it is changed."
    )
    receiver_host: str = Field("0.0.0.0", description="Address the receiver listens on.")  # noqa: S104
    receiver_port: int = Field(8080, ge=0, le=65535, description="Port the receiver listens on; 0 for a free one.")
    receiver_workers: int = Field(1, ge=1, le=64, description="Processes sharing the port; `--workers` overrides it.")
    receiver_connections: int = Field(
        1000, ge=1, description="Maximum connections per process; further ones are closed."
    )
    receiver_header_seconds: float = Field(
        10.0, gt=0, description="Time limit for a connection's first request headers, and for a TLS handshake."
    )
    receiver_body_seconds: float = Field(
        10.0, gt=0, description="Time limit for receiving a body (else 408) and for a client to read responses."
    )
    receiver_keepalive_seconds: float = Field(
        75.0, gt=0, description="How long a connection may be idle between requests; more than the proxy's limit."
    )
    receiver_tls_certificate: str = Field("", description="PEM file of the certificate and its chain; empty: no TLS.")
    receiver_tls_key: str = Field("", description="PEM file of its unencrypted key.")
    receiver_client_ca: str = Field(
        "", description="PEM file of the CA whose client certificates `/webhook` requires (mTLS); empty: none required."
    )
    receiver_client_name: str = Field(
        "client.webhooks.fbclientcerts.com", description="Common name of the client certificate; the default is Meta's."
    )
    access_log: bool = Field(False, description="Log one line per request, without its query.")
    publish_timeout_seconds: float = Field(
        1.5, gt=0, description="How long a webhook waits for the broker before it is spooled; Facebook waits 5 s."
    )
    home: str = Field("~/.leadstream", description="Directory of the files that Leadstream keeps on this machine.")
    spool_dir: str = Field(
        "spool", description="Directory for events while the broker is away, below `LEADSTREAM_HOME`; never shared."
    )
    spool_max_bytes: int = Field(
        1 << 30,
        gt=0,
        description="Maximum size of the spool per process; dead letters get a quarter. When full, responses are 503.",
    )
    _split_secrets = field_validator("app_secrets", "verify_token", mode="before")(_split)

    @property
    def spool_path(self) -> Path:
        """`spool_dir`, below `home` unless it is absolute."""
        folder = Path(self.spool_dir)
        return folder if folder.is_absolute() else Path(self.home).expanduser() / folder


class ServerSettings(KafkaSettings, MongoSettings):
    """The settings of a command that uses the broker and the database."""


class BackfillSettings(KafkaSettings, MongoSettings, VaultSettings, GraphSettings, OperationsSettings):
    backfill_accounts: int = Field(8, ge=1, le=256, description="Accounts that one process reads concurrently.")
    backfill_parallelism: int = Field(
        8, ge=1, le=64, description="Concurrent calls per account; twice as many conversations are read concurrently."
    )
    backfill_page_size: int = Field(100, ge=1, le=500, description="Items per page of conversations and messages.")
    graph_timeout_seconds: float = Field(30.0, gt=0, description="Time limit of one Graph API call.")
    graph_deadline_seconds: float = Field(300.0, gt=0, description="How long one Graph API call is retried.")


class AnalyzerSettings(KafkaSettings, MongoSettings, VaultSettings, GraphSettings, OperationsSettings):
    quiet_seconds: float = Field(20.0, ge=0, description="A conversation is analysed this long after its last event …")
    max_wait_seconds: float = Field(120.0, ge=0, description="… but at most this long after its first pending event.")
    backfill_hold_seconds: float = Field(
        600.0, ge=0, description="How long analysis waits for a backfill to complete a conversation it has listed."
    )
    analyzer_instance: str = Field(
        "", description="Unique name of this process, kept over restarts, to get its partitions back at once."
    )
    lease_seconds: float = Field(8.0, gt=0, description="How long a claim of a conversation is valid without renewal.")
    analysis_parallelism: int = Field(32, ge=1, description="Concurrent analyses by the AI per process.")
    ai_again_seconds: float = Field(
        60.0,
        gt=0,
        description="Time until the AI analyses a conversation that it could not analyse before; "
        "each later retry waits twice as long, up to 256 times.",
    )
    ai_again_per_minute: float = Field(
        30.0,
        ge=0,
        description="AI retries per minute and process, made only when there is no other work. 0 for none: a requested "
        "analysis then waits for the conversation's next message.",
    )
    fallback: FallbackChoice = Field(
        "auto",
        description="The model that scores without an AI: fast, local (needs the extra `local`), or auto: local where "
        "it is installed.",
    )
    summary_language: str = Field(
        "English",
        pattern=r"^[\w ()-]{2,40}$",
        description="Language in which an AI writes summaries, reasons and next actions; the fallback writes English.",
    )
    gemini_api_keys: Secrets = Field((), description="Gemini API keys, comma-separated; with none the fallback scores.")
    gemini_models: Names = Field(
        ("gemini-2.5-flash", "gemini-2.5-flash-lite"), description="Gemini models, comma-separated, preferred first."
    )
    gemini_endpoint: str = Field("", description="Endpoint of the Gemini API, if not Google's: `http://host:port`.")
    gemini_requests_per_minute: int = Field(
        1000, ge=1, description="Requests per minute for each key and model; 5 to thousands by Google's tier."
    )
    gemini_deadline_seconds: float = Field(20.0, gt=0, description="Time limit of one analysis by Gemini.")
    gemini_library: Literal["google-generativeai", "google-genai"] = Field(
        "google-generativeai", description="Google's library to call Gemini with; google-genai is the extra `genai`."
    )
    ai_endpoint: str = Field(
        "",
        description="Base URL of an OpenAI-compatible endpoint, used instead of Gemini: "
        "`https://api.openai.com/v1`, or Ollama's `http://127.0.0.1:11434/v1`.",
    )
    ai_models: Names = Field(
        (), validate_default=True, description="Models of that endpoint, comma-separated, preferred first."
    )
    ai_api_keys: Secrets = Field((), description="API keys of that endpoint, comma-separated; a local one needs none.")
    ai_context_tokens: int = Field(
        32_000,
        ge=4_000,
        description="Context of that endpoint's models in tokens; digests replace the oldest lines of what is longer. "
        "Ollama cuts silently what is beyond its own `OLLAMA_CONTEXT_LENGTH`, so set both.",
    )
    ai_deadline_seconds: float = Field(60.0, gt=0, description="Time limit of one analysis by that endpoint.")
    _split_lists = field_validator("gemini_api_keys", "gemini_models", "ai_models", "ai_api_keys", mode="before")(
        _split
    )

    @field_validator("ai_endpoint")
    @classmethod
    def _is_url(cls, endpoint: str) -> str:
        url = urlsplit(endpoint)
        if endpoint and (url.scheme not in {"http", "https"} or not url.hostname):
            raise ValueError("not an http or https URL")
        if url.username or url.password or url.query or url.fragment:
            raise ValueError("a base URL has no user, password, query or fragment")
        return endpoint.removesuffix("/").removesuffix("/chat/completions")

    @field_validator("ai_models")
    @classmethod
    def _has_models(cls, models: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("ai_endpoint") and not models:
            raise ValueError("LEADSTREAM_AI_ENDPOINT needs the name of at least one model")
        return models


class ConsoleSettings(KafkaSettings, MongoSettings, VaultSettings, OperationsSettings):
    console_host: str = Field(
        "127.0.0.1", description="Address the console listens on; any other than localhost needs a password."
    )
    console_port: int = Field(8081, ge=0, le=65535, description="Port the console listens on; 0 for a free one.")
    console_password: SecretStr = Field(
        SecretStr(""), description="Password of editors, or its hash from `leadstream console --hash`; empty: no login."
    )
    console_viewer_password: SecretStr = Field(
        SecretStr(""), description="Password of viewers, who may change nothing, or its hash; empty: no viewers."
    )
    console_proxy_header: str = Field(
        "", description="Header with the user that a proxy has authenticated; empty: none."
    )
    console_proxy_from: Names = Field(
        ("127.0.0.1", "::1"),
        description="Addresses or networks of trusted proxies, comma-separated. Only their user header, "
        "`X-Forwarded-For` and `X-Forwarded-Proto` are used. They must pass on `Host`, and replace the user header.",
    )
    console_proxy_editors: Names = Field((), description="Users of the proxy who are editors, comma-separated.")
    console_names: Names = Field(
        (), description="Host names it answers to, comma-separated; empty: any, without a password localhost."
    )
    console_api_tokens: Secrets = Field(
        (), description="Tokens for reading and writing by `/api/`, comma-separated, at least 32 characters."
    )
    console_viewer_api_tokens: Secrets = Field((), description="Tokens for reading by `/api/`, comma-separated.")
    console_receiver_url: str = Field("", description="URL of the receiver's METRICS_PORT, to show its spool.")
    _split_names = field_validator(
        "console_proxy_from", "console_proxy_editors", "console_names", "console_api_tokens",
        "console_viewer_api_tokens", mode="before",
    )(_split)  # fmt: skip


SERVICE_SETTINGS: tuple[type[Settings], ...] = (ReceiverSettings, BackfillSettings, AnalyzerSettings, ConsoleSettings)
