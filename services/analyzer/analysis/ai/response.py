"""Read a model's answer as a verdict or a digest, validated and clamped. Pure."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from services.analyzer.analysis.ai.prompt import PROMPT_VERSION, offered_stages
from services.analyzer.analysis.ai.transport import ModelAnswer
from services.analyzer.analysis.analyst import AnalysisInput
from shared.contract.contacts import AnalysisSource, LeadStatus, Verdict

MAX_ANSWER_CHARS = 1_000_000
"""A verdict has about a thousand characters."""
MAX_TEXT_CHARS = 4_000
LANGUAGE = re.compile(r"taglish|[a-z]{2,3}(-[a-z0-9]{2,8})?")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")
"""Control characters, and those that change the direction of the text after them."""


class UnusableAnswerError(Exception):
    """The answer cannot be used. The message never quotes it."""


def read_verdict(answer: ModelAnswer, analysis_input: AnalysisInput) -> Verdict:
    """Return the verdict. UnusableAnswerError without a JSON object that has a summary, a score and a status."""
    fields = _object(answer.text)
    summary, status = _text(fields.get("summary")), _status(fields.get("lead_status"))
    score = _number(fields.get("lead_score"))
    if not summary or status is None or score is None:
        raise UnusableAnswerError("the answer lacks a summary, a score or a status")
    stage, language = _text(fields.get("recommended_stage")), _text(fields.get("language")).lower()
    return Verdict(
        summary=summary,
        lead_score=_within(score, *_bounds(status)),
        lead_status=status,
        confidence=_within(_number(fields.get("confidence")) or 0, 0, 100),
        reasoning=_text(fields.get("reasoning")),
        recommended_stage=stage if stage in {each.name for each in offered_stages(analysis_input)} else None,
        language=language if LANGUAGE.fullmatch(language) else None,
        next_action=_text(fields.get("next_action")) or None,
        source=AnalysisSource.AI,
        model=answer.model,
        prompt_version=PROMPT_VERSION,
    )


def read_digest(answer: ModelAnswer, max_chars: int) -> str:
    """Return the digest. UnusableAnswerError when there is none or it is too long: a digest is never cut."""
    digest = _object(answer.text).get("digest")
    if not isinstance(digest, str) or not 0 < len(_clean(digest)) <= max_chars:
        raise UnusableAnswerError("the answer is not a digest")
    return _clean(digest)


def _bounds(status: LeadStatus) -> tuple[int, int]:
    """Return the lowest and highest score of a status: WON is 85 to 100, LOST 1 to 20."""
    return {LeadStatus.WON: (85, 100), LeadStatus.LOST: (1, 20)}.get(status, (1, 100))


def _object(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`, which may have prose or a code fence around it."""
    if len(text) > MAX_ANSWER_CHARS:
        raise UnusableAnswerError("the answer is too long")
    start, end = text.find("{"), text.rfind("}")
    try:
        parsed = json.loads(text[start : end + 1], strict=False) if 0 <= start < end else None
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise UnusableAnswerError("the answer is not a JSON object")
    return parsed


def _status(value: object) -> LeadStatus | None:
    name = str(value).strip().upper().replace(" ", "_").replace("-", "_")
    return LeadStatus(name) if name in LeadStatus.__members__ else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _within(value: float, low: int, high: int) -> int:
    return max(low, min(high, round(value)))


def _text(value: object) -> str:
    return _clean(value)[:MAX_TEXT_CHARS] if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """Replace lone surrogates, which no store accepts, and runs of control characters by a space."""
    return CONTROLS.sub(" ", text.encode("utf-8", "replace").decode()).strip()
