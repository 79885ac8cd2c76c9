"""Which AI answers, and how it is reached: the only module that knows every provider."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum

import structlog
from aiohttp import ClientSession, TCPConnector
from pydantic import SecretStr
from yarl import URL

from services.analyzer.analysis.ai.analyst import AIAnalyst
from services.analyzer.analysis.ai.key_selector import KeySelector
from services.analyzer.analysis.ai.recording import ReplayTransport
from services.analyzer.analysis.ai.transport import ModelTransport
from shared.contract.failures import WrongSettingsError
from shared.runtime.settings import AnalyzerSettings

GEMINI_CONTEXT_TOKENS = 1_000_000
"""The largest request; models of the API read 1,048,576 (ai.google.dev/gemini-api/docs/models)."""
ANSWER_SHARE = 0.1
"""The share of another model's context that is left for the answer."""
CALLS_A_MINUTE = 1_000
"""Our limit for each key and model of an OpenAI-compatible endpoint, which answers HTTP 429 at its own."""

log = structlog.get_logger()


class Provider(StrEnum):
    GEMINI = "gemini"
    """By google-generativeai."""
    GENAI = "genai"
    """Gemini by google-genai."""
    OPENAI = "openai"
    """Any endpoint with OpenAI's chat completions."""


def provider_of(settings: AnalyzerSettings) -> Provider | None:
    """Return the provider that the analyzer uses, None without one."""
    if settings.ai_endpoint:
        return Provider.OPENAI
    if settings.gemini_api_keys:
        return Provider.GENAI if settings.gemini_library == "google-genai" else Provider.GEMINI
    return None


@asynccontextmanager
async def open_ai(settings: AnalyzerSettings, provider: Provider) -> AsyncIterator[AIAnalyst]:
    """Yield the analyst. WrongSettingsError when a setting or a library is missing."""
    async with open_transport(settings, provider) as transport:
        yield compose_ai(settings, provider, transport)


def compose_ai(settings: AnalyzerSettings, provider: Provider, transport: ModelTransport) -> AIAnalyst:
    if provider is Provider.OPENAI:
        return _analyst(settings, provider, transport, _plain(settings.ai_api_keys) or ("",), CALLS_A_MINUTE)
    keys, per_minute = _plain(settings.gemini_api_keys), settings.gemini_requests_per_minute
    return _analyst(settings, provider, transport, keys, per_minute)


def compose_replay(settings: AnalyzerSettings, provider: Provider, transport: ReplayTransport) -> AIAnalyst:
    """Return the analyst of recorded answers, which needs no key and has no limit of calls."""
    return _analyst(settings, provider, transport, ("",), sys.maxsize)


def _analyst(
    settings: AnalyzerSettings, provider: Provider, transport: ModelTransport, keys: Sequence[str], per_minute: int
) -> AIAnalyst:
    if provider is Provider.OPENAI:
        selector = KeySelector(transport, keys, settings.ai_models, per_minute)
        context_tokens = round(settings.ai_context_tokens * (1 - ANSWER_SHARE))
        return AIAnalyst(selector, settings.ai_deadline_seconds, context_tokens, settings.summary_language)
    selector = KeySelector(transport, keys, settings.gemini_models, per_minute)
    return AIAnalyst(selector, settings.gemini_deadline_seconds, GEMINI_CONTEXT_TOKENS, settings.summary_language)


@asynccontextmanager
async def open_transport(settings: AnalyzerSettings, provider: Provider) -> AsyncIterator[ModelTransport]:
    """Yield the provider's client. Google's take half a second and 50 MB, so each is imported only when it is used."""
    if provider is Provider.GEMINI:
        _require_gemini_keys(settings)
        from services.analyzer.analysis.gemini.client import GeminiClient  # noqa: PLC0415

        client = GeminiClient(settings.gemini_endpoint)
        try:
            yield client
        finally:
            client.close()
        return
    async with ClientSession(connector=TCPConnector(limit=0)) as session:  # the analyses at once are limited
        yield _genai(settings, session) if provider is Provider.GENAI else _openai(settings, session)


def _genai(settings: AnalyzerSettings, session: ClientSession) -> ModelTransport:
    _require_gemini_keys(settings)
    try:
        from services.analyzer.analysis.gemini.genai_client import GenaiClient  # noqa: PLC0415
    except ImportError:
        raise WrongSettingsError("google-genai is not installed: pip install 'leadstream[genai]'") from None
    return GenaiClient(session, settings.gemini_endpoint)


def _openai(settings: AnalyzerSettings, session: ClientSession) -> ModelTransport:
    if not settings.ai_endpoint:
        raise WrongSettingsError("openai needs LEADSTREAM_AI_ENDPOINT and LEADSTREAM_AI_MODELS")
    from services.analyzer.analysis.openai.client import OpenAIClient  # noqa: PLC0415

    if settings.ai_api_keys and travels_unencrypted(settings.ai_endpoint):
        log.warning("ai_key_travels_unencrypted", host=URL(settings.ai_endpoint).host)
    return OpenAIClient(session, settings.ai_endpoint)


def travels_unencrypted(endpoint: str) -> bool:
    """Return whether what is sent to `endpoint` leaves this machine without TLS."""
    url = URL(endpoint)
    return url.scheme == "http" and not _is_loopback(url.host or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _require_gemini_keys(settings: AnalyzerSettings) -> None:
    if not settings.gemini_api_keys:
        raise WrongSettingsError("gemini needs LEADSTREAM_GEMINI_API_KEYS")


def _plain(keys: tuple[SecretStr, ...]) -> tuple[str, ...]:
    return tuple(key.get_secret_value() for key in keys)
