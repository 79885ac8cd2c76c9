"""Turn what needs no word into numbers: roles, lengths, marks, times and silence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import log1p

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine

NO_CUSTOMER_SILENCE = 8.0
"""Where no line of the customer counts: the silence since their last one, as a logarithm of hours."""


def shape_features(lines: Sequence[TranscriptLine], customer: Sequence[int], now: datetime) -> dict[str, float]:
    """`customer` has the indexes of the customer's lines that count."""
    business = [index for index, line in enumerate(lines) if line.role is SpeakerRole.BUSINESS]
    values = _counts(lines, customer, business) | _silence(lines, customer, now)
    if customer:
        values |= _customer(lines, customer)
    if business:
        values |= _business(lines, business, is_unanswered=business[-1] == len(lines) - 1)
    return values


def _counts(lines: Sequence[TranscriptLine], customer: Sequence[int], business: Sequence[int]) -> dict[str, float]:
    return {
        "shape:lines": log1p(len(lines)),
        "shape:customer lines": log1p(len(customer)),
        "shape:business lines": log1p(len(business)),
        "shape:share": len(customer) / (len(customer) + len(business) or 1),
        "shape:no business": float(not business),
        "shape:days": log1p(_hours(lines[0].at, lines[-1].at) / 24),
    }


def _silence(lines: Sequence[TranscriptLine], customer: Sequence[int], now: datetime) -> dict[str, float]:
    waiting = len(lines) - 1 - customer[-1] if customer else len(lines)
    hours = _hours(lines[-1].at, now)
    since_customer = _hours(lines[customer[-1]].at, now) if customer else None
    return {
        "shape:waiting": log1p(waiting),
        "shape:answered": float(waiting == 0),
        "shape:one unanswered": float(waiting == 1),
        "shape:several unanswered": float(waiting > 1),
        "shape:silence": log1p(hours),
        "shape:silence while waiting": log1p(hours) * (waiting > 0),
        "shape:silence after several": log1p(hours) * (waiting > 1),
        "shape:silence of the customer": NO_CUSTOMER_SILENCE if since_customer is None else log1p(since_customer),
        "shape:a day without the customer": float(since_customer is None or since_customer > 24),
        "shape:three days": float(hours > 72),
        "shape:three days while waiting": float(hours > 72 and waiting > 0),
        "shape:ten days": float(hours > 240),
    }


def _customer(lines: Sequence[TranscriptLine], customer: Sequence[int]) -> dict[str, float]:
    texts = [lines[index].text for index in customer]
    with_number = [any(map(str.isdigit, text)) for text in texts]
    last = customer[-1]
    values = {
        "shape:mean length": log1p(sum(map(len, texts)) / len(texts)),
        "shape:last length": log1p(len(texts[-1])),
        "shape:questions": sum("?" in text for text in texts) / len(texts),
        "shape:last is a question": float("?" in texts[-1]),
        "shape:attachments": float(sum(bool(lines[index].marks) for index in customer)),
        "shape:last attachment": float(bool(lines[last].marks)),
        "shape:numbers": float(sum(with_number)),
        "shape:last number": float(with_number[-1]),
        "shape:last answer after": log1p(_hours(lines[last - 1].at, lines[last].at)) if last else 0.0,
    }
    for index in customer:
        for mark in lines[index].marks:
            name = f"mark:{mark.strip('[]').partition(' ')[0].rstrip(':')}"
            values[name] = values.get(name, 0.0) + 1.0
    return values


def _business(lines: Sequence[TranscriptLine], business: Sequence[int], is_unanswered: bool) -> dict[str, float]:
    last = lines[business[-1]]
    return {
        "shape:business asks": float("?" in last.text),
        "shape:business asks, unanswered": float("?" in last.text and is_unanswered),
        "shape:business last number": float(any(map(str.isdigit, last.text))),
        "shape:business numbers": log1p(sum(any(map(str.isdigit, lines[index].text)) for index in business)),
        "shape:business attachments": float(any(lines[index].marks for index in business)),
    }


def _hours(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds() / 3600)
