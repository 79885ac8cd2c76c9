"""What a model answered, as a verdict: validated and clamped, never trusted. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from services.analyzer.analyst import Brief
from services.analyzer.prompt import PROMPT_VERSION
from shared.contacts import AnalysisSource, LeadStatus, Verdict

MAX_TEXT = 4_000


class UnusableAnswerError(Exception):
    """No verdict can be made of it; the message never quotes it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` as the model gave it, and what it cost."""

    text: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None


def read_answer(answer: Answer, brief: Brief, retry_count: int) -> Verdict:
    """UnusableAnswerError when there is no JSON object with a summary, a score and a status in it."""
    fields = _object(answer.text)
    summary, status = _text(fields.get("summary")), _status(fields.get("lead_status"))
    score = _number(fields.get("lead_score"))
    if not summary or status is None or score is None:
        raise UnusableAnswerError("the answer lacks a summary, a score or a status")
    names = {stage.name for stage in brief.stages}
    stage = _text(fields.get("recommended_stage"))
    return Verdict(
        summary=summary,
        lead_score=_within(score, *_bounds(status)),
        lead_status=status,
        confidence=_within(_number(fields.get("confidence")) or 0, 0, 100),
        reasoning=_text(fields.get("reasoning")),
        recommended_stage=stage if stage in names else None,
        language=_text(fields.get("language"))[:16].lower() or None,
        next_action=_text(fields.get("next_action")) or None,
        source=AnalysisSource.AI,
        model=answer.model,
        prompt_version=PROMPT_VERSION,
        retry_count=retry_count,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
    )


def _bounds(status: LeadStatus) -> tuple[int, int]:
    """Agreed is 85-100 and refused 1-20, whatever number came with it."""
    return {LeadStatus.WON: (85, 100), LeadStatus.LOST: (1, 20)}.get(status, (1, 100))


def _object(text: str) -> dict[str, Any]:
    """The JSON object in `text`, which may have prose or a code fence around it."""
    start, end = text.find("{"), text.rfind("}")
    try:
        parsed = json.loads(text[start : end + 1]) if 0 <= start < end else None
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
    """Without half characters, which can be stored nowhere."""
    return value.encode("utf-8", "replace").decode().strip()[:MAX_TEXT] if isinstance(value, str) else ""
