from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from services.analyzer.analysis.gemini.client import GeminiClient
from tests.support.asking_ai import Asking, Time
from tests.support.fake_gemini import FakeGemini, serving_gemini


@pytest.fixture
async def fake() -> AsyncIterator[FakeGemini]:
    async with serving_gemini() as fake:
        yield fake


@pytest.fixture
def asking(fake: FakeGemini) -> Iterator[Asking]:
    gemini = GeminiClient(fake.url)
    yield Asking(gemini, Time())
    gemini.close()
