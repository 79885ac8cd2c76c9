"""The local model is fitted on components of sentence vectors and weighs the vectors themselves."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from services.analyzer.analysis.fallback.features import Features
from services.analyzer.analysis.fallback.model import predict
from services.analyzer.analysis.fallback.signals import ConversationSignals
from services.analyzer.analysis.local.encoder import DIMENSIONS, SentenceEncoder, Vectors
from services.analyzer.analysis.local.sentences import with_sentences
from services.analyzer.training.fit import fit
from services.analyzer.training.labelled import read_author
from services.analyzer.training.local import local_recipe
from tests.unit.analyzer.analysis.labelled import OWN

NOTHING_SEEN = Features({}, {}, ConversationSignals([], {}, {}, 0, {}, {}, 0, 0, None))


def encode(texts: list[str]) -> Vectors:
    """Return a vector for each text, at random but always the same."""
    drawn = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIMENSIONS) for text in texts]
    return np.array(drawn, np.float32) / np.float32(DIMENSIONS**0.5)


def test_the_finished_model_says_what_the_fitted_one_says() -> None:
    conversations = read_author("own", OWN.read_bytes().splitlines()[:80])
    encoder = SentenceEncoder(encode)
    recipe = local_recipe(encoder, conversations)
    inputs = [each.analysis_input for each in conversations]
    rows = [recipe.extend(NOTHING_SEEN, each).values for each in inputs]
    fitted = fit(rows, [each.label for each in conversations])
    finished = recipe.finish(fitted)
    for row, each in zip(rows[:20], inputs, strict=False):
        values = with_sentences(NOTHING_SEEN, each.transcript.lines, encoder).values
        assert predict(finished, values).bands == pytest.approx(predict(fitted, row).bands, abs=0.02)
