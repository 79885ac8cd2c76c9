"""Write the model card: what the fallback's model was fitted on, how good it is, what it must not be used for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date

from services.analyzer.analysis.fallback.overrides import OVERRIDES
from services.analyzer.evaluation.evaluate import LONG_LINES, SHORT_LINES, length
from services.analyzer.evaluation.measures import measure
from services.analyzer.training.calibration import WON_PRECISION
from services.analyzer.training.cross_validation import FOLDS
from services.analyzer.training.training import Judged, Trained

MIN_GROUP = 20
"""Languages and kinds with fewer conversations are left out."""
HEAD = """\
# Model card: {name}

Written by `make train`; do not edit. The model gives every conversation that no AI analyses a band, a status, a score
and a confidence ([ADR 16](adr/0016-the-fallback-is-a-learned-model.md)). Fitted on {day}.

## Data

{count} conversations by {authors} authors, of small businesses on Messenger and Instagram: invented, not taken
from real customers. Each author labelled their own conversations, and knew no rule and no lexicon of Leadstream and no
other author's file. A label is one person's judgement; it is the least certain between cold and warm. Several statuses
may be acceptable. No native speaker has checked Thai, Vietnamese and the Arabic dialects. The conversations are not
part of the package.

## Figures

Every figure is for conversations of authors that its model has not seen: the authors are in {folds} groups, and each
group is judged by weights, a threshold for WON and a calibration that come from the other groups. Features, the
strength of the penalty and the lexicon were chosen by such figures as well, so they are a little better than the truth.
WON is called from the probability on at which {precision:.0%} of the deals called won were won. `Measures` in
`services/analyzer/evaluation/measures.py` says what each column is. A conversation is short up to {short} messages and
long from {long} on.
"""
LIMITS_OF_USE = """\
## Not to be used for

- Decisions about people: credit, prices, employment, access to a service. It knows nothing but one conversation.
- Closing a deal that nobody has looked at: a stage WON or LOST that it sets is provisional.
- Judging employees by the scores of their customers.
- Languages that the tables above do not list: lengths, order and silence count there, and little else.
- Conversations that are not between a business and a customer.
"""
LOCAL = """\
## The local model: {name}

The extra `local` adds a sentence encoder ([ADR 17](adr/0017-a-local-model-by-a-packaged-encoder.md)). It was
fitted and judged in the same way on the same conversations; only every eighth was judged by its steps ("WON on the
way", "jumps").
"""
COLUMNS = {
    "band": "band",
    "status": "status",
    "won_precision": "WON precision",
    "won_recall": "WON recall",
    "auc": "AUC",
    "open_spearman": "rank of open",
    "far_off": "off by two bands",
    "calibration_error": "calibration error",
    "sure_right": "right if sure",
    "sure": "sure",
    "won_on_the_way": "WON on the way",
    "jumps": "jumps",
    "scores": "scores",
}
"""Measures by their names in `Measures`, which explains them, and on the page."""


def model_card(trained: Trained, day: date, local: Trained | None = None) -> str:
    judged = trained.judged
    head = HEAD.format(
        name=trained.model.name,
        day=day,
        count=len(judged),
        authors=len({each.conversation.author for each in judged}),
        folds=FOLDS,
        precision=WON_PRECISION,
        short=SHORT_LINES,
        long=LONG_LINES,
    )
    sections = [
        head,
        _table("All", [("all", judged)]),
        _table("Author", _groups(judged, lambda each: (each.conversation.author,))),
        _table("Language", _groups(judged, lambda each: (each.conversation.case.language,), MIN_GROUP)),
        _table("Length", _groups(judged, lambda each: (length(each.verdict),))),
        _table("Kind", _groups(judged, lambda each: each.conversation.case.tags, MIN_GROUP)),
        "## Learning curve\n",
        _table("Authors", [(f"{number} at most", each) for number, each in trained.curve.items()]),
        *(_local(local) if local else []),
        _overrides(judged),
        LIMITS_OF_USE,
    ]
    return "\n".join(sections)


def _local(local: Trained) -> list[str]:
    """Return the section of the local model, which has the same data and the same judgement."""
    judged = local.judged
    return [
        LOCAL.format(name=local.model.name),
        _table("All", [("all", judged)]),
        _table("Author", _groups(judged, lambda each: (each.conversation.author,))),
        _table("Language", _groups(judged, lambda each: (each.conversation.case.language,), MIN_GROUP)),
        _table("Length", _groups(judged, lambda each: (length(each.verdict),))),
    ]


def _table(title: str, groups: Iterable[tuple[str, Sequence[Judged]]]) -> str:
    lines = [_row(title, "conversations", *COLUMNS.values()), _row(*["---"] * (2 + len(COLUMNS)))]
    lines += [_row(name, str(len(group)), *_figures(group)) for name, group in groups]
    return "\n".join([*lines, ""])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _figures(judged: Sequence[Judged]) -> list[str]:
    found = measure(each.verdict for each in judged)
    return [_share(getattr(found, name)) for name in COLUMNS]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value < 10 else str(round(value))


def _groups(
    judged: Sequence[Judged], keys: Callable[[Judged], Iterable[str]], least: int = 1
) -> list[tuple[str, list[Judged]]]:
    """Return the groups that are large enough, largest first."""
    groups: dict[str, list[Judged]] = {}
    for each in judged:
        for key in keys(each):
            groups.setdefault(key, []).append(each)
    ranked = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return [(name, group) for name, group in ranked if len(group) >= least]


def _overrides(judged: Sequence[Judged]) -> str:
    lines = [
        "## Overrides\n",
        "Facts that decide, whatever the model says. Precision is the share in which what they decide is acceptable.\n",
        _row("Override", "decides", "conversations", "precision"),
        _row(*["---"] * 4),
    ]
    for override in OVERRIDES:
        labels = [each.conversation.label for each in judged if each.override is override]
        right = sum(override.status in each.statuses and override.band in (None, each.band) for each in labels)
        decides = override.status.value + (f", {override.band.value}" if override.band else "")
        lines.append(_row(override.name, decides, str(len(labels)), _share(right / len(labels) if labels else None)))
    return "\n".join([*lines, ""])
