"""Keep the raw answers of models in a folder, and answer from such a folder without key and network.

A file holds one request and its answer, as JSON that people can read. Its name has the model and the hash of the prompt
without the instructions, so that folders recorded with different instructions answer the same conversations.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from services.analyzer.analysis.ai.transport import (
    FailureKind,
    ModelAnswer,
    ModelCallError,
    ModelRequest,
    ModelTransport,
)
from shared.contract.ids import content_hash

NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.-]+")


class RecordingTransport:
    """Passes calls on and writes each answer; a later answer to the same prompt replaces the one before."""

    def __init__(self, transport: ModelTransport, folder: Path) -> None:
        self._transport = transport
        self._folder = folder

    async def generate(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> ModelAnswer:
        answer = await self._transport.generate(key, model, request, timeout_seconds)
        _write(recording_path(self._folder, model, request), {**_asked(model, request), "answer": asdict(answer)})
        return answer

    async def count_tokens(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> int:
        tokens = await self._transport.count_tokens(key, model, request, timeout_seconds)
        _write(_count_path(self._folder, model, request), {**_asked(model, request), "tokens": tokens})
        return tokens


@dataclass(slots=True)
class ReplayTransport:
    """Answers from a folder. A request without a recording is refused and its file's name kept in `missing`.

    `other_instructions` are the names of the recordings used whose instructions were not those of the request.
    """

    folder: Path
    missing: set[str] = field(default_factory=set)
    other_instructions: set[str] = field(default_factory=set)

    async def generate(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> ModelAnswer:  # noqa: ARG002
        path = recording_path(self.folder, model, request)
        recorded = self._read(path)
        if recorded["system"] != request.system:
            self.other_instructions.add(path.name)
        return ModelAnswer(**recorded["answer"])

    async def count_tokens(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> int:  # noqa: ARG002
        return int(self._read(_count_path(self.folder, model, request))["tokens"])

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return dict(json.loads(path.read_bytes()))
        except FileNotFoundError:
            self.missing.add(path.name)
            raise ModelCallError(FailureKind.REQUEST_REFUSED, f"no recording {path.name}") from None


def recording_path(folder: Path, model: str, request: ModelRequest) -> Path:
    return folder / f"{NOT_IN_NAMES.sub('_', model)}-{content_hash([model, request.prompt])}.json"


def _count_path(folder: Path, model: str, request: ModelRequest) -> Path:
    return recording_path(folder, model, request).with_suffix(".tokens.json")


def _asked(model: str, request: ModelRequest) -> dict[str, object]:
    return {"model": model, "system": request.system, "prompt": request.prompt, "schema": request.schema}


def _write(path: Path, content: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8", errors="replace")
