"""Train the fallback's model on labelled conversations, and judge it by conversations of authors it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.analyzer.analysis.fallback.features import Features, conversation_features
from services.analyzer.analysis.fallback.lexicon import load_lexicon
from services.analyzer.analysis.fallback.model import Model
from services.analyzer.analysis.fallback.overrides import Override, find_override
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.evaluation.evaluate import prefixes
from services.analyzer.evaluation.measures import LabelledVerdict
from services.analyzer.training.calibration import calibrate
from services.analyzer.training.cross_validation import Fold, cross_validate, fold_models, out_of_fold
from services.analyzer.training.fit import fit
from services.analyzer.training.labelled import LabelledConversation

MODEL_NAME = "fallback-fast-1"
CURVE_AUTHORS = (4, 8, 16)
"""Numbers of authors of the learning curve, beside all of them."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A conversation, the override that applies to it, and a verdict by a model fitted on other authors alone."""

    conversation: LabelledConversation
    override: Override | None
    verdict: LabelledVerdict


@dataclass(frozen=True, slots=True)
class Trained:
    """`curve` maps a number of authors to the verdicts of models that were fitted on no more than so many."""

    model: Model
    judged: Sequence[Judged]
    curve: Mapping[int, Sequence[Judged]]


def train(conversations: Sequence[LabelledConversation]) -> Trained:
    """Return the model of all conversations, and verdicts on each by models that have not seen its author."""
    features = _features(conversations)
    rows, labels = [each.values for each in features], [each.label for each in conversations]
    authors = [each.author for each in conversations]
    folds = cross_validate(rows, labels, authors)
    model = Model(MODEL_NAME, fit(rows, labels), calibrate(out_of_fold(rows, folds), labels))
    curve = {
        number: _judge(conversations, features, cross_validate(rows, labels, authors, most_authors=number))
        for number in CURVE_AUTHORS
        if number < len(set(authors))
    }
    return Trained(model, _judge(conversations, features, folds, with_prefixes=True), curve)


def _features(conversations: Sequence[LabelledConversation]) -> list[Features]:
    lexicon = load_lexicon()
    inputs = [each.analysis_input for each in conversations]
    return [conversation_features(each.transcript.lines, each.now, lexicon) for each in inputs]


def _judge(
    conversations: Sequence[LabelledConversation],
    features: Sequence[Features],
    folds: Sequence[Fold],
    with_prefixes: bool = False,
) -> list[Judged]:
    rows, labels = [each.values for each in features], [each.label for each in conversations]
    judged: dict[int, Judged] = {}
    for fold, model in zip(folds, fold_models(MODEL_NAME, folds, rows, labels), strict=True):
        scorer = FallbackScorer(model=model)
        for place in fold.places:
            read = conversations[place].analysis_input
            override = find_override(read.transcript.lines, features[place].seen, read.now)
            verdict = _verdict(scorer, conversations[place], with_prefixes)
            judged[place] = Judged(conversations[place], override, verdict)
    return [judged[place] for place in range(len(conversations))]


def _verdict(scorer: FallbackScorer, conversation: LabelledConversation, with_prefixes: bool) -> LabelledVerdict:
    read = conversation.analysis_input
    verdict = scorer.score(read)
    on_the_way = [scorer.score(each) for each in prefixes(read)] if with_prefixes else None
    return LabelledVerdict(
        conversation.label,
        verdict.lead_score,
        verdict.lead_status,
        verdict.confidence,
        conversation.language,
        len(read.transcript.lines),
        None if on_the_way is None else tuple((each.lead_score, each.lead_status) for each in on_the_way),
    )
