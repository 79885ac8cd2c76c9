"""Read a model's answer as a verdict or a digest, validated and clamped.

An answer that contradicts itself is taken on its careful side: its score is never lifted into a higher band, and WON or
LOST in another band than its score stays open. Each contradiction halves the confidence and is logged by name.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import structlog

from services.analyzer.analysis.ai.prompt import NO_STAGE, PROMPT_VERSION, offered_stages
from services.analyzer.analysis.ai.transport import ModelAnswer
from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole
from shared.contract.contacts import AnalysisSource, Band, LeadStatus, Verdict, band

MAX_ANSWER_CHARS = 1_000_000
"""A verdict has about a thousand characters."""
MAX_TEXT_CHARS = 4_000
LANGUAGE = re.compile(r"taglish|[a-z]{2,3}(-[a-z0-9]{2,8})?")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")
"""Control characters, and those that change the direction of the text after them."""
MAX_EVIDENCE = 4
HIGHEST = {Band.COLD: 30, Band.WARM: 60, Band.HOT: 80, Band.READY: 100}
"""The highest score of each band."""

log = structlog.get_logger()


class UnusableAnswerError(Exception):
    """The answer cannot be used. The message never quotes it."""


def read_verdict(answer: ModelAnswer, analysis_input: AnalysisInput) -> Verdict:
    """Return the verdict. UnusableAnswerError without a JSON object that has a summary, a score and a status."""
    fields = _object(answer.text)
    summary, status = _text(fields.get("summary")), _status(fields.get("lead_status"))
    score = _number(fields.get("lead_score"))
    if not summary or status is None or score is None:
        raise UnusableAnswerError("the answer lacks a summary, a score or a status")
    score, status, contradictions = _careful(_within(score, 1, 100), status, _text(fields.get("lead_band")).lower())
    stage, language = _text(fields.get("recommended_stage")), _text(fields.get("language")).lower()
    offered = {each.name for each in offered_stages(analysis_input)}
    if offered and stage not in {*offered, NO_STAGE, ""}:
        contradictions.append("stage_not_offered")
    evidence = _evidence(fields.get("evidence"), analysis_input, contradictions)
    if contradictions:
        log.warning("ai_answer_contradicts_itself", contradictions=contradictions, model=answer.model)
    return Verdict(
        summary=summary,
        lead_score=score,
        lead_status=status,
        confidence=_within(_number(fields.get("confidence")) or 0, 0, 100) >> len(contradictions),
        reasoning=_text(fields.get("reasoning")),
        evidence=evidence or None,
        recommended_stage=stage if stage in offered else None,
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


def _careful(score: int, status: LeadStatus, named: str) -> tuple[int, LeadStatus, list[str]]:
    """Return a score and a status that agree, and what score, status and the named band contradict each other in."""
    contradictions = []
    if named in HIGHEST and named != band(score):
        contradictions.append("score_outside_band")
        score = min(score, HIGHEST[Band(named)])
    if status is LeadStatus.WON and band(score) is not Band.READY:
        contradictions.append("won_with_low_score")
        return score, LeadStatus.NEGOTIATING, contradictions
    if status is LeadStatus.LOST and band(score) is not Band.COLD:
        contradictions.append("lost_with_high_score")
        return min(score, HIGHEST[Band.WARM]), LeadStatus.CONTACTED, contradictions
    low, high = {LeadStatus.WON: (85, 100), LeadStatus.LOST: (1, 20)}.get(status, (1, 100))
    return _within(score, low, high), status, contradictions


def _evidence(value: object, analysis_input: AnalysisInput, contradictions: list[str]) -> tuple[str, ...]:
    """Return the ids of the lines that the answer names, and add to `contradictions` what is wrong with them."""
    lines = analysis_input.transcript.lines
    named = [_number(each) for each in value[:MAX_EVIDENCE]] if isinstance(value, list) else []
    found = [lines[int(number) - 1] for number in named if number and number in range(1, len(lines) + 1)]
    if len(found) < len(named):
        contradictions.append("evidence_of_no_line")
    if found and all(line.role is SpeakerRole.BUSINESS for line in found):
        contradictions.append("evidence_of_business_only")
    return tuple(dict.fromkeys(line.message_id for line in found if line.message_id))


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
