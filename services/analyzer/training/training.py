"""Train the fallback's model on labelled conversations, and judge it by conversations of authors it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole
from services.analyzer.analysis.fallback.features import Features, conversation_features
from services.analyzer.analysis.fallback.lexicon import load_lexicon
from services.analyzer.analysis.fallback.model import Linear, Model
from services.analyzer.analysis.fallback.overrides import Override, find_override
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.analysis.fallback.wording import Wording
from services.analyzer.evaluation.evaluate import labelled_verdict, prefixes
from services.analyzer.evaluation.measures import LabelledVerdict
from services.analyzer.training.calibration import calibrate
from services.analyzer.training.cross_validation import Fold, cross_validate, fold_models, out_of_fold, splits
from services.analyzer.training.fit import Step, fit
from services.analyzer.training.labelled import LabelledConversation
from services.analyzer.training.wording import ReadConversation, fit_wording, read_keys

CURVE_AUTHORS = (4, 8, 16)
"""Numbers of authors of the learning curve, beside all of them."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is made: its name, the scorer that uses it, what it weighs beside the features of the fast one.

    `extend` adds features in a form to be fitted, `finish` makes the scorer's weights of the fitted ones. One
    conversation of `judged_steps` is judged on the way to it as well.
    """

    name: str
    scorer: Callable[[Model, Wording], FallbackScorer]
    extend: Callable[[Features, AnalysisInput], Features] = lambda features, _: features
    finish: Callable[[Linear], Linear] = lambda linear: linear
    judged_steps: int = 1


FAST = Recipe("fallback-fast-1", lambda model, wording: FallbackScorer(model=model, wording=wording))


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
    wording: Wording
    judged: Sequence[Judged]
    curve: Mapping[int, Sequence[Judged]]


def train(
    conversations: Sequence[LabelledConversation], recipe: Recipe = FAST, curve: Sequence[int] = CURVE_AUTHORS
) -> Trained:
    """Return the model of all conversations, and verdicts on each by models that have not seen its author."""
    read = read_keys(conversations)
    authors = [each.author for each in conversations]
    every = _fit_out_of_fold(recipe, read)
    rows, labels = [each.values for each in every.features], [each.label for each in conversations]
    linear = fit(rows, labels, every.ways)
    model = Model(recipe.name, recipe.finish(linear), calibrate(out_of_fold(rows, every.folds), labels))
    by_number = {
        number: _judge(recipe, conversations, _fit_out_of_fold(recipe, read, number))
        for number in curve
        if number < len(set(authors))
    }
    judged = _judge(recipe, conversations, every, with_steps=True)
    return Trained(model, fit_wording(read), judged, by_number)


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Features, words' weights and models, each fitted without the author of the conversations that it is used on."""

    features: Sequence[Features]
    wordings: Mapping[str, Wording]
    folds: Sequence[Fold]
    ways: Sequence[Sequence[Step]]


def _fit_out_of_fold(recipe: Recipe, read: Sequence[ReadConversation], most_authors: int | None = None) -> OutOfFold:
    """Fit the words without each group of authors, then the models on what those words say of the others."""
    conversations = [each.labelled for each in read]
    authors = [each.author for each in conversations]
    wordings: dict[str, Wording] = {}
    for left_out, seen in splits(authors, most_authors):
        wording = fit_wording([each for each in read if each.labelled.author in seen])
        wordings |= dict.fromkeys(left_out, wording)
    features = [_features(recipe, each.analysis_input, wordings[each.author]) for each in conversations]
    ways = [_steps(recipe, each.analysis_input, wordings[each.author]) for each in conversations]
    rows, labels = [each.values for each in features], [each.label for each in conversations]
    folds = cross_validate(rows, labels, authors, most_authors=most_authors, ways=ways)
    return OutOfFold(features, wordings, folds, ways)


def _features(recipe: Recipe, read: AnalysisInput, wording: Wording) -> Features:
    features = conversation_features(read.transcript.lines, read.now, load_lexicon(), wording)
    return recipe.extend(features, read)


def _steps(recipe: Recipe, read: AnalysisInput, wording: Wording) -> list[Step]:
    """Return a conversation as it stood after each of its messages."""
    return [
        Step(_features(recipe, each, wording).values, each.transcript.lines[-1].role is SpeakerRole.CUSTOMER)
        for each in prefixes(read)
    ]


def _judge(
    recipe: Recipe, conversations: Sequence[LabelledConversation], fitted: OutOfFold, with_steps: bool = False
) -> list[Judged]:
    features, folds = fitted.features, fitted.folds
    rows, labels = [each.values for each in features], [each.label for each in conversations]
    judged: dict[int, Judged] = {}
    for fold, model in zip(folds, fold_models(recipe.name, folds, rows, labels), strict=True):
        finished = replace(model, linear=recipe.finish(model.linear))
        scorer = recipe.scorer(finished, fitted.wordings[conversations[fold.places[0]].author])
        for place in fold.places:
            read = conversations[place].analysis_input
            override = find_override(read.transcript.lines, features[place].seen, read.now)
            verdict = _verdict(scorer, conversations[place], with_steps and place % recipe.judged_steps == 0)
            judged[place] = Judged(conversations[place], override, verdict)
    return [judged[place] for place in range(len(conversations))]


def _verdict(scorer: FallbackScorer, conversation: LabelledConversation, with_steps: bool) -> LabelledVerdict:
    read = conversation.analysis_input
    verdict = scorer.score(read)
    on_the_way = [scorer.score(each) for each in prefixes(read)] if with_steps else None
    return labelled_verdict(conversation.case, conversation.label, verdict, on_the_way)
