"""`leadstream doctor`: everything that an installation needs, a line each, with what to do."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from enum import StrEnum

import typer
from dotenv import dotenv_values
from pydantic import ValidationError

from services.analyzer.analysis.ai.transport import ModelCallError, ModelRequest, ModelTransport
from services.analyzer.analysis.providers import Provider, open_transport, provider_of
from services.backfill.accounts.account_jobs import check_all
from services.cli.options import AsJson
from services.cli.setup import database_differences
from shared.bus.topics import check_topics
from shared.contract.failures import UnreachableError, WrongKeysError, WrongSettingsError
from shared.runtime.clock import utc_now
from shared.runtime.crypto import vault_from
from shared.runtime.settings import (
    SERVICE_SETTINGS,
    AnalyzerSettings,
    BackfillSettings,
    ReceiverSettings,
    ServerSettings,
    Settings,
)
from shared.store.accounts import AccountStore
from shared.store.mongo import Database, open_database, server_time

CHECK_SECONDS = 20.0
"""The most that one check may take; all run at the same time."""
AI_SECONDS = 8.0
MAX_CLOCK_SECONDS = 5.0
MIN_FREE_SHARE = 0.1
PROBE = ModelRequest("", "ping", {"type": "object"})


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. `advice` says what to do about it."""

    check: str
    state: State
    text: str
    advice: str = ""


Check = Callable[[], Awaitable[list[Finding]]]


def doctor(as_json: AsJson = False) -> None:
    """Examine settings, servers, accounts, clock, spool and AI, and change nothing. Status 1 if something is wrong.

    It ends within half a minute, also when no server answers. `leadstream check` compares topics and database alone.
    """
    findings = examine_settings({**dotenv_values(".env"), **os.environ})
    if all(finding.state is not State.WRONG for finding in findings):
        findings += asyncio.run(examine_all())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for line in map(_line, findings):
            print(line)
    raise typer.Exit(int(any(finding.state is State.WRONG for finding in findings)))


def examine_settings(names: Iterable[str]) -> list[Finding]:
    """Return findings for the names that are set, and for the values of all settings."""
    known = {f"LEADSTREAM_{field.upper()}": None for each in SERVICE_SETTINGS for field in each.model_fields}
    findings = [_misspelt(name, known) for name in sorted(set(names)) if _is_unknown(name, known)]
    wrong = dict.fromkeys(text for each in SERVICE_SETTINGS for text in _wrong_values(each))
    findings += [Finding("settings", State.WRONG, text, "see `leadstream config`") for text in wrong]
    return findings or [Finding("settings", State.OK, "every name is known and every value can be used")]


def _is_unknown(name: str, known: Iterable[str]) -> bool:
    return name.startswith("LEADSTREAM_") and name not in known


def _misspelt(name: str, known: Iterable[str]) -> Finding:
    nearest = get_close_matches(name, known, 1)
    advice = f"is {nearest[0]} meant?" if nearest else "`leadstream config` lists all settings"
    return Finding("settings", State.WARNING, f"{name} is not a setting and has no effect", advice)


def _wrong_values(settings: type[Settings]) -> Iterator[str]:
    try:
        settings()
    except ValidationError as error:
        for each in error.errors():
            yield f"LEADSTREAM_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}"


async def examine_all() -> list[Finding]:
    """Return the findings of all checks that need more than the settings. The settings can be used."""
    receiver, backfill, analyzer, servers = ReceiverSettings(), BackfillSettings(), AnalyzerSettings(), ServerSettings()

    async def database_checks() -> list[Finding]:
        async with open_database(servers.mongo_url.get_secret_value()) as database:
            return [
                *await _database(database),
                *await _clock(database),
                *await _within("accounts", lambda: _accounts(backfill, database)),
            ]

    checks: dict[str, Check] = {
        "secrets": lambda: _secrets(receiver, backfill),
        "topics": lambda: _topics(servers),
        "database": database_checks,
        "spool": lambda: asyncio.to_thread(_spool, receiver),
        "AI": lambda: _ai(analyzer),
    }
    found = await asyncio.gather(*(_within(name, check) for name, check in checks.items()))
    return [finding for each in found for finding in each]


async def _within(name: str, check: Check) -> list[Finding]:
    """Return what the check finds; that it failed or took too long is a finding as well."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return [Finding(name, State.WRONG, f"no answer in {CHECK_SECONDS:.0f} s", "is the server overloaded?")]
    except (UnreachableError, WrongSettingsError, WrongKeysError) as error:
        return [Finding(name, State.WRONG, str(error), "docs/secured-servers.md says what each message means")]


async def _secrets(receiver: ReceiverSettings, backfill: BackfillSettings) -> list[Finding]:
    needed = (
        ("LEADSTREAM_APP_SECRETS", receiver.app_secrets, "take it from the app's settings, Basic"),
        ("LEADSTREAM_VERIFY_TOKEN", receiver.verify_token, "choose one and enter it in the app's webhook as well"),
        ("LEADSTREAM_ENCRYPTION_KEYS", backfill.encryption_keys, "`leadstream config --new-key` prints one"),
    )
    findings = [
        Finding("secrets", State.WRONG, f"{name} is not set", advice) for name, value, advice in needed if not value
    ]
    if backfill.encryption_keys:
        vault_from(backfill)
    return findings or [Finding("secrets", State.OK, "app secret, verify token and encryption key are set")]


async def _topics(settings: ServerSettings) -> list[Finding]:
    report = await check_topics(settings)
    broker = Finding("broker", State.OK, f"answers at {settings.kafka_bootstrap_servers}")
    differences = [*report.missing, *report.remaining]
    wrong = [Finding("topics", State.WRONG, text, "run `leadstream setup`") for text in differences]
    return [broker, *(wrong or [Finding("topics", State.OK, "are as needed")])]


async def _database(database: Database) -> list[Finding]:
    differences = await database_differences(database)
    wrong = [Finding("database", State.WRONG, text, "run `leadstream setup`") for text in differences]
    return wrong or [Finding("database", State.OK, "answers, with all indexes and pipelines")]


async def _clock(database: Database) -> list[Finding]:
    seconds = abs((await server_time(database) - utc_now()).total_seconds())
    if seconds > MAX_CLOCK_SECONDS:
        return [
            Finding("clock", State.WRONG, f"{seconds:.0f} s apart from the database's", "start a time service (NTP)")
        ]
    return [Finding("clock", State.OK, "agrees with the database's")]


async def _accounts(settings: BackfillSettings, database: Database) -> list[Finding]:
    accounts = await AccountStore(database).all()
    if not accounts:
        return [Finding("accounts", State.WARNING, "there are none", "`leadstream accounts import` or `accounts add`")]
    healths = await check_all(settings, database, accounts, subscribe=False)
    problems = [
        Finding(f"account {health.account.key}", State.WRONG, problem, "`leadstream accounts check` says more")
        for health in healths
        for problem in health.problems
    ]
    well = [f"account {health.account.key}" for health in healths if health.is_well]
    return [*(Finding(name, State.OK, "token, permissions and webhooks are in order") for name in well), *problems]


def _spool(settings: ReceiverSettings) -> list[Finding]:
    folder = settings.spool_path
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not os.access(existing, os.W_OK):
        advice = "give the service's user write access, or set LEADSTREAM_HOME"
        return [Finding("spool", State.WRONG, f"{folder} cannot be written", advice)]
    damaged, advice = sorted(map(str, folder.glob("*/*/*.damaged-*"))), "`sqlite3 FILE .recover` reads the rest"
    found = [Finding("spool", State.WARNING, f"{path} was damaged", advice) for path in damaged]
    usage = shutil.disk_usage(existing)
    if usage.free < MIN_FREE_SHARE * usage.total:
        found.append(Finding("spool", State.WARNING, f"its disk has {usage.free >> 20:,} MiB left", "make room"))
    return found or [Finding("spool", State.OK, f"{folder} can be written")]


async def _ai(settings: AnalyzerSettings) -> list[Finding]:
    provider = provider_of(settings)
    if provider is None:
        advice = "set LEADSTREAM_GEMINI_API_KEYS or LEADSTREAM_AI_ENDPOINT for summaries by an AI"
        return [Finding("AI", State.WARNING, "none is set: the built-in scorer analyses", advice)]
    of_openai = provider is Provider.OPENAI
    keys = settings.ai_api_keys if of_openai else settings.gemini_api_keys
    model = (settings.ai_models if of_openai else settings.gemini_models)[0]
    async with open_transport(settings, provider) as transport:
        return [
            await _ai_key(transport, provider, model, key, f"AI key {number}")
            for number, key in enumerate([each.get_secret_value() for each in keys] or [""], 1)
        ]


async def _ai_key(transport: ModelTransport, provider: Provider, model: str, key: str, name: str) -> Finding:
    """Ask for the cheapest answer that needs the key: Gemini counts tokens, other endpoints can only generate."""
    try:
        if provider is Provider.OPENAI:
            await transport.generate(key, model, PROBE, AI_SECONDS)
        else:
            await transport.count_tokens(key, model, PROBE, AI_SECONDS)
    except ModelCallError as error:
        return Finding(name, State.WRONG, f"{provider}: {error}", "check the key, the model's name and the endpoint")
    return Finding(name, State.OK, f"{provider} accepts it for {model}")


def _line(finding: Finding) -> str:
    advice = f" → {finding.advice}" if finding.advice else ""
    return f"{finding.state:<8} {finding.check}: {finding.text}{advice}"
