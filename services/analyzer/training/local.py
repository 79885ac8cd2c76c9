"""Train the local model: the features of the fast one and the encoder's vectors of five passages.

The vectors have many dimensions for few conversations, so weights are fitted on their principal components and then
turned into weights of the dimensions: the components are not needed at run time. The components know no label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.analysis.fallback.features import Features
from services.analyzer.analysis.fallback.model import Linear
from services.analyzer.analysis.local.encoder import SentenceEncoder
from services.analyzer.analysis.local.scorer import LocalScorer
from services.analyzer.analysis.local.sentences import SUBJECTS, feature_names, sentence_vectors
from services.analyzer.training.fit import COMPONENT, rounded
from services.analyzer.training.labelled import LabelledConversation
from services.analyzer.training.training import Recipe

Matrix = NDArray[np.float64]
COMPONENTS = 96
"""Principal components for the 512 dimensions of a passage. More do not improve the figures for unseen authors."""
JUDGED_STEPS = 8
"""Each step on the way has passages of its own to encode."""


@dataclass(frozen=True, slots=True)
class Components:
    """The principal components of a subject's vectors: `axes` has a column for each, `names` a name."""

    names: Sequence[str]
    mean: Matrix
    axes: Matrix


def local_recipe(encoder: SentenceEncoder, conversations: Sequence[LabelledConversation]) -> Recipe:
    vectors = [sentence_vectors(each.analysis_input.transcript.lines, encoder) for each in conversations]
    components = {subject: _components(subject, np.array([each[subject] for each in vectors])) for subject in SUBJECTS}
    return Recipe(
        "fallback-local-1",
        partial(LocalScorer, encoder),
        partial(_with_components, encoder, components),
        partial(_in_dimensions, components),
        JUDGED_STEPS,
    )


def _components(subject: str, vectors: Matrix) -> Components:
    variances, axes = np.linalg.eigh(np.cov(vectors, rowvar=False))
    number = min(COMPONENTS, len(vectors) - 1)
    scale = 1 / np.sqrt(variances[-number:].mean() or 1.0)
    names = [f"{COMPONENT} {each}:{subject}" for each in range(number)]
    return Components(names, vectors.mean(axis=0), axes[:, -number:] * scale)


def _with_components(
    encoder: SentenceEncoder, components: Mapping[str, Components], features: Features, read: AnalysisInput
) -> Features:
    values = dict(features.values)
    for subject, vector in sentence_vectors(read.transcript.lines, encoder).items():
        found = components[subject]
        values.update(zip(found.names, ((vector - found.mean) @ found.axes).tolist(), strict=True))
    return replace(features, values=values)


def _in_dimensions(components: Mapping[str, Components], linear: Linear) -> Linear:
    """Return the same model with weights for the dimensions in place of those for their components."""
    bias = np.array(linear.bias)
    weights = {name: row for name, row in linear.weights.items() if not name.startswith(f"{COMPONENT} ")}
    means = {name: linear.means[name] for name in weights}
    for subject, found in components.items():
        none = (0.0,) * len(bias)
        rows = found.axes @ np.array([linear.weights.get(name, none) for name in found.names])
        bias -= found.mean @ rows
        names = feature_names(subject)
        weights.update((name, tuple(map(rounded, row))) for name, row in zip(names, rows, strict=True))
        means.update(zip(names, map(rounded, found.mean), strict=True))
    return Linear(tuple(map(rounded, bias)), weights, means)
